import assert from "node:assert/strict";
import { meanInterval, pairedDifference, quantile } from "../../lib/report/intervals.ts";
import { relativeImprovement, verdict } from "../../lib/report/result.ts";
import fixture from "./fixtures/intervals.json" with { type: "json" };

/** Resampling noise: both ends wobble by a few per cent of the interval's width. */
function assertInterval(actual: { low: number; high: number }, expected: number[], share = 0.03) {
  const tolerance = share * (expected[1] - expected[0]);
  assert.ok(Math.abs(actual.low - expected[0]) < tolerance, `low ${actual.low} against ${expected[0]}`);
  assert.ok(Math.abs(actual.high - expected[1]) < tolerance, `high ${actual.high} against ${expected[1]}`);
}

Deno.test("bootstrap intervals agree with scipy.stats.bootstrap", () => {
  const interval = meanInterval(fixture.values);
  assert.ok(Math.abs(interval.mean - fixture.mean) < 1e-15);
  assert.equal(interval.n, 80);
  assertInterval(interval, fixture.bootstrap95);
  assertInterval(meanInterval(fixture.values, { confidence: 0.8 }), fixture.bootstrap80);
  assertInterval(pairedDifference(fixture.values, fixture.other), fixture.difference95);
});

Deno.test("normal intervals agree with scipy.stats.norm to twelve digits", () => {
  for (const [confidence, expected] of [[0.95, fixture.normal95], [0.999, fixture.normal999]] as const) {
    const { low, high } = meanInterval(fixture.values, { method: "normal", confidence });
    assert.ok(Math.abs(low - expected[0]) < 1e-12, `${low} against ${expected[0]}`);
    assert.ok(Math.abs(high - expected[1]) < 1e-12, `${high} against ${expected[1]}`);
  }
});

Deno.test("groups are drawn as a whole, which widens the interval of dependent items", () => {
  assertInterval(meanInterval(fixture.clustered), fixture.clustered95);
  assertInterval(meanInterval(fixture.clustered, { groups: fixture.groups }), fixture.clustered95ByGroup);
});

Deno.test("the seed decides the interval", () => {
  const [first, again, other] = [3, 3, 4].map((seed) => meanInterval(fixture.values, { seed, resamples: 500 }));
  assert.deepEqual(first, again);
  assert.notEqual(first.low, other.low);
});

Deno.test("quantiles interpolate as numpy's do", () => {
  const sorted = [...fixture.values].sort((a, b) => a - b);
  [0, 0.025, 0.5, 0.975, 1].forEach((q, i) => assert.ok(Math.abs(quantile(sorted, q) - fixture.quantiles[i]) < 1e-15));
});

Deno.test("one item has an interval of no width", () => {
  assert.deepEqual(meanInterval([2], { method: "normal" }), { mean: 2, low: 2, high: 2, n: 1 });
  assert.deepEqual(meanInterval([2]), { mean: 2, low: 2, high: 2, n: 1 });
});

Deno.test("what cannot be averaged is refused by name", () => {
  assert.throws(() => meanInterval([]), /RangeError: values must hold at least one item/);
  assert.throws(() => meanInterval([1, NaN]), /RangeError: values\[1\] must be a finite number: received NaN/);
  assert.throws(() => meanInterval([1], { confidence: 95 }), /confidence must lie between 0 and 1: received 95/);
  assert.throws(() => meanInterval([1, 2], { groups: ["a"] }), /one label an item \(2\): received 1/);
  assert.throws(() => meanInterval([1], { resamples: 0 }), /resamples must be a positive integer: received 0/);
  assert.throws(() => meanInterval([1], { method: "normal", groups: [1] }), /groups need method "bootstrap"/);
  assert.throws(() => pairedDifference([1], [1, 2]), /same items: received 1 and 2/);
});

Deno.test("relative improvement is positive when a metric gets better, whichever way it points", () => {
  const at = (mean: number) => ({ mean, low: mean, high: mean, n: 1 });
  assert.ok(Math.abs(relativeImprovement({ better: "lower", base: at(0.2), rlvr: at(0.15) }) - 0.25) < 1e-12);
  assert.ok(Math.abs(relativeImprovement({ better: "higher", base: at(20), rlvr: at(25) }) - 0.25) < 1e-12);
  assert.ok(Math.abs(relativeImprovement({ better: "higher", base: at(-2), rlvr: at(-1) }) - 0.5) < 1e-12);
  assert.ok(Number.isNaN(relativeImprovement({ better: "higher", base: at(0), rlvr: at(1) })));
});

Deno.test("the verdict needs an interval that excludes zero", () => {
  const at = (mean: number) => ({ mean, low: mean, high: mean, n: 1 });
  const metric = (low: number, high: number, better: "lower" | "higher") =>
    verdict({ better, base: at(1), rlvr: at(2), difference: { mean: (low + high) / 2, low, high, n: 9 } });
  assert.equal(metric(-2, -1, "lower"), "better");
  assert.equal(metric(-2, -1, "higher"), "worse");
  assert.equal(metric(1, 2, "higher"), "better");
  assert.equal(metric(-1, 1, "higher"), "unclear");
  assert.equal(metric(0, 0, "higher"), "unclear");
  const lone = { mean: -1, low: -1, high: -1, n: 1 };
  assert.equal(verdict({ better: "lower", base: at(1), rlvr: at(0), difference: lone }), "unclear");
  assert.equal(verdict({ better: "lower", base: at(1), rlvr: at(0) }), "unclear");
});
