"use strict";
// Draws the figures of the data block and filters by group; colours follow the system's light or dark setting.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const palettes = {
  // Told apart with any colour vision, after Okabe and Ito; shades chosen for each background.
  light: ["#005a9c", "#d55e00", "#00875f", "#b0478c", "#8a6a00", "#43a6e0"],
  dark: ["#56b4e9", "#ff8a3d", "#2fc99a", "#ee9ccb", "#f0e442", "#3f7de8"],
};
const figures = JSON.parse(document.getElementById("figures").textContent);
const LEGEND_SYMBOL_PX = 50;
const LEGEND_LETTER_PX = 6.5;
const LEGEND_LINE_PX = 21;
let near = false; // metric axis: all of it, or the few points below the ANN
let energy = "operations";
let groups = []; // those shown

function draw(id) {
  const target = document.getElementById(id);
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue("--" + name).trim();
  const palette = palettes[dark.matches ? "dark" : "light"];
  const figure = figures[id].models?.[energy] ?? figures[id];
  const shown = figure.data.filter((trace) => !trace.meta.group || groups.includes(trace.meta.group));
  const data = shown.map((trace) => {
    const chosen = trace.meta.colour;
    const value = typeof chosen === "number" ? palette[chosen] : colour(chosen);
    return {
      ...trace,
      line: { ...trace.line, color: value },
      marker: { ...trace.marker, color: value, line: { ...trace.marker?.line, color: value } },
    };
  });
  const axis = { gridcolor: colour("line"), linecolor: colour("muted"), tickcolor: colour("muted") };
  const layout = figure.layout;
  const named = data.filter((trace) => trace.showlegend !== false);
  const longest = Math.max(0, ...named.map((trace) => trace.name.replace(/&\w+;/g, "<").length));
  const entry = LEGEND_SYMBOL_PX + LEGEND_LETTER_PX * longest;
  const perLine = Math.max(1, Math.floor((target.clientWidth - 40) / entry));
  const legend = Math.ceil(named.length / perLine) * LEGEND_LINE_PX;
  Plotly.react(target, data, {
    ...layout,
    xaxis: { ...layout.xaxis, ...axis },
    yaxis: { ...layout.yaxis, ...axis, ...(near && figure.near ? { range: figure.near, autorange: false } : { autorange: true }) },
    height: 380 + legend,
    margin: { l: 50, r: 15, t: 34, b: 60 + legend },
    font: { color: colour("text"), family: "system-ui, sans-serif", size: 13 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: { bgcolor: colour("raised"), font: { color: colour("text") } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("muted"), activecolor: colour("text") },
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", xref: "container", x: 0, xanchor: "left" },
  }, { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
}

function drawAll() {
  for (const id of Object.keys(figures)) {
    if (document.getElementById(id).offsetParent) draw(id); // not where its board is left out
  }
}

const filter = document.getElementById("filter");
const boxes = [...filter.querySelectorAll("[name=group]")];
const select = filter.querySelector("[name=energy]");

// The address holds the choice, and nothing while everything is shown: ?group=binary&energy=memory
function readAddress() {
  const query = new URLSearchParams(location.search);
  const wanted = query.getAll("group");
  boxes.forEach((box) => { box.checked = !query.has("group") || wanted.includes(box.value); });
  const model = query.get("energy");
  if (select && [...select.options].some((option) => option.value === model)) select.value = model;
}

function writeAddress() {
  const query = new URLSearchParams();
  if (boxes.some((box) => !box.checked)) groups.forEach((group) => query.append("group", group));
  if (boxes.every((box) => !box.checked)) query.append("group", "");
  if (select && select.value !== "operations") query.append("energy", select.value);
  const text = query.toString();
  history.replaceState(null, "", location.pathname + (text && "?" + text) + location.hash);
}

function applyFilter() {
  groups = boxes.filter((box) => box.checked).map((box) => box.value);
  energy = select ? select.value : "operations";
  document.querySelectorAll("[data-groups]").forEach((element) => {
    element.hidden = !element.dataset.groups.split(" ").some((group) => groups.includes(group));
  });
  document.querySelectorAll("[data-energy]").forEach((cell) => { cell.hidden = cell.dataset.energy !== energy; });
  document.querySelectorAll(".model").forEach((name) => { name.textContent = energy; });
  drawAll();
}

let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth !== width) { width = window.innerWidth; drawAll(); }
});
document.querySelectorAll("button.near").forEach((button, _, all) => {
  button.hidden = false;
  button.addEventListener("click", () => {
    near = !near;
    all.forEach((each) => each.setAttribute("aria-pressed", String(near)));
    drawAll();
  });
});
dark.addEventListener("change", drawAll);
filter.hidden = false;
filter.addEventListener("change", () => { applyFilter(); writeAddress(); });
filter.addEventListener("submit", (event) => event.preventDefault());
readAddress();
applyFilter();
