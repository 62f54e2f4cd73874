/**
 * World-model, reward and GRPO primitives for Deno, after *RLVR-World: Training World Models with Reinforcement Learning*
 * (Wu, Yin, Feng, Long; NeurIPS 2025).
 *
 * A transition (state, action, next state) becomes a question and an answer in tokens; a transformer samples a group of
 * answers; each is decoded to a state and scored by the metric that the model is judged by; GRPO raises the better ones.
 *
 * @example Tensors on the best engine that is there.
 * ```ts no-run
 * import { openEngine, tensor, valueAndGrad } from "@rlvr-world/rlvr-world";
 *
 * const { engine, reason } = await openEngine();
 * console.log(reason);
 * const x = tensor(engine, [1, 2, 3]);
 * const { value, gradients } = valueAndGrad(() => x.square().sum(), [x]);
 * console.log(await value.item(), await gradients[0].data()); // 14, [2, 4, 6]
 * ```
 *
 * @module
 */

// Tensors and engines
export { type DType, type HostData, type ReadData, type Shape } from "./lib/tensor/dtype.ts";
export {
  type AdamWOptions,
  type BinaryOperator,
  type CompareOperator,
  type Conv2dOptions,
  type Differentiated,
  type Engine,
  type EngineMemory,
  type Handle,
  type LogicalOperator,
  type Operand,
  type Padding2d,
  type ReduceOperator,
  type UnaryOperator,
} from "./lib/tensor/engine.ts";
export { valueAndGrad, type ValueAndGradients } from "./lib/tensor/gradient.ts";
export { Philox } from "./lib/tensor/random.ts";
export {
  ENGINE_NAMES,
  type EngineChoice,
  type EngineName,
  type OpenedEngine,
  openEngine,
} from "./lib/tensor/registry.ts";
export { type Disposable, keep, tidy } from "./lib/tensor/scope.ts";
export { concat, full, ones, scalar, stack, Tensor, tensor, zeros } from "./lib/tensor/tensor.ts";

// Training pieces
export {
  type ChunkLoss,
  type LogProbabilityOptions,
  type TokenLogProbabilities,
  tokenLogProbabilities,
  tokenLoss,
} from "./lib/nn/log_probabilities.ts";
export {
  AdamW,
  type AdamWSettings,
  globalNorm,
  type Gradients,
  type OptimizerState,
  type StepOptions,
} from "./lib/nn/optimizer.ts";
export { parameterCount, type Parameters } from "./lib/nn/parameters.ts";
export { type SampledTokens, sampleTokens, type SamplingOptions } from "./lib/nn/sampling.ts";
export {
  constantSchedule,
  type ConstantScheduleOptions,
  cosineSchedule,
  type DecayScheduleOptions,
  linearSchedule,
  type Schedule,
  stableSchedule,
  type StableScheduleOptions,
} from "./lib/nn/schedules.ts";
export { LoraAdapters, type LoraOptions, type LowRank } from "./lib/nn/lora.ts";
export {
  type DynamicRopeScaling,
  type LinearRopeScaling,
  type Llama3RopeScaling,
  type RopeScaling,
  type YarnRopeScaling,
} from "./lib/nn/rope_scaling.ts";

