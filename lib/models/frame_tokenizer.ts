/**
 * The per-frame tokenizer: a convolutional autoencoder whose bottleneck is quantized, so that a frame becomes a grid of
 * tokens and a grid of tokens a frame. Frames are seen one by one; nothing is carried from one to the next.
 *
 * Released weights load by name (`CNNFSQModel256`); every size is a field of the configuration. Not here: how it is
 * trained (`lib/training/tokenizer.ts`), and which ids tokens get in a sequence (`lib/worlds/robot_video`).
 *
 * Axis letters: B frames, H and W pixels, N tokens a frame (rows outer, columns inner).
 *
 * Source: RLVR-World (Wu et al. 2025), table 7; blocks after diffusers.
 */
import { join } from "node:path";
import { writeFileAtomic } from "../files/atomic.ts";
import { openWeights, writeSafetensors } from "../files/safetensors.ts";
import { UserError } from "../files/user_error.ts";
import { uniformInitial } from "../nn/initializers.ts";
import { disposeParameters, loadInto, type Parameters, toHost, zeroParameters } from "../nn/parameters.ts";
import type { Engine } from "../tensor/engine.ts";
import { Philox } from "../tensor/random.ts";
import { keep, tidy } from "../tensor/scope.ts";
import { concat, ones, type Tensor, zeros } from "../tensor/tensor.ts";
import {
  decoderWidths,
  type FrameTokenizerConfig,
  frameTokenizerConfig,
  frameTokenizerConfigFromJson,
  frameTokenizerConfigToJson,
  frameTokenizerShapes,
  tokenGrid,
  upsamplesAfter,
} from "./frame_tokenizer_config.ts";
import { FiniteScalarQuantizer } from "./fsq.ts";
import {
  convolution,
  depthToSpace,
  downsample,
  groupNormalization,
  middleBlock,
  type NormSettings,
  resnetBlock,
  spaceToDepth,
  upsample,
  type WeightLookup,
} from "./vision_blocks.ts";

/** Type that convolutions compute in; parameters, pixels and the quantizer stay float32. */
export type ComputeType = "float32" | "bfloat16";

/** Options of every way to make a tokenizer. */
export interface FrameTokenizerOptions {
  /** float32 when left out. */
  computeType?: ComputeType;
  /** Most frames that `encode` and `decode` compute at once; chosen for about 256 MiB an activation when left out. */
  framesPerChunk?: number;
}

const ACTIVATION_BYTES = 256 * 2 ** 20;
/** Names the random streams of first weights among all of a seed's streams. */
const INITIAL_WEIGHTS = 0x70c;

