// The plots below the ranking: metric over time and energy, energy of layers.
import { unique } from "./data.mjs";
import { find, make } from "./dom.mjs";
import { colourOf, faded, lookOf } from "./looks.mjs";
import { percent, range, steps, totalSteps } from "./numbers.mjs";
import { axis, band, layerAxis, plot, plotText, withPlotly } from "./plot.mjs";
import { drawPublished, publishedTable } from "./published.mjs";
import { decimalTicks, doublingTicks, paretoFront } from "./scales.mjs";
import { state } from "./state.mjs";
import { drawStudies } from "./studies.mjs";
import { boardsShown, drawn, shownOf, withinLimit } from "./view.mjs";

const NEAR_POINTS = 5;
const MOST_GREY = 80;
const FRONT_DASHES = { binary: "solid", "multi-level": "dash", retrained: "dot" };

function greyLines(rest, x, hover) {
  return rest.slice(0, MOST_GREY).map((f) => {
    const curve = withinLimit(f.row).filter((point) => x(point) > 0);
    return {
      type: "scatter",
      mode: curve.length > 1 ? "lines" : "markers",
      x: curve.map(x),
      y: curve.map((point) => point.metric),
      line: { width: 1, color: faded(colourOf("muted"), 0.35) },
      marker: { size: 5, color: faded(colourOf("muted"), 0.5) },
      name: plotText(f.row.label),
      hovertemplate: `%{fullData.name}<br>${hover}<extra></extra>`,
    };
  });
}

function colouredLine(f, look, x, hover) {
  const curve = withinLimit(f.row).filter((point) => x(point) > 0);
  return {
    type: "scatter",
    mode: "lines+markers",
    x: curve.map(x),
    y: curve.map((point) => point.metric),
    name: plotText(f.row.label),
    customdata: curve.map((point) => [
      totalSteps(point.tTotal, point.averaged),
      range(point.low, point.high),
    ]),
    line: { width: 2, color: look.colour },
    marker: { size: 8, symbol: look.mark, color: look.colour },
    hovertemplate: `%{fullData.name}<br>${hover}<br>%{y:.2f} % (%{customdata[1]})<extra></extra>`,
  };
}

function acrossLine(f, look, ends) {
  return {
    type: "scatter",
    mode: "lines",
    x: ends,
    y: [f.point.metric, f.point.metric],
    name: plotText(f.row.label),
    line: { dash: "dot", width: 2, color: look.colour },
    hovertemplate: "%{fullData.name}, without time steps<br>%{y:.2f} %<extra></extra>",
  };
}

function metricAxis(board, shown) {
  const best = Math.max(...shown.map((f) => f.point.metric), board.ann ?? 0);
  const near = { range: [(board.ann ?? best) - NEAR_POINTS, best + NEAR_POINTS / 8], autorange: false };
  return axis(`${board.metric}, %`, state.near ? near : { autorange: true });
}

function drawTime(board, shown, lines, looks) {
  // The levels of a quantised ANN are no time steps: it is a line across, at its best.
  const x = (point) => point.tTotal;
  const timed = shown.filter((f) => f.row.alphabet !== "none");
  const timeless = lines.filter((f) => f.row.alphabet === "none");
  const measured = timed.flatMap((f) => withinLimit(f.row).map(x));
  if (!measured.length) measured.push(1);
  const ends = [Math.min(...measured), Math.max(...measured, 2 * Math.min(...measured))];
  const rest = timed.filter((f) => !looks.has(f.row.id));
  const spiking = lines.filter((f) => f.row.alphabet !== "none");
  const banded = state.show?.length ? spiking : spiking.slice(0, 1); // many bands hide each other
  const traces = [
    ...greyLines(rest, x, "T = %{x:.4~g}<br>%{y:.2f} %"),
    ...banded.flatMap((f) => band(withinLimit(f.row), x, looks.get(f.row.id).colour)),
    ...spiking.map((f) => colouredLine(f, looks.get(f.row.id), x, "T = %{customdata[0]}")),
    ...timeless.map((f) => acrossLine(f, looks.get(f.row.id), ends)),
  ];
  if (board.ann !== null) {
    traces.push({
      type: "scatter",
      mode: "lines",
      x: ends,
      y: [board.ann, board.ann],
      name: "ANN",
      line: { dash: "dash", width: 1.5, color: colourOf("text") },
      hovertemplate: `ANN ${percent(board.ann)} %<extra></extra>`,
    });
  }
  const xaxis = axis("time steps T", { type: "log", ...doublingTicks(measured) });
  plot(find("plot-time"), traces, { xaxis, yaxis: metricAxis(board, shown) });
}

