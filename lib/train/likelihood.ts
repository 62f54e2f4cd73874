/**
 * Maximum likelihood: the first stage, log p(o(s') | q(s, a)) of true transitions (RLVR-World Eq. 2).
 *
 * One `step` takes a batch of encoded transitions, splits it into micro-batches, adds up their gradients, clips and updates
 * with AdamW. The loss is the mean over the trained tokens of the whole batch, so the split changes nothing. What a step
 * draws is decided by the caller from the step's number, so nothing but weights, moments and the number is state.
 */
import type { CausalTransformer } from "../models/causal_transformer.ts";
import { hiddenValueAndGrad } from "../models/checkpointed_gradient.ts";
import { type Layerwise, runLayers } from "../models/layerwise.ts";
import { tokenLogProbabilities, tokenLoss } from "../nn/log_probabilities.ts";
import { AdamW, clipScale, globalNorm } from "../nn/optimizer.ts";
import { constantSchedule, type Schedule, stableSchedule } from "../nn/schedules.ts";
import { readScalars } from "../tensor/read_scalar.ts";
import { tidy } from "../tensor/scope.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { EncodedTransition } from "../worlds/world.ts";
import { TrainingDivergedError } from "./diverged.ts";
import { GradientSum } from "./gradient_sum.ts";

/** Choices of the likelihood stage. */
export interface LikelihoodOptions {
  /** AdamW's step size after the warm-up. */
  learningRate: number;
  /** Updates over which the learning rate rises from 0. */
  warmupSteps: number;
  /** How the rate falls at the end: linearly to 0 over the last `steps` of `totalSteps` updates. Left out: it stays. */
  decay?: { steps: number; totalSteps: number };
  /** AdamW's decoupled weight decay: parameters shrink by learningRate · weightDecay an update. */
  weightDecay: number;
  /** Bound of the gradient's global L2 norm. */
  maxGradientNorm: number;
  /** Sequences whose forward and backward run at once. */
  microBatch: number;
  /** Tokens whose logits exist at once. */
  logitChunk: number;
  /** Keep only what enters each block, and run each twice: less memory, a third more work. */
  checkpointing?: boolean;
  /** Decay of AdamW's second moment. @default {0.999} */
  beta2?: number;
}

/** Nats a token: with a loss below it a gradient may be rounded to 0. */
const FITTED = 1e-3;

/**
 * What a step reports.
 *
 * @internal
 */
export interface LikelihoodMetrics {
  /** Mean negative log-likelihood of the trained tokens, in nats. */
  loss: number;
  /** Global L2 norm of the gradient before clipping. */
  gradientNorm: number;
  /** Learning rate of this update. */
  learningRate: number;
  /** Number of tokens read, questions included. */
  tokens: number;
}

/** Trains a transformer by maximum likelihood, a step at a time. */
export class LikelihoodTrainer {
  /** AdamW with its moments, which a checkpoint keeps. */
  readonly optimizer: AdamW;
  readonly #schedule: Schedule;

  /**
   * The model is changed in place and stays the caller's.
   *
   * @throws {RangeError} When a rate or a number of steps is out of its range.
   */
  constructor(readonly model: CausalTransformer, readonly options: LikelihoodOptions) {
    const { learningRate, warmupSteps, decay } = options;
    this.#schedule = decay && decay.steps > 0
      ? stableSchedule(learningRate, { warmupSteps, decaySteps: decay.steps, totalSteps: decay.totalSteps })
      : constantSchedule(learningRate, { warmupSteps });
    this.optimizer = new AdamW(model.trainable, {
      learningRate: options.learningRate,
      weightDecay: options.weightDecay,
      beta2: options.beta2,
    });
  }

