/**
 * The causal transformer that every world's sequences go through: Llama's shape (RMS norms, rotary positions, SwiGLU), with
 * Qwen2's biases, grouped heads and tied embeddings where the configuration has them.
 *
 * It gives hidden states; projection to the vocabulary is left to `nn/log_probabilities.ts`, which never holds all logits,
 * and to the sampler, which needs one position's. Two things are done once a prompt instead of once a sample: training
 * (`hiddenShared`) and decoding (`prefill`, `decode`).
 *
 * Parameters have the names of Hugging Face's state dict. With `computeType` bfloat16 they stay float32 (master weights):
 * products run in bfloat16, the residual stream, norms and gradients in float32.
 *
 * Axis letters: B sequences, P prompts, G answers a prompt, T, Tp, Ta tokens of a sequence, prompt, answer, D hidden
 * width, V vocabulary.
 */
import { LoraAdapters, type LoraOptions } from "../nn/lora.ts";
import { disposeParameters, type Parameters } from "../nn/parameters.ts";
import { ropeTables, type Rotation, rotationAt, rotationOf } from "../nn/rope.ts";
import { type DType, type Shape, shapeText } from "../tensor/dtype.ts";
import type { Engine } from "../tensor/engine.ts";
import { tidy } from "../tensor/scope.ts";
import { checkSupported, concat, Tensor, tensor } from "../tensor/tensor.ts";
import { attendCached, attendSequences, attendShared, lastOf } from "./causal_transformer_attention.ts";
import {
  as,
  type Attend,
  blockWeights,
  decodingWeights,
  project,
  runBlock,
  turned,
} from "./causal_transformer_block.ts";
import { SharedCache } from "./causal_transformer_cache.ts";
import { initialParameters } from "./initial_parameters.ts";
import { type Layerwise, runLayers } from "./layerwise.ts";
import { loadAdapters } from "./lora_files.ts";
import { findModelFolder } from "./model_folder.ts";
import { attendPacked, type PackedGroup, PackedLayout } from "./packed_sequences.ts";
import { loadTransformer, type ParameterType, type SaveOptions, saveTransformer } from "./causal_transformer_files.ts";
import { longestSequence, type TransformerConfig } from "./transformer_config.ts";

/** Positions that the rotary tables hold from the start. */
const TABLE_LENGTH = 8192;

/** Options of a transformer. */
export interface TransformerSettings {
  /** Type of products: the parameters' own when left out, or `bfloat16` where the engine has it. */
  computeType?: DType;
}

/** A causal transformer with its parameters. */
export class CausalTransformer {
  /** The engine that holds the parameters and computes. */
  readonly engine: Engine;
  /** Sizes, rotary embedding, special tokens: what `config.json` says. */
  readonly config: TransformerConfig;
  /** Kept tensors; an optimizer changes them in place. */
  readonly parameters: Parameters;
  /** Type of activations and products: `float32`, or `bfloat16` on torch. */
  readonly computeType: DType;
  #adapters: LoraAdapters | undefined;

  /**
   * A model of given parameters.
   *
   * @param parameters All of `transformerParameterShapes(config)`, of one floating type. Owned from now on.
   * @throws {TypeError} When the engine lacks the compute type.
   */
  constructor(
    engine: Engine,
    config: TransformerConfig,
    parameters: Parameters,
    { computeType }: TransformerSettings = {},
  ) {
    this.engine = engine;
    this.config = config;
    this.parameters = parameters;
    this.computeType = computeType ?? this.head.dtype;
    checkSupported(engine, this.computeType, "CausalTransformer");
    // Made here rather than in the first forward pass: outside gradients and scopes.
    this.#tables(Math.min(config.maxPositions, TABLE_LENGTH));
  }

  /**
   * New weights: normal numbers of the configuration's range, ones in norms, zeros in biases; the same on every engine.
   *
   * @param options.seed Of the run.
   */
  static initialize(
    engine: Engine,
    config: TransformerConfig,
    { seed, computeType }: TransformerSettings & { seed: number },
  ): CausalTransformer {
    return new CausalTransformer(engine, config, initialParameters(engine, config, seed), { computeType });
  }

