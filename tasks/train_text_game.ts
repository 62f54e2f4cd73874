/**
 * `deno task train-text-game`: a language world model of text games, by likelihood and then by GRPO on the predicted state.
 *
 * Without flags: a small model from nothing on the built-in games, the best engine found, likelihood → GRPO by both rewards →
 * evaluation → report.html. With `--data` and `--model`: ByteSized32's files, any Hugging Face folder.
 */
import { join } from "node:path";
import { TEXT_GAME_STAGES, TextGameExperiment, type TextGameStage } from "../lib/experiments/text_game.ts";
import {
  describeTextGameFields,
  TEXT_GAME_PRESETS,
  type TextGameConfig,
  textGameConfig,
} from "../lib/experiments/text_game_config.ts";
import { textGameHeadline } from "../lib/experiments/text_game_report.ts";
import { runTextGame } from "../lib/experiments/text_game_run.ts";
import { resolveWithProgress } from "../lib/experiments/hub_folder.ts";
import { mergeSettings, parseSettings } from "../lib/experiments/settings.ts";
import { findTestFile, findTextGameFiles } from "../lib/experiments/text_game_data.ts";
import { UserError } from "../lib/files/user_error.ts";
import { formatSeconds } from "../lib/report/html.ts";
import { openEngine } from "../lib/tensor/registry.ts";
import { TrainingDivergedError } from "../lib/training/diverged.ts";
import { type Progress, progressFor } from "../lib/training/progress.ts";
import { RunFolder } from "../lib/training/run_folder.ts";
import { RunInterruptedError } from "../lib/training/stage.ts";
import { type Command, ENGINE_FLAGS, engineChoice, type Flags, readFlags, runCommand } from "./cli.ts";

const COMMAND: Command = {
  name: "train-text-game",
  summary: "Trains a language world model of text games by likelihood and then by GRPO on the state it predicts.",
  flags: {
    preset: {
      value: "NAME",
      description: `One of ${Object.keys(TEXT_GAME_PRESETS).join(", ")}`,
      default: "demo; bytesized32-small with --data",
    },
    data: {
      value: "FILE|FOLDER|hub:…",
      description: "Transitions (.jsonl[.gz], .parquet), or a folder with train and test",
      default: "the built-in games",
    },
    test: { value: "FILE", description: "Held-out transitions", default: "of the folder, or a part of --data" },
    "strict-data": { description: "End at the first row that cannot be used, rather than skip and count it" },
    model: { value: "FOLDER|hub:ORG/NAME", description: "A language model as transformers saves it" },
    rollouts: { value: "URL", description: "A server of OpenAI's completions interface that samples GRPO's answers" },
    out: { value: "FOLDER", description: "Folder of the run", default: "runs/train-text-game-PRESET-TIME" },
    resume: { description: "Go on with the run in --out (or the newest one)" },
    stage: { value: TEXT_GAME_STAGES.join("|"), description: "Run this stage only", repeated: true },
    seed: { value: "N", description: "Seed of every random number", default: "0" },
    ...ENGINE_FLAGS,
    set: { value: "FIELD=VALUE", description: "Any field of the configuration", repeated: true },
  },
  epilogue: () =>
    ["Presets:", ...Object.entries(TEXT_GAME_PRESETS).map(([name, { description }]) => `  ${name}: ${description}`)]
      .concat(["", "Fields for --set, with the demo's values:", ...describeTextGameFields()]).join("\n"),
};

/**
 * Fields that may differ when a run is resumed: how long it trains, how it is looked at, and what one changes after a
 * training that diverged. `environment.json` keeps what was changed.
 */