/** Frames ↔ tokens. */
export class FrameTokenizer {
  /** Who computes. */
  readonly engine: Engine;
  /** All sizes. */
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
    if (framesPerChunk !== undefined && !(Number.isInteger(framesPerChunk) && framesPerChunk >= 1)) {
      throw new RangeError(`framesPerChunk must be a positive integer: received ${framesPerChunk}`);
    }
    if (!engine.supports(computeType)) {
      throw new TypeError(
        `computeType ${computeType} does not exist on the ${engine.name} engine: use float32, or the torch engine`,
      );
    }
    this.engine = engine;
    this.config = config;
    this.parameters = parameters;
    this.quantizer = new FiniteScalarQuantizer(config.fsqLevels);
    this.#computeType = computeType;
    const activation = 4 * config.height * config.width * config.channels[0] / config.pixelPatch ** 2;
    this.#framesPerChunk = framesPerChunk ?? Math.max(1, Math.floor(ACTIVATION_BYTES / activation));
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
    const shapes = frameTokenizerShapes(full);
    let bound = 0;
    const parameters: Parameters = new Map(shapes.map(([name, shape], i) => {
      const startsAtZero = name === "background" || (full.background && name.startsWith("decoder.conv_out."));
      if (startsAtZero) return [name, keep(zeros(engine, shape))];
      if (/norm/.test(name)) return [name, keep((name.endsWith(".weight") ? ones : zeros)(engine, shape))];
      // A bias follows its weight and shares its bound.
      if (shape.length > 1) bound = 1 / Math.sqrt(shape.slice(1).reduce((product, extent) => product * extent, 1));
      const gain = name.startsWith("quant_linear.") ? codeGain : 1;
      return [name, uniformInitial(engine, shape, new Philox(seed, INITIAL_WEIGHTS, i), gain * bound)];
    }));
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
    const json = await readJson(path);
    const size = { ...(height === undefined ? {} : { height }), ...(width === undefined ? {} : { width }) };
    const stated = frameTokenizerConfigFromJson({ ...json as object, ...size }, path);
    using weights = await openWeights(folder);
    // Released configurations may carry diffusers' own default for this field whatever the model has: the weights know.
    const midAttention = weights.names.includes("encoder.mid_block.attentions.0.to_q.weight");
    const config = { ...stated, midAttention };
    const parameters = zeroParameters(engine, new Map(frameTokenizerShapes(config)));
    try {
      await loadInto(parameters, weights, { source: folder });
      return new FrameTokenizer(engine, config, parameters, options);
    } catch (error) {
      disposeParameters(parameters);
      throw error;
    }
  }

  /** Writes a folder that `load` and diffusers' `from_pretrained` read; makes it where it does not exist. */
  async save(folder: string): Promise<void> {
    await Deno.mkdir(folder, { recursive: true });
    const weights = await toHost(this.parameters);
    await writeSafetensors(join(folder, "diffusion_pytorch_model.safetensors"), weights, { format: "pt" });
    const json = JSON.stringify(frameTokenizerConfigToJson(this.config), null, 2);
    await writeFileAtomic(join(folder, "config.json"), `${json}\n`);
  }

  /** N. */
  get tokensPerFrame(): number {
    const [rows, columns] = tokenGrid(this.config);
    return rows * columns;
  }

  /** Number of different tokens. */
  get codebookSize(): number {
    return this.quantizer.codebookSize;
  }

  /** Tokens int64 [B, N], each 0 … codebookSize − 1, of frames float32 [B, H, W, 3] in [0, 1]. No gradient. */
  encode(frames: Tensor): Tensor {
    this.#checkFrames("encode", frames);
    return this.#inChunks(frames, (chunk) => {
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
    return this.#inChunks(tokens, (chunk) => {
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

  /** Gives the parameters back. */
  dispose(): void {
    disposeParameters(this.parameters);
  }

  /** Frames → what the quantizer rounds, float32 [B, rows, columns, L]. */
  #latents(frames: Tensor, weights: WeightLookup): Tensor {
    const { channels, layersPerBlock, midAttention, downsamplings, pixelPatch } = this.config;
    const norm = this.#norm();
    const seen = this.config.background ? frames.sub(this.parameters.get("background")!) : frames;
    let h = convolution(spaceToDepth(seen, pixelPatch).cast(this.#computeType), weights, "encoder.conv_in");
    channels.forEach((width, block) => {
      const name = `encoder.down_blocks.${block}`;
      for (let layer = 0; layer < layersPerBlock; layer++) {
        h = resnetBlock(h, weights, `${name}.resnets.${layer}`, norm, h.shape[3] !== width);
      }
      if (block < downsamplings) h = downsample(h, weights, `${name}.downsamplers.0`);
    });
    h = middleBlock(h, weights, "encoder.mid_block", norm, midAttention);
    h = convolution(
      groupNormalization(h, weights, "encoder.conv_norm_out", norm).silu(),
      weights,
      "encoder.conv_out",
    );
    return convolution(h, weights, "quant_linear").cast("float32");
  }

  /** Codes float32 [B, rows, columns, L] → frames. */
  #pixels(codes: Tensor, weights: WeightLookup): Tensor {
    const { layersPerBlock, midAttention, pixelPatch } = this.config;
    const norm = this.#norm();
    let h = convolution(codes.cast(this.#computeType), weights, "post_quant_linear");
    h = convolution(h, weights, "decoder.conv_in");
    h = middleBlock(h, weights, "decoder.mid_block", norm, midAttention);
    decoderWidths(this.config).forEach((width, block) => {
      const name = `decoder.up_blocks.${block}`;
      for (let layer = 0; layer < layersPerBlock; layer++) {
        h = resnetBlock(h, weights, `${name}.resnets.${layer}`, norm, h.shape[3] !== width);
      }
      if (upsamplesAfter(this.config, block)) h = upsample(h, weights, `${name}.upsamplers.0`);
    });
    h = groupNormalization(h, weights, "decoder.conv_norm_out", norm).silu();
    const pixels = depthToSpace(convolution(h, weights, "decoder.conv_out").cast("float32"), pixelPatch);
    return this.config.background ? pixels.add(this.parameters.get("background")!) : pixels;
  }

  #norm(): NormSettings {
    return { groups: this.config.normGroups, scope: this.config.normScope };
  }

  /** Parameters by name in the compute type; each is cast once a call. */
  #lookup(): WeightLookup {
    const cast = new Map<string, Tensor>();
    return (name) => {
      const parameter = this.parameters.get(name)!;
      if (this.#computeType === "float32") return parameter;
      const known = cast.get(name) ?? parameter.cast(this.#computeType);
      cast.set(name, known);
      return known;
    };
  }

  #inChunks(all: Tensor, compute: (chunk: Tensor) => Tensor): Tensor {
    const count = all.shape[0];
    return tidy(() => {
      const parts: Tensor[] = [];
      for (let start = 0; start < count; start += this.#framesPerChunk) {
        const length = Math.min(this.#framesPerChunk, count - start);
        parts.push(tidy(() => compute(all.narrow(0, start, length))));
      }
      return concat(parts);
    });
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

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw new UserError(
      `${path} cannot be read (${(error as Error).message}): a tokenizer's folder holds config.json and ` +
        `diffusion_pytorch_model.safetensors`,
    );
  }
  try {
    const json = JSON.parse(text);
    if (typeof json === "object" && json !== null && !Array.isArray(json)) return json;
  } catch {
    // Told below, in the same words as a list or a number.
  }
  throw new UserError(`${path}: must hold a JSON object with the tokenizer's sizes`);
}
