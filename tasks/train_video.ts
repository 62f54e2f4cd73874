/**
 * `deno task train-video`: a robot-video world model from pixels to GRPO.
 *
 * Without flags: the built-in table-top robot, the best engine found, tokenizer → likelihood → GRPO → control → evaluation →
 * report.html. With `--data`, `--tokenizer` and `--model`: any episodes, any released folders.
 */
import { ROBOT_VIDEO, robotVideoConfig } from "../lib/recipes/robot_video/config.ts";
import { ROBOT_VIDEO_STAGES, RobotVideoExperiment } from "../lib/recipes/robot_video/experiment.ts";
import type { Flags } from "./cli.ts";
import { runTraining } from "./training_command.ts";

await runTraining({
  name: "train-video",
  summary: "Trains a robot-video world model by likelihood and then by GRPO on the metric it is judged by.",
  spec: ROBOT_VIDEO,
  defaultPreset: "demo; with --data a 64 × 64 form of it",
  flags: {
    data: { value: "FOLDER", description: "Episodes as .npz files", default: "the built-in table-top robot" },
    tokenizer: { value: "FOLDER", description: "A trained frame tokenizer (config.json, safetensors)" },
    model: { value: "FOLDER", description: "A trained transformer (config.json, safetensors): GRPO starts from it" },
  },
  stages: ROBOT_VIDEO_STAGES,
  presetOf,
  settings: (flags) =>
    Object.fromEntries(["data", "tokenizer", "model"].flatMap((section) => {
      const folder = flags.text(section);
      return folder === undefined ? [] : [[section, { folder }]];
    })),
  configOf: robotVideoConfig,
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
