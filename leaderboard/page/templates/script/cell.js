// An opened cell: its curves, where its spikes and energy go, its configuration, origin and the way to repeat it.
async function unpack(block) {
  const bytes = Uint8Array.from(atob(find(`block-${block}`).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const number = (text) => ({ number: text });
const part = (title, ...children) => make("section", null, make("h3", null, title), ...children);

// Nested values as nested lists of names and values.
function tree(value) {
  if (value === null || typeof value !== "object") return make("code", null, value === null ? "none" : String(value));
  const entries = Array.isArray(value) ? null : Object.entries(value);
  if (!entries) return value.every((each) => each === null || typeof each !== "object") ? make("code", null, value.join(", ")) : make("ol", null, value.map((each) => make("li", null, tree(each))));
  return make("dl", { class: "tree" }, entries.map(([name, each]) => make("div", null, make("dt", null, name), make("dd", null, tree(each)))));
}

function readouts(f) {
  const first = data.models[0];
  return table("At every read-out", ["T", `#${f.board.metric}, %`, "#95 %", "#gap, points", "#95 %", "#KL, nats", "#SynOps", `#energy, µJ (${first})`, ...(secondModel() ? [`#µJ (${data.models[secondModel()]})`] : []), "#rate"],
    curveOf(f.row).map((p) => [totalSteps(p.t, p.averaged), number(percent(p.metric)), number(range(p.low, p.high)), number(points(p.gap)), number(pointsRange(p.gapLow, p.gapHigh)),
      number(known(p.kl) ? significant(p.kl) : UNKNOWN), number(millions(p.synops)), number(known(p.energy[0]) ? significant(p.energy[0]) : UNKNOWN),
      ...(secondModel() ? [number(known(p.energy[secondModel()]) ? significant(p.energy[secondModel()]) : UNKNOWN)] : []), number(known(p.rate) ? p.rate.toFixed(3) : UNKNOWN)]));
}

function origins(details) {
  return table("Runs", ["Cell", "#Seed", "Measured (UTC)", "Device", "Precision", "Commit", "Checkpoint", "#Seconds", "#Peak MiB", "Versions"],
    details.runs.map((run) => {
      const origin = run.origin;
      const commit = origin.git_commit ? origin.git_commit.slice(0, 8) + (origin.git_dirty ? " with changes" : "") : "unknown";
      return [run.cell, number(String(run.seed)), origin.created.slice(0, 16).replace("T", " "), origin.device, origin.precision, commit, run.checkpoint.slice(0, 12),
        number(known(origin.wall_time_s.cell) ? significant(origin.wall_time_s.cell) : UNKNOWN), number(significant(origin.peak_memory_mib)),
        Object.entries(origin.versions).map(([name, version]) => `${name} ${version}`).join(", ")];
    }));
}

function pictures(details) {
  return details.pictures.map((each) => make("figure", null, each.uri ? make("img", { src: each.uri, alt: each.caption, loading: "lazy" }) : make("p", null, "Too large for this page: see the results folder."), make("figcaption", null, each.caption)));
}

// Where the error comes from: drawn over depth, and as one folded table for each time step.
const DIAGNOSIS = ["Layer", "#Threshold", "#Rate", "#Error, %", "#Clipping, %", "#Quantisation, %", "#Input, %", "#Unevenness, %"];

function diagnosis(found) {
  if (!found) {
    return part("Diagnosis", make("p", { class: "muted" }, "Not diagnosed. With ", make("code", null, "diagnostics: 16"), " in a matrix, or by ", make("code", null, "spikemark diagnose"),
      ", this part says layer by layer where the error comes from."));
  }
  if (found.whyNot) return part("Diagnosis", make("p", { class: "muted" }, `Not diagnosed: ${found.whyNot}.`));
  const share = (value) => number(known(value) ? significant(value) : UNKNOWN);
  return part("Diagnosis", make("p", null, `How far the rates of each layer are from the activations they stand for, on ${found.images} training images that were not calibrated on.`),
    make("figure", null, make("div", { id: "cell-errors", class: "plot", role: "img", "aria-label": "Error of every layer; the tables below hold the figures" }),
      make("figcaption", null, "Norm of the error over norm of the activations, layer by layer.")),
    found.at.map(([t, rows]) => folded(`Where it comes from at t = ${t}`, [table(`Error at t = ${t}, and its parts over the mean activation`, DIAGNOSIS,
      rows.map(([layer, threshold, rate, ...shares]) => [layer, number(significant(threshold)), number(rate.toFixed(3)), ...shares.map(share)])),
      make("p", { class: "muted" }, "Clipping: no spike train reaches the activation. Quantisation: rates are multiples of threshold / t. Input: errors of the layers before. Unevenness: right input at the wrong time. Parts of opposite sign cancel.")])));
}

function folded(title, content) {
  return make("details", null, make("summary", null, title), content);
}

function copyButton(source) {
  const button = make("button", { type: "button", "aria-live": "polite", click: async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch { // browsers may refuse it to files; then the text is at least selected
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl or ⌘ and C";
    }
  } }, "Copy");
  return button;
}

function cellBody(f, details) {
  const commands = make("pre", { tabindex: "0", role: "region", "aria-label": "Commands" }, details.reproduce);
  const facts = [["rank", f.rank === null ? "not ranked" : `${f.rank}${f.tie ? ", tied with the first of its group" : ""}`], ...(details.ties ? [["not told apart from, at the last read-out", details.ties.join(", ") || "nobody in its group"]] : []), ["group", data.groups[f.row.group]], ["spikes", f.row.spikes],
    [f.board.metric, `${percent(f.point.metric)} % at T = ${totalSteps(f.point.t, f.point.averaged)}`], ["gap to its ANN", `${points(f.point.gap)} points`], ["its ANN", `${percent(f.row.ann)} %`],
    ["T to 1 point", withBounds(parity(f, f.one), stepBounds(f, f.oneBounds))], ["T to ½ point", withBounds(parity(f, f.half), stepBounds(f, f.halfBounds))], ...(f.row.sooner && f.row.sooner !== NEVER ? [["sooner there than the slowest", f.row.sooner]] : []),
    ...data.models.map((model, index) => [`energy at parity, × ANN, ${model}`, withBounds(energyAtParity(f, index), parityBounds(f, index))]), ["paper", details.paper]];
  return [
    make("dl", { class: "facts" }, facts.map(([name, value]) => make("div", null, make("dt", null, name), make("dd", null, value)))),
    make("div", { class: "plots" },
      make("figure", null, make("div", { id: "cell-time", class: "plot", role: "img", "aria-label": `${f.board.metric} over time steps, every run` }), make("figcaption", null, `${f.board.metric} over time steps, every run; dashed: its ANN.`)),
      make("figure", null, make("div", { id: "cell-rate", class: "plot", role: "img", "aria-label": "Firing rate of every layer" }), make("figcaption", null, "Spikes per unit and step of every layer at the last read-out.")),
      make("figure", { id: "cell-layers-figure" }, make("div", { id: "cell-layers", class: "plot", role: "img", "aria-label": "Energy of every layer" }), make("figcaption", null, `Energy of every layer, ${state.energy} model.`))),
    readouts(f),
    details.pictures.length ? part("Pictures", make("div", { class: "pictures" }, pictures(details))) : null,
    diagnosis(details.diagnosis),
    part("Measure it again", commands, copyButton(commands)),
    part("Configuration", tree(details.parts), folded("Everything that determines the cell", tree(details.configuration)), details.tuning ? folded("How it was tuned", tree(details.tuning)) : null),
    part("Where it comes from", origins(details), folded("What became of every layer", make("ol", { class: "plain" }, details.conversion.map((text) => make("li", null, make("code", null, text))))),
      folded("Spikes and synapses of every layer", [table("Layers that send spikes, at the last read-out", ["Layer", "Kind", "#Units", "#Rate", "#Spikes"], details.sources.map(([name, kind, units, rate, spikes]) => [name, kind, number(units.toLocaleString("en")), number(known(rate) ? rate.toFixed(3) : UNKNOWN), number(millions(spikes))])),
        table("Layers with weights, at the last read-out", ["Layer", "Driven by", "#MACs of the ANN", "#SynOps"], details.synapses.map(([name, drive, macs, synops]) => [name, drive, number(millions(macs)), number(millions(synops))]))])),
  ];
}

function drawCell(f, details) {
  const palette = PALETTES[theme()];
  const times_ = details.runs.flatMap((run) => run.metrics.map(([t]) => t));
  const runs = details.runs.map((run, index) => ({ type: "scatter", mode: "lines+markers", x: run.metrics.map(([t]) => t), y: run.metrics.map(([, metric]) => metric), name: `seed ${run.seed}`,
    line: { width: 2, color: palette[index % palette.length] }, marker: { size: 7, symbol: MARKS[index % MARKS.length] }, hovertemplate: "seed " + run.seed + ", t = %{x}<br>%{y:.2f} %<extra></extra>" }));
  const ann = { type: "scatter", mode: "lines", x: [Math.min(...times_), Math.max(...times_)], y: [f.row.ann, f.row.ann], line: { dash: "dash", width: 1.5, color: colourOf("text") }, hovertemplate: "ANN %{y:.2f} %<extra></extra>" };
  plot(find("cell-time"), [...band(curveOf(f.row), (p) => p.readout, palette[0]), ...runs, ann], { xaxis: axis("read-out t", { type: "log", ...doublingTicks(times_) }), yaxis: axis(`${f.board.metric}, %`) }, 280);
  const rates = details.sources.filter(([, , , rate]) => known(rate));
  const bars = (labels, values, unit) => [{ type: "bar", x: labels.map(plotText), y: values, marker: { color: palette[0] }, hovertemplate: `%{x}<br>%{y:.3g} ${unit}<extra></extra>` }];
  plot(find("cell-rate"), bars(rates.map(([name]) => name), rates.map(([, , , rate]) => rate), "a step"), { xaxis: layerAxis(rates.map(([name]) => name)), yaxis: axis("spikes a step") }, 280);
  const energy = f.row.layers?.energy[modelIndex()];
  find("cell-layers-figure").hidden = !energy;
  if (energy) plot(find("cell-layers"), bars(f.row.layers.names, energy, "µJ"), { xaxis: layerAxis(f.row.layers.names), yaxis: axis("µJ an image") }, 280);
  drawErrors(details.diagnosis);
}

function drawErrors(found) {
  if (!found?.at.length) return;
  const palette = PALETTES[theme()];
  const traces = found.at.map(([t, rows], index) => ({ type: "scatter", mode: "lines+markers", name: `t = ${t}`, x: rows.map(([layer]) => plotText(layer)), y: rows.map(([, , , error]) => error),
    line: { width: 2, color: palette[index % palette.length] }, marker: { size: 7, symbol: MARKS[index % MARKS.length] }, hovertemplate: `t = ${t}<br>%{x}<br>%{y:.3g} %<extra></extra>` }));
  plot(find("cell-errors"), traces, { xaxis: layerAxis(found.at[0][1].map(([layer]) => layer)), yaxis: axis("error, %", { rangemode: "tozero" }), showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom" } }, 300);
}

function located(id) {
  for (const board of data.boards) for (const row of board.rows) if (row.id === id) return { board, row };
  return null;
}

async function showCell() {
  const dialog = find("cell");
  const found = state.cell && located(state.cell);
  if (!found) { closeCell(); return; }
  const stage = found.row.at[stageOf(found.board)] ? found : null;
  const f = stage ? figures(found.board, found.row) : { ...found, ...figuresAtEnd(found) };
  const wanted = state.cell;
  const [block, place] = found.row.details;
  const details = (await unpack(block))[place];
  if (state.cell !== wanted) return;
  find("cell-title").textContent = found.row.label;
  find("cell-where").textContent = found.board.title;
  find("cell-body").replaceChildren(...cellBody(f, details).filter(Boolean));
  dialog.dataset.shown = wanted;
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  withPlotly(() => { if (dialog.dataset.shown !== wanted) return; drawCell(f, details); dialog.dataset.ready = wanted; });
}

function figuresAtEnd({ row }) {
  return standing(row, row.at.at(-1));
}

function openCell(id) {
  state.cell = id;
  writeAddress();
  showCell();
}

// Everything at once, not in the event of closing, which comes later: another cell may be opened by then.
function closeCell() {
  const dialog = find("cell");
  const { shown } = dialog.dataset;
  if (!shown) return;
  delete dialog.dataset.shown;
  delete dialog.dataset.ready;
  state.cell = "";
  dialog.close();
  writeAddress();
  for (const row of document.querySelectorAll("tr[data-id]")) if (row.dataset.id === shown) row.querySelector(".open").focus();
}
