/**
 * The paper's experiments as objects: configuration, stages, evaluation, report. What the commands and notebooks run.
 *
 * @module
 */
export { ROBOT_VIDEO_PRESETS, type RobotVideoConfig, robotVideoConfig } from "./robot_video_config.ts";
export { RobotVideoExperiment } from "./robot_video.ts";
export { evaluateRobotVideo, type Evaluation, imagine } from "./robot_video_evaluation.ts";
export { imaginedClips, robotVideoHeadline, type RobotVideoResult, scoreTable } from "./robot_video_report.ts";
export { runRobotVideo } from "./robot_video_run.ts";
