/**
 * `deno task evaluate-video`: scores any checkpoint on any episodes, without training.
 *
 * A run's own models on its own held-out clips, or a released model and tokenizer on a folder of episodes (single-step or
 * multi-step as the preset says); one answer a clip, best-of-N, with or without rejection of answers that repeat.
 */
import { resolve } from "node:path";
import { RobotVideoExperiment } from "../lib/recipes/robot_video/experiment.ts";
import { reportedMetrics, type RobotVideoConfig, robotVideoConfig } from "../lib/recipes/robot_video/config.ts";
import type { VideoBaselines } from "../lib/recipes/robot_video/evaluation.ts";
import { scoreTable, videoBaselineTable } from "../lib/recipes/robot_video/report.ts";
import { mergeSettings, parseSettings } from "../lib/runs/settings.ts";
import { writeFileAtomic } from "../lib/io/atomic.ts";
import { UserError } from "../lib/base/user_error.ts";
import { openEngine } from "../lib/tensor/registry.ts";
import { evaluateModel } from "../lib/runs/evaluate.ts";
import { plainText } from "../lib/report/tables.ts";
import { progressFor } from "../lib/runs/progress.ts";
import { RunFolder } from "../lib/runs/run_folder.ts";
import { stopper } from "../lib/runs/stage.ts";
import { checkOutput, type Command, ENGINE_FLAGS, engineChoice, type Flags, readFlags, runCommand } from "./cli.ts";

const MODELS = ["likelihood", "control", "grpo"] as const;

const COMMAND: Command = {
  name: "evaluate-video",
  summary: "Scores a robot-video world model on held-out clips: MAE, MSE, PSNR, SSIM, LPIPS, repetition.",
  flags: {
    run: { value: "FOLDER", description: "A run of train-video: its models on its held-out clips" },
    which: { value: MODELS.join("|"), description: "Which of the run's models", default: "all", repeated: true },
    model: { value: "FOLDER", description: "A transformer (config.json, safetensors); with --tokenizer" },
    tokenizer: { value: "FOLDER", description: "Its frame tokenizer" },
    data: {
      value: "FOLDER",
      description: "Episodes as .npz files",
      default: "the run's, or the built-in table-top robot",
    },
    held: {
      value: "split|all",
      description: "Every so many episodes (data.testEvery), or all",
      default: "all of other episodes than the run's",
    },
    preset: { value: "NAME", description: "Values to start from when there is no run", default: "demo" },
    samples: { value: "N", description: "Answers a clip; the best of them is reported as well", default: "1" },
    items: { value: "N", description: "At most so many clips", default: "all" },
    baselines: { description: "Also what costs nothing: best temperature, nearest of N answers, copying" },
    "reject-repeating": { description: "Draw again while an answer repeats the frame before (evaluation.maxAttempts)" },
    out: { value: "FILE", description: "Write the numbers of every clip as JSON" },
    seed: { value: "N", description: "Seed of the sampling", default: "the run's, or 0" },
    ...ENGINE_FLAGS,
    set: { value: "FIELD=VALUE", description: "Any field of the configuration (train-video --help)", repeated: true },
  },
};

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args);
  await checkOutput(flags.text("out"), "scores.json");
  const { config, runPath } = await readConfig(flags);
  const { engine, reason } = await openEngine(engineChoice(flags));
  const scratch = runPath === undefined ? await Deno.makeTempDir() : undefined;
  try {
    const progress = progressFor(Deno.stderr);
    progress.note(reason);
    using run = runPath === undefined
      ? await RunFolder.create(`${scratch}/run`, { config })
      : await RunFolder.read(runPath);
    using experiment = await RobotVideoExperiment.open({ engine, config, use: "evaluation", run, progress, signal });
    const evaluations: Record<string, Awaited<ReturnType<typeof experiment.evaluate>>> = {};
    const asked = flags.list("which");
    const stopIfAsked = stopper(experiment.context, "the evaluation");
    for (const stage of runPath === undefined ? ["likelihood"] as const : MODELS) {
      if (asked.length > 0 && !asked.includes(stage)) continue;
      const name = runPath === undefined ? flags.text("model")! : stage === "grpo" ? "rlvr" : stage;
      const evaluation = await evaluateModel({
        name,
        progress,
        counted: "clips",
        load: async () =>
          stage === "likelihood"
            ? await experiment.models.likelihood()
            : await experiment.models.trained(stage === "grpo" ? "rlvr" : stage),
        evaluate: (model, onProgress) =>
          experiment.evaluate(model, { onProgress, breathe: stopIfAsked, baselines: flags.has("baselines") }),
      });
      if (evaluation) evaluations[name] = evaluation;
    }
    if (Object.keys(evaluations).length === 0) {
      throw new UserError(`${runPath} has no model named ${asked.join(" or ")}: run that stage first`);
    }
    console.log(scoreTable(evaluations, config.seed));
    for (const [name, { baselines }] of Object.entries(evaluations)) {
      if (baselines) console.log(`\n${plainText(videoBaselineTable(name, baselines))}`);
    }
    const out = flags.text("out");
    if (out !== undefined) {
      const plain = Object.entries(evaluations).map(([name, each]) => [name, {
        ...each,
        values: plainNumbers(each.values),
        best: plainNumbers(each.best),
        ...(each.byFrame ? { byFrame: plainFrames(each.byFrame) } : {}),
        repetition: [...each.repetition],
        trueRepetition: [...each.trueRepetition],
        ...(each.baselines ? { baselines: plainBaselines(each.baselines) } : {}),
      }]);
      await writeFileAtomic(out, JSON.stringify({ config, models: Object.fromEntries(plain) }, null, 1) + "\n");
      console.log(`numbers of every clip: ${out}`);
    }
  } finally {
    engine.close();
    if (scratch) await Deno.remove(scratch, { recursive: true });
  }
}, { stopping: "stopping; nothing is written" });

