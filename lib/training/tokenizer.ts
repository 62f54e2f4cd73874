/**
 * Training of the per-frame tokenizer: reconstruct frames, look alike (LPIPS), and look real (discriminator).
 *
 * One `step` is one update: of the tokenizer or, once the discriminator takes part, every other time of the discriminator.
 * Where frames come from is a function of the step's number, so a trainer that is saved and restored goes on with the same
 * numbers; nothing random is drawn here. Not here: run folders, checkpoints on disk, progress.
 *
 * Left out of the released recipe: colour augmentation (see `lib/worlds/robot_video/augment.ts`, applied by who gives
 * frames) and mixed precision of the discriminator. Added, off unless asked for: squared error, weights on pixels, spread of
 * the latents.
 *
 * Axis letters: B frames, H and W pixels.
 */
import type { HostTensor } from "../files/safetensors.ts";
import type { Discriminator } from "../models/discriminator.ts";
import { generatorLoss, gradientPenalty, hingeLoss } from "../models/discriminator.ts";
import type { FiniteScalarQuantizer } from "../models/fsq.ts";
import type { FrameTokenizer } from "../models/frame_tokenizer.ts";
import type { Lpips } from "../models/lpips.ts";
import { AdamW, globalNorm } from "../nn/optimizer.ts";
import { loadInto, toHost } from "../nn/parameters.ts";
import { constantSchedule, cosineSchedule, type Schedule } from "../nn/schedules.ts";
import { valueAndGrad } from "../tensor/gradient.ts";
import { tidy } from "../tensor/scope.ts";
import { stack, type Tensor, tensor } from "../tensor/tensor.ts";
import { codeUsage } from "./code_usage.ts";
import { TrainingDivergedError } from "./diverged.ts";

/** How a tokenizer is trained; the released values are `RELEASED_TOKENIZER_TRAINING`. */
export interface TokenizerTrainingConfig {
  /** Updates of the whole run, the discriminator's included. The tokenizer's cosine ends after so many of its own. */
  steps: number;
  /** Highest learning rate, of both. */
  learningRate: number;
  /** Updates over which each rate rises. */
  warmupSteps: number;
  /** Decay of AdamW's first moment. */
  beta1: number;
  /** Decay of AdamW's second moment. */
  beta2: number;
  /** AdamW's epsilon. */
  epsilon: number;
  /** AdamW's decoupled decay. */
  weightDecay: number;
  /** Gradients are scaled down to this global norm. */
  maxGradientNorm: number;
  /** Weight of the mean absolute error of pixels. */
  absoluteErrorWeight: number;
  /** Weight of the mean squared error of pixels: 0 in the released recipe. */
  squaredErrorWeight: number;
  /**
   * Weight of `latentSpread`, which keeps a tokenizer that is trained for minutes from giving every place one code: 0 in
   * the released recipe.
   */
  latentSpreadWeight: number;
  /**
   * Weight of `roundingError`, which keeps what is quantized away from the borders between codes, where the slightest
   * change of a frame changes its tokens: 0 in the released recipe.
   */
  roundingWeight: number;
  /** Weight of LPIPS, where its weights are given. */
  perceptualWeight: number;
  /** Weight of the generator's loss, where there is a discriminator. */
  adversarialWeight: number;
  /** Step from which the discriminator takes part. */
  adversarialStart: number;
  /** Weight of the discriminator's gradient penalty. */
  gradientPenaltyWeight: number;
}

/** The released recipe (paper table 7; per-frame script). */
export const RELEASED_TOKENIZER_TRAINING: TokenizerTrainingConfig = Object.freeze({
  steps: 600_000,
  learningRate: 5e-4,
  warmupSteps: 5000,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradientNorm: 1,
  absoluteErrorWeight: 1,
  squaredErrorWeight: 0,
  latentSpreadWeight: 0,
  roundingWeight: 0,
  perceptualWeight: 1,
  adversarialWeight: 0.1,
  adversarialStart: 10_000,
  gradientPenaltyWeight: 10,
});

/** Frames of one step. */
export interface FrameBatch {
  /** uint8 [B, H, W, 3] of the tokenizer's H and W. */
  frames: Uint8Array;
  /** Weight of each pixel's errors [B, H, W], all 1 when left out; see `changeWeights`. */
  pixelWeights?: Float32Array;
}

