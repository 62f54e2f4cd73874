/**
 * A whole robot-video run of seconds: 16 × 16 pixels, a model of a few thousand numbers, a few steps of every stage; in this
 * process or as the command in another one. And what is compared of two runs: everything but times.
 */
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { RobotVideoExperiment } from "../../lib/recipes/robot_video/experiment.ts";
import { type RobotVideoConfig, robotVideoConfig } from "../../lib/recipes/robot_video/config.ts";
import type { VideoEvaluation } from "../../lib/recipes/robot_video/evaluation.ts";
import type { RobotVideoResult } from "../../lib/recipes/robot_video/report.ts";
import { run as runRecipe, type RunOutcome } from "../../lib/runs/run.ts";
import { mergeSettings } from "../../lib/runs/settings.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { type Progress, silentProgress } from "../../lib/runs/progress.ts";
import { RunFolder } from "../../lib/runs/run_folder.ts";

/** The project. */
export const ROOT = resolve(import.meta.dirname!, "../..");

type Plain = Record<string, unknown>;

const TINY: Plain = {
  data: { height: 16, width: 16, history: 4, episodes: 8, episodeLength: 8, testEvery: 4 },
  tokenizer: {
    channels: [8, 8],
    downsamplings: 1,
    pixelPatch: 2,
    latentChannels: 4,
    normGroups: 4,
    fsqLevels: [4, 4],
    steps: 4,
    warmupSteps: 1,
    batch: 2,
  },
  model: { hiddenSize: 16, layers: 1, heads: 2, intermediateSize: 32 },
  likelihood: { steps: 4, batch: 2, microBatch: 1, warmupSteps: 2 },
  grpo: { steps: 3, promptsPerStep: 2, groupSize: 4, miniBatchPrompts: 1 },
  control: { steps: 2 },
  evaluation: { itemsPerEpisode: 2, gifs: 1, gifFrames: 2, baselineAnswers: 2, baselineClips: 2 },
  checkpointEvery: 2,
};

/** What makes the tiny run one of multi-step prediction: 4 × 4 context tokens, 2 × 2 a frame, three frames ahead. */
export const MULTI_STEP: Plain = {
  data: { prediction: "multi-step", frames: 4, contextReach: 3 },
  tokenizer: { contextLevels: [4, 4], patchSize: 2, attentionHeads: 2, laterFrames: 2 },
  grpo: { reward: [{ metric: "mae", weight: 1 }, { metric: "repetition", weight: 0.1 }] },
};

/** The tiny configuration, changed. */
export function tinyConfig(change: Plain = {}): RobotVideoConfig {
  return robotVideoConfig("demo", mergeSettings(TINY, change));
}

/** The same as flags of `train-video` and `evaluate-video`. */
export function tinyFlags(change: Plain = {}): string[] {
  return settingFlags(mergeSettings(TINY, change));
}

/** Values as `--set` flags. */
export function settingFlags(values: Plain): string[] {
  const flags: string[] = [];
  const visit = (value: unknown, path: string) => {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      for (const [name, each] of Object.entries(value)) visit(each, path ? `${path}.${name}` : name);
    } else flags.push("--set", `${path}=${JSON.stringify(value)}`);
  };
  visit(values, "");
  return flags;
}

/** How to run. */
export interface TinyRunOptions {
  change?: Plain;
  /** Go on with the run in the folder. */
  resume?: boolean;
  stages?: readonly string[];
  progress?: Progress;
  signal?: AbortSignal;
}

/** Runs the experiment in this process. */
export async function tinyRun(
  engine: Engine,
  folder: string,
  options: TinyRunOptions = {},
): Promise<RunOutcome<VideoEvaluation, RobotVideoResult>> {
  const { resume = false, stages, progress = silentProgress, signal } = options;
  const config = tinyConfig(options.change);
  using run = resume ? await RunFolder.open(folder, { config }) : await RunFolder.create(folder, { config });
  using experiment = await RobotVideoExperiment.open({ engine, config, run, progress, signal });
  return await runRecipe(experiment, stages);
}

/** A progress that keeps its notes and stops the run once a stage has done so many steps. */
export function stoppingProgress(stop?: { stage: string; step: number }) {
  const controller = new AbortController(), notes: string[] = [], stages: string[] = [];
  const progress: Progress = {
    stage: (name) => void stages.push(name),
    step: (n) => {
      if (stop && stages.at(-1) === stop.stage && n >= stop.step) controller.abort();
    },
    note: (line) => void notes.push(line),
    done() {},
  };
  return { progress, signal: controller.signal, notes, stages };
}

const TIMES = new Set(["stepSeconds", "seconds"]);

/** What two runs of equal numbers have in common: hashes of all weights, logs and samples without their times, results. */
export async function runNumbers(
  folder: string,
  models: readonly string[] = ["tokenizer", "likelihood", "rlvr", "control"],
): Promise<Plain> {
  const weights: Record<string, string> = {};
  for (const model of models) {
    for await (const { name } of Deno.readDir(join(folder, "models", model))) {
      const bytes = await Deno.readFile(join(folder, "models", model, name));
      weights[`${model}/${name}`] = createHash("sha256").update(bytes).digest("hex");
    }
  }
  const lines = async (name: string) =>
    (await Deno.readTextFile(join(folder, name))).trimEnd().split("\n").map((line) =>
      Object.fromEntries(Object.entries(JSON.parse(line)).filter(([key]) => !TIMES.has(key)))
    );
  const result = JSON.parse(await Deno.readTextFile(join(folder, "result.json")));
  return {
    weights,
    metrics: await lines("metrics.jsonl"),
    samples: await lines("samples.jsonl"),
    result: result.metrics,
  };
}

/** What a command left behind. */
export interface TaskOutcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** How a command is started. */
export interface TaskOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** A program, with its arguments, that is told to start the command. */
  through?: readonly string[];
}

/** Starts a command of the project in another process. */
export function startTask(name: string, args: readonly string[], options: TaskOptions = {}): Deno.ChildProcess {
  const { env, cwd = ROOT, through = [] } = options;
  const script = join(ROOT, "tasks", `${name}.ts`);
  const command = [...through, Deno.execPath(), "run", "-A", "--no-check", "--config", join(ROOT, "deno.json"), script];
  return new Deno.Command(command[0], {
    args: [...command.slice(1), ...args],
    env: { OMP_NUM_THREADS: "1", NO_COLOR: "1", ...env },
    cwd,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs a command of the project to its end. */
export async function runTask(
  name: string,
  args: readonly string[],
  options: TaskOptions = {},
): Promise<TaskOutcome> {
  const { code, stdout, stderr } = await startTask(name, args, options).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}
