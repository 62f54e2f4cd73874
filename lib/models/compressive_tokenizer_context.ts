/**
 * What a compressive tokenizer remembers of context frames while it decodes others: their tokens, and the keys and values
 * of their feature maps at each place of attention. A few megabytes a context instead of a decoder's pass a frame.
 *
 * Kept until disposed of. What is remembered belongs to the parameters of the moment: make it anew after an update.
 */
import { keep, tidy } from "../tensor/scope.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { ContextKeys } from "./cross_attention.ts";

/**
 * The context decoder's feature maps of B context frames, ready for any number of frames of their clips.
 *
 * @internal
 */
export class ContextFeatures {
  /** B. */
  readonly batch: number;
  readonly #tokens: Tensor;
  readonly #keys: readonly ContextKeys[];
  readonly #pixelsOf: (tokens: Tensor) => Tensor;

  /**
   * For the tokenizer: others call its `contextFeatures`.
   *
   * @param tokens Kept int64 [B, Nc].
   * @param keys Kept, one a place of attention.
   * @param pixelsOf Decodes context tokens.
   */
  constructor(tokens: Tensor, keys: readonly ContextKeys[], pixelsOf: (tokens: Tensor) => Tensor) {
    this.batch = tokens.shape[0];
    this.#tokens = tokens;
    this.#keys = keys;
    this.#pixelsOf = pixelsOf;
  }

  /** For the tokenizer: keys and values, one a place of attention. */
  get keys(): readonly ContextKeys[] {
    return this.#keys;
  }

  /** Whether it has been given back. */
  get isDisposed(): boolean {
    return this.#tokens.isDisposed;
  }

  /** The context reconstructions float32 [B, H, W, 3] in [0, 1]; computed at each call. */
  pixels(): Tensor {
    return this.#pixelsOf(this.#tokens);
  }

  /**
   * Those of some rows, in any order and as often as named: an object of its own, to be disposed of.
   *
   * @throws {RangeError} When there are no rows or one is not in 0 … B − 1.
   */
  select(rows: ArrayLike<number>): ContextFeatures {
    const indices = Int32Array.from(rows);
    const wrong = Array.from(rows).find((row) => !(Number.isInteger(row) && row >= 0 && row < this.batch));
    if (wrong !== undefined || indices.length === 0) {
      throw new RangeError(
        `context features: rows must be from 0 to ${this.batch - 1}, at least one: received ${wrong ?? "none"}`,
      );
    }
    return tidy(() => {
      const chosen = tensor(this.#tokens.engine, indices, [indices.length]);
      const take = (all: Tensor) => keep(all.gather(chosen));
      const keys = this.#keys.map((each) => ({ keys: take(each.keys), values: take(each.values) }));
      return new ContextFeatures(take(this.#tokens), keys, this.#pixelsOf);
    });
  }

  /** Gives everything back. */
  dispose(): void {
    this.#tokens.dispose();
    for (const { keys, values } of this.#keys) {
      keys.dispose();
      values.dispose();
    }
  }
}
