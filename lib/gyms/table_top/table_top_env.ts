/**
 * The built-in simulator as an environment: the truth that a model's environment is compared with, behind the same interface, so
 * that a policy runs in both unchanged. Success is the simulator's own rule on its state, not on what is seen.
 */
import { RT1_ACTION_RANGES, RT1_ACTION_WIDTH } from "../../worlds/robot_video/actions.ts";
import type { TableTopState } from "./state.ts";
import { TableTop, type TableTopConfig } from "./table_top.ts";
import { describeTask, type TableTopTask, taskSucceeded } from "./tasks.ts";
import { Env, type EnvOutcome, VectorEnv } from "../../worlds/robot_video/environment.ts";

/**
 * Where an episode of the simulator starts.
 *
 * @internal
 */
export interface TableTopStart {
  /** The scene. */
  config: TableTopConfig;
  /** Put in place of the scene that the configuration lays out. */
  state?: TableTopState;
  /** What is to be achieved; without it there is no reward. */
  task?: TableTopTask;
  /** The task's text; `describeTask`'s when left out. */
  instruction?: string;
}

/** What a simulator's environment is made of. */
export interface TableTopEnvOptions {
  /** H of what is seen, in pixels. */
  height: number;
  /** W of what is seen, in pixels. */
  width: number;
  /** Episodes are truncated after so many steps; never when left out. */
  maxSteps?: number;
  /** Whether an episode ends when its goal is reached. Default false: the policy says when it is done. */
  endOnSuccess?: boolean;
}

/** N episodes in the simulator; the reward is 1 where the goal is reached, else 0. The seed of a reset changes nothing: scenes have their own. */
export class TableTopVectorEnv extends VectorEnv<TableTopStart> {
  readonly #endOnSuccess: boolean;
  #tables: TableTop[] = [];
  #tasks: (TableTopTask | undefined)[] = [];

  /** No episode has begun yet. @throws {RangeError} When an option is out of its range. */
  constructor({ endOnSuccess = false, height, width, maxSteps }: TableTopEnvOptions) {
    super({ height, width, maxSteps, actionWidth: RT1_ACTION_WIDTH, actionRanges: RT1_ACTION_RANGES });
    this.#endOnSuccess = endOnSuccess;
  }

  /** The true state of an episode: a copy. */
  state(episode = 0): TableTopState {
    const table = this.#tables[episode];
    if (!table) throw new RangeError(`episode must be in 0..${this.#tables.length - 1}: received ${episode}`);
    return table.state;
  }

  /** The task in words: the start's own, or what describes its goal. */
  protected override instructionOf(start: TableTopStart): string | null {
    const { instruction, state, config, task } = start;
    if (instruction !== undefined) return instruction;
    return task ? describeTask(state ?? new TableTop(config).state, task) : null;
  }

  /** Lays the scenes out and shows their first frames. */
  protected override begin(starts: readonly TableTopStart[]): Promise<EnvOutcome[]> {
    this.#tables = starts.map(({ config, state }) => {
      const table = new TableTop(config);
      if (state) table.setState(state);
      return table;
    });
    this.#tasks = starts.map(({ task }) => task);
    return Promise.resolve(starts.map((_, i) => this.#outcome(i)));
  }

  /** One action in each scene; null leaves a scene as it is. */
  protected override advance(actions: readonly (Float32Array | null)[]): Promise<(EnvOutcome | null)[]> {
    return Promise.resolve(actions.map((action, i) => {
      if (action === null) return null;
      this.#tables[i].step(action);
      return this.#outcome(i);
    }));
  }

  #outcome(index: number): EnvOutcome {
    const { height, width } = this.limits, task = this.#tasks[index], table = this.#tables[index];
    const success = task ? taskSucceeded(table.state, task) : null;
    return {
      pixels: table.render(height, width),
      reward: success === null ? null : Number(success),
      success,
      terminated: this.#endOnSuccess && success === true,
    };
  }
}

/** One episode in the simulator. */
export class TableTopEnv extends Env<TableTopStart> {
  readonly #table: TableTopVectorEnv;

  /** No episode has begun yet. @throws {RangeError} When an option is out of its range. */
  constructor(options: TableTopEnvOptions) {
    const vector = new TableTopVectorEnv(options);
    super(vector);
    this.#table = vector;
  }

  /** The true state: a copy. */
  get state(): TableTopState {
    return this.#table.state();
  }
}
