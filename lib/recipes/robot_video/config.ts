/**
 * The configuration of the robot-video experiment: every field with its meaning and its default.
 *
 * A configuration is one plain object, checked before anything is loaded: unknown keys and values out of range are named.
 * Defaults are the demo's; presets (`presets.ts`) change what differs. `data.prediction` decides between one
 * frame ahead and a clip of several; fields that only one of the two reads say so. What holds between fields is checked for the use
 * that a configuration is made for: evaluating a model asks nothing of how it would be trained.
 */
import { z } from "zod";
import { UserError } from "../../base/user_error.ts";
import { GRPO_FIELDS } from "../../train/grpo_options.ts";
import {
  checkMiniBatches,
  checkModelSizes,
  COMPUTE_TYPE,
  count,
  CREDIT_DISCOUNT,
  fraction,
  LIKELIHOOD_FIELDS,
  MODEL_FIELDS,
  rate,
  RUN_FIELDS,
  STEP_FIELDS,
} from "../common_fields.ts";
import { checkCredit, completeGrpo } from "../grpo_fields.ts";
import { onlyWith, withDefaults } from "../../runs/fields.ts";
import { ROBOT_VIDEO_PRESETS } from "./presets.ts";
import { changeable, checkedConfig, type ConfigSpec } from "../../runs/settings.ts";
import type { RobotVideoConfig } from "./config_type.ts";

export type { RobotVideoConfig } from "./config_type.ts";

const dataSchema = z.strictObject({
  folder: z.string().nullable().default(null).describe(
    "Folder of episode .npz files; null: the built-in table-top robot",
  ),
  ...onlyWith("folder≠null", {
    imageKey: z.string().default("image").describe("Key of the frames, [T, H, W, 3]: uint8, or floats in 0..1"),
    actionKey: z.string().default("action").describe("Key of the actions, [T, A]"),
  }),
  height: count.nullable().default(32).describe("Frames are resized to this height; null: as they are"),
  width: count.nullable().default(32).describe("Frames are resized to this width; null: as they are"),
  actionRanges: z.enum(["rt1", "computed"]).default("rt1").describe("Ranges of the action bins"),
  actionBins: z.int().min(2).default(256).describe("Bins of each action dimension"),
  prediction: z.enum(["single-step", "multi-step"]).default("single-step").describe(
    "One frame after some, or several after one with the actions between",
  ),
  ...onlyWith("prediction=single-step", {
    history: count.default(1).describe("Single-step: past frames (and actions) in the question"),
  }),
  ...onlyWith("prediction=multi-step", {
    frames: z.int().min(2).default(8).describe(
      "Multi-step: frames of a clip, the first given and the others predicted",
    ),
    contextReach: z.int().min(0).default(15).describe("Multi-step: how long before a clip its context frame may lie"),
  }),
  frameStep: count.default(1).describe("Episode frames from one frame of a clip to the next"),
  shortEpisodes: z.enum(["repeat", "drop", "refuse"]).default("repeat").describe(
    "What becomes of episodes shorter than a clip",
  ),
  augment: z.boolean().default(false).describe("Vary the colours of training clips, as the released code does"),
  ...onlyWith("heldOut=split", {
    testEvery: z.int().min(2).default(8).describe("Every so many episodes, one is held out"),
  }),
  heldOut: z.enum(["split", "all"]).default("split").describe(
    "Evaluate every testEvery-th episode, or all: of data that the model was not trained on",
  ),
  ...onlyWith("folder=null", {
    episodes: z.int().min(2).default(160).describe("Built-in data: number of episodes"),
    episodeLength: z.int().min(8).default(40).describe("Built-in data: frames of an episode"),
    objects: z.int().min(1).max(4).default(2).describe("Built-in data: objects on the table"),
    behaviour: z.enum(["busy", "tasks"]).default("busy").describe(
      "Built-in data: the robot keeps busy, or attempts the tasks of policies",
    ),
    ...onlyWith("behaviour=busy", {
      drawer: z.boolean().default(false).describe("Built-in data: whether the table has a drawer (for tasks always)"),
      zone: z.boolean().default(false).describe("Built-in data: whether a zone is painted on it (for tasks always)"),
    }),
    slip: z.number().min(0).max(1).default(0).describe("Built-in data: chance that an object slips"),
  }),
});