  /**
   * Loads a folder with `config.json` and safetensors (one file or shards), as Hugging Face's transformers saves them; or an
   * adapter's folder, as PEFT saves it, whose model is where it says: merged into that model.
   *
   * @param settings.parameterType Type that parameters are held in, whatever the file has: float32 when left out.
   * @throws {UserError} When a file is missing, damaged, or of another shape than the configuration.
   * @throws {TypeError} When the engine lacks the type.
   */
  static async load(
    engine: Engine,
    folder: string,
    { parameterType, ...settings }: TransformerSettings & { parameterType?: ParameterType } = {},
  ): Promise<CausalTransformer> {
    const found = await findModelFolder(folder);
    const { config, parameters } = await loadTransformer(engine, found.model, parameterType);
    const model = new CausalTransformer(engine, config, parameters, settings);
    if (found.adapter === undefined) return model;
    try {
      await loadAdapters(model, found.adapter);
    } catch (error) {
      model.dispose();
      throw error;
    }
    model.mergeAdapters();
    model.detachAdapters();
    return model;
  }

  /** Writes `config.json` and safetensors, which Hugging Face's transformers loads. Replaces an earlier save as a whole. */
  async save(folder: string, options: SaveOptions = {}): Promise<void> {
    await saveTransformer(folder, this.config, this.parameters, options);
  }

  /** Gives the parameters back, and the adapters. */
  dispose(): void {
    disposeParameters(this.parameters);
    this.detachAdapters();
  }

  /** The projection to the vocabulary [V, D]. Computed, and so to be called in a scope, where an adapter belongs to it. */
  get head(): Tensor {
    const weight = this.parameters.get("lm_head.weight") ?? this.parameters.get("model.embed_tokens.weight")!;
    return this.#active?.added("lm_head", weight) ?? weight;
  }

  /** What training changes, for optimizers, gradients and checkpoints: all parameters, or those of the adapters alone. */
  get trainable(): Parameters {
    return this.#adapters?.parameters ?? this.parameters;
  }

  /** The LoRA adapters that are attached. */
  get adapters(): LoraAdapters | undefined {
    return this.#adapters;
  }

