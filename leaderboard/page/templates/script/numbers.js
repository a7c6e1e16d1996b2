// How figures are written; the same words as in the terminal.
const NEVER = "—";
const UNKNOWN = "n/a";
const known = (value) => value !== null && value !== undefined;
const percent = (value, digits = 2) => (known(value) ? value.toFixed(digits) : UNKNOWN);
const range = (low, high) => (known(low) ? `${low.toFixed(1)}–${high.toFixed(1)}` : "");

function points(value) {
  if (!known(value)) return UNKNOWN;
  const text = Math.abs(value).toFixed(2);
  return text === "0.00" ? text : (value < 0 ? "−" : "+") + text;
}

const pointsRange = (low, high) => (known(low) ? `${points(low)} to ${points(high)}` : "");
const steps = (value) => (Math.abs(value - Math.round(value)) < 0.05 ? String(Math.round(value)) : value.toFixed(1));

function totalSteps(total, averaged) {
  if (steps(total) === steps(averaged)) return steps(total);
  return `${steps(total)} (${total < averaged ? "≤" : ""}${steps(averaged)})`;
}

function significant(value, digits = 3) {
  if (value === 0) return "0";
  return Math.abs(value) >= 10 ** digits ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(digits)));
}

const times = (value) => (known(value) ? `${value >= 999.5 ? significant(value) : value.toPrecision(3)}×` : UNKNOWN);

function millions(value) {
  if (!known(value)) return UNKNOWN;
  for (const [size, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= size) return `${(value / size).toPrecision(3)} ${unit}`;
  }
  return significant(value);
}

// The interval of a figure whose upper end may lie beyond what was run.
function bounds(pair, write) {
  if (!pair || pair[0] === null) return "";
  return pair[1] === null ? `≥ ${write(pair[0])}` : `${write(pair[0])}–${write(pair[1])}`;
}

const withBounds = (text, interval) => (interval ? `${text} (${interval})` : text);
