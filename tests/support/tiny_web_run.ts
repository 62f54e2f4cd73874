/** A whole web-page run of seconds: two shops, a model of a few thousand numbers, a few steps of every stage. */
import { mergeSettings } from "../../lib/runs/settings.ts";
import { WebPageExperiment } from "../../lib/recipes/web_page/experiment.ts";
import { type WebPageConfig, webPageConfig } from "../../lib/recipes/web_page/config.ts";
import type { WebPageEvaluation } from "../../lib/recipes/web_page/evaluation.ts";
import type { WebPageResult } from "../../lib/recipes/web_page/report.ts";
import { run as runRecipe, type RunOutcome } from "../../lib/runs/run.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { type Progress, silentProgress } from "../../lib/runs/progress.ts";
import { RunFolder } from "../../lib/runs/run_folder.ts";
import { settingFlags } from "./tiny_run.ts";

type Plain = Record<string, unknown>;

const TINY: Plain = {
  data: { sites: 2, walks: 2, steps: 4, heldOutSites: 2, maxQuestionTokens: 900, maxAnswerTokens: 64 },
  tokenizer: { vocabularySize: 400 },
  model: { hiddenSize: 16, layers: 1, heads: 2, intermediateSize: 32, initializerRange: 0.06 },
  likelihood: { steps: 6, batch: 4, microBatch: 2, warmupSteps: 2, decaySteps: 2, learningRate: 0.01 },
  grpo: {
    steps: 2,
    promptsPerStep: 3,
    miniBatchPrompts: 2,
    microBatchPrompts: 1,
    groupSize: 2,
    decaySteps: 1,
    learningRate: 1e-3,
    // A model that has learnt little earns little: nearly no answer reads as one.
    advantageScale: "none",
  },
  evaluation: { samples: 2, sampledAnswers: 2 },
  checkpointEvery: 2,
};

/** Models of a whole run. */
export const WEB_MODELS = ["likelihood", "rlvr"] as const;

/** The tiny configuration, changed. */
export function tinyWebConfig(change: Plain = {}): WebPageConfig {
  return webPageConfig("demo", mergeSettings(TINY, change));
}

/** The same as flags of `train-web`. */
export function tinyWebFlags(change: Plain = {}): string[] {
  return settingFlags(mergeSettings(TINY, change));
}

/** How to run. */
export interface TinyWebRunOptions {
  change?: Plain;
  /** Go on with the run in the folder. */
  resume?: boolean;
  stages?: readonly string[];
  progress?: Progress;
  signal?: AbortSignal;
}

/** Runs the experiment in this process. */
export async function tinyWebRun(
  engine: Engine,
  folder: string,
  options: TinyWebRunOptions = {},
): Promise<RunOutcome<WebPageEvaluation, WebPageResult>> {
  const { resume = false, stages, progress = silentProgress, signal } = options;
  const config = tinyWebConfig(options.change);
  const open = () => resume ? RunFolder.open(folder, { config }) : RunFolder.create(folder, { config });
  const experiment = await WebPageExperiment.open({ engine, config, run: open, progress, signal });
  using _ = experiment.run;
  return await runRecipe(experiment, stages);
}
