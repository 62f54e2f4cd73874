/**
 * GRPO on a world model: sample answers, score their states by the metric, raise the better ones of each group.
 *
 * One `step`, in the order of the released trainer:
 *   1. sample G answers to each of P questions;
 *   2. decode them to states and score those: the reward;
 *   3. advantages within each group;
 *   4. log p under the policy before the update and under the reference model, where they are needed;
 *   5. mini-batches of prompts in order, one AdamW update each.
 * Question and answers are computed once a group in rollouts and in updates (`sharePrompt`), which gives the same numbers
 * as a sequence a sample. Left out of the textbook algorithm, as in the paper: a value function, and rewards before the last
 * token. A step's randomness is named by its number: weights, moments and the number are all the state there is.
 *
 * Source: RLVR-World §4.3, Eq. 1 and 3, and its code's `fit`.
 */
import type { CausalTransformer } from "../models/causal_transformer.ts";
import { hiddenValueAndGrad } from "../models/checkpointed_gradient.ts";
import { AdamW, globalNorm } from "../nn/optimizer.ts";
import type { SamplingOptions } from "../nn/sampling.ts";
import { constantSchedule, type Schedule, stableSchedule } from "../nn/schedules.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { TrainingDivergedError } from "./diverged.ts";
import { GradientSum } from "./gradient_sum.ts";
import { readScalar } from "./likelihood.ts";
import { STREAM } from "../base/streams.ts";
import type { EncodedTransition, Tokens, World } from "../worlds/world.ts";
import { groupAdvantages, partAdvantages } from "./advantage.ts";
import { type AnswerSampler, ownAnswers, type SampledAnswers } from "./answer_sampler.ts";
import { checkGrpoOptions, type GrpoOptions } from "./grpo_options.ts";
import {
  type AnswerGroup,
  countSpoken,
  frozenLogProbabilities,
  largestAdvantage,
  mergeEqualAnswers,
  policyLoss,
  predictingStates,
  spokenWeights,
} from "./policy_loss.ts";
import { checkReward, computeRewards } from "./reward.ts";
import { rollout } from "./rollout.ts";

export type { GrpoOptions } from "./grpo_options.ts";

/** Updates in a row whose gradient is not finite: one or two may be a batch's fault, then it is the weights'. */
const LARGEST_SKIPPED = 3;
/** Advantages below it may have a gradient that is rounded to 0. */
const ROUNDING = 1e-6;

/** What a step reports. */
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
  /** Mean over updates. */
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
  /** Tokens sampled. */
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

/** Trains a transformer on a world by GRPO, a step at a time. */
export class GrpoTrainer<Transition, States> {
  /** The optimizer, for checkpoints. */
  readonly optimizer: AdamW;
  readonly #schedule: Schedule;
  /** Updates skipped since the last one that was made, and the first step whose weights allowed none. */
  #skipped = { inARow: 0, since: 0 };

  /**
   * Takes over the optimizer, not the models.
   *
   * @param model The policy; changed in place.
   * @param reference A frozen copy of where the policy began, or the policy without its LoRA adapters; needed when the KL
   *   coefficient is positive.
   * @param sampler Who samples answers that end themselves; the model, here, when left out.
   * @throws {RangeError} Naming the option that is out of range.
   */
  constructor(
    readonly model: CausalTransformer,
    readonly reference: CausalTransformer | "without-adapters" | undefined,
    readonly world: World<Transition, States>,
    readonly options: GrpoOptions,
    readonly sampler?: AnswerSampler,
  ) {
    checkGrpoOptions(options);
    if (sampler && !world.openAnswers) {
      throw new RangeError(
        `a sampler of its own needs a world whose answers end themselves, which ${world.name} is not`,
      );
    }
    checkReward(options.reward, world.metrics);
    const partless = options.reward.find(({ metric }) => !world.metrics[metric].contributions);
    if (options.credit === "part" && partless) {
      throw new RangeError(
        `credit "part" needs metrics that tell what each part of an answer adds, which ${partless.metric} of ${world.name} ` +
          `does not: use credit "answer"`,
      );
    }
    if (options.credit === "part" && world.openAnswers && !world.answerParts) {
      throw new RangeError(`credit "part" needs answers that have parts, which those of ${world.name} have not`);
    }
    if (options.credit === "part" && options.objective.ratio === "sequence") {
      throw new RangeError(
        `credit "part" has no meaning with ratio "sequence", where an answer is one: use ratio "token"`,
      );
    }
    const { kl, klCoefficient } = options.objective;
    if (kl !== "none" && klCoefficient > 0 && !reference) {
      throw new RangeError(
        `klCoefficient is ${klCoefficient}, which needs a reference model: pass one, or set it to 0`,
      );
    }
    const { learningRate, decay } = options;
    this.#schedule = decay && decay.steps > 0
      ? stableSchedule(learningRate, { decaySteps: decay.steps, totalSteps: decay.totalSteps })
      : constantSchedule(learningRate);
    this.optimizer = new AdamW(model.trainable, {
      learningRate: options.learningRate,
      weightDecay: options.weightDecay,
    });
  }

