import assert from "node:assert/strict";
import { meanAbsoluteGap, pearson } from "../../lib/report/correlation.ts";
import { wilsonInterval } from "../../lib/report/proportions.ts";
import fixture from "./fixtures/correlation.json" with { type: "json" };

const near = (actual: number, expected: number, tolerance = 1e-12) =>
  assert.ok(Math.abs(actual - expected) < tolerance, `${actual} against ${expected}`);

Deno.test("Pearson's r and its interval are scipy.stats.pearsonr's", () => {
  for (const { x, y, r, ci95, ci80, gap } of fixture.pairs) {
    const found = pearson(x, y), narrow = pearson(x, y, 0.8);
    near(found.r, r);
    assert.equal(found.n, x.length);
    near(found.low!, ci95[0], 1e-11);
    near(found.high!, ci95[1], 1e-11);
    near(narrow.low!, ci80[0], 1e-11);
    near(narrow.high!, ci80[1], 1e-11);
    near(meanAbsoluteGap(x, y), gap);
  }
});

Deno.test("Pearson's r: what has no spread has none, what has no room has no interval", () => {
  assert.deepEqual(pearson([0.1, 0.1, 0.1], [1, 2, 3]), { r: NaN, n: 3 });
  assert.deepEqual(pearson([1, 2, 3], [2, 4, 6]), { r: 1, n: 3 });
  assert.deepEqual(Object.keys(pearson([1, 2, 3], [1, 3, 2])), ["r", "n"]);
});

Deno.test("Wilson's interval is scipy.stats.binomtest's", () => {
  for (const { k, n, level, ci } of fixture.wilson) {
    const { mean, low, high } = wilsonInterval(k, n, level);
    assert.equal(mean, k / n);
    near(low, ci[0]);
    near(high, ci[1]);
  }
});

Deno.test("correlation and shares: bad input is named", () => {
  assert.throws(() => pearson([1, 2], [1]), new RangeError("x and y must be parallel: received 2 and 1 numbers"));
  assert.throws(() => pearson([1], [1]), /at least 2 pairs are needed: received 1/);
  assert.throws(() => pearson([1, NaN], [1, 2]), /x\[1\] must be a finite number: received NaN/);
  assert.throws(() => meanAbsoluteGap([], []), /at least 1 pairs/);
  assert.throws(() => wilsonInterval(3, 2), /successes must be a whole number in 0..2: received 3/);
  assert.throws(() => wilsonInterval(0, 0), /n must be a whole number of at least 1: received 0/);
  assert.throws(() => wilsonInterval(1, 2, 1), /confidence must lie between 0 and 1: received 1/);
});
