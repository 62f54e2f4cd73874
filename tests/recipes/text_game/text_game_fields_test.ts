/** Every field of the text-game configuration, changed: what data, trainers, samplers and reports then are. */
import { join } from "node:path";
import { LANGUAGE_STAGES } from "../../../lib/recipes/language/experiment.ts";
import { TextGameExperiment } from "../../../lib/recipes/text_game/experiment.ts";
import { textGameConfig, textGameSchema } from "../../../lib/recipes/text_game/config.ts";
import { run as runRecipe } from "../../../lib/runs/run.ts";
import { mergeSettings } from "../../../lib/runs/settings.ts";
import { writeTransitions } from "../../../lib/worlds/text_game/jsonl.ts";
import { parquetRow, writeParquet } from "../../../lib/worlds/text_game/parquet.ts";
import { withFolder } from "../../support/files.ts";
import { checkFields, type FieldContext, type FieldRow, type Plain } from "../../support/config_fields.ts";
import { forEachEngine } from "../../support/engines.ts";
import {
  languageRows,
  type LanguageTrace as Trace,
  refusingServer,
  traceLanguage,
} from "../../support/language_fields.ts";
import { someTransitions, tinyLanguageModel } from "../../support/tiny_text_run.ts";

const SMALL: Plain = {
  data: { games: ["boil-tea"], perGame: 8, heldOutPerGame: 3, maxQuestionTokens: 1200, maxAnswerTokens: 80 },
  tokenizer: { vocabularySize: 400, pattern: "long" },
  model: { hiddenSize: 16, layers: 1, heads: 2, intermediateSize: 32 },
  likelihood: { steps: 2, batch: 2 },
  grpo: { steps: 2, promptsPerStep: 2, miniBatchPrompts: 2, rewards: ["binary"] },
  evaluation: { sampledAnswers: 2, samples: 1 },
};

/** Files that fields name. */
interface Files {
  train: string;
  broken: string;
  test: string;
  imitation: string;
  rules: string;
  model: string;
}

async function writeFiles(folder: string): Promise<Files> {
  const at = (name: string) => join(folder, name), transitions = someTransitions(12);
  await writeTransitions(at("train.jsonl"), transitions);
  await Deno.writeTextFile(at("broken.jsonl"), `not a transition\n${await Deno.readTextFile(at("train.jsonl"))}`);
  await writeTransitions(at("test.jsonl"), someTransitions(3, 5));
  const row = parquetRow(transitions[0], "What now?", { split: "train", index: 0 });
  await writeParquet(at("cot.parquet"), [{ ...row, groundTruth: "<think> … </think> nothing", dataState: undefined }]);
  await Deno.mkdir(at("rules"));
  for (const kind of ["object", "action", "score"]) {
    const rules = { "boil-tea": `The ${kind}s obey.==========` };
    await Deno.writeTextFile(join(at("rules"), `${kind}_rules.json`), JSON.stringify(rules));
  }
  return {
    ...{ train: at("train.jsonl"), broken: at("broken.jsonl"), test: at("test.jsonl"), imitation: at("cot.parquet") },
    ...{ rules: at("rules"), model: await tinyLanguageModel(folder) },
  };
}

function contextsOf({ train, broken }: Files, server: string): Record<string, FieldContext<string>> {
  return {
    data: {},
    "a file": { settings: { data: { train } } },
    "a file and what is imitated": { settings: { data: { train } }, stages: ["likelihood"] },
    "a file with a bad row": { settings: { data: { train: broken } } },
    instructions: { settings: { data: { prompt: "instructions", maxQuestionTokens: 8000 } } },
    // A game in which objects are added.
    "added objects": { settings: { data: { games: ["mix-paint-toy"], perGame: 60, maxAnswerTokens: 300 } } },
    likelihood: { stages: ["likelihood"], atOnce: true },
    grpo: { settings: { grpo: { rewards: ["binary", "taskSpecific"] } }, stages: ["likelihood", "grpo"], atOnce: true },
    adapters: {
      settings: { model: { lora: { rank: 2, alpha: 4 } } },
      stages: ["likelihood", "grpo"],
    },
    "a server": {
      settings: { grpo: { rollouts: server } },
      stages: ["likelihood", "grpo"],
    },
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
  /** Rows in which nothing changes, of all that a GRPO stage was given: of r for each that changes, r / (1 + r). */
  const others = (stage: number) => (trace: Trace) => {
    const rows = trace.grpo[stage]?.batches.flat() ?? [];
    return [rows.filter((each) => each.includes('"isGold":false')).length, rows.length];
  };
  return {
    ...languageRows(server, files.model),
    "data.train": data(files.train, train),
    "data.test": data(files.test, test, "a file"),
    "data.imitation": data(
      files.imitation,
      (trace) => trace.likelihood!.batches,
      "a file and what is imitated",
    ),
    "data.strict": data(true, (trace) => trace.error, "a file with a bad row"),
    "data.testEvery": data(3, (trace) => [trace.train.length, trace.test.length], "a file"),
    "data.prompt": data("compact", train, "instructions"),
    "data.rules": data(files.rules, train, "instructions"),
    "data.targets": data("released", train, "added objects"),
    "data.maxQuestionTokens": data(230, (trace) => trace.notes),
    "data.maxAnswerTokens": data(70, (trace) => trace.maxAnswerTokens),
    "data.games": data(["wash-dishes"], train),
    "data.perGame": data(4, (trace) => trace.train.length),
    "data.heldOutPerGame": data(2, (trace) => trace.test.length),
    "data.changedShare": data(0, (trace) => trace.train.filter(([, target]) => /\[\{/.test(target)).length),
    "grpo.rewards": { in: "training", value: ["taskSpecific"], sees: (trace) => trace.grpo[0].options.reward },
    "grpo.scoring": {
      in: "grpo",
      value: "released",
      sees: (trace) => trace.grpo.map(({ options }) => [options.reward, options.alsoMeasured]),
      equals: [
        [[{ metric: "binary", weight: 1 }], ["taskSpecific"]],
        [[{ metric: "taskSpecific", weight: 1 }], ["binary"]],
      ],
    },
    "grpo.othersPerGold.binary": { in: "grpo", value: 1, sees: others(0), equals: [15, 30] },
    "grpo.othersPerGold.taskSpecific": { in: "grpo", value: 2, sees: others(1), equals: [20, 30] },
  };
}

forEachEngine("text games: every field of the configuration shows", async (engine, t) => {
  await withFolder(async (folder) => {
    const files = await writeFiles(folder);
    await using server = refusingServer();
    const configOf = (settings: Plain) => textGameConfig("demo", mergeSettings(SMALL, settings));
    await checkFields<Trace, string>(t, {
      schema: textGameSchema,
      contexts: contextsOf(files, server.base),
      rows: rowsOf(files, server.base),
      configOf,
      trace: (settings, stages) => {
        const config = configOf(settings);
        return traceLanguage({
          folder,
          config,
          mayFail: config.data.strict || config.grpo.rollouts !== null,
          open: (run, progress) => TextGameExperiment.open({ engine, config, run, progress }),
          run: (experiment) => runRecipe(experiment, stages),
        });
      },
    });
  });
}, { needs: ["bfloat16"] });
