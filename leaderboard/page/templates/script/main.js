// The controls, and what follows from a change of them.
const FIELDS = ["task", "dataset", "network", "spikes", "training", "t", "energy"];

function fillControls() {
  const boards = boardsShown();
  const rows = boards.flatMap((board) => board.rows);
  choices(find("task"), tasks().map((name) => [name, name]), state.task);
  choices(find("dataset"), datasets(state.task).map((name) => [name, name]), state.dataset);
  const nets = networks(state.task, state.dataset);
  choices(find("network"), [...nets.map((name) => [name, name]), ...(nets.length > 1 ? [[ALL, "all networks"]] : [])], state.network);
  const alphabets = unique(rows.map((row) => row.alphabet)).sort();
  choices(find("spikes"), [["", "any"], ...alphabets.map((name) => [name, name === "none" ? "no spikes" : name])], alphabets.includes(state.spikes) ? state.spikes : (state.spikes = ""));
  choices(find("training"), Object.entries(TRAINING), state.training);
  const limits = unique(boards.flatMap((board) => board.limits)).sort((a, b) => a - b).map(String);
  choices(find("t"), [["", "no limit"], ...limits.map((limit) => [limit, `T ≤ ${limit}`])], limits.includes(state.t) ? state.t : (state.t = ""));
  choices(find("energy"), data.models.map((name) => [name, name]), state.energy);
  if (find("recipe").value !== state.recipe) find("recipe").value = state.recipe;
  find("recipes").replaceChildren(...unique(rows.map((row) => row.label)).sort().map((label) => make("option", { value: label })));
  document.querySelectorAll("[name=group]").forEach((box) => { box.checked = state.groups.includes(box.value); });
  find("theme").textContent = { "": "Colours: system", light: "Colours: light", dark: "Colours: dark" }[state.theme];
}

let scheduled = 0;

function draw() {
  paint();
  fillControls();
  drawRanking();
  cancelAnimationFrame(scheduled);
  if (plotly) scheduled = requestAnimationFrame(drawPlots); // several changes in a row draw once
  else drawPlots();
}

// `focus` is what has the focus after the table was made anew.
function change(values, focus) {
  Object.assign(state, values);
  if (["task", "dataset", "network"].some((name) => name in values)) state.show = null;
  if (!("network" in values) && state.network === ALL && ("task" in values || "dataset" in values)) state.network = "";
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

for (const name of FIELDS) find(name).addEventListener("change", (event) => change({ [name]: event.target.value }));
let typing = 0;
find("recipe").addEventListener("input", (event) => { clearTimeout(typing); typing = setTimeout(() => change({ recipe: event.target.value }), 120); });
document.querySelectorAll("[name=group]").forEach((box) => box.addEventListener("change", () =>
  change({ groups: [...document.querySelectorAll("[name=group]")].filter((each) => each.checked).map((each) => each.value) })));
find("filter").addEventListener("submit", (event) => event.preventDefault());
find("reset").addEventListener("click", () => change({ ...opening(), theme: state.theme }));
find("near").addEventListener("click", () => change({ near: !state.near }));
find("theme").addEventListener("click", () => change({ theme: { "": "light", light: "dark", dark: "" }[state.theme] }));
prefersDark.addEventListener("change", draw);
find("cell").addEventListener("cancel", (event) => { event.preventDefault(); closeCell(); });
find("cell").addEventListener("close", closeCell); // where a browser closes it unasked
find("cell").addEventListener("click", (event) => { if (event.target === find("cell")) closeCell(); });
find("close").addEventListener("click", closeCell);
window.addEventListener("popstate", () => { readAddress(); draw(); showCell(); });
// Paper is light, and two plots stand side by side on it; nothing may be left for the next frame.
for (const [event, paper] of [["beforeprint", true], ["afterprint", false]]) {
  window.addEventListener(event, () => { printing = paper; paint(); drawRanking(); drawPlots(); });
}
readAddress();
find("app").hidden = false;
draw();
document.documentElement.dataset.ready = "table";
performance.mark("table");
showCell();
