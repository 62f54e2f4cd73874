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
import { ropeFrequencies, type RopeScaling } from "./rope_scaling.ts";

/** Cosines and signed sines, one row a token: [N, 1, D], or of any shape that broadcasts. */
export interface Rotation {
  /** cos of each angle (times YaRN's attention factor, as are the sines). */
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
 * @param scaling How the frequencies are stretched, if they are.
 */
export function ropeTables(
  engine: Engine,
  headSize: number,
  theta: number,
  length: number,
  scaling?: RopeScaling,
): Rotation {
  const tablesOfEngine = tablesOfEngines.get(engine) ?? new Map<string, Tables>();
  tablesOfEngines.set(engine, tablesOfEngine);
  const key = `${headSize} ${theta} ${JSON.stringify(scaling) ?? ""}`;
  const earlier = tablesOfEngine.get(key);
  if (earlier && earlier.length >= length) return earlier;
  const half = headSize / 2;
  const cosines = new Float32Array(length * headSize), sines = new Float32Array(length * headSize);
  const { frequencies, attentionFactor } = ropeFrequencies(headSize, theta, scaling);
  for (let i = 0; i < half; i++) {
    for (let position = 0; position < length; position++) {
      const angle = Math.fround(position * frequencies[i]), at = position * headSize + i;
      cosines[at] = cosines[at + half] = Math.cos(angle) * attentionFactor;
      sines[at + half] = Math.sin(angle) * attentionFactor;
      sines[at] = -sines[at + half];
    }
  }
  earlier?.cosines.dispose();
  earlier?.sines.dispose();
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

/** Rows of the tables for tokens at the given positions, int64 [N]: [N, 1, D]. */
export function rotationOf(tables: Rotation, positions: Tensor, dtype: DType): Rotation {
  const rows = (table: Tensor) => {
    const all = table.gather(positions).reshape([positions.size, 1, table.shape[1]]);
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