  /**
   * One step on some transitions.
   *
   * @param step Counted from 0; names the samples' random streams.
   * @throws {TrainingDivergedError} When a reward or a loss is not finite, the gradients of three updates in a row are not, or a
   *   gradient is exactly 0 though answers of a group earned differently; the weights are then those before that update.
   */
  async step(step: number, transitions: readonly Transition[]): Promise<GrpoMetrics> {
    const { options, world } = this, { groupSize } = options;
    const clock = stopwatch();
    const encoded = await world.encode(transitions);
    const { answers, logProbabilities, ended, retries } = await this.#sample(step, encoded);
    const rolloutSeconds = clock();
    const { total, parts, contributions } = await this.#score(answers, transitions);
    const rewardSeconds = clock();
    const bad = total.find((reward) => !Number.isFinite(reward));
    if (bad !== undefined) throw new TrainingDivergedError("a reward", step, bad);
    const { advantages, equal, equalGroups, meanStd } = groupAdvantages(total, groupSize, options.advantageScale);

    const partCount = contributions ? contributions.length / total.length : 1;
    const credited = contributions
      ? partAdvantages(contributions, groupSize, partCount, options.advantageScale, options.creditDiscount)
      : advantages;
    const groups: AnswerGroup[] = encoded.map(({ question, answer }, p) => {
      const own = answers.slice(p * groupSize, (p + 1) * groupSize);
      return {
        question,
        answers: own,
        sampled: world.openAnswers ? undefined : answer.sampled,
        advantages: credited.subarray(p * groupSize * partCount, (p + 1) * groupSize * partCount),
        parts: contributions && own.map((each) => world.answerParts?.of(each) ?? answer.parts!),
        sampler: [],
      };
    });
    for (const [p, group] of groups.entries()) {
      group.sampler = await this.#known(group, logProbabilities.slice(p * groupSize, (p + 1) * groupSize));
    }
    const unknownCount = logProbabilities.filter((each) => each === undefined).length;
    const trained = groups.filter((_, p) => !(options.dropEqualGroups && equal[p]));
    const update = await this.#update(step, this.#merges ? trained.map(mergeEqualAnswers) : trained);

    const spoken = groups.reduce((sum, group) => sum + countSpoken(group), 0);
    const sumOf = (values: Float32Array) => values.reduce((sum, each) => sum + each, 0);
    let best = 0;
    for (let p = 0; p < groups.length; p++) {
      best += Math.max(...total.subarray(p * groupSize, (p + 1) * groupSize)) / groups.length;
    }
    return {
      reward: mean(total),
      bestReward: best,
      metrics: Object.fromEntries(Object.entries(parts).map(([name, values]) => [name, mean(values)])),
      rewardStd: meanStd,
      equalGroups,
      duplicateAnswers: duplicateShare(groups),
      largestAdvantage: largestAdvantage(groups),
      ...update,
      entropy: -groups.flatMap(({ sampler }) => sampler).reduce((sum, each) => sum + sumOf(each), 0) / spoken,
      tokens: spoken,
      ...ended === undefined ? {} : { cutAnswers: ended.filter((each) => !each).length / ended.length },
      ...unknownCount === 0 ? {} : { unknownAnswers: unknownCount / answers.length },
      ...retries === undefined ? {} : { rolloutRetries: retries },
      seconds: { rollout: rolloutSeconds, reward: rewardSeconds, update: clock() },
      sample: {
        truth: [...encoded[0].answer.tokens],
        answers: groups[0].answers.map((answer) => [...answer]),
        rewards: [...total.subarray(0, groupSize)],
        advantages: [...advantages.subarray(0, groupSize)],
      },
    };
  }