/** What one step did. Parts that had no share are absent. */
export interface TokenizerStepMetrics {
  /** 0 for the first. */
  step: number;
  /** Who was updated. */
  updated: "tokenizer" | "discriminator";
  /** The sum that was differentiated. */
  loss: number;
  /** Length of the gradient before clipping. */
  gradientNorm: number;
  /** Of this update. */
  learningRate: number;
  /** Mean absolute error of pixels in [0, 1], weighted. */
  absoluteError?: number;
  /** Mean squared error of pixels in [0, 1], weighted. */
  squaredError?: number;
  /** See `latentSpread`. */
  latentSpread?: number;
  /** See `roundingError`. */
  roundingError?: number;
  /** Mean LPIPS. */
  perceptual?: number;
  /** −mean D(reconstruction), or the discriminator's hinge loss. */
  adversarial?: number;
  /** Of the discriminator's update. */
  gradientPenalty?: number;
  /** Different codes in the batch. */
  codesUsed?: number;
  /** exp of the entropy of the batch's codes. */
  codePerplexity?: number;
}

/** What must be saved to go on bit for bit. */
export interface TokenizerTrainerState {
  /** Steps made. */
  step: number;
  /** Updates of the tokenizer among them. */
  tokenizerUpdates: number;
  /** Updates of the discriminator among them. */
  discriminatorUpdates: number;
  /** Parameters and moments. */
  tensors: Map<string, HostTensor>;
}

/** What a trainer works on. */
export interface TokenizerTrainerParts {
  /** What is trained. */
  tokenizer: FrameTokenizer;
  /** Anything left out has the released value. */
  config: Partial<TokenizerTrainingConfig>;
  /** The frames of a step (0 for the first); the same for the same step, so that a resumed run sees what it would have. */
  frames: (step: number) => FrameBatch | Promise<FrameBatch>;
  /** Without it there is no perceptual loss. */
  perceptual?: Lpips;
  /** Without it there is no adversarial loss. */
  discriminator?: Discriminator;
}

/** Trains a tokenizer step by step. */
export class TokenizerTrainer {
  /** All values. */
  readonly config: TokenizerTrainingConfig;
  readonly #parts: TokenizerTrainerParts;
  readonly #optimizer: AdamW;
  readonly #discriminatorOptimizer: AdamW | undefined;
  readonly #schedule: Schedule;
  readonly #discriminatorSchedule: Schedule;
  #step = 0;

  /**
   * A trainer at step 0.
   *
   * @throws {RangeError} When a value of the configuration is out of its range.
   */
  constructor(parts: TokenizerTrainerParts) {
    const config = { ...RELEASED_TOKENIZER_TRAINING, ...parts.config };
    checkConfig(config);
    this.config = config;
    this.#parts = parts;
    const { learningRate, warmupSteps, steps } = config;
    this.#schedule = cosineSchedule(learningRate, { warmupSteps, totalSteps: steps });
    this.#discriminatorSchedule = constantSchedule(learningRate, { warmupSteps });
    this.#optimizer = new AdamW(parts.tokenizer.parameters, config);
    this.#discriminatorOptimizer = parts.discriminator && new AdamW(parts.discriminator.parameters, config);
  }

  /** Steps made. */
  get stepsDone(): number {
    return this.#step;
  }

