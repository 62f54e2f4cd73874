/**
 * What the robot does in episodes that teach a world model about tasks: attempts at all levels of skill, with their
 * failures, and between them random motion and the busy behaviour.
 *
 * A model that has seen only successes dreams of successes; so most attempts here are those of the unskilled. Attempts
 * are made by the scripted policies' own plans and hands (`policies/scripted_policy.ts`), on the true state rather than on
 * pictures, which is faster and moves the same way.
 */

import type { Philox } from "../../tensor/random.ts";
import { isTerminal } from "../../worlds/robot_video/policy.ts";
import { RandomMotion } from "../../worlds/robot_video/random_policy.ts";
import { ScriptedEpisode } from "./policies/scripted_policy.ts";
import { SKILL_NAMES, SKILLS } from "./policies/scripted_skill.ts";
import { ScriptedBehaviour } from "./behaviour.ts";
import { START_TASK_STEPS, START_TASKS, startStates } from "./start_states.ts";
import type { TableTopState } from "./state.ts";
import { describeTask, type TableTopTask, taskSucceeded } from "./tasks.ts";

/** The chance that the next thing done is an attempt at a task, and that it is random motion. */
const ATTEMPT = 0.55, RANDOM = 0.15;

/** A scene as `startStates` makes it, and the task that it was made for. */
export function taskScene(random: Philox, objects: number): { seed: number; firstTask: TableTopTask } {
  const kind = START_TASKS[random.integer(0, START_TASKS.length)];
  const [{ seed, task }] = startStates(kind, 1, random.uint32(), { objects });
  return { seed, firstTask: task };
}

/** A robot that attempts tasks; the same stream and the same states give the same actions. */
export class TaskBehaviour {
  readonly #random: Philox;
  readonly #noise: number;
  #nextTask: TableTopTask | null;
  #act: ((state: TableTopState) => Float32Array) | null = null;
  #left = 0;

  /**
   * A robot that has done nothing yet.
   *
   * @param random decides what is done, and all noise.
   * @param noise of the busy behaviour: standard deviation of what is added to `world_vector`.
   * @param firstTask what is likely attempted first; null for any task.
   */
  constructor(random: Philox, noise: number, firstTask: TableTopTask | null) {
    this.#random = random;
    this.#noise = noise;
    this.#nextTask = firstTask;
  }

  /** The next action. An attempt that ends sets `terminate_episode`; something else is done after it. */
  action(state: TableTopState): Float32Array {
    if (this.#act === null || this.#left === 0) this.#choose(state);
    this.#left--;
    const action = this.#act!(state);
    if (isTerminal(action)) this.#left = 0;
    return action;
  }

  #choose(state: TableTopState): void {
    const random = this.#random;
    const dice = random.uniform();
    const first = this.#nextTask;
    this.#nextTask = null;
    const task = first !== null && dice < 0.85 ? first : dice < ATTEMPT ? this.#anyTask(state) : null;
    if (task !== null) {
      const skill = SKILLS[SKILL_NAMES[random.integer(0, SKILL_NAMES.length)]];
      const attempt = new ScriptedEpisode(skill, describeTask(state, task), random);
      this.#act = (now) => attempt.actIn(objectFirst(now, task));
      this.#left = START_TASK_STEPS;
    } else if (random.uniform() < RANDOM / (1 - ATTEMPT)) {
      const motion = new RandomMotion(random);
      this.#act = () => motion.action();
      this.#left = random.integer(4, 12);
    } else {
      const busy = new ScriptedBehaviour(random, this.#noise);
      this.#act = (now) => busy.action(now);
      this.#left = random.integer(6, 18);
    }
  }

  /** A task that is still to be done. */
  #anyTask(state: TableTopState): TableTopTask | null {
    const object = this.#random.integer(0, state.objects.length);
    const tasks: TableTopTask[] = [{ kind: "open-drawer" }, { kind: "close-drawer" }, { kind: "push-to-zone", object }];
    const open = tasks.filter((task) => !taskSucceeded(state, task));
    return open.length === 0 ? null : open[this.#random.integer(0, open.length)];
  }
}

/** The state with the task's object first, where scripted plans expect it. */
function objectFirst(state: TableTopState, task: TableTopTask): TableTopState {
  if (task.kind !== "push-to-zone" || task.object === 0) return state;
  const rest = state.objects.filter((_, index) => index !== task.object);
  return { ...state, objects: [state.objects[task.object], ...rest] };
}
