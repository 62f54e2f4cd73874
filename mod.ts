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
export { concat, full, ones, type Operand, scalar, stack, Tensor, tensor, zeros } from "./lib/tensor/tensor.ts";

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

// Models
export { CausalTransformer, type PrefillOptions, type TransformerSettings } from "./lib/models/causal_transformer.ts";
export { type BlockWeights, type Projection } from "./lib/models/causal_transformer_block.ts";
export { type CachedLayer, type SharedCache } from "./lib/models/causal_transformer_cache.ts";
export { type TransformerConfig, transformerConfig, type TransformerOptions } from "./lib/models/transformer_config.ts";
export { type ComputeType, FrameTokenizer, type FrameTokenizerOptions } from "./lib/models/frame_tokenizer.ts";
export { type FrameTokenizerConfig, RELEASED_FRAME_TOKENIZER } from "./lib/models/frame_tokenizer_config.ts";
export { FiniteScalarQuantizer, FSQ_LEVELS } from "./lib/models/fsq.ts";
export { Lpips, type LpipsOptions, type LpipsPaths } from "./lib/models/lpips.ts";

// Worlds
export { type AnswerPlan, type EncodedTransition, type Metric, type Tokens, type World } from "./lib/worlds/world.ts";
export {
  ActionBins,
  type ActionRanges,
  computeActionRanges,
  RT1_ACTION_RANGES,
} from "./lib/worlds/robot_video/actions.ts";
export { type ColourJitterLimits } from "./lib/worlds/robot_video/augment.ts";
export { type SingleStepVocabulary } from "./lib/worlds/robot_video/vocabulary.ts";
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
} from "./lib/worlds/robot_video/table_top/state.ts";
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
export { type SingleStepLengths, singleStepLengths, type SingleStepSizes } from "./lib/worlds/robot_video/sequences.ts";
export { type EpisodeSplit, splitEpisodes } from "./lib/worlds/robot_video/split.ts";
export { TableTop, type TableTopConfig } from "./lib/worlds/robot_video/table_top/table_top.ts";
export { type TableTopEpisodeOptions, tableTopEpisodes } from "./lib/worlds/robot_video/table_top/episodes.ts";
export { type FrameBatch, RobotVideoWorld, type RobotVideoWorldOptions } from "./lib/worlds/robot_video/world.ts";

// Likelihood and reinforcement learning
export { STREAM } from "./lib/training/streams.ts";
export { type LikelihoodMetrics, type LikelihoodOptions, LikelihoodTrainer } from "./lib/training/likelihood.ts";
export { type AdvantageScale, type GroupAdvantages, groupAdvantages } from "./lib/rl/advantage.ts";
export { type GrpoMetrics, type GrpoOptions, GrpoTrainer } from "./lib/rl/grpo.ts";
export {
  type KlEstimator,
  type LossDenominator,
  type ObjectiveOptions,
  type ObjectiveSums,
  RELEASED_OBJECTIVE,
  tokenObjective,
  type TokenTerms,
  tokenWeights,
} from "./lib/rl/objective.ts";
export { computeRewards, type Rewards, type RewardTerm } from "./lib/rl/reward.ts";
export { type Rollout, rollout, type RolloutRequest } from "./lib/rl/rollout.ts";

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
} from "./lib/training/progress.ts";
export { type Checkpoint, type CheckpointFiles, CheckpointStore } from "./lib/training/checkpoint.ts";
export { type MetricEntry, MetricLog } from "./lib/training/metric_log.ts";
export { type HostDtype, type HostTensor } from "./lib/files/safetensors.ts";
export { RunFolder } from "./lib/training/run_folder.ts";
export { UserError } from "./lib/files/user_error.ts";
// Figures, tables and clips, in notebooks and on pages
export {
  bestOfNFigure,
  type BestOfPoint,
  type CurveOptions,
  type CurveRecord,
  type CurveRun,
  groupSizeFigure,
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
export { type IntervalOptions, meanInterval, pairedDifference } from "./lib/report/intervals.ts";
export {
  showClip,
  showFigure,
  showGallery,
  showImage,
  showResult,
  showTable,
  updatingFigure,
  updatingText,
} from "./lib/report/notebook.ts";
export { type Better, type Interval, type MetricResult, type RunResult } from "./lib/report/result.ts";
