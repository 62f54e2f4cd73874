/**
 * `deno task evaluate-web`: scores answers of any model, or has a model answer and scores that.
 *
 * With `--answers`: a file of answers with their truths, from wherever they come; no engine is opened. With `--run` or `--model`:
 * answers of a run's models, or of a released one, beside what always answering "nothing changes" would earn.
 */
import { mergeSettings, parseSettings } from "../lib/runs/settings.ts";
import { type WebPageConfig, webPageConfig } from "../lib/recipes/web_page/config.ts";
import {
  cutObservations,
  findWebPageTestFile,
  openWebPageData,
  readWebPageExamples,
} from "../lib/recipes/web_page/data.ts";
import { evaluateWebPage } from "../lib/recipes/web_page/evaluation.ts";
import { readWebPageTokens } from "../lib/recipes/web_page/web_page_model.ts";
import { scoredWebFileTable, webAnswerLines, webPageScoreTable } from "../lib/recipes/web_page/scores.ts";
import type { Engine } from "../lib/tensor/engine.ts";
import { openEngine } from "../lib/tensor/registry.ts";
import { type Progress, progressFor } from "../lib/runs/progress.ts";
import { scoreWebAnswersFile } from "../lib/worlds/web_page/score_answers.ts";
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
    model: {
      value: "FOLDER|hub:ORG/NAME",
      description: "A language model as transformers saves it, or a PEFT adapter; needs --data",
    },
    data: {
      value: "FILE|FOLDER|hub:…",
      description: "Transitions to judge by (.parquet)",
      default: "the run's",
    },
    "strict-data": STRICT_DATA.flag,
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

/** `keep-end` and `out` have a meaning in each use. */
const USES: EvaluationUses = {
  flags: {
    answers: [],
    run: ["which", "data", "limit", "strict-data", "engine", "device", "set"],
    model: ["data", "limit", "strict-data", "preset", "engine", "device", "set"],
  },
  needData: ["model"],
  models: MODELS,
};

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args), use = readEvaluationUse(flags, USES);
  await checkOutput(flags.text("out"), "scores.jsonl");
  if (use === "answers") return await scoreFile(flags, signal);

  const progress = progressFor(Deno.stderr), changed = settings(flags);
  const asked = use === "run"
    ? await modelsOfRun(flags, MODELS, webPageConfig, changed)
    : await modelByName(flags, MODEL_PRESET, webPageConfig, changed, progress);
  const { engine, reason } = await openEngine(engineChoice(flags));
  try {
    progress.note(reason);
    await evaluate(engine, asked, flags, { signal, progress });
  } finally {
    engine.close();
  }
}, { stopping: "stopping; nothing is written" });

/** Scores answers that are there. */
async function scoreFile(flags: Flags, signal: AbortSignal): Promise<void> {
  const out = flags.text("out")!, keepEndOfSequence = flags.has("keep-end");
  const scores = await scoreWebAnswersFile({ answers: flags.text("answers")!, out, keepEndOfSequence, signal });
  console.log(scoredWebFileTable(scores));
  console.log(`scores of every answer: ${out}`);
}

/** Has models answer, and scores that. */
async function evaluate(
  engine: Engine,
  { config, models }: EvaluatedModels<WebPageConfig>,
  flags: Flags,
  { signal, progress }: { signal: AbortSignal; progress: Progress },
): Promise<void> {
  const { seed, evaluation: { rows, sampledAnswers, temperature, topP } } = config;
  const judged = () =>
    readJudged(flags, {
      test: config.data.test,
      ofRun: async (notes) => {
        const data = await openWebPageData(config, signal);
        notes.push(...data.notes);
        return data.test;
      },
      ofFile: async (path, notes) => await readWebPageExamples(await findWebPageTestFile(path), config, notes, signal),
    }, progress);
  const { evaluations, fitting } = await evaluateModels({
    engine,
    config,
    models,
    judged,
    signal,
    progress,
    readTokens: (folder) => readWebPageTokens(folder, config),
    prepare: (examples, { tokenizer }) =>
      cutObservations(examples, tokenizer, config, "held-out data", (text) => progress.note(text), signal),
    evaluate: (model, { world }, examples, watch) =>
      evaluateWebPage({
        model,
        world,
        examples,
        seed,
        rows,
        sampledAnswers,
        sampling: { temperature, topP },
        ...watch,
      }),
  });
  console.log(webPageScoreTable(evaluations, { examples: fitting.examples, seed }));
  await writeEvaluations(
    flags,
    evaluations,
    (evaluation, name) => webAnswerLines(evaluation, fitting.examples, fitting.rows, name),
  );
}

/** Fields that flags stand for. A model answers with what changes, as the paper's do. */
function settings(flags: Flags): Record<string, unknown> {
  const released = flags.has("keep-end") ? { grpo: { keepEndOfSequence: true } } : {};
  const target = flags.text("model") === undefined ? {} : { data: { target: "changes" } };
  return [target, released, STRICT_DATA.settings(flags), parseSettings(flags.list("set"))].reduce(mergeSettings);
}
