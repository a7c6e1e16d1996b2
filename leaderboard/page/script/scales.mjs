// Ticks of logarithmic axes, names along an axis, and Pareto fronts.
import { significant } from "./numbers.mjs";

const MOST_TICKS = 8;
const MOST_NAMES = 24;
const LONGEST_NAME = 20;

export function decimalTicks(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (!Number.isFinite(low) || low <= 0) return {};
  const powers = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    powers.push(10 ** power);
  }
  const steps = powers.flatMap((power) => [power, 2 * power, 5 * power]);
  const near = steps.filter((tick) => tick >= low / 1.5 && tick <= high * 1.5);
  const ticks = near.length > MOST_TICKS ? powers : near;
  return { tickvals: ticks, ticktext: ticks.map((tick) => significant(tick)) };
}

export function doublingTicks(values) {
  const ticks = [];
  for (let tick = 1; tick <= Math.max(...values) * 1.01; tick *= 2) {
    if (tick >= Math.min(...values) * 0.99) ticks.push(tick);
  }
  return { tickvals: ticks, ticktext: ticks.map(String) };
}

// Of many names only some fit, and of long ones the ends differ.
export function layerTicks(names) {
  const every = Math.ceil(names.length / MOST_NAMES);
  const short = (name) => (name.length > LONGEST_NAME ? `…${name.slice(1 - LONGEST_NAME)}` : name);
  return names.filter((_, index) => index % every === 0).map((name) => ({ name, short: short(name) }));
}

// Points {cost, value} that no other beats: none is both cheaper and better. By rising cost.
export function paretoFront(points) {
  const kept = [];
  for (const point of [...points].sort((a, b) => a.cost - b.cost || b.value - a.value)) {
    if (!kept.length || point.value > kept.at(-1).value) kept.push(point);
  }
  return kept;
}
