/**
 * The compressive tokenizer: a context frame becomes a full grid of tokens, and every other frame of its clip a few tokens,
 * because it is encoded and decoded with attention to what the context shows.
 *
 * Two encoder-decoder pairs. The context pair knows its frame only. The conditional pair sees, after its lower blocks, the
 * feature maps of the context pair at the same depth: those of the context encoder (of the raw context frame) when it
 * encodes, those of the context decoder (of the context's tokens) when it decodes. Frames other than the context know nothing
 * of each other.
 *
 * Released weights load by name (`CompressiveVQModelFSQ`); every size is a field of the configuration. Left out: more than
 * one context frame, which no released model has. Not here: how it is trained (`lib/train/compressive_tokenizer_trainer.ts`),
 * and which ids tokens get in a sequence (`lib/worlds/robot_video`).
 *
 * Axis letters: B clips, T frames of a clip beside its context, H and W pixels, Nc context tokens, N tokens of a frame
 * (rows outer, columns inner), L dimensions of a code.
 *
 * Source: RLVR-World (Wu et al. 2025), table 7 and appendix A.4.1; iVideoGPT (Wu et al. 2024), §3.1.
 */
import { join } from "node:path";
import { openWeights } from "../io/safetensors_folder.ts";
import { checkLayerCount, disposeParameters, loadParameters, type Parameters } from "../nn/parameters.ts";
import type { Engine } from "../tensor/engine.ts";
import { keep, tidy } from "../tensor/scope.ts";
import { concat, type Tensor } from "../tensor/tensor.ts";
import {
  type AttentionPlace,
  type CompressiveTokenizerConfig,
  compressiveTokenizerConfig,
  compressiveTokenizerConfigFromJson,
  compressiveTokenizerConfigToJson,
  compressiveTokenizerShapes,
  contextGrid,
  decoderAttention,
  encoderAttention,
  frameGrid,
  pairDecoderPlan,
  pairEncoderPlan,
} from "./compressive_tokenizer_config.ts";
import { ContextFeatures } from "./compressive_tokenizer_context.ts";
import {
  type ContextKeys,
  contextKeys,
  crossAttention,
  type CrossAttentionSettings,
  type Dropout,
} from "./cross_attention.ts";
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
import { decoderMap, imageDecoder, imageEncoder, type MapVisitor } from "./vision_coders.ts";

/** Options of every way to make a tokenizer. */
export interface CompressiveTokenizerOptions {
  /** float32 when left out. */
  computeType?: ComputeType;
  /** Most frames that `encode` and `decode` compute at once; chosen for about 256 MiB an activation when left out. */
  framesPerChunk?: number;
}

/**
 * What `reconstruct` gives; differentiable but for the tokens.
 *
 * @internal
 */
export interface ClipReconstruction {
  /** Unclamped float32 [B, H, W, 3]. */
  context: Tensor;
  /** Unclamped float32 [B, T, H, W, 3]. */
  frames: Tensor;
  /** Tokens int64 [B, Nc]. */
  contextIndices: Tensor;
  /** Tokens int64 [B, T, N]. */
  frameIndices: Tensor;
  /** What the context's quantizer was given, float32 [B, rows, columns, L]. */
  contextLatents: Tensor;
  /** What the other frames' quantizer was given, float32 [B · T, rows, columns, L]. */
  frameLatents: Tensor;
}

/**
 * Clips to tokens and back: a context frame in many tokens, later frames in few that look the rest up in it by
 * cross-attention.
 */
export class CompressiveTokenizer {
  /** The engine that holds the parameters and computes. */
  readonly engine: Engine;
  /** Sizes of the networks, and of frames in pixels. */
  readonly config: CompressiveTokenizerConfig;
  /** Kept float32 tensors by the released names. */
  readonly parameters: Parameters;
  /** The quantizer of context frames. */
  readonly contextQuantizer: FiniteScalarQuantizer;
  /** The quantizer of all other frames. */
  readonly quantizer: FiniteScalarQuantizer;
  readonly #computeType: ComputeType;
  readonly #framesPerChunk: number;

  private constructor(
    engine: Engine,
    config: CompressiveTokenizerConfig,
    parameters: Parameters,
    { computeType = "float32", framesPerChunk }: CompressiveTokenizerOptions,
  ) {
    checkOptions(engine, computeType, framesPerChunk);
    this.engine = engine;
    this.config = config;
    this.parameters = parameters;
    this.contextQuantizer = new FiniteScalarQuantizer(config.contextLevels);
    this.quantizer = new FiniteScalarQuantizer(config.fsqLevels);
    this.quantizer.keepConstants(engine);
    this.contextQuantizer.keepConstants(engine);
    this.#computeType = computeType;
    this.#framesPerChunk = framesPerChunk ?? usualFramesPerChunk(config);
  }

