// The controls, and what follows from a change of them.
import { drawBoards } from "./boards.mjs";
import { closeCell, openCell, showCell } from "./cell.mjs";
import { data, groups, take, unique } from "./data.mjs";
import { choices, find, make } from "./dom.mjs";
import { hideHint } from "./hints.mjs";
import { paint, prefersDark, setPrinting } from "./looks.mjs";
import { awaitPlotly, plotly } from "./plot.mjs";
import { drawPlots } from "./plots.mjs";
import { drawRanking } from "./ranking.mjs";
import {
  ALL,
  BY,
  datasets,
  networks,
  opening,
  readAddress,
  settle,
  state,
  TRAINING,
  tasks,
  UNSAID,
  writeAddress,
} from "./state.mjs";
import { boardsShown, drawn, MOST_LINES, shownOf } from "./view.mjs";

const FIELDS = ["task", "dataset", "network", "by", "t", "spikes", "training", "verdict", "origin", "energy"];
const ORIGIN_NAMES = {
  own: "oneself",
  reference: "maintainers",
  verified: "others, verified",
  claimed: "others, not verified",
};
const THEME_NAMES = { "": "Colours: system", light: "Colours: light", dark: "Colours: dark" };
const NEXT_THEME = { "": "light", light: "dark", dark: "" };
const TYPING_PAUSE = 120; // milliseconds

const itself = (name) => [name, name];
const groupBoxes = () => [...document.querySelectorAll("[name=group]")];

function fillControls() {
  const boards = boardsShown();
  const rows = boards.flatMap((board) => board.rows);
  const nets = networks(state.task, state.dataset);
  const alphabets = unique(rows.map((row) => row.alphabet)).sort();
  const limits = unique(boards.flatMap((board) => board.limits)).sort((a, b) => a - b);
  const verdicts = unique(rows.map((row) => row.verdict ?? UNSAID)).sort();
  const origins = unique(rows.map((row) => row.origin)).sort();
  if (!alphabets.includes(state.spikes)) state.spikes = "";
  if (!verdicts.includes(state.verdict)) state.verdict = "";
  if (!origins.includes(state.origin)) state.origin = "";
  if (!limits.map(String).includes(state.t)) state.t = "";
  choices(find("task"), tasks().map(itself), state.task);
  choices(find("dataset"), datasets(state.task).map(itself), state.dataset);
  choices(
    find("network"),
    [...nets.map(itself), ...(nets.length > 1 ? [[ALL, "all networks"]] : [])],
    state.network,
  );
  const spikes = alphabets.map((name) => [name, name === "none" ? "no spikes" : name]);
  choices(find("spikes"), [["", "any"], ...spikes], state.spikes);
  choices(find("training"), Object.entries(TRAINING), state.training);
  choices(find("verdict"), [["", "any"], ...verdicts.map(itself)], state.verdict);
  choices(
    find("origin"),
    [["", "anybody"], ...origins.map((name) => [name, ORIGIN_NAMES[name]])],
    state.origin,
  );
  choices(find("by"), Object.entries(BY), state.by);
  const times = limits.map((limit) => [String(limit), `T ≤ ${limit}`]);
  choices(find("t"), [["", "no limit"], ...times], state.t);
  choices(find("energy"), data.models.map(itself), state.energy);
  if (find("recipe").value !== state.recipe) find("recipe").value = state.recipe;
  const labels = unique(rows.map((row) => row.label)).sort();
  find("recipes").replaceChildren(...labels.map((label) => make("option", { value: label })));
  for (const box of groupBoxes()) box.checked = state.groups.includes(box.value);
  find("theme").textContent = THEME_NAMES[state.theme];
}

const actions = { change, toggleDrawn, openCell };
let scheduled = 0;

function draw() {
  hideHint();
  paint();
  fillControls();
  drawBoards(actions);
  drawRanking(actions);
  cancelAnimationFrame(scheduled);
  if (plotly)
    scheduled = requestAnimationFrame(drawPlots); // several changes in a row draw once
  else drawPlots();
}

// `focus` is what has the focus after the table was made anew.
function change(values, focus) {
  Object.assign(state, values);
  if (["task", "dataset", "network"].some((name) => name in values)) state.show = null;
  const elsewhere = "task" in values || "dataset" in values;
  if (elsewhere && !("network" in values) && state.network === ALL) state.network = "";
  settle();
  writeAddress();
  draw();
  if (focus) document.querySelector(focus)?.focus();
}

function toggleDrawn(id) {
  const board = boardsShown().find((each) => shownOf(each).length);
  const now = drawn(shownOf(board)).map((f) => f.row.id);
  const show = now.includes(id) ? now.filter((each) => each !== id) : [...now, id].slice(-MOST_LINES);
  change({ show }, `tr[data-id="${id}"] .swatch`);
}

// Filters are folded until they are asked for, or one of them is in use.
function openFilters(open) {
  find("filters").hidden = !open;
  find("more").setAttribute("aria-expanded", String(open));
}

function narrowed() {
  const start = opening();
  const hidden = ["recipe", "spikes", "training", "verdict", "origin", "energy"];
  return hidden.some((name) => state[name] !== start[name]) || state.groups.length < groups().length;
}

function listenToControls() {
  for (const name of FIELDS) {
    find(name).addEventListener("change", (event) => change({ [name]: event.target.value }));
  }
  let typing = 0;
  find("recipe").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ recipe: event.target.value }), TYPING_PAUSE);
  });
  const checked = () => groupBoxes().filter((box) => box.checked);
  for (const box of groupBoxes()) {
    box.addEventListener("change", () => change({ groups: checked().map(({ value }) => value) }));
  }
  find("more").addEventListener("click", () => openFilters(find("filters").hidden));
  find("filter").addEventListener("submit", (event) => event.preventDefault());
  find("reset").addEventListener("click", () => change({ ...opening(), theme: state.theme }));
  find("near").addEventListener("click", () => change({ near: !state.near }));
  find("theme").addEventListener("click", () => change({ theme: NEXT_THEME[state.theme] }));
}

function listenToDialog() {
  const dialog = find("cell");
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    closeCell();
  });
  dialog.addEventListener("close", closeCell); // where a browser closes it unasked
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) closeCell();
  });
  find("close").addEventListener("click", closeCell);
}

// Paper is light, and two plots stand side by side on it; nothing may be left for the next frame.
function redrawFor(paper) {
  setPrinting(paper);
  paint();
  drawRanking(actions);
  drawPlots();
}

function listenToWindow() {
  prefersDark().addEventListener("change", draw);
  window.addEventListener("popstate", () => {
    readAddress();
    draw();
    showCell();
  });
  window.addEventListener("beforeprint", () => redrawFor(true));
  window.addEventListener("afterprint", () => redrawFor(false));
}

take(JSON.parse(find("data").textContent));
awaitPlotly();
listenToControls();
listenToDialog();
listenToWindow();
readAddress();
openFilters(narrowed());
find("app").hidden = false;
draw();
document.documentElement.dataset.ready = "table";
performance.mark("table");
showCell();
