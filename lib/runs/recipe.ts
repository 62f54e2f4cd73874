/**
 * What the training of a world's models differs by from another world's: a recipe, opened on data, models and a run's folder.
 * Stages, resuming, the control, evaluation, result and report are the same for all: `training.ts` and `run.ts`.
 */
import type { ReportContent } from "../report/html_report.ts";
import type { RunResult } from "../report/result.ts";
import type { CausalTransformer } from "../models/causal_transformer.ts";
import type { Engine } from "../tensor/engine.ts";
import type { AnswerSampler } from "../train/answer_sampler.ts";
import type { GrpoMetrics, GrpoOptions } from "../train/grpo.ts";
import type { GrpoFields } from "../train/grpo_options.ts";
import type { LikelihoodOptions } from "../train/likelihood.ts";
import type { World } from "../worlds/world.ts";
import type { CurvePanel } from "./curves.ts";
import type { LearntFrom } from "./fingerprint.ts";
import type { Progress } from "./progress.ts";
import type { RunFolder } from "./run_folder.ts";
import type { StageContext } from "./stage.ts";
import type { WatchedMetric } from "./stage_history.ts";

/** Fields that every recipe's configuration has. */
export interface RecipeConfig {
  /** Name of the preset that the values started from. */
  readonly preset: string;
  /** Seed of every random number of the run. */
  readonly seed: number;
  /** Number of steps from one checkpoint to the next. */
  readonly checkpointEvery: number;
  /** Tokens whose logits exist at once. */
  readonly logitChunk: number;
  /** Choices of likelihood training. */
  readonly likelihood: Omit<LikelihoodOptions, "decay" | "logitChunk" | "checkpointing"> & {
    readonly steps: number;
    readonly batch: number;
    readonly decaySteps: number;
  };
  /** GRPO: group size, loss, learning rate, rollouts. */
  readonly grpo: GrpoFields;
}

/** What a recipe is opened with. */
export interface RecipeContext<Config> {
  /** Engine that the models are computed on. */
  engine: Engine;
  /** The configuration, every value filled in. */
  config: Config;
  /** The run's folder, or how to make it: that is called once everything else has been opened and found sound. */
  run: RunFolder | (() => Promise<RunFolder>);
  /** Where it is said how far the run is. */
  progress: Progress;
  /** Stops the run; what has been trained is saved. */
  signal?: AbortSignal;
}

/** The models of a run: the one that it begins with, and what its stages leave behind. */
export interface ModelStore {
  /** The model that likelihood training changes: the given one or a new one, ready to be trained. */
  beginning(): Promise<CausalTransformer>;
  /** What likelihood training left, or the given model in its place. */
  likelihood(): Promise<CausalTransformer>;
  /** The same, ready to be trained by GRPO. */
  policy(): Promise<CausalTransformer>;
  /** A trained model by its name in the run, `rlvr`; undefined when its stage has not run. */
  trained(name: string): Promise<CausalTransformer | undefined>;
  /** Keeps a model in the run under a name. */
  save(model: CausalTransformer, name: string): Promise<void>;
}

/**
 * A stage before the model's own, such as the training of a tokenizer.
 *
 * @internal
 */
export interface FirstStage {
  /** Name of the stage, as `--stage` calls it. */
  readonly name: string;
  /** What was given in its place, for the user; null: it is trained. */
  readonly replacement: string | null;
  /** Trains, from its newest checkpoint. @returns Seconds of training. */
  train(): Promise<number>;
}