  /**
   * A tokenizer with first weights as PyTorch draws them; tables of positions start at 0. One with a background starts as
   * that background: the last convolutions of both decoders are 0.
   *
   * @param config Any part; the rest is the released model's.
   * @param options.seed Names the random numbers.
   * @param options.codeGain What the quantizers round is this much larger at first (1 when left out): codes that differ from
   * the start are learned in minutes, where all-equal ones take hours.
   * @throws {RangeError} When the configuration has no sense.
   */
  static initialize(
    engine: Engine,
    config: Partial<CompressiveTokenizerConfig>,
    { seed, codeGain = 1, ...options }: CompressiveTokenizerOptions & { seed: number; codeGain?: number },
  ): CompressiveTokenizer {
    const full = compressiveTokenizerConfig(config);
    checkOptions(engine, options.computeType ?? "float32", options.framesPerChunk);
    const parameters = initialParameters(engine, compressiveTokenizerShapes(full), {
      seed,
      zero: (name) =>
        name === "background" || /_pos_emb$|att\.in_proj_bias$|att\.out_proj\.bias$/.test(name) ||
        (full.background && /^(cond_)?decoder\.conv_out\./.test(name)),
      // PyTorch draws the packed projection within √(6 / (in + out)), three outputs to an input.
      gain: (name) =>
        /^quant_(conv|linear)\./.test(name) ? codeGain : name.endsWith("in_proj_weight") ? Math.sqrt(1.5) : 1,
    });
    return new CompressiveTokenizer(engine, full, parameters, options);
  }

  /**
   * Reads a folder in diffusers' form: `config.json` and `diffusion_pytorch_model.safetensors` (or its shards).
   *
   * @param options.height Pixels of the frames, where the folder does not say them; with `width`. Its tables of positions
   * fit one size only.
   * @throws {UserError} When a file is missing or damaged, describes another model, or a tensor is missing, unknown or of
   * another shape.
   */
  static async load(
    engine: Engine,
    folder: string,
    { height, width, ...options }: CompressiveTokenizerOptions & { height?: number; width?: number } = {},
  ): Promise<CompressiveTokenizer> {
    const path = join(folder, "config.json");
    const json = await readTokenizerJson(path);
    const size = { ...(height === undefined ? {} : { height }), ...(width === undefined ? {} : { width }) };
    const stated = compressiveTokenizerConfigFromJson({ ...json, ...size }, path);
    using weights = await openWeights(folder);
    // Released configurations may carry diffusers' own default for these fields whatever the model has: the weights know.
    const attends = (name: string) => weights.names.includes(`${name}.mid_block.attentions.0.to_q.weight`);
    const config = { ...stated, contextMidAttention: attends("encoder"), midAttention: attends("cond_encoder") };
    checkLayerCount(weights, "layers_per_block", config.layersPerBlock, folder);
    const parameters = await loadParameters(engine, new Map(compressiveTokenizerShapes(config)), weights, {
      source: folder,
    });
    try {
      return new CompressiveTokenizer(engine, config, parameters, options);
    } catch (error) {
      disposeParameters(parameters);
      throw error;
    }
  }

  /**
   * Writes a folder that `load` reads, and the released class's `from_pretrained` where the sizes are ones that it has: both lists
   * of levels among those that it knows by their bits (8, 10, 12, 14, 16), frames of 256 × 320, `normScope` image, a `pixelPatch`
   * of 1, no background. Makes it where it does not exist.
   */
  async save(folder: string): Promise<void> {
    await saveTokenizer(folder, this.parameters, compressiveTokenizerConfigToJson(this.config));
  }

  /** Nc, the tokens of a context frame. */
  get contextTokens(): number {
    const [rows, columns] = contextGrid(this.config);
    return rows * columns;
  }

  /** N, the tokens of each frame after the context. */
  get tokensPerFrame(): number {
    const [rows, columns] = frameGrid(this.config);
    return rows * columns;
  }

  /** Number of different tokens of a context frame. */
  get contextCodebookSize(): number {
    return this.contextQuantizer.codebookSize;
  }

  /** Number of different tokens of other frames. */
  get codebookSize(): number {
    return this.quantizer.codebookSize;
  }

