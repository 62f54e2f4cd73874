/**
 * Scripted policies for the table-top world, at four levels of skill. They see frames and nothing else, so they can be
 * rolled out in a learned model, where no true state exists.
 *
 * Each step: estimate the scene (`scene_tracker.ts`), ask the plan where to go (`drawer_plan.ts`, `push_plan.ts`), and go
 * there with the hand of a level of skill (`scripted_skill.ts`). The policy ends the episode when it believes that the goal
 * is reached, or when it loses patience.
 */

import { STREAM } from "../../../base/streams.ts";
import { Philox } from "../../../tensor/random.ts";
import { UserError } from "../../../base/user_error.ts";
import { RT1_ACTION, RT1_ACTION_WIDTH } from "../../../worlds/robot_video/actions.ts";
import { GRIP_SCALE, MOVE_SCALE } from "../physics.ts";
import type { TableTopState } from "../state.ts";
import { DrawerPlan } from "./drawer_plan.ts";
import {
  checkFrames,
  checkReset,
  emptyAction,
  isTerminal,
  type Policy,
  type PolicyFrame,
  setWithinRange,
} from "../../../worlds/robot_video/policy.ts";
import { PushPlan } from "./push_plan.ts";
import { SceneTracker } from "./scene_tracker.ts";
import { type Skill, SKILL_NAMES, type SkillName, SKILLS } from "./scripted_skill.ts";
import { parseInstruction, type TaskPlan } from "./task_plan.ts";

/** The smallest picture in which things can be told apart. */
const LEAST_SIDE = 24;
/** The gripper rises and sinks at most this fast. */
const VERTICAL_SPEED = 0.06;

/** A scripted policy in one episode, without the interface's batches and promises. */
export class ScriptedEpisode {
  readonly #skill: Skill;
  readonly #random: Philox;
  readonly #plan: TaskPlan;
  readonly #tracker: SceneTracker;
  /** What was done at the last frame. */
  #last: Float32Array<ArrayBuffer> | null = null;

  /**
   * An episode that has not begun.
   *
   * @param random everything that the policy does by chance.
   * @throws {UserError} if the instruction is not known.
   */
  constructor(skill: Skill, instruction: string, random: Philox) {
    const goal = parseInstruction(instruction);
    this.#skill = skill;
    this.#random = random;
    this.#plan = goal.kind === "push-to-zone" ? new PushPlan(skill, random) : new DrawerPlan(goal.kind, skill, random);
    this.#tracker = new SceneTracker(goal.kind === "push-to-zone" ? [goal] : []);
  }

  /** The next action, from what the frame shows. */
  act(frame: PolicyFrame): Float32Array<ArrayBuffer> {
    this.#last = this.actIn(this.#tracker.look(frame, this.#last));
    return this.#last;
  }

  /**
   * The next action in a scene that is known: what it would do if it saw everything exactly. For making training data.
   *
   * @param scene its first object is the one that is pushed.
   */
  actIn(scene: TableTopState): Float32Array<ArrayBuffer> {
    const { shake, speed, hesitation, impatience } = this.#skill;
    const aim = this.#plan.next(scene);
    // Drawn at every step, so that one decision does not shift all later ones.
    const [losesPatience, hesitates] = [this.#random.uniform() < impatience, this.#random.uniform() < hesitation];
    const action = emptyAction(aim === null || losesPatience);
    const noise = [0, 1, 2].map(() => shake * this.#random.normal());
    if (aim !== null && !isTerminal(action) && !hesitates) {
      const { arm } = scene;
      const way = Math.hypot(aim.x - arm.x, aim.y - arm.y);
      const share = Math.min(1, speed / Math.max(way, 1e-9));
      const rise = Math.min(Math.max(aim.z - arm.z, -VERTICAL_SPEED), VERTICAL_SPEED);
      const moves = [(aim.x - arm.x) * share, (aim.y - arm.y) * share, rise];
      moves.forEach((move, axis) =>
        setWithinRange(
          action,
          RT1_ACTION.worldVector + axis,
          (move + noise[axis] * (axis === 2 ? 0.4 : 1)) / MOVE_SCALE,
        )
      );
      const room = aim.grip > 0 ? 1 - arm.closedness : arm.closedness;
      setWithinRange(action, RT1_ACTION.gripperClosedness, aim.grip * Math.min(1, room / GRIP_SCALE));
    }
    return action;
  }
}

/** A scripted policy for the tasks "open the drawer", "close the drawer" and "push the … into the zone". */
export class ScriptedPolicy implements Policy {
  /** "scripted:" and the level. */
  readonly name: string;
  /** 13. */
  readonly actionWidth: number = RT1_ACTION_WIDTH;
  readonly #skill: Skill;
  #episodes: ScriptedEpisode[] = [];

  /** A policy of a level of skill: "novice", "learner", "able" or "expert". */
  constructor(skill: SkillName) {
    this.#skill = SKILLS[skill];
    if (!SKILL_NAMES.includes(skill)) {
      throw new UserError(`there is no scripted policy ${JSON.stringify(skill)}: use one of ${SKILL_NAMES.join(", ")}`);
    }
    this.name = `scripted:${skill}`;
  }

  /** Begins B episodes; refuses an instruction that is not in `describeTask`'s words. */
  reset(instructions: readonly string[], seeds: readonly number[]): Promise<void> {
    try {
      checkReset(instructions, seeds);
      this.#episodes = instructions.map((instruction, i) =>
        new ScriptedEpisode(this.#skill, instruction, new Philox(seeds[i], STREAM.scriptedPolicy))
      );
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Looks at each frame and acts. */
  act(frames: readonly (PolicyFrame | null)[]): Promise<(Float32Array | null)[]> {
    try {
      checkFrames(frames, this.#episodes.length);
      for (const frame of frames) {
        if (frame !== null && Math.min(frame.height, frame.width) < LEAST_SIDE) {
          throw new UserError(
            `scripted policies need frames of at least ${LEAST_SIDE}x${LEAST_SIDE}: received ${frame.height}x${frame.width}`,
          );
        }
      }
      return Promise.resolve(frames.map((frame, i) => frame === null ? null : this.#episodes[i].act(frame)));
    } catch (error) {
      return Promise.reject(error);
    }
  }
}
