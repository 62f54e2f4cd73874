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
import { keep } from "../tensor/scope.ts";
import { zeros } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type BlockWeights, type Projection, tensorsOf } from "./causal_transformer_block.ts";
import type { TransformerConfig } from "./transformer_config.ts";

/** One layer's keys and values. */
export interface CachedLayer {
  /** [P · K, Tp, d]. */
  promptKeys: Tensor;
  /** Like the keys. */
  promptValues: Tensor;
  /** [P · K · G, maxNewTokens, d], filled up to the cache's length. */
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
  /** Tp. */
  promptLength: number;
  /** Tokens that each sample may have. */
  maxNewTokens: number;
}

/** Keys and values of P prompts and P · G samples. Made by `CausalTransformer.prefill`; dispose of it when done. */
export class SharedCache {
  /** P. */
  readonly prompts: number;
  /** G. */
  readonly group: number;
  /** Tp. */
  readonly promptLength: number;
  /** Tokens that each sample may have. */
  readonly maxNewTokens: number;
  /** Keys and values, one entry a layer. */
  readonly layers: readonly CachedLayer[];
  /** What decoding multiplies with, one entry a layer. */
  readonly weights: readonly BlockWeights[];
  /** The projection to the vocabulary. */
  readonly head: Projection;
  readonly #owned: Tensor[];
  #length = 0;

  /**
   * Room for keys and values, all zero.
   *
   * @param weights Kept, one a layer; owned from now on, as is `head`.
   */
  constructor(
    engine: Engine,
    config: TransformerConfig,
    sizes: CacheSizes,
    computeType: DType,
    weights: BlockWeights[],
    head: Projection,
  ) {
    ({
      prompts: this.prompts,
      group: this.group,
      promptLength: this.promptLength,
      maxNewTokens: this.maxNewTokens,
    } = sizes);
    const { prompts, group, promptLength, maxNewTokens } = sizes;
    const rows = prompts * config.keyValueHeads, width = config.headSize;
    const space = (rows: number, length: number) => keep(zeros(engine, [rows, length, width], computeType));
    this.layers = weights.map(() => ({
      promptKeys: space(rows, promptLength),
      promptValues: space(rows, promptLength),
      ownKeys: space(rows * group, maxNewTokens),
      ownValues: space(rows * group, maxNewTokens),
    }));
    this.weights = weights;
    this.head = head;
    this.#owned = [
      head.weight,
      ...weights.flatMap(tensorsOf),
      ...this.layers.flatMap((each) => Object.values(each) as Tensor[]),
    ];
  }

  /** Tokens that each sample has so far. */
  get length(): number {
    return this.#length;
  }

  /** Stores a layer's keys and values of the prompts: k and v [P · Tp, K, d]. */
  setPrompt(layer: number, k: Tensor, v: Tensor): void {
    const [, heads, width] = k.shape;
    // Written into their place, so that decoding's products find them contiguous.
    const store = (target: Tensor, x: Tensor) =>
      target.assignSlice(
        x.reshape([this.prompts, this.promptLength, heads, width]).permute([0, 2, 1, 3])
          .reshape([this.prompts * heads, this.promptLength, width]),
        1,
        0,
      );
    store(this.layers[layer].promptKeys, k);
    store(this.layers[layer].promptValues, v);
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

  /** Gives everything back. A second call does nothing. */
  dispose(): void {
    for (const each of this.#owned) each.dispose();
  }
}
