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
import { STREAM } from "../base/streams.ts";
import { AdamW, clipScale, globalNorm } from "../nn/optimizer.ts";
import { constantSchedule, type Schedule, stableSchedule } from "../nn/schedules.ts";
import { readScalar } from "../tensor/read_scalar.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { EncodedTransition, Tokens, World } from "../worlds/world.ts";
import { groupAdvantages, partAdvantages } from "./advantage.ts";
import {
  type AnswerGroup,
  countSpoken,
  duplicateShare,
  largestAdvantage,
  mergeEqualAnswers,
  spokenWeights,
  type TrainedGroup,
} from "./answer_groups.ts";
import { type AnswerSampler, ownAnswers, type SampledAnswers } from "./answer_sampler.ts";
import { frozenLogProbabilities, predictingStates } from "./answer_states.ts";
import { TrainingDivergedError } from "./diverged.ts";
import { GradientSum } from "./gradient_sum.ts";
import type { GrpoMetrics } from "./grpo_metrics.ts";
import { type GrpoOptions, type GrpoSettings, grpoSettings } from "./grpo_options.ts";
import { lossOf, needsReference } from "./objective.ts";
import { policyLoss } from "./policy_loss.ts";
import { checkReward, computeRewards } from "./reward.ts";

export type { GrpoMetrics } from "./grpo_metrics.ts";
export type { GrpoOptions } from "./grpo_options.ts";

/** Updates in a row whose gradient is not finite: one or two may be a batch's fault, then it is the weights'. */
const LARGEST_SKIPPED = 3;
/** Advantages below it may have a gradient that is rounded to 0. */
const ROUNDING = 1e-6;

/** Trains a transformer on a world by GRPO, a step at a time. */
export class GrpoTrainer<Transition, States> {
  /** The optimizer, for checkpoints. */
  readonly optimizer: AdamW;
  /** Every choice. */
  readonly options: GrpoSettings;
  readonly #sampler: AnswerSampler;
  readonly #schedule: Schedule;
  /** Updates skipped since the last one that was made, and the first step whose weights allowed none. */
  #skipped = { inARow: 0, since: 0 };

  /**
   * Takes over the optimizer, not the models.
   *
   * @param model The policy; changed in place.
   * @param reference A frozen copy of where the policy began, or the policy without its LoRA adapters; needed when the KL
   *   coefficient is positive.
   * @param sampler Who samples answers that end themselves. Default: the model, here.
   * @throws {RangeError} Naming the option that is out of range.
   */
  constructor(
    readonly model: CausalTransformer,
    readonly reference: CausalTransformer | "without-adapters" | undefined,
    readonly world: World<Transition, States>,
    options: GrpoOptions,
    readonly sampler?: AnswerSampler,
  ) {
    const settings = grpoSettings(options), { learningRate, weightDecay, decaySteps, steps, klCoefficient } = settings;
    this.options = settings;
    if (sampler && !world.openAnswers) {
      throw new RangeError(
        `a sampler of its own needs a world whose answers end themselves, which ${world.name} is not`,
      );
    }
    checkReward(settings.reward, world.metrics);
    lossOf(settings);
    if (settings.credit === "part") checkParts(world, settings);
    if (needsReference(settings) && !reference) {
      throw new RangeError(
        `klCoefficient is ${klCoefficient}, which needs a reference model: pass one, or set it to 0`,
      );
    }
    this.#sampler = sampler ?? ownAnswers(model);
    this.#schedule = decaySteps > 0
      ? stableSchedule(learningRate, { decaySteps: Math.min(decaySteps, steps), totalSteps: steps })
      : constantSchedule(learningRate);
    this.optimizer = new AdamW(model.trainable, { learningRate, weightDecay });
  }

