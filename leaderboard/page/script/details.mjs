// What an opened cell shows in words and tables: its read-outs, diagnosis, configuration, origin, pictures.
import { energyAtParity, energyBounds, parity, stepBounds } from "./columns.mjs";
import { curveOf, data, named, reference } from "./data.mjs";
import { column, linked, make, numeric, table } from "./dom.mjs";
import { marksOf } from "./marks.mjs";
import {
  known,
  millions,
  NEVER,
  percent,
  points,
  pointsRange,
  range,
  rate,
  significant,
  totalSteps,
  UNKNOWN,
  withBounds,
} from "./numbers.mjs";
import { BY, state } from "./state.mjs";
import { secondModel } from "./view.mjs";

const section = (title, ...children) => make("section", null, make("h3", null, title), ...children);
const folded = (title, content) => make("details", null, make("summary", null, title), content);
const muted = (...children) => make("p", { class: "muted" }, ...children);
const code = (text) => make("code", null, text);
const shown = (value) => (known(value) ? significant(value) : UNKNOWN);

export function plotFigure(id, label, caption) {
  const target = make("div", { id, class: "plot", role: "img", "aria-label": label });
  return make("figure", null, target, make("figcaption", null, caption));
}

// Nested values as nested lists of names and values.
function tree(value) {
  if (value === null) return code("none");
  if (typeof value !== "object") return code(String(value));
  if (Array.isArray(value)) {
    const plain = value.every((each) => each === null || typeof each !== "object");
    if (plain) return code(value.join(", "));
    return make(
      "ol",
      null,
      value.map((each) => make("li", null, tree(each))),
    );
  }
  return definitions("tree", Object.entries(value), tree);
}

function definitions(kind, pairs, written = (value) => value) {
  const lines = pairs.map(([name, value]) =>
    make("div", null, make("dt", null, name), make("dd", null, written(value))),
  );
  return make("dl", { class: kind }, lines);
}

function readouts(f) {
  const energy = (model) => (point) => shown(point.energy[model]);
  const second = secondModel();
  const columns = [
    column("T", (point) => totalSteps(point.tTotal, point.averaged)),
    numeric(`${f.board.metric}, %`, (point) => percent(point.metric)),
    numeric("95 %", (point) => range(point.low, point.high)),
    numeric("gap, points", (point) => points(point.gap)),
    numeric("95 %", (point) => pointsRange(point.gapLow, point.gapHigh)),
    numeric("KL, nats", (point) => shown(point.kl)),
    numeric("SynOps", (point) => millions(point.synops)),
    numeric(`energy, µJ (${reference()})`, energy(reference())),
    ...(second ? [numeric(`µJ (${second})`, energy(second))] : []),
    numeric("rate", (point) => rate(point.rate)),
  ];
  return table("At every read-out", columns, curveOf(f.row));
}

function commitOf({ git_commit: commit, git_dirty: dirty }) {
  return commit ? commit.slice(0, 8) + (dirty ? " with changes" : "") : "unknown";
}

function kindOf({ verdict, reductions }) {
  const names = Object.keys(reductions ?? {});
  return names.length ? `${verdict}: ${names.join(", ")}` : (verdict ?? "unknown");
}

const RUN_COLUMNS = [
  column("Cell", (run) => run.cell),
  numeric("Seed", (run) => String(run.seed)),
  column("Measured (UTC)", ({ origin }) => origin.created.slice(0, 16).replace("T", " ")),
  column("Device", ({ origin }) => origin.device),
  column("Simulated by", ({ origin }) => `${origin.backend ?? "unknown"}, ${origin.precision}`),
  column("Kind of network", ({ origin }) => kindOf(origin)),
  column("Commit", ({ origin }) => commitOf(origin)),
  column("Checkpoint", (run) => run.checkpoint.slice(0, 12)),
  numeric("Seconds", ({ origin }) => shown(origin.wall_time_s.cell)),
  numeric("Peak MiB", ({ origin }) => significant(origin.peak_memory_mib)),
];

