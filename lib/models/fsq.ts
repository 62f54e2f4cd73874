/**
 * Finite scalar quantization: a vector of L numbers becomes one of Π levels indices by bounding and rounding each number.
 *
 * There is nothing to learn here and nothing to store: the codebook is a grid. The same arithmetic is written twice, on
 * tensors (differentiable where a gradient exists) and on host numbers (for decoders and tests that hold no tensor).
 * Always float32: in 16 bits the bounded values near a rounding boundary would change their code.
 *
 * Source: F. Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", ICLR 2024, §3 and appendix A.1.
 */
import type { Engine } from "../tensor/engine.ts";
import { keep, tidy } from "../tensor/scope.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/** Levels by the codebook's size in bits, as the released tokenizers name them. */
export const FSQ_LEVELS: Readonly<Record<number, readonly number[]>> = {
  8: [8, 6, 5],
  10: [8, 5, 5, 5],
  12: [7, 5, 5, 5, 5],
  14: [8, 8, 8, 6, 5],
  16: [8, 8, 8, 5, 5, 5],
};

/** Indices are computed in float32 on the engine, which is exact up to here. */
const LARGEST_CODEBOOK = 2 ** 22;
const CONTRACTION = 1 + 1e-3;

/** What an engine's tensors of one quantizer need, each [L]. */
interface Constants {
  halfLength: Tensor;
  offset: Tensor;
  shift: Tensor;
  halfWidth: Tensor;
  basis: Tensor;
  levels: Tensor;
}

/**
 * The quantizer of one list of levels. L is the number of dimensions.
 *
 * @example The code of zeros lies in the middle of the grid.
 * ```ts
 * import assert from "node:assert/strict";
 * const fsq = new FiniteScalarQuantizer([7, 5, 5, 5, 5]);
 * assert.equal(fsq.codebookSize, 4375);
 * assert.equal(fsq.indexOf([0, 0, 0, 0, 0]), 2187);
 * ```
 *
 * @internal
 */
export class FiniteScalarQuantizer {
  /** Number of values in each dimension. */
  readonly levels: readonly number[];
  /** Number of codes: the product of the levels. */
  readonly codebookSize: number;
  /** Weight of each dimension's level in an index; the first varies fastest. */
  readonly basis: readonly number[];
  readonly #kept = new Map<Engine, Constants>();

  /**
   * A quantizer of these levels.
   *
   * @throws {RangeError} When there is no level, one is below 2, or there are too many codes.
   */
  constructor(levels: readonly number[]) {
    if (levels.length === 0 || levels.some((level) => !Number.isInteger(level) || level < 2)) {
      throw new RangeError(`fsqLevels must be integers of at least 2: received [${levels.join(", ")}]`);
    }
    this.levels = [...levels];
    this.codebookSize = levels.reduce((product, level) => product * level, 1);
    if (this.codebookSize > LARGEST_CODEBOOK) {
      throw new RangeError(`fsqLevels must make at most ${LARGEST_CODEBOOK} codes: received ${this.codebookSize}`);
    }
    this.basis = levels.map((_, i) => levels.slice(0, i).reduce((product, level) => product * level, 1));
  }

  /** L: numbers a code consists of. */
  get dimensions(): number {
    return this.levels.length;
  }

  // --- On tensors ---