// Models
export { CausalTransformer, type PrefillOptions, type TransformerSettings } from "./lib/models/causal_transformer.ts";
export { type BlockWeights, type Projection } from "./lib/models/causal_transformer_block.ts";
export { type CachedLayer, type SharedCache } from "./lib/models/causal_transformer_cache.ts";
export { type TransformerConfig, transformerConfig, type TransformerOptions } from "./lib/models/transformer_config.ts";
export { formatTransformerConfig, parseTransformerConfig } from "./lib/models/transformer_config_json.ts";
export { type ParameterType, readTransformerConfig, type SaveOptions } from "./lib/models/causal_transformer_files.ts";
export { type PackedGroup } from "./lib/models/packed_sequences.ts";
export { type Layerwise, runLayers } from "./lib/models/layerwise.ts";
export { type HiddenGradientOptions, hiddenValueAndGrad } from "./lib/models/checkpointed_gradient.ts";
export { loadAdapters, saveAdapters } from "./lib/models/lora_files.ts";
export { type ChatMessage, type ChatOptions, type SpecialToken, TextTokenizer } from "./lib/models/text_tokenizer.ts";
export { type BpeOptions, type BpePattern, trainBpe } from "./lib/models/bpe_trainer.ts";
export { type ComputeType, FrameTokenizer, type FrameTokenizerOptions } from "./lib/models/frame_tokenizer.ts";
export { type FrameTokenizerConfig, RELEASED_FRAME_TOKENIZER } from "./lib/models/frame_tokenizer_config.ts";
export {
  type ClipReconstruction,
  CompressiveTokenizer,
  type CompressiveTokenizerOptions,
} from "./lib/models/compressive_tokenizer.ts";
export { ContextFeatures } from "./lib/models/compressive_tokenizer_context.ts";
export { type ContextKeys, type Dropout } from "./lib/models/cross_attention.ts";
export {
  type CompressiveTokenizerConfig,
  RELEASED_COMPRESSIVE_TOKENIZER,
} from "./lib/models/compressive_tokenizer_config.ts";
export {
  type JudgedEpisode,
  SuccessClassifier,
  type SuccessClassifierConfig,
} from "./lib/models/success_classifier.ts";
export { FiniteScalarQuantizer, FSQ_LEVELS } from "./lib/models/fsq.ts";
export { Lpips, type LpipsOptions, type LpipsPaths } from "./lib/models/lpips.ts";

// Worlds
export {
  type AnswerParts,
  type AnswerPlan,
  type EncodedTransition,
  type Metric,
  type OpenAnswers,
  type Tokens,
  type World,
} from "./lib/worlds/world.ts";
export {
  ActionBins,
  type ActionRanges,
  computeActionRanges,
  RT1_ACTION_RANGES,
} from "./lib/worlds/robot_video/actions.ts";
export { type ColourJitterLimits } from "./lib/worlds/robot_video/augment.ts";
export { type MultiStepVocabulary, type SingleStepVocabulary } from "./lib/worlds/robot_video/vocabulary.ts";
export {
  type ArmState,
  type DrawerState,
  OBJECT_COLOURS,
  OBJECT_SHAPES,
  type ObjectColour,
  type ObjectShape,
  type TableObject,
  type TableTopState,
  type Zone,
} from "./lib/gyms/table_top/state.ts";
export {
  type Clip,
  type ClipShape,
  type EvaluationClipOptions,
  EvaluationClips,
  type TrainingClipOptions,
  TrainingClips,
} from "./lib/worlds/robot_video/clips.ts";
export { type Episode, type EpisodeSource } from "./lib/worlds/robot_video/episode.ts";
export { type ImageMetric, lpipsMetric, mae, mse, psnr, ssim } from "./lib/worlds/robot_video/metrics.ts";
export { type NpzEpisodeOptions, openNpzEpisodes } from "./lib/worlds/robot_video/npz_episodes.ts";
export {
  type SingleStepLengths,
  singleStepLengths,
  type SingleStepSizes,
} from "./lib/worlds/robot_video/single_step_sequences.ts";
export { type EpisodeSplit, splitEpisodes } from "./lib/worlds/robot_video/split.ts";
export { TableTop, type TableTopConfig } from "./lib/gyms/table_top/table_top.ts";
export {
  type TableTopBehaviour,
  type TableTopEpisodeOptions,
  tableTopEpisodes,
} from "./lib/gyms/table_top/episodes.ts";
export {
  type FrameBatch,
  RobotVideoWorld,
  type RobotVideoWorldOptions,
} from "./lib/worlds/robot_video/single_step_world.ts";
export {
  type ClipTokenizer,
  type ClipTokens,
  type FrameSequences,
  MultiStepWorld,
  type MultiStepWorldOptions,
} from "./lib/worlds/robot_video/multi_step_world.ts";
export {
  frameTokensOfMultiStepAnswer,
  multiStepAnswer,
  type MultiStepLengths,
  multiStepLengths,
  multiStepQuestion,
  type MultiStepSizes,
} from "./lib/worlds/robot_video/multi_step_sequences.ts";
export {
  aggregateFrames,
  endsRepeating,
  type FrameAggregate,
  frameWeights,
  perFrame,
  repetitionRate,
} from "./lib/worlds/robot_video/video_metrics.ts";
export {
  chooseTokenizerFrames,
  type TokenizerFrameChoice,
  type TokenizerFrameOptions,
  type TokenizerFrames,
} from "./lib/worlds/robot_video/tokenizer_frames.ts";

