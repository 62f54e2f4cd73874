/**
 * The reward: the metric itself, signed so that more is better.
 *
 * A reward is a weighted list of a world's metrics, R = Σ_k w_k · sign_k · D_k(ŝ', s'), with sign −1 for distances and +1
 * for scores (RLVR-World Eq. 3; the released single-step reward is −(1·MAE + 1·LPIPS)). Every part is kept for the log, so
 * that a reward that is gained at the cost of another metric is seen.
 */
import type { Metric, World } from "../worlds/world.ts";

/** One metric of a reward and its weight. */
export interface RewardTerm {
  /** Name among the world's metrics. */
  metric: string;
  /** Positive; how much it counts. */
  weight: number;
}

/** Rewards of a batch, with their parts. */
export interface Rewards {
  /** One number an answer. */
  total: Float64Array;
  /** Unsigned metric values by name. */
  parts: Record<string, Float32Array>;
}

/**
 * Checks a reward against a world's metrics.
 *
 * @throws {RangeError} When a metric is unknown, a weight is not positive, or there is no term.
 */
export function checkReward(terms: readonly RewardTerm[], metrics: Readonly<Record<string, Metric<never>>>): void {
  if (terms.length === 0) throw new RangeError("reward: needs at least one metric: received none");
  for (const { metric, weight } of terms) {
    if (!Object.hasOwn(metrics, metric)) {
      throw new RangeError(`reward: there is no metric "${metric}": choose among ${Object.keys(metrics).join(", ")}`);
    }
    if (!(weight > 0 && Number.isFinite(weight))) {
      throw new RangeError(`reward: the weight of ${metric} must be positive: received ${weight}`);
    }
  }
}

/**
 * Scores predicted states against the truth.
 *
 * @param alsoMeasured Metrics that are logged beside the reward but do not count.
 */
export async function computeRewards<Transition, States>(
  world: World<Transition, States>,
  terms: readonly RewardTerm[],
  predicted: States,
  truth: States,
  alsoMeasured: readonly string[] = [],
): Promise<Rewards> {
  const parts: Record<string, Float32Array> = {};
  for (const name of new Set([...terms.map((term) => term.metric), ...alsoMeasured])) {
    parts[name] = await world.metrics[name].compute(predicted, truth);
  }
  const count = parts[terms[0].metric].length;
  const total = new Float64Array(count);
  for (const { metric, weight } of terms) {
    const sign = world.metrics[metric].better === "lower" ? -1 : 1;
    for (let i = 0; i < count; i++) total[i] += sign * weight * parts[metric][i];
  }
  return { total, parts };
}