  /**
   * One step on P transitions.
   *
   * @param step Counted from 0; names the samples' random streams.
   * @throws {TrainingDivergedError} When a reward or a loss is not finite, the gradients of three updates in a row are not, or a
   *   gradient is exactly 0 though answers of a group earned differently; the weights are then those before that update.
   */
  async step(step: number, transitions: readonly Transition[]): Promise<GrpoMetrics> {
    const { options, world } = this, { groupSize, advantageScale } = options;
    const clock = stopwatch();
    const encoded_P = await world.encode(transitions);
    const samples = await this.#sampler.sample({
      questions: encoded_P.map(({ question }) => question),
      plans: encoded_P.map(({ answer }) => answer),
      openAnswers: world.openAnswers,
      groupSize,
      sampling: { temperature: options.temperature, topK: options.topK },
      stream: [options.seed, STREAM.rollout, step],
      maxRows: options.rolloutRows,
    });
    const rolloutSeconds = clock();
    const { rewards_PG, values_PG, contributions_PGK } = await this.#score(samples.answers, transitions);
    const rewardSeconds = clock();
    const bad = rewards_PG.find((reward) => !Number.isFinite(reward));
    if (bad !== undefined) throw new TrainingDivergedError("a reward", step, bad);

    const { advantages, equal, equalGroups, meanStd } = groupAdvantages(rewards_PG, groupSize, advantageScale);
    const parts = contributions_PGK ? contributions_PGK.length / rewards_PG.length : 1;
    const credit_PGK = contributions_PGK
      ? partAdvantages(contributions_PGK, groupSize, parts, advantageScale, options.creditDiscount)
      : advantages;
    const groups = await this.#groups(encoded_P, samples, credit_PGK, contributions_PGK !== undefined);
    const trained = groups.filter((_, p) => !(options.dropEqualGroups && equal[p]));
    // Equal answers are computed once. Not frames, which are hardly ever equal and go through the model faster in groups of one
    // size; not where a sampler's log-probabilities are the old ones, each sample's own.
    const merges = samples.sampled === undefined && this.#sampler.followsPolicy;
    const update = await this.#update(step, merges ? trained.map(mergeEqualAnswers) : trained);

    const tokens = groups.reduce((sum, group) => sum + countSpoken(group), 0);
    const spokenNats = groups.flatMap(({ sampler }) => sampler).reduce((sum, each) => sum + sumOf(each), 0);
    const { ended, retries, logProbabilities } = samples;
    const unknown = logProbabilities.filter((each) => each === undefined).length;
    return {
      reward: meanOf(rewards_PG),
      bestReward: groups.reduce((sum, _, p) => {
        return sum + Math.max(...rewards_PG.subarray(p * groupSize, (p + 1) * groupSize)) / groups.length;
      }, 0),
      metrics: Object.fromEntries(Object.entries(values_PG).map(([name, values]) => [name, meanOf(values)])),
      rewardStd: meanStd,
      equalGroups,
      duplicateAnswers: duplicateShare(groups),
      largestAdvantage: largestAdvantage(groups),
      ...update,
      entropy: -spokenNats / tokens,
      tokens,
      ...ended === undefined ? {} : { cutAnswers: ended.filter((each) => !each).length / ended.length },
      ...unknown === 0 ? {} : { unknownAnswers: unknown / logProbabilities.length },
      ...retries === undefined ? {} : { rolloutRetries: retries },
      seconds: { rollout: rolloutSeconds, reward: rewardSeconds, update: clock() },
      sample: {
        truth: [...encoded_P[0].answer.tokens],
        answers: groups[0].answers.map((answer) => [...answer]),
        rewards: [...rewards_PG.subarray(0, groupSize)],
        advantages: [...advantages.subarray(0, groupSize)],
      },
    };
  }

  /** Decodes and scores answers, a bounded number at a time. */
  async #score(answers_PG: readonly Tokens[], transitions: readonly Transition[]) {
    const { groupSize, scoreRows, reward, alsoMeasured, credit } = this.options;
    const rewards_PG = new Float64Array(answers_PG.length), values_PG: Record<string, Float32Array> = {};
    let contributions_PGK: Float64Array | undefined;
    for (let from = 0; from < answers_PG.length; from += scoreRows) {
      const chunk = answers_PG.slice(from, from + scoreRows);
      const owners = chunk.map((_, i) => transitions[Math.floor((from + i) / groupSize)]);
      const predicted = await this.world.decode(chunk, owners), truth = await this.world.truth(owners);
      const scored = await computeRewards(this.world, reward, predicted, truth, alsoMeasured, credit === "part");
      this.world.release?.(predicted);
      this.world.release?.(truth);
      rewards_PG.set(scored.total, from);
      for (const [name, values] of Object.entries(scored.parts)) {
        (values_PG[name] ??= new Float32Array(answers_PG.length)).set(values, from);
      }
      if (!scored.contributions) continue;
      const parts = scored.contributions.length / chunk.length;
      contributions_PGK ??= new Float64Array(answers_PG.length * parts);
      contributions_PGK.set(scored.contributions, from * parts);
    }
    return { rewards_PG, values_PG, contributions_PGK };
  }

  /** The groups of P questions with their answers and what those are credited with. */
  async #groups(
    encoded_P: readonly EncodedTransition[],
    { answers, logProbabilities, sampled }: SampledAnswers,
    credit_PGK: Float64Array,
    byPart: boolean,
  ): Promise<AnswerGroup[]> {
    const { groupSize } = this.options, perGroup = credit_PGK.length / encoded_P.length;
    const groups: AnswerGroup[] = [];
    for (const [p, { question, answer }] of encoded_P.entries()) {
      const answers_G = answers.slice(p * groupSize, (p + 1) * groupSize);
      const group: AnswerGroup = {
        question,
        answers: answers_G,
        sampled,
        advantages: credit_PGK.subarray(p * perGroup, (p + 1) * perGroup),
        parts: byPart ? answers_G.map((tokens) => this.world.answerParts?.of(tokens) ?? answer.parts!) : undefined,
        sampler: [],
      };
      group.sampler = await this.#completed(logProbabilities.slice(p * groupSize, (p + 1) * groupSize), group);
      groups.push(group);
    }
    return groups;
  }

  /** The sampler's log-probabilities of a group's answers; the policy's own where it gave none. */
  async #completed(
    logProbabilities_G: readonly (Float32Array | undefined)[],
    group: AnswerGroup,
  ): Promise<Float32Array[]> {
    if (logProbabilities_G.every((each) => each !== undefined)) return [...logProbabilities_G];
    const ours = frozenLogProbabilities(this.model, group, this.options);
    const ours_n = Float32Array.from(await ours.data(), Number);
    ours.dispose();
    let end = 0;
    return group.answers.map(({ length }, g) => {
      end += length;
      return logProbabilities_G[g] ?? ours_n.slice(end - length, end);
    });
  }

  async #update(step: number, groups: readonly AnswerGroup[]) {
    const { options } = this, { epochs, miniBatchPrompts } = options;
    const report = { loss: 0, clipShare: 0, samplerMismatch: 0, gradientNorm: 0, skippedUpdates: 0 };
    if (groups.length === 0) return report;
    const updates = epochs * Math.ceil(groups.length / miniBatchPrompts);
    const trained = this.#trainedGroups(groups, updates);
    let kl = 0;
    try {
      for (let epoch = 0, count = 0; epoch < epochs; epoch++) {
        for (let from = 0; from < trained.length; from += miniBatchPrompts, count++) {
          // After an update of this step it would be that one's weights that are no good.
          const since = count === 0 ? step : step + 1;
          const sums = await this.#miniBatch(step, since, trained.slice(from, from + miniBatchPrompts));
          if (count === 0) report.samplerMismatch = sums.mismatch;
          report.loss += sums.loss / updates;
          report.clipShare += sums.clipped / updates;
          report.gradientNorm += sums.gradientNorm / updates;
          report.skippedUpdates += sums.isSkipped ? 1 : 0;
          kl += sums.kl / updates;
        }
      }
    } finally {
      for (const { old, reference } of trained) {
        old?.dispose();
        reference?.dispose();
      }
    }
    return needsReference(options) ? { ...report, kl } : report;
  }

  /** Groups with their weights in the loss, and log p before the update and under the reference, where these are needed. */
  #trainedGroups(groups: readonly AnswerGroup[], updates: number): TrainedGroup[] {
    const { options, model } = this, { denominator, miniBatchPrompts } = options;
    const trained: TrainedGroup[] = [];
    for (let from = 0; from < groups.length; from += miniBatchPrompts) {
      const miniBatch = groups.slice(from, from + miniBatchPrompts);
      const weights = spokenWeights(miniBatch, denominator, this.world.openAnswers?.maxTokens);
      let end = 0;
      for (const group of miniBatch) {
        end += countSpoken(group);
        trained.push({ ...group, weights: weights.subarray(end - countSpoken(group), end) });
      }
    }
    for (const group of trained) {
      // With one update the policy of the update is the policy of the rollout: the ratio is exactly 1. Another sampler's
      // log-probabilities are the old ones always.
      if (!this.#sampler.followsPolicy) group.old = samplerTensor(model, group);
      else if (updates > 1) group.old = frozenLogProbabilities(model, group, options);
    }
    if (needsReference(options)) { for (const group of trained) group.reference = this.#referenceOf(group); }
    return trained;
  }

  #referenceOf(group: AnswerGroup): Tensor {
    const { reference, model, options } = this;
    if (reference !== "without-adapters") return frozenLogProbabilities(reference!, group, options);
    return model.withoutAdapters(() => frozenLogProbabilities(model, group, options));
  }

  /** One optimizer update, in micro-batches. */
  async #miniBatch(step: number, since: number, groups: readonly TrainedGroup[]) {
    const { options, model } = this;
    const gradients = new GradientSum(model.trainable);
    const sums = { loss: 0, kl: 0, clipped: 0, mismatch: 0, gradientNorm: 0, isSkipped: false };
    try {
      for (let from = 0; from < groups.length; from += options.microBatchPrompts) {
        const microBatch = groups.slice(from, from + options.microBatchPrompts);
        const result = hiddenValueAndGrad(
          model,
          () => predictingStates(model, microBatch, options),
          (hidden) => policyLoss(model, hidden, microBatch, options),
          options,
        );
        gradients.add(result.gradients);
        const loss = await taken(result.value);
        for (const name of ["clipped", "mismatch", "kl"] as const) {
          if (result.aux[name]) sums[name] += await taken(result.aux[name]);
        }
        if (!Number.isFinite(loss)) throw new TrainingDivergedError("the GRPO loss", step, loss, since);
        sums.loss += loss;
      }
      const norm = await readScalar(() => globalNorm(gradients.gradients));
      this.#checkGradient(step, since, norm, groups);
      // As the released video code: an update whose gradient is not finite is skipped, and counted.
      if (!Number.isFinite(norm)) return { ...sums, isSkipped: true };
      this.optimizer.step(gradients.gradients, {
        gradientScale: clipScale(norm, options.maxGradientNorm),
        learningRate: this.#schedule(step),
      });
      return { ...sums, gradientNorm: norm };
    } finally {
      gradients.dispose();
    }
  }

  /** Throws where gradients cannot be those of training. `since` is the first step whose weights are then no good. */
  #checkGradient(step: number, since: number, norm: number, groups: readonly AnswerGroup[]): void {
    const { inARow, since: first } = this.#skipped, isSkipped = !Number.isFinite(norm);
    this.#skipped = { inARow: isSkipped ? inARow + 1 : 0, since: inARow > 0 ? first : since };
    if (this.#skipped.inARow === LARGEST_SKIPPED) {
      const what = "the number of updates in a row without a finite gradient";
      throw new TrainingDivergedError(what, step, LARGEST_SKIPPED, this.#skipped.since);
    }
    // On a step's first update nothing is clipped, so that every token with an advantage pulls.
    const isFirst = since === step && this.#sampler.followsPolicy;
    if (isFirst && norm === 0 && largestAdvantage(groups) > ROUNDING) {
      throw new TrainingDivergedError("the gradient's norm, with answers that earned differently,", step, 0);
    }
  }
}

