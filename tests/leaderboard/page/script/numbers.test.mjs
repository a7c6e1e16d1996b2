import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  bounds,
  fixed,
  millions,
  percent,
  points,
  pointsRange,
  range,
  rate,
  significant,
  steps,
  times,
  totalSteps,
} from "../../../../leaderboard/page/script/numbers.mjs";

const cases = JSON.parse(readFileSync(new URL("../../number_cases.json", import.meta.url)));
const written = {
  points,
  time_steps: steps,
  total_steps: totalSteps,
  times,
  rate,
  percent,
  percent_range: range,
  points_range: pointsRange,
};

for (const [name, write] of Object.entries(written)) {
  test(`${name}: the same words as in the terminal`, () => {
    for (const values of cases[name]) {
      const [text, figures] = [values.at(-1), values.slice(0, -1)];
      assert.equal(write(...figures), text, `${name}(${figures})`);
    }
  });
}

test("every kind of case is written here", () => {
  assert.deepEqual(
    Object.keys(cases)
      .filter((name) => name !== "note")
      .sort(),
    Object.keys(written).sort(),
  );
});

test("a figure just between two goes to the even one, and only such a figure", () => {
  assert.equal(fixed(0.125, 2), "0.12");
  assert.equal(fixed(0.125 + 2 ** -50, 2), "0.13");
  assert.equal(fixed(0.125 - 2 ** -50, 2), "0.12");
  assert.equal(fixed(2.5, 0), "2");
  assert.equal(fixed(3.5, 0), "4");
  assert.equal(fixed(1.005, 2), "1.00"); // a little less than it looks
  assert.equal(fixed(-0.001, 2), "0.00");
  assert.equal(fixed(-0.375, 2), "-0.38");
});

test("an open end is a lower bound, and no bounds are no words", () => {
  assert.equal(bounds([8, null], steps), "≥ 8");
  assert.equal(bounds([4, 8], steps), "4–8");
  assert.equal(bounds([null, null], steps), "");
  assert.equal(bounds(null, steps), "");
});

test("large counts have units, small ones digits", () => {
  assert.deepEqual([0, 7, 999, 1000, 1.5e6, 2.34e9, 5e12].map(millions), [
    "0",
    "7",
    "999",
    "1.00 k",
    "1.50 M",
    "2.34 G",
    "5.00 T",
  ]);
  assert.deepEqual(
    [0, 0.00123456, 12.345, 1234.5].map((value) => significant(value)),
    ["0", "0.00123", "12.3", "1,235"],
  );
});
