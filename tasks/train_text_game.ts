/**
 * `deno task train-text-game`: a language world model of text games, by likelihood and then by GRPO on the predicted state.
 *
 * Without flags: a small model from nothing on the built-in games, the best engine found, likelihood → GRPO by both rewards →
 * evaluation → report.html. With `--data` and `--model`: ByteSized32's files, any Hugging Face folder.
 */
import { TEXT_GAME, textGameConfig } from "../lib/recipes/text_game/config.ts";
import { findTestFile, findTextGameFiles } from "../lib/recipes/text_game/data.ts";
import { TextGameExperiment } from "../lib/recipes/text_game/experiment.ts";
import { runLanguageTraining } from "./language_training.ts";

await runLanguageTraining({
  name: "train-text-game",
  summary: "Trains a language world model of text games by likelihood and then by GRPO on the state it predicts.",
  spec: TEXT_GAME,
  data: { forms: ".jsonl[.gz], .parquet", builtIn: "the built-in games" },
  defaultPreset: "demo; bytesized32-small with --data",
  // Transitions of one's own are longer than the built-in games': the preset that takes them.
  presetOf: (flags) => flags.text("preset") ?? (flags.text("data") === undefined ? "demo" : "bytesized32-small"),
  findFiles: findTextGameFiles,
  findTest: findTestFile,
  configOf: textGameConfig,
  open: (context) => TextGameExperiment.open(context),
});
