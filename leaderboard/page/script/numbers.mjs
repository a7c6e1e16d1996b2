// How figures are written: the same words as in the terminal (`leaderboard.ranking.wording`). Tests of both read
// the same cases, tests/leaderboard/number_cases.json.
export const NEVER = "—";
export const UNKNOWN = "n/a";
const GUARD = 30; // digits after which a double that is no tie has shown a digit other than 0

export const known = (value) => value !== null && value !== undefined;

// As `toFixed`, but a figure that lies just between two goes to the even one, as in Python.
export function fixed(value, digits) {
  const size = Math.abs(value);
  const exact = size.toFixed(digits + GUARD);
  const [kept, rest] = [exact.slice(0, -GUARD).replace(/\.$/, ""), exact.slice(-GUARD)];
  const tie = rest === `5${"0".repeat(GUARD - 1)}`;
  const text = tie && Number(kept.at(-1)) % 2 === 0 ? kept : size.toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `-${text}` : text;
}

const grouped = (text) => text.replace(/\B(?=(\d{3})+$)/g, ",");

export const percent = (value, digits = 2) => (known(value) ? fixed(value, digits) : UNKNOWN);
export const range = (low, high) => (known(low) ? `${fixed(low, 1)}–${fixed(high, 1)}` : "");
export const rate = (value) => (known(value) ? fixed(value, 3) : UNKNOWN);

export function points(value) {
  if (!known(value)) return UNKNOWN;
  const text = fixed(Math.abs(value), 2);
  return text === "0.00" ? text : (value < 0 ? "−" : "+") + text;
}

export const pointsRange = (low, high) => (known(low) ? `${points(low)} to ${points(high)}` : "");
export const steps = (value) => fixed(value, 1).replace(/\.0$/, "");

export function totalSteps(total, averaged) {
  if (steps(total) === steps(averaged)) return steps(total);
  return `${steps(total)} (${total < averaged ? "≤" : ""}${steps(averaged)})`;
}

export function significant(value, digits = 3) {
  if (value === 0) return "0";
  if (Math.abs(value) >= 10 ** digits) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(digits)));
}

// Three significant digits, all digits of whole numbers, never an exponent.
export function times(value) {
  if (!known(value)) return UNKNOWN;
  if (value >= 999.5) return `${grouped(fixed(value, 0))}×`;
  const exponent = value === 0 ? 0 : Number(value.toExponential(2).split("e")[1]);
  return `${fixed(value, 2 - exponent)}×`;
}

export function millions(value) {
  if (!known(value)) return UNKNOWN;
  const units = { T: 1e12, G: 1e9, M: 1e6, k: 1e3 };
  for (const [unit, size] of Object.entries(units)) {
    if (value >= size) return `${(value / size).toPrecision(3)} ${unit}`;
  }
  return significant(value);
}

// The interval of a figure whose upper end may lie beyond what was run.
export function bounds(interval, write) {
  const [low, high] = interval ?? [null, null];
  if (!known(low)) return "";
  return known(high) ? `${write(low)}–${write(high)}` : `≥ ${write(low)}`;
}

export const withBounds = (text, interval) => (interval ? `${text} (${interval})` : text);
