import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decimalTicks,
  doublingTicks,
  layerTicks,
  paretoFront,
} from "../../../../leaderboard/page/script/scales.mjs";

test("of all points those stay that no other beats in cost and value", () => {
  let seed = 1;
  const random = () => {
    seed = (seed * 16807) % 2147483647;
    return seed % 9; // few values, so that many are equal
  };
  for (let round = 0; round < 50; round += 1) {
    const all = Array.from({ length: 12 }, () => ({ cost: random(), value: random() }));
    const front = paretoFront(all);
    const beats = (a, b) => a.cost <= b.cost && a.value >= b.value && (a.cost < b.cost || a.value > b.value);
    for (const point of front) assert.ok(!all.some((other) => beats(other, point)));
    for (const point of all) {
      const kept = front.some((each) => each.cost === point.cost && each.value === point.value);
      assert.equal(kept, !all.some((other) => beats(other, point)));
    }
    for (let place = 1; place < front.length; place += 1)
      assert.ok(front[place].cost > front[place - 1].cost);
  }
});

test("ticks lie at powers of two within what was measured", () => {
  assert.deepEqual(doublingTicks([1, 64]).tickvals, [1, 2, 4, 8, 16, 32, 64]);
  assert.deepEqual(doublingTicks([3, 20]).ticktext, ["4", "8", "16"]);
});

test("ticks of energies are few, and there are none without a positive energy", () => {
  assert.deepEqual(decimalTicks([1, 10]).tickvals, [1, 2, 5, 10]);
  assert.ok(decimalTicks([1e-4, 1e4]).tickvals.length <= 12);
  assert.deepEqual(decimalTicks([0, 1]), {});
  assert.deepEqual(decimalTicks([]), {});
});

test("of many layers only some are named, of long names the end is shown", () => {
  const names = Array.from({ length: 100 }, (_, index) => `layer${index}`);
  const ticks = layerTicks(names);
  assert.ok(ticks.length <= 24);
  assert.equal(ticks[0].name, "layer0");
  assert.deepEqual(layerTicks(["features_stage1.block2.relu"]), [
    { name: "features_stage1.block2.relu", short: "…_stage1.block2.relu" },
  ]);
});