  /** The adapters, where they are to be computed with. */
  get #active(): LoraAdapters | undefined {
    return this.#adapters?.isActive ? this.#adapters : undefined;
  }

  /** Shapes [out, in] of the linear layers by name: what adapters may be attached to. */
  get linearLayers(): Map<string, Shape> {
    const linear = new Map<string, Shape>();
    for (const [name, { shape, rank }] of this.parameters) {
      if (rank === 2 && name !== "model.embed_tokens.weight") linear.set(name.replace(/\.weight$/, ""), shape);
    }
    // Tied: the embedding table, as it is used for the output.
    const table = this.parameters.get("model.embed_tokens.weight")!;
    return linear.has("lm_head") ? linear : linear.set("lm_head", table.shape);
  }

  /**
   * Puts new LoRA adapters beside linear layers. The outputs stay as they are, since B is zero; from now on the adapters are
   * what is trained.
   *
   * @throws {Error} When the model has adapters already.
   * @throws {RangeError} When an option is out of its range or a target names no layer.
   */
  attachAdapters(options: LoraOptions): LoraAdapters {
    if (this.#adapters) throw new Error("attachAdapters: the model has adapters: call detachAdapters first");
    return this.#adapters = new LoraAdapters(this.engine, this.linearLayers, options);
  }

  /** Adds the adapters into the weights, which is faster and what `save` then writes. Not for training. */
  mergeAdapters(): void {
    this.#attached("mergeAdapters").merge(this.parameters);
  }

  /** Takes merged adapters out of the weights again, which are then as before but for rounding. */
  unmergeAdapters(): void {
    this.#attached("unmergeAdapters").unmerge(this.parameters);
  }

  /** Frees the adapters, if there are any. Merged ones stay in the weights. */
  detachAdapters(): void {
    this.#adapters?.dispose();
    this.#adapters = undefined;
  }

  /** Runs `fn` on the model as it is without its adapters: the reference of a policy that LoRA trains. See `LoraAdapters.leftOut`. */
  withoutAdapters<T>(fn: () => T): T {
    return this.#adapters ? this.#adapters.leftOut(fn) : fn();
  }

  #attached(name: string): LoraAdapters {
    if (!this.#adapters) throw new Error(`${name}: the model has no adapters: call attachAdapters first`);
    return this.#adapters;
  }

  /**
   * Logits [N, V] of hidden states [N, D], in the hidden states' type. For few rows; losses go chunk by chunk (`tokenLoss`).
   *
   * @param cache While decoding: its copy of the projection is read, which is faster than casting the parameter each time.
   */
  logits(hidden: Tensor, cache?: SharedCache): Tensor {
    return tidy(() => {
      const head = cache?.head ?? { weight: as(this.head, this.computeType), turned: false };
      return as(project(as(hidden, this.computeType), head), hidden.dtype);
    });
  }

  /**
   * Hidden states after the final norm: position i is what predicts token i + 1.
   *
   * @param tokens int64 [B, T].
   * @returns [B, T, D].
   */
  hidden(tokens: Tensor): Tensor {
    return tidy(() => runLayers(this.hiddenPass(tokens)));
  }

  /**
   * {@linkcode hidden} in pieces. Makes tensors: to be called in a scope.
   *
   * @internal
   */
  hiddenPass(tokens: Tensor): Layerwise<Tensor> {
    const [batch, length] = this.#checkTokens("hidden", tokens);
    this.#checkLength("hidden", length);
    return this.#pass({
      embed: () => this.#embed(tokens),
      rotation: this.#rotation([{ start: 0, length, repeats: batch }]),
      attend: () => (q, k, v) => attendSequences(q, k, v, batch),
      finish: (normed) => normed.reshape([batch, length, -1]),
    });
  }

  /**
   * Hidden states of prompts and of G answers to each, with each prompt computed once. Differentiable.
   *
   * @param prompts int64 [P, Tp].
   * @param answers int64 [P · G, Ta]: answers to prompt p are rows p · G … p · G + G − 1. Without the last token of each
   * answer where that predicts nothing.
   * @param options.promptHidden `last` computes only the prompts' last position in the last block: all that the answers'
   * likelihood needs.
   * @returns prompt [P, Tp, D] (or [P, 1, D]), whose last position predicts the answers' first token; answers [P · G, Ta, D].
   */
  hiddenShared(
    prompts: Tensor,
    answers: Tensor,
    options: { promptHidden?: "all" | "last" } = {},
  ): { prompt: Tensor; answers: Tensor } {
    return tidy(() => runLayers(this.hiddenSharedPass(prompts, answers, options)));
  }

  /**
   * {@linkcode hiddenShared} in pieces. Makes tensors: to be called in a scope.
   *
   * @internal
   */
  hiddenSharedPass(
    prompts: Tensor,
    answers: Tensor,
    { promptHidden = "all" }: { promptHidden?: "all" | "last" } = {},
  ): Layerwise<{ prompt: Tensor; answers: Tensor }> {
    const [count, promptLength] = this.#checkTokens("hiddenShared", prompts);
    const [rows, answerLength] = this.#checkTokens("hiddenShared", answers);
    const group = rows / count;
    if (!Number.isInteger(group)) {
      throw new RangeError(
        `hiddenShared: ${rows} answers do not divide among ${count} prompts: give the same number to each`,
      );
    }
    this.#checkLength("hiddenShared", promptLength + answerLength);
    const sizes = { prompts: count, group, promptLength, answerLength };
    const lastRows = (x: Tensor) =>
      concat([lastOf(x, count, promptLength), x.narrow(0, count * promptLength, rows * answerLength)]);
    const isShort = (layer: number) => promptHidden === "last" && layer === this.config.layers - 1;
    return this.#pass({
      embed: () => concat([this.#embed(prompts), this.#embed(answers)]),
      rotation: this.#rotation([
        { start: 0, length: promptLength, repeats: count },
        { start: promptLength, length: answerLength, repeats: rows },
      ]),
      attend: (layer) => (q, k, v) => attendShared(q, k, v, sizes, isShort(layer)),
      select: (layer) => isShort(layer) ? lastRows : undefined,
      finish: (normed) => {
        const kept = promptHidden === "last" ? 1 : promptLength;
        return {
          prompt: normed.narrow(0, 0, count * kept).reshape([count, kept, -1]),
          answers: normed.narrow(0, count * kept, rows * answerLength).reshape([rows, answerLength, -1]),
        };
      },
    });
  }

  /**
   * {@linkcode CausalTransformer.hiddenSharedPass} for prompts and answers of any lengths, packed without padding.
   *
   * @param groups Prompts with their answers; a prompt without answers is a sequence of its own.
   * @param options.promptHidden `last` computes only the prompts' last positions in the last block.
   * @returns prompts: rows of all prompts one after the other [Σ Tp, D] (or [P, D]); answers: rows of all answers [Σ Ta, D],
   * undefined where there are none.
   * @throws {RangeError} When there is no prompt, one is empty, or a sequence is too long.
   *
   * @internal
   */
  hiddenPackedPass(
    groups: readonly PackedGroup[],
    { promptHidden = "all" }: { promptHidden?: "all" | "last" } = {},
  ): Layerwise<{ prompts: Tensor; answers: Tensor | undefined }> {
    const layout = new PackedLayout(this.engine, groups);
    this.#checkLength("hiddenPackedPass", layout.longest);
    const isShort = (layer: number) => promptHidden === "last" && layer === this.config.layers - 1;
    const lastRows = promptHidden === "last" ? layout.lastPromptRows() : undefined;
    return this.#pass({
      embed: () => this.#embed(layout.tokens),
      rotation: rotationOf(this.#tables(layout.longest), layout.positions, this.computeType),
      attend: (layer) => (q, k, v) => attendPacked(q, k, v, layout, isShort(layer)),
      select: (layer) => isShort(layer) ? (x) => x.gather(lastRows!) : undefined,
      finish: (normed) => {
        const kept = lastRows ? groups.length : layout.promptRows, rows = normed.shape[0] - kept;
        return { prompts: normed.narrow(0, 0, kept), answers: rows > 0 ? normed.narrow(0, kept, rows) : undefined };
      },
    });
  }

  /**
   * Reads prompts and makes the cache that G samples of each are decoded with. Without gradient.
   *
   * @param prompts int64 [P, Tp], or P prompts of any lengths.
   * @returns The cache (dispose of it) and the last position's hidden state [P, D], which predicts the first new token.
   *
   * @internal
   */
  prefill(
    prompts: Tensor | readonly Int32Array[],
    { group, maxNewTokens }: {
      /** G: samples of each prompt. */
      group: number;
      /** Tokens that each sample may get. */
      maxNewTokens: number;
    },
  ): { cache: SharedCache; hidden: Tensor } {
    const promptLengths = prompts instanceof Tensor
      ? new Array<number>(this.#checkTokens("prefill", prompts)[0]).fill(prompts.shape[1])
      : prompts.map((each) => each.length);
    const count = promptLengths.length;
    for (const [name, value] of Object.entries({ group, maxNewTokens })) {
      if (!(Number.isInteger(value) && value >= 1)) {
        throw new RangeError(`prefill: ${name} must be at least 1: received ${value}`);
      }
    }
    this.#checkLength("prefill", Math.max(...promptLengths) + maxNewTokens);
    return tidy(() => {
      const packed = prompts instanceof Tensor
        ? undefined
        : new PackedLayout(this.engine, prompts.map((prompt) => ({ prompt, answers: [] })));
      const weights = Array.from(
        { length: this.config.layers },
        (_, layer) => tidy(() => decodingWeights(this.parameters, layer, this.computeType, this.#active)),
      );
      const cache = new SharedCache(
        this.engine,
        this.config,
        { prompts: count, group, promptLengths, maxNewTokens },
        this.computeType,
        weights,
        tidy(() => turned([as(this.head, this.computeType)])),
      );
      const isLast = (layer: number) => layer === this.config.layers - 1;
      const lastRows = packed?.lastPromptRows();
      const hidden = runLayers(this.#pass({
        embed: () => this.#embed(packed?.tokens ?? prompts as Tensor),
        rotation: packed
          ? rotationOf(this.#tables(packed.longest), packed.positions, this.computeType)
          : this.#rotation([{ start: 0, length: promptLengths[0], repeats: count }]),
        attend: (layer) => (q, k, v) => {
          cache.setPrompt(layer, k, v);
          return packed ? attendPacked(q, k, v, packed, isLast(layer)) : attendSequences(q, k, v, count, isLast(layer));
        },
        select: (layer) =>
          isLast(layer) ? (x) => lastRows ? x.gather(lastRows) : lastOf(x, count, promptLengths[0]) : undefined,
        finish: (normed) => normed,
        cache,
      }));
      return { cache, hidden };
    });
  }

  /**
   * Appends tokens to every sample and gives the hidden state that predicts the next.
   *
   * @param tokens int64 [P · G], or [P · G, n] for n given tokens at once.
   * @returns [P · G, D]: of the last token.
   * @throws {RangeError} When the cache has no room left.
   *
   * @internal
   */
  decode(cache: SharedCache, tokens: Tensor): Tensor {
    const samples = cache.prompts * cache.group;
    const added = tokens.rank === 1 ? 1 : tokens.shape[1];
    if (tokens.dtype !== "int64" || tokens.rank < 1 || tokens.rank > 2 || tokens.shape[0] !== samples || added < 1) {
      throw new RangeError(
        `decode: tokens must be int64 [${samples}] or [${samples}, n]: received ${tokens.dtype} ${
          shapeText(tokens.shape)
        }`,
      );
    }
    cache.checkRoom(added);
    cache.reserve(added);
    return tidy(() => {
      const hidden = runLayers(this.#pass({
        embed: () => this.#embed(tokens),
        rotation: this.#decodingRotation(cache, added),
        attend: (layer) => (q, k, v) => attendCached(q, k, v, cache, layer),
        finish: (normed) => added === 1 ? normed : lastOf(normed, samples, added),
        cache,
      }));
      cache.advance(added);
      return hidden;
    });
  }

  /** Embeddings of all tokens, flat: [N, D]. */
  #embed(tokens: Tensor): Tensor {
    return this.parameters.get("model.embed_tokens.weight")!.gather(tokens.reshape([tokens.size]));
  }

  /** A pass over all blocks; with a cache, by the weights that it holds. */
  #pass<Hidden>({ embed, rotation, attend, select, finish, cache }: PassParts<Hidden>): Layerwise<Hidden> {
    const norm = this.parameters.get("model.norm.weight")!;
    return {
      layers: this.config.layers,
      embed,
      block: (x, layer) => {
        const weights = cache?.weights[layer] ?? blockWeights(this.parameters, layer, this.computeType, this.#active);
        return runBlock(this.config, weights, x, rotation, attend(layer), select?.(layer));
      },
      finish: (x) => finish(x.rmsNorm(norm, this.config.normEpsilon)),
    };
  }

  #tables(length: number): Rotation {
    const { headSize, ropeTheta, ropeScaling } = this.config;
    return ropeTables(this.engine, headSize, ropeTheta, length, ropeScaling);
  }

  #rotation(runs: { start: number; length: number; repeats: number }[]): Rotation {
    const length = Math.max(...runs.map((run) => run.start + run.length));
    return rotationAt(this.#tables(length), runs, this.computeType);
  }

  /** Of `added` new tokens of every sample. */
  #decodingRotation(cache: SharedCache, added: number): Rotation {
    const start = cache.promptLength + cache.length, samples = cache.prompts * cache.group;
    if (!cache.promptMask) {
      return this.#rotation([{ start, length: added, repeats: added === 1 ? 1 : samples }]);
    }
    const positions = new Int32Array(samples * added);
    for (let row = 0, i = 0; row < samples; row++) {
      const first = cache.promptLengths[Math.floor(row / cache.group)] + cache.length;
      for (let t = 0; t < added; t++) positions[i++] = first + t;
    }
    return rotationOf(this.#tables(start + added), tensor(this.engine, positions), this.computeType);
  }

  #checkTokens(name: string, tokens: Tensor): [rows: number, length: number] {
    if (tokens.dtype !== "int64" || tokens.rank !== 2 || tokens.size === 0) {
      throw new RangeError(
        `${name}: tokens must be int64 of two axes, not empty: received ${tokens.dtype} ${shapeText(tokens.shape)}`,
      );
    }
    return [tokens.shape[0], tokens.shape[1]];
  }

  #checkLength(name: string, length: number): void {
    const limit = longestSequence(this.config);
    if (length > limit) throw new RangeError(`${name}: ${length} tokens exceed the model's maxPositions ${limit}`);
  }
}

/** What makes one kind of pass different from another. */
interface PassParts<Hidden> {
  embed: () => Tensor;
  rotation: Rotation;
  attend: (layer: number) => Attend;
  /** See `runBlock`. */
  select?: (layer: number) => ((x: Tensor) => Tensor) | undefined;
  finish: (normed: Tensor) => Hidden;
  cache?: SharedCache;
}
