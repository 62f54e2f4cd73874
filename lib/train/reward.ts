/**
 * The reward: the metric itself, signed so that more is better.
 *
 * A reward is a weighted list of a world's metrics, R = Σ_k w_k · sign_k · D_k(ŝ', s'), with sign −1 for distances and +1
 * for scores (RLVR-World Eq. 3; the released single-step reward is −(1·MAE + 1·LPIPS)). Every part is kept for the log, so
 * that a reward that is gained at the cost of another metric is seen.
 */
import type { Metric, Tokens, World } from "../worlds/world.ts";

/** One metric of a reward and its weight. */
export interface RewardTerm {
  /** Name among the world's metrics. */
  metric: string;
  /** Positive; how much it counts. */
  weight: number;
}

/**
 * Rewards of a batch, with their parts.
 *
 * @internal
 */
export interface Rewards {
  /** R of each answer, [N]. */
  total: Float64Array;
  /** Unsigned metric values by name, each [N]. */
  values: Record<string, Float32Array>;
  /** What each of K parts of an answer adds to its total, [N·K] row-major; there when it was asked for. */
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
 * @param predicted N states.
 * @param truth The N states that these should be.
 * @param alsoMeasured Metrics that are logged beside the reward but do not count. @default {[]}
 * @param byPart Whether what each part of an answer adds is wanted. @default {false}
 * @throws {RangeError} When that is wanted of a metric that cannot tell.
 */
export async function computeRewards<Transition, States>(
  world: Pick<World<Transition, States>, "metrics">,
  terms: readonly RewardTerm[],
  predicted: States,
  truth: States,
  alsoMeasured: readonly string[] = [],
  byPart = false,
): Promise<Rewards> {
  const values: Record<string, Float32Array> = {}, contributions: Record<string, Float32Array> = {};
  const counted = new Set(terms.map(({ metric }) => metric));
  for (const name of new Set([...counted, ...alsoMeasured])) {
    const metric = world.metrics[name];
    if (!byPart || !counted.has(name)) {
      values[name] = await metric.compute(predicted, truth);
      continue;
    }
    if (!metric.computeParts) throw new RangeError(`reward: ${name} cannot tell what each part of an answer adds`);
    ({ values: values[name], contributions: contributions[name] } = await metric.computeParts(predicted, truth));
  }
  const weighted = (numbers: Record<string, Float32Array>) => {
    const sums = new Float64Array(numbers[terms[0].metric].length);
    for (const { metric, weight } of terms) {
      const factor = (world.metrics[metric].better === "lower" ? -1 : 1) * weight;
      numbers[metric].forEach((number, i) => sums[i] += factor * number);
    }
    return sums;
  };
  return { total: weighted(values), values, contributions: byPart ? weighted(contributions) : undefined };
}

/** How {@linkcode scoreAnswers} scores. */
export interface ScoringOptions {
  /** G, answers a prompt. */
  groupSize: number;
  /** Answers that are decoded and scored at once. */
  scoreRows: number;
  /** Metrics that count, with their weights. */
  reward: readonly RewardTerm[];
  /** What is logged beside it. */
  alsoMeasured: readonly string[];
  /** Whether what each part adds is wanted. */
  credit: "answer" | "part";
}

/** Rewards of G answers to each of P prompts, decoded some at a time; the truth is made once a prompt. */
export async function scoreAnswers<Transition, States>(
  world: World<Transition, States>,
  answers_PG: readonly Tokens[],
  transitions_P: readonly Transition[],
  { groupSize, scoreRows, reward, alsoMeasured, credit }: ScoringOptions,
): Promise<Rewards> {
  const truth_P = await world.truth(transitions_P), scored: Rewards[] = [];
  for (let from = 0; from < answers_PG.length; from += scoreRows) {
    const answers = answers_PG.slice(from, from + scoreRows);
    const prompts = answers.map((_, i) => Math.floor((from + i) / groupSize));
    const predicted = await world.decode(answers, prompts.map((p) => transitions_P[p]));
    const truth = world.select(truth_P, prompts);
    scored.push(await computeRewards(world, reward, predicted, truth, alsoMeasured, credit === "part"));
    world.release?.(predicted);
    world.release?.(truth);
  }
  world.release?.(truth_P);
  const joined = (chunks: readonly ArrayLike<number>[]) => chunks.flatMap((chunk) => Array.from(chunk));
  return {
    total: Float64Array.from(joined(scored.map(({ total }) => total))),
    values: Object.fromEntries(
      Object.keys(scored[0].values).map((
        name,
      ) => [name, Float32Array.from(joined(scored.map(({ values }) => values[name])))]),
    ),
    contributions: credit === "part"
      ? Float64Array.from(joined(scored.map((chunk) => chunk.contributions!)))
      : undefined,
  };
}
