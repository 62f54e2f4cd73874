/**
 * The per-frame tokenizer: a convolutional autoencoder whose bottleneck is quantized, so that a frame becomes a grid of
 * tokens and a grid of tokens a frame. Frames are seen one by one; nothing is carried from one to the next.
 *
 * Released weights load by name (`CNNFSQModel256`); every size is a field of the configuration. Not here: how it is
 * trained (`lib/train/frame_tokenizer_trainer.ts`), and which ids tokens get in a sequence (`lib/worlds/robot_video`).
 *
 * Axis letters: B frames, H and W pixels, N tokens a frame (rows outer, columns inner).
 *
 * Source: RLVR-World (Wu et al. 2025), table 7; blocks after diffusers.
 */
import { join } from "node:path";
import { openWeights } from "../io/safetensors_folder.ts";
import { checkLayerCount, disposeParameters, loadParameters, type Parameters } from "../nn/parameters.ts";
import type { Engine } from "../tensor/engine.ts";
import type { Tensor } from "../tensor/tensor.ts";
import {
  decoderPlan,
  encoderPlan,
  type FrameTokenizerConfig,
  frameTokenizerConfig,
  frameTokenizerConfigFromJson,
  frameTokenizerConfigToJson,
  frameTokenizerShapes,
  tokenGrid,
} from "./frame_tokenizer_config.ts";
import { FiniteScalarQuantizer } from "./fsq.ts";
import {
  checkOptions,
  type ComputeType,
  inChunks,
  initialParameters,
  readTokenizerJson,
  saveTokenizer,
  usualFramesPerChunk,
  weightLookup,
} from "./image_tokenizer.ts";
import { convolution, depthToSpace, spaceToDepth, type WeightLookup } from "./vision_blocks.ts";
import { imageDecoder, imageEncoder } from "./vision_coders.ts";

export type { ComputeType } from "./image_tokenizer.ts";

/** Options of every way to make a tokenizer. */
export interface FrameTokenizerOptions {
  /** float32 when left out. */
  computeType?: ComputeType;
  /** Most frames that `encode` and `decode` compute at once; chosen for about 256 MiB an activation when left out. */
  framesPerChunk?: number;
}

/** Frames to tokens and back, each frame by itself: a convolutional encoder, finite scalar quantization, a decoder. */
export class FrameTokenizer {
  /** The engine that holds the parameters and computes. */
  readonly engine: Engine;
  /** Sizes of the networks, and of frames in pixels. */
  readonly config: FrameTokenizerConfig;
  /** Kept float32 tensors by the released names. */
  readonly parameters: Parameters;
  /** The quantizer between encoder and decoder. */
  readonly quantizer: FiniteScalarQuantizer;
  readonly #computeType: ComputeType;
  readonly #framesPerChunk: number;

  private constructor(
    engine: Engine,
    config: FrameTokenizerConfig,
    parameters: Parameters,
    { computeType = "float32", framesPerChunk }: FrameTokenizerOptions,
  ) {
    checkOptions(engine, computeType, framesPerChunk);
    this.engine = engine;
    this.config = config;
    this.parameters = parameters;
    this.quantizer = new FiniteScalarQuantizer(config.fsqLevels);
    this.quantizer.keepConstants(engine);
    this.#computeType = computeType;
    this.#framesPerChunk = framesPerChunk ?? usualFramesPerChunk(config);
  }

  /**
   * A tokenizer with first weights as PyTorch draws them: uniform within 1/√fanIn, normalizations 1 and 0. One with a
   * background starts as that background: its decoder's last convolution is 0.
   *
   * @param config Any part; the rest is the released model's.
   * @param options.seed Names the random numbers.
   * @param options.codeGain What the quantizer rounds is this much larger at first (1 when left out): codes that differ from
   * the start are learned in minutes, where all-equal ones take hours.
   * @throws {RangeError} When the configuration has no sense.
   */
  static initialize(
    engine: Engine,
    config: Partial<FrameTokenizerConfig>,
    { seed, codeGain = 1, ...options }: FrameTokenizerOptions & { seed: number; codeGain?: number },
  ): FrameTokenizer {
    const full = frameTokenizerConfig(config);
    const parameters = initialParameters(engine, frameTokenizerShapes(full), {
      seed,
      zero: (name) => name === "background" || (full.background && name.startsWith("decoder.conv_out.")),
      gain: (name) => name.startsWith("quant_linear.") ? codeGain : 1,
    });
    return new FrameTokenizer(engine, full, parameters, options);
  }

  /**
   * Reads a folder in diffusers' form: `config.json` and `diffusion_pytorch_model.safetensors` (or its shards).
   *
   * @param options.height Pixels of the frames, where they differ from the folder's own; with `width`.
   * @throws {UserError} When a file is missing or damaged, describes another model, or a tensor is missing, unknown or of
   * another shape.
   */
  static async load(
    engine: Engine,
    folder: string,
    { height, width, ...options }: FrameTokenizerOptions & { height?: number; width?: number } = {},
  ): Promise<FrameTokenizer> {
    const path = join(folder, "config.json");
    const json = await readTokenizerJson(path);
    const size = { ...(height === undefined ? {} : { height }), ...(width === undefined ? {} : { width }) };
    const stated = frameTokenizerConfigFromJson({ ...json, ...size }, path);
    using weights = await openWeights(folder);
    // Released configurations may carry diffusers' own default for this field whatever the model has: the weights know.
    const midAttention = weights.names.includes("encoder.mid_block.attentions.0.to_q.weight");
    const config = { ...stated, midAttention };
    checkLayerCount(weights, "layers_per_block", config.layersPerBlock, folder);
    const parameters = await loadParameters(engine, new Map(frameTokenizerShapes(config)), weights, { source: folder });
    try {
      return new FrameTokenizer(engine, config, parameters, options);
    } catch (error) {
      disposeParameters(parameters);
      throw error;
    }
  }