const tokenizerSchema = z.strictObject({
  folder: z.string().nullable().default(null).describe(
    "A trained tokenizer (config.json, safetensors); null: train one",
  ),
  ...onlyWith("folder=null", {
    channels: z.array(count).min(1).default([64]).describe("Channels of each block"),
    layersPerBlock: count.default(1).describe("Residual blocks a block"),
    latentChannels: count.default(32).describe("Channels between encoder and quantizer"),
    normGroups: count.default(8).describe("Groups of the group normalization"),
    normScope: z.enum(["image", "position"]).default("position").describe(
      "What is normalized together: all positions (released models), or each on its own",
    ),
    fsqLevels: z.array(z.int().min(2)).min(1).default([7, 5, 5, 5]).describe("Values of each dimension of a code"),
    ...onlyWith("data.prediction=multi-step", {
      contextLevels: z.array(z.int().min(2)).min(1).default([7, 5, 5, 5]).describe(
        "Multi-step: the same of the context frame's codes",
      ),
    }),
    midAttention: z.boolean().default(false).describe("Self-attention at the lowest resolution"),
    ...onlyWith("data.prediction=multi-step", {
      contextMidAttention: z.boolean().default(false).describe("Multi-step: the same in the context frame's networks"),
      patchSize: count.default(2).describe(
        "Multi-step: side of the latent squares that are one token of a later frame",
      ),
      maxAttentionResolution: count.default(32).describe(
        "Multi-step: feature maps of at most so many rows see the context frame's",
      ),
      attentionHeads: count.default(4).describe("Multi-step: heads of that attention"),
      attentionDropout: z.number().min(0).lt(1).default(0).describe(
        "Multi-step: dropout of that attention in training",
      ),
    }),
    downsamplings: z.int().min(0).default(0).describe("How often the resolution is halved"),
    pixelPatch: count.default(4).describe(
      "Side of the pixel squares that the first convolution sees as one; 1 in released models",
    ),
    background: z.boolean().default(true).describe(
      "Tokens say how a frame differs from the mean training frame (fixed cameras)",
    ),
    codeGain: rate.default(4).describe("How much larger than PyTorch's the first weights before the quantizer are"),
    steps: count.default(500).describe("Training steps"),
    batch: count.default(16).describe("Frames a step; multi-step: clips"),
    augment: z.boolean().default(false).describe(
      "Crop and stretch training frames a little and vary their colours (released)",
    ),
    ...onlyWith("data.prediction=multi-step", {
      laterFrames: count.default(7).describe("Multi-step: frames of a training clip beside its context frame"),
      frameChoice: z.enum(["contiguous", "random"]).default("contiguous").describe(
        "Multi-step: the frames after the context, or any of the horizon (paper)",
      ),
    }),
    ...onlyWith(
      "data.prediction=multi-step",
      onlyWith("frameChoice=random", {
        horizon: count.default(32).describe("Multi-step: frames of an episode from which random ones are chosen"),
      }),
    ),
    learningRate: rate.default(4e-3).describe("Peak learning rate"),
    warmupSteps: z.int().min(0).default(50).describe("Steps of linear warm-up"),
    maxGradientNorm: rate.default(1).describe("Bound of the gradient's norm"),
    beta2: fraction.default(0.99).describe("Decay of AdamW's second moment"),
    roundingWeight: z.number().min(0).default(0.02).describe(
      "Weight of the distance between what is quantized and its code",
    ),
    latentSpreadWeight: z.number().min(0).default(0).describe(
      "Weight of a term that keeps latents apart, should every place get one code",
    ),
    mseWeight: z.number().min(0).default(10).describe("Weight of the squared error beside the absolute one"),
    lpipsWeight: z.number().min(0).default(0).describe("Weight of LPIPS (needs lpips.vgg and lpips.linear)"),
    adversarialWeight: z.number().min(0).default(0).describe("Weight of the discriminator; 0: there is none"),
    ...onlyWith("adversarialWeight≠0", {
      adversarialStart: z.int().min(0).default(10000).describe("Step from which the discriminator counts"),
    }),
  }),
});

const modelSchema = z.strictObject({
  folder: z.string().nullable().default(null).describe(
    "A trained transformer (config.json, safetensors); null: train one",
  ),
  ...onlyWith("folder=null", MODEL_FIELDS),
  computeType: COMPUTE_TYPE,
});

const likelihoodSchema = z.strictObject(onlyWith("model.folder=null", {
  steps: count.default(550).describe("Training steps"),
  ...LIKELIHOOD_FIELDS,
}));

const rewardSchema = z.array(z.strictObject({
  metric: z.enum(["mae", "mse", "psnr", "ssim", "lpips", "repetition"]),
  weight: rate,
})).min(1);