// Driving a robot in a model, and judging policies there
export { type FramePredictor, type PredictorOptions } from "./lib/worlds/robot_video/frame_predictor.ts";
export {
  singleStepPredictor,
  type SingleStepPredictorOptions,
} from "./lib/worlds/robot_video/single_step_predictor.ts";
export { multiStepPredictor, type MultiStepPredictorOptions } from "./lib/worlds/robot_video/multi_step_predictor.ts";
export {
  Env,
  type EnvInfo,
  type EnvLimits,
  type Outcome,
  type Reset,
  type Step,
  VectorEnv,
  type VectorReset,
  type VectorStep,
} from "./lib/worlds/robot_video/environment.ts";
export {
  type FrameReward,
  type FrameStart,
  WorldModelEnv,
  type WorldModelEnvOptions,
  WorldModelVectorEnv,
} from "./lib/worlds/robot_video/world_model_env.ts";
export {
  TableTopEnv,
  type TableTopEnvOptions,
  type TableTopStart,
  TableTopVectorEnv,
} from "./lib/gyms/table_top/table_top_env.ts";
export { isTerminal, type Policy, type PolicyFrame } from "./lib/worlds/robot_video/policy.ts";
export { makePolicy, type MakePolicyOptions } from "./lib/studies/policies/make_policy.ts";
export { RandomPolicy } from "./lib/worlds/robot_video/random_policy.ts";
export { ScriptedPolicy } from "./lib/gyms/table_top/policies/scripted_policy.ts";
export { type Skill, SKILL_NAMES, type SkillName, SKILLS } from "./lib/gyms/table_top/policies/scripted_skill.ts";
export { HttpPolicy } from "./lib/studies/policies/http_policy.ts";
export { openRt1Policy, Rt1Policy } from "./lib/studies/policies/rt1_policy.ts";
export { type InstructionEmbeddings, openEmbeddings } from "./lib/studies/policies/instruction_embeddings.ts";
export { type TableTopTask, taskSucceeded } from "./lib/gyms/table_top/tasks.ts";
export {
  START_TASKS,
  type StartState,
  type StartStateOptions,
  startStates,
  type StartTask,
  startWorld,
} from "./lib/gyms/table_top/start_states.ts";
export {
  readStartFrames,
  renderStartFrames,
  type StartFrames,
  writeStartFrames,
} from "./lib/gyms/table_top/start_frames.ts";

