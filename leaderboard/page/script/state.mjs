// What is chosen, and the address that says so: only what differs from the opening view stands in it.
import { data, groups, reference, unique } from "./data.mjs";

export const ALL = "*";
export const TRAINING = { "": "any", free: "training-free", trained: "trained for it" };
// What stands in the address by its name, as text.
const NAMES = [
  "task",
  "dataset",
  "network",
  "recipe",
  "spikes",
  "training",
  "verdict",
  "origin",
  "by",
  "t",
  "energy",
  "sort",
  "cell",
  "theme",
];
const THEMES = ["", "light", "dark"];
export const BY = {
  parity: "T to parity",
  accuracy: "metric",
  energy: "energy at parity",
  area: "mean over T",
};
export const UNSAID = "not said"; // how much of a network spikes, where its record is older than the question
export const state = {};

export function opening() {
  // As in the terminal: a board with records of one's own, where there is one.
  const own = data.boards.filter((board) => board.rows.some((row) => row.origin === "own"));
  const first = (own.length ? own : data.boards).reduce((best, board) =>
    board.rows.length > best.rows.length ? board : best,
  );
  return {
    task: first.task,
    dataset: first.dataset,
    network: first.network,
    recipe: "",
    spikes: "",
    training: "",
    verdict: "",
    origin: "",
    by: data.by ?? "parity",
    groups: groups(),
    t: "",
    energy: data.chosen ?? reference(),
    sort: "rank",
    show: null,
    near: false,
    cell: "",
    theme: "",
  };
}

export const tasks = () => unique(data.boards.map((board) => board.task));
export const datasets = (task) =>
  unique(data.boards.filter((board) => board.task === task).map((board) => board.dataset));
export const networks = (task, dataset) => {
  const fitting = data.boards.filter((board) => board.task === task && board.dataset === dataset);
  return unique(fitting.map((board) => board.network));
};

// A choice that does not exist (any more) falls back to that of the opening view, or else to the first.
export function settle() {
  const start = opening();
  const settled = (name, valid) => {
    if (!valid.includes(state[name])) state[name] = valid.includes(start[name]) ? start[name] : valid[0];
  };
  settled("task", tasks());
  settled("dataset", datasets(state.task));
  if (state.network !== ALL) settled("network", networks(state.task, state.dataset));
  if (!data.models.includes(state.energy)) state.energy = start.energy;
  if (!(state.training in TRAINING)) state.training = "";
  if (!(state.by in BY)) state.by = start.by;
  if (!THEMES.includes(state.theme)) state.theme = "";
}

// Take the choice from an address, given as the part behind the question mark.
export function takeQuery(search) {
  const query = new URLSearchParams(search);
  Object.assign(state, opening());
  for (const name of NAMES) {
    if (query.has(name)) state[name] = query.get(name);
  }
  if (query.has("group")) state.groups = groups().filter((group) => query.getAll("group").includes(group));
  if (query.has("show")) state.show = query.getAll("show").filter(Boolean);
  state.near = query.has("near");
  settle();
}

// Every board by its names, with how many rows it has; boards that differ by a note alone count as one.
export function boardNames() {
  const found = new Map();
  for (const { task, dataset, network, rows } of data.boards) {
    const key = JSON.stringify([task, dataset, network]);
    const before = found.get(key)?.rows ?? 0;
    found.set(key, { task, dataset, network, rows: before + rows.length });
  }
  return [...found.values()];
}

// The same part for a choice: what is chosen now, unless told otherwise.
export function queryText(chosen = state) {
  const query = new URLSearchParams();
  const start = opening();
  const list = (name, values) => {
    for (const value of values.length ? values : [""]) query.append(name, value);
  };
  for (const name of NAMES) {
    if (chosen[name] !== start[name]) query.set(name, chosen[name]);
  }
  if (chosen.groups.length < groups().length) list("group", chosen.groups);
  if (chosen.show) list("show", chosen.show);
  if (chosen.near) query.set("near", "1");
  return query.toString();
}

export const readAddress = () => takeQuery(location.search);

export function writeAddress() {
  const query = queryText();
  history.replaceState(null, "", location.pathname + (query && `?${query}`) + location.hash);
}
