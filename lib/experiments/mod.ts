/**
 * The paper's experiments as objects: configuration, stages, evaluation, report. What the commands and notebooks run.
 *
 * @module
 */
export { type RobotVideoConfig, robotVideoConfig, robotVideoSchema, type RobotVideoUse } from "./robot_video_config.ts";
export { ROBOT_VIDEO_PRESETS } from "./robot_video_presets.ts";
export type { Presets } from "./settings.ts";
export type {
  TrainerParts,
  VideoKind,
  VideoPrediction,
  VideoTokenizer,
  VideoTokenizerTrainer,
  VideoWorld,
} from "./robot_video_prediction.ts";
export type { TokenizerTrainerState } from "../training/tokenizer.ts";
export type { Discriminator, DiscriminatorConfig } from "../models/discriminator.ts";
export type { AnyVideoPrediction } from "./robot_video_kinds.ts";
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
export type { EvaluationProgress } from "./language_evaluation.ts";
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
export { type FramePair, predictorOf } from "./policy_evaluation_models.ts";
export { type JudgeReport, type JudgeRequest, type JudgeTraining, makeJudge } from "./policy_evaluation_judge.ts";
export type { JudgeQuality } from "../training/success_classifier.ts";
export type { Rollout as PolicyRollout } from "./policy_evaluation_rollouts.ts";
export type { JudgedBy, PolicyEvaluationResult } from "./policy_evaluation_files.ts";
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
export {
  type Agreement as WorldAgreement,
  type Confusion,
  type ModelAgreement,
  type Outcome,
  type PolicyCell,
  type PolicyTable,
  policyTable,
  type PolicyTableOptions,
} from "./policy_evaluation_table.ts";
export {
  type LabelCandidate,
  type LabelItem,
  type LabelItems,
  type LabelKey,
  readLabelItems,
  readLabelKey,
  writeLabelItems,
} from "./blind_label_items.ts";
export {
  type Agreement,
  agreement,
  type Label,
  type LabelReading,
  readLabels,
  type SuccessCount,
  successCounts,
} from "./blind_labels.ts";
export { WEB_PAGE_STAGES, type WebPageContext, WebPageExperiment, type WebPageStage } from "./web_page.ts";
export { WEB_PAGE_PRESETS, type WebPageConfig, webPageConfig, webPageSchema } from "./web_page_config.ts";
export {
  findWebPageFiles,
  findWebPageTestFile,
  openWebPageData,
  readWebPageExamples,
  type WebPageData,
} from "./web_page_data.ts";
export {
  evaluateWebPage,
  unchangedPageBaseline,
  WEB_PAGE_METRICS,
  type WebPageEvaluation,
  type WebPageEvaluationRequest,
  type WebPageMetric,
  type WebPageScores,
} from "./web_page_evaluation.ts";
export { markedAnswer } from "./web_page_marks.ts";
export {
  openWebPageModel,
  predictedItems,
  type PredictOptions,
  readWebPageTokens,
  WebPageModel,
  type WebPageModelSource,
  type WebPageTokens,
} from "./web_page_models.ts";
export {
  tellingPages,
  webPageHeadline,
  type WebPageMetricResult,
  type WebPageResult,
  webPageScoreReport,
} from "./web_page_report.ts";
export { type EvaluatedWebModels, runWebPage, type WebPageOutcome } from "./web_page_run.ts";
export { webAnswerLines, webPageScoreTable } from "./web_page_scores.ts";
export {
  type AgentTask,
  builtInTasks,
  chromiumOpener,
  fileTasks,
  openSimulated,
  type Session,
  type SessionOpener,
  type StepLimits,
  type TaskFileOptions,
  withLogins,
} from "./web_agent_tasks.ts";
export { CONDITION_NAMES, type ConditionName } from "./web_agent_conditions.ts";
export {
  ENDPOINT_ROLES,
  type EndpointChoice,
  type EndpointRole,
  type EndpointSettings,
} from "./web_agent_endpoints.ts";
export {
  agentHeadline,
  conditionName,
  errorLines as agentErrorLines,
  type SuccessDifference,
  type SuccessRow,
  type SuccessTable,
  type Trial as AgentTrial,
  type TrialResult as AgentTrialResult,
} from "./web_agent_results.ts";
export {
  costRows as agentCostRows,
  differenceRows as agentDifferenceRows,
  successFigure as agentSuccessFigure,
  successRows as agentSuccessRows,
  type WebAgentResult,
} from "./web_agent_report.ts";
export { runWebAgents, type WebAgentContext, type WebAgentSettings } from "./web_agent_run.ts";
export { TOLD_HISTORIES, type ToldHistory, VALUE_SCALES, type ValueScale } from "../agent/chat_roles.ts";
