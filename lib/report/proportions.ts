/** Confidence intervals of a share, such as a policy's success rate over its trials. */
import { normalQuantile } from "./intervals.ts";
import type { Interval } from "./result.ts";

/**
 * The share of successes and its Wilson score interval, which keeps within [0, 1] and is honest at 0 and at n of n, where the
 * interval of a mean would have no width.
 *
 * Source: E. B. Wilson 1927.
 *
 * @param successes How many of them.
 * @param n Trials.
 * @throws {RangeError} When there is no trial, the counts are not whole, or there are more successes than trials.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const { mean, low, high } = wilsonInterval(0, 50);
 * assert.equal(mean, 0);
 * assert.ok(low === 0 && high > 0.07 && high < 0.072);
 * ```
 */
export function wilsonInterval(successes: number, n: number, confidence = 0.95): Interval {
  if (!Number.isInteger(n) || n < 1) throw new RangeError(`n must be a whole number of at least 1: received ${n}`);
  if (!Number.isInteger(successes) || successes < 0 || successes > n) {
    throw new RangeError(`successes must be a whole number in 0..${n}: received ${successes}`);
  }
  if (!(confidence > 0 && confidence < 1)) {
    throw new RangeError(`confidence must lie between 0 and 1: received ${confidence}`);
  }
  const z = normalQuantile((1 + confidence) / 2), share = successes / n;
  const scale = 1 + z * z / n, middle = (share + z * z / (2 * n)) / scale;
  const half = z / scale * Math.sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  // At the ends rounding would leave 1e-17 where the formula says 0 or 1.
  return {
    mean: share,
    low: successes === 0 ? 0 : middle - half,
    high: successes === n ? 1 : middle + half,
    n,
  };
}
