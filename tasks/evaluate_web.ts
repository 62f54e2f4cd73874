/**
 * `deno task evaluate-web`: scores answers of any model, or has a model answer and scores that.
 *
 * With `--answers`: a file of answers with their truths, from wherever they come; no engine is opened. With `--run` or `--model`:
 * answers of a run's models, or of a released one, beside what always answering "nothing changes" would earn.
 */
import { resolveWithProgress } from "../lib/experiments/hub_folder.ts";
import { fittingQuestions, spread } from "../lib/experiments/language_data.ts";
import { mergeSettings, parseSettings } from "../lib/experiments/settings.ts";
import { type WebPageConfig, webPageConfig } from "../lib/experiments/web_page_config.ts";
import {
  cutObservations,
  findWebPageTestFile,
  openWebPageData,
  readWebPageExamples,
} from "../lib/experiments/web_page_data.ts";
import { evaluateWebPage, type WebPageEvaluation } from "../lib/experiments/web_page_evaluation.ts";
import { readWebPageTokens } from "../lib/experiments/web_page_models.ts";
import { scoredWebFileTable, webAnswerLines, webPageScoreTable } from "../lib/experiments/web_page_scores.ts";
import { UserError } from "../lib/files/user_error.ts";
import { CausalTransformer } from "../lib/models/causal_transformer.ts";
import type { Engine } from "../lib/tensor/engine.ts";
import { openEngine } from "../lib/tensor/registry.ts";
import { type Progress, progressFor } from "../lib/training/progress.ts";
import { RunFolder } from "../lib/training/run_folder.ts";
import { RunInterruptedError } from "../lib/training/stage.ts";
import { writeLines } from "../lib/worlds/text_game/lines.ts";
import { scoreWebAnswersFile } from "../lib/worlds/web_page/score_answers.ts";
import type { WebPageExample } from "../lib/worlds/web_page/world.ts";
import { checkOutput, type Command, ENGINE_FLAGS, engineChoice, type Flags, readFlags, runCommand } from "./cli.ts";

const MODELS = ["likelihood", "rlvr"] as const;
/** What a model without a run is asked with: the paper's prompts and limits. */
const MODEL_PRESET = "webarena-1.5b";

const COMMAND: Command = {
  name: "evaluate-web",
  summary: "Scores predicted changes of web pages: a file of answers, or the answers of a model.",
  flags: {
    answers: { value: "FILE", description: 'Answers to score, lines {"truth", "response"}; needs --out' },
    run: { value: "FOLDER", description: "A run of train-web: its models on its held-out transitions" },
    which: { value: MODELS.join("|"), description: "Which of the run's models", default: "all", repeated: true },
    model: { value: "FOLDER|hub:ORG/NAME", description: "A language model as transformers saves it; needs --data" },
    data: {
      value: "FILE|FOLDER|hub:…",
      description: "Transitions to judge by (.parquet)",
      default: "the run's",
    },
    limit: { value: "N", description: "At most so many transitions, from all over the file", default: "all" },
    "keep-end": {
      description: "Score as released: text of the end token stays on the last item, which then never matches",
    },
    out: { value: "FILE", description: "Write answers and scores, a line of JSON each" },
    preset: { value: "NAME", description: "Values to start from with --model", default: MODEL_PRESET },
    ...ENGINE_FLAGS,
    set: { value: "FIELD=VALUE", description: "Any field of the configuration (train-web --help)", repeated: true },
  },
};

/** Flags that mean something in each of the three uses, beside `keep-end` and `out`. */
const USES = {
  answers: [],
  run: ["which", "data", "limit", "engine", "device", "set"],
  model: ["data", "limit", "preset", "engine", "device", "set"],
} as const;
type Use = keyof typeof USES;

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args);
  const use = readUse(flags);
  await checkOutput(flags.text("out"), "scores.jsonl");
  if (use === "answers") return await scoreFile(flags);

  const progress = progressFor(Deno.stderr);
  const { config, models } = use === "run" ? await ofRun(flags) : await ofModel(flags, progress);
  const { engine, reason } = await openEngine(engineChoice(flags));
  try {
    progress.note(reason);
    await evaluate(engine, config, models, flags, { signal, progress });
  } finally {
    engine.close();
  }
});

/** Scores answers that are there. */
async function scoreFile(flags: Flags): Promise<void> {
  const out = flags.text("out")!, keepEndOfSequence = flags.has("keep-end");
  const scores = await scoreWebAnswersFile({ answers: flags.text("answers")!, out, keepEndOfSequence });
  console.log(scoredWebFileTable(scores));
  console.log(`scores of every answer: ${out}`);
}