// Text games
export {
  exampleOf,
  exampleOfRow,
  type TextGameExample,
  type TextGameResponse,
  TextGameWorld,
  type TextGameWorldOptions,
} from "./lib/worlds/text_game/world.ts";
export {
  type GameObject,
  type GameScore,
  type GameState,
  scoredCurrent,
  scoredNext,
  type ScoredState,
  type TextGameTransition,
} from "./lib/worlds/text_game/state.ts";
export { type JsonNumber, type JsonValue, PythonFloat } from "./lib/io/json_value.ts";
export {
  parseScoredState,
  parseTransition,
  scoredStateJson,
  transitionJson,
  type TransitionOptions,
} from "./lib/worlds/text_game/state_json.ts";
export {
  loadTransitions,
  readTransitions,
  type ReadTransitionsOptions,
  type TransitionRow,
  writeTransitions,
} from "./lib/worlds/text_game/jsonl.ts";
export {
  type ParquetRow,
  parquetRow,
  type PlacedParquetRow,
  type PromptMessage,
  readParquet,
  type ReadParquetOptions,
  writeParquet,
} from "./lib/worlds/text_game/parquet.ts";
export { buildPrompt, type GameRules, type PromptExamples, type PromptOptions } from "./lib/worlds/text_game/prompt.ts";
export { loadExamples, loadRules } from "./lib/worlds/text_game/rules.ts";
export {
  answerText,
  type AnswerTextOptions,
  extractAnswer,
  parseAnswer,
  targetText,
} from "./lib/worlds/text_game/answer.ts";
export {
  isChanged,
  isGold,
  type StateDifference,
  stateDifference,
  type Strictness,
} from "./lib/worlds/text_game/difference.ts";
export { scoreResponse, type TextGameReward } from "./lib/worlds/text_game/reward.ts";
export { GoldMixture, type GoldMixtureOptions, OTHERS_PER_GOLD } from "./lib/worlds/text_game/mixing.ts";
export {
  scoreAnswersFile,
  type ScoreAnswersOptions,
  type ScoreAnswersResult,
  type ScoreSummary,
} from "./lib/worlds/text_game/score_answers.ts";
export {
  type BuiltInOptions,
  type BuiltInTransitions,
  builtInTransitions,
  crawlGame,
  type CrawlOptions,
} from "./lib/gyms/games/crawl.ts";
export {
  defineGame,
  type GameDefinition,
  type TextGame,
  type TextGameStep,
  type Thing,
  thing,
} from "./lib/gyms/games/game.ts";
export { TEXT_GAMES } from "./lib/gyms/games/games.ts";
export { type Properties, Scene } from "./lib/gyms/games/scene.ts";
export { type ParsedAction, type Verb } from "./lib/gyms/games/verbs.ts";

// Web pages
export {
  describeAction,
  formatAction,
  type PageNode,
  parseAction,
  type WebAction,
} from "./lib/worlds/web_page/actions.ts";
export { type BrowserTab, type Observation, WebActionError, type WebBrowser } from "./lib/worlds/web_page/browser.ts";
export { ChromiumBrowser, type ChromiumOptions, openChromium } from "./lib/gyms/chromium/chromium.ts";
export { findChromium } from "./lib/gyms/chromium/find_chromium.ts";
export { readStorageState, type StorageState } from "./lib/gyms/chromium/storage_state.ts";
export { type SettlingTimes } from "./lib/gyms/chromium/settling.ts";
export { type PageItem, pageItems } from "./lib/worlds/web_page/items.ts";
export { pairItems } from "./lib/worlds/web_page/item_pairs.ts";
export { formatChanges, isUnchanged, type ItemChanges, itemChanges } from "./lib/worlds/web_page/item_changes.ts";
export {
  type ChangeSection,
  type ChangeSections,
  type F1Options,
  type F1Score,
  lineContributions,
  meanScore,
  parseChanges,
  scoreChanges,
} from "./lib/worlds/web_page/f1_reward.ts";
export { buildWebPrompt, parseWebPrompt, type WebPromptStyle } from "./lib/worlds/web_page/prompt.ts";
export {
  answerOf,
  type TransitionContext,
  transitionOf,
  type WebPageTransition,
  type WebQuestion,
} from "./lib/worlds/web_page/transition.ts";
export { type ProposalOptions } from "./lib/worlds/web_page/proposals.ts";
export {
  recordWalk,
  replayWalk,
  type ScriptStep,
  type TriedAction,
  type Walk,
  type WalkRequest,
} from "./lib/worlds/web_page/recorder.ts";
export {
  type PlacedWebPageRow,
  readWebPageRows,
  type ReadWebPageRowsOptions,
  type WebPageRow,
  type WebPromptMessage,
  writeWebPageParquet,
} from "./lib/worlds/web_page/parquet.ts";
export { type LanguageTokensOptions } from "./lib/worlds/language_tokens.ts";
export {
  type RowExampleOptions,
  type WebPageExample,
  webPageExample,
  webPageExampleOfRow,
  type WebPageResponse,
  WebPageWorld,
  type WebPageWorldOptions,
} from "./lib/worlds/web_page/world.ts";
export { scoreWebAnswersFile, type ScoreWebAnswersOptions } from "./lib/worlds/web_page/score_answers.ts";
export { builtInWalks, type BuiltInWalksOptions, type SiteTransition } from "./lib/gyms/shop/walks.ts";
export { SHOP_ORIGIN, ShopSite, type ShopSiteOptions } from "./lib/gyms/shop/shop_site.ts";
export { type ServedSite, serveSite, type ServeSiteOptions } from "./lib/gyms/shop/serve_site.ts";
export { SimulatedBrowser, type SimulatedBrowserOptions } from "./lib/gyms/shop/simulated_browser.ts";
export { siteTasks } from "./lib/gyms/shop/site_tasks.ts";
export {
  type ElementName,
  resolveStep,
  type SiteArea,
  type SiteTask,
  type SiteTaskKind,
  type SolutionStep,
} from "./lib/gyms/shop/site_task.ts";
export {
  EVALUATOR_TYPES,
  type EvaluatorType,
  type ImageCheck,
  type PageCheck,
  type ReferenceAnswers,
  type TaskEvaluation,
  taskJson,
  type WebTask,
} from "./lib/worlds/web_page/web_task.ts";
export {
  loadTasks,
  type LoadTasksOptions,
  type SitePlaces,
  type SkippedTask,
} from "./lib/studies/web_agents/tasks/task_file.ts";
export { type Picture, type PictureJudge } from "./lib/studies/web_agents/tasks/page_pictures.ts";
export { type HelperPage, type TaskHelper, type TaskHelpers } from "./lib/studies/web_agents/tasks/task_helpers.ts";
export {
  type AnswerJudge,
  evaluateTask,
  type EvaluationOptions,
  type EvaluationPart,
  type JudgeQuestion,
  type TaskResult,
} from "./lib/studies/web_agents/tasks/evaluators.ts";

