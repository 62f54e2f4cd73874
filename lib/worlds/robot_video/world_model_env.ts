/**
 * A learned video model as an environment: what a step shows is what the model predicts. Here are the instruction, the reward and
 * the limits; the prediction itself, with its sliding window, is the `FramePredictor`'s.
 *
 * A model is trained on clips of a few frames. Beyond those its history is dropped and the last frame becomes the start again:
 * the window slides, which `info.windowSlid` tells. Who wants no frame that was predicted so gives `window: "refuse"`.
 *
 * Source: RLVR-World §6.4, App. A.5.
 */
import type { ActionRanges } from "./actions.ts";
import type { FramePredictor } from "./frame_predictor.ts";
import type { PolicyFrame } from "./policy.ts";
import { Env, type EnvOutcome, VectorEnv } from "./environment.ts";

/**
 * Where an episode of a model starts.
 *
 * @internal
 */
export interface FrameStart {
  /** RGB bytes, [H, W, 3]; or a frame as environments show it. */
  frame: Uint8Array | PolicyFrame;
  instruction?: string;
}

/** What a model's environment is made of. */
export interface WorldModelEnvOptions {
  /** Predicts; stays the caller's, who gives each environment one of its own. */
  predictor: FramePredictor;
  /** Values of an action must lie in them. */
  actionRanges?: ActionRanges;
  /** Episodes are truncated after so many steps; never when left out. The released evaluation has 112. */
  maxSteps?: number;
  /** Of each frame that a step shows; without it there is no reward. */
  reward?: (frame: PolicyFrame, instruction: string | null) => number | Promise<number>;
  /** Beyond the frames that the model was trained to predict in a row: slide (as released), or refuse to go on. */
  window?: "slide" | "refuse";
  /** Whether an action ends its episode. RT-1's `terminate_episode` = [1, 0, 0] when left out; never for other robots. */
  isTerminal?: (action: ArrayLike<number>) => boolean;
}

/** N episodes in a model; see the file's head. */
export class WorldModelVectorEnv extends VectorEnv<FrameStart> {
  /** What one should know of the frames, a line each: from which step on the window slides. */
  readonly notes: readonly string[];
  readonly #options: WorldModelEnvOptions;
  #steps = 0;

  /**
   * No episode has begun yet.
   *
   * @throws {RangeError} When a limit is out of its range, or `window` is `"refuse"` and `maxSteps` beyond what the model
   *   predicts in a row.
   */
  constructor(options: WorldModelEnvOptions) {
    const { predictor, window = "slide", actionRanges, maxSteps, isTerminal } = options;
    const { height, width, actionWidth, horizon } = predictor;
    super({ height, width, actionWidth, actionRanges, maxSteps, ...(isTerminal ? { isTerminal } : {}) });
    if (window !== "slide" && window !== "refuse") {
      throw new RangeError(`window must be "slide" or "refuse": received ${JSON.stringify(window)}`);
    }
    if (window === "refuse" && maxSteps !== undefined && maxSteps > horizon) {
      throw new RangeError(
        `maxSteps must be at most ${horizon}, the frames that the model predicts in a row: received ${maxSteps} (lower it, or ` +
          `let the window slide)`,
      );
    }
    this.#options = { ...options, window };
    const isLong = horizon < (maxSteps ?? Infinity);
    this.notes = isLong && window === "slide"
      ? [
        `the model predicts ${horizon} frames in a row, then its window slides: the last frame is the start again`,
      ]
      : [];
  }

  /** Frames that the model predicts in a row; Infinity where there is no bound. */
  get horizon(): number {
    return this.#options.predictor.horizon;
  }

  /** Gives the first frames to the predictor as its history. */
  protected override async begin(starts: readonly FrameStart[], seed: number): Promise<EnvOutcome[]> {
    const frames = starts.map(({ frame }, i) =>
      this.#startPixels(frame, starts.length > 1 ? `start ${i}` : "the start")
    );
    this.#steps = 0;
    const shown = await this.#options.predictor.reset(frames, seed);
    return shown.map((pixels) => ({ pixels, reward: null, success: null }));
  }

  /** Predicts the frame after each action; null leaves an episode as it is. */
  protected override async advance(
    actions: readonly (Float32Array | null)[],
    instructions: readonly (string | null)[],
  ): Promise<(EnvOutcome | null)[]> {
    const { predictor, reward, window } = this.#options;
    const windowSlid = this.#steps > 0 && this.#steps % predictor.horizon === 0;
    if (windowSlid && window === "refuse") {
      throw new RangeError(
        `the model predicts ${predictor.horizon} frames in a row, and that many were: reset, or let the window slide`,
      );
    }
    const frames = await predictor.step(actions);
    this.#steps++;
    const { height, width } = this.limits;
    return await Promise.all(frames.map(async (pixels, i) => {
      if (actions[i] === null) return null;
      const value = reward ? await reward({ pixels, height, width }, instructions[i]) : null;
      if (value !== null && !Number.isFinite(value)) {
        throw new RangeError(`the reward of a frame must be a finite number: received ${value}`);
      }
      return { pixels, reward: value, success: null, windowSlid };
    }));
  }

  #startPixels(frame: Uint8Array | PolicyFrame, what: string): Uint8Array {
    const { height, width } = this.limits;
    const pixels = frame instanceof Uint8Array ? frame : frame.pixels;
    const isOther = !(frame instanceof Uint8Array) && (frame.height !== height || frame.width !== width);
    if (isOther || pixels.length !== height * width * 3) {
      const size = frame instanceof Uint8Array ? `${frame.length} bytes` : `[${frame.height}, ${frame.width}, 3]`;
      throw new RangeError(`${what} must be a frame [${height}, ${width}, 3] of bytes: received ${size}`);
    }
    return pixels;
  }
}

/**
 * One episode in a model:
 *
 * ```ts ignore
 * const env = new WorldModelEnv({ predictor, actionRanges: RT1_ACTION_RANGES, maxSteps: 112 });
 * let { observation } = await env.reset({ frame, instruction: "open the drawer", seed: 0 });
 * for (;;) {
 *   const [action] = await policy.act([observation]);
 *   const step = await env.step(action);
 *   observation = step.observation;
 *   if (step.terminated || step.truncated) break;
 * }
 * ```
 */
export class WorldModelEnv extends Env<FrameStart> {
  /** What one should know of the frames, a line each. */
  readonly notes: readonly string[];

  /** No episode has begun yet. Throws as {@linkcode WorldModelVectorEnv} does. */
  constructor(options: WorldModelEnvOptions) {
    const vector = new WorldModelVectorEnv(options);
    super(vector);
    this.notes = vector.notes;
  }
}
