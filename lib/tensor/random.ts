/**
 * Random numbers: a counter-based generator (Philox4x32-10) written here so that every engine sees the same numbers.
 *
 * A stream is named by integers, such as (seed, purpose, step, prompt, sample). Two streams with different names are
 * independent, and a stream can be opened again anywhere with no state carried along, which is what makes resumed runs and
 * different engines draw the same samples. Nothing in this project draws from any other source.
 *
 * Source: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/** The upper 32 bits of the 64-bit product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const carry = a0 * b1 + (middle & 0xffff);
  return (a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

/**
 * One block of Philox4x32-10: four 32-bit words from a counter of four words and a key of two.
 *
 * @param counter Four unsigned 32-bit words; not changed.
 * @param key Two unsigned 32-bit words.
 * @param out Where the four words are written.
 */
export function philoxBlock(counter: ArrayLike<number>, key: ArrayLike<number>, out: Uint32Array): void {
  let c0 = counter[0] >>> 0, c1 = counter[1] >>> 0, c2 = counter[2] >>> 0, c3 = counter[3] >>> 0;
  let k0 = key[0] >>> 0, k1 = key[1] >>> 0;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0), low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2), low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    const previous1 = c1;
    c0 = (high1 ^ previous1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/**
 * A stream of random numbers named by integers.
 *
 * @example The same name gives the same numbers.
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(new Philox(7, 1, 2).uniform(), new Philox(7, 1, 2).uniform());
 * ```
 */
export class Philox {
  readonly #key = new Uint32Array(2);
  readonly #counter = new Uint32Array(4);
  readonly #block = new Uint32Array(4);
  #used = 4;
  #spareNormal: number | undefined;

  /**
   * Opens the stream of that name at its beginning.
   *
   * @param keys The stream's name: non-negative safe integers; by convention the first is the run's seed.
   * @throws {RangeError} When a key is not a non-negative safe integer.
   */
  constructor(...keys: number[]) {
    const words = new Uint32Array(4), mixed = new Uint32Array(4);
    keys.forEach((key, i) => {
      if (!Number.isSafeInteger(key) || key < 0) {
        throw new RangeError(`a random stream's key must be a non-negative integer: received ${key} at position ${i}`);
      }
      words[0] = key >>> 0;
      words[1] = Math.floor(key / 2 ** 32);
      words[2] = i;
      philoxBlock(words, this.#key, mixed);
      this.#key[0] = mixed[0];
      this.#key[1] = mixed[1];
    });
  }

  /** The next unsigned 32-bit integer. */
  uint32(): number {
    if (this.#used === 4) {
      philoxBlock(this.#counter, this.#key, this.#block);
      for (let i = 0; i < 4; i++) {
        this.#counter[i] = this.#counter[i] + 1;
        if (this.#counter[i] !== 0) break;
      }
      this.#used = 0;
    }
    return this.#block[this.#used++];
  }

  /** A number in [0, 1) with 24 random bits, so that it is the same in float32 as in float64. */
  uniform(): number {
    return (this.uint32() >>> 8) / 0x1000000;
  }

  /**
   * An integer in [low, high), without bias.
   *
   * @throws {RangeError} When high is not above low.
   */
  integer(low: number, high: number): number {
    const span = high - low;
    if (!(span >= 1 && span <= 0x100000000)) {
      throw new RangeError(`a random integer needs low < high: received low ${low} and high ${high}`);
    }
    const limit = 0x100000000 - (0x100000000 % span);
    let word = this.uint32();
    while (word >= limit) word = this.uint32();
    return low + (word % span);
  }

  /** A standard normal number (Box–Muller). */
  normal(): number {
    if (this.#spareNormal !== undefined) {
      const spare = this.#spareNormal;
      this.#spareNormal = undefined;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** The integers 0 … count − 1 in random order (Fisher–Yates). */
  permutation(count: number): Int32Array {
    const order = Int32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.integer(0, i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  /** Fills an array with uniform numbers in [low, high) and returns it. */
  fillUniform(target: Float32Array, low = 0, high = 1): Float32Array {
    for (let i = 0; i < target.length; i++) target[i] = low + (high - low) * this.uniform();
    return target;
  }

  /** Fills an array with normal numbers and returns it. */
  fillNormal(target: Float32Array, mean = 0, standardDeviation = 1): Float32Array {
    for (let i = 0; i < target.length; i++) target[i] = mean + standardDeviation * this.normal();
    return target;
  }
}