/** Has models answer, and scores that. */
async function evaluate(
  engine: Engine,
  config: WebPageConfig,
  models: Record<string, string>,
  flags: Flags,
  { signal, progress }: { signal: AbortSignal; progress: Progress },
): Promise<void> {
  const { seed, model: { computeType, parameterType }, evaluation } = config;
  const data = await readData(flags, config, progress);
  const evaluations: Record<string, WebPageEvaluation> = {};
  let judged: typeof data | undefined;
  for (const [name, folder] of Object.entries(models)) {
    const { world, tokenizer, maxPositions } = await readWebPageTokens(folder, config);
    // All models of a run have one tokenizer: what fits the first fits the others.
    judged ??= fittingQuestions(
      {
        ...data,
        examples: cutObservations(data.examples, tokenizer, config, "held-out data", (text) => progress.note(text)),
      },
      world,
      config,
      { maxPositions, note: (text) => progress.note(`held-out data: ${text}`) },
    );
    const model = await CausalTransformer.load(engine, folder, { computeType, parameterType });
    try {
      progress.stage(`evaluate ${name}`, 1);
      evaluations[name] = await evaluateWebPage({
        model,
        world,
        examples: judged.examples,
        seed,
        rows: evaluation.rows,
        sampledAnswers: evaluation.sampledAnswers,
        sampling: { temperature: evaluation.temperature, topP: evaluation.topP },
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
  console.log(webPageScoreTable(evaluations, { examples, seed }));
  const out = flags.text("out");
  if (out === undefined) return;
  const names = Object.keys(evaluations);
  await writeLines(
    out,
    names.flatMap((name) => webAnswerLines(evaluations[name], examples, rows, names.length > 1 ? name : undefined)),
  );
  console.log(`answers and their scores: ${out}`);
}

/** Transitions to judge by, and their rows in the file that they come from. */
async function readData(
  flags: Flags,
  config: WebPageConfig,
  progress: Progress,
): Promise<{ examples: WebPageExample[]; rows: number[] }> {
  const limit = flags.integer("limit", 1) ?? null, notes: string[] = [];
  const named = flags.text("data"), file = named === undefined ? config.data.test : named;
  let examples: WebPageExample[], rows: number[];
  if (file === null) {
    examples = (await openWebPageData(config)).test;
    rows = [...examples.keys()];
  } else {
    const path = await findWebPageTestFile(await resolveWithProgress(file, progress));
    ({ examples, rows } = await readWebPageExamples(path, config, notes));
  }
  for (const note of notes) progress.note(note);
  const chosen = spread([...examples.keys()], limit);
  return { examples: chosen.map((i) => examples[i]), rows: chosen.map((i) => rows[i]) };
}

/** The models of a run and its configuration. */
async function ofRun(flags: Flags): Promise<{ config: WebPageConfig; models: Record<string, string> }> {
  const path = flags.text("run")!;
  using run = await RunFolder.read(path);
  const { preset, ...stored } = run.config as WebPageConfig;
  const config = webPageConfig(preset, mergeSettings(stored, settings(flags)));
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
): Promise<{ config: WebPageConfig; models: Record<string, string> }> {
  const name = flags.text("model")!, preset = flags.text("preset") ?? MODEL_PRESET;
  // What the presets' training computes in is another matter: this runs on every engine, unless told.
  const named = { model: { folder: name, computeType: "float32" }, data: { target: "changes" } };
  const config = webPageConfig(preset, mergeSettings(named, settings(flags)));
  return { config, models: { [name]: await resolveWithProgress(name, progress) } };
}

/** Fields that flags stand for. */
function settings(flags: Flags): Record<string, unknown> {
  const named = flags.has("keep-end") ? { grpo: { keepEndOfSequence: true } } : {};
  return mergeSettings(named, parseSettings(flags.list("set")));
}

function readUse(flags: Flags): Use {
  const uses = (Object.keys(USES) as Use[]).filter((name) => flags.text(name) !== undefined);
  if (uses.length !== 1) {
    throw new UserError("name one of --answers FILE, --run FOLDER and --model FOLDER: what is to be scored");
  }
  const [use] = uses;
  for (const name of ["which", "data", "limit", "preset", "engine", "device", "set"]) {
    const isGiven = flags.list(name).length > 0;
    if (isGiven && !(USES[use] as readonly string[]).includes(name)) {
      throw new UserError(`--${name} has no meaning with --${use}: leave it out`);
    }
  }
  if (use === "model" && flags.text("data") === undefined) {
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