  /**
   * One update on a batch of true transitions.
   *
   * @param step Counted from 0; sets the learning rate.
   * @throws {TrainingDivergedError} When the loss or the gradient is not finite, or the gradient is exactly 0 and the loss is not;
   *   weights are then as before the step.
   */
  async step(step: number, batch: readonly EncodedTransition[]): Promise<LikelihoodMetrics> {
    const { microBatch, maxGradientNorm } = this.options;
    const trainedTokens = batch.reduce((sum, transition) => sum + trainedPositions(transition).length, 0);
    const sum = new GradientSum(this.model.trainable);
    const losses: Tensor[] = [];
    try {
      for (let from = 0; from < batch.length; from += microBatch) {
        const part = batch.slice(from, from + microBatch);
        const { value, gradients } = hiddenValueAndGrad(
          this.model,
          () => this.#trainedStates(part),
          (hidden) => this.#loss(hidden, part).mul(1 / trainedTokens),
          this.options,
        );
        losses.push(value);
        sum.add(gradients);
      }
      const numbers = await readScalars(() => [...losses, globalNorm(sum.gradients)]);
      const gradientNorm = numbers.pop()!, loss = numbers.reduce((total, each) => total + each, 0);
      if (!Number.isFinite(loss)) throw new TrainingDivergedError("the likelihood loss", step, loss);
      if (!Number.isFinite(gradientNorm)) throw new TrainingDivergedError("the gradient norm", step, gradientNorm);
      if (gradientNorm === 0 && loss > FITTED) throw new TrainingDivergedError("the gradient norm", step, gradientNorm);
      const learningRate = this.#schedule(step);
      this.optimizer.step(sum.gradients, {
        learningRate,
        gradientScale: clipScale(gradientNorm, maxGradientNorm),
      });
      const tokens = batch.reduce(
        (count, transition) => count + transition.question.length + transition.answer.tokens.length,
        0,
      );
      return { loss, gradientNorm, learningRate, tokens };
    } finally {
      sum.dispose();
      for (const microLoss of losses) microLoss.dispose();
    }
  }

  /** Mean negative log-likelihood of the trained tokens of some transitions, without a gradient. */
  async evaluate(batch: readonly EncodedTransition[]): Promise<number> {
    let total = 0, count = 0;
    for (let from = 0; from < batch.length; from += this.options.microBatch) {
      const part = batch.slice(from, from + this.options.microBatch);
      const logProbabilities = tidy(() => {
        const hidden = runLayers(this.#trainedStates(part)), targets = this.#targets(part);
        return tokenLogProbabilities(hidden, this.model.head, targets, this.#headOptions()).logProbabilities;
      });
      for (const logProbability of await logProbabilities.data()) total -= logProbability;
      count += logProbabilities.size;
      logProbabilities.dispose();
    }
    return total / count;
  }

  #loss(hidden: Tensor, part: readonly EncodedTransition[]): Tensor {
    const negativeSum = (logProbabilities: Tensor) => logProbabilities.sum().neg();
    return tokenLoss(hidden, this.model.head, this.#targets(part), negativeSum, this.#headOptions());
  }

  /** int64 [N]: the trained tokens. */
  #targets(part: readonly EncodedTransition[]): Tensor {
    const targets = part.flatMap((transition) => {
      const { question, answer: { tokens } } = transition;
      return trainedPositions(transition).map((i) => i < question.length ? question[i] : tokens[i - question.length]);
    });
    return tensor(this.model.engine, Int32Array.from(targets));
  }

  #headOptions() {
    return { chunkSize: this.options.logitChunk, computeType: this.model.computeType };
  }

  /** The pass to the hidden states [N, D] that predict the N trained tokens. Sequences of several lengths are packed. */
  #trainedStates(part: readonly EncodedTransition[]): Layerwise<Tensor> {
    const { engine } = this.model;
    const rows: number[] = [];
    let at = 0;
    const inputs = part.map((transition) => {
      const sequence = Int32Array.of(...transition.question, ...transition.answer.tokens);
      for (const position of trainedPositions(transition)) rows.push(at + position - 1);
      at += sequence.length - 1;
      return sequence.subarray(0, sequence.length - 1);
    });
    const picked = tensor(engine, Int32Array.from(rows)), length = inputs[0].length;
    if (inputs.every((sequence) => sequence.length === length)) {
      const tokens = new Int32Array(at);
      inputs.forEach((sequence, b) => tokens.set(sequence, b * length));
      const pass = this.model.hiddenPass(tensor(engine, tokens, [inputs.length, length], "int64"));
      return { ...pass, finish: (x) => pass.finish(x).reshape([at, -1]).gather(picked) };
    }
    const pass = this.model.hiddenPackedPass(inputs.map((prompt) => ({ prompt, answers: [] })));
    return { ...pass, finish: (x) => pass.finish(x).prompts.gather(picked) };
  }
}

/** Positions in question + answer whose tokens are trained. */
function trainedPositions({ question, answer, trainedQuestionTokens }: EncodedTransition): number[] {
  const positions: number[] = [];
  for (let i = question.length - trainedQuestionTokens; i < question.length; i++) positions.push(i);
  answer.sampled.forEach((sampled, t) => {
    if (sampled === 1) positions.push(question.length + t);
  });
  return positions;
}
