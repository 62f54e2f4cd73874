/**
 * Interactive prediction: a world model as something that is asked for one frame at a time, with actions that are decided
 * only when the frame before has been seen. Environments, policy evaluation and the play page know models by this interface.
 *
 * Two kinds of model stand behind it: `multi_step_predictor.ts` and `single_step_predictor.ts`. Rewards, ends of episodes and
 * policies are none of its business.
 *
 * Source: RLVR-World §6.4 and its code's `eval_runenv.py`.
 */
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { SamplingOptions } from "../../nn/sampling.ts";
import type { ActionBins } from "./actions.ts";

/**
 * Predicts frames one after another for a batch of rollouts; B rollouts, H height, W width, A numbers of an action.
 *
 * @internal
 */
export interface FramePredictor {
  /** H, in pixels. */
  readonly height: number;
  /** W, in pixels. */
  readonly width: number;
  /** A. */
  readonly actionWidth: number;
  /** Frames that are predicted before the history is dropped and the last frame becomes the start again; Infinity: never. */
  readonly horizon: number;
  /**
   * Begins B rollouts; those that ran before are dropped.
   *
   * @param frames Start frames [H, W, 3], RGB bytes.
   * @param seed Names the random streams: the same seed, frames and actions give the same frames.
   * @returns The start frames as the model sees them: decoded from their tokens.
   * @throws {RangeError} When there is no frame, or one is of another size.
   */
  reset(frames: readonly Uint8Array[], seed: number): Promise<Uint8Array[]>;
  /**
   * Predicts one frame further.
   *
   * @param actions [A] for each rollout; null: this rollout has ended, and its last frame is returned again.
   * @returns [H, W, 3] each.
   * @throws {RangeError} When an action has another width than the model's, or a number outside the ranges of its training
   *   data; nothing is predicted then.
   * @throws {Error} Before `reset`, while another step is running, or when an ended rollout is asked to go on. After an error
   *   of the engine all rollouts are dropped: `reset` begins again.
   */
  step(actions: readonly (Float32Array | null)[]): Promise<Uint8Array[]>;
  /** Frees what the predictor holds; the models stay the caller's. */
  dispose(): void;
}

/** What every predictor is made of. */
export interface PredictorOptions {
  /** Predicts tokens. */
  model: CausalTransformer;
  /** How actions become tokens; its ranges are those that actions must keep. */
  bins: ActionBins;
  /** How tokens are drawn. */
  sampling: SamplingOptions;
  /** Rollouts that are computed at once. */
  maxRows?: number;
}
