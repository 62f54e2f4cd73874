/**
 * `deno task evaluate-text-game`: scores answers of any model, or has a model answer and scores that.
 *
 * With `--answers`: a file of answers, from wherever they come, on the benchmark's data; no engine is opened. With `--run` or
 * `--model`: greedy answers of a run's models, or of a released one, beside what always answering "nothing changes" would earn.
 */
import { resolveWithProgress } from "../lib/recipes/hub_folder.ts";
import { mergeSettings, parseSettings } from "../lib/runs/settings.ts";
import { type TextGameConfig, textGameConfig } from "../lib/recipes/text_game/config.ts";
import { findTestFile, openTextGameData, readTextGameExamples } from "../lib/recipes/text_game/data.ts";
import { evaluateTextGame } from "../lib/recipes/text_game/evaluation.ts";
import { readTextGameTokens } from "../lib/recipes/text_game/tokens.ts";
import { answerLines, scoredFileTable, textGameScoreTable } from "../lib/recipes/text_game/scores.ts";
import { UserError } from "../lib/base/user_error.ts";
import type { Engine } from "../lib/tensor/engine.ts";
import { openEngine } from "../lib/tensor/registry.ts";
import { type Progress, progressFor } from "../lib/runs/progress.ts";
import type { Strictness } from "../lib/worlds/text_game/difference.ts";
import { scoreAnswersFile } from "../lib/worlds/text_game/score_answers.ts";
import { checkOutput, type Command, ENGINE_FLAGS, engineChoice, type Flags, readFlags, runCommand } from "./cli.ts";
import {
  type EvaluatedModels,
  evaluateModels,
  type EvaluationUses,
  modelByName,
  modelsOfRun,
  readEvaluationUse,
  readJudged,
  STRICT_DATA,
  writeEvaluations,
} from "./evaluation_command.ts";

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
    model: {
      value: "FOLDER|hub:ORG/NAME",
      description: "A language model as transformers saves it, or a PEFT adapter; needs --data",
    },
    data: {
      value: "FILE|FOLDER|hub:…",
      description: "Transitions to judge by (.jsonl, .jsonl.gz, .parquet)",
      default: "the run's",
    },
    "strict-data": STRICT_DATA.flag,
    limit: { value: "N", description: "At most so many transitions, from all over the file", default: "all" },
    scoring: {
      value: SCORINGS.join("|"),
      description: "The published scorer (repairs as json_repair 0.61.7) or the mended one",
      default: "released",
    },
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

/** `data`, `scoring` and `out` have a meaning in each use. */
const USES: EvaluationUses = {
  flags: {
    answers: [],
    run: ["which", "limit", "strict-data", "engine", "device", "set"],
    model: ["limit", "strict-data", "preset", "engine", "device", "set"],
  },
  needData: ["answers", "model"],
  models: MODELS,
};

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args), use = readEvaluationUse(flags, USES);
  const scoring = readScoring(flags);
  await checkOutput(flags.text("out"), "scores.jsonl");
  const progress = progressFor(Deno.stderr);
  if (use === "answers") return await scoreFile(flags, scoring ?? "released", { progress, signal });

  const changed = mergeSettings(STRICT_DATA.settings(flags), parseSettings(flags.list("set")));
  const asked = use === "run"
    ? await modelsOfRun(flags, MODELS, textGameConfig, changed)
    : await modelByName(flags, MODEL_PRESET, textGameConfig, changed, progress);
  const { engine, reason } = await openEngine(engineChoice(flags));
  try {
    progress.note(reason);
    const scored = scoring ?? (use === "run" ? asked.config.grpo.scoring : "released");
    await evaluate(engine, asked, flags, { scoring: scored, signal, progress });
  } finally {
    engine.close();
  }
}, { stopping: "stopping; nothing is written" });

/** Scores answers that are there. */
async function scoreFile(
  flags: Flags,
  strictness: Strictness,
  { progress, signal }: { progress: Progress; signal: AbortSignal },
): Promise<void> {
  const out = flags.text("out")!;
  const data = await findTestFile(await resolveWithProgress(flags.text("data")!, progress));
  const result = await scoreAnswersFile({ answers: flags.text("answers")!, data, out, strictness, signal });
  console.log(scoredFileTable(result, strictness));
  console.log(`scores of every answer: ${out}`);
}

/** Has models answer, and scores that. */
async function evaluate(
  engine: Engine,
  { config, models }: EvaluatedModels<TextGameConfig>,
  flags: Flags,
  { scoring, signal, progress }: { scoring: Strictness; signal: AbortSignal; progress: Progress },
): Promise<void> {
  const { seed, evaluation: { rows } } = config;
  const judged = () =>
    readJudged(flags, {
      test: config.data.test,
      ofRun: async (notes) => {
        const data = await openTextGameData(config, signal);
        notes.push(...data.notes);
        return data.test;
      },
      ofFile: async (path, notes) => await readTextGameExamples(await findTestFile(path), config, notes, signal),
    }, progress);
  const { evaluations, fitting } = await evaluateModels({
    engine,
    config,
    models,
    judged,
    signal,
    progress,
    readTokens: (folder) => readTextGameTokens(folder, config),
    evaluate: (model, { world }, examples, watch) =>
      evaluateTextGame({ model, world, examples, scoring, seed, rows, ...watch }),
  });
  console.log(textGameScoreTable(evaluations, { examples: fitting.examples, scoring, seed }));
  await writeEvaluations(flags, evaluations, (evaluation, name) => answerLines(evaluation, fitting.rows, name));
}

function readScoring(flags: Flags): Strictness | undefined {
  const text = flags.text("scoring");
  if (text !== undefined && !(SCORINGS as readonly string[]).includes(text)) {
    throw new UserError(`--scoring must be one of ${SCORINGS.join(", ")}: received "${text}"`);
  }
  return text as Strictness | undefined;
}