  /**
   * Tokens int64 [B, Nc] of context frames and [B, T, N] of the other frames of their clips. No gradient.
   *
   * @param context float32 [B, H, W, 3] in [0, 1].
   * @param frames float32 [B, T, H, W, 3] in [0, 1].
   */
  encode(context: Tensor, frames: Tensor): { context: Tensor; frames: Tensor } {
    this.#checkPixels("encode", context, frames);
    return tidy(() => {
      const seen: ContextKeys[][] = [];
      const contextTokens = inChunks(context, this.#framesPerChunk, (chunk) => {
        const { latents, keys } = this.#encodeContext(chunk, this.#lookup());
        seen.push(keptKeys(keys));
        const codes = this.contextQuantizer.quantize(latents);
        return this.contextQuantizer.codesToIndices(codes).reshape([chunk.shape[0], -1]);
      });
      const keys = joined(seen);
      const tokens = this.#framesInChunks(frames, keys, (chunk, keys) => {
        const codes = this.quantizer.quantize(this.#encodeFrames(chunk, keys, this.#lookup()));
        return this.quantizer.codesToIndices(codes).reshape([chunk.shape[0], -1]);
      });
      return { context: contextTokens, frames: tokens };
    });
  }

  /**
   * What `decode` needs of context frames, computed once for any number of frames.
   *
   * @param context Tokens int64 [B, Nc]; those beyond the codebook are taken modulo its size.
   * @returns Kept: dispose of it.
   */
  contextFeatures(context: Tensor): ContextFeatures {
    this.#checkTokens("contextFeatures", context, ["B", this.contextTokens]);
    return tidy(() => {
      const seen: ContextKeys[][] = [];
      inChunks(context, this.#framesPerChunk, (chunk) => {
        const { keys, last } = this.#contextKeys(this.#contextCodes(chunk), this.#lookup());
        seen.push(keptKeys(keys));
        return last;
      });
      const keys = keptKeys(joined(seen));
      return new ContextFeatures(keep(context.clone()), keys, (tokens) => this.#contextPixels(tokens));
    });
  }

  /**
   * Frames float32 [B, T, H, W, 3] of tokens int64 [B, T, N]; those beyond the codebook are taken modulo its size.
   *
   * @param context The clips' context tokens int64 [B, Nc], or what `contextFeatures` made of them. Frames that share a
   * context are cheapest as one clip: [1, T · copies, N].
   * @param options.clamp Limits pixels to [0, 1]; true when left out.
   */
  decode(
    context: Tensor | ContextFeatures,
    frames: Tensor,
    { clamp = true }: { clamp?: boolean } = {},
  ): Tensor {
    if (!(context instanceof ContextFeatures)) {
      const features = this.contextFeatures(context);
      try {
        return this.decode(features, frames, { clamp });
      } finally {
        features.dispose();
      }
    }
    this.#checkTokens("decode", frames, [context.batch, "T", this.tokensPerFrame]);
    const [rows, columns] = frameGrid(this.config);
    return tidy(() =>
      this.#framesInChunks(frames, context.keys, (chunk, keys) => {
        const codes = this.quantizer.indicesToCodes(chunk.reshape([-1, rows, columns]));
        const pixels = this.#decodeFrames(codes, keys, this.#lookup());
        return clamp ? pixels.clamp(0, 1) : pixels;
      })
    );
  }

  /**
   * Clips as the decoders see them through the quantizers, unclamped, differentiable by the parameters (straight through the
   * rounding), with their tokens and latents; computed at once.
   *
   * @param context float32 [B, H, W, 3] in [0, 1].
   * @param frames float32 [B, T, H, W, 3] in [0, 1].
   * @param options.dropout Of the attention to the context, where it is trained with it.
   */
  reconstruct(context: Tensor, frames: Tensor, { dropout }: { dropout?: Dropout } = {}): ClipReconstruction {
    this.#checkPixels("reconstruct", context, frames);
    const [batch, length, ...image] = frames.shape, weights = this.#lookup();
    const encoded = this.#encodeContext(context, weights);
    const frameLatents = this.#encodeFrames(frames.reshape([-1, ...image]), encoded.keys, weights, dropout);
    const contextCodes = this.contextQuantizer.quantize(encoded.latents);
    const frameCodes = this.quantizer.quantize(frameLatents);
    const decoded = this.#decodeContext(contextCodes, weights);
    return {
      context: decoded.pixels,
      frames: this.#decodeFrames(frameCodes, decoded.keys, weights, dropout).reshape(frames.shape),
      contextIndices: this.contextQuantizer.codesToIndices(contextCodes.detach()).reshape([batch, -1]),
      frameIndices: this.quantizer.codesToIndices(frameCodes.detach()).reshape([batch, length, -1]),
      contextLatents: encoded.latents,
      frameLatents,
    };
  }

  /** Frees the parameters; the tokenizer is not to be used any more. */
  dispose(): void {
    disposeParameters(this.parameters);
    this.quantizer.dispose();
    this.contextQuantizer.dispose();
  }

  // --- The two pairs ---

  /** Context frames [B, H, W, 3] → what is quantized, and what the conditional encoder sees of them. */
  #encodeContext(context: Tensor, weights: WeightLookup): { latents: Tensor; keys: ContextKeys[] } {
    const { keys, visit } = this.#collector("cond_encoder", encoderAttention(this.config), weights);
    const h = imageEncoder(this.#patches(context), weights, "encoder", pairEncoderPlan(this.config, "context"), visit);
    return { latents: convolution(h, weights, "quant_conv").cast("float32"), keys };
  }

  /** Frames [B · T, H, W, 3] → what is quantized, [B · T, rows, columns, L]. */
  #encodeFrames(frames: Tensor, keys: readonly ContextKeys[], weights: WeightLookup, dropout?: Dropout): Tensor {
    const plan = pairEncoderPlan(this.config, "conditional");
    const visit = this.#attender("cond_encoder", encoderAttention(this.config), keys, weights, dropout);
    const h = imageEncoder(this.#patches(frames), weights, "cond_encoder", plan, visit);
    return spaceToDepth(h, this.config.patchSize)
      .linear(weights("quant_linear.weight"), weights("quant_linear.bias")).cast("float32");
  }

  /** Context codes [B, rows, columns, L] → frames, and what the conditional decoder sees of them. */
  #decodeContext(codes: Tensor, weights: WeightLookup): { pixels: Tensor; keys: ContextKeys[] } {
    const { keys, visit } = this.#collector("cond_decoder", decoderAttention(this.config), weights);
    const latents = convolution(codes.cast(this.#computeType), weights, "post_quant_conv");
    const patches = imageDecoder(latents, weights, "decoder", pairDecoderPlan(this.config, "context"), visit);
    return { pixels: this.#pixels(patches), keys };
  }

  /** Context codes → what the conditional decoder sees of them alone, and the last map that was needed for it. */
  #contextKeys(codes: Tensor, weights: WeightLookup): { last: Tensor; keys: ContextKeys[] } {
    const places = decoderAttention(this.config), { place } = places[places.length - 1];
    const { keys, visit } = this.#collector("cond_decoder", places, weights);
    const latents = convolution(codes.cast(this.#computeType), weights, "post_quant_conv");
    const last = decoderMap(latents, weights, "decoder", pairDecoderPlan(this.config, "context"), place, visit);
    return { last, keys };
  }

  /** Codes [B · T, rows, columns, L] → frames [B · T, H, W, 3]. */
  #decodeFrames(codes: Tensor, keys: readonly ContextKeys[], weights: WeightLookup, dropout?: Dropout): Tensor {
    const patches = codes.cast(this.#computeType)
      .linear(weights("post_quant_linear.weight"), weights("post_quant_linear.bias"));
    const latents = depthToSpace(patches, this.config.patchSize);
    const plan = pairDecoderPlan(this.config, "conditional");
    const visit = this.#attender("cond_decoder", decoderAttention(this.config), keys, weights, dropout);
    return this.#pixels(imageDecoder(latents, weights, "cond_decoder", plan, visit));
  }

  /** A visitor of the context pair's maps that makes keys and values of those that are attended to. */
  #collector(
    name: string,
    places: AttentionPlace[],
    weights: WeightLookup,
  ): { keys: ContextKeys[]; visit: MapVisitor } {
    const keys: ContextKeys[] = [];
    const visit: MapVisitor = (map, at) => {
      const found = places.find(({ place }) => place === at);
      if (found) keys.push(contextKeys(map, weights, `${name}.${found.name}`, this.#attentionSettings()));
      return map;
    };
    return { keys, visit };
  }

  /** A visitor of the conditional pair's maps that lets them see the context. */
  #attender(
    name: string,
    places: AttentionPlace[],
    keys: readonly ContextKeys[],
    weights: WeightLookup,
    dropout?: Dropout,
  ): MapVisitor {
    return (map, at) => {
      const found = places.findIndex(({ place }) => place === at);
      if (found < 0) return map;
      const settings = { ...this.#attentionSettings(), dropout };
      return crossAttention(map, keys[found], weights, `${name}.${places[found].name}`, settings);
    };
  }

  #attentionSettings(): CrossAttentionSettings {
    const { attentionHeads, normGroups, normScope } = this.config;
    return { heads: attentionHeads, norm: { groups: normGroups, scope: normScope } };
  }

  #patches(frames: Tensor): Tensor {
    const seen = this.config.background ? frames.sub(this.parameters.get("background")!) : frames;
    return spaceToDepth(seen, this.config.pixelPatch).cast(this.#computeType);
  }

  #pixels(patches: Tensor): Tensor {
    const pixels = depthToSpace(patches.cast("float32"), this.config.pixelPatch);
    return this.config.background ? pixels.add(this.parameters.get("background")!) : pixels;
  }

  #contextCodes(tokens: Tensor): Tensor {
    return this.contextQuantizer.indicesToCodes(tokens.reshape([tokens.shape[0], ...contextGrid(this.config)]));
  }

  #contextPixels(tokens: Tensor): Tensor {
    return inChunks(
      tokens,
      this.#framesPerChunk,
      (chunk) => this.#decodeContext(this.#contextCodes(chunk), this.#lookup()).pixels.clamp(0, 1),
    );
  }

  #lookup(): WeightLookup {
    return weightLookup(this.parameters, this.#computeType);
  }

  // --- In pieces ---

  /**
   * Computes something of every frame of [B, T, ..], at most `framesPerChunk` at a time: whole clips where they fit, else
   * pieces of one. Results [frames, ..] come back as [B, T, ..].
   */
  #framesInChunks(
    frames: Tensor,
    keys: readonly ContextKeys[],
    compute: (frames: Tensor, keys: ContextKeys[]) => Tensor,
  ): Tensor {
    const [batch, length, ...rest] = frames.shape, size = this.#framesPerChunk;
    const clips = Math.max(1, Math.floor(size / length)), piece = Math.min(length, size);
    const done = inChunks(frames, clips, (some, start) => {
      const count = some.shape[0];
      const narrow = (all: Tensor) => all.narrow(0, start, count);
      const theirs = keys.map((each) => ({ keys: narrow(each.keys), values: narrow(each.values) }));
      const flat = some.reshape([count * length, ...rest]);
      return inChunks(flat, count * piece, (chunk) => compute(chunk, theirs));
    });
    return done.reshape([batch, length, ...done.shape.slice(1)]);
  }

  // --- Checks ---

  #checkPixels(operator: string, context: Tensor, frames: Tensor): void {
    const { height, width } = this.config;
    const fits = (x: Tensor, leading: number) =>
      x.dtype === "float32" && x.rank === leading + 3 &&
      `${x.shape.slice(leading)}` === `${[height, width, 3]}` && x.shape.every((extent) => extent > 0);
    if (!fits(context, 1) || !fits(frames, 2) || context.shape[0] !== frames.shape[0]) {
      throw new RangeError(
        `${operator}: needs context float32 [B, ${height}, ${width}, 3] and frames float32 [B, T, ${height}, ${width}, 3]: ` +
          `received ${describe(context)} and ${describe(frames)}`,
      );
    }
  }

  #checkTokens(operator: string, tokens: Tensor, form: (number | string)[]): void {
    const fits = tokens.dtype === "int64" && tokens.rank === form.length &&
      tokens.shape.every((extent, i) => extent > 0 && (typeof form[i] === "string" || extent === form[i]));
    if (!fits) {
      throw new RangeError(`${operator}: tokens must be int64 [${form.join(", ")}]: received ${describe(tokens)}`);
    }
  }
}

function keptKeys(all: readonly ContextKeys[]): ContextKeys[] {
  return all.map(({ keys, values }) => ({ keys: keep(keys), values: keep(values) }));
}

/** Keys and values of chunks of contexts, one after the other; the chunks' own are given back. */
function joined(chunks: ContextKeys[][]): ContextKeys[] {
  const join = (parts: Tensor[]) => {
    const all = concat(parts);
    for (const each of parts) each.dispose();
    return all;
  };
  return chunks[0].map((_, i) => ({
    keys: join(chunks.map((each) => each[i].keys)),
    values: join(chunks.map((each) => each[i].values)),
  }));
}

function describe(x: Tensor): string {
  return `${x.dtype} [${x.shape.join(", ")}]`;
}
