/**
 * The sizes of a compressive tokenizer: what they may be, and which grids of tokens follow from them. The released code
 * writes many of them as numbers (16 × 20 patches, 1280 positions); here all follow from height, width, halvings and patch.
 *
 * Nothing here holds a tensor. How a file spells them: `compressive_tokenizer_json.ts`.
 */
import { FSQ_LEVELS } from "./fsq.ts";

/** Sizes of a compressive tokenizer. */
export interface CompressiveTokenizerConfig {
  /** Pixels of a frame from top to bottom. */
  height: number;
  /** Pixels of a frame from left to right. */
  width: number;
  /** Channels of each block, from full resolution to the lowest; of both pairs. */
  channels: readonly number[];
  /** Residual blocks a block of the encoders; the decoders have one more. */
  layersPerBlock: number;
  /** Channels between encoder and quantizer. */
  latentChannels: number;
  /** Groups of every group normalization; divides every block's channels. */
  normGroups: number;
  /**
   * What is normalized together: a group's channels at all positions of the image, as in released models, or at each
   * position on its own.
   */
  normScope: "image" | "position";
  /** Values of each dimension of a context frame's codes. */
  contextLevels: readonly number[];
  /** Values of each dimension of the other frames' codes. */
  fsqLevels: readonly number[];
  /** Self-attention at the lowest resolution of the context pair: none in released models. */
  contextMidAttention: boolean;
  /** Self-attention at the lowest resolution of the conditional pair. */
  midAttention: boolean;
  /** How often the resolution is halved; at most once a block. One less than there are blocks when left out. */
  downsamplings: number;
  /** Side of the squares of pixels that the first convolution sees as one position: 1 in released models. */
  pixelPatch: number;
  /** Side of the squares of latent positions that are one token of a frame other than the context. */
  patchSize: number;
  /** Feature maps of at most so many rows see those of the context frame. */
  maxAttentionResolution: number;
  /** Heads of the attention to the context frame: 4 in released models. */
  attentionHeads: number;
  /**
   * Tokens describe how a frame differs from a learned background image (parameter `background` [H, W, 3]): for cameras
   * that do not move. False in released models.
   */
  background: boolean;
}

/** The released tokenizer of RT-1 clips (paper table 7): 129,448,016 parameters, 1280 context tokens, 80 a later frame. */
export const RELEASED_COMPRESSIVE_TOKENIZER: CompressiveTokenizerConfig = Object.freeze({
  height: 256,
  width: 320,
  channels: [128, 256, 256, 512],
  layersPerBlock: 2,
  latentChannels: 64,
  normGroups: 32,
  normScope: "image",
  contextLevels: FSQ_LEVELS[12],
  fsqLevels: FSQ_LEVELS[12],
  contextMidAttention: false,
  midAttention: true,
  downsamplings: 3,
  pixelPatch: 1,
  patchSize: 4,
  maxAttentionResolution: 32,
  attentionHeads: 4,
  background: false,
});
