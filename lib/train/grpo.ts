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
 * Axes: P prompts, G answers of a prompt, K parts of an answer, T tokens of an answer, n tokens that the model spoke.
 *
 * Source: RLVR-World §4.3, Eq. 1 and 3, and its code's `fit`.
 */
import type { CausalTransformer } from "../models/causal_transformer.ts";
import { hiddenValueAndGrad } from "../models/checkpointed_gradient.ts";
import { STREAM } from "../base/streams.ts";
import { AdamW, clipScale, globalNorm } from "../nn/optimizer.ts";
import { constantSchedule, type Schedule, stableSchedule } from "../nn/schedules.ts";
import { readScalars } from "../tensor/read_scalar.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { EncodedTransition, World } from "../worlds/world.ts";
import { groupAdvantages, partAdvantages } from "./advantage.ts";
import {
  type AnswerGroup,
  largestAdvantage,
  mergeEqualAnswers,
  spokenTokens,
  spokenWeights,
  type TrainedGroup,
} from "./answer_groups.ts";
import { type AnswerSampler, policySampler, type SampledAnswers } from "./answer_sampler.ts";
import { frozenLogProbabilities, predictingStates } from "./answer_states.ts";
import { TrainingDivergedError } from "./diverged.ts";
import { GradientSum } from "./gradient_sum.ts";
import { GradientWatch } from "./gradient_watch.ts";
import { type GrpoMetrics, rolloutMetrics } from "./grpo_metrics.ts";
import { checkWorldFits, type GrpoOptions, type GrpoSettings, grpoSettings } from "./grpo_options.ts";
import { needsReference } from "./objective.ts";
import { policyLoss } from "./policy_loss.ts";
import { scoreAnswers } from "./reward.ts";

export type { GrpoMetrics } from "./grpo_metrics.ts";
export type { GrpoOptions } from "./grpo_options.ts";

/** Micro-batches that go through a model at once where no gradient is wanted: one layer's intermediates are alive, not all layers'. */
const FROZEN_MICRO_BATCHES = 4;

/** Trains a transformer on a world by GRPO, a step at a time. */
export class GrpoTrainer<Transition, States> {
  /** AdamW with its moments, which a checkpoint keeps. */
  readonly optimizer: AdamW;
  /** The options with every default filled in. */
  readonly options: GrpoSettings;
  readonly #sampler: AnswerSampler;
  readonly #schedule: Schedule;
  readonly #watch = new GradientWatch();

