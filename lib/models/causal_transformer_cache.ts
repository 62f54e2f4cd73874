/**
 * Keys and values for decoding, with one copy of each prompt for all of its samples.
 *
 * The cache also holds a copy of the weights in the form that decoding reads (cast, fused, turned), so that a step does none
 * of that. It is a snapshot: after the model's parameters have changed, prefill again.
 *
 * Axis letters: P prompts, G samples a prompt, K key heads, Tp tokens of a prompt, d head width.
 */
import type { DType } from "../tensor/dtype.ts";
import type { Engine } from "../tensor/engine.ts";
import { keep, tidy } from "../tensor/scope.ts";
import { type Tensor, tensor, zeros } from "../tensor/tensor.ts";
import { type BlockWeights, type Projection, tensorsOf } from "./causal_transformer_block.ts";
import type { TransformerConfig } from "./transformer_config.ts";

/** One layer's keys and values. */
export interface CachedLayer {
  /** [P · K, Tp, d]. */
  promptKeys: Tensor;
  /** Like the keys. */
  promptValues: Tensor;
  /** [P, K, G, room, d], filled up to the cache's length. */
  ownKeys: Tensor;
  /** Like the keys. */
  ownValues: Tensor;
}

/** Sizes of a cache. */
export interface CacheSizes {
  /** P. */
  prompts: number;
  /** G. */
  group: number;
  /** Tp of each prompt. */
  promptLengths: readonly number[];
  /** Tokens that each sample may have. */
  maxNewTokens: number;
}

/** Room for new tokens at the start; it doubles when it is used up. */
const FIRST_ROOM = 512;
/** Finite, so that a row of them alone would still have a softmax; far below any score. */
const MASKED = -1e9;

/**
 * Keys and values of P prompts and P · G samples. Made by `CausalTransformer.prefill`; dispose of it when done.
 *
 * @internal
 */
export class SharedCache {
  /** Tokens that each sample may have. */
  readonly maxNewTokens: number;
  /** What decoding multiplies with, one entry a layer. */
  readonly weights: readonly BlockWeights[];
  /** The projection to the vocabulary. */
  readonly head: Projection;
  readonly #layers: CachedLayer[];
  #prompts: number;
  #group: number;
  #promptLengths: readonly number[];
  #promptMask: Tensor | undefined;
  #room: number;
  #length = 0;