  /** Keeps on an engine what tensors of it are computed with, until `dispose`: for who calls often. */
  keepConstants(engine: Engine): void {
    if (this.#kept.has(engine)) return;
    const made = this.#makeConstants(engine);
    for (const each of Object.values(made) as Tensor[]) keep(each);
    this.#kept.set(engine, made);
  }

  /** Gives back what is kept; the quantizer goes on without. */
  dispose(): void {
    for (const each of [...this.#kept.values()].flatMap((made) => Object.values(made) as Tensor[])) each.dispose();
    this.#kept.clear();
  }

  /**
   * The bounded, not yet rounded values of `z` [.., L] float32: each lies in its dimension's range of integers.
   *
   * @throws {RangeError} When the last extent is not L or the type is not float32.
   */
  bound(z: Tensor): Tensor {
    this.#check("bound", z);
    return tidy(() => {
      const { shift, halfLength, offset } = this.#constants(z.engine);
      return z.add(shift).tanh().mul(halfLength).sub(offset);
    });
  }

  /**
   * Codes of `z` [.., L] in [−1, 1], what a decoder is fed. Rounding passes the gradient straight through.
   */
  quantize(z: Tensor): Tensor {
    return tidy(() => {
      const bounded = this.bound(z);
      const rounded = bounded.add(bounded.round().sub(bounded).detach());
      return rounded.div(this.#constants(z.engine).halfWidth);
    });
  }

  /** Indices int64 [..] of codes [.., L] as `quantize` returns them. */
  codesToIndices(codes: Tensor): Tensor {
    this.#check("codesToIndices", codes);
    return tidy(() => {
      const { halfWidth, basis } = this.#constants(codes.engine);
      const levels = codes.mul(halfWidth).round().add(halfWidth);
      return levels.mul(basis).sum(-1).round().cast("int64");
    });
  }

  /**
   * Codes float32 [.., L] of indices int64 [..]. Any integer has one: an index beyond the codebook is taken modulo its
   * size, which is how released sequences offset their context tokens.
   */
  indicesToCodes(indices: Tensor): Tensor {
    return tidy(() => {
      const { basis, levels, halfWidth } = this.#constants(indices.engine);
      const spread = indices.cast("float32").reshape([...indices.shape, 1]);
      // Half an index more keeps an inexact division on the right side of the integer.
      const quotient = spread.add(0.5).div(basis).floor();
      const wraps = quotient.add(0.5).div(levels).floor();
      return quotient.sub(wraps.mul(levels)).sub(halfWidth).div(halfWidth);
    });
  }

  // --- On the host ---

  /** Index of a vector of L numbers before bounding. */
  indexOf(z: ArrayLike<number>): number {
    if (z.length !== this.dimensions) {
      throw new RangeError(`fsq: a vector has ${this.dimensions} numbers: received ${z.length}`);
    }
    let index = 0;
    for (let i = 0; i < this.dimensions; i++) {
      const { halfLength, offset, shift, halfWidth } = gridOf(this.levels[i]);
      const bounded = Math.fround(Math.tanh(Math.fround(z[i]) + shift) * halfLength - offset);
      index += (roundHalfToEven(bounded) + halfWidth) * this.basis[i];
    }
    return index;
  }

  /** Levels 0 … L_i − 1 of an index; taken modulo the codebook's size. */
  levelsOf(index: number): number[] {
    if (!Number.isSafeInteger(index)) throw new RangeError(`fsq: an index must be an integer: received ${index}`);
    return this.levels.map((level, i) => {
      const quotient = Math.floor(index / this.basis[i]);
      return quotient - Math.floor(quotient / level) * level;
    });
  }

  /** The code of an index, in [−1, 1]. */
  codeOf(index: number): number[] {
    return this.levelsOf(index).map((level, i) => {
      const { halfWidth } = gridOf(this.levels[i]);
      return (level - halfWidth) / halfWidth;
    });
  }

  #check(operator: string, x: Tensor): void {
    if (x.dtype !== "float32" || x.shape[x.rank - 1] !== this.dimensions) {
      throw new RangeError(
        `fsq ${operator}: needs float32 [.., ${this.dimensions}]: received ${x.dtype} [${x.shape.join(", ")}]`,
      );
    }
  }

  /** Those that are kept; else made anew for each use: a handful of numbers, freed by the caller's scope. */
  #constants(engine: Engine): Constants {
    return this.#kept.get(engine) ?? this.#makeConstants(engine);
  }

  #makeConstants(engine: Engine): Constants {
    const grids = this.levels.map(gridOf);
    const vector = (numbers: readonly number[]) => tensor(engine, numbers, [this.dimensions], "float32");
    return {
      halfLength: vector(grids.map((grid) => grid.halfLength)),
      offset: vector(grids.map((grid) => grid.offset)),
      shift: vector(grids.map((grid) => grid.shift)),
      halfWidth: vector(grids.map((grid) => grid.halfWidth)),
      basis: vector(this.basis),
      levels: vector(this.levels),
    };
  }
}

function gridOf(level: number): { halfLength: number; offset: number; shift: number; halfWidth: number } {
  const halfLength = (level - 1) * CONTRACTION / 2;
  const offset = level % 2 === 0 ? 0.5 : 0;
  return { halfLength, offset, shift: Math.atanh(offset / halfLength), halfWidth: Math.floor(level / 2) };
}

function roundHalfToEven(x: number): number {
  const below = Math.floor(x), rest = x - below;
  if (rest !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}
