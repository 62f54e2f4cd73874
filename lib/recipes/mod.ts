/**
 * The paper's experiments as objects: configuration, stages, evaluation, report. What the commands and notebooks run.
 *
 * @module
 */
export { type RobotVideoConfig, robotVideoConfig, robotVideoSchema, type RobotVideoUse } from "./robot_video/config.ts";
export { ROBOT_VIDEO_PRESETS } from "./robot_video/presets.ts";
export type { Presets } from "../runs/settings.ts";
export type {
  TrainerParts,
  VideoKind,
  VideoPrediction,
  VideoTokenizer,
  VideoTokenizerTrainer,
  VideoWorld,
} from "./robot_video/video_kind.ts";
export type { TokenizerTrainerState } from "../train/frame_tokenizer_trainer.ts";
export type { Discriminator, DiscriminatorConfig } from "../models/discriminator.ts";
export type { AnyVideoPrediction } from "./robot_video/kinds.ts";
export { SingleStepPrediction } from "./robot_video/single_step.ts";
export { MultiStepPrediction } from "./robot_video/multi_step.ts";
export { type RobotVideoData } from "./robot_video/data.ts";
export {
  ROBOT_VIDEO_STAGES,
  type RobotVideoContext,
  RobotVideoExperiment,
  type RobotVideoStage,
  type VideoEvaluationOptions,
} from "./robot_video/experiment.ts";
export { evaluateRobotVideo, type Evaluation, type EvaluationRequest } from "./robot_video/evaluation.ts";
export { imagine } from "./robot_video/imagine.ts";
export { VideoModels } from "./robot_video/model_store.ts";
export { robotVideoHeadline, type RobotVideoResult, scoreTable, type VideoMetricResult } from "./robot_video/report.ts";
export { type Outcome as RunOutcome, run } from "../runs/run.ts";
export type {
  Evaluations,
  EvaluationWatch,
  FirstStage,
  ModelStore,
  OpenRecipe,
  PolicyRecipe,
  RecipeConfig,
  RecipeContext,
  RecipeReport,
  WatchedPolicy,
} from "../runs/recipe.ts";
export { type CurvePanel, grpoPanels } from "../runs/curves.ts";
export type { LearntFrom } from "../runs/fingerprint.ts";
export { type StageContext, stopper } from "../runs/stage.ts";
export type { Divergence, StageHistory, WatchedMetric } from "../runs/stage_history.ts";
export { GRPO_SCHEMA, type GrpoFields } from "../train/grpo_options.ts";
export type { LanguageExample } from "../worlds/language_tokens.ts";
export type { ReportContent, ReportFigure, ReportTable } from "../report/html_report.ts";
export {
  LANGUAGE_STAGES,
  type LanguageData,
  LanguageExperiment,
  type LanguageSource,
  type LanguageWorld,
  type NamedExample,
  type OpenedLanguage,
  openLanguage,
} from "./language/experiment.ts";
export { LanguageModels, type LanguageModelsOptions, type ServedPolicy } from "./language/model_store.ts";
export type { LanguageConfig } from "./language/fields.ts";
export type { ExampleEncoder } from "./language/data.ts";
export { resolveWithProgress } from "./hub_folder.ts";
export { TextGameExperiment } from "./text_game/experiment.ts";
export {
  TEXT_GAME_PRESETS,
  type TextGameConfig,
  textGameConfig,
  type TextGameRewardName,
  textGameSchema,
} from "./text_game/config.ts";
export {
  findTestFile,
  findTextGameFiles,
  openTextGameData,
  readTextGameExamples,
  type TextGameData,
  type TextGameFiles,
} from "./text_game/data.ts";
export {
  evaluateTextGame,
  type TextGameEvaluation,
  type TextGameEvaluationRequest,
  unchangedBaseline,
} from "./text_game/evaluation.ts";
export { readTextGameTokens, type TextGameTokens } from "./text_game/tokens.ts";
export {
  TEXT_GAME_PARTS,
  textGameHeadline,
  type TextGameMetricResult,
  type TextGamePart,
  type TextGameResult,
} from "./text_game/report.ts";
export { answerLines, type ScoreTableOptions, textGameScoreTable } from "./text_game/scores.ts";
export {
  builtInStarts,
  judgeTrials,
  outcomesOf,
  runTrials,
  startsByTask,
  type TaskStarts,
  type Trial,
  type TrialsRequest,
} from "../studies/policies/evaluation.ts";
export { type FramePair, predictorOf } from "../studies/policies/models.ts";
export { type JudgeReport, type JudgeRequest, type JudgeTraining, makeJudge } from "../studies/policies/judge.ts";
export type { JudgeQuality } from "../studies/policies/success_classifier_trainer.ts";
export type { Rollout as PolicyRollout } from "../studies/policies/rollouts.ts";
export type { JudgedBy, PolicyEvaluationResult } from "../studies/policies/files.ts";
export {
  agreementTable,
  confusionTable,
  judgeTable,
  policyHeadline,
  policyReportHtml,
  rateTable,
  successFigure,
  type TextTable,
} from "../studies/policies/report.ts";
export {
  type PolicyEvaluationOptions,
  type PolicyEvaluationOutcome,
  runLabelledEvaluation,
  runPolicyEvaluation,
} from "../studies/policies/run.ts";
export {
  type Agreement as WorldAgreement,
  type Confusion,
  type ModelAgreement,
  type Outcome,
  type PolicyCell,
  type PolicyTable,
  policyTable,
  type PolicyTableOptions,
} from "../studies/policies/table.ts";
export {
  type LabelCandidate,
  type LabelItem,
  type LabelItems,
  type LabelKey,
  readLabelItems,
  readLabelKey,
  writeLabelItems,
} from "../studies/labels/items.ts";
export {
  type Agreement,
  agreement,
  type Label,
  type LabelReading,
  readLabels,
  type SuccessCount,
  successCounts,
} from "../studies/labels/labels.ts";
export { WebPageExperiment } from "./web_page/experiment.ts";
export { WEB_PAGE_PRESETS, type WebPageConfig, webPageConfig, webPageSchema } from "./web_page/config.ts";
export {
  findWebPageFiles,
  findWebPageTestFile,
  openWebPageData,
  readWebPageExamples,
  type WebPageData,
} from "./web_page/data.ts";
export {
  evaluateWebPage,
  unchangedPageBaseline,
  WEB_PAGE_METRICS,
  type WebPageEvaluation,
  type WebPageEvaluationRequest,
  type WebPageMetric,
  type WebPageScores,
} from "./web_page/evaluation.ts";
export { markedAnswer } from "./web_page/marks.ts";
export {
  openWebPageModel,
  predictedItems,
  type PredictOptions,
  readWebPageTokens,
  WebPageModel,
  type WebPageModelSource,
  type WebPageTokens,
} from "./web_page/web_page_model.ts";
export {
  tellingPages,
  webPageHeadline,
  type WebPageMetricResult,
  type WebPageResult,
  webPageScoreReport,
} from "./web_page/report.ts";
export { webAnswerLines, webPageScoreTable } from "./web_page/scores.ts";
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
} from "../studies/web_agents/agent_tasks.ts";
export { CONDITION_NAMES, type ConditionName } from "../studies/web_agents/agent_conditions.ts";
export {
  ENDPOINT_ROLES,
  type EndpointChoice,
  type EndpointRole,
  type EndpointSettings,
} from "../studies/web_agents/agent_endpoints.ts";
export {
  agentHeadline,
  conditionName,
  errorLines as agentErrorLines,
  type SuccessDifference,
  type SuccessRow,
  type SuccessTable,
  type Trial as AgentTrial,
  type TrialResult as AgentTrialResult,
} from "../studies/web_agents/agent_results.ts";
export {
  costRows as agentCostRows,
  differenceRows as agentDifferenceRows,
  successFigure as agentSuccessFigure,
  successRows as agentSuccessRows,
  type WebAgentResult,
} from "../studies/web_agents/agent_report.ts";
export { runWebAgents, type WebAgentContext, type WebAgentSettings } from "../studies/web_agents/agent_run.ts";
export { TOLD_HISTORIES, type ToldHistory, VALUE_SCALES, type ValueScale } from "../studies/web_agents/chat_roles.ts";