const SOURCE_COLUMNS = [
  column("Layer", (source) => source.name),
  column("Kind", (source) => source.kind),
  numeric("Units", (source) => source.units.toLocaleString("en")),
  numeric("Rate", (source) => rate(source.rate)),
  numeric("Spikes", (source) => millions(source.spikes)),
];

const LAYER_COLUMNS = [
  column("Layer", (layer) => layer.name),
  column("Driven by", (layer) => layer.drive),
  numeric("MACs of the ANN", (layer) => millions(layer.macs)),
  numeric("SynOps", (layer) => millions(layer.synops)),
];

const versionsOf = ({ origin }) =>
  Object.entries(origin.versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");

function origins(details) {
  const versions = [...new Set(details.runs.map(versionsOf))];
  const conversion = details.conversion.map((text) => make("li", null, code(text)));
  const sources = details.sources.map((values) => named("source", values));
  const layers = details.layers.map((values) => named("layer", values));
  return section(
    "Where it comes from",
    table("Runs", RUN_COLUMNS, details.runs),
    versions.map((text) => make("p", { class: "muted" }, `Versions: ${text}.`)),
    folded("What became of every layer", make("ol", { class: "plain" }, conversion)),
    folded("Spikes and synapses of every layer", [
      table("Layers that send spikes, at the last read-out", SOURCE_COLUMNS, sources),
      table("Layers with weights, at the last read-out", LAYER_COLUMNS, layers),
    ]),
  );
}

function configuration(details) {
  return section(
    "Configuration",
    tree(details.parts),
    folded("Everything that determines the cell", tree(details.configuration)),
    details.tuning ? folded("How it was tuned", tree(details.tuning)) : null,
  );
}

function pictures(details) {
  if (!details.pictures.length) return null;
  const figures = details.pictures.map(({ uri, caption }) => {
    const image = uri
      ? make("img", { src: uri, alt: caption, loading: "lazy" })
      : make("p", null, "Too large for this page: see the results folder.");
    return make("figure", null, image, make("figcaption", null, caption));
  });
  return section("Pictures", make("div", { class: "pictures" }, figures));
}

// Where the error comes from: drawn over depth, and as one folded table for each time step.
const ERROR_COLUMNS = [
  column("Layer", (error) => error.layer),
  numeric("Threshold", (error) => significant(error.threshold)),
  numeric("Rate", (error) => rate(error.rate)),
  numeric("Error, %", (error) => shown(error.error)),
  numeric("Clipping, %", (error) => shown(error.clipping)),
  numeric("Quantisation, %", (error) => shown(error.quantisation)),
  numeric("Input, %", (error) => shown(error.input)),
  numeric("Unevenness, %", (error) => shown(error.unevenness)),
];
const ERROR_WORDS =
  "Clipping: no spike train reaches the activation. Quantisation: rates are multiples of threshold / t. " +
  "Input: errors of the layers before. Unevenness: right input at the wrong time. Parts of opposite sign cancel.";

function diagnosis(found) {
  if (!found) {
    const how = ["With ", code("diagnostics: 16"), " in a matrix, or by ", code("spikemark diagnose")];
    return section(
      "Diagnosis",
      muted("Not diagnosed. ", ...how, ", this part says layer by layer where the error comes from."),
    );
  }
  if (found.whyNot) return section("Diagnosis", muted(`Not diagnosed: ${found.whyNot}.`));
  const words =
    "How far the rates of each layer are from the activations they stand for, on " +
    `${found.images} training images that were not calibrated on.`;
  const tables = found.at.map(({ t, errors }) => {
    const lines = errors.map((values) => named("error", values));
    const caption = `Error at t = ${t}, and its parts over the mean activation`;
    return folded(`Where it comes from at t = ${t}`, [
      table(caption, ERROR_COLUMNS, lines),
      muted(ERROR_WORDS),
    ]);
  });
  return section(
    "Diagnosis",
    make("p", null, words),
    plotFigure(
      "cell-errors",
      "Error of every layer; the tables below hold the figures",
      "Norm of the error over norm of the activations, layer by layer.",
    ),
    tables,
  );
}

function copyButton(source) {
  const click = async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      // Browsers may refuse it to files; then the text is at least selected.
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl or ⌘ and C";
    }
  };
  const button = make("button", { type: "button", "aria-live": "polite", click }, "Copy");
  return button;
}

