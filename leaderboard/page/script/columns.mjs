// The columns of the ranking: what a row shows in each, and how rows are sorted by it.
import { data, reference } from "./data.mjs";
import {
  bounds,
  known,
  millions,
  NEVER,
  percent,
  points,
  pointsRange,
  range,
  rate,
  steps,
  times,
  totalSteps,
  UNKNOWN,
} from "./numbers.mjs";
import { secondModel } from "./view.mjs";

// The quantised ANN has no time steps, and its energy is the same at all of them.
const isTimeless = (f) => f.row.alphabet === "none";

export function parity(f, value) {
  if (isTimeless(f)) return UNKNOWN;
  return known(value) ? steps(value) : NEVER;
}

// Whether accuracy and energy of a row are of unlike precision: the model charges weights of another width.
export function isUnlike(f, model) {
  const [measured, charged] = [f.row.weightBits, data.chargedBits?.[model]];
  return known(f.energy[model]) && known(measured) && known(charged) && measured !== charged;
}

export function energyAtParity(f, model) {
  if (!known(f.energy[model])) return f.stepsOne === null ? NEVER : UNKNOWN;
  return times(f.energy[model]) + (isUnlike(f, model) ? "‡" : "");
}

export const stepBounds = (f, interval) => (isTimeless(f) ? "" : bounds(interval, steps));
export const energyBounds = (f, model) =>
  isTimeless(f) ? "" : bounds(f.energyBounds[model], (value) => times(value).slice(0, -1));

const energyColumn = (id, model) => ({
  id,
  title: "Energy at parity",
  unit: `× ANN, ${model}`,
  number: true,
  value: (f) => f.energy[model],
  text: (f) => energyAtParity(f, model),
  small: (f) => [energyBounds(f, model)],
  hint: (f) =>
    isUnlike(f, model)
      ? `accuracy with ${f.row.weightBits}-bit weights, energy of ${data.chargedBits[model]}-bit ones`
      : null,
});

export function columns(board) {
  const second = secondModel();
  return [
    {
      id: "rank",
      title: "#",
      number: true,
      value: (f) => f.rank,
      text: (f) => (f.rank === null ? "" : `${f.rank}${f.tied ? "=" : ""}`),
      hint: (f) => (f.tied ? "tie: the test set does not tell it from the first of its group" : null),
    },
    { id: "recipe", title: "Recipe", value: (f) => f.row.label.toLowerCase() },
    { id: "spikes", title: "Spikes", value: (f) => f.row.spikes, text: (f) => f.row.spikes },
    {
      id: "t",
      title: "T",
      number: true,
      value: (f) => f.point.tTotal,
      text: (f) => totalSteps(f.point.tTotal, f.point.averaged),
    },
    {
      id: "metric",
      title: board.metric,
      unit: "%",
      number: true,
      falls: true,
      value: (f) => f.point.metric,
      text: (f) => percent(f.point.metric),
      small: (f) => [
        range(f.point.low, f.point.high),
        f.row.std === null ? "" : `±${percent(f.row.std)} (n=${f.row.seeds})`,
      ],
    },
    {
      id: "gap",
      title: "Gap to ANN",
      unit: "points",
      number: true,
      falls: true,
      value: (f) => f.point.gap,
      text: (f) => points(f.point.gap),
      small: (f) => [pointsRange(f.point.gapLow, f.point.gapHigh)],
    },
    {
      id: "one",
      title: "T to parity",
      unit: "1 point",
      number: true,
      value: (f) => f.stepsOne,
      text: (f) => parity(f, f.stepsOne),
      small: (f) => [stepBounds(f, f.stepsOneBounds)],
    },
    {
      id: "half",
      title: "T to parity",
      unit: "½ point",
      number: true,
      value: (f) => f.stepsHalf,
      text: (f) => parity(f, f.stepsHalf),
      small: (f) => [stepBounds(f, f.stepsHalfBounds)],
    },
    {
      id: "synops",
      title: "SynOps",
      unit: "an image",
      number: true,
      value: (f) => f.point.synops,
      text: (f) => (isTimeless(f) ? UNKNOWN : millions(f.point.synops)),
    },
    energyColumn("energy", reference()),
    ...(second ? [energyColumn("energy2", second)] : []),
    {
      id: "rate",
      title: "Firing rate",
      unit: "spikes a step",
      number: true,
      value: (f) => f.point.rate,
      text: (f) => rate(f.point.rate),
    },
  ];
}

// "metric" is sorted as people expect first (best or fewest on top), "-metric" the other way round; figures that are
// not known come last either way.
export function sorter(all, sort) {
  const column = all.find((each) => each.id === sort.replace(/^-/, "")) ?? all[0];
  const sign = (column.falls ? -1 : 1) * (sort.startsWith("-") ? -1 : 1);
  const compare = (a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    if (!known(x) || !known(y)) return known(y) - known(x);
    const order = x < y ? -1 : Number(x > y);
    return sign * order || (a.rank ?? 0) - (b.rank ?? 0);
  };
  return { column, direction: sign < 0 ? "descending" : "ascending", compare };
}