  /**
   * Takes over the optimizer, not the models.
   *
   * @param model The policy; changed in place.
   * @param reference A frozen copy of where the policy began, or the policy without its LoRA adapters; needed when the KL
   *   coefficient is positive.
   * @param sampler What samples the answers. @default {policySampler(model)}
   * @throws {RangeError} Naming the option that is out of range, or that does not fit the world.
   */
  constructor(
    readonly model: CausalTransformer,
    readonly reference: CausalTransformer | "without-adapters" | undefined,
    readonly world: World<Transition, States>,
    options: GrpoOptions,
    readonly sampler?: AnswerSampler,
  ) {
    const settings = grpoSettings(options), { learningRate, weightDecay, decaySteps, steps, klCoefficient } = settings;
    checkWorldFits(settings, world);
    if (needsReference(settings) && !reference) {
      throw new RangeError(
        `klCoefficient is ${klCoefficient}, which needs a reference model: pass one, or set it to 0`,
      );
    }
    this.options = settings;
    this.#sampler = sampler ?? policySampler(model);
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
  async step(step: number, transitions_P: readonly Transition[]): Promise<GrpoMetrics> {
    const { options, world } = this, { groupSize, advantageScale, creditDiscount, dropEqualGroups } = options;
    const clock = stopwatch();

    const encoded_P = await world.encode(transitions_P);
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

    const rewards = await scoreAnswers(world, samples.answers, transitions_P, options);
    const { total: rewards_PG, contributions: contributions_PGK } = rewards;
    const broken = rewards_PG.find((reward) => !Number.isFinite(reward));
    if (broken !== undefined) throw new TrainingDivergedError("a reward", step, broken);
    const rewardSeconds = clock();

    const spread = groupAdvantages(rewards_PG, groupSize, advantageScale), { advantages: advantages_PG } = spread;
    const parts = (contributions_PGK ?? rewards_PG).length / rewards_PG.length;
    const advantages_PGK = contributions_PGK
      ? partAdvantages(contributions_PGK, groupSize, parts, advantageScale, creditDiscount)
      : advantages_PG;

    const groups_P: AnswerGroup[] = [];
    for (const p of encoded_P.keys()) groups_P.push(await this.#group(p, encoded_P[p], samples, advantages_PGK));
    const update = await this.#update(step, groups_P.filter((_, p) => !(dropEqualGroups && spread.equal[p])));

    return {
      ...rolloutMetrics(rewards, spread, groups_P, samples),
      ...update,
      seconds: { rollout: rolloutSeconds, reward: rewardSeconds, update: clock() },
      sample: {
        truth: [...encoded_P[0].answer.tokens],
        answers: groups_P[0].answers_G.map((answer) => [...answer]),
        rewards: [...rewards_PG.subarray(0, groupSize)],
        advantages: [...advantages_PG.subarray(0, groupSize)],
      },
    };
  }

  /** Prompt p's answers with what they are credited with. */
  async #group(
    p: number,
    { question, answer: plan }: EncodedTransition,
    { answers, logProbabilities, sampled }: SampledAnswers,
    advantages_PGK: Float64Array,
  ): Promise<AnswerGroup> {
    const { groupSize, credit } = this.options, { answerParts } = this.world;
    const perPrompt = advantages_PGK.length * groupSize / answers.length, from = p * groupSize, to = from + groupSize;
    const answers_G = answers.slice(from, to);
    const group: AnswerGroup = {
      question,
      answers_G,
      sampled_T: sampled,
      advantages_GK: advantages_PGK.subarray(p * perPrompt, (p + 1) * perPrompt),
      parts_GT: credit === "part" ? answers_G.map((answer) => answerParts?.of(answer) ?? plan.parts!) : undefined,
      sampler_GT: [],
    };
    return { ...group, sampler_GT: await this.#completed(logProbabilities.slice(from, to), group) };
  }

  /** The sampler's log-probabilities of a group's answers; the policy's own where it gave none. */
  async #completed(sampler_GT: readonly (Float32Array | undefined)[], group: AnswerGroup): Promise<Float32Array[]> {
    if (sampler_GT.every((sampler_T) => sampler_T !== undefined)) return [...sampler_GT];
    const [policy] = frozenLogProbabilities(this.model, [group], this.options);
    const policy_n = Float32Array.from(await policy.data(), Number);
    policy.dispose();
    let n = 0;
    const policy_GT = group.answers_G.map((answer) =>
      Float32Array.from(answer, (_, t) => group.sampled_T?.[t] === 0 ? 0 : policy_n[n++])
    );
    return policy_GT.map((policy_T, g) => sampler_GT[g] ?? policy_T);
  }

  /** The updates of a step, and what is reported of them. */
  async #update(step: number, groups: readonly AnswerGroup[]) {
    const { epochs } = this.options, miniBatches = this.#miniBatches(groups);
    const updates: UpdateSums[] = [];
    try {
      for (let epoch = 0; epoch < epochs; epoch++) {
        for (const miniBatch of miniBatches) {
          updates.push(await this.#miniBatchUpdate(step, updates.length === 0, miniBatch));
        }
      }
    } finally {
      for (const { old_n, reference_n } of miniBatches.flat()) {
        old_n?.dispose();
        reference_n?.dispose();
      }
    }
    const mean = (name: "loss" | "kl" | "clipped" | "gradientNorm") =>
      updates.reduce((sum, update) => sum + update[name] / updates.length, 0);
    return {
      loss: mean("loss"),
      ...needsReference(this.options) && updates.length > 0 ? { kl: mean("kl") } : {},
      clipShare: mean("clipped"),
      samplerMismatch: updates[0]?.mismatch ?? 0,
      gradientNorm: mean("gradientNorm"),
      skippedUpdates: updates.filter(({ isSkipped }) => isSkipped).length,
    };
  }

  /** Groups as they are updated together, with weights in the loss, and log p before the update and under the reference. */
  #miniBatches(groups: readonly AnswerGroup[]): TrainedGroup[][] {
    const { denominator, epochs, miniBatchPrompts } = this.options, maxTokens = this.world.openAnswers?.maxTokens;
    const miniBatches = chunks(
      groups.map((group) => this.#merges(group) ? mergeEqualAnswers(group) : group),
      miniBatchPrompts,
    );
    return miniBatches.map((miniBatch) => {
      const weights_Pn = spokenWeights(miniBatch, denominator, maxTokens);
      const old_Pn = this.#oldLogProbabilities(miniBatch, epochs * miniBatches.length);
      const reference_Pn = this.#referenceLogProbabilities(miniBatch);
      return miniBatch.map((group, p) => ({
        ...group,
        weights_n: weights_Pn[p],
        old_n: old_Pn?.[p],
        reference_n: reference_Pn?.[p],
      }));
    });
  }

  /**
   * Whether a group's equal answers are computed once. Not frames, which are hardly ever equal and go through the model faster in
   * groups of one size; not where a sampler's log-probabilities are the old ones, each sample's own.
   */
  #merges({ sampled_T }: AnswerGroup): boolean {
    return sampled_T === undefined && this.#sampler.followsPolicy;
  }

