/** What a configuration is checked for depends on its use: evaluation and prediction ask nothing of how a model is trained. */
import assert from "node:assert/strict";
import { lpipsUsers, reportedMetrics, robotVideoConfig } from "../../../lib/recipes/robot_video/config.ts";
import { openGivenModels } from "../../../lib/recipes/robot_video/given_models.ts";
import { openRobotVideoData } from "../../../lib/recipes/robot_video/data.ts";
import { mergeSettings } from "../../../lib/runs/settings.ts";
import { UserError } from "../../../lib/base/user_error.ts";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { tinyConfig } from "../../support/tiny_run.ts";

const lpipsReward = { grpo: { reward: [{ metric: "lpips", weight: 1 }] } };
const given = { model: { folder: "model" }, tokenizer: { folder: "tokenizer" } };

/** Fields that are only read in training, with values that it refuses. */
const TRAINING_ONLY: Record<string, Record<string, unknown>> = {
  "tokenizer.lpipsWeight uses LPIPS": { tokenizer: { lpipsWeight: 1 } },
  "grpo.reward uses LPIPS": lpipsReward,
  "tokenizer.warmupSteps 9 must be below": { tokenizer: { warmupSteps: 9, steps: 9 } },
  "tokenizer.horizon 7 must exceed": {
    data: { prediction: "multi-step" },
    tokenizer: { frameChoice: "random", horizon: 7 },
  },
  "model.hiddenSize 30 must be": { model: { hiddenSize: 30 } },
  'grpo.credit "frame" is for several': { grpo: { credit: "frame" } },
  'grpo.credit "patch" has no meaning': { grpo: { credit: "patch", loss: "gspo" } },
  'grpo.credit "patch" is for rewards': { grpo: { credit: "patch", reward: [{ metric: "ssim", weight: 1 }] } },
  "grpo.reward: repetition is about": { grpo: { reward: [{ metric: "repetition", weight: 1 }] } },
  "grpo.miniBatchPrompts 9 exceeds": { grpo: { miniBatchPrompts: 9 } },
};

Deno.test("what training refuses is nothing to evaluation and prediction, which do not read it", () => {
  for (const [says, values] of Object.entries(TRAINING_ONLY)) {
    assert.throws(() => robotVideoConfig("demo", values), (error: Error) => {
      return error instanceof UserError && error.message.includes(says);
    }, says);
    for (const use of ["evaluation", "prediction"] as const) robotVideoConfig("demo", values, use);
  }
  assert.throws(() => robotVideoConfig("demo", { model: { folder: "x" } }, "evaluation"), /no tokenizer\.folder/);
});

Deno.test("a given tokenizer is not trained: nothing is asked of its losses, nor of a given model's sizes", () => {
  for (const training of ["tokenizer.lpipsWeight", "tokenizer.warmupSteps", "tokenizer.horizon", "model.hiddenSize"]) {
    const [, values] = Object.entries(TRAINING_ONLY).find(([says]) => says.startsWith(training))!;
    robotVideoConfig("demo", mergeSettings(given, values));
  }
});

Deno.test("LPIPS is asked for by what a use measures, and an evaluation says how to leave it out", () => {
  const released = robotVideoConfig(
    "rt1-single-step",
    mergeSettings(given, { evaluation: { metrics: ["mae"] } }),
    "evaluation",
  );
  assert.deepEqual(lpipsUsers(released, "evaluation"), []);
  assert.deepEqual(lpipsUsers(released, "training"), ["grpo.reward"]);
  assert.throws(
    () => robotVideoConfig("rt1-single-step", given, "evaluation"),
    /evaluation\.metrics uses LPIPS.*or leave LPIPS out with --set 'evaluation\.metrics=\["mae","mse","psnr","ssim"\]'/,
  );
  robotVideoConfig("rt1-single-step", given, "prediction");
  const reward = [{ metric: "psnr", weight: 1 }, { metric: "repetition", weight: 1 }];
  const config = robotVideoConfig("demo-multi-step", {
    grpo: { credit: "answer", reward },
    evaluation: { metrics: ["mae"] },
  });
  assert.deepEqual(reportedMetrics(config), ["psnr", "mae"]);
});

Deno.test("weights of LPIPS that no metric asks for are not opened by an evaluation; training looks at all that is named", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  const config = tinyConfig({ ...lpipsReward, lpips: { vgg: "/nowhere/vgg.pth", linear: "/nowhere/linear.pth" } });
  const data = await openRobotVideoData(config);
  assert.deepEqual(await openGivenModels(engine, config, data, "evaluation"), { lpips: undefined });
  assert.deepEqual(await openGivenModels(engine, config, data, "prediction"), { lpips: undefined });
  const measured = { ...config, evaluation: { ...config.evaluation, metrics: ["lpips" as const] } };
  for (const [asked, use] of [[config, "training"], [measured, "evaluation"]] as const) {
    await assert.rejects(openGivenModels(engine, asked, data, use), /\/nowhere\/vgg\.pth/);
  }
});
