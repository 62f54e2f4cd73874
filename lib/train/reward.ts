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
  /** What each part of every answer adds to its total, [B·parts] row-major; there when it was asked for. */
  contributions?: Float64Array;
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
 * @param byPart Whether what each part of an answer adds is wanted.
 * @throws {RangeError} When that is wanted of a metric that cannot tell.
 */
export async function computeRewards<Transition, States>(
  world: World<Transition, States>,
  terms: readonly RewardTerm[],
  predicted: States,
  truth: States,
  alsoMeasured: readonly string[] = [],
  byPart = false,
): Promise<Rewards> {
  const parts: Record<string, Float32Array> = {};
  for (const name of new Set([...terms.map((term) => term.metric), ...alsoMeasured])) {
    parts[name] = await world.metrics[name].compute(predicted, truth);
  }
  const total = new Float64Array(parts[terms[0].metric].length);
  let contributions: Float64Array | undefined;
  for (const { metric: name, weight } of terms) {
    const metric = world.metrics[name], factor = (metric.better === "lower" ? -1 : 1) * weight;
    parts[name].forEach((value, i) => total[i] += factor * value);
    if (!byPart) continue;
    if (!metric.contributions) throw new RangeError(`reward: ${name} cannot tell what each part of an answer adds`);
    const added = await metric.contributions(predicted, truth);
    contributions ??= new Float64Array(added.length);
    for (let i = 0; i < added.length; i++) contributions[i] += factor * added[i];
  }
  return { total, parts, contributions };
}