  /**
   * Room for keys and values, all zero.
   *
   * @param weights Kept, one a layer; owned from now on, as is `head`.
   */
  constructor(
    readonly engine: Engine,
    config: TransformerConfig,
    sizes: CacheSizes,
    computeType: DType,
    weights: BlockWeights[],
    head: Projection,
  ) {
    const { prompts, group, promptLengths, maxNewTokens } = sizes;
    this.maxNewTokens = maxNewTokens;
    this.#prompts = prompts;
    this.#group = group;
    this.#promptLengths = promptLengths;
    this.#room = Math.min(maxNewTokens, FIRST_ROOM);
    const heads = config.keyValueHeads, width = config.headSize;
    const space = (...shape: number[]) => keep(zeros(engine, [...shape, width], computeType));
    this.#layers = weights.map(() => ({
      promptKeys: space(prompts * heads, this.promptLength),
      promptValues: space(prompts * heads, this.promptLength),
      ownKeys: space(prompts, heads, group, this.#room),
      ownValues: space(prompts, heads, group, this.#room),
    }));
    this.weights = weights;
    this.head = head;
    this.#promptMask = this.#makeMask(computeType);
  }

  /** P. */
  get prompts(): number {
    return this.#prompts;
  }

  /** G. */
  get group(): number {
    return this.#group;
  }

  /** Tp of each prompt. */
  get promptLengths(): readonly number[] {
    return this.#promptLengths;
  }

  /** Tp of the longest prompt: what the keys have room for. */
  get promptLength(): number {
    return Math.max(...this.#promptLengths);
  }

  /** Added to scores of the prompts' keys, [P, 1, Tp]: far below zero after a shorter prompt's end; undefined where all are equal. */
  get promptMask(): Tensor | undefined {
    return this.#promptMask;
  }

  /** Keys and values, one entry a layer. */
  get layers(): readonly CachedLayer[] {
    return this.#layers;
  }

  /** Tokens that each sample has so far. */
  get length(): number {
    return this.#length;
  }

  /** Stores a layer's keys and values of the prompts: k and v [Σ Tp, K, d], one prompt after the other. */
  setPrompt(layer: number, k: Tensor, v: Tensor): void {
    const [, heads, width] = k.shape, { promptKeys, promptValues } = this.#layers[layer];
    const equal = this.#promptMask === undefined;
    // Written into their place, so that decoding's products find them contiguous.
    const store = (target: Tensor, x: Tensor) => {
      if (equal) {
        const byHead = x.reshape([this.#prompts, this.promptLength, heads, width]).permute([0, 2, 1, 3]);
        target.assignSlice(byHead.reshape([this.#prompts * heads, this.promptLength, width]), 1, 0);
        return;
      }
      let at = 0;
      this.#promptLengths.forEach((length, p) => {
        const own = x.narrow(0, at, length).permute([1, 0, 2]);
        const missing = this.promptLength - length;
        target.assignSlice(missing > 0 ? own.pad([[0, 0], [0, missing], [0, 0]]) : own, 0, p * heads);
        at += length;
      });
    };
    store(promptKeys, k);
    store(promptValues, v);
  }

  /**
   * Keeps some samples of some prompts, in this order; the rest is forgotten.
   *
   * @param samples One entry a kept prompt: its number, and which of its G samples stay; the same count for each.
   * @throws {RangeError} When nothing stays or counts differ.
   */
  select(samples: readonly { prompt: number; samples: readonly number[] }[]): void {
    const group = samples[0]?.samples.length ?? 0;
    if (group === 0 || samples.some((each) => each.samples.length !== group)) {
      throw new RangeError("select: keep at least one sample, and as many of each prompt");
    }
    const heads = this.#layers[0].promptKeys.shape[0] / this.#prompts;
    const promptRows: number[] = [], ownRows: number[] = [];
    for (const each of samples) {
      for (let head = 0; head < heads; head++) {
        const row = each.prompt * heads + head;
        promptRows.push(row);
        for (const sample of each.samples) ownRows.push(row * this.#group + sample);
      }
    }
    const allPrompts = samples.length === this.#prompts && samples.every((each, p) => each.prompt === p);
    tidy(() => {
      const own = tensor(this.engine, Int32Array.from(ownRows)),
        shared = tensor(this.engine, Int32Array.from(promptRows));
      for (const layer of this.#layers) {
        for (const name of ["ownKeys", "ownValues"] as const) {
          replace(layer, name, (x) => {
            const [room, width] = x.shape.slice(3);
            return x.reshape([-1, room, width]).gather(own).reshape([samples.length, heads, group, room, width]);
          });
        }
        if (allPrompts) continue;
        for (const name of ["promptKeys", "promptValues"] as const) replace(layer, name, (x) => x.gather(shared));
      }
    });
    this.#prompts = samples.length;
    this.#group = group;
    if (!allPrompts) {
      // The keys keep their room: what is masked for the prompts that stay may now be masked for all.
      const room = this.promptLength, lengths = samples.map((each) => this.#promptLengths[each.prompt]);
      this.#promptLengths = lengths;
      const longest = Math.max(...lengths);
      if (longest < room) {
        for (const layer of this.#layers) {
          for (const name of ["promptKeys", "promptValues"] as const) {
            replace(layer, name, (x) => x.narrow(1, 0, longest).clone());
          }
        }
      }
      this.#promptMask?.dispose();
      this.#promptMask = this.#makeMask(this.#layers[0].promptKeys.dtype);
    }
  }

  #makeMask(dtype: DType): Tensor | undefined {
    const longest = this.promptLength;
    if (this.#promptLengths.every((length) => length === longest)) return undefined;
    const mask = new Float32Array(this.#prompts * longest);
    this.#promptLengths.forEach((length, p) => mask.fill(MASKED, p * longest + length, (p + 1) * longest));
    return tidy(() => keep(tensor(this.engine, mask, [this.#prompts, 1, longest]).cast(dtype)));
  }

  /**
   * Counts tokens that have been appended in every layer.
   *
   * @throws {RangeError} When there is no room for them.
   */
  advance(tokens: number): void {
    this.checkRoom(tokens);
    this.#length += tokens;
  }

  /**
   * Checks that `tokens` more fit.
   *
   * @throws {RangeError} When they do not.
   */
  checkRoom(tokens: number): void {
    if (this.#length + tokens > this.maxNewTokens) {
      throw new RangeError(
        `decode: the cache has room for ${this.maxNewTokens} new tokens: received ${tokens} after ${this.#length}; ` +
          `raise maxNewTokens at prefill`,
      );
    }
  }

  /**
   * Forgets what every sample has after its first `length` tokens; the prompts stay.
   *
   * @throws {RangeError} When samples have fewer.
   */
  rewind(length = 0): void {
    if (!(Number.isInteger(length) && length >= 0 && length <= this.#length)) {
      throw new RangeError(`rewind: length must be in 0..${this.#length}: received ${length}`);
    }
    this.#length = length;
  }

  /** Makes room for `tokens` more, which have been checked to fit. */
  reserve(tokens: number): void {
    const needed = this.#length + tokens;
    if (needed <= this.#room) return;
    const room = Math.min(this.maxNewTokens, Math.max(needed, 2 * this.#room));
    for (const layer of this.#layers) {
      for (const name of ["ownKeys", "ownValues"] as const) {
        replace(layer, name, (x) => {
          const [prompts, heads, group, , width] = x.shape;
          return x.reshape([-1, this.#room, width]).pad([[0, 0], [0, room - this.#room], [0, 0]])
            .reshape([prompts, heads, group, room, width]);
        });
      }
    }
    this.#room = room;
  }

  /** Gives everything back. A second call does nothing. */
  dispose(): void {
    const layers = this.#layers.flatMap((each) => Object.values(each) as Tensor[]);
    for (const each of [...layers, ...this.weights.flatMap(tensorsOf), this.head.weight]) each.dispose();
    this.#promptMask?.dispose();
  }
}

/** Puts what `change` makes, a tensor of its own, in the place of a tensor of a layer. */
function replace(layer: CachedLayer, name: keyof CachedLayer, change: (x: Tensor) => Tensor): void {
  const before = layer[name];
  layer[name] = tidy(() => keep(change(before)));
  before.dispose();
}
