/**
 * Training of the per-frame tokenizer: batches are frames, each reconstructed on its own. The steps themselves, and what the
 * released recipe has of them, are those of all tokenizers (`image_tokenizer_trainer.ts`).
 *
 * Left out of the released recipe: mixed precision of the discriminator. Crops and colours are varied by who gives frames
 * (`worlds/robot_video/random_crop.ts`, `worlds/robot_video/augment.ts`). Added, off unless asked for: squared error, weights on
 * pixels, spread of the latents, rounding error.
 *
 * Axis letters: B frames, H and W pixels.
 */
import type { Discriminator } from "../models/discriminator.ts";
import type { FrameTokenizer } from "../models/frame_tokenizer.ts";
import type { Lpips } from "../models/lpips.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { ImageTokenizerTrainer } from "./image_tokenizer_trainer.ts";
import { normalizedWeights, type ReconstructedImages } from "./tokenizer_losses.ts";
import { RELEASED_TOKENIZER_TRAINING, type TokenizerTrainingConfig } from "./tokenizer_training_config.ts";

export type { TokenizerStepMetrics, TokenizerTrainerState } from "./image_tokenizer_trainer.ts";
export { latentSpread, roundingError } from "./tokenizer_losses.ts";
export { RELEASED_TOKENIZER_TRAINING, type TokenizerTrainingConfig } from "./tokenizer_training_config.ts";

/** Frames of one step. */
export interface TokenizerBatch {
  /** uint8 [B, H, W, 3] of the tokenizer's H and W. */
  frames: Uint8Array;
  /** Weight of each pixel's errors [B, H, W]; see `changeWeights`. @default {1 each} */
  pixelWeights?: Float32Array;
}

/** What a trainer works on. */
export interface TokenizerTrainerParts {
  /** The tokenizer to train, in place; it stays the caller's. */
  tokenizer: FrameTokenizer;
  /** Anything left out has the released value. */
  config: Partial<TokenizerTrainingConfig>;
  /** The frames of a step (0 for the first); the same for the same step, so that a resumed run sees what it would have. */
  frames: (step: number) => TokenizerBatch | Promise<TokenizerBatch>;
  /** Without it there is no perceptual loss. */
  perceptual?: Lpips;
  /** Without it there is no adversarial loss. */
  discriminator?: Discriminator;
}

/** Trains a per-frame tokenizer step by step. */
export class TokenizerTrainer extends ImageTokenizerTrainer<TokenizerBatch, { frames: Tensor; weights?: Tensor }> {
  readonly #tokenizer: FrameTokenizer;

  /**
   * A trainer at step 0.
   *
   * @throws {RangeError} When a value of the configuration is out of its range.
   */
  constructor({ tokenizer, config, frames, perceptual, discriminator }: TokenizerTrainerParts) {
    const { parameters } = tokenizer;
    super({ parameters, batches: frames, perceptual, discriminator }, { ...RELEASED_TOKENIZER_TRAINING, ...config });
    this.#tokenizer = tokenizer;
  }

  /** Bytes as tensors; refuses what does not have the tokenizer's size. */
  protected override prepare({ frames, pixelWeights }: TokenizerBatch): { frames: Tensor; weights?: Tensor } {
    const { engine, config: { height, width } } = this.#tokenizer;
    const count = frames.length / (height * width * 3);
    if (!Number.isInteger(count) || count < 1) {
      throw new RangeError(
        `tokenizer training: a batch must be bytes [B, ${height}, ${width}, 3]: received ${frames.length} bytes`,
      );
    }
    const pixels = tensor(engine, Float32Array.from(frames, (byte) => byte / 255), [count, height, width, 3]);
    if (pixelWeights === undefined) return { frames: pixels };
    const scaled = normalizedWeights(pixelWeights, count * height * width, [count, height, width]);
    return { frames: pixels, weights: tensor(engine, scaled, [count, height, width, 1]) };
  }

  /** What the tokenizer makes of them. */
  protected override images({ frames, weights }: { frames: Tensor; weights?: Tensor }): ReconstructedImages[] {
    const { quantizer } = this.#tokenizer;
    return [{ kind: "", target: frames, weights, quantizer, ...this.#tokenizer.reconstruct(frames) }];
  }
}