// Web agents
export {
  type AgentOptions,
  type AgentRoles,
  type ChoiceReason,
  type Decision,
  type JudgedCandidate,
  PlanningAgent,
  type RoleName,
} from "./lib/studies/web_agents/planning_agent.ts";
export {
  type AgentState,
  type Candidate,
  type LookaheadRoles,
  type PastAction,
  type PolicyRole,
  type PredictedCandidate,
  RoleFailedError,
  type SummarizerRole,
  type TranslatorRole,
  type ValueRole,
  type WorldModelRole,
} from "./lib/studies/web_agents/roles.ts";
export { type EarlyStopOptions } from "./lib/studies/web_agents/early_stop.ts";
export { countProposals, type Proposal, proposedAction } from "./lib/studies/web_agents/action_proposals.ts";
export { type ChangeSectionTexts, splitSections } from "./lib/studies/web_agents/change_sections.ts";
export { type Reply, type Usage } from "./lib/serving/usage.ts";
export {
  type AddressBook,
  runWebTask,
  type StepRecord,
  type WebTaskRun,
  type WebTaskTrace,
} from "./lib/studies/web_agents/web_task_run.ts";
export { NoisyPolicy, type NoisyPolicyOptions, type Solution } from "./lib/studies/web_agents/built_in/noisy_policy.ts";
export { ChangeValue } from "./lib/studies/web_agents/built_in/change_value.ts";
export { ListSummarizer, ListTranslator } from "./lib/studies/web_agents/built_in/program_roles.ts";
export { OracleWorldModel } from "./lib/studies/web_agents/built_in/oracle_world_model.ts";

