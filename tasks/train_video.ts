/**
 * `deno task train-video`: a robot-video world model from pixels to GRPO.
 *
 * Without flags: the built-in table-top robot, the best engine found, tokenizer → likelihood → GRPO → control → evaluation →
 * report.html. With `--data`, `--tokenizer` and `--model`: any episodes, any released folders.
 */
import { join } from "node:path";
import { ROBOT_VIDEO_STAGES, RobotVideoExperiment, type RobotVideoStage } from "../lib/experiments/robot_video.ts";
import {
  describeRobotVideoFields,
  ROBOT_VIDEO_PRESETS,
  type RobotVideoConfig,
  robotVideoConfig,
} from "../lib/experiments/robot_video_config.ts";
import { robotVideoHeadline } from "../lib/experiments/robot_video_report.ts";
import { runRobotVideo } from "../lib/experiments/robot_video_run.ts";
import { mergeSettings, parseSettings } from "../lib/experiments/settings.ts";
import { UserError } from "../lib/files/user_error.ts";
import { formatSeconds } from "../lib/report/html.ts";
import { openEngine } from "../lib/tensor/registry.ts";
import { TrainingDivergedError } from "../lib/training/diverged.ts";
import { progressFor } from "../lib/training/progress.ts";
import { RunFolder } from "../lib/training/run_folder.ts";
import { RunInterruptedError } from "../lib/training/stage.ts";
import { type Command, ENGINE_FLAGS, engineChoice, type Flags, readFlags, runCommand } from "./cli.ts";

const COMMAND: Command = {
  name: "train-video",
  summary: "Trains a robot-video world model by likelihood and then by GRPO on the metric it is judged by.",
  flags: {
    preset: {
      value: "NAME",
      description: `One of ${Object.keys(ROBOT_VIDEO_PRESETS).join(", ")}`,
      default: "demo; demo-64 with --data",
    },
    data: { value: "FOLDER", description: "Episodes as .npz files", default: "the built-in table-top robot" },
    tokenizer: { value: "FOLDER", description: "A trained frame tokenizer (config.json, safetensors)" },
    model: { value: "FOLDER", description: "A trained transformer (config.json, safetensors): GRPO starts from it" },
    out: { value: "FOLDER", description: "Folder of the run", default: "runs/train-video-PRESET-TIME" },
    resume: { description: "Go on with the run in --out (or the newest one)" },
    stage: { value: ROBOT_VIDEO_STAGES.join("|"), description: "Run this stage only", repeated: true },
    seed: { value: "N", description: "Seed of every random number", default: "0" },
    ...ENGINE_FLAGS,
    set: { value: "FIELD=VALUE", description: "Any field of the configuration", repeated: true },
  },
  epilogue: () =>
    ["Presets:", ...Object.entries(ROBOT_VIDEO_PRESETS).map(([name, { description }]) => `  ${name}: ${description}`)]
      .concat(["", "Fields for --set, with the demo's values:", ...describeRobotVideoFields()]).join("\n"),
};

/**
 * Fields that may differ when a run is resumed: how long it trains, how it is looked at, and what one changes after a
 * training that diverged. `environment.json` keeps what was changed.
 */
const MAY_CHANGE = [
  "checkpointEvery",
  "evaluation",
  "control",
  "grpo.steps",
  ...["tokenizer", "likelihood", "grpo"].flatMap((stage) => [`${stage}.learningRate`, `${stage}.maxGradientNorm`]),
];

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args);
  const stages = readStages(flags);
  const resuming = flags.has("resume");
  const out = flags.text("out") ?? (resuming ? await newestRun() : defaultFolder(presetOf(flags)));
  const config = resuming ? await storedConfig(out, flags) : robotVideoConfig(presetOf(flags), overrides(flags));
  if (!resuming) await refuseRun(out);
  const { engine, reason } = await openEngine(engineChoice(flags));
  try {
    const progress = progressFor(Deno.stderr);
    progress.note(reason);
    const environment = { engine: engine.description };
    const openRun = resuming
      ? () => RunFolder.open(out, { config, environment, mayChange: MAY_CHANGE })
      : () => RunFolder.create(out, { config, environment });
    const experiment = await RobotVideoExperiment.open({ engine, config, run: openRun, progress, signal });
    try {
      using run = experiment.run;
      progress.note(`run folder: ${run.path}`);
      const { seconds, result, report } = await runRobotVideo(experiment, progress, stages);
      console.log(Object.entries(seconds).map(([stage, s]) => `${stage} ${formatSeconds(s)}`).join(", "));
      if (result) console.log(`${robotVideoHeadline(result)}\nreport: ${report}`);
    } catch (error) {
      if (error instanceof RunInterruptedError || error instanceof TrainingDivergedError) {
        progress.done();
        console.error(`resume with: ${resumeCommand(out, stages)}`);
      }
      throw error;
    } finally {
      experiment.dispose();
    }
  } finally {
    engine.close();
  }
});

