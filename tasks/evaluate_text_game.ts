/**
 * `deno task evaluate-text-game`: scores answers of any model, or has a model answer and scores that.
 *
 * With `--answers`: a file of answers, from wherever they come, on the benchmark's data; no engine is opened. With `--run` or
 * `--model`: greedy answers of a run's models, or of a released one, beside what always answering "nothing changes" would earn.
 */
import { resolveWithProgress } from "../lib/experiments/hub_folder.ts";
import { mergeSettings, parseSettings } from "../lib/experiments/settings.ts";
import { type TextGameConfig, textGameConfig } from "../lib/experiments/text_game_config.ts";
import { fittingQuestions, spread } from "../lib/experiments/language_data.ts";
import { findTestFile, openTextGameData, readTextGameExamples } from "../lib/experiments/text_game_data.ts";
import { evaluateTextGame, type TextGameEvaluation } from "../lib/experiments/text_game_evaluation.ts";
import { readTextGameTokens } from "../lib/experiments/text_game_models.ts";
import { answerLines, scoredFileTable, textGameScoreTable } from "../lib/experiments/text_game_scores.ts";
import { UserError } from "../lib/files/user_error.ts";
import { CausalTransformer } from "../lib/models/causal_transformer.ts";
import type { Engine } from "../lib/tensor/engine.ts";
import { openEngine } from "../lib/tensor/registry.ts";
import { type Progress, progressFor } from "../lib/training/progress.ts";
import { RunFolder } from "../lib/training/run_folder.ts";
import { RunInterruptedError } from "../lib/training/stage.ts";
import type { Strictness } from "../lib/worlds/text_game/difference.ts";
import { writeLines } from "../lib/worlds/text_game/lines.ts";
import { scoreAnswersFile } from "../lib/worlds/text_game/score_answers.ts";
import type { TextGameExample } from "../lib/worlds/text_game/world.ts";
import { checkOutput, type Command, ENGINE_FLAGS, engineChoice, type Flags, readFlags, runCommand } from "./cli.ts";

const SCORINGS = ["released", "strict"] as const;
const MODELS = ["likelihood", "rlvr-binary", "rlvr-taskSpecific"] as const;
/** What a model without a run is asked with: the paper's prompts and limits. */
const MODEL_PRESET = "bytesized32-1.5b";

const COMMAND: Command = {
  name: "evaluate-text-game",
  summary: "Scores predicted states of text games: a file of answers, or the greedy answers of a model.",
  flags: {
    answers: { value: "FILE", description: 'Answers to score, lines {"row", "response"}; needs --data and --out' },
    run: { value: "FOLDER", description: "A run of train-text-game: its models on its held-out transitions" },
    which: { value: MODELS.join("|"), description: "Which of the run's models", default: "all", repeated: true },
    model: { value: "FOLDER|hub:ORG/NAME", description: "A language model as transformers saves it; needs --data" },
    data: {
      value: "FILE|FOLDER|hub:…",
      description: "Transitions to judge by (.jsonl, .jsonl.gz, .parquet)",
      default: "the run's",
    },
    limit: { value: "N", description: "At most so many transitions, from all over the file", default: "all" },
    scoring: { value: SCORINGS.join("|"), description: "The published scorer or the mended one", default: "released" },
    out: { value: "FILE", description: "Write answers and scores, a line of JSON each" },
    preset: { value: "NAME", description: "Values to start from with --model", default: MODEL_PRESET },
    ...ENGINE_FLAGS,
    set: {
      value: "FIELD=VALUE",
      description: "Any field of the configuration (train-text-game --help)",
      repeated: true,
    },
  },
};

/** Flags that mean something in each of the three uses, beside `data`, `scoring` and `out`. */
const USES = {
  answers: [],
  run: ["which", "limit", "engine", "device", "set"],
  model: ["limit", "preset", "engine", "device", "set"],
} as const;
type Use = keyof typeof USES;

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args);
  const use = readUse(flags);
  const scoring = readScoring(flags);
  await checkOutput(flags.text("out"), "scores.jsonl");
  const progress = progressFor(Deno.stderr);
  if (use === "answers") return await scoreFile(flags, scoring ?? "released", progress);

  const { config, models } = use === "run" ? await ofRun(flags) : await ofModel(flags, progress);
  const { engine, reason } = await openEngine(engineChoice(flags));
  try {
    progress.note(reason);
    const asked = { scoring: scoring ?? (use === "run" ? config.grpo.scoring : "released"), signal, progress };
    await evaluate(engine, config, models, flags, asked);
  } finally {
    engine.close();
  }
});

/** Scores answers that are there. */
async function scoreFile(flags: Flags, strictness: Strictness, progress: Progress): Promise<void> {
  const out = flags.text("out")!;
  const data = await findTestFile(await resolveWithProgress(flags.text("data")!, progress));
  const result = await scoreAnswersFile({ answers: flags.text("answers")!, data, out, strictness });
  console.log(scoredFileTable(result, strictness));
  console.log(`scores of every answer: ${out}`);
}

