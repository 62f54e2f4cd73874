/**
 * The steps of tokenizer training, whatever the tokenizer: reconstruct images, look alike (LPIPS), and look real
 * (discriminator).
 *
 * One `step` is one update: of the tokenizer or, once the discriminator takes part, every other time of the discriminator.
 * Where images come from is a function of the step's number, so a trainer that is saved and restored goes on with the same
 * numbers. What a batch is and how it is reconstructed is said by the trainers of the two tokenizers (`frame_tokenizer_trainer.ts`,
 * `compressive_tokenizer_trainer.ts`). Not here: run folders, checkpoints on disk, progress.
 */
import type { HostTensor } from "../io/safetensors.ts";
import { type Discriminator, generatorLoss, gradientPenalty, hingeLoss } from "../models/discriminator.ts";
import type { Lpips } from "../models/lpips.ts";
import { AdamW, clipScale, globalNorm } from "../nn/optimizer.ts";
import { loadInto, type Parameters, toHost } from "../nn/parameters.ts";
import { constantSchedule, cosineSchedule, type Schedule } from "../nn/schedules.ts";
import { valueAndGrad } from "../tensor/gradient.ts";
import { tidy } from "../tensor/scope.ts";
import { concat, stack, type Tensor } from "../tensor/tensor.ts";
import { codeUsage } from "./code_usage.ts";
import { TrainingDivergedError } from "./diverged.ts";
import { metricName, type ReconstructedImages, reconstructionLoss } from "./tokenizer_losses.ts";
import { checkTokenizerTraining, type TokenizerTrainingConfig } from "./tokenizer_training_config.ts";

/** What one step did. Parts that had no share are absent. */
export interface TokenizerStepMetrics {
  /** Number of the step, from 0. */
  step: number;
  /** Which network this step updated. */
  updated: "tokenizer" | "discriminator";
  /** The sum that was differentiated. */
  loss: number;
  /** Length of the gradient before clipping. */
  gradientNorm: number;
  /** Learning rate of this update. */
  learningRate: number;
  /** Mean absolute error of pixels in [0, 1], weighted. */
  absoluteError?: number;
  /** Mean squared error of pixels in [0, 1], weighted. */
  squaredError?: number;
  /** Spread of the latents before they are rounded; see `latentSpread`. */
  latentSpread?: number;
  /** Mean error of rounding the latents; see `roundingError`. */
  roundingError?: number;
  /** LPIPS between frames and reconstructions, mean over frames. */
  perceptual?: number;
  /** −mean D(reconstruction), or the discriminator's hinge loss. */
  adversarial?: number;
  /** Penalty of the discriminator's gradient, on its updates. */
  gradientPenalty?: number;
  /** Different codes in the batch. */
  codesUsed?: number;
  /** exp of the entropy of the batch's codes. */
  codePerplexity?: number;
}

/** What must be saved to go on bit for bit. */
export interface TokenizerTrainerState {
  /** Number of steps made so far. */
  step: number;
  /** Updates of the tokenizer among them. */
  tokenizerUpdates: number;
  /** Updates of the discriminator among them. */
  discriminatorUpdates: number;
  /** Parameters and moments by name, prefixed with whose they are. */
  tensors: Map<string, HostTensor>;
}

/** What the trainers of all tokenizers work on. */
export interface ImageTokenizerTrainerParts<B> {
  /** The tokenizer's parameters. */
  parameters: Parameters;
  /** The images of a step (0 for the first); the same for the same step, so that a resumed run sees what it would have. */
  batches: (step: number) => B | Promise<B>;
  /** Without it there is no perceptual loss. */
  perceptual?: Lpips;
  /** Without it there is no adversarial loss. */
  discriminator?: Discriminator;
}

/**
 * Trains a tokenizer step by step.
 *
 * B is a step's batch as it is given, P the same as tensors.
 */
