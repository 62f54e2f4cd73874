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
import type { FrameTokenizer } from "../../models/frame_tokenizer.ts";
import type { SamplingOptions } from "../../nn/sampling.ts";
import type { ActionBins } from "./actions.ts";
import { MultiStepPredictor } from "./multi_step_predictor.ts";
import type { ClipTokenizer } from "./multi_step_world.ts";
import { SingleStepPredictor } from "./single_step_predictor.ts";

/** Predicts frames one after another for a batch of rollouts; B rollouts, H height, W width, A numbers of an action. */
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

/** What {@linkcode multiStepPredictor} is made of. */
export interface MultiStepPredictorOptions extends PredictorOptions {
  /** Frames ↔ tokens. */
  tokenizer: ClipTokenizer;
  /** See {@linkcode FramePredictor.horizon}; 7 for the released models, which were trained on one frame and 7 that follow. */
  horizon: number;
}

/** What {@linkcode singleStepPredictor} is made of. */
export interface SingleStepPredictorOptions extends PredictorOptions {
  /** Frames ↔ tokens. */
  tokenizer: FrameTokenizer;
  /** K, the history frames that the model was trained on. */
  history: number;
  /** [A]: the action that stands between the repeated start frames of the first history. Zeros when left out. */
  restAction?: Float32Array;
}

/**
 * Prediction with a multi-step model. The start frame is its own context frame; after `horizon` frames the last one becomes
 * the start and the context stays (a sliding window). Rollouts of one start frame share what is computed of it.
 *
 * @throws {RangeError} When an option is out of its range, the horizon does not fit into the model's positions, or model,
 *   tokenizer and bins do not belong together.
 */
export function multiStepPredictor(options: MultiStepPredictorOptions): FramePredictor {
  return new MultiStepPredictor(options);
}

/**
 * Prediction with a single-step model: each frame from the K before it. The first history is the start frame, repeated.
 *
 * @throws {RangeError} When an option is out of its range, or model, tokenizer and bins do not belong together.
 */
export function singleStepPredictor(options: SingleStepPredictorOptions): FramePredictor {
  return new SingleStepPredictor(options);
}