  /**
   * With one update the policy of the update is the policy of the rollout: the ratio is exactly 1, and nothing is computed. The
   * log-probabilities of a sampler that does not follow the policy are the old ones always.
   */
  #oldLogProbabilities(groups: readonly AnswerGroup[], updates: number): Tensor[] | undefined {
    const { engine } = this.model;
    if (this.#sampler.followsPolicy) return updates > 1 ? this.#frozenLogProbabilities(this.model, groups) : undefined;
    return groups.map((group) =>
      tensor(engine, Float32Array.from(spokenTokens([group]), ({ g, t }) => group.sampler_GT[g][t]))
    );
  }

  #referenceLogProbabilities(groups: readonly AnswerGroup[]): Tensor[] | undefined {
    const { reference, model, options } = this;
    if (!needsReference(options)) return undefined;
    if (reference !== "without-adapters") return this.#frozenLogProbabilities(reference!, groups);
    return model.withoutAdapters(() => this.#frozenLogProbabilities(model, groups));
  }

  #frozenLogProbabilities(model: CausalTransformer, groups: readonly AnswerGroup[]): Tensor[] {
    const { options } = this;
    return chunks(groups, FROZEN_MICRO_BATCHES * options.microBatchPrompts)
      .flatMap((some) => frozenLogProbabilities(model, some, options));
  }

  /** One optimizer update, its gradient summed over micro-batches. */
  async #miniBatchUpdate(step: number, isFirst: boolean, miniBatch: readonly TrainedGroup[]): Promise<UpdateSums> {
    const { options, model } = this, { microBatchPrompts, maxGradientNorm } = options;
    // After an update of this step it would be that one's weights that are no good.
    const since = isFirst ? step : step + 1;
    const gradients = new GradientSum(model.trainable);
    const sums: UpdateSums = { loss: 0, kl: 0, clipped: 0, mismatch: 0, gradientNorm: 0, isSkipped: false };
    const parts: Record<string, Tensor>[] = [];
    try {
      for (const microBatch of chunks(miniBatch, microBatchPrompts)) {
        const { value, aux, gradients: added } = hiddenValueAndGrad(
          model,
          () => predictingStates(model, microBatch, options),
          (states) => policyLoss(model, states, microBatch, options),
          options,
        );
        gradients.add(added);
        parts.push({ loss: value, ...aux });
      }
      // Everything is read at once: a device waits for each read.
      const names = parts.flatMap((part) => Object.keys(part)) as SummedName[];
      const [norm, ...numbers] = await readScalars(() => [
        globalNorm(gradients.gradients),
        ...parts.flatMap((part) => Object.values(part)),
      ]);
      for (const [i, name] of names.entries()) sums[name] += numbers[i];
      if (!Number.isFinite(sums.loss)) throw new TrainingDivergedError("the GRPO loss", step, sums.loss, since);
      // On a step's first update nothing is clipped, so that every token with an advantage pulls.
      const largestPull = isFirst && this.#sampler.followsPolicy ? largestAdvantage(miniBatch) : 0;
      if (!this.#watch.isUsable({ step, since, norm, largestPull })) return { ...sums, isSkipped: true };
      const gradientScale = clipScale(norm, maxGradientNorm), learningRate = this.#schedule(step);
      this.optimizer.step(gradients.gradients, { gradientScale, learningRate });
      return { ...sums, gradientNorm: norm };
    } finally {
      gradients.dispose();
      for (const scalar of parts.flatMap((part) => Object.values(part))) scalar.dispose();
    }
  }
}

/** What micro-batches add to. */
type SummedName = "loss" | "kl" | "clipped" | "mismatch";

/** What is known of one update: weighted sums over its tokens, which are means. */
interface UpdateSums {
  loss: number;
  kl: number;
  clipped: number;
  mismatch: number;
  /** 0 where the update was skipped. */
  gradientNorm: number;
  isSkipped: boolean;
}

/** Items in order, `size` at a time. */
function chunks<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
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