export abstract class ImageTokenizerTrainer<B, P> {
  /** Every value of the training, defaults filled in. */
  readonly config: TokenizerTrainingConfig;
  readonly #parts: ImageTokenizerTrainerParts<B>;
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
  protected constructor(parts: ImageTokenizerTrainerParts<B>, config: TokenizerTrainingConfig) {
    checkTokenizerTraining(config);
    this.config = config;
    this.#parts = parts;
    const { learningRate, warmupSteps, steps } = config;
    this.#schedule = cosineSchedule(learningRate, { warmupSteps, totalSteps: steps });
    this.#discriminatorSchedule = constantSchedule(learningRate, { warmupSteps });
    this.#optimizer = new AdamW(parts.parameters, config);
    this.#discriminatorOptimizer = parts.discriminator && new AdamW(parts.discriminator.parameters, config);
  }

  /** A batch as tensors; refuses one that does not fit the tokenizer. */
  protected abstract prepare(batch: B): P;

  /** What the tokenizer makes of a batch, differentiable; the gradient penalty is that of the last kind. */
  protected abstract images(prepared: P, step: number): ReconstructedImages[];

  /** Number of steps made so far. */
  get stepsDone(): number {
    return this.#step;
  }

  /**
   * One update.
   *
   * @throws {TrainingDivergedError} When the loss or the gradient is not finite: parameters and moments are as before.
   * @throws {RangeError} When the batch does not have the tokenizer's size.
   */
  async step(): Promise<TokenizerStepMetrics> {
    const batch = await this.#parts.batches(this.#step);
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
    const { parameters, discriminator } = this.#parts;
    const optimizer = await this.#optimizer.stateToHost();
    const other = await this.#discriminatorOptimizer?.stateToHost();
    const parts: [string, ReadonlyMap<string, HostTensor> | undefined][] = [
      ["tokenizer.", await toHost(parameters)],
      ["tokenizer_optimizer.", optimizer.tensors],
      ["discriminator.", await discriminator?.toHost()],
      ["discriminator_optimizer.", other?.tensors],
    ];
    return {
      step: this.#step,
      tokenizerUpdates: optimizer.stepCount,
      discriminatorUpdates: other?.stepCount ?? 0,
      tensors: new Map(
        parts.flatMap(([prefix, map]) => [...map ?? []].map(([name, host]) => [prefix + name, host] as const)),
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
    const { parameters, discriminator } = this.#parts;
    const part = (prefix: string) =>
      new Map(
        [...state.tensors].filter(([name]) => name.startsWith(prefix)).map(([name, host]) =>
          [name.slice(prefix.length), host] as const
        ),
      );
    await loadInto(parameters, part("tokenizer."), { source });
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

  async #updateTokenizer(batch: B, discriminator: Discriminator | undefined): Promise<TokenizerStepMetrics> {
    const { parameters, perceptual } = this.#parts;
    discriminator?.powerIterate();
    const { gradients, numbers, codes } = tidy(() => {
      const prepared = this.prepare(batch);
      const { value, gradients, aux } = valueAndGrad(() => {
        const kinds = this.images(prepared, this.#step);
        const judged = kinds.map((kind) => reconstructionLoss(kind, this.config, perceptual));
        const terms: Record<string, Tensor> = Object.assign({}, ...judged.map((part) => part.terms));
        let loss = judged.map((part) => part.loss).reduce((sum, part) => sum.add(part));
        if (discriminator) {
          terms.adversarial = generatorLoss(discriminator.logits(together(kinds.map((kind) => kind.reconstruction))));
          loss = loss.add(terms.adversarial.mul(this.config.adversarialWeight));
        }
        const codes = kinds.map(({ kind, indices, quantizer }) => ({ kind, indices, size: quantizer.codebookSize }));
        return { loss, aux: { terms, codes } };
      }, [...parameters.values()]);
      const numbers = { loss: value, gradientNorm: globalNorm(gradients), ...aux.terms };
      const codes = aux.codes.map(({ kind, size }) => ({ kind, size }));
      return { gradients, numbers: pack(numbers, aux.codes.map(({ indices }) => indices)), codes };
    });
    const learningRate = this.#schedule(this.#optimizer.stepCount);
    const { read, lists } = await this.#apply(this.#optimizer, gradients, numbers, learningRate);
    // Looked at once the numbers are known to be finite: codes of NaN are outside of every codebook.
    const usage: Record<string, number> = {};
    for (const [i, { kind, size }] of codes.entries()) {
      const { used, perplexity } = codeUsage(lists[i], size);
      usage[metricName(kind, "codesUsed")] = used;
      usage[metricName(kind, "codePerplexity")] = perplexity;
    }
    return { step: this.#step, updated: "tokenizer", learningRate, ...read, ...usage };
  }

  async #updateDiscriminator(discriminator: Discriminator, batch: B): Promise<TokenizerStepMetrics> {
    discriminator.powerIterate();
    const { gradients, numbers } = tidy(() => {
      const prepared = this.prepare(batch);
      const kinds = tidy(() =>
        this.images(prepared, this.#step).map(({ target, reconstruction }) => ({
          target,
          fake: reconstruction.detach(),
        }))
      );
      const real = together(kinds.map((kind) => kind.target)), fake = together(kinds.map((kind) => kind.fake));
      const { value, gradients, aux } = valueAndGrad(() => {
        const adversarial = hingeLoss(discriminator.logits(fake), discriminator.logits(real));
        const penalty = gradientPenalty(discriminator, kinds[kinds.length - 1].target);
        const loss = adversarial.add(penalty.mul(this.config.gradientPenaltyWeight));
        return { loss, aux: { adversarial, gradientPenalty: penalty } };
      }, [...discriminator.parameters.values()]);
      return { gradients, numbers: pack({ loss: value, gradientNorm: globalNorm(gradients), ...aux }) };
    });
    const optimizer = this.#discriminatorOptimizer!;
    const learningRate = this.#discriminatorSchedule(optimizer.stepCount);
    const { read } = await this.#apply(optimizer, gradients, numbers, learningRate);
    return { step: this.#step, updated: "discriminator", learningRate, ...read };
  }

  /** Checks the numbers, then updates: what is not finite changes nothing. */
  async #apply(
    optimizer: AdamW,
    gradients: Tensor[],
    numbers: PackedNumbers,
    learningRate: number,
  ): Promise<ReadNumbers> {
    try {
      const { read, lists } = await unpack(numbers);
      if (!Number.isFinite(read.loss) || !Number.isFinite(read.gradientNorm)) {
        const [what, value] = Number.isFinite(read.loss)
          ? ["the tokenizer's gradient norm", read.gradientNorm] as const
          : ["the tokenizer's loss", read.loss] as const;
        throw new TrainingDivergedError(what, this.#step, value);
      }
      const gradientScale = clipScale(read.gradientNorm, this.config.maxGradientNorm);
      optimizer.step(gradients, { learningRate, gradientScale });
      return { read, lists };
    } finally {
      for (const gradient of gradients) gradient.dispose();
    }
  }
}

function together(images: Tensor[]): Tensor {
  return images.length === 1 ? images[0] : concat(images);
}

/** Scalars, and lists of whole numbers that float32 holds, in one tensor, so that reading them is one wait. */
interface PackedNumbers {
  names: string[];
  lengths: number[];
  values: Tensor;
}

interface ReadNumbers {
  read: { loss: number; gradientNorm: number } & Record<string, number>;
  lists: Int32Array[];
}

function pack(numbers: Record<string, Tensor>, lists: readonly Tensor[] = []): PackedNumbers {
  const flat = lists.map((each) => each.cast("float32").reshape([each.size]));
  return {
    names: Object.keys(numbers),
    lengths: lists.map((each) => each.size),
    values: concat([stack(Object.values(numbers)), ...flat]),
  };
}

async function unpack({ names, lengths, values }: PackedNumbers): Promise<ReadNumbers> {
  const numbers = await values.data() as Float32Array;
  values.dispose();
  let end = names.length;
  const lists = lengths.map((length) => Int32Array.from(numbers.subarray(end, end += length)));
  const read = Object.fromEntries(names.map((name, i) => [name, numbers[i]])) as ReadNumbers["read"];
  return { read, lists };
}
