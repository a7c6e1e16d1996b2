// What is shown, how it is sorted, and the address that says so; without a page.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import {
  columns,
  energyAtParity,
  parity,
  sorter,
  stepBounds,
} from "../../../../leaderboard/page/script/columns.mjs";
import { curveOf, data, located, named, take } from "../../../../leaderboard/page/script/data.mjs";
import {
  boardNames,
  opening,
  queryText,
  state,
  takeQuery,
} from "../../../../leaderboard/page/script/state.mjs";
import {
  boardsShown,
  drawn,
  figures,
  secondModel,
  shownOf,
} from "../../../../leaderboard/page/script/view.mjs";

const SHAPES = {
  // In an order of their own: nothing may depend on it.
  point: [
    "energy",
    "metric",
    "t",
    "tTotal",
    "averaged",
    "low",
    "high",
    "gap",
    "gapLow",
    "gapHigh",
    "kl",
    "synops",
    "rate",
  ],
  standing: [
    "ranks",
    "area",
    "t",
    "tied",
    "energy",
    "energyBounds",
    "stepsOne",
    "stepsOneBounds",
    "stepsHalf",
    "stepsHalfBounds",
  ],
};

const listed = (shape, values) => SHAPES[shape].map((name) => values[name] ?? null);

// A row whose metric at T = 1 and T = 2 is given, with its ranks there.
function row(label, group, [first, second], [rankFirst, rankSecond], more = {}) {
  const point = (t, metric) =>
    listed("point", { t, tTotal: t, averaged: t, metric, gap: metric - 90, energy: [t, 3 * t] });
  const standing = (t, rank, parityAt) =>
    listed("standing", {
      t,
      ranks: [rank, 3 - rank],
      tied: [false, true],
      energy: [parityAt && parityAt / 8, null],
      energyBounds: [null, null],
      stepsOne: parityAt,
    });
  return {
    id: label,
    label,
    group,
    alphabet: group === "baseline" ? "none" : "binary",
    untouched: group !== "retrained",
    curve: [point(1, first), point(2, second)],
    at: [standing(1, rankFirst, first > 89 ? 1 : null), standing(2, rankSecond, second > 89 ? 2 : null)],
    ...more,
  };
}

const board = (dataset, network, rows) => ({
  task: "classification",
  dataset,
  network,
  limits: [1],
  rows,
  metric: "Top-1",
});

beforeEach(() => {
  take({
    models: ["operations", "memory"],
    orders: ["parity", "energy:memory"],
    beside: "memory",
    groups: { binary: "Binary", retrained: "Retrained", baseline: "Reference" },
    shapes: SHAPES,
    boards: [
      board("one", "a", [
        row("slow", "binary", [10, 89.5], [2, 1]),
        row("fast", "binary", [60, 80], [1, 2], { verdict: "hybrid" }),
        row("own", "retrained", [70, 89.9], [1, 1]),
        row("ptq", "baseline", [70, 89], [null, null]),
        row("ptq8", "baseline", [70, 88], [null, null]),
      ]),
      board("one", "b", [row("other", "binary", [1, 2], [1, 1])]),
      board("two", "a", [row("far", "binary", [1, 2], [1, 1])]),
    ],
  });
  takeQuery("");
});

const labels = () => boardsShown().flatMap((each) => shownOf(each).map((f) => f.row.label));

test("lists are named by what the data says, and a list of another length is no such figure", () => {
  const [found] = boardsShown();
  assert.deepEqual(curveOf(found.rows[0])[1].energy, { operations: 2, memory: 6 });
  assert.equal(figures(found, found.rows[0]).point.metric, 89.5);
  assert.throws(() => named("point", [1, 2]), /point has 13 figures, not 2/);
});

test("it opens on the board with the most rows, and the address is empty", () => {
  assert.deepEqual(labels(), ["slow", "fast", "own", "ptq", "ptq8"]);
  assert.equal(queryText(), "");
});

test("every board is named once, and its address leads to it with what else is chosen", () => {
  data.boards.push({ ...data.boards[0], note: "of another version", rows: data.boards[0].rows.slice(0, 1) });
  const names = boardNames();
  assert.deepEqual(
    names.map(({ dataset, network, rows }) => [dataset, network, rows]),
    [
      ["one", "a", 6],
      ["one", "b", 1],
      ["two", "a", 1],
    ],
  );
  Object.assign(state, { by: "energy", theme: "dark" });
  const query = queryText({ ...state, ...names[2], rows: undefined });
  assert.equal(state.dataset, "one");
  takeQuery(query);
  assert.deepEqual(labels(), ["far"]);
  assert.deepEqual([state.by, state.theme], ["energy", "dark"]);
});

test("an address gives back the choice that it was made from", () => {
  const choices = [
    { dataset: "two" },
    { network: "*", t: "1" },
    { groups: ["retrained"], near: true },
    { groups: [], show: [] },
    { show: ["fast", "own"], sort: "-metric", theme: "dark" },
    { recipe: "a&b=ü", energy: "memory", training: "free" },
  ];
  for (const choice of choices) {
    Object.assign(state, opening(), choice);
    const [wanted, query] = [{ ...state }, queryText()];
    takeQuery("");
    takeQuery(query);
    assert.deepEqual({ ...state }, wanted, query);
  }
});