/** Has models answer, and scores that. */
async function evaluate(
  engine: Engine,
  config: TextGameConfig,
  models: Record<string, string>,
  flags: Flags,
  { scoring, signal, progress }: { scoring: Strictness; signal: AbortSignal; progress: Progress },
): Promise<void> {
  const { seed, model: { computeType, parameterType }, evaluation: { rows: atOnce } } = config;
  const data = await readData(flags, config, progress);
  const evaluations: Record<string, TextGameEvaluation> = {};
  let judged: typeof data | undefined;
  for (const [name, folder] of Object.entries(models)) {
    const { world, maxPositions } = await readTextGameTokens(folder, config);
    // All models of a run have one tokenizer: what fits the first fits the others.
    judged ??= fittingQuestions(data, world, config, {
      maxPositions,
      note: (text) => progress.note(`held-out data: ${text}`),
    });
    const model = await CausalTransformer.load(engine, folder, { computeType, parameterType });
    try {
      progress.stage(`evaluate ${name}`, 1);
      evaluations[name] = await evaluateTextGame({
        model,
        world,
        examples: judged.examples,
        scoring,
        seed,
        rows: atOnce,
        onProgress: (done, total) => {
          progress.step(done / total, { transitions: `${done}/${total}` });
          if (signal.aborted) throw new RunInterruptedError("stopped during the evaluation; nothing is written");
        },
      });
    } finally {
      progress.done();
      model.dispose();
    }
  }
  const { examples, rows } = judged!;
  console.log(textGameScoreTable(evaluations, { examples, scoring, seed }));
  const out = flags.text("out");
  if (out === undefined) return;
  const names = Object.keys(evaluations);
  await writeLines(
    out,
    names.flatMap((name) => answerLines(evaluations[name], rows, names.length > 1 ? name : undefined)),
  );
  console.log(`answers and their scores: ${out}`);
}

/** Transitions to judge by, and their rows in the file that they come from. */
async function readData(
  flags: Flags,
  config: TextGameConfig,
  progress: Progress,
): Promise<{ examples: TextGameExample[]; rows: number[] }> {
  const limit = flags.integer("limit", 1) ?? null, notes: string[] = [];
  const named = flags.text("data"), file = named === undefined ? config.data.test : named;
  let examples: TextGameExample[], rows: number[];
  if (file === null) {
    examples = (await openTextGameData(config)).test;
    rows = [...examples.keys()];
  } else {
    const path = await findTestFile(await resolveWithProgress(file, progress));
    ({ examples, rows } = await readTextGameExamples(path, config, notes));
  }
  for (const note of notes) progress.note(note);
  const chosen = spread([...examples.keys()], limit);
  return { examples: chosen.map((i) => examples[i]), rows: chosen.map((i) => rows[i]) };
}

/** The models of a run and its configuration. */
async function ofRun(flags: Flags): Promise<{ config: TextGameConfig; models: Record<string, string> }> {
  const path = flags.text("run")!;
  using run = await RunFolder.read(path);
  const { preset, ...stored } = run.config as TextGameConfig;
  const config = textGameConfig(preset, mergeSettings(stored, parseSettings(flags.list("set"))));
  const asked = flags.list("which"), models: Record<string, string> = {};
  for (const name of MODELS) {
    if (asked.length > 0 && !asked.includes(name)) continue;
    const folder = run.file(`models/${name}`);
    if ((await Deno.stat(folder).catch(() => undefined))?.isDirectory) models[name] = folder;
  }
  const missing = asked.filter((name) => !(name in models));
  if (missing.length > 0) throw new UserError(`${path} has no model ${missing.join(", ")}: run that stage first`);
  if (Object.keys(models).length === 0) throw new UserError(`${path} has no model yet: run its stages first`);
  return { config, models };
}

/** One model by its folder or its place on the hub. */
async function ofModel(
  flags: Flags,
  progress: Progress,
): Promise<{ config: TextGameConfig; models: Record<string, string> }> {
  const name = flags.text("model")!, preset = flags.text("preset") ?? MODEL_PRESET;
  // What the presets' training computes in is another matter: this runs on every engine, unless told.
  const named = { model: { folder: name, computeType: "float32" } };
  const config = textGameConfig(preset, mergeSettings(named, parseSettings(flags.list("set"))));
  return { config, models: { [name]: await resolveWithProgress(name, progress) } };
}

function readUse(flags: Flags): Use {
  const uses = (Object.keys(USES) as Use[]).filter((name) => flags.text(name) !== undefined);
  if (uses.length !== 1) {
    throw new UserError("name one of --answers FILE, --run FOLDER and --model FOLDER: what is to be scored");
  }
  const [use] = uses;
  for (const name of ["which", "limit", "preset", "engine", "device", "set"]) {
    const isGiven = flags.list(name).length > 0;
    if (isGiven && !(USES[use] as readonly string[]).includes(name)) {
      throw new UserError(`--${name} has no meaning with --${use}: leave it out`);
    }
  }
  if (use !== "run" && flags.text("data") === undefined) {
    throw new UserError(`--${use} needs the transitions to judge by: --data FILE`);
  }
  if (use === "answers" && flags.text("out") === undefined) {
    throw new UserError("--answers needs a file for the scores: --out FILE");
  }
  for (const which of flags.list("which")) {
    if (!(MODELS as readonly string[]).includes(which)) {
      throw new UserError(`--which must be one of ${MODELS.join(", ")}: received "${which}"`);
    }
  }
  return use;
}

function readScoring(flags: Flags): Strictness | undefined {
  const text = flags.text("scoring");
  if (text !== undefined && !(SCORINGS as readonly string[]).includes(text)) {
    throw new UserError(`--scoring must be one of ${SCORINGS.join(", ")}: received "${text}"`);
  }
  return text as Strictness | undefined;
}
