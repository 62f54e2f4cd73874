/**
 * Confidence intervals over held-out items: of a mean, and of a difference between two models scored on the same items.
 *
 * Items that are not independent (clips cut from one episode) must be resampled together: give `groups`. Multiple
 * comparisons are not corrected for; who reads ten metrics at 95 % should expect one to stray now and then.
 */
import { Philox } from "../tensor/random.ts";
import type { Interval } from "./result.ts";

/**
 * How an interval is computed.
 *
 * @internal
 */
export interface IntervalOptions {
  /** Coverage in (0, 1); 0.95 unless told. */
  confidence?: number;
  /** `bootstrap` (percentiles of resampled means, the default) or `normal` (mean ± z · s / √n). */
  method?: "bootstrap" | "normal";
  /** Seed of the resampling; 0 unless told. Equal seeds give equal intervals. */
  seed?: number;
  /** Number of resamples; 10,000 unless told. */
  resamples?: number;
  /** One label an item. Items of equal label are drawn together, so that clips of one episode count as one. Bootstrap only. */
  groups?: readonly (string | number)[];
}

/**
 * The mean of `values` and its confidence interval.
 *
 * @throws {RangeError} when `values` is empty or holds NaN or infinity, or when an option is out of range.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const { mean, low, high } = meanInterval([1, 2, 3, 4], { method: "normal" });
 * assert.equal(mean, 2.5);
 * assert.ok(low < 2.5 && 2.5 < high);
 * ```
 */
export function meanInterval(values: ArrayLike<number>, options: IntervalOptions = {}): Interval {
  const { confidence = 0.95, method = "bootstrap", seed = 0, resamples = 10_000, groups } = options;
  const n = values.length;
  if (n === 0) throw new RangeError("values must hold at least one item: received none");
  for (let i = 0; i < n; i++) {
    if (!Number.isFinite(values[i])) {
      throw new RangeError(`values[${i}] must be a finite number: received ${values[i]}`);
    }
  }
  if (!(confidence > 0 && confidence < 1)) {
    throw new RangeError(`confidence must lie between 0 and 1: received ${confidence}`);
  }
  if (groups && groups.length !== n) {
    throw new RangeError(`groups must have one label an item (${n}): received ${groups.length}`);
  }
  const mean = sum(values) / n;
  if (method === "normal") {
    if (groups) throw new RangeError('groups need method "bootstrap": received method "normal"');
    const half = n === 1 ? 0 : normalQuantile((1 + confidence) / 2) * standardError(values, mean);
    return { mean, low: mean - half, high: mean + half, n };
  }
  if (!Number.isInteger(resamples) || resamples < 1) {
    throw new RangeError(`resamples must be a positive integer: received ${resamples}`);
  }
  const means = bootstrapMeans(values, groups, resamples, seed).sort();
  const tail = (1 - confidence) / 2;
  return { mean, low: quantile(means, tail), high: quantile(means, 1 - tail), n };
}

/**
 * The mean of b − a, item by item, and its confidence interval. Pairing removes what makes an item hard for both models,
 * so it tells apart models whose own intervals overlap.
 *
 * @throws {RangeError} when the lengths differ, and as {@link meanInterval} does.
 */
export function pairedDifference(a: ArrayLike<number>, b: ArrayLike<number>, options: IntervalOptions = {}): Interval {
  if (a.length !== b.length) {
    throw new RangeError(`a and b must score the same items: received ${a.length} and ${b.length} values`);
  }
  return meanInterval(Float64Array.from({ length: a.length }, (_, i) => b[i] - a[i]), options);
}

/**
 * Percentile of sorted numbers, with linear interpolation between neighbours (numpy's default).
 *
 * @param sorted Ascending, not empty.
 * @param q In [0, 1].
 */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
}

/** Means of `resamples` samples drawn with replacement: items, or whole groups of items. */
function bootstrapMeans(
  values: ArrayLike<number>,
  groups: readonly (string | number)[] | undefined,
  resamples: number,
  seed: number,
): Float64Array {
  const clusters = groups ? clusterSums(values, groups) : Array.from(values, (value) => ({ sum: value, count: 1 }));
  const random = new Philox(seed);
  return Float64Array.from({ length: resamples }, () => {
    let total = 0, count = 0;
    for (let draw = 0; draw < clusters.length; draw++) {
      const cluster = clusters[random.integer(0, clusters.length)];
      total += cluster.sum;
      count += cluster.count;
    }
    return total / count;
  });
}

function clusterSums(
  values: ArrayLike<number>,
  groups: readonly (string | number)[],
): { sum: number; count: number }[] {
  const clusters = new Map<string | number, { sum: number; count: number }>();
  groups.forEach((label, i) => {
    const cluster = clusters.get(label) ?? { sum: 0, count: 0 };
    cluster.sum += values[i];
    cluster.count++;
    clusters.set(label, cluster);
  });
  return [...clusters.values()];
}

function standardError(values: ArrayLike<number>, mean: number): number {
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i] - mean) ** 2;
  return Math.sqrt(squares / (values.length - 1) / values.length);
}

function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total;
}

/** The z with Φ(z) = p, for p in [0.5, 1): Newton's method on Φ, which Simpson's rule integrates to 1e-12. */
export function normalQuantile(p: number): number {
  const density = (x: number) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
  const cumulative = (z: number) => {
    const intervals = 4000, h = z / intervals;
    let area = density(0) + density(z);
    for (let i = 1; i < intervals; i++) area += (i % 2 ? 4 : 2) * density(i * h);
    return 0.5 + area * h / 3;
  };
  let z = 0;
  for (let step = 0; step < 60; step++) {
    const change = (cumulative(z) - p) / density(z);
    // Far out the density is tiny and a full Newton step overshoots; half a unit at a time always arrives.
    z -= Math.max(-0.5, Math.min(0.5, change));
    if (Math.abs(change) < 1e-13) break;
  }
  return z;
}
