/**
 * Environments in Gymnasium's terms: `reset` gives an observation, `step` takes an action and gives the next observation, a
 * reward, whether the episode has terminated or was truncated, and an info.
 *
 * {@linkcode VectorEnv} runs N episodes side by side and keeps the books: which have ended, how many steps were taken, whether
 * actions are what they should be. What an action leads to is up to its two kinds, the learned one (`world_model_env.ts`) and
 * the true one (`gyms/table_top/table_top_env.ts`), so that a policy runs in both unchanged. {@linkcode Env} is one episode of
 * either.
 *
 * Unlike Gymnasium's vector environments these do not restart an episode that has ended: it stays as it is, and takes no action,
 * until everything is reset.
 */
import { type ActionRanges, RT1_ACTION_WIDTH } from "./actions.ts";
import { isTerminal, type PolicyFrame } from "./policy.ts";

/** What else there is to know of an episode. */
export interface EnvInfo {
  /** Actions taken since the reset. */
  steps: number;
  /** The task's text; null without one. */
  instruction: string | null;
  /** Whether the goal is reached, where the truth is known; null in a model. */
  success: boolean | null;
  /** Whether the model had to drop its history before this frame (see `WorldModelVectorEnv`); never in a simulator. */
  windowSlid: boolean;
}

/** What a reset gives. */
export interface Reset {
  /** The first frame. */
  observation: PolicyFrame;
  /** See {@linkcode EnvInfo}. */
  info: EnvInfo;
}

/** What a step gives. */
export interface Step extends Reset {
  /** Null where the environment has no reward. */
  reward: number | null;
  /** The episode came to its end: the action said so, or the goal was reached where that ends it. */
  terminated: boolean;
  /** The episode was cut at its largest number of steps. */
  truncated: boolean;
}

/** What a reset of N episodes gives; every list has N entries. */
export interface VectorReset {
  /** The first frames. */
  observations: PolicyFrame[];
  /** See {@linkcode EnvInfo}. */
  infos: EnvInfo[];
}

/** What a step of N episodes gives; every list has N entries. Those of episodes that ended earlier stay as they were. */
export interface VectorStep extends VectorReset {
  /** Null where the environment has no reward; 0 for an episode that had ended before. */
  rewards: (number | null)[];
  /** See {@linkcode Step}. */
  terminated: boolean[];
  /** See {@linkcode Step}. */
  truncated: boolean[];
}

/** Sizes and limits of an environment. */
export interface EnvLimits {
  /** H of what is seen, in pixels. */
  height: number;
  /** W of what is seen, in pixels. */
  width: number;
  /** A, numbers of an action. */
  actionWidth: number;
  /** Values of an action must lie in them; not checked when left out. */
  actionRanges?: ActionRanges;
  /** Episodes are truncated after so many steps; never when left out. */
  maxSteps?: number;
  /** Whether an action ends its episode. RT-1's `terminate_episode` = [1, 0, 0] when left out; never for other robots. */
  isTerminal?: (action: ArrayLike<number>) => boolean;
}

/**
 * What an action led to, in one episode.
 *
 * @internal
 */
export interface EnvOutcome {
  /** [H, W, 3]. */
  pixels: Uint8Array;
  /** Null where there is none. */
  reward: number | null;
  /** Whether the goal is reached; null where nobody knows. */
  success: boolean | null;
  /** Whether that ends the episode. */
  terminated?: boolean;
  /** See {@linkcode EnvInfo}. */
  windowSlid?: boolean;
}

/** An episode's standing. */
interface Episode {
  instruction: string | null;
  steps: number;
  terminated: boolean;
  truncated: boolean;
  outcome: EnvOutcome;
}

/**
 * N episodes side by side; see the file's head.
 *
 * @internal
 */
export abstract class VectorEnv<Start extends { instruction?: string }> {
  /** Sizes and limits. */
  readonly limits: Readonly<EnvLimits>;
  #episodes: Episode[] | undefined;
  #isBusy = false;

