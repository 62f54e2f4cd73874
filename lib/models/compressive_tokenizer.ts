/**
 * The compressive tokenizer: a context frame becomes a full grid of tokens, every other frame of the clip a few tokens that
 * say how it differs from the context. (Signatures; the network follows.)
 *
 * Axis letters: B clips, T frames of a clip beside its context, H and W pixels, Nc context tokens, N tokens a later frame.
 */
import type { Parameters } from "../nn/parameters.ts";
import type { Engine } from "../tensor/engine.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CompressiveTokenizerConfig } from "./compressive_tokenizer_config.ts";
import type { ComputeType } from "./frame_tokenizer.ts";

/** Options of every way to make a tokenizer. */
export interface CompressiveTokenizerOptions {
  /** float32 when left out. */
  computeType?: ComputeType;
  /** Most frames that `encode` and `decode` compute at once; chosen for about 256 MiB an activation when left out. */
  framesPerChunk?: number;
}

/** What frames are decoded with: the context decoder's feature maps of B context frames. */
export interface ContextFeatures {
  /** B. */
  readonly batch: number;
  /** The context reconstructions float32 [B, H, W, 3] in [0, 1]. */
  pixels(): Tensor;
  /** Those of some rows, in any order, with repeats; its own object, to be disposed of. */
  select(rows: ArrayLike<number>): ContextFeatures;
  /** Gives everything back. */
  dispose(): void;
}

/** Clips ↔ tokens. */
export declare class CompressiveTokenizer {
  static initialize(
    engine: Engine,
    config: Partial<CompressiveTokenizerConfig>,
    options: CompressiveTokenizerOptions & { seed: number; codeGain?: number },
  ): CompressiveTokenizer;
  static load(
    engine: Engine,
    folder: string,
    options?: CompressiveTokenizerOptions & { height?: number; width?: number },
  ): Promise<CompressiveTokenizer>;
  save(folder: string): Promise<void>;
  readonly engine: Engine;
  readonly config: CompressiveTokenizerConfig;
  readonly parameters: Parameters;
  get contextTokens(): number;
  get tokensPerFrame(): number;
  get contextCodebookSize(): number;
  get codebookSize(): number;
  encode(context: Tensor, frames: Tensor): { context: Tensor; frames: Tensor };
  contextFeatures(context: Tensor): ContextFeatures;
  decode(context: Tensor | ContextFeatures, frames: Tensor, options?: { clamp?: boolean }): Tensor;
  reconstruct(context: Tensor, frames: Tensor): {
    context: Tensor;
    frames: Tensor;
    contextIndices: Tensor;
    frameIndices: Tensor;
    contextLatents: Tensor;
    frameLatents: Tensor;
  };
  dispose(): void;
}