async function readConfig(flags: Flags): Promise<{ config: RobotVideoConfig; runPath?: string }> {
  const runPath = flags.text("run"), model = flags.text("model"), tokenizer = flags.text("tokenizer");
  if ((runPath === undefined) === (model === undefined)) {
    throw new UserError("name either --run FOLDER or --model FOLDER with --tokenizer FOLDER");
  }
  if (model !== undefined && tokenizer === undefined) {
    throw new UserError(`--model ${model} needs the tokenizer that it was trained with: --tokenizer FOLDER`);
  }
  const unfit = runPath === undefined ? ["which"] : ["tokenizer", "preset"];
  for (const name of unfit) {
    if (flags.list(name).length > 0) {
      throw new UserError(`--${name} has no meaning with --${runPath === undefined ? "model" : "run"}: leave it out`);
    }
  }
  for (const which of flags.list("which")) {
    if (!(MODELS as readonly string[]).includes(which)) {
      throw new UserError(`--which must be one of ${MODELS.join(", ")}: received "${which}"`);
    }
  }
  const named: Record<string, unknown> = { evaluation: {} };
  const evaluation = named.evaluation as Record<string, unknown>;
  const samples = flags.integer("samples", 1), items = flags.integer("items", 1), seed = flags.integer("seed");
  if (samples !== undefined) evaluation.samples = samples;
  if (items !== undefined) evaluation.maxItems = items;
  if (flags.has("reject-repeating")) evaluation.rejectRepeating = true;
  if (seed !== undefined) named.seed = seed;
  const data = flags.text("data");
  const held = flags.text("held");
  if (held !== undefined && held !== "split" && held !== "all") {
    throw new UserError(`--held must be split or all: received "${held}"`);
  }
  named.data = { ...data === undefined ? {} : { folder: data }, ...held === undefined ? {} : { heldOut: held } };
  const over = mergeSettings(named, parseSettings(flags.list("set")));
  if (runPath === undefined) {
    const folders = { model: { folder: model }, tokenizer: { folder: tokenizer } };
    return { config: robotVideoConfig(flags.text("preset") ?? "demo", mergeSettings(folders, over), "evaluation") };
  }
  using run = await RunFolder.read(runPath);
  const { preset, ...values } = run.config as Record<string, unknown>;
  const stored = robotVideoConfig(String(preset), values, "prediction");
  // What the run reported, unless metrics are named.
  const reported = { evaluation: { metrics: reportedMetrics(stored) } };
  const config = robotVideoConfig(String(preset), mergeSettings(mergeSettings(values, reported), over), "evaluation");
  // The run's own episodes were trained on; others never were.
  const isOther = data !== undefined && resolve(data) !== resolve(stored.data.folder ?? "");
  if (held === undefined && isOther) config.data.heldOut = "all";
  return { config, runPath };
}

function plainNumbers(values: Record<string, Float64Array>): Record<string, number[]> {
  return Object.fromEntries(Object.entries(values).map(([name, each]) => [name, [...each]]));
}

function plainBaselines(baselines: VideoBaselines): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(baselines).map(([name, value]) => [name, value instanceof Float64Array ? [...value] : value]),
  );
}

function plainFrames(values: Record<string, Float64Array[]>): Record<string, number[][]> {
  return Object.fromEntries(Object.entries(values).map(([name, each]) => [name, each.map((frame) => [...frame])]));
}
