/**
 * `deno task train-web`: a language world model of web pages, by likelihood and then by GRPO on the F1 of predicted changes.
 *
 * Without flags: a small model from nothing on walks through the built-in site, the best engine found, likelihood → GRPO →
 * evaluation → report.html. With `--data` and `--model`: parquet files as on the hub, any Hugging Face folder.
 */
import { WEB_PAGE, webPageConfig } from "../lib/recipes/web_page/config.ts";
import { findWebPageFiles, findWebPageTestFile } from "../lib/recipes/web_page/data.ts";
import { WebPageExperiment } from "../lib/recipes/web_page/experiment.ts";
import { runLanguageTraining } from "./language_training.ts";

await runLanguageTraining({
  name: "train-web",
  summary: "Trains a language world model of web pages by likelihood and then by GRPO on the changes it predicts.",
  spec: WEB_PAGE,
  data: { forms: ".parquet", builtIn: "the built-in site" },
  defaultPreset: "demo",
  presetOf: (flags) => flags.text("preset") ?? "demo",
  findFiles: findWebPageFiles,
  findTest: findWebPageTestFile,
  configOf: webPageConfig,
  open: (context) => WebPageExperiment.open(context),
});
