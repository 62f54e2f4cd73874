/**
 * `deno task train-web`: a language world model of web pages, by likelihood and then by GRPO on the F1 of predicted changes.
 *
 * Without flags: a small model from nothing on walks through the built-in site, the best engine found, likelihood → GRPO →
 * evaluation → report.html. With `--data` and `--model`: parquet files as on the hub, any Hugging Face folder.
 */
import { resolveWithProgress } from "../lib/recipes/hub_folder.ts";
import { mergeSettings, parseSettings } from "../lib/runs/settings.ts";
import { WebPageExperiment } from "../lib/recipes/web_page/experiment.ts";
import { LANGUAGE_STAGES } from "../lib/recipes/language/experiment.ts";
import {
  describeWebPageFields,
  WEB_PAGE_PRESETS,
  type WebPageConfig,
  webPageConfig,
} from "../lib/recipes/web_page/config.ts";
import { findWebPageFiles, findWebPageTestFile } from "../lib/recipes/web_page/data.ts";
import type { Progress } from "../lib/runs/progress.ts";
import type { Flags } from "./cli.ts";
import { runTraining, trainingEpilogue, trainingFlags } from "./training_command.ts";

await runTraining<WebPageConfig, typeof LANGUAGE_STAGES[number]>({
  command: {
    name: "train-web",
    summary: "Trains a language world model of web pages by likelihood and then by GRPO on the changes it predicts.",
    flags: {
      preset: { value: "NAME", description: `One of ${Object.keys(WEB_PAGE_PRESETS).join(", ")}`, default: "demo" },
      data: {
        value: "FILE|FOLDER|hub:…",
        description: "Transitions (.parquet), or a folder with train and test",
        default: "the built-in site",
      },
      test: { value: "FILE", description: "Held-out transitions", default: "of the folder, or a part of --data" },
      "strict-data": { description: "End at the first row that cannot be used, rather than skip and count it" },
      model: {
        value: "FOLDER|hub:ORG/NAME",
        description: "A language model as transformers saves it, or a PEFT adapter",
      },
      rollouts: { value: "URL", description: "A server of OpenAI's completions interface that samples GRPO's answers" },
      ...trainingFlags("train-web", LANGUAGE_STAGES),
    },
    epilogue: () => trainingEpilogue(WEB_PAGE_PRESETS, describeWebPageFields()),
  },
  stages: LANGUAGE_STAGES,
  presetOf: (flags) => flags.text("preset") ?? "demo",
  overrides,
  configOf: webPageConfig,
  // How long it trains, how it is looked at, and what one changes after a training that diverged.
  mayChange: [
    "checkpointEvery",
    "evaluation",
    "grpo.steps",
    "grpo.rollouts",
    "grpo.rolloutModel",
    ...["likelihood", "grpo"].flatMap((stage) => [`${stage}.learningRate`, `${stage}.maxGradientNorm`]),
  ],
  open: (context) => WebPageExperiment.open(context),
});

/** Flags that stand for fields of the configuration, and `--set`. */
async function overrides(
  flags: Flags,
  progress: Progress,
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  const data: Record<string, unknown> = {}, model: Record<string, unknown> = {}, grpo: Record<string, unknown> = {};
  const path = flags.text("data"), heldOut = flags.text("test"), folder = flags.text("model");
  const test = heldOut && await findWebPageTestFile(await resolveWithProgress(heldOut, progress, { signal }));
  if (test !== undefined) data.test = test;
  if (path !== undefined) {
    Object.assign(data, await findWebPageFiles(await resolveWithProgress(path, progress, { signal }), test));
  }
  if (flags.has("strict-data")) data.strict = true;
  if (folder !== undefined) model.folder = folder;
  const rollouts = flags.text("rollouts");
  if (rollouts !== undefined) grpo.rollouts = rollouts;
  const seed = flags.integer("seed");
  const named = { data, model, grpo, ...seed === undefined ? {} : { seed } };
  return mergeSettings(named, parseSettings(flags.list("set")));
}
