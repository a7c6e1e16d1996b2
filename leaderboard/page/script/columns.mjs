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
  significant,
  steps,
  times,
  totalSteps,
  UNKNOWN,
} from "./numbers.mjs";
import { state } from "./state.mjs";
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
  best: "least",
  phone: id === "energy",
  why: `Energy of an image at 1-point parity, as a multiple of the ANN's under the model ${model}. Below 1× the spiking network costs less. Behind it: the 95 % interval.`,
  value: (f) => f.energy[model],
  text: (f) => energyAtParity(f, model),
  small: (f) => energyBounds(f, model),
  hint: (f) =>
    isUnlike(f, model)
      ? `accuracy with ${f.row.weightBits}-bit weights, energy of ${data.chargedBits[model]}-bit ones`
      : null,
});

// One column of time steps to parity.
const parityColumn = (id, unit, words, key) => ({
  id,
  title: "T to parity",
  unit,
  number: true,
  best: "least",
  phone: id === "one",
  why: `The fewest measured time steps from which on the metric stays within ${words} of the ANN's. ${NEVER}: not reached at any measured T. Behind it: the 95 % interval; ≥ where more than 2.5 % of resampled test sets never reach it.`,
  value: (f) => (isTimeless(f) ? null : f[key]),
  text: (f) => parity(f, f[key]),
  small: (f) => stepBounds(f, f[`${key}Bounds`]),
});

export function columns(board) {
  const second = secondModel();
  return [
    {
      id: "rank",
      title: "#",
      number: true,
      phone: true,
      why: "Rank within the group. = is shared: the test images do not tell the rows apart. Sorting by another column leaves ranks as they are; “Ranked by” changes them.",
      value: (f) => f.rank,
      text: (f) => (f.rank === null ? "" : `${f.rank}${f.tied ? "=" : ""}`),
      hint: (f) => (f.tied ? "shared: the test images do not tell these rows apart" : null),
    },
    {
      id: "recipe",
      title: "Recipe",
      phone: true,
      why: "The conversion method, and what makes its rank worth more or less. Press a name for everything about it.",
      value: (f) => f.row.label.toLowerCase(),
    },
    {
      id: "metric",
      title: board.metric,
      unit: "%",
      number: true,
      falls: true,
      best: "most",
      phone: true,
      why: "At the last read-out, or the last within the limit of time steps. Behind it: the 95 % interval over test images; ± is the standard deviation over seeds.",
      value: (f) => f.point.metric,
      text: (f) => percent(f.point.metric),
      small: (f) =>
        f.row.std === null ? range(f.point.low, f.point.high) : `±${percent(f.row.std)} (n=${f.row.seeds})`,
      hint: (f) => range(f.point.low, f.point.high),
    },
    parityColumn("one", "1 point", "1 point", "stepsOne"),
    energyColumn("energy", reference()),
    ...(second ? [energyColumn("energy2", second)] : []),
    parityColumn("half", "½ point", "half a point", "stepsHalf"),
    {
      id: "gap",
      title: "Gap to ANN",
      unit: "points",
      number: true,
      falls: true,
      best: "most",
      why: "The metric minus that of the ANN which the recipe started from, in percentage points.",
      value: (f) => f.point.gap,
      text: (f) => points(f.point.gap),
      hint: (f) => pointsRange(f.point.gapLow, f.point.gapHigh),
    },
    ...(state.by === "area"
      ? [
          {
            id: "area",
            title: "Mean over T",
            unit: "%",
            number: true,
            falls: true,
            best: "most",
            why: "Mean metric over T = 1, 2, 4, ..., each time of the last read-out within T, or else 0.",
            value: (f) => f.area,
            text: (f) => percent(f.area),
          },
        ]
      : []),
    {
      id: "spikes",
      title: "Spikes",
      why: "What a spike can be, and how many a neuron sends in a step at most.",
      value: (f) => f.row.spikes,
      text: (f) => f.row.spikes,
    },
    {
      id: "t",
      title: "T",
      number: true,
      why: "Every time step that was run up to the read-out of this row; in brackets the averaged ones, where they differ. A quantised ANN has none.",
      value: (f) => (isTimeless(f) ? null : f.point.tTotal),
      text: (f) => (isTimeless(f) ? UNKNOWN : totalSteps(f.point.tTotal, f.point.averaged)),
    },
    {
      id: "synops",
      title: "SynOps",
      unit: "an image",
      number: true,
      best: "least",
      why: "Synaptic operations an image: each spike times the synapses that it reaches.",
      value: (f) => (isTimeless(f) ? null : f.point.synops),
      text: (f) => (isTimeless(f) ? UNKNOWN : millions(f.point.synops)),
    },
    {
      id: "rate",
      title: "Rate",
      unit: "spikes a step",
      number: true,
      why: "Mean spikes per neuron and time step at this read-out.",
      value: (f) => f.point.rate,
      text: (f) => rate(f.point.rate),
    },
    {
      id: "convert",
      title: "Convert",
      unit: "seconds",
      number: true,
      best: "least",
      why: "Seconds that the conversion took, with fitting, on the machine of the record; where one network is fitted for each T, that of the first.",
      value: (f) => f.row.convertSeconds,
      text: (f) => (known(f.row.convertSeconds) ? significant(f.row.convertSeconds) : UNKNOWN),
    },
  ];
}

// Of the rows of a group, the best figure of a column; null where only one row has any.
export function bestOf(column, rows) {
  if (!column.best) return null;
  const values = rows.map(column.value).filter(known);
  if (values.length < 2) return null;
  return column.best === "most" ? Math.max(...values) : Math.min(...values);
}

// Among equals, as in the terminal: fewest steps to parity, least energy there, the better metric.
function nearer(a, b) {
  const [far, model] = [Number.POSITIVE_INFINITY, reference()];
  return (
    (a.stepsOne ?? far) - (b.stepsOne ?? far) ||
    (a.energy[model] ?? far) - (b.energy[model] ?? far) ||
    b.point.metric - a.point.metric
  );
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
    return sign * order || (a.rank ?? 0) - (b.rank ?? 0) || nearer(a, b);
  };
  return { column, direction: sign < 0 ? "descending" : "ascending", compare };
}
