// An opened cell: found, unpacked, shown in a dialog, drawn.
import { curveOf, located, named } from "./data.mjs";
import { cellBody } from "./details.mjs";
import { find } from "./dom.mjs";
import { colourOf, MARKS, palette } from "./looks.mjs";
import { known } from "./numbers.mjs";
import { axis, band, layerAxis, plot, plotText, withPlotly } from "./plot.mjs";
import { doublingTicks } from "./scales.mjs";
import { state, writeAddress } from "./state.mjs";
import { figures, figuresAtEnd, stageOf } from "./view.mjs";

async function unpack(block) {
  const bytes = Uint8Array.from(atob(find(`block-${block}`).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function markedLine(index, more) {
  const [colours, symbol] = [palette(), MARKS[index % MARKS.length]];
  const line = { width: 2, color: colours[index % colours.length] };
  return { type: "scatter", mode: "lines+markers", line, marker: { size: 7, symbol }, ...more };
}

function drawCurves(f, details) {
  const runs = details.runs.map((run) => {
    const readings = run.readings.map((values) => named("reading", values));
    return { seed: run.seed, t: readings.map((each) => each.t), metric: readings.map((each) => each.metric) };
  });
  const measured = runs.flatMap((run) => run.t);
  const lines = runs.map(({ seed, t, metric }, index) =>
    markedLine(index, {
      x: t,
      y: metric,
      name: `seed ${seed}`,
      hovertemplate: `seed ${seed}, t = %{x}<br>%{y:.2f} %<extra></extra>`,
    }),
  );
  const ann = {
    type: "scatter",
    mode: "lines",
    x: [Math.min(...measured), Math.max(...measured)],
    y: [f.row.ann, f.row.ann],
    line: { dash: "dash", width: 1.5, color: colourOf("text") },
    hovertemplate: "ANN %{y:.2f} %<extra></extra>",
  };
  const bands = band(curveOf(f.row), (point) => point.t, palette()[0]);
  const xaxis = axis("read-out t", { type: "log", ...doublingTicks(measured) });
  plot(find("cell-time"), [...bands, ...lines, ann], { xaxis, yaxis: axis(`${f.board.metric}, %`) }, 280);
}

function drawBars(id, names, values, unit, title) {
  const [x, marker] = [names.map(plotText), { color: palette()[0] }];
  const hovertemplate = `%{x}<br>%{y:.3g} ${unit}<extra></extra>`;
  const layout = { xaxis: layerAxis(names), yaxis: axis(title) };
  plot(find(id), [{ type: "bar", x, y: values, marker, hovertemplate }], layout, 280);
}

function drawErrors(diagnosis) {
  if (!diagnosis?.at.length) return;
  const at = diagnosis.at.map(({ t, errors }) => ({
    t,
    errors: errors.map((values) => named("error", values)),
  }));
  const traces = at.map(({ t, errors }, index) =>
    markedLine(index, {
      name: `t = ${t}`,
      x: errors.map((each) => plotText(each.layer)),
      y: errors.map((each) => each.error),
      hovertemplate: `t = ${t}<br>%{x}<br>%{y:.3g} %<extra></extra>`,
    }),
  );
  const layout = {
    xaxis: layerAxis(at[0].errors.map((each) => each.layer)),
    yaxis: axis("error, %", { rangemode: "tozero" }),
    showlegend: true,
    legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
  };
  plot(find("cell-errors"), traces, layout, 300);
}

function drawCell(f, details) {
  drawCurves(f, details);
  const sources = details.sources.map((values) => named("source", values)).filter(({ rate }) => known(rate));
  const [names, rates] = [sources.map(({ name }) => name), sources.map(({ rate }) => rate)];
  drawBars("cell-rate", names, rates, "a step", "spikes a step");
  const energy = f.row.layers?.energy[state.energy];
  find("cell-layers-figure").hidden = !energy;
  if (energy) drawBars("cell-layers", f.row.layers.names, energy, "µJ", "µJ an image");
  drawErrors(details.diagnosis);
}

export async function showCell() {
  const dialog = find("cell");
  const found = state.cell && located(state.cell);
  if (!found) {
    closeCell();
    return;
  }
  const { board, row } = found;
  const wanted = state.cell;
  const { block, place } = row.details;
  const details = (await unpack(block))[place];
  if (state.cell !== wanted) return;
  const f = row.at[stageOf(board)] ? figures(board, row) : figuresAtEnd(board, row);
  find("cell-title").textContent = row.label;
  find("cell-where").textContent = board.title;
  find("cell-body").replaceChildren(...cellBody(f, details));
  dialog.dataset.shown = wanted;
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  withPlotly(() => {
    if (dialog.dataset.shown !== wanted) return;
    drawCell(f, details);
    dialog.dataset.ready = wanted;
  });
}

export function openCell(id) {
  state.cell = id;
  writeAddress();
  showCell();
}

// Everything at once, not in the event of closing, which comes later: another cell may be opened by then.
export function closeCell() {
  const dialog = find("cell");
  const { shown } = dialog.dataset;
  if (!shown) return;
  delete dialog.dataset.shown;
  delete dialog.dataset.ready;
  state.cell = "";
  dialog.close();
  writeAddress();
  for (const row of document.querySelectorAll("tr[data-id]")) {
    if (row.dataset.id === shown) row.querySelector(".open").focus();
  }
}