  /**
   * Whether equal answers of a group are computed once. Not of frames, which are hardly ever equal and go through the model faster
   * in groups of one size; not where a sampler's log-probabilities are the old ones, each sample's own.
   */
  get #merges(): boolean {
    return this.world.openAnswers !== undefined && (this.sampler === undefined || this.sampler.followsPolicy);
  }

  /** G answers to each question, with their log-probabilities; `ended` where answers end themselves. */
  async #sample(
    step: number,
    encoded: readonly EncodedTransition[],
  ): Promise<Omit<SampledAnswers, "ended"> & { ended?: boolean[] }> {
    const { options, world } = this, { groupSize } = options;
    const sampling: SamplingOptions = { temperature: options.temperature, topK: options.topK };
    const questions = encoded.map((each) => each.question);
    const request = {
      questions,
      groupSize,
      sampling,
      stream: [options.seed, STREAM.rollout, step] as const,
      maxRows: options.rolloutRows,
    };
    if (world.openAnswers) {
      const sampler = this.sampler ?? ownAnswers(this.model);
      return await sampler.sample({ ...request, ...world.openAnswers });
    }
    const { answers, logProbabilities } = await rollout(this.model, {
      ...request,
      plans: encoded.map((each) => each.answer),
    });
    const length = answers[0].length;
    return {
      answers,
      logProbabilities: answers.map((_, row) => logProbabilities.subarray(row * length, (row + 1) * length)),
    };
  }

  /** The sampler's log-probabilities of a group's answers; the policy's own where it gave none. */
  async #known(group: AnswerGroup, given: readonly (Float32Array | undefined)[]): Promise<Float32Array[]> {
    if (given.every((each) => each !== undefined)) return [...given];
    const own = frozenLogProbabilities(this.model, group, this.options);
    const numbers = Float32Array.from(await own.data(), Number);
    own.dispose();
    let end = 0;
    return group.answers.map((answer, i) => {
      end += answer.length;
      return given[i] ?? numbers.slice(end - answer.length, end);
    });
  }

  /** Decodes and scores answers, a bounded number at a time. */
  async #score(answers: readonly Tokens[], transitions: readonly Transition[]) {
    const { groupSize, scoreRows, reward, alsoMeasured } = this.options;
    const total = new Float64Array(answers.length);
    const parts: Record<string, Float32Array> = {}, contributions: Float64Array[] = [];
    for (let from = 0; from < answers.length; from += scoreRows) {
      const some = answers.slice(from, from + scoreRows);
      const owners = some.map((_, i) => transitions[Math.floor((from + i) / groupSize)]);
      const predicted = await this.world.decode(some, owners);
      const truth = await this.world.truth(owners);
      const byPart = this.options.credit === "part";
      const scored = await computeRewards(this.world, reward, predicted, truth, alsoMeasured, byPart);
      this.world.release?.(predicted);
      this.world.release?.(truth);
      total.set(scored.total, from);
      if (scored.contributions) contributions.push(scored.contributions);
      for (const [name, values] of Object.entries(scored.parts)) {
        (parts[name] ??= new Float32Array(answers.length)).set(values, from);
      }
    }
    const all = Float64Array.from(contributions.flatMap((each) => [...each]));
    return { total, parts, contributions: contributions.length > 0 ? all : undefined };
  }

  async #update(step: number, groups: readonly AnswerGroup[]) {
    const { options } = this;
    const report = { loss: 0, clipShare: 0, samplerMismatch: 0, gradientNorm: 0, skippedUpdates: 0 };
    if (groups.length === 0) return report;
    const updatesPerEpoch = Math.ceil(groups.length / options.miniBatchPrompts);
    const updates = options.epochs * updatesPerEpoch;
    // With one update the policy of the update is the policy of the rollout: the ratio is exactly 1. Another sampler's
    // log-probabilities are the old ones always.
    const old = groups.map((group) => {
      if (this.sampler && !this.sampler.followsPolicy) return samplerTensor(this.model, group);
      return updates > 1 ? frozenLogProbabilities(this.model, group, options) : undefined;
    });
    const { kl, klCoefficient } = options.objective;
    const needsReference = this.reference !== undefined && kl !== "none" && klCoefficient > 0;
    const reference = groups.map((group) => needsReference ? this.#referenceLogProbabilities(group) : undefined);
    let divergence = 0;
    try {
      for (let epoch = 0, count = 0; epoch < options.epochs; epoch++) {
        for (let from = 0; from < groups.length; from += options.miniBatchPrompts, count++) {
          const to = Math.min(groups.length, from + options.miniBatchPrompts);
          // After an update of this step it would be that one's weights that are no good.
          const since = count === 0 ? step : step + 1;
          const sums = await this.#miniBatch(step, since, groups, old, reference, from, to);
          if (count === 0) report.samplerMismatch = sums.mismatch;
          report.loss += sums.loss / updates;
          report.clipShare += sums.clipped / updates;
          report.gradientNorm += sums.gradientNorm / updates;
          report.skippedUpdates += sums.skipped ? 1 : 0;
          divergence += sums.kl / updates;
        }
      }
    } finally {
      for (const each of [...old, ...reference]) each?.dispose();
    }
    return needsReference ? { ...report, kl: divergence } : report;
  }

  /** Throws where gradients cannot be those of training. `since` is the first step whose weights are then no good. */
  #checkGradient(step: number, since: number, norm: number, groups: readonly AnswerGroup[]): void {
    const skipped = this.#skipped, isSkipped = !Number.isFinite(norm);
    this.#skipped = { inARow: isSkipped ? skipped.inARow + 1 : 0, since: skipped.inARow > 0 ? skipped.since : since };
    if (this.#skipped.inARow === LARGEST_SKIPPED) {
      const what = "the number of updates in a row without a finite gradient";
      throw new TrainingDivergedError(what, step, LARGEST_SKIPPED, this.#skipped.since);
    }
    // On a step's first update nothing is clipped, so that every token with an advantage pulls.
    const isFirst = since === step && (this.sampler?.followsPolicy ?? true);
    if (isFirst && norm === 0 && largestAdvantage(groups) > ROUNDING) {
      throw new TrainingDivergedError("the gradient's norm, with answers that earned differently,", step, 0);
    }
  }

  #referenceLogProbabilities(group: AnswerGroup): Tensor {
    const { reference } = this;
    if (reference !== "without-adapters") return frozenLogProbabilities(reference!, group, this.options);
    return this.model.withoutAdapters(() => frozenLogProbabilities(this.model, group, this.options));
  }

  /** One optimizer update on groups from … to − 1, in micro-batches. */
  async #miniBatch(
    step: number,
    since: number,
    groups: readonly AnswerGroup[],
    old: readonly (Tensor | undefined)[],
    reference: readonly (Tensor | undefined)[],
    from: number,
    to: number,
  ) {
    const { options } = this;
    const whole = groups.slice(from, to);
    const fixedLength = this.world.openAnswers?.maxTokens;
    const weights = spokenWeights(whole, options.objective.denominator, fixedLength);
    let weightsUsed = 0;
    const gradients = new GradientSum(this.model.trainable);
    const sums = { loss: 0, kl: 0, clipped: 0, mismatch: 0, gradientNorm: 0, skipped: false };
    try {
      for (let at = from; at < to; at += options.microBatchPrompts) {
        const end = Math.min(to, at + options.microBatchPrompts);
        const some = groups.slice(at, end);
        const count = some.reduce((sum, group) => sum + countSpoken(group), 0);
        const used = weightsUsed;
        const result = hiddenValueAndGrad(
          this.model,
          () => predictingStates(this.model, some, options),
          (hidden) =>
            policyLoss(
              this.model,
              hidden,
              some,
              old.slice(at, end),
              reference.slice(at, end),
              weights.subarray(used, used + count),
              options,
            ),
          options,
        );
        weightsUsed += count;
        gradients.add(result.gradients);
        const loss = await result.value.item();
        result.value.dispose();
        for (const [name, value] of Object.entries(result.aux)) {
          sums[name as "kl" | "clipped" | "mismatch"] += await value.item();
          value.dispose();
        }
        if (!Number.isFinite(loss)) throw new TrainingDivergedError("the GRPO loss", step, loss, since);
        sums.loss += loss;
      }
      sums.gradientNorm = await readScalar(() => globalNorm(gradients.gradients));
      this.#checkGradient(step, since, sums.gradientNorm, whole);
      // As the released video code: an update whose gradient is not finite is skipped, and counted.
      if (Number.isFinite(sums.gradientNorm)) {
        const gradientScale = Math.min(1, options.maxGradientNorm / (sums.gradientNorm + 1e-6));
        this.optimizer.step(gradients.gradients, { gradientScale, learningRate: this.#schedule(step) });
      } else {
        sums.skipped = true;
        sums.gradientNorm = 0;
      }
      return sums;
    } finally {
      gradients.dispose();
    }
  }
}

/** The sampler's log-probabilities of a group's tokens, in order. */
function samplerTensor(model: CausalTransformer, { sampler }: AnswerGroup): Tensor {
  return tensor(model.engine, Float32Array.from(sampler.flatMap((each) => [...each])));
}

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

function duplicateShare(groups: readonly AnswerGroup[]): number {
  let duplicates = 0, count = 0;
  for (const { answers } of groups) {
    const seen = new Set(answers.map((answer) => answer.join(",")));
    duplicates += answers.length - seen.size;
    count += answers.length;
  }
  return duplicates / count;
}

/** Seconds since the last call (or since it was made). */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now(), seconds = (now - last) / 1000;
    last = now;
    return seconds;
  };
}