/** A policy that GRPO trains, from the likelihood model. */
export interface PolicyRecipe<Example> {
  /** Name of its stage, checkpoints and log lines: `grpo`. */
  readonly stage: string;
  /** Name of the trained model: `rlvr`. */
  readonly name: string;
  /** Reward, credit and memory: what the trainer is told beside the configuration's fields. */
  readonly options: Omit<GrpoOptions, keyof GrpoFields | "seed" | "logitChunk">;
  /** What the reward is called on the progress line. */
  readonly shownAs: string;
  /** The examples whose answers are sampled in a step. */
  batch(step: number): Promise<readonly Example[]> | readonly Example[];
  /** A line of `samples.jsonl`: the first example of a step and its answers. */
  describe(example: Example, sample: GrpoMetrics["sample"]): Record<string, unknown>;
  /** Who samples answers instead of the model, here. */
  sampler?(model: CausalTransformer): (AsyncDisposable & { sampler: AnswerSampler }) | undefined;
  /** Held-out examples that are looked at every so many steps. */
  readonly watch?: {
    /** Steps from one look to the next. */
    readonly every: number;
    /** What of the log says how good the policy is. */
    metric(world: Pick<World<never, never>, "metrics">): WatchedMetric;
    /** Numbers for the log. */
    measure(model: CausalTransformer): Promise<Record<string, unknown>>;
  };
}

/**
 * How an evaluation is watched and stopped.
 *
 * @internal
 */
export interface EvaluationWatch {
  /** Called with the number of examples that are done. */
  onProgress?: (done: number, total: number) => void;
  /** Awaited now and then, to let events have their turn; it may throw to end the work. */
  breathe?: () => Promise<void>;
  /** Whether what can be had of the model for nothing (`baselines`) is measured as well. @default {false} */
  baselines?: boolean;
}

/**
 * Evaluations of a run's models on the same examples, by name: `likelihood`, `control`, and each policy's.
 *
 * @internal
 */
export type Evaluations<Evaluation> = Readonly<Record<string, Evaluation>>;

/** A recipe that has been opened. */
export interface OpenRecipe<Example, States, Evaluation, Result extends RunResult> {
  /** The command that it is run by: `train-video`. */
  readonly task: string;
  /** Engine that the models are computed on. */
  readonly engine: Engine;
  /** The configuration, every value filled in. */
  readonly config: RecipeConfig;
  /** The run's folder, its progress, how it is stopped. */
  readonly context: StageContext;
  /** Data and given models: a checkpoint of other ones is not resumed. */
  readonly learntFrom: LearntFrom;
  /** Stages before the model's own. */
  readonly firstStages: readonly FirstStage[];
  /** Where the run's models come from and are kept. */
  readonly models: ModelStore;
  /** What is said where there is no likelihood training; undefined where there is. */
  readonly withoutLikelihood: string | undefined;
  /** Keep only what enters each block in likelihood training: less memory, a third more work. */
  readonly checkpointing?: boolean;
  /** What GRPO trains, one after the other. */
  readonly policies: readonly PolicyRecipe<Example>[];
  /** Whether likelihood training goes on for as long as GRPO took, or for so many steps; undefined: it does not. */
  readonly control?: { readonly steps: number | null };
  /** What the evaluation counts: `clips`. */
  readonly evaluated: string;
  /** Makes the world: tokens, decoder, metrics. */
  loadWorld(): Promise<World<Example, States>>;
  /** Examples of a step of likelihood training. */
  likelihoodBatch(step: number): Promise<readonly Example[]> | readonly Example[];
  /** Judges a model on held-out examples. */
  evaluate(model: CausalTransformer, watch: EvaluationWatch): Promise<Evaluation>;
  /** What the evaluations say, pure but for seeded draws; the run's name, machine and times are added. */
  result(evaluations: Evaluations<Evaluation>): Omit<Result, Exclude<keyof RunResult, "metrics">>;
  /** One sentence or a few: what came of it. */
  headline(result: Result): string;
  /** What the report shows beside that. */
  report(
    result: Result,
    evaluations: Evaluations<Evaluation>,
  ): Promise<RecipeReport> | RecipeReport;
}

/**
 * What of a report is a recipe's own.
 *
 * @internal
 */
export interface RecipeReport extends Omit<ReportContent, "result" | "summary" | "curves" | "config" | "environment"> {
  /** Which numbers of the log are drawn. */
  curves: readonly CurvePanel[];
}
