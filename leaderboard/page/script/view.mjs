// Which boards and rows are shown, and the figures of each under the chosen limit of T.
import { curveOf, data, groups, orderIndex, reference, standing } from "./data.mjs";
import { ALL, state, UNSAID } from "./state.mjs";

// Place of the chosen limit among those of a board; behind them all stands that without a limit.
export function stageOf(board) {
  const index = board.limits.indexOf(Number(state.t));
  return state.t && index >= 0 ? index : board.limits.length;
}

function figuresAt(board, row, values) {
  const found = standing(row, values);
  const order = orderIndex(state.by, state.energy);
  return { board, row, ...found, rank: found.ranks[order], tied: found.tied[order] };
}

export const figures = (board, row) => figuresAt(board, row, row.at[stageOf(board)]);
export const figuresAtEnd = (board, row) => figuresAt(board, row, row.at.at(-1));

// Who leads each group, in sentences, by group.
export const winnersOf = (board) => board.winners[stageOf(board)][orderIndex(state.by, state.energy)];

export function withinLimit(row) {
  const limit = Number(state.t) || Number.POSITIVE_INFINITY;
  return curveOf(row).filter((point) => point.tTotal <= limit);
}

export function boardsShown() {
  const chosen = data.boards.filter((board) => board.task === state.task && board.dataset === state.dataset);
  return chosen.filter((board) => state.network === ALL || board.network === state.network);
}

export function isShown(board, row) {
  return (
    state.groups.includes(row.group) &&
    (!state.spikes || row.alphabet === state.spikes) &&
    (!state.training || row.untouched === (state.training === "free")) &&
    (!state.verdict || (row.verdict ?? UNSAID) === state.verdict) &&
    (!state.origin || row.origin === state.origin) &&
    row.label.toLowerCase().includes(state.recipe.trim().toLowerCase()) &&
    row.at[stageOf(board)] !== null
  );
}

export const shownOf = (board) =>
  board.rows.filter((row) => isShown(board, row)).map((row) => figures(board, row));

// Lines drawn in colour: those that were chosen, else the best of each group in turn.
export const MOST_LINES = 8;
const OPENING_LINES = 6;

export function drawn(shown) {
  if (state.show) return state.show.map((id) => shown.find((each) => each.row.id === id)).filter(Boolean);
  const queues = groups().map((group) => {
    const place = (f) => f.rank ?? Number.POSITIVE_INFINITY;
    const members = shown.filter((each) => each.row.group === group).sort((a, b) => place(a) - place(b) || 0);
    return group === "baseline" ? members.slice(0, 1) : members;
  });
  const longest = Math.max(0, ...queues.map((queue) => queue.length));
  const turns = Array.from({ length: longest }, (_, place) =>
    queues.map((queue) => queue[place]).filter(Boolean),
  );
  return turns.flat().slice(0, OPENING_LINES);
}

// The energy model that stands beside the reference: the chosen one, else that of the data; null where there is none.
export function secondModel() {
  const second = state.energy === reference() ? data.beside : state.energy;
  return second === reference() ? null : second;
}