function facts(f, details) {
  const rank = f.rank === null ? "not ranked" : `${f.rank}${f.tied ? ", shared" : ""}, by ${BY[state.by]}`;
  const ties = details.ties && (details.ties.join(", ") || "nobody in its group");
  const ratio = f.row.parityRatio;
  const energies = data.models.map((model) => [
    `energy at parity, × ANN, ${model}`,
    withBounds(energyAtParity(f, model), energyBounds(f, model)),
  ]);
  return definitions("facts", [
    ["rank", rank],
    ...(details.ties ? [["not told apart from, at the last read-out", ties]] : []),
    ["group", data.groups[f.row.group]],
    ["spikes", f.row.spikes],
    ["kind of network", f.row.verdict ?? "not said by its record"],
    ["division", f.row.division],
    ["simulated by", f.row.simulatedBy],
    ["seconds to convert", shown(f.row.convertSeconds)],
    ["networks", f.row.eachT ? "one for each T" : "one for all T"],
    [f.board.metric, `${percent(f.point.metric)} % at T = ${totalSteps(f.point.tTotal, f.point.averaged)}`],
    ["gap to its ANN", `${points(f.point.gap)} points`],
    ["its ANN", `${percent(f.row.ann)} %`],
    ["T to 1 point", withBounds(parity(f, f.stepsOne), stepBounds(f, f.stepsOneBounds))],
    ["T to ½ point", withBounds(parity(f, f.stepsHalf), stepBounds(f, f.stepsHalfBounds))],
    ...(ratio && ratio !== NEVER ? [["times fewer steps to 1 point than the slowest", ratio]] : []),
    ...energies,
    ["paper", linked(details.paper)],
  ]);
}

const OUTCOMES = {
  reproduced: "Reproduced: the same in every figure",
  "within the interval": "Every metric inside its 95 % interval",
  not: "Not reproduced",
};

function reproductions(details) {
  return details.reproduced.map((found) => {
    const why = found.why ? `: ${found.why}` : "";
    const where = `${found.device}, ${found.created.slice(0, 10)}`;
    return make("p", null, `${OUTCOMES[found.verdict]}${why} (${where}).`);
  });
}

function plots(f) {
  const { metric } = f.board;
  const layers = plotFigure(
    "cell-layers",
    "Energy of every layer",
    `Energy of every layer, ${state.energy} model.`,
  );
  layers.id = "cell-layers-figure";
  return make(
    "div",
    { class: "plots" },
    plotFigure(
      "cell-time",
      `${metric} over time steps, every run`,
      `${metric} over time steps, every run; dashed: its ANN.`,
    ),
    plotFigure(
      "cell-rate",
      "Firing rate of every layer",
      "Spikes per unit and step of every layer at the last read-out.",
    ),
    layers,
  );
}

export function cellBody(f, details) {
  const attributes = { tabindex: "0", role: "region", "aria-label": "Commands" };
  const commands = make("pre", attributes, details.reproduce);
  const parts = [
    make(
      "p",
      { class: "marks" },
      marksOf(f.row, true).map(({ text, why, kind }) =>
        make("span", { class: `mark ${kind}`, title: why }, text),
      ),
    ),
    facts(f, details),
    plots(f),
    readouts(f),
    pictures(details),
    diagnosis(details.diagnosis),
    section("Measure it again", reproductions(details), commands, copyButton(commands)),
    configuration(details),
    origins(details),
  ];
  return parts.filter(Boolean);
}