test("what an address names and the data lacks falls back", () => {
  takeQuery("?task=no&dataset=nowhere&network=never&energy=wishes&theme=pink&training=maybe&group=nobody");
  assert.deepEqual(
    [state.task, state.dataset, state.network, state.energy],
    ["classification", "one", "a", "operations"],
  );
  assert.deepEqual([state.theme, state.training, state.groups], ["", "", []]);
});

test("filters narrow rows by group, name and training", () => {
  state.recipe = " SLO";
  assert.deepEqual(labels(), ["slow"]);
  Object.assign(state, opening(), { training: "trained" });
  assert.deepEqual(labels(), ["own"]);
  Object.assign(state, opening(), { verdict: "hybrid" });
  assert.deepEqual(labels(), ["fast"]);
  Object.assign(state, opening(), { verdict: "not said" });
  assert.deepEqual(labels(), ["slow", "own", "ptq", "ptq8"]);
  Object.assign(state, opening(), { groups: ["baseline"], network: "*" });
  assert.deepEqual(labels(), ["ptq", "ptq8"]);
});

test("under a limit of T rows have the figures and ranks of that limit", () => {
  state.t = "1";
  const [first] = boardsShown();
  const [slow, fast] = shownOf(first);
  assert.deepEqual([slow.rank, slow.point.metric, slow.stepsOne], [2, 10, null]);
  assert.deepEqual([fast.rank, fast.point.t], [1, 1]);
});

test("ranks are those of the order that is chosen", () => {
  const [first] = boardsShown();
  const place = () => shownOf(first).map((f) => `${f.rank}${f.tied ? "=" : ""}`);
  assert.deepEqual(place().slice(0, 2), ["1", "2"]);
  Object.assign(state, { by: "energy", energy: "memory" });
  assert.deepEqual(place().slice(0, 2), ["2=", "1="]);
  const address = queryText();
  takeQuery("");
  takeQuery(address);
  assert.deepEqual([state.by, state.energy], ["energy", "memory"]);
});

test("rows sort both ways, and figures that are not known come last either way", () => {
  const [first] = boardsShown();
  const order = (sort) => {
    const all = columns(first);
    return shownOf(first)
      .filter((f) => f.row.group !== "baseline")
      .sort(sorter(all, sort).compare)
      .map((f) => f.row.label);
  };
  assert.deepEqual(order("metric"), ["own", "slow", "fast"]);
  assert.deepEqual(order("-metric"), ["fast", "slow", "own"]);
  assert.deepEqual(order("recipe"), ["fast", "own", "slow"]);
  assert.equal(order("one").at(-1), "fast");
  assert.equal(order("-one").at(-1), "fast");
  assert.deepEqual(order("nonsense"), order("rank"));
});

test("the best of each group in turn are drawn, one of the references, or those that were chosen", () => {
  const [first] = boardsShown();
  const names = () => drawn(shownOf(first)).map((f) => f.row.label);
  assert.deepEqual(names(), ["slow", "own", "ptq", "fast"]);
  state.show = ["fast", "gone"];
  assert.deepEqual(names(), ["fast"]);
  state.show = [];
  assert.deepEqual(names(), []);
});

test("beside the reference stands the chosen model, else that of the data, or none", () => {
  assert.equal(secondModel(), "memory");
  take({ models: ["operations"], beside: "operations" });
  assert.equal(secondModel(), null);
});

test("a figure is marked where the model charges weights of another width than the row was measured with", () => {
  const { board: where, row: which } = located("slow");
  const found = figures(where, which);
  take({ chargedBits: { operations: 8 } });
  const shown = (bits) => energyAtParity({ ...found, row: { ...which, weightBits: bits } }, "operations");
  assert.equal(shown(32), "0.250×‡");
  assert.equal(shown(8), "0.250×");
  assert.equal(shown(null), "0.250×");
  assert.equal(energyAtParity({ ...found, row: { ...which, weightBits: 32 } }, "memory"), "n/a");
  take({ chargedBits: { operations: null } });
  assert.equal(shown(32), "0.250×");
});

test("parity that was not reached, not known, or means nothing is told apart", () => {
  const found = (label) => {
    const { board: where, row: which } = located(label);
    return figures(where, which);
  };
  assert.equal(parity(found("slow"), found("slow").stepsOne), "2");
  assert.equal(parity(found("fast"), found("fast").stepsOne), "—");
  assert.equal(parity(found("ptq"), 1), "n/a");
  assert.equal(energyAtParity(found("slow"), "operations"), "0.250×");
  assert.equal(energyAtParity(found("slow"), "memory"), "n/a");
  assert.equal(energyAtParity(found("fast"), "memory"), "—");
  assert.equal(stepBounds(found("ptq"), [1, 2]), "");
  assert.equal(located("nobody"), null);
});

test("the page opens on a board with records of one's own, where there is one", () => {
  assert.equal(opening().network, "a");
  assert.equal(opening().dataset, "one"); // the most rows
  data.boards[2].rows[0].origin = "own";
  assert.equal(opening().dataset, "two");
});
