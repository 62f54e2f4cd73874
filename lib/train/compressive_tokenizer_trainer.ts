/**
 * Training of the compressive tokenizer: batches are clips of a context frame and T others; the losses of the context's
 * reconstruction and of the others' are added, both unweighted, and the discriminator sees both. Its gradient penalty is that
 * of the other frames. The steps themselves are those of all tokenizers (`image_tokenizer_trainer.ts`).
 *
 * Which frames make a clip is the data's affair: `chooseTokenizerFrames` in `lib/worlds/robot_video/tokenizer_frames.ts`.
 * Left out and added as for the per-frame tokenizer (`frame_tokenizer_trainer.ts`).
 *
 * Axis letters: B clips, T frames of a clip beside its context, H and W pixels.
 */
import { STREAM } from "../base/streams.ts";
import type { CompressiveTokenizer } from "../models/compressive_tokenizer.ts";
import type { Discriminator } from "../models/discriminator.ts";
import type { Lpips } from "../models/lpips.ts";
import { Philox } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { ImageTokenizerTrainer, type TokenizerStepMetrics } from "./image_tokenizer_trainer.ts";
import { normalizedWeights, type ReconstructedImages } from "./tokenizer_losses.ts";
import { RELEASED_TOKENIZER_TRAINING, type TokenizerTrainingConfig } from "./tokenizer_training_config.ts";

/** How a compressive tokenizer is trained. */
export interface CompressiveTokenizerTrainingConfig extends TokenizerTrainingConfig {
  /**
   * Share of attention weights, and of what attention adds, that is zeroed at random: 0.1 in the released recipe. Its random
   * numbers are made on the host, one a weight: with the released sizes that takes longer than the rest of a step.
   */
  attentionDropout: number;
}

/** The released recipe (paper table 7; compressive script). */
export const RELEASED_COMPRESSIVE_TOKENIZER_TRAINING: CompressiveTokenizerTrainingConfig = Object.freeze({
  ...RELEASED_TOKENIZER_TRAINING,
  attentionDropout: 0.1,
});

/** Clips that one step learns from. */
export interface ClipBatch {
  /** uint8 [B, H, W, 3] of the tokenizer's H and W. */
  context: Uint8Array;
  /** uint8 [B, T, H, W, 3]. */
  frames: Uint8Array;
  /** Weight of each pixel's errors in `frames` [B, T, H, W]; see `changeWeights`. @default {1 each} */
  pixelWeights?: Float32Array;
}

/** What one step did: the fields without `context` in their name are the other frames'. */
export interface ClipStepMetrics extends TokenizerStepMetrics {
  /** Mean absolute error of the context's pixels in [0, 1]. */
  contextAbsoluteError?: number;
  /** Mean squared error of the context's pixels in [0, 1]. */
  contextSquaredError?: number;
  /** Of the context's map; see `latentSpread`. */
  contextLatentSpread?: number;
  /** Of the context's map; see `roundingError`. */
  contextRoundingError?: number;
  /** Mean LPIPS of the context. */
  contextPerceptual?: number;
  /** Different context codes in the batch. */
  contextCodesUsed?: number;
  /** exp of the entropy of the batch's context codes. */
  contextCodePerplexity?: number;
}

/** What a trainer works on. */
export interface CompressiveTokenizerTrainerParts {
  /** The tokenizer to train, in place; it stays the caller's. */
  tokenizer: CompressiveTokenizer;
  /** Anything left out has the released value; `attentionDropout` is 0. */
  config: Partial<CompressiveTokenizerTrainingConfig>;
  /** The clips of a step (0 for the first); the same for the same step, so that a resumed run sees what it would have. */
  clips: (step: number) => ClipBatch | Promise<ClipBatch>;
  /** Names the random numbers of dropout. @default {0} */
  seed?: number;
  /** Without it there is no perceptual loss. */
  perceptual?: Lpips;
  /** Without it there is no adversarial loss. */
  discriminator?: Discriminator;
}

interface PreparedClips {
  context: Tensor;
  frames: Tensor;
  weights?: Tensor;
}

/** Trains a compressive tokenizer step by step. */
export class CompressiveTokenizerTrainer extends ImageTokenizerTrainer<ClipBatch, PreparedClips> {
  readonly #tokenizer: CompressiveTokenizer;
  readonly #dropout: { rate: number; seed: number };

  /**
   * A trainer at step 0.
   *
   * @throws {RangeError} When a value of the configuration is out of its range.
   */
  constructor({ tokenizer, config, clips, seed = 0, perceptual, discriminator }: CompressiveTokenizerTrainerParts) {
    const { attentionDropout = 0, ...recipe } = config, { parameters } = tokenizer;
    if (!(attentionDropout >= 0 && attentionDropout < 1)) {
      throw new RangeError(`attentionDropout must be from 0 to below 1: received ${attentionDropout}`);
    }
    super({ parameters, batches: clips, perceptual, discriminator }, { ...RELEASED_TOKENIZER_TRAINING, ...recipe });
    this.#tokenizer = tokenizer;
    this.#dropout = { rate: attentionDropout, seed };
  }

  /** One update; see {@linkcode ImageTokenizerTrainer.step}. */
  override async step(): Promise<ClipStepMetrics> {
    return await super.step();
  }

  /** Bytes as tensors; refuses what does not have the tokenizer's size. */
  protected override prepare({ context, frames, pixelWeights }: ClipBatch): PreparedClips {
    const { engine, config: { height, width } } = this.#tokenizer;
    const image = height * width * 3, batch = context.length / image, length = frames.length / context.length;
    if (!(Number.isInteger(batch) && batch >= 1 && Number.isInteger(length) && length >= 1)) {
      throw new RangeError(
        `tokenizer training: a batch must be context bytes [B, ${height}, ${width}, 3] and frames [B, T, ${height}, ` +
          `${width}, 3]: received ${context.length} and ${frames.length} bytes`,
      );
    }
    const pixels = (bytes: Uint8Array, shape: number[]) =>
      tensor(engine, Float32Array.from(bytes, (byte) => byte / 255), shape);
    const prepared = {
      context: pixels(context, [batch, height, width, 3]),
      frames: pixels(frames, [batch, length, height, width, 3]),
    };
    if (pixelWeights === undefined) return prepared;
    const form = [batch, length, height, width];
    const scaled = normalizedWeights(pixelWeights, batch * length * height * width, form);
    return { ...prepared, weights: tensor(engine, scaled, [batch * length, height, width, 1]) };
  }

  /** What the tokenizer makes of them. */
  protected override images({ context, frames, weights }: PreparedClips, step: number): ReconstructedImages[] {
    const { rate, seed } = this.#dropout, { height, width } = this.#tokenizer.config;
    const dropout = rate > 0 ? { rate, random: new Philox(seed, STREAM.dropout, step) } : undefined;
    const clip = this.#tokenizer.reconstruct(context, frames, { dropout });
    const flat = (x: Tensor) => x.reshape([-1, height, width, 3]);
    return [
      {
        kind: "context",
        target: context,
        reconstruction: clip.context,
        latents: clip.contextLatents,
        quantizer: this.#tokenizer.contextQuantizer,
        indices: clip.contextIndices,
      },
      {
        kind: "",
        target: flat(frames),
        reconstruction: flat(clip.frames),
        weights,
        latents: clip.frameLatents,
        quantizer: this.#tokenizer.quantizer,
        indices: clip.frameIndices,
      },
    ];
  }
}
