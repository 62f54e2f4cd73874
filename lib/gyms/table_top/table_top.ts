/**
 * The table-top world as one object: a state, how an action changes it, and what it looks like.
 *
 * A robot arm stands behind a table with a few coloured objects, and maybe a drawer and a painted zone. Actions have 13
 * numbers in RT-1's order. Everything follows from the seed, so the world is a ground truth that can be asked again:
 * what would have happened after another action, and did a policy reach its goal (`tasks.ts`).
 */

import { STREAM } from "../../base/streams.ts";
import { Philox } from "../../tensor/random.ts";
import { RT1_ACTION_RANGES, RT1_ACTION_WIDTH } from "../../worlds/robot_video/actions.ts";
import { advance } from "./physics.ts";
import { drawScene } from "./scene.ts";
import { layOut, type TableTopState } from "./state.ts";

/** What a table-top world is made of. */
export interface TableTopConfig {
  /** Decides the scene and the slip noise; a non-negative integer. */
  seed: number;
  /** How many objects, 1 … 4. Default 3. */
  objects?: number;
  /** Whether a cabinet with a drawer stands at the left. Default false. */
  drawer?: boolean;
  /** Whether a round zone is painted on the table. Default false. */
  zone?: boolean;
  /** How strongly pushes stray and grasps fail, 0 (not at all) … 1. Default 0. */
  slip?: number;
}

/**
 * A table-top world.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const world = new TableTop({ seed: 1 });
 * const before = world.state.arm.x;
 * const action = new Float32Array(13);
 * action[10] = before < 0.5 ? 1 : -1;
 * world.step(action);
 * assert.ok(Math.abs(Math.abs(world.state.arm.x - before) - 0.05) < 1e-6);
 * assert.equal(world.render(64, 64).length, 64 * 64 * 3);
 * ```
 */
export class TableTop {
  /** What the world was made of, defaults included. */
  readonly config: Readonly<Required<TableTopConfig>>;
  #seed: number;
  #state: TableTopState;

  /**
   * A world with a new scene.
   *
   * @throws {RangeError} if an option is out of its range.
   */
  constructor(config: TableTopConfig) {
    this.config = { objects: 3, drawer: false, zone: false, slip: 0, ...config };
    const { objects, slip } = this.config;
    if (!Number.isInteger(objects) || objects < 1 || objects > 4) {
      throw new RangeError(`objects must be an integer in 1..4: received ${objects}`);
    }
    if (!(slip >= 0 && slip <= 1)) throw new RangeError(`slip must be in 0..1: received ${slip}`);
    this.#seed = config.seed;
    this.#state = this.#layOut();
  }

  /** A copy of the state: plain data. */
  get state(): TableTopState {
    return structuredClone(this.#state);
  }

  /** Puts back a state that {@link state} gave. */
  setState(state: TableTopState): void {
    this.#state = structuredClone(state);
  }

  /** Lays out a new scene; without a seed, the present one again. */
  reset(seed: number = this.#seed): void {
    this.#seed = seed;
    this.#state = this.#layOut();
  }

  /**
   * Takes one action.
   *
   * @param action 13 numbers in RT-1's order and ranges. `world_vector` moves the gripper (0.05 table widths for 1, at
   *   most 0.1 in a step; z is up), `gripper_closedness_action` closes (positive) or opens it, halfway for 1, and
   *   `rotation_delta[2]` turns it, in radians. The rest changes nothing.
   * @throws {RangeError} if there are not 13 finite numbers, or one is outside RT-1's range.
   */
  step(action: ArrayLike<number>): void {
    if (action.length !== RT1_ACTION_WIDTH) {
      throw new RangeError(`an action must have ${RT1_ACTION_WIDTH} numbers: received ${action.length}`);
    }
    const { min, max, names } = RT1_ACTION_RANGES;
    for (let d = 0; d < action.length; d++) {
      if (!(action[d] >= min[d] && action[d] <= max[d])) {
        throw new RangeError(`${names![d]} must be in ${min[d]}..${max[d]}: received ${action[d]}`);
      }
    }
    advance(this.#state, action, this.config.slip, this.#seed);
  }

  /**
   * The present view: RGB, [height, width, 3].
   *
   * @throws {RangeError} if the size is not at least 8 × 8 pixels.
   */
  render(height: number, width: number): Uint8Array {
    for (const size of [height, width]) {
      if (!Number.isInteger(size) || size < 8 || size > 4096) {
        throw new RangeError(`an image must have 8..4096 whole pixels a side: received ${height}x${width}`);
      }
    }
    return drawScene(this.#state, height, width);
  }

  #layOut(): TableTopState {
    return layOut(new Philox(this.#seed, STREAM.tableTopScene), this.config);
  }
}
