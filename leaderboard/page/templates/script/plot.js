// plotly follows the page's own script, so that the table stands before it is read; what is to be drawn waits.
const PAPER_WIDTH = 335; // half a sheet of A4 upright, in pixels
let plotly = null;
const waiting = [];
const withPlotly = (then) => (plotly ? then() : waiting.push(then));

window.addEventListener("plotly", () => {
  plotly = window.Plotly;
  if (!plotly) return;
  waiting.splice(0).forEach((then) => then());
  document.documentElement.dataset.ready = "plots";
  performance.mark("plots");
});
// plotly reads a little HTML in its texts, so names are escaped for it, and cut to fit.
const plotText = (text) => (text.length > 40 ? `${text.slice(0, 39)}…` : text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function axis(title, more = {}) {
  return { title: { text: plotText(title), standoff: 8 }, automargin: true, zeroline: false, gridcolor: colourOf("line"), linecolor: colourOf("muted"), tickcolor: colourOf("line"), ...more };
}

// Of long names the ends differ, and of many layers only some names fit.
const MOST_NAMES = 24;

function layerAxis(names, title = "") {
  const every = Math.ceil(names.length / MOST_NAMES);
  const named = names.filter((_, index) => index % every === 0);
  const short = (name) => (name.length > 20 ? `…${name.slice(-19)}` : name);
  return axis(title, { type: "category", tickangle: -50, tickfont: { size: 10 }, tickvals: named.map(plotText), ticktext: named.map((name) => plotText(short(name))) });
}

function plot(target, traces, layout, height = 340) {
  plotly.react(target, traces, {
    height, margin: { l: 56, r: 12, t: 12, b: 48 }, showlegend: false, hovermode: "closest", barmode: "group",
    font: { color: colourOf("text"), family: "system-ui, sans-serif", size: 12 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: { bgcolor: colourOf("raised"), bordercolor: colourOf("line"), font: { color: colourOf("text") } },
    ...(printing ? { width: PAPER_WIDTH, autosize: false } : { autosize: true }),
    ...layout,
  }, { displaylogo: false, displayModeBar: false, responsive: true });
}

const faded = (colour, strength) => colour + Math.round(255 * strength).toString(16).padStart(2, "0");

function decimalTicks(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (!Number.isFinite(low) || low <= 0) return {};
  const powers = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) powers.push(10 ** power);
  let ticks = powers.flatMap((power) => [power, 2 * power, 5 * power]).filter((tick) => tick >= low / 1.5 && tick <= high * 1.5);
  if (ticks.length > 8) ticks = powers;
  return { tickvals: ticks, ticktext: ticks.map((tick) => significant(tick)) };
}

function doublingTicks(values) {
  const ticks = [];
  for (let tick = 1; tick <= Math.max(...values) * 1.01; tick *= 2) if (tick >= Math.min(...values) * 0.99) ticks.push(tick);
  return { tickvals: ticks, ticktext: ticks.map(String) };
}
