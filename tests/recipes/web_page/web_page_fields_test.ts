/** Every field of the web-page configuration, changed: what data, trainers, samplers and reports then are. */
import { join } from "node:path";
import { mergeSettings } from "../../../lib/runs/settings.ts";
import { LANGUAGE_STAGES } from "../../../lib/recipes/language/experiment.ts";
import { WebPageExperiment } from "../../../lib/recipes/web_page/experiment.ts";
import { webPageConfig, webPageSchema } from "../../../lib/recipes/web_page/config.ts";
import { run as runRecipe } from "../../../lib/runs/run.ts";
import { writeParquetRecords } from "../../../lib/io/parquet.ts";
import { builtInWalks } from "../../../lib/gyms/shop/walks.ts";
import { webPageRecord } from "../../../lib/worlds/web_page/parquet.ts";
import { withFolder } from "../../support/files.ts";
import { checkFields, type FieldContext, type FieldRow, type Plain } from "../../support/config_fields.ts";
import { forEachEngine } from "../../support/engines.ts";
import {
  languageRows,
  type LanguageTrace as Trace,
  refusingServer,
  traceLanguage,
} from "../../support/language_fields.ts";
import { tinyLanguageModel } from "../../support/tiny_text_run.ts";

const SMALL: Plain = {
  data: { sites: 2, walks: 2, steps: 4, heldOutSites: 3, maxQuestionTokens: 900, maxAnswerTokens: 150 },
  tokenizer: { vocabularySize: 400 },
  model: { hiddenSize: 16, layers: 1, heads: 2, intermediateSize: 32 },
  likelihood: { steps: 2, batch: 2 },
  grpo: { steps: 2, promptsPerStep: 2, miniBatchPrompts: 2 },
  evaluation: { sampledAnswers: 2, samples: 1, maxItems: 4 },
};

/** Files that fields name. */
interface Files {
  train: string;
  broken: string;
  test: string;
  model: string;
}

async function writeFiles(folder: string): Promise<Files> {
  const at = (name: string) => join(folder, name);
  const records = async (sites: number[]) =>
    (await builtInWalks({ sites, walks: 3, steps: 3, stream: [1] })).map(({ transition }, index) => {
      const record = webPageRecord(transition, { split: "train", index });
      // With its reasoning, as the hub's.
      return { ...record, answer: `It changes.\n\n${record.answer}` };
    });
  const train = await records([20, 21]), [first, ...others] = train;
  await writeParquetRecords(at("train.parquet"), train);
  await writeParquetRecords(at("test.parquet"), await records([30]));
  // A prompt that cannot be taken apart, and nothing beside it.
  const strange = {
    ...first,
    prompt: [{ content: "What now?", role: "user" }],
    extra_info: { index: 0, split: "train" },
  };
  await writeParquetRecords(at("broken.parquet"), [strange, ...others]);
  const model = await tinyLanguageModel(folder);
  return { train: at("train.parquet"), broken: at("broken.parquet"), test: at("test.parquet"), model };
}

function contextsOf({ train, broken }: Files, server: string): Record<string, FieldContext<string>> {
  return {
    data: {},
    "a file": { settings: { data: { train } } },
    "a file with a bad row": { settings: { data: { train: broken } } },
    instructions: { settings: { data: { prompt: "instructions", maxQuestionTokens: 8000 } } },
    likelihood: { stages: ["likelihood"], atOnce: true },
    // Credit by line has no meaning where an answer has one ratio.
    grpo: { settings: { grpo: { credit: "answer" } }, stages: ["likelihood", "grpo"], atOnce: true },
    adapters: { settings: { model: { lora: { rank: 2, alpha: 4 } } }, stages: ["likelihood", "grpo"] },
    "a server": { settings: { grpo: { rollouts: server } }, stages: ["likelihood", "grpo"] },
    "a given model": { settings: { data: { maxQuestionTokens: 4000, maxAnswerTokens: 2000 } } },
    training: { stages: ["likelihood", "grpo"] },
    evaluation: { stages: ["likelihood", "evaluate"] },
    everything: { stages: LANGUAGE_STAGES },
  };
}

function rowsOf(files: Files, server: string): Record<string, FieldRow<Trace>> {
  const data = (value: unknown, sees: FieldRow<Trace>["sees"], where = "data"): FieldRow<Trace> => ({
    in: where,
    value,
    sees,
  });
  const train = (trace: Trace) => trace.train, test = (trace: Trace) => trace.test;
  const option = (name: "credit" | "creditDiscount", value: unknown, equals: unknown): FieldRow<Trace> => ({
    in: "training",
    value,
    sees: (trace) => trace.grpo[0].options[name],
    equals,
  });
  return {
    ...languageRows(server, files.model),
    "data.train": data(files.train, train),
    "data.test": data(files.test, test, "a file"),
    "data.strict": data(true, (trace) => trace.error, "a file with a bad row"),
    "data.testEvery": data(2, (trace) => [trace.train.length, trace.test.length], "a file"),
    "data.prompt": data("compact", train, "instructions"),
    "data.target": data("answer", train, "a file"),
    "data.maxObservationTokens": data(60, [train, test]),
    "data.maxQuestionTokens": data(250, (trace) => trace.notes),
    "data.maxAnswerTokens": data(120, (trace) => trace.maxAnswerTokens),
    "data.sites": data(1, train),
    "data.walks": data(1, (trace) => trace.train.length),
    "data.steps": data(2, (trace) => trace.train.length),
    "data.heldOutSites": data(1, test),
    "grpo.keepEndOfSequence": data(true, (trace) => trace.scoreWithEnd),
    "grpo.credit": option("credit", "answer", "answer"),
    "grpo.creditDiscount": option("creditDiscount", 0.25, 0.25),
    "evaluation.temperature": data(0.05, (trace) => trace.drawn, "evaluation"),
    "evaluation.topP": data(0.05, (trace) => trace.drawn, "evaluation"),
  };
}

forEachEngine("web pages: every field of the configuration shows", async (engine, t) => {
  await withFolder(async (folder) => {
    const files = await writeFiles(folder);
    await using server = refusingServer();
    const configOf = (settings: Plain) => webPageConfig("demo", mergeSettings(SMALL, settings));
    await checkFields<Trace, string>(t, {
      schema: webPageSchema,
      contexts: contextsOf(files, server.base),
      rows: rowsOf(files, server.base),
      configOf,
      trace: (settings, stages) => {
        const config = configOf(settings);
        return traceLanguage({
          folder,
          config,
          mayFail: config.data.strict || config.grpo.rollouts !== null,
          open: (run, progress) => WebPageExperiment.open({ engine, config, run, progress }),
          run: (experiment) => runRecipe(experiment, stages),
        });
      },
    });
  });
}, { needs: ["bfloat16"] });
