/**
 * How well one list of numbers follows another: Pearson's correlation with its interval, and the mean absolute gap. What
 * success rates in a world model are held against those in truth with.
 *
 * Neither says everything: rates that are all too low by the same amount correlate perfectly, and rates that are near the
 * truth on average may rank the policies wrongly. So both are reported.
 */
import { normalQuantile } from "./intervals.ts";

/**
 * Pearson's correlation of pairs and its interval by Fisher's transformation, atanh(r) ± z / √(n − 3).
 *
 * @throws {RangeError} When the lengths differ, there are fewer than two pairs, or a number is not finite.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const { r, low, high } = pearson([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]);
 * assert.ok(Math.abs(r - 0.8) < 1e-12 && low! < r && r < high!);
 * ```
 */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>, confidence = 0.95): {
  /** In [−1, 1]; NaN where one of the lists does not vary. */
  r: number;
  /** Lower end of the interval. */
  low?: number;
  /** Upper end of the interval. */
  high?: number;
  /** Pairs. */
  n: number;
} {
  if (!(confidence > 0 && confidence < 1)) {
    throw new RangeError(`confidence must lie between 0 and 1: received ${confidence}`);
  }
  const r = correlation(x, y), n = x.length;
  if (Number.isNaN(r) || n < 4 || Math.abs(r) === 1) return { r, n };
  const half = normalQuantile((1 + confidence) / 2) / Math.sqrt(n - 3);
  return { r, low: Math.tanh(Math.atanh(r) - half), high: Math.tanh(Math.atanh(r) + half), n };
}

/**
 * Pearson's r alone, without the work of an interval: for resampling.
 *
 * @returns NaN where one of the lists does not vary.
 * @throws {RangeError} As {@linkcode pearson} does.
 */
export function correlation(x: ArrayLike<number>, y: ArrayLike<number>): number {
  const n = checkPairs(x, y, 2);
  // Equal numbers leave a rounding error of the mean, not a spread.
  if (isConstant(x) || isConstant(y)) return NaN;
  const meanX = mean(x), meanY = mean(y);
  let xx = 0, yy = 0, xy = 0;
  for (let i = 0; i < n; i++) {
    const dx = x[i] - meanX, dy = y[i] - meanY;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return Math.max(-1, Math.min(1, xy / Math.sqrt(xx * yy)));
}

/**
 * Mean of |x − y|.
 *
 * @throws {RangeError} When the lengths differ, there is no pair, or a number is not finite.
 */
export function meanAbsoluteGap(x: ArrayLike<number>, y: ArrayLike<number>): number {
  const n = checkPairs(x, y, 1);
  let total = 0;
  for (let i = 0; i < n; i++) total += Math.abs(x[i] - y[i]);
  return total / n;
}

function checkPairs(x: ArrayLike<number>, y: ArrayLike<number>, least: number): number {
  if (x.length !== y.length) {
    throw new RangeError(`x and y must be parallel: received ${x.length} and ${y.length} numbers`);
  }
  if (x.length < least) throw new RangeError(`at least ${least} pairs are needed: received ${x.length}`);
  for (const [name, list] of [["x", x], ["y", y]] as const) {
    for (let i = 0; i < list.length; i++) {
      if (!Number.isFinite(list[i])) throw new RangeError(`${name}[${i}] must be a finite number: received ${list[i]}`);
    }
  }
  return x.length;
}

function isConstant(values: ArrayLike<number>): boolean {
  for (let i = 1; i < values.length; i++) if (values[i] !== values[0]) return false;
  return true;
}

function mean(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total / values.length;
}