  /**
   * One update.
   *
   * @throws {TrainingDivergedError} When the loss or the gradient is not finite: parameters and moments are as before.
   * @throws {RangeError} When the batch is not frames of the tokenizer's size.
   */
  async step(): Promise<TokenizerStepMetrics> {
    const batch = await this.#parts.frames(this.#step);
    const { adversarialStart } = this.config;
    const { discriminator } = this.#parts;
    const adversarial = discriminator !== undefined && this.#step >= adversarialStart;
    const metrics = adversarial && (this.#step - adversarialStart) % 2 === 1
      ? await this.#updateDiscriminator(discriminator, batch)
      : await this.#updateTokenizer(batch, adversarial ? discriminator : undefined);
    this.#step++;
    return metrics;
  }

  /** Reads everything that a later trainer of the same parts needs to go on. */
  async stateToHost(): Promise<TokenizerTrainerState> {
    const { tokenizer, discriminator } = this.#parts;
    const optimizer = await this.#optimizer.stateToHost();
    const other = await this.#discriminatorOptimizer?.stateToHost();
    const parts: [string, ReadonlyMap<string, HostTensor> | undefined][] = [
      ["tokenizer.", await toHost(tokenizer.parameters)],
      ["tokenizer_optimizer.", optimizer.tensors],
      ["discriminator.", await discriminator?.toHost()],
      ["discriminator_optimizer.", other?.tensors],
    ];
    return {
      step: this.#step,
      tokenizerUpdates: optimizer.stepCount,
      discriminatorUpdates: other?.stepCount ?? 0,
      tensors: new Map(
        parts.flatMap(([prefix, map]) => [...map ?? []].map(([name, each]) => [prefix + name, each] as const)),
      ),
    };
  }

  /**
   * Goes on where another trainer stopped.
   *
   * @param source What the state was read from, for messages.
   * @throws {UserError} When the state belongs to models of other shapes.
   */
  async loadState(state: TokenizerTrainerState, source = "the tokenizer's training state"): Promise<void> {
    const { tokenizer, discriminator } = this.#parts;
    const part = (prefix: string) =>
      new Map(
        [...state.tensors].filter(([name]) => name.startsWith(prefix)).map(([name, each]) =>
          [name.slice(prefix.length), each] as const
        ),
      );
    await loadInto(tokenizer.parameters, part("tokenizer."), { source });
    await this.#optimizer.loadState(
      { stepCount: state.tokenizerUpdates, tensors: part("tokenizer_optimizer.") },
      source,
    );
    if (discriminator) {
      await discriminator.loadHost(part("discriminator."), source);
      await this.#discriminatorOptimizer!.loadState(
        { stepCount: state.discriminatorUpdates, tensors: part("discriminator_optimizer.") },
        source,
      );
    }
    this.#step = state.step;
  }

  /** Gives the optimizers' moments back; the models stay. */
  dispose(): void {
    this.#optimizer.dispose();
    this.#discriminatorOptimizer?.dispose();
  }

  async #updateTokenizer(batch: FrameBatch, discriminator: Discriminator | undefined): Promise<TokenizerStepMetrics> {
    const { tokenizer, perceptual } = this.#parts;
    const { absoluteErrorWeight, squaredErrorWeight, latentSpreadWeight, roundingWeight } = this.config;
    const { perceptualWeight, adversarialWeight } = this.config;
    discriminator?.powerIterate();
    const { gradients, numbers, indices } = tidy(() => {
      const { frames, weights } = this.#toTensors(batch);
      const { value, gradients, aux } = valueAndGrad(() => {
        const { reconstruction, indices, latents } = tokenizer.reconstruct(frames);
        const error = reconstruction.sub(frames);
        const average = (x: Tensor) => weights === undefined ? x.mean() : x.mul(weights).mean();
        const parts: Record<string, Tensor> = {
          absoluteError: average(error.abs()),
          squaredError: average(error.square()),
        };
        let loss = parts.absoluteError.mul(absoluteErrorWeight);
        if (squaredErrorWeight > 0) loss = loss.add(parts.squaredError.mul(squaredErrorWeight));
        if (latentSpreadWeight > 0) {
          parts.latentSpread = latentSpread(latents);
          loss = loss.add(parts.latentSpread.mul(latentSpreadWeight));
        }
        if (roundingWeight > 0) {
          parts.roundingError = roundingError(tokenizer.quantizer, latents);
          loss = loss.add(parts.roundingError.mul(roundingWeight));
        }
        if (perceptual && perceptualWeight > 0) {
          parts.perceptual = perceptual.distance(reconstruction, frames).mean();
          loss = loss.add(parts.perceptual.mul(perceptualWeight));
        }
        if (discriminator) {
          parts.adversarial = generatorLoss(discriminator.logits(reconstruction));
          loss = loss.add(parts.adversarial.mul(adversarialWeight));
        }
        return { loss, aux: { parts, indices } };
      }, [...tokenizer.parameters.values()]);
      const numbers = { loss: value, gradientNorm: globalNorm(gradients), ...aux.parts };
      return { gradients, numbers: pack(numbers), indices: aux.indices };
    });
    const codes = await indices.data() as Int32Array;
    indices.dispose();
    const learningRate = this.#schedule(this.#optimizer.stepCount);
    const read = await this.#apply(this.#optimizer, gradients, numbers, learningRate);
    const { used, perplexity } = codeUsage(codes, tokenizer.codebookSize);
    return {
      step: this.#step,
      updated: "tokenizer",
      learningRate,
      ...read,
      codesUsed: used,
      codePerplexity: perplexity,
    };
  }

  async #updateDiscriminator(discriminator: Discriminator, batch: FrameBatch): Promise<TokenizerStepMetrics> {
    discriminator.powerIterate();
    const { gradients, numbers } = tidy(() => {
      const { frames } = this.#toTensors(batch);
      const fake = tidy(() => this.#parts.tokenizer.reconstruct(frames).reconstruction.detach());
      const { value, gradients, aux } = valueAndGrad(() => {
        const adversarial = hingeLoss(discriminator.logits(fake), discriminator.logits(frames));
        const penalty = gradientPenalty(discriminator, frames);
        const loss = adversarial.add(penalty.mul(this.config.gradientPenaltyWeight));
        return { loss, aux: { adversarial, gradientPenalty: penalty } };
      }, [...discriminator.parameters.values()]);
      return { gradients, numbers: pack({ loss: value, gradientNorm: globalNorm(gradients), ...aux }) };
    });
    const optimizer = this.#discriminatorOptimizer!;
    const learningRate = this.#discriminatorSchedule(optimizer.stepCount);
    const read = await this.#apply(optimizer, gradients, numbers, learningRate);
    return { step: this.#step, updated: "discriminator", learningRate, ...read };
  }

  /** Checks the numbers, then updates: what is not finite changes nothing. */
  async #apply(
    optimizer: AdamW,
    gradients: Tensor[],
    numbers: PackedNumbers,
    learningRate: number,
  ): Promise<{ loss: number; gradientNorm: number } & Record<string, number>> {
    try {
      const read = await unpack(numbers);
      if (!Number.isFinite(read.loss) || !Number.isFinite(read.gradientNorm)) {
        const [what, value] = Number.isFinite(read.loss)
          ? ["the tokenizer's gradient norm", read.gradientNorm] as const
          : ["the tokenizer's loss", read.loss] as const;
        throw new TrainingDivergedError(what, this.#step, value);
      }
      const gradientScale = Math.min(1, this.config.maxGradientNorm / (read.gradientNorm + 1e-6));
      optimizer.step(gradients, { learningRate, gradientScale });
      return read;
    } finally {
      for (const each of gradients) each.dispose();
    }
  }

  #toTensors({ frames, pixelWeights }: FrameBatch): { frames: Tensor; weights?: Tensor } {
    const { engine, config: { height, width } } = this.#parts.tokenizer;
    const count = frames.length / (height * width * 3);
    if (!Number.isInteger(count) || count < 1) {
      throw new RangeError(
        `tokenizer training: a batch must be bytes [B, ${height}, ${width}, 3]: received ${frames.length} bytes`,
      );
    }
    const pixels = tensor(engine, Float32Array.from(frames, (each) => each / 255), [count, height, width, 3]);
    if (pixelWeights === undefined) return { frames: pixels };
    if (pixelWeights.length !== count * height * width) {
      throw new RangeError(
        `tokenizer training: pixelWeights must be [${count}, ${height}, ${width}]: received ${pixelWeights.length} numbers`,
      );
    }
    // A mean of 1 keeps the loss comparable between batches.
    const mean = pixelWeights.reduce((sum, each) => sum + each, 0) / pixelWeights.length;
    const scaled = pixelWeights.map((each) => each / mean);
    return { frames: pixels, weights: tensor(engine, scaled, [count, height, width, 1]) };
  }
}

