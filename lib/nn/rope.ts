/**
 * Rotary position embedding (Su et al. 2021) in Hugging Face's "rotate half" layout: number i of a head is paired with
 * number i + D/2.
 *
 * The sine table carries the sign of the rotated half, so that a rotation is one swap of halves, two products and a sum.
 */
import type { DType } from "../tensor/dtype.ts";
import type { Engine } from "../tensor/engine.ts";
import { keep } from "../tensor/scope.ts";
import { concat, type Tensor, tensor } from "../tensor/tensor.ts";

/** Cosines and signed sines, one row a token: [N, 1, D], or of any shape that broadcasts. */
export interface Rotation {
  /** cos of each angle. */
  cosines: Tensor;
  /** −sin for the first half of a head, sin for the second. */
  sines: Tensor;
}

interface Tables {
  length: number;
  cosines: Tensor;
  sines: Tensor;
}

const tablesOfEngines = new WeakMap<Engine, Map<string, Tables>>();

/**
 * The tables of positions 0 … length − 1 (or more): kept tensors [≥ length, D] in float32, made once an engine.
 *
 * Call it outside gradients. A longer table replaces a shorter one.
 *
 * @param headSize D, even.
 * @param theta Base of the frequencies, 10,000 for the released models.
 */
export function ropeTables(engine: Engine, headSize: number, theta: number, length: number): Rotation {
  const tablesOfEngine = tablesOfEngines.get(engine) ?? new Map<string, Tables>();
  tablesOfEngines.set(engine, tablesOfEngine);
  const key = `${headSize} ${theta}`;
  const known = tablesOfEngine.get(key);
  if (known && known.length >= length) return known;
  const half = headSize / 2;
  const cosines = new Float32Array(length * headSize), sines = new Float32Array(length * headSize);
  for (let i = 0; i < half; i++) {
    // Rounded to float32 where PyTorch rounds, since a large position multiplies the error of its frequency.
    const frequency = Math.fround(1 / Math.fround(theta ** Math.fround(2 * i / headSize)));
    for (let position = 0; position < length; position++) {
      const angle = Math.fround(position * frequency), at = position * headSize + i;
      cosines[at] = cosines[at + half] = Math.cos(angle);
      sines[at + half] = Math.sin(angle);
      sines[at] = -sines[at + half];
    }
  }
  known?.cosines.dispose();
  known?.sines.dispose();
  const tables = {
    length,
    cosines: keep(tensor(engine, cosines, [length, headSize])),
    sines: keep(tensor(engine, sines, [length, headSize])),
  };
  tablesOfEngine.set(key, tables);
  return tables;
}

/** Rows of the tables for tokens at the given runs of positions, one run after the other: [N, 1, D]. */
export function rotationAt(
  tables: Rotation,
  runs: readonly { start: number; length: number; repeats: number }[],
  dtype: DType,
): Rotation {
  const rows = (table: Tensor) => {
    const width = table.shape[1];
    const parts = runs.map(({ start, length, repeats }) =>
      table.narrow(0, start, length).reshape([1, length, width]).broadcastTo([repeats, length, width])
        .reshape([repeats * length, 1, width])
    );
    const all = concat(parts);
    return dtype === all.dtype ? all : all.cast(dtype);
  };
  return { cosines: rows(tables.cosines), sines: rows(tables.sines) };
}

/** Rotates x [N, H, D] by each token's angle. */
export function rotate(x: Tensor, { cosines, sines }: Rotation): Tensor {
  const half = x.shape[x.rank - 1] / 2;
  const swapped = concat([x.narrow(-1, half, half), x.narrow(-1, 0, half)], -1);
  return x.mul(cosines).add(swapped.mul(sines));
}