/** What continues the run; the same stages, from their newest checkpoints. */
function resumeCommand(out: string, stages: readonly RobotVideoStage[] = []): string {
  return ["deno task train-video --resume --out", out, ...stages.map((stage) => `--stage ${stage}`)].join(" ");
}

/** Says at once what `RunFolder.create` would say after the data were read. */
async function refuseRun(out: string): Promise<void> {
  const isRun = await RunFolder.read(out).then(() => true, () => false);
  if (isRun) {
    throw new UserError(`${out} already holds a run: continue it with --resume, or choose another folder with --out`);
  }
}

/** Flags that stand for fields of the configuration, and `--set`. */
function overrides(flags: Flags): Record<string, unknown> {
  const named: Record<string, unknown> = {};
  const seed = flags.integer("seed");
  if (seed !== undefined) named.seed = seed;
  for (const [flag, section] of [["data", "data"], ["tokenizer", "tokenizer"], ["model", "model"]] as const) {
    const folder = flags.text(flag);
    if (folder !== undefined) named[section] = { folder };
  }
  return mergeSettings(named, parseSettings(flags.list("set")));
}

async function storedConfig(out: string, flags: Flags): Promise<RobotVideoConfig> {
  using run = await RunFolder.read(out);
  const { preset, ...stored } = run.config as RobotVideoConfig;
  const asked = flags.text("preset");
  if (asked !== undefined && asked !== preset) {
    throw new UserError(`${out} was started with --preset ${preset}, now ${asked}: leave it out, or start another run`);
  }
  return robotVideoConfig(preset, mergeSettings(stored, overrides(flags)));
}

function readStages(flags: Flags): RobotVideoStage[] | undefined {
  const asked = flags.list("stage");
  for (const stage of asked) {
    if (!(ROBOT_VIDEO_STAGES as readonly string[]).includes(stage)) {
      throw new UserError(`--stage must be one of ${ROBOT_VIDEO_STAGES.join(", ")}: received "${stage}"`);
    }
  }
  return asked.length > 0 ? asked as RobotVideoStage[] : undefined;
}

/** Data of one's own have any resolution and any actions: the preset that takes them. */
function presetOf(flags: Flags): string {
  return flags.text("preset") ?? (flags.text("data") === undefined ? "demo" : "demo-64");
}

function defaultFolder(preset: string): string {
  const time = new Date().toISOString().slice(0, 19).replace("T", "-").replaceAll(":", "");
  return join("runs", `train-video-${preset}-${time}`);
}

async function newestRun(): Promise<string> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir("runs")) if (entry.name.startsWith("train-video-")) names.push(entry.name);
  } catch { /* no runs yet: said below */ }
  // What is written to in a run: its log while it trains, its environment when it is begun or resumed.
  const times = await Promise.all(names.map(async (name) => {
    const written = await Promise.all(
      ["metrics.jsonl", "environment.json"].map((file) => Deno.stat(join("runs", name, file)).catch(() => undefined)),
    );
    return Math.max(...written.map((each) => each?.mtime?.getTime() ?? 0));
  }));
  const at = times.indexOf(Math.max(...times));
  if (!(times[at] > 0)) throw new UserError("--resume found no run in runs/: name its folder with --out");
  return join("runs", names[at]);
}