  /** No episode has begun yet. @throws {RangeError} When a limit is out of its range. */
  constructor(limits: EnvLimits) {
    const { maxSteps, actionWidth, actionRanges } = limits;
    if (maxSteps !== undefined && !(Number.isInteger(maxSteps) && maxSteps >= 1)) {
      throw new RangeError(`maxSteps must be an integer of at least 1: received ${maxSteps}`);
    }
    if (actionRanges && actionRanges.min.length !== actionWidth) {
      throw new RangeError(
        `actions have ${actionWidth} numbers, their ranges ${actionRanges.min.length}: give those of this robot`,
      );
    }
    this.limits = { isTerminal: actionWidth === RT1_ACTION_WIDTH ? isTerminal : () => false, ...limits };
  }

  /** Shows the first frames of episodes. */
  protected abstract begin(starts: readonly Start[], seed: number): Promise<EnvOutcome[]>;

  /**
   * Takes the actions, which have been checked; null for an episode that has ended. What is returned for those is not looked at.
   *
   * @param instructions Of each episode.
   */
  protected abstract advance(
    actions: readonly (Float32Array | null)[],
    instructions: readonly (string | null)[],
  ): Promise<(EnvOutcome | null)[]>;

  /** What the task's text is where a start does not say. */
  protected instructionOf(start: Start): string | null {
    return start.instruction ?? null;
  }

  /** N; 0 before the first reset. */
  get count(): number {
    return this.#episodes?.length ?? 0;
  }

  /** Whether every episode has ended. */
  get done(): boolean {
    return this.#episodes !== undefined && this.#episodes.every(hasEnded);
  }

  /**
   * Begins N episodes.
   *
   * @param options.seed Names what is random; the same seed, starts and actions give the same frames. 0 when left out.
   * @throws {RangeError} When there is no start, or one is not what it should be.
   */
  reset({ starts, seed = 0 }: { starts: readonly Start[]; seed?: number }): Promise<VectorReset> {
    return this.#exclusively("reset", async () => {
      if (starts.length === 0) throw new RangeError("reset needs at least one start: received none");
      if (!Number.isSafeInteger(seed) || seed < 0) {
        throw new RangeError(`seed must be a whole number of at least 0: received ${seed}`);
      }
      // What ends here half-way must not be stepped on from.
      this.#episodes = undefined;
      const outcomes = await this.begin(starts, seed);
      this.#episodes = outcomes.map((outcome, i) => ({
        instruction: this.instructionOf(starts[i]),
        steps: 0,
        terminated: false,
        truncated: false,
        outcome,
      }));
      return this.#seen();
    });
  }

  /**
   * One action in each episode.
   *
   * @param actions A numbers each; null for an episode that has ended.
   * @throws {RangeError} When an action has another width or a value out of its range; nothing has moved then.
   * @throws {Error} Before the first reset, when an episode that has ended is given an action, or one that has not is not.
   */
  step(actions: readonly (ArrayLike<number> | null)[]): Promise<VectorStep> {
    return this.#exclusively("step", async () => {
      const episodes = this.#episodes;
      if (!episodes) throw new Error("step was called before reset: reset the environment first");
      if (actions.length !== episodes.length) {
        throw new RangeError(`there must be one action an episode (${episodes.length}): received ${actions.length}`);
      }
      const checked = actions.map((action, i) => this.#check(action, episodes[i], i));
      const running = checked.map((action) => action !== null);
      const outcomes = await this.#guarded(() => this.advance(checked, episodes.map(({ instruction }) => instruction)));
      episodes.forEach((episode, i) => {
        if (!running[i]) return;
        episode.steps++;
        episode.outcome = outcomes[i]!;
        episode.terminated = this.limits.isTerminal!(checked[i]!) || (outcomes[i]!.terminated ?? false);
        episode.truncated = !episode.terminated && episode.steps >= (this.limits.maxSteps ?? Infinity);
      });
      return {
        ...this.#seen(),
        rewards: episodes.map(({ outcome }, i) => running[i] || outcome.reward === null ? outcome.reward : 0),
        terminated: episodes.map(({ terminated }) => terminated),
        truncated: episodes.map(({ truncated }) => truncated),
      };
    });
  }

  #seen(): VectorReset {
    const { height, width } = this.limits;
    return {
      observations: this.#episodes!.map(({ outcome: { pixels } }) => ({ pixels, height, width })),
      infos: this.#episodes!.map(({ steps, instruction, outcome: { success, windowSlid = false } }) => ({
        steps,
        instruction,
        success,
        windowSlid,
      })),
    };
  }

  #check(action: ArrayLike<number> | null, episode: Episode, index: number): Float32Array | null {
    const name = this.count > 1 ? `episode ${index}` : "the episode";
    if (hasEnded(episode)) {
      if (action === null) return null;
      throw new Error(
        `${name} has ended (${episode.terminated ? "terminated" : "truncated"} at step ${episode.steps}): ` +
          (this.count > 1 ? "give null for it, or reset" : "reset the environment"),
      );
    }
    if (action === null) throw new Error(`${name} goes on: give it an action (null is for those that have ended)`);
    checkAction(action, this.limits, this.count > 1 ? `the action of episode ${index}` : "the action");
    return Float32Array.from(action);
  }

  /** After a failure half-way, episodes would stand at different steps: only a reset helps. */
  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.#episodes = undefined;
      throw error;
    }
  }

  async #exclusively<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (this.#isBusy) throw new Error(`${what} was called while the environment was at work: await the call before`);
    this.#isBusy = true;
    try {
      return await work();
    } finally {
      this.#isBusy = false;
    }
  }
}

