// Which boards and rows are shown, and the figures of each under the chosen limit of T.
const POINT = ["readout", "t", "averaged", "metric", "low", "high", "gap", "gapLow", "gapHigh", "kl", "synops", "rate", "energy"];
const named = (values) => Object.fromEntries(POINT.map((name, index) => [name, values[index]]));
const curveOf = (row) => (row.points ??= row.curve.map(named));

function stageOf(board) {
  const index = board.limits.indexOf(Number(state.t));
  return state.t && index >= 0 ? index : board.limits.length;
}

// Where a row stands under one limit of T; the bounds of its parity are pairs, or null where there are none.
function standing(row, [index, rank, tie, one, half, parity, [oneBounds, halfBounds, parityBounds]]) {
  return { point: curveOf(row)[index], rank, tie, one, half, parity, oneBounds, halfBounds, parityBounds };
}

function figures(board, row) {
  return { board, row, ...standing(row, row.at[stageOf(board)]) };
}

function boardsShown() {
  return data.boards.filter((board) => board.task === state.task && board.dataset === state.dataset
    && (state.network === ALL || board.network === state.network));
}

function isShown(board, row) {
  return state.groups.includes(row.group) && (!state.spikes || row.alphabet === state.spikes)
    && (!state.training || row.untouched === (state.training === "free"))
    && row.label.toLowerCase().includes(state.recipe.trim().toLowerCase()) && row.at[stageOf(board)] !== null;
}

const shownOf = (board) => board.rows.filter((row) => isShown(board, row)).map((row) => figures(board, row));

// Lines drawn in colour: those that were chosen, else the best of each group in turn.
const MOST_LINES = 8;
const OPENING_LINES = 6;

function drawn(shown) {
  if (state.show) return state.show.map((id) => shown.find((each) => each.row.id === id)).filter(Boolean);
  const queues = GROUPS.map((group) => shown.filter((each) => each.row.group === group).sort((a, b) => a.rank - b.rank));
  const chosen = [];
  for (let place = 0; chosen.length < Math.min(OPENING_LINES, shown.length); place += 1) {
    for (const queue of queues) {
      if (queue[place] && (place === 0 || queue[place].row.group !== "baseline") && chosen.length < OPENING_LINES) chosen.push(queue[place]);
    }
    if (place > shown.length) break;
  }
  return chosen;
}

const modelIndex = () => data.models.indexOf(state.energy);
// The table has operations beside another model: the chosen one, else operations with equal widths.
const secondModel = () => (modelIndex() > 0 ? modelIndex() : data.models.length > 1 ? 1 : 0);
