/** What a GRPO step reports, and how its rollout's part of that is computed. */
import type { GroupAdvantages } from "./advantage.ts";
import { type AnswerGroup, countSpoken, duplicateShare, largestAdvantage } from "./answer_groups.ts";
import type { SampledAnswers } from "./answer_sampler.ts";
import type { Rewards } from "./reward.ts";

/** What a GRPO step reports. */
export interface GrpoMetrics {
  /** Mean reward of all answers. */
  reward: number;
  /** Mean over groups of the best reward of the group. */
  bestReward: number;
  /** Mean of every metric that was computed, unsigned. */
  metrics: Record<string, number>;
  /** Mean over groups of the rewards' standard deviation. */
  rewardStd: number;
  /** Share of groups whose rewards are all equal. */
  equalGroups: number;
  /** Share of answers equal to another of their group. */
  duplicateAnswers: number;
  /** Largest |advantage| of a token: with the scale `group-std` at most (G − 1)/√G. */
  largestAdvantage: number;
  /** The loss, mean over the step's updates. With one update a batch it is about 0 by construction, and its gradient is not. */
  loss: number;
  /** Estimated divergence from the reference model, in nats a token; absent without one. */
  kl?: number;
  /** Share of tokens at the clip. */
  clipShare: number;
  /**
   * Mean |log p (training) − log p (sampler)| on the first update, in nats: 0 when the two agree. Answers that the sampler
   * gave no log-probabilities of count as agreeing: see `unknownAnswers`. With `topK` it holds what truncation adds to each log p.
   */
  samplerMismatch: number;
  /** Mean negative log p of the sampled tokens, in nats: an estimate of the policy's entropy. */
  entropy: number;
  /** Mean over updates of the global L2 norm before clipping; a skipped one counts as 0. */
  gradientNorm: number;
  /** Updates that were skipped because their gradient was not finite. */
  skippedUpdates: number;
  /** Tokens that were sampled in the step, over all answers. */
  tokens: number;
  /** Share of answers that had to be cut, where answers end when the model says so. */
  cutAnswers?: number;
  /** Share of answers whose log-probabilities the sampler did not give, so that they were computed here; absent: none. */
  unknownAnswers?: number;
  /** Requests that were tried again, where a server samples. */
  rolloutRetries?: number;
  /** Seconds of sampling, scoring and updating. */
  seconds: { rollout: number; reward: number; update: number };
  /** The first prompt's group, to look at: answers with their rewards and advantages. */
  sample: { truth: number[]; answers: number[][]; rewards: number[]; advantages: number[] };
}

/** What is reported of sampled answers before they are learnt from. */
export function rolloutMetrics(
  { total: rewards_PG, values }: Rewards,
  { equalGroups, meanStd }: GroupAdvantages,
  groups_P: readonly AnswerGroup[],
  { ended, retries, logProbabilities }: SampledAnswers,
) {
  const groupSize = rewards_PG.length / groups_P.length;
  const bestReward = groups_P.reduce((sum, _, p) => {
    return sum + Math.max(...rewards_PG.subarray(p * groupSize, (p + 1) * groupSize)) / groups_P.length;
  }, 0);
  const tokens = groups_P.reduce((sum, group) => sum + countSpoken(group), 0);
  const nats = groups_P.flatMap(({ sampler_GT }) => sampler_GT).reduce((sum, sampler_T) => sum + sumOf(sampler_T), 0);
  const unknown = logProbabilities.filter((numbers) => numbers === undefined).length;
  return {
    reward: meanOf(rewards_PG),
    bestReward,
    metrics: Object.fromEntries(Object.entries(values).map(([name, numbers]) => [name, meanOf(numbers)])),
    rewardStd: meanStd,
    equalGroups,
    duplicateAnswers: duplicateShare(groups_P),
    largestAdvantage: largestAdvantage(groups_P),
    entropy: -nats / tokens,
    tokens,
    ...ended === undefined ? {} : { cutAnswers: ended.filter((isEnded) => !isEnded).length / ended.length },
    ...unknown === 0 ? {} : { unknownAnswers: unknown / logProbabilities.length },
    ...retries === undefined ? {} : { rolloutRetries: retries },
  };
}

function sumOf(numbers: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < numbers.length; i++) sum += numbers[i];
  return sum;
}

function meanOf(numbers: ArrayLike<number>): number {
  return sumOf(numbers) / numbers.length;
}
