/**
 * The bookkeeping of a frame predictor: which rollouts run, what was shown last, and that calls come in order. What predicts
 * is in the predictors.
 */
import type { ActionBins } from "./actions.ts";
import { checkAction } from "./predicted_frames.ts";

/** A batch of rollouts from one `reset` to the next. */
export class RolloutStates {
  readonly #bins: ActionBins;
  #frames: Uint8Array[] = [];
  #ended: boolean[] = [];
  #seed = 0;
  #steps = 0;
  #running: string | undefined;

  /** No rollouts yet. */
  constructor(bins: ActionBins) {
    this.#bins = bins;
  }

  /** What each rollout has shown last. */
  get frames(): Uint8Array[] {
    return [...this.#frames];
  }

  /** (seed, number of the step): the leading part of the random streams' names. */
  get stream(): readonly [seed: number, step: number] {
    return [this.#seed, this.#steps];
  }

  /**
   * Runs one call at a time.
   *
   * @throws {Error} While another one runs.
   */
  async exclusively<T>(name: string, call: () => Promise<T>): Promise<T> {
    if (this.#running) throw new Error(`${name}: ${this.#running} is still running: await it first`);
    this.#running = name;
    try {
      return await call();
    } finally {
      this.#running = undefined;
    }
  }

  /** Forgets all rollouts. */
  forget(): void {
    this.#frames = [];
    this.#ended = [];
  }

  /** Begins with the frames that the model sees. */
  begin(frames: Uint8Array[], seed: number): Uint8Array[] {
    this.#frames = frames;
    this.#ended = frames.map(() => false);
    this.#seed = seed;
    this.#steps = 0;
    return this.frames;
  }

  /**
   * Checks the actions of a step; those of no rollout have an effect when one is wrong.
   *
   * @returns The rollouts that still run.
   * @throws {RangeError} When counts, widths or numbers do not fit.
   * @throws {Error} Before `begin`, or when an ended rollout is asked to go on.
   */
  check(actions: readonly (Float32Array | null)[]): number[] {
    if (this.#frames.length === 0) throw new Error("step: there are no rollouts yet: call reset first");
    if (actions.length !== this.#frames.length) {
      throw new RangeError(
        `step: needs an action or null for each of ${this.#frames.length} rollouts: received ${actions.length}`,
      );
    }
    const running: number[] = [];
    actions.forEach((action, rollout) => {
      if (action === null) return;
      if (this.#ended[rollout]) throw new Error(`step: rollout ${rollout} has ended: call reset to begin again`);
      checkAction(action, rollout, this.#bins);
      running.push(rollout);
    });
    return running;
  }

  /** Shows the next frames of the rollouts that run; the others have ended. */
  advance(next: ReadonlyMap<number, Uint8Array>): Uint8Array[] {
    this.#ended = this.#frames.map((_, rollout) => !next.has(rollout));
    this.#frames = this.#frames.map((frame, rollout) => next.get(rollout) ?? frame);
    this.#steps++;
    return this.frames;
  }
}