function frontLine(group, dash, shown, x) {
  const members = shown.filter((f) => f.row.group === group && f.row.alphabet !== "none");
  const reached = members.flatMap((f) => withinLimit(f.row)).filter((point) => x(point) > 0);
  const best = paretoFront(reached.map((point) => ({ cost: x(point), value: point.metric })));
  return {
    type: "scatter",
    mode: "lines+markers",
    x: best.map(({ cost }) => cost),
    y: best.map(({ value }) => value),
    name: `Pareto front, ${group}`,
    line: { shape: "hv", width: 1, dash, color: colourOf("muted") },
    marker: { symbol: "circle-open", size: 15, color: colourOf("muted") },
    hoverinfo: "skip",
  };
}

function drawEnergy(board, shown, lines, looks) {
  const x = (point) => point.energy[state.energy];
  const rest = shown.filter((f) => !looks.has(f.row.id));
  const fronts = Object.entries(FRONT_DASHES).map(([group, dash]) => frontLine(group, dash, shown, x));
  const traces = [
    ...greyLines(rest, x, "%{x:.3g} µJ<br>%{y:.2f} %"),
    ...fronts.filter((front) => front.x.length),
    ...lines.map((f) => colouredLine(f, looks.get(f.row.id), x, "T = %{customdata[0]}, %{x:.3g} µJ")),
  ];
  const ann = board.annEnergy[state.energy];
  if (board.ann !== null && ann) {
    traces.push({
      type: "scatter",
      mode: "markers",
      x: [ann],
      y: [board.ann],
      name: "ANN",
      marker: { symbol: "star", size: 14, color: colourOf("text") },
      hovertemplate: "ANN<br>%{x:.3g} µJ<br>%{y:.2f} %<extra></extra>",
    });
  }
  const ticks = decimalTicks(traces.flatMap((trace) => trace.x));
  const xaxis = axis("energy an image, µJ", { type: "log", ...ticks });
  plot(find("plot-energy"), traces, { xaxis, yaxis: metricAxis(board, shown) });
}

function drawLayers(lines, looks) {
  const kept = lines.filter((f) => f.row.layers?.energy[state.energy]);
  find("figure-layers").hidden = !kept.length;
  if (!kept.length) return;
  const traces = kept.map((f) => {
    const { colour, mark } = looks.get(f.row.id);
    return {
      type: "scatter",
      mode: "lines+markers",
      name: plotText(f.row.label),
      x: f.row.layers.names.map(plotText),
      y: f.row.layers.energy[state.energy],
      line: { width: 1.5, color: colour },
      marker: { size: 6, symbol: mark, color: colour },
      hovertemplate: `%{fullData.name}, T = ${steps(f.row.layers.t)}<br>%{x}<br>%{y:.3g} µJ<extra></extra>`,
    };
  });
  const names = unique(kept.flatMap((f) => f.row.layers.names));
  const yaxis = axis("energy an image, µJ", { rangemode: "tozero" });
  plot(find("plot-layers"), traces, { xaxis: layerAxis(names), yaxis });
}

function legendItem(f, look) {
  const sign = make("span", { style: `color:${look.colour}`, "aria-hidden": "true" }, look.sign);
  return make("li", null, sign, " ", f.row.label);
}

function write(selector, text) {
  for (const element of document.querySelectorAll(selector)) element.textContent = text;
}

export function drawPlots() {
  const board = boardsShown().find((each) => shownOf(each).length);
  find("plots").hidden = !board;
  if (!board) {
    find("published").hidden = true;
    return;
  }
  const shown = shownOf(board);
  const lines = drawn(shown);
  const looks = lookOf(lines);
  const others = Math.min(MOST_GREY, shown.length - lines.length);
  find("plotted").textContent = board.title;
  find("legend").replaceChildren(
    ...lines.map((f) => legendItem(f, looks.get(f.row.id))),
    make("li", { class: "muted" }, others > 0 ? `grey: ${others} other rows` : ""),
  );
  write(".model", state.energy);
  write(".metric", board.metric);
  find("near").setAttribute("aria-pressed", String(state.near));
  publishedTable(board);
  withPlotly(() => {
    drawTime(board, shown, lines, looks);
    drawEnergy(board, shown, lines, looks);
    drawLayers(lines, looks);
    drawPublished(board);
    drawStudies();
  });
}