  /**
   * Writes a folder that `load` reads, and the released class's `from_pretrained` where the sizes are ones that it has: attention in
   * the middle, one halving less than blocks, `normScope` image, a `pixelPatch` of 1, no background. Makes it where it does not exist.
   */
  async save(folder: string): Promise<void> {
    await saveTokenizer(folder, this.parameters, frameTokenizerConfigToJson(this.config));
  }

  /** N, the tokens of a frame: rows × columns of the latent grid. */
  get tokensPerFrame(): number {
    const [rows, columns] = tokenGrid(this.config);
    return rows * columns;
  }

  /** How many different tokens there are: the product of the quantizer's levels. */
  get codebookSize(): number {
    return this.quantizer.codebookSize;
  }

  /** Tokens int64 [B, N], each 0 … codebookSize − 1, of frames float32 [B, H, W, 3] in [0, 1]. No gradient. */
  encode(frames: Tensor): Tensor {
    this.#checkFrames("encode", frames);
    return inChunks(frames, this.#framesPerChunk, (chunk) => {
      const codes = this.quantizer.quantize(this.#latents(chunk, this.#lookup()));
      return this.quantizer.codesToIndices(codes).reshape([chunk.shape[0], -1]);
    });
  }

  /**
   * Frames float32 [B, H, W, 3] of tokens int64 [B, N]. Tokens beyond the codebook are taken modulo its size.
   *
   * @param options.clamp Limits pixels to [0, 1]; true when left out.
   */
  decode(tokens: Tensor, { clamp = true }: { clamp?: boolean } = {}): Tensor {
    if (tokens.dtype !== "int64" || tokens.rank !== 2 || tokens.shape[1] !== this.tokensPerFrame) {
      throw new RangeError(
        `decode: tokens must be int64 [B, ${this.tokensPerFrame}]: received ${tokens.dtype} [${
          tokens.shape.join(", ")
        }]`,
      );
    }
    const [rows, columns] = tokenGrid(this.config);
    return inChunks(tokens, this.#framesPerChunk, (chunk) => {
      const codes = this.quantizer.indicesToCodes(chunk.reshape([chunk.shape[0], rows, columns]));
      const pixels = this.#pixels(codes, this.#lookup());
      return clamp ? pixels.clamp(0, 1) : pixels;
    });
  }

  /**
   * Frames as the decoder sees them through the quantizer, unclamped, differentiable by the parameters (straight through
   * the rounding), their tokens int64 [B, N], and what the encoder gave the quantizer, float32 [B, rows, columns, L].
   *
   * @param frames float32 [B, H, W, 3] in [0, 1]; computed at once.
   */
  reconstruct(frames: Tensor): { reconstruction: Tensor; indices: Tensor; latents: Tensor } {
    this.#checkFrames("reconstruct", frames);
    const weights = this.#lookup();
    const latents = this.#latents(frames, weights);
    const codes = this.quantizer.quantize(latents);
    const indices = this.quantizer.codesToIndices(codes.detach()).reshape([frames.shape[0], -1]);
    return { reconstruction: this.#pixels(codes, weights), indices, latents };
  }

  /** Frees the parameters; the tokenizer is not to be used any more. */
  dispose(): void {
    disposeParameters(this.parameters);
    this.quantizer.dispose();
  }

  /** Frames → what the quantizer rounds, float32 [B, rows, columns, L]. */
  #latents(frames: Tensor, weights: WeightLookup): Tensor {
    const seen = this.config.background ? frames.sub(this.parameters.get("background")!) : frames;
    const patches = spaceToDepth(seen, this.config.pixelPatch).cast(this.#computeType);
    const h = imageEncoder(patches, weights, "encoder", encoderPlan(this.config));
    return convolution(h, weights, "quant_linear").cast("float32");
  }

  /** Codes float32 [B, rows, columns, L] → frames. */
  #pixels(codes: Tensor, weights: WeightLookup): Tensor {
    const latents = convolution(codes.cast(this.#computeType), weights, "post_quant_linear");
    const patches = imageDecoder(latents, weights, "decoder", decoderPlan(this.config)).cast("float32");
    const pixels = depthToSpace(patches, this.config.pixelPatch);
    return this.config.background ? pixels.add(this.parameters.get("background")!) : pixels;
  }

  #lookup(): WeightLookup {
    return weightLookup(this.parameters, this.#computeType);
  }

  #checkFrames(operator: string, frames: Tensor): void {
    const { height, width } = this.config;
    const [, h, w, c] = frames.shape;
    if (frames.rank !== 4 || h !== height || w !== width || c !== 3 || frames.dtype !== "float32") {
      throw new RangeError(
        `${operator}: frames must be float32 [B, ${height}, ${width}, 3]: received ${frames.dtype} ` +
          `[${frames.shape.join(", ")}]`,
      );
    }
  }
}
