/**
 * `deno task train-video`: a robot-video world model from pixels to GRPO.
 *
 * Without flags: the built-in table-top robot, the best engine found, tokenizer → likelihood → GRPO → control → evaluation →
 * report.html. With `--data`, `--tokenizer` and `--model`: any episodes, any released folders.
 */
import {
  ROBOT_VIDEO_STAGES,
  RobotVideoExperiment,
  type RobotVideoStage,
} from "../lib/recipes/robot_video/experiment.ts";
import {
  describeRobotVideoFields,
  type RobotVideoConfig,
  robotVideoConfig,
} from "../lib/recipes/robot_video/config.ts";
import { ROBOT_VIDEO_PRESETS } from "../lib/recipes/robot_video/presets.ts";
import { mergeSettings, parseSettings } from "../lib/runs/settings.ts";
import type { Flags } from "./cli.ts";
import { runTraining, trainingEpilogue, trainingFlags } from "./training_command.ts";

await runTraining<RobotVideoConfig, RobotVideoStage>({
  command: {
    name: "train-video",
    summary: "Trains a robot-video world model by likelihood and then by GRPO on the metric it is judged by.",
    flags: {
      preset: {
        value: "NAME",
        description: "Values to start from, by name: see below",
        default: "demo; with --data a 64 × 64 form of it",
      },
      data: { value: "FOLDER", description: "Episodes as .npz files", default: "the built-in table-top robot" },
      tokenizer: { value: "FOLDER", description: "A trained frame tokenizer (config.json, safetensors)" },
      model: { value: "FOLDER", description: "A trained transformer (config.json, safetensors): GRPO starts from it" },
      ...trainingFlags("train-video", ROBOT_VIDEO_STAGES),
    },
    epilogue: () => trainingEpilogue(ROBOT_VIDEO_PRESETS, describeRobotVideoFields()),
  },
  stages: ROBOT_VIDEO_STAGES,
  presetOf,
  overrides,
  configOf: robotVideoConfig,
  // How long it trains, how it is looked at, and what one changes after a training that diverged.
  mayChange: [
    "checkpointEvery",
    "evaluation",
    "control",
    "grpo.steps",
    ...["tokenizer", "likelihood", "grpo"].flatMap((stage) => [`${stage}.learningRate`, `${stage}.maxGradientNorm`]),
  ],
  open: (context) => RobotVideoExperiment.open(context),
});

/**
 * The preset that was named; of the demos the one that takes data of one's own, which have any resolution and any actions.
 * `--preset demo` is a name too: it takes data of RT-1's actions.
 */
function presetOf(flags: Flags): string {
  const named = flags.text("preset"), hasData = flags.text("data") !== undefined;
  if (named === "demo-multi-step" && hasData) return "demo-multi-step-64";
  return named ?? (hasData ? "demo-64" : "demo");
}

/** Flags that stand for fields of the configuration, and `--set`. */
function overrides(flags: Flags): Record<string, unknown> {
  const named: Record<string, unknown> = {};
  const seed = flags.integer("seed");
  if (seed !== undefined) named.seed = seed;
  for (const section of ["data", "tokenizer", "model"] as const) {
    const folder = flags.text(section);
    if (folder !== undefined) named[section] = { folder };
  }
  return mergeSettings(named, parseSettings(flags.list("set")));
}