/**
 * How far the numbers that are quantized are from mean 0 and standard deviation 1 over the frames of a batch: mean(m² +
 * (s − 1)²), m and s at each place and dimension. At 0 they reach every level, saturate none, and tell frames apart
 * instead of places.
 *
 * @param latents float32 [B, rows, columns, L].
 */
export function latentSpread(latents: Tensor): Tensor {
  const mean = latents.mean(0);
  // The small number keeps the root differentiable where all frames are equal.
  const deviation = latents.sub(mean).square().mean(0).add(1e-6).sqrt();
  return mean.square().add(deviation.sub(1).square()).mean();
}

/**
 * How far the bounded latents lie from the levels that they are rounded to: the mean square, at most ¼. The commitment term
 * of VQ-VAE (van den Oord et al. 2017) for a quantizer without a codebook.
 *
 * @param latents float32 [B, rows, columns, L].
 */
export function roundingError(quantizer: FiniteScalarQuantizer, latents: Tensor): Tensor {
  const bounded = quantizer.bound(latents);
  return bounded.sub(bounded.detach().round()).square().mean();
}

/** Scalars in one tensor, so that reading them is one wait. */
interface PackedNumbers {
  names: string[];
  values: Tensor;
}

function pack(numbers: Record<string, Tensor>): PackedNumbers {
  return { names: Object.keys(numbers), values: stack(Object.values(numbers)) };
}

async function unpack({ names, values }: PackedNumbers): Promise<{ loss: number; gradientNorm: number }> {
  const read = await values.data();
  values.dispose();
  return Object.fromEntries(names.map((name, i) => [name, read[i]])) as { loss: number; gradientNorm: number };
}

function checkConfig(config: TokenizerTrainingConfig): void {
  for (const [name, value] of Object.entries(config)) {
    if (!(Number.isFinite(value) && value >= 0)) throw new RangeError(`${name} must be at least 0: received ${value}`);
  }
  if (!(config.maxGradientNorm > 0)) {
    throw new RangeError(`maxGradientNorm must be above 0: received ${config.maxGradientNorm}`);
  }
}
