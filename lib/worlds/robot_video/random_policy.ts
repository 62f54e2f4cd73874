/**
 * A policy that moves at random and never looks: the lower bound of every comparison.
 *
 * Its motion is smooth, as an arm's is: each direction keeps a share of the step before. It never ends an episode.
 */

import { STREAM } from "../../base/streams.ts";
import { Philox } from "../../tensor/random.ts";
import { RT1_ACTION, RT1_ACTION_WIDTH } from "./actions.ts";
import { checkFrames, checkReset, emptyAction, type Policy, type PolicyFrame, setWithinRange } from "./policy.ts";

/** The share of the step before that is kept. */
const INERTIA = 0.6;
/** Standard deviation of `world_vector`: 0.04 table widths a step in the table-top world. */
const SPEED = 0.8;

/** Random motion of one episode; the same stream gives the same motion. */
export class RandomMotion {
  readonly #random: Philox;
  readonly #velocity = [0, 0, 0];

  /** Motion that has not begun. */
  constructor(random: Philox) {
    this.#random = random;
  }

  /** The next action: `world_vector`, the gripper and the turn about the vertical are random, the rest is 0. */
  action(): Float32Array<ArrayBuffer> {
    const action = emptyAction();
    const fresh = Math.sqrt(1 - INERTIA * INERTIA) * SPEED;
    for (let axis = 0; axis < 3; axis++) {
      // The arm's range in height is a third of its range along the table.
      const scale = axis === 2 ? 0.5 : 1;
      this.#velocity[axis] = INERTIA * this.#velocity[axis] + fresh * scale * this.#random.normal();
      setWithinRange(action, RT1_ACTION.worldVector + axis, Math.min(Math.max(this.#velocity[axis], -2), 2));
    }
    setWithinRange(action, RT1_ACTION.rotationDelta + 2, 0.1 * this.#random.normal());
    if (this.#random.uniform() < 0.15) {
      setWithinRange(action, RT1_ACTION.gripperClosedness, this.#random.uniform() < 0.5 ? -1 : 1);
    }
    return action;
  }
}

/** Moves at random, whatever the instruction. */
export class RandomPolicy implements Policy {
  /** "random". */
  readonly name = "random";
  /** 13. */
  readonly actionWidth: number = RT1_ACTION_WIDTH;
  #episodes: RandomMotion[] = [];

  /** Begins B episodes. */
  reset(instructions: readonly string[], seeds: readonly number[]): Promise<void> {
    checkReset(instructions, seeds);
    this.#episodes = seeds.map((seed) => new RandomMotion(new Philox(seed, STREAM.randomPolicy)));
    return Promise.resolve();
  }

  /** Draws an action for each running episode. */
  act(frames: readonly (PolicyFrame | null)[]): Promise<(Float32Array | null)[]> {
    checkFrames(frames, this.#episodes.length);
    return Promise.resolve(frames.map((frame, i) => frame === null ? null : this.#episodes[i].action()));
  }
}
