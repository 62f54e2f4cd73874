/**
 * Actions as numbers and as bins: the ranges of each dimension, and the discretisation into 256 bins that a token
 * stands for. What id a bin has in a vocabulary is `vocabulary.ts`'s business.
 *
 * Axes: N actions, A action width.
 */

import { breather } from "../../base/breather.ts";
import { UserError } from "../../base/user_error.ts";
import type { EpisodeSource } from "./episode.ts";

/**
 * The smallest and largest value of each dimension of an action.
 *
 * @internal
 */
export interface ActionRanges {
  /** [A]. */
  readonly min: Float32Array;
  /** [A]. */
  readonly max: Float32Array;
  /** A name for each dimension, for messages and reports. */
  readonly names?: readonly string[];
}

/** RT-1's action fields in the order of the released data: each field flattened, fields in alphabetical order. */
const RT1_FIELDS: readonly [name: string, min: number, max: number][] = [
  ["base_displacement_vector[0]", -0.39600884914398193, 0.39600181579589844],
  ["base_displacement_vector[1]", -0.009631033055484295, 0.003676734399050474],
  ["base_displacement_vertical_rotation", -0.4000452756881714, 0.39991137385368347],
  ["gripper_closedness_action", -1, 1],
  ["rotation_delta[0]", -1.569917917251587, 1.570636510848999],
  ["rotation_delta[1]", -1.569892168045044, 1.5321086645126343],
  ["rotation_delta[2]", -1.570419430732727, 1.5691522359848022],
  ["terminate_episode[0]", 0, 1],
  ["terminate_episode[1]", 0, 1],
  ["terminate_episode[2]", 0, 1],
  ["world_vector[0]", -2.0204520225524902, 2.9984593391418457],
  ["world_vector[1]", -5.497899532318115, 22.09052848815918],
  ["world_vector[2]", -2.031663417816162, 2.7507524490356445],
];

/** The width of an RT-1 action: 13. */
export const RT1_ACTION_WIDTH: number = RT1_FIELDS.length;

/** The position of each RT-1 field in an action (the first position of those that are vectors). */
export const RT1_ACTION = {
  baseDisplacement: 0,
  baseRotation: 2,
  gripperClosedness: 3,
  rotationDelta: 4,
  terminateEpisode: 7,
  worldVector: 10,
} as const;

/** RT-1's ranges, as released with the paper's code (`frac_action_ranges`, float32). */
export const RT1_ACTION_RANGES: ActionRanges = {
  min: Float32Array.from(RT1_FIELDS, ([, min]) => min),
  max: Float32Array.from(RT1_FIELDS, ([, , max]) => max),
  names: RT1_FIELDS.map(([name]) => name),
};

/**
 * The ranges that the given episodes span. Compute them from training episodes only: later actions outside are clipped
 * into the outermost bins.
 *
 * @throws {UserError} if the source has no actions.
 * @throws {RangeError} if no episode is given.
 * @throws the signal's reason once it is aborted.
 */
export async function computeActionRanges(
  source: EpisodeSource,
  indices: readonly number[],
  signal?: AbortSignal,
): Promise<ActionRanges> {
  const width = source.actionWidth;
  if (width === 0) throw new UserError(`${source.name} has no actions: give the key that holds them`);
  if (indices.length === 0) throw new RangeError("computeActionRanges needs at least one episode: received none");
  const min = new Float32Array(width).fill(Infinity);
  const max = new Float32Array(width).fill(-Infinity), breathe = breather(signal);
  for (const index of indices) {
    const { actions } = await source.load(index);
    await breathe();
    for (let i = 0; i < actions.length; i++) {
      const dimension = i % width;
      if (actions[i] < min[dimension]) min[dimension] = actions[i];
      if (actions[i] > max[dimension]) max[dimension] = actions[i];
    }
  }
  return { min, max };
}

/**
 * Equal bins over the range of each dimension:
 *
 *     u = clip((a − min) / (max − min + 1e-8), 0, 1);   bin = min(floor(u · bins), bins − 1)
 *
 * Every operation is rounded to float32, as in the released code, whose tensors are float32: at a bin's edge float64
 * would choose the other bin. A dimension that never varies is always bin 0.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const bins = new ActionBins(RT1_ACTION_RANGES);
 * assert.equal(bins.encode(new Float32Array(13)).join(), "128,185,128,128,127,129,128,0,0,0,103,51,108");
 * ```
 */
export class ActionBins {
  /** A, the dimensions of an action. */
  readonly width: number;
  /** The range of each dimension. */
  readonly ranges: ActionRanges;
  /** The number of bins, the same for every dimension. */
  readonly bins: number;
  readonly #span: Float32Array;

  /**
   * Bins over the given ranges.
   *
   * @throws {RangeError} if there are fewer than 2 bins, or a range is empty, not finite, or of another width than the
   *   other bound.
   */
  constructor(ranges: ActionRanges, bins = 256) {
    if (!Number.isInteger(bins) || bins < 2) {
      throw new RangeError(`bins must be an integer of at least 2: received ${bins}`);
    }
    const width = ranges.min.length;
    if (width === 0 || ranges.max.length !== width) {
      throw new RangeError(
        `action ranges need a min and a max a dimension: received ${width} and ${ranges.max.length}`,
      );
    }
    for (let d = 0; d < width; d++) {
      if (!Number.isFinite(ranges.min[d]) || !Number.isFinite(ranges.max[d]) || ranges.min[d] > ranges.max[d]) {
        throw new RangeError(
          `the range of action ${ranges.names?.[d] ?? d} must be finite with min <= max: received ${ranges.min[d]} to ${
            ranges.max[d]
          }`,
        );
      }
    }
    this.width = width;
    this.ranges = ranges;
    this.bins = bins;
    this.#span = Float32Array.from(ranges.min, (min, d) => Math.fround(Math.fround(ranges.max[d] - min) + 1e-8));
  }

  /**
   * The bin of each value.
   *
   * @param actions [N, A].
   * @returns [N, A], each in 0 … bins − 1.
   * @throws {RangeError} if the length is no multiple of A, or a value is not a number.
   */
  encode(actions: Float32Array): Int32Array {
    this.#checkLength(actions.length);
    const codes = new Int32Array(actions.length);
    for (let i = 0; i < actions.length; i++) {
      const d = i % this.width;
      const u = Math.fround(Math.fround(actions[i] - this.ranges.min[d]) / this.#span[d]);
      if (Number.isNaN(u)) {
        throw new RangeError(`action ${this.ranges.names?.[d] ?? d} must be a number: received ${actions[i]}`);
      }
      const clipped = Math.min(Math.max(u, 0), 1);
      codes[i] = Math.min(Math.floor(Math.fround(clipped * this.bins)), this.bins - 1);
    }
    return codes;
  }

  /**
   * The value at the centre of each bin; within half a bin of what was encoded.
   *
   * @param codes [N, A]; values outside 0 … bins − 1 are taken for the nearest bin, since a model may say anything.
   * @returns [N, A].
   * @throws {RangeError} if the length is no multiple of A.
   */
  decodeCentre(codes: Int32Array): Float32Array {
    this.#checkLength(codes.length);
    return Float32Array.from(codes, (code, i) => {
      const d = i % this.width;
      const bin = Math.min(Math.max(code, 0), this.bins - 1);
      return this.ranges.min[d] + (bin + 0.5) / this.bins * (this.ranges.max[d] - this.ranges.min[d]);
    });
  }

  #checkLength(length: number): void {
    if (length % this.width !== 0) {
      throw new RangeError(`actions must have ${this.width} numbers each: received ${length} numbers in all`);
    }
  }
}
