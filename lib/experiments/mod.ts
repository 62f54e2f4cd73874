/**
 * The paper's experiments as objects: configuration, stages, evaluation, report. What the commands and notebooks run.
 *
 * @module
 */
export { type RobotVideoConfig, robotVideoConfig, robotVideoSchema } from "./robot_video_config.ts";
export { ROBOT_VIDEO_PRESETS } from "./robot_video_presets.ts";
export type { VideoKind, VideoPrediction } from "./robot_video_prediction.ts";
export { SingleStepPrediction } from "./robot_video_single_step.ts";
export { MultiStepPrediction } from "./robot_video_multi_step.ts";
export { type RobotVideoData } from "./robot_video_data.ts";
export {
  type ExperimentContext,
  ROBOT_VIDEO_STAGES,
  RobotVideoExperiment,
  type RobotVideoStage,
} from "./robot_video.ts";
export { evaluateRobotVideo, type Evaluation, type EvaluationRequest, imagine } from "./robot_video_evaluation.ts";
export {
  imaginedClips,
  robotVideoHeadline,
  type RobotVideoResult,
  scoreTable,
  type VideoMetricResult,
} from "./robot_video_report.ts";
export { type RobotVideoOutcome, runRobotVideo } from "./robot_video_run.ts";
export { resolveWithProgress } from "./hub_folder.ts";
export { TEXT_GAME_STAGES, type TextGameContext, TextGameExperiment, type TextGameStage } from "./text_game.ts";
export {
  TEXT_GAME_PRESETS,
  type TextGameConfig,
  textGameConfig,
  type TextGameRewardName,
  textGameSchema,
} from "./text_game_config.ts";
export {
  findTestFile,
  findTextGameFiles,
  openTextGameData,
  readTextGameExamples,
  type TextGameData,
  type TextGameFiles,
} from "./text_game_data.ts";
export {
  evaluateTextGame,
  type TextGameEvaluation,
  type TextGameEvaluationRequest,
  unchangedBaseline,
} from "./text_game_evaluation.ts";
export { readTextGameTokens, type TextGameTokens } from "./text_game_models.ts";
export {
  TEXT_GAME_PARTS,
  textGameHeadline,
  type TextGameMetricResult,
  type TextGamePart,
  type TextGameResult,
} from "./text_game_report.ts";
export { type EvaluatedTextModels, runTextGame, type TextGameOutcome } from "./text_game_run.ts";
export { answerLines, type ScoreTableOptions, textGameScoreTable } from "./text_game_scores.ts";
export {
  builtInStarts,
  judgeTrials,
  outcomesOf,
  runTrials,
  startsByTask,
  type TaskStarts,
  type Trial,
  type TrialsRequest,
} from "./policy_evaluation.ts";
export { predictorOf } from "./policy_evaluation_models.ts";
export { makeJudge } from "./policy_evaluation_judge.ts";
export {
  agreementTable,
  confusionTable,
  judgeTable,
  policyHeadline,
  policyReportHtml,
  rateTable,
  successFigure,
  type TextTable,
} from "./policy_evaluation_report.ts";
export {
  type PolicyEvaluationOptions,
  type PolicyEvaluationOutcome,
  runLabelledEvaluation,
  runPolicyEvaluation,
} from "./policy_evaluation_run.ts";
export { type Outcome, type PolicyTable, policyTable } from "./policy_evaluation_table.ts";
export { type LabelItem, type LabelKey, readLabelItems, readLabelKey, writeLabelItems } from "./blind_label_items.ts";
export { type Agreement, agreement, type Label, type LabelReading, readLabels, successCounts } from "./blind_labels.ts";
