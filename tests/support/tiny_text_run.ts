/** A whole text-game run of seconds: two of the built-in games, a model of a few thousand numbers, a few steps of every stage. */
import { join } from "node:path";
import { mergeSettings } from "../../lib/runs/settings.ts";
import { TextGameExperiment } from "../../lib/recipes/text_game/experiment.ts";
import { type TextGameConfig, textGameConfig } from "../../lib/recipes/text_game/config.ts";
import type { TextGameEvaluation } from "../../lib/recipes/text_game/evaluation.ts";
import type { TextGameResult } from "../../lib/recipes/text_game/report.ts";
import { run as runRecipe, type RunOutcome } from "../../lib/runs/run.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { type Progress, silentProgress } from "../../lib/runs/progress.ts";
import { RunFolder } from "../../lib/runs/run_folder.ts";
import { builtInTransitions } from "../../lib/gyms/games/crawl.ts";
import type { TextGameTransition } from "../../lib/worlds/text_game/state.ts";
import { settingFlags } from "./tiny_run.ts";

type Plain = Record<string, unknown>;

const TINY: Plain = {
  data: {
    games: ["boil-tea", "mix-paint-toy"],
    perGame: 16,
    heldOutPerGame: 3,
    maxQuestionTokens: 1200,
    maxAnswerTokens: 48,
  },
  tokenizer: { vocabularySize: 400, pattern: "long" },
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
export const TEXT_MODELS = ["likelihood", "rlvr-binary", "rlvr-taskSpecific"] as const;

/** The tiny configuration, changed. */
export function tinyTextConfig(change: Plain = {}): TextGameConfig {
  return textGameConfig("demo", mergeSettings(TINY, change));
}

/** The same as flags of `train-text-game`. */
export function tinyTextFlags(change: Plain = {}): string[] {
  return settingFlags(mergeSettings(TINY, change));
}

/** How to run. */
export interface TinyTextRunOptions {
  change?: Plain;
  /** Go on with the run in the folder. */
  resume?: boolean;
  stages?: readonly string[];
  progress?: Progress;
  signal?: AbortSignal;
}

/** Runs the experiment in this process. */
export async function tinyTextRun(
  engine: Engine,
  folder: string,
  options: TinyTextRunOptions = {},
): Promise<RunOutcome<TextGameEvaluation, TextGameResult>> {
  const { resume = false, stages, progress = silentProgress, signal } = options;
  const config = tinyTextConfig(options.change);
  const open = () => resume ? RunFolder.open(folder, { config }) : RunFolder.create(folder, { config });
  const experiment = await TextGameExperiment.open({ engine, config, run: open, progress, signal });
  using _ = experiment.run;
  return await runRecipe(experiment, stages);
}

/** Some transitions of the built-in games. */
export function someTransitions(count: number, seed = 0): TextGameTransition[] {
  return builtInTransitions({ seed, perGame: count, heldOutPerGame: 1, games: ["boil-tea"] }).train;
}

/** A language model's folder as transformers saves it, of the fixtures, with room for the games' prompts. */
export async function tinyLanguageModel(folder: string, change: Plain = {}): Promise<string> {
  const source = join(import.meta.dirname!, "../models/fixtures/language/qwen2_tied"), target = join(folder, "qwen2");
  await Deno.mkdir(target);
  for (const name of ["model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]) {
    await Deno.copyFile(join(source, name), join(target, name));
  }
  const config = JSON.parse(await Deno.readTextFile(join(source, "config.json")));
  await Deno.writeTextFile(
    join(target, "config.json"),
    JSON.stringify({ ...config, max_position_embeddings: 4096, ...change }),
  );
  return target;
}
