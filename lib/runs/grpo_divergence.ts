/**
 * What a log of GRPO can say that no training has, though every number is finite. The bounds are far from what a run shows that
 * learns something:
 * - nats a token from the reference: 9, where answers have e⁻⁹ (one in 8,000) of the reference's probability at every token; what
 *   was improved from the reference stays within one or two;
 * - difference of the sampler's log-probabilities from the update's, where both are of the same weights: 1 nat a token, where
 *   rounding makes 10⁻⁶ to 10⁻²;
 * - entropy: ln V, that of drawing blindly, after it had been lower;
 * - reward: over 20 steps below that of the beginning by more than the answers of a group differed there (one standard
 *   deviation), or by anything where no group differs any more (entropy 0: every answer is the same, and nothing can be
 *   learned); and by eight standard errors in both cases, so that it is no chance.
 */
import { metricNumber } from "./metric_log.ts";
import { type Divergence, HISTORY_WINDOW, type StageHistory } from "./stage_history.ts";
import type { AnswerSampler } from "../train/answer_sampler.ts";
import type { GrpoSettings } from "../train/grpo_options.ts";
import type { KlEstimator } from "../train/objective.ts";

/** What of a trainer says what the log's numbers are of. */
export interface LoggedTrainer {
  model: { config: { vocabularySize: number } };
  options: Pick<GrpoSettings, "kl" | "topK">;
  sampler?: Pick<AnswerSampler, "followsPolicy">;
}

/** Steps in a row that must show it. */
const STEPS = 3;
/** Nats a token, see the file's head. */
const FAR = 9;
/** What each estimator gives for tokens so far from the reference. */
const LARGEST_KL: Record<KlEstimator, number> = {
  none: Infinity,
  k1: FAR,
  k2: FAR ** 2 / 2,
  k3: Math.exp(-FAR) + FAR - 1,
};
const LARGEST_MISMATCH = 1;
/** Nats from ln V within which an entropy is that of drawing blindly, and beyond which it is not. */
const BLIND = 1e-3, SEEING = 0.05;
const STANDARD_ERRORS = 8;

/** What says that a GRPO stage has diverged, if it has. */
export function grpoDivergence(history: StageHistory, trainer: LoggedTrainer): Divergence | undefined {
  const { model: { config }, options: { kl, topK }, sampler } = trainer;
  const far = history.inARow("kl", STEPS, (value) => value > LARGEST_KL[kl]);
  if (far) return { what: "the divergence from the reference model, nats a token,", ...far };
  // Truncation adds to every log-probability, and another sampler has its own.
  if (topK <= 0 && (sampler?.followsPolicy ?? true)) {
    const apart = history.inARow("samplerMismatch", STEPS, (value) => value > LARGEST_MISMATCH);
    if (apart) return { what: "the difference of the sampler's log-probabilities from the policy's", ...apart };
  }
  const most = Math.log(config.vocabularySize), first = metricNumber(history.first[0]?.entropy);
  const blind = history.inARow("entropy", STEPS, (value) => value > most - BLIND);
  if (blind && first !== undefined && first < most - SEEING) {
    return { what: "the policy's entropy, that of drawing among all tokens blindly,", ...blind };
  }
  return fallenReward(history);
}

/** Whether the reward has fallen so far that this is no chance. */
function fallenReward({ first, last }: StageHistory): Divergence | undefined {
  if (last.length < HISTORY_WINDOW) return undefined;
  const since = last[0].step, beginning = first.filter(({ step }) => step < since);
  if (beginning.length === 0) return undefined;
  const before = numbers(beginning, "reward"), now = numbers(last, "reward");
  const fall = mean(before) - mean(now);
  const variance = (squares(before) + squares(now)) / (before.length + now.length - 2);
  if (!(fall > STANDARD_ERRORS * Math.sqrt(variance * (1 / before.length + 1 / now.length)))) return undefined;
  const isSilent = numbers(last, "equalGroups").every((share) => share === 1);
  if (!isSilent && fall <= mean(numbers(beginning, "rewardStd"))) return undefined;
  const what = `the mean reward of ${HISTORY_WINDOW} steps, ${mean(before).toPrecision(4)} in the beginning,`;
  return { what, value: mean(now), since };
}

function numbers(entries: StageHistory["last"], name: string): number[] {
  return entries.map((entry) => metricNumber(entry[name]) ?? NaN);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Sum of squared deviations from the mean. */
function squares(values: readonly number[]): number {
  const middle = mean(values);
  return values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
}