// Likelihood and reinforcement learning
export { STREAM } from "./lib/base/streams.ts";
export { type LikelihoodMetrics, type LikelihoodOptions, LikelihoodTrainer } from "./lib/train/likelihood.ts";
export { type AdvantageScale, type GroupAdvantages, groupAdvantages, partAdvantages } from "./lib/train/advantage.ts";
export { type GrpoMetrics, GrpoTrainer } from "./lib/train/grpo.ts";
export { GRPO_SCHEMA, type GrpoFields, type GrpoOptions, type GrpoSettings } from "./lib/train/grpo_options.ts";
export {
  type AnswerSampler,
  policySampler,
  type SampledAnswers,
  type SampleRequest,
} from "./lib/train/answer_sampler.ts";
export { generate, type Generation, type GenerationRequest } from "./lib/train/generation.ts";
export {
  CompletionsClient,
  type CompletionsOptions,
  type ServedGeneration,
  type ServedModel,
  type ServedRequest,
} from "./lib/serving/completions_client.ts";
export { type JsonClientOptions } from "./lib/serving/json_client.ts";
export { ServedAnswers, type ServedAnswersOptions } from "./lib/serving/served_answers.ts";
export {
  type KlEstimator,
  type ObjectiveOptions,
  type ObjectiveSums,
  RELEASED_OBJECTIVE,
  tokenObjective,
  type TokenTerms,
  tokenWeights,
} from "./lib/train/objective.ts";
export {
  type LossBounds,
  type LossDenominator,
  type LossKind,
  type LossTerms,
  type PolicyLoss,
  type RatioTerms,
} from "./lib/train/losses/loss.ts";
export { LOSSES, policyLossOf } from "./lib/train/losses/losses.ts";
export { computeRewards, type Rewards, type RewardTerm } from "./lib/train/reward.ts";
export { type Rollout, rollout, type RolloutRequest } from "./lib/train/rollout.ts";

// Runs and experiments
export {
  notebookProgress,
  type Progress,
  progressFor,
  type ProgressMetrics,
  type ProgressOptions,
  silentProgress,
  type StageOptions,
  type TextStream,
} from "./lib/runs/progress.ts";
export { type Checkpoint, type CheckpointFiles, CheckpointStore, MissingFileError } from "./lib/runs/checkpoint.ts";
export { type MetricEntry, MetricLog } from "./lib/runs/metric_log.ts";
export { type HostDtype, type HostTensor } from "./lib/io/safetensors.ts";
export { type RowOptions, type RowPlace, type SkippedRow } from "./lib/io/rows.ts";
export { RunFolder } from "./lib/runs/run_folder.ts";
export { DiskError } from "./lib/base/disk_error.ts";
export { UserError } from "./lib/base/user_error.ts";
export { fetchFromHub, type HubOptions, type HubProgress, resolveFolder } from "./lib/io/hub.ts";
export { type HubName, isHubName, parseHubName } from "./lib/io/hub_name.ts";
// Figures, tables and clips, in notebooks and on pages
export {
  bestOfNFigure,
  type BestOfPoint,
  type CurveOptions,
  type CurveRecord,
  type CurveRun,
  groupSizeFigure,
  horizonFigure,
  improvementFigure,
  metricPanels,
  type PlotlyFigure,
  trainingCurve,
} from "./lib/report/figures.ts";
export { type HeatMap, type HeatMapOptions, heatMaps } from "./lib/report/heat_maps.ts";
export {
  type Clip as FrameClip,
  clip as frameClip,
  errorMap,
  sideBySide,
  strip,
  toBytes,
} from "./lib/report/frames.ts";
export { type GalleryClip, type GalleryOptions } from "./lib/report/gallery.ts";
export { type ReportTable } from "./lib/report/html_report.ts";
export { type IntervalOptions, meanInterval, pairedDifference } from "./lib/report/intervals.ts";
export { type Correlation, correlation, meanAbsoluteGap, pearson } from "./lib/report/correlation.ts";
export { wilsonInterval } from "./lib/report/proportions.ts";
export {
  showClip,
  showFigure,
  showGallery,
  showImage,
  showPng,
  showResult,
  showTable,
  updatingFigure,
  updatingText,
} from "./lib/report/notebook.ts";
export { type Better, type Interval, type MetricResult, type RunResult } from "./lib/report/result.ts";
