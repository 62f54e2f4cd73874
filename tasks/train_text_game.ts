/**
 * `deno task train-text-game`: a language world model of text games, by likelihood and then by GRPO on the predicted state.
 *
 * Without flags: a small model from nothing on the built-in games, the best engine found, likelihood → GRPO by both rewards →
 * evaluation → report.html. With `--data` and `--model`: ByteSized32's files, any Hugging Face folder.
 */
import { mergeSettings, parseSettings } from "../lib/runs/settings.ts";
import { TextGameExperiment } from "../lib/recipes/text_game/experiment.ts";
import { LANGUAGE_STAGES } from "../lib/recipes/language/experiment.ts";
import {
  describeTextGameFields,
  TEXT_GAME_PRESETS,
  type TextGameConfig,
  textGameConfig,
} from "../lib/recipes/text_game/config.ts";
import { findTestFile, findTextGameFiles } from "../lib/recipes/text_game/data.ts";
import type { Progress } from "../lib/runs/progress.ts";
import type { Flags } from "./cli.ts";
import { resolveWithProgress } from "../lib/recipes/hub_folder.ts";
import { runTraining, trainingEpilogue, trainingFlags } from "./training_command.ts";

await runTraining<TextGameConfig, typeof LANGUAGE_STAGES[number]>({
  command: {
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
      model: {
        value: "FOLDER|hub:ORG/NAME",
        description: "A language model as transformers saves it, or a PEFT adapter",
      },
      rollouts: { value: "URL", description: "A server of OpenAI's completions interface that samples GRPO's answers" },
      ...trainingFlags("train-text-game", LANGUAGE_STAGES),
    },
    epilogue: () => trainingEpilogue(TEXT_GAME_PRESETS, describeTextGameFields()),
  },
  stages: LANGUAGE_STAGES,
  // Transitions of one's own are longer than the built-in games': the preset that takes them.
  presetOf: (flags) => flags.text("preset") ?? (flags.text("data") === undefined ? "demo" : "bytesized32-small"),
  overrides,
  configOf: textGameConfig,
  // How long it trains, how it is looked at, and what one changes after a training that diverged.
  mayChange: [
    "checkpointEvery",
    "evaluation",
    "grpo.steps",
    "grpo.rollouts",
    "grpo.rolloutModel",
    ...["likelihood", "grpo"].flatMap((stage) => [`${stage}.learningRate`, `${stage}.maxGradientNorm`]),
  ],
  open: (context) => TextGameExperiment.open(context),
});

/** Flags that stand for fields of the configuration, and `--set`. */
async function overrides(
  flags: Flags,
  progress: Progress,
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  const data: Record<string, unknown> = {}, model: Record<string, unknown> = {}, grpo: Record<string, unknown> = {};
  const path = flags.text("data"), heldOut = flags.text("test"), folder = flags.text("model");
  const test = heldOut && await findTestFile(await resolveWithProgress(heldOut, progress, { signal }));
  if (test !== undefined) data.test = test;
  if (path !== undefined) {
    Object.assign(data, await findTextGameFiles(await resolveWithProgress(path, progress, { signal }), test));
  }
  if (flags.has("strict-data")) data.strict = true;
  if (folder !== undefined) model.folder = folder;
  const rollouts = flags.text("rollouts");
  if (rollouts !== undefined) grpo.rollouts = rollouts;
  const seed = flags.integer("seed");
  const named = { data, model, grpo, ...seed === undefined ? {} : { seed } };
  return mergeSettings(named, parseSettings(flags.list("set")));
}
