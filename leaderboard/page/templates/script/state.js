// What is chosen, and the address that says so: only what differs from the opening view stands in it.
const data = JSON.parse(find("data").textContent);
const GROUPS = Object.keys(data.groups);
const ALL = "*";
const TRAINING = { "": "any", free: "training-free", trained: "trained for it" };
const NAMES = ["task", "dataset", "network", "recipe", "spikes", "training", "t", "energy", "sort", "cell", "theme"]; // in the address
const state = {};
const energySort = (model) => (data.models.indexOf(model) > 0 ? "energy2" : "energy"); // the column of a model

function opening() {
  const first = data.boards.reduce((best, board) => (board.rows.length > best.rows.length ? board : best));
  return { task: first.task, dataset: first.dataset, network: first.network, recipe: "", spikes: "", training: "", groups: [...GROUPS],
    t: "", energy: data.chosen ?? data.models[0], sort: data.chosen ? energySort(data.chosen) : "rank", show: null, near: false, cell: "", theme: "" };
}

const unique = (values) => [...new Set(values)];
const tasks = () => unique(data.boards.map((board) => board.task));
const datasets = (task) => unique(data.boards.filter((board) => board.task === task).map((board) => board.dataset));
const networks = (task, dataset) =>
  unique(data.boards.filter((board) => board.task === task && board.dataset === dataset).map((board) => board.network));

// A choice that does not exist (any more) falls back to that of the opening view, or else to the first.
function settle() {
  const start = opening();
  const settled = (name, valid) => { if (!valid.includes(state[name])) state[name] = valid.includes(start[name]) ? start[name] : valid[0]; };
  settled("task", tasks());
  settled("dataset", datasets(state.task));
  if (state.network !== ALL) settled("network", networks(state.task, state.dataset));
  if (!data.models.includes(state.energy)) state.energy = start.energy;
  if (!(state.training in TRAINING)) state.training = "";
  if (!["", "light", "dark"].includes(state.theme)) state.theme = "";
}

function readAddress() {
  const query = new URLSearchParams(location.search);
  Object.assign(state, opening());
  for (const name of NAMES) {
    if (query.has(name)) state[name] = query.get(name);
  }
  if (query.has("group")) state.groups = GROUPS.filter((group) => query.getAll("group").includes(group));
  if (query.has("show")) state.show = query.getAll("show").filter(Boolean);
  state.near = query.has("near");
  settle();
}

function writeAddress() {
  const query = new URLSearchParams();
  const start = opening();
  for (const name of NAMES) {
    if (state[name] !== start[name]) query.set(name, state[name]);
  }
  if (state.groups.length < GROUPS.length) (state.groups.length ? state.groups : [""]).forEach((group) => query.append("group", group));
  if (state.show) (state.show.length ? state.show : [""]).forEach((id) => query.append("show", id));
  if (state.near) query.set("near", "1");
  const text = query.toString();
  history.replaceState(null, "", location.pathname + (text && `?${text}`) + location.hash);
}
