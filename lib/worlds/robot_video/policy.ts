/**
 * What a policy is: something that sees frames and an instruction and answers with actions. It is rolled out alike in a
 * simulator and in a world model, several episodes at a time.
 *
 * Actions are RT-1's 13 numbers (`actions.ts`). A policy ends an episode itself by `terminate_episode` = [1, 0, 0]
 * ({@linkcode isTerminal}). This file holds what all policies share and no policy.
 *
 * Axes: B episodes, H height, W width.
 */

import { shownValue } from "../../io/shown_value.ts";
import { UserError } from "../../base/user_error.ts";
import { RT1_ACTION, RT1_ACTION_RANGES, RT1_ACTION_WIDTH } from "./actions.ts";

/** One picture as a policy sees it. */
export interface PolicyFrame {
  /** [H, W, 3] RGB bytes, row-major. */
  pixels: Uint8Array;
  /** H, the rows of the frame in pixels. */
  height: number;
  /** W, the columns of the frame in pixels. */
  width: number;
}

/**
 * A policy for B episodes at a time.
 *
 * @internal
 */
export interface Policy {
  /** What to call it in tables: "random", "scripted:able". */
  readonly name: string;
  /** How many numbers an action has: 13. */
  readonly actionWidth: number;
  /**
   * Begins B episodes; what came before is forgotten.
   *
   * @param instructions what to do, one an episode.
   * @param seeds one an episode: a policy's own randomness. The same seed and frames give the same actions.
   * @throws {UserError} if the policy does not know an instruction, or cannot be reached.
   */
  reset(instructions: readonly string[], seeds: readonly number[]): Promise<void>;
  /**
   * The next action of each running episode.
   *
   * @param frames the newest frame of each episode; null for one that has ended.
   * @returns an action of 13 numbers in RT-1's order and ranges for each frame; null where there was none.
   * @throws {RangeError} if there is not one frame or null for each of the B episodes.
   */
  act(frames: readonly (PolicyFrame | null)[]): Promise<(Float32Array | null)[]>;
  /** Frees what the policy holds outside of JavaScript. */
  dispose?(): void;
}

/** Whether an action ends its episode: `terminate_episode` is [1, 0, 0]. */
export function isTerminal(action: ArrayLike<number>): boolean {
  const at = RT1_ACTION.terminateEpisode;
  return action[at] === 1 && action[at + 1] === 0 && action[at + 2] === 0;
}

/** An action of 13 zeros that goes on, or ends the episode. */
export function emptyAction(terminal = false): Float32Array<ArrayBuffer> {
  const action = new Float32Array(RT1_ACTION_WIDTH);
  action[RT1_ACTION.terminateEpisode + (terminal ? 0 : 1)] = 1;
  return action;
}

/** Puts a value into an action, moved into the range of its dimension. */
export function setWithinRange(action: Float32Array, dimension: number, value: number): void {
  const { min, max } = RT1_ACTION_RANGES;
  action[dimension] = Math.min(Math.max(value, min[dimension]), max[dimension]);
}

/**
 * Checks what a policy that was not written here answered: 13 finite numbers in RT-1's ranges.
 *
 * @param source who answered, for the message.
 * @throws {UserError} if it is anything else; it says which number is wrong and what it may be.
 */
export function checkedAction(answer: unknown, source: string): Float32Array<ArrayBuffer> {
  if (!Array.isArray(answer) && !(answer instanceof Float32Array)) {
    throw new UserError(
      `${source}: an action must be an array of ${RT1_ACTION_WIDTH} numbers: received ${show(answer)}`,
    );
  }
  if (answer.length !== RT1_ACTION_WIDTH) {
    throw new UserError(`${source}: an action must have ${RT1_ACTION_WIDTH} numbers: received ${answer.length}`);
  }
  const { min, max, names } = RT1_ACTION_RANGES;
  return Float32Array.from(answer as ArrayLike<unknown>, (value, d) => {
    // Bounds are float32; a float64 that rounds to a bound is within.
    const rounded = typeof value === "number" ? Math.fround(value) : NaN;
    if (!(rounded >= min[d] && rounded <= max[d])) {
      throw new UserError(`${source}: ${names![d]} must be a number in ${min[d]}..${max[d]}: received ${show(value)}`);
    }
    return rounded;
  });
}

/**
 * Checks the arguments of {@linkcode Policy.reset}.
 *
 * @throws {RangeError} if there are no episodes, or not one seed an instruction.
 */
export function checkReset(instructions: readonly string[], seeds: readonly number[]): void {
  if (instructions.length === 0) throw new RangeError("reset needs at least one instruction: received none");
  if (seeds.length !== instructions.length) {
    throw new RangeError(`reset needs one seed an instruction: received ${instructions.length} and ${seeds.length}`);
  }
}

/**
 * Checks the argument of {@linkcode Policy.act}.
 *
 * @throws {RangeError} if there is not one frame or null an episode, or a frame's pixels do not fit its size.
 */
export function checkFrames(frames: readonly (PolicyFrame | null)[], episodes: number): void {
  if (episodes === 0) throw new RangeError("act was called before reset: call reset first");
  if (frames.length !== episodes) {
    throw new RangeError(`act needs one frame or null for each of ${episodes} episodes: received ${frames.length}`);
  }
  for (const frame of frames) {
    if (frame !== null && (frame.pixels.length !== frame.height * frame.width * 3 || frame.pixels.length === 0)) {
      throw new RangeError(
        `a frame of ${frame.height}x${frame.width} needs ${
          frame.height * frame.width * 3
        } bytes: received ${frame.pixels.length}`,
      );
    }
  }
}

function show(value: unknown): string {
  return typeof value === "number" ? String(value) : shownValue(value);
}
