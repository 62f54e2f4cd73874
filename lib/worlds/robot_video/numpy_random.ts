/**
 * numpy's legacy random integers, so that the evaluation looks at exactly the clips that the released evaluation did.
 *
 * Only what that needs: `RandomState(seed).randint(low, high)`. Everything else in this project draws from Philox.
 */

const SIZE = 624;
const SHIFT = 397;

/** `numpy.random.RandomState` with the bounded integers of `randint`: MT19937, masked rejection. */
export class NumpyRandomState {
  readonly #state = new Uint32Array(SIZE);
  #position = SIZE;

  /**
   * The generator that `numpy.random.RandomState(seed)` is.
   *
   * @param seed an integer in 0 … 2³² − 1.
   * @throws {RangeError} if the seed is anything else.
   */
  constructor(seed: number) {
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
      throw new RangeError(`seed must be an integer in 0..4294967295: received ${seed}`);
    }
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < SIZE; i++) {
      const previous = state[i - 1] ^ (state[i - 1] >>> 30);
      state[i] = Math.imul(previous, 1812433253) + i;
    }
  }

  /** The next tempered 32-bit word. */
  word(): number {
    if (this.#position === SIZE) this.#twist();
    let y = this.#state[this.#position++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> 0;
  }

  /**
   * `randint(low, high)`: an integer in low … high − 1. A range of one value draws nothing, as in numpy.
   *
   * @throws {RangeError} if the range is empty or wider than 2³².
   */
  randint(low: number, high: number): number {
    const widest = high - 1 - low;
    if (!Number.isInteger(low) || !Number.isInteger(high) || widest < 0 || widest > 0xffffffff) {
      throw new RangeError(`randint needs integers low < high, at most 2^32 apart: received ${low}, ${high}`);
    }
    if (widest === 0) return low;
    const mask = 0xffffffff >>> Math.clz32(widest);
    for (;;) {
      const value = (this.word() & mask) >>> 0;
      if (value <= widest) return low + value;
    }
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < SIZE; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % SIZE] & 0x7fffffff);
      state[i] = state[(i + SHIFT) % SIZE] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#position = 0;
  }
}
