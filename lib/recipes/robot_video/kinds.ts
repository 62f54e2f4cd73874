/** Which kind of prediction a configuration asks for. */
import type { RobotVideoConfig } from "./config.ts";
import { MULTI_STEP, type MultiStepPrediction } from "./multi_step.ts";
import type { VideoKind } from "./video_kind.ts";
import { SINGLE_STEP, type SingleStepPrediction } from "./single_step.ts";

/**
 * A frozen tokenizer and the world over it, of either kind.
 *
 * @internal
 */
export type AnyVideoPrediction = SingleStepPrediction | MultiStepPrediction;

/** The kind that `data.prediction` names. */
export function videoKind({ data }: Pick<RobotVideoConfig, "data">): VideoKind {
  return data.prediction === "multi-step" ? MULTI_STEP : SINGLE_STEP;
}
