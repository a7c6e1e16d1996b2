// plotly follows the page's own script, so that the table stands before it is read; what is to be drawn waits.

import { colourOf, faded, printing } from "./looks.mjs";
import { known } from "./numbers.mjs";
import { layerTicks } from "./scales.mjs";

const PAPER_WIDTH = 335; // half a sheet of A4 upright, in pixels
export let plotly = null;
const waiting = [];

export function withPlotly(then) {
  if (plotly) then();
  else waiting.push(then);
}

export function awaitPlotly() {
  window.addEventListener("plotly", () => {
    plotly = window.Plotly ?? null;
    if (!plotly) return;
    for (const then of waiting.splice(0)) then();
    document.documentElement.dataset.ready = "plots";
    performance.mark("plots");
  });
}

// plotly reads a little HTML in its texts, so names are escaped for it, and cut to fit.
export function plotText(text) {
  const short = text.length > 40 ? `${text.slice(0, 39)}…` : text;
  return short.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

export function axis(title, more = {}) {
  return {
    title: { text: plotText(title), standoff: 8 },
    automargin: true,
    zeroline: false,
    gridcolor: colourOf("line"),
    linecolor: colourOf("muted"),
    tickcolor: colourOf("line"),
    ...more,
  };
}

export function layerAxis(names) {
  const ticks = layerTicks(names);
  return axis("", {
    type: "category",
    tickangle: -50,
    tickfont: { size: 10 },
    tickvals: ticks.map(({ name }) => plotText(name)),
    ticktext: ticks.map(({ short }) => plotText(short)),
  });
}

// The 95 % band of a curve.
export function band(curve, x, colour) {
  const bounded = curve.filter((point) => known(point.low));
  if (bounded.length < 2) return [];
  const back = [...bounded].reverse();
  return [
    {
      type: "scatter",
      mode: "lines",
      x: [...bounded.map(x), ...back.map(x)],
      y: [...bounded.map((point) => point.high), ...back.map((point) => point.low)],
      fill: "toself",
      fillcolor: faded(colour, 0.1),
      line: { width: 0 },
      hoverinfo: "skip",
    },
  ];
}

export function plot(target, traces, layout, height = 340) {
  const whole = {
    height,
    margin: { l: 56, r: 12, t: 12, b: 48 },
    showlegend: false,
    hovermode: "closest",
    barmode: "group",
    font: { color: colourOf("text"), family: "system-ui, sans-serif", size: 12 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: {
      bgcolor: colourOf("raised"),
      bordercolor: colourOf("line"),
      font: { color: colourOf("text") },
    },
    ...(printing ? { width: PAPER_WIDTH, autosize: false } : { autosize: true }),
    ...layout,
  };
  plotly.react(target, traces, whole, { displaylogo: false, displayModeBar: false, responsive: true });
}