const grpoSchema = z.strictObject({
  ...withDefaults(GRPO_FIELDS, {
    steps: 55,
    promptsPerStep: 8,
    miniBatchPrompts: 8,
    microBatchPrompts: 8,
    learningRate: 7e-4,
    decaySteps: 30,
    loss: "dual-clip",
  }),
  reward: rewardSchema.default([{ metric: "mae", weight: 1 }]).describe("Weighted metrics"),
  ...onlyWith("data.prediction=multi-step", {
    aggregate: z.enum(["mean", "last", "discount"]).default("mean").describe(
      "Multi-step: how a metric's values of the predicted frames become one",
    ),
  }),
  credit: z.enum(["answer", "frame", "patch"]).default("answer").describe(
    "A token's reward: the answer's (the paper), its and later frames', or patches'",
  ),
  creditDiscount: CREDIT_DISCOUNT.describe(
    "With credit frame or patch: what comes later counts so much less for each part between",
  ),
  scoreRows: count.default(256).describe("Answers decoded and scored at once"),
});

const controlSchema = z.strictObject(onlyWith("model.folder=null", {
  enabled: z.boolean().default(true).describe(
    "Continue likelihood training for as long as GRPO took: what RLVR is compared with",
  ),
  ...onlyWith("enabled=true", {
    steps: z.int().min(0).nullable().default(null).describe("Steps of it; null: as many as fit into GRPO's time"),
  }),
}));

const evaluationSchema = z.strictObject({
  itemsPerEpisode: count.default(8).describe("Fixed clips of each held-out episode (1: the paper's protocol)"),
  maxItems: count.nullable().default(null).describe("At most so many clips; null: all"),
  samples: count.default(1).describe("Answers a clip; above 1 the best of them is reported as well (best-of-N)"),
  temperature: rate.default(1).describe("Sampling temperature"),
  topK: z.int().min(0).default(100).describe("Sample among the k likeliest tokens; 0: all"),
  topP: fraction.gt(0).default(1).describe("Sample within this probability mass"),
  rejectRepeating: z.boolean().default(false).describe("Sample again while an answer repeats the frame before"),
  ...onlyWith("rejectRepeating=true", {
    maxAttempts: count.default(20).describe("Samplings of an answer that repeats, until one is kept all the same"),
  }),
  baselineAnswers: z.int().min(0).default(16).describe(
    "Answers a clip for a run's cheap baselines (nearest and median of them, best temperature); 0: none",
  ),
  ...onlyWith("baselineAnswers≠0", {
    baselineClips: count.default(64).describe("Clips on which the baselines' temperature is chosen"),
  }),
  every: z.int().min(0).default(0).describe(
    "GRPO steps between evaluations on some held-out clips; 0: only at the end",
  ),
  metrics: z.array(z.enum(["mae", "mse", "psnr", "ssim", "lpips"])).default(["mae", "mse", "psnr", "ssim"])
    .describe("Metrics of the table"),
  gifs: z.int().min(0).default(6).describe("Clips shown in the report"),
  ...onlyWith(
    "data.prediction=single-step",
    onlyWith("gifs≠0", {
      gifFrames: count.default(12).describe("Frames of each"),
    }),
  ),
});

const lpipsSchema = z.strictObject({
  vgg: z.string().nullable().default(null).describe("VGG16 weights (torchvision's .pth or .safetensors)"),
  linear: z.string().nullable().default(null).describe("LPIPS linear weights (vgg.pth or .safetensors)"),
});

/** Every field; `config_type.ts` is written out from it. */
export const robotVideoSchema = z.strictObject({
  ...RUN_FIELDS,
  data: dataSchema.prefault({}),
  tokenizer: tokenizerSchema.prefault({}),
  model: modelSchema.prefault({}),
  likelihood: likelihoodSchema.prefault({}),
  grpo: grpoSchema.prefault({}),
  control: controlSchema.prefault({}),
  evaluation: evaluationSchema.prefault({}),
  lpips: lpipsSchema.prefault({}),
  ...withDefaults(STEP_FIELDS, { checkpointEvery: 200 }),
});

/** What the command and its documentation are made from. */
export const ROBOT_VIDEO: ConfigSpec<typeof robotVideoSchema> = {
  schema: robotVideoSchema,
  presets: ROBOT_VIDEO_PRESETS,
  complete: completeGrpo,
  mayChange: [...changeable(["tokenizer", "likelihood", "grpo"]), "control"],
};

/**
 * What a configuration is used for: to train (and to evaluate what was trained), to evaluate trained models, or to predict with
 * them. Only what that use needs is checked and opened: a released model is evaluated without the weights of its training loss.
 *
 * @internal
 */
export type RobotVideoUse = "training" | "evaluation" | "prediction";