const MAY_CHANGE = [
  "checkpointEvery",
  "evaluation",
  "grpo.steps",
  "grpo.rollouts",
  "grpo.rolloutModel",
  ...["likelihood", "grpo"].flatMap((stage) => [`${stage}.learningRate`, `${stage}.maxGradientNorm`]),
];

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args);
  const stages = readStages(flags);
  const resuming = flags.has("resume");
  const out = flags.text("out") ?? (resuming ? await newestRun() : defaultFolder(presetOf(flags)));
  const progress = progressFor(Deno.stderr);
  const config = resuming
    ? await storedConfig(out, flags, progress)
    : textGameConfig(presetOf(flags), await overrides(flags, progress));
  if (!resuming) await refuseRun(out);
  const { engine, reason } = await openEngine(engineChoice(flags));
  try {
    progress.note(reason);
    const environment = { engine: engine.description };
    const openRun = resuming
      ? () => RunFolder.open(out, { config, environment, mayChange: MAY_CHANGE })
      : () => RunFolder.create(out, { config, environment });
    const experiment = await TextGameExperiment.open({ engine, config, run: openRun, progress, signal });
    try {
      using run = experiment.run;
      progress.note(`run folder: ${run.path}`);
      const { seconds, result, report } = await runTextGame(experiment, progress, stages);
      console.log(Object.entries(seconds).map(([stage, s]) => `${stage} ${formatSeconds(s)}`).join(", "));
      if (result) console.log(`${textGameHeadline(result)}\nreport: ${report}`);
    } catch (error) {
      if (error instanceof RunInterruptedError || error instanceof TrainingDivergedError) {
        progress.done();
        console.error(`resume with: ${resumeCommand(out, stages)}`);
      }
      throw error;
    }
  } finally {
    engine.close();
  }
});

/** What continues the run; the same stages, from their newest checkpoints. */
function resumeCommand(out: string, stages: readonly TextGameStage[] = []): string {
  return ["deno task train-text-game --resume --out", out, ...stages.map((stage) => `--stage ${stage}`)].join(" ");
}

/** Says at once what `RunFolder.create` would say after the data were read. */
async function refuseRun(out: string): Promise<void> {
  const isRun = await RunFolder.read(out).then(() => true, () => false);
  if (isRun) {
    throw new UserError(`${out} already holds a run: continue it with --resume, or choose another folder with --out`);
  }
}

/** Flags that stand for fields of the configuration, and `--set`. */
async function overrides(flags: Flags, progress: Progress): Promise<Record<string, unknown>> {
  const data: Record<string, unknown> = {}, model: Record<string, unknown> = {}, grpo: Record<string, unknown> = {};
  const path = flags.text("data"), test = flags.text("test"), folder = flags.text("model");
  if (path !== undefined) Object.assign(data, await findTextGameFiles(await resolveWithProgress(path, progress)));
  if (test !== undefined) data.test = await findTestFile(await resolveWithProgress(test, progress));
  if (flags.has("strict-data")) data.strict = true;
  if (folder !== undefined) model.folder = folder;
  const rollouts = flags.text("rollouts");
  if (rollouts !== undefined) grpo.rollouts = rollouts;
  const seed = flags.integer("seed");
  const named = { data, model, grpo, ...seed === undefined ? {} : { seed } };
  return mergeSettings(named, parseSettings(flags.list("set")));
}

async function storedConfig(out: string, flags: Flags, progress: Progress): Promise<TextGameConfig> {
  using run = await RunFolder.read(out);
  const { preset, ...stored } = run.config as TextGameConfig;
  const asked = flags.text("preset");
  if (asked !== undefined && asked !== preset) {
    throw new UserError(`${out} was started with --preset ${preset}, now ${asked}: leave it out, or start another run`);
  }
  return textGameConfig(preset, mergeSettings(stored, await overrides(flags, progress)));
}

function readStages(flags: Flags): TextGameStage[] | undefined {
  const asked = flags.list("stage");
  for (const stage of asked) {
    if (!(TEXT_GAME_STAGES as readonly string[]).includes(stage)) {
      throw new UserError(`--stage must be one of ${TEXT_GAME_STAGES.join(", ")}: received "${stage}"`);
    }
  }
  return asked.length > 0 ? asked as TextGameStage[] : undefined;
}

/** Transitions of one's own are longer than the built-in games': the preset that takes them. */
function presetOf(flags: Flags): string {
  return flags.text("preset") ?? (flags.text("data") === undefined ? "demo" : "bytesized32-small");
}

function defaultFolder(preset: string): string {
  const time = new Date().toISOString().slice(0, 19).replace("T", "-").replaceAll(":", "");
  return join("runs", `train-text-game-${preset}-${time}`);
}

async function newestRun(): Promise<string> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir("runs")) {
      if (entry.name.startsWith("train-text-game-")) names.push(entry.name);
    }
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