/** @throws {RangeError} When answers cannot be credited by part. */
function checkParts<Transition, States>(world: World<Transition, States>, settings: GrpoSettings): void {
  const partless = settings.reward.find(({ metric }) => !world.metrics[metric].contributions);
  if (partless) {
    throw new RangeError(
      `credit "part" needs metrics that tell what each part of an answer adds, which ${partless.metric} of ${world.name} ` +
        `does not: use credit "answer"`,
    );
  }
  if (world.openAnswers && !world.answerParts) {
    throw new RangeError(`credit "part" needs answers that have parts, which those of ${world.name} have not`);
  }
  const loss = lossOf(settings);
  if (loss.ratioOf === "answer") {
    throw new RangeError(
      `credit "part" has no meaning with the loss ${loss.name}, where an answer is one: use another`,
    );
  }
}

/** log p [n] of a group's spoken tokens under the sampler. */
function samplerTensor({ engine }: CausalTransformer, { sampler }: AnswerGroup): Tensor {
  return tensor(engine, Float32Array.from(sampler.flatMap((each) => [...each])));
}

/** A scalar's number; the scalar is given back. */
async function taken(scalar: Tensor): Promise<number> {
  const number = await scalar.item();
  scalar.dispose();
  return number;
}

function sumOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum;
}

function meanOf(values: ArrayLike<number>): number {
  return sumOf(values) / values.length;
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
