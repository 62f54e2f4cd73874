/**
 * The paper's experiments as objects: configuration, stages, evaluation, report. What the commands and notebooks run.
 *
 * @module
 */
export {
  ROBOT_VIDEO_PRESETS,
  type RobotVideoConfig,
  robotVideoConfig,
  robotVideoSchema,
} from "./robot_video_config.ts";
export { type RobotVideoData } from "./robot_video_data.ts";
export { type ExperimentContext, RobotVideoExperiment, type RobotVideoStage } from "./robot_video.ts";
export { evaluateRobotVideo, type Evaluation, type EvaluationRequest, imagine } from "./robot_video_evaluation.ts";
export {
  imaginedClips,
  robotVideoHeadline,
  type RobotVideoResult,
  scoreTable,
  type VideoMetricResult,
} from "./robot_video_report.ts";
export { type RobotVideoOutcome, runRobotVideo } from "./robot_video_run.ts";