/**
 * One episode: a {@linkcode VectorEnv} of one, without the lists.
 *
 * @internal
 */
export class Env<Start extends { instruction?: string }> {
  /** What computes. */
  readonly vector: VectorEnv<Start>;

  /** Over an environment of its own, which nobody else steps. */
  constructor(vector: VectorEnv<Start>) {
    this.vector = vector;
  }

  /** Sizes and limits. */
  get limits(): Readonly<EnvLimits> {
    return this.vector.limits;
  }

  /** Begins an episode: a start, and maybe a seed. Throws as {@linkcode VectorEnv.reset} does. */
  async reset({ seed, ...start }: Start & { seed?: number }): Promise<Reset> {
    const { observations: [observation], infos: [info] } = await this.vector.reset({
      starts: [start as unknown as Start],
      seed,
    });
    return { observation, info };
  }

  /** Takes one action. Throws as {@linkcode VectorEnv.step} does, and when the episode has ended. */
  async step(action: ArrayLike<number>): Promise<Step> {
    const { observations, infos, rewards, terminated, truncated } = await this.vector.step([action]);
    return {
      observation: observations[0],
      info: infos[0],
      reward: rewards[0],
      terminated: terminated[0],
      truncated: truncated[0],
    };
  }
}

/**
 * Checks an action's width and values.
 *
 * @param what Begins the message: `the action`.
 * @throws {RangeError} Naming the dimension, the value and the range.
 */
export function checkAction(
  action: ArrayLike<number>,
  { actionWidth, actionRanges }: Pick<EnvLimits, "actionWidth" | "actionRanges">,
  what = "the action",
): void {
  if (action.length !== actionWidth) {
    throw new RangeError(`${what} must have ${actionWidth} numbers: received ${action.length}`);
  }
  for (let d = 0; d < actionWidth; d++) {
    const value = action[d], name = actionRanges?.names?.[d] ?? `number ${d}`;
    if (!Number.isFinite(value)) throw new RangeError(`${what}: ${name} must be a finite number: received ${value}`);
    if (!actionRanges) continue;
    const min = actionRanges.min[d], max = actionRanges.max[d];
    // Ranges are float32; a float64 that rounds to a bound is that bound.
    const rounded = Math.fround(value);
    if (rounded < min || rounded > max) {
      throw new RangeError(`${what}: ${name} must be in ${min}..${max}: received ${value}`);
    }
  }
}

function hasEnded({ terminated, truncated }: Episode): boolean {
  return terminated || truncated;
}