/**
 * Builds a checked configuration: the defaults, then the preset, then `overrides`.
 *
 * @param overrides Nested plain values, such as `{ grpo: { steps: 10 } }`.
 * @param use What it is for; training when left out. Conditions between fields that it does not read are not checked.
 * @throws {UserError} Naming the unknown preset, or each field that is unknown or out of range with its value.
 */
export function robotVideoConfig(
  preset = "demo",
  overrides: Record<string, unknown> = {},
  use: RobotVideoUse = "training",
): RobotVideoConfig {
  const config = checkedConfig(ROBOT_VIDEO, preset, overrides);
  checkFolders(config);
  if (use === "training") checkTraining(config);
  checkLpips(config, use);
  return config;
}

/** Metrics of the table and of the reward: what a run reports of its models. */
export function reportedMetrics({ grpo, evaluation }: RobotVideoConfig): RobotVideoConfig["evaluation"]["metrics"] {
  const rewarded = grpo.reward.map(({ metric }) => metric).filter((metric) => metric !== "repetition");
  return [...new Set([...rewarded, ...evaluation.metrics])];
}

/** Fields that ask for LPIPS in some use, by name. */
export function lpipsUsers({ tokenizer, grpo, evaluation }: RobotVideoConfig, use: RobotVideoUse): string[] {
  const trains = use === "training";
  const users = {
    "tokenizer.lpipsWeight": trains && tokenizer.folder === null && tokenizer.lpipsWeight > 0,
    "grpo.reward": trains && grpo.reward.some(({ metric }) => metric === "lpips"),
    "evaluation.metrics": use !== "prediction" && evaluation.metrics.includes("lpips"),
  };
  return Object.entries(users).filter(([, asks]) => asks).map(([field]) => field);
}

function checkLpips(config: RobotVideoConfig, use: RobotVideoUse): void {
  const users = lpipsUsers(config, use), { vgg, linear } = config.lpips;
  if (users.length === 0 || (vgg && linear)) return;
  const others = JSON.stringify(config.evaluation.metrics.filter((metric) => metric !== "lpips"));
  throw new UserError(
    `${users.join(" and ")} ${users.length > 1 ? "use" : "uses"} LPIPS, which needs its weights: pass ` +
      `--set lpips.vgg=FILE --set lpips.linear=FILE (README, "LPIPS weights"), or leave LPIPS out` +
      (use === "evaluation" ? ` with --set 'evaluation.metrics=${others}'` : ""),
  );
}

function checkFolders({ model, tokenizer }: RobotVideoConfig): void {
  if (model.folder === null || tokenizer.folder !== null) return;
  throw new UserError(
    `model.folder is ${model.folder}, but there is no tokenizer.folder: a transformer needs the tokenizer that it was ` +
      `trained with (--tokenizer FOLDER)`,
  );
}

/** Conditions between fields that are read in training. */
function checkTraining({ data, grpo, model, tokenizer }: RobotVideoConfig): void {
  if (model.folder === null) checkModelSizes(model);
  if (tokenizer.folder === null && tokenizer.warmupSteps >= tokenizer.steps) {
    throw new UserError(
      `tokenizer.warmupSteps ${tokenizer.warmupSteps} must be below tokenizer.steps ${tokenizer.steps}: change one of them`,
    );
  }
  const isRandom = tokenizer.folder === null && data.prediction === "multi-step" && tokenizer.frameChoice === "random";
  if (isRandom && tokenizer.horizon <= tokenizer.laterFrames) {
    throw new UserError(
      `tokenizer.horizon ${tokenizer.horizon} must exceed tokenizer.laterFrames ${tokenizer.laterFrames}, which are ` +
        `chosen from it: change one of them`,
    );
  }
  if (data.prediction === "single-step" && grpo.credit === "frame") {
    throw new UserError(
      'grpo.credit "frame" is for several frames: set data.prediction to multi-step, or leave it out',
    );
  }
  checkCredit(grpo);
  const indivisible = grpo.reward.find(({ metric }) => !["mae", "mse", "repetition"].includes(metric));
  if (grpo.credit === "patch" && indivisible) {
    throw new UserError(
      `grpo.credit "patch" is for rewards that are sums over pixels, mae and mse, which ${indivisible.metric} is not: ` +
        `take another reward, or set grpo.credit=answer`,
    );
  }
  if (data.prediction === "single-step" && grpo.reward.some((term) => term.metric === "repetition")) {
    throw new UserError(
      `grpo.reward: repetition is about frames that follow each other, and one is predicted: leave it out, or set ` +
        `data.prediction=multi-step`,
    );
  }
  checkMiniBatches(grpo);
}
