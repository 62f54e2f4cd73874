/**
 * Named presets of the robot-video experiment. Numbers of `rt1-single-step` and `rt1-multi-step` are the released scripts'
 * (RLVR-World, App. B, Tables 5, 7, 8); the multi-step reward is the README command's, MAE and LPIPS, where the script's
 * default has MSE in MAE's place (`--set grpo.reward='[{"metric":"mse","weight":1},{"metric":"lpips","weight":1}]'`).
 */
import { mergeSettings, type Presets } from "../../runs/settings.ts";

/** What both multi-step demos change of the defaults. */
const DEMO_MULTI_STEP = {
  data: { prediction: "multi-step", frames: 5, contextReach: 15, behaviour: "tasks", objects: 1, episodes: 800 },
  tokenizer: {
    channels: [96],
    fsqLevels: [7, 5, 5, 5, 5],
    patchSize: 2,
    laterFrames: 4,
    batch: 6,
    frameChoice: "random",
    horizon: 24,
    steps: 1200,
    learningRate: 3e-3,
  },
  likelihood: { steps: 2000, batch: 8, microBatch: 8, decaySteps: 1000 },
  // The reward of several frames is noisier than that of one: credited by patch, in more and smaller groups, at a lower rate, and drawn
  // as the evaluation draws, so that GRPO is not spent on what is never sampled there.
  grpo: {
    steps: 84,
    decaySteps: 40,
    learningRate: 5e-4,
    credit: "patch",
    creditDiscount: 0.5,
    topK: 100,
    promptsPerStep: 16,
    groupSize: 8,
    miniBatchPrompts: 16,
    microBatchPrompts: 16,
  },
  // Minutes are few: they go into the likelihood model, which policies are judged in, rather than into a control.
  control: { enabled: false },
  // Several frames are drawn one after the other: half as many answers as the single step's baselines have.
  evaluation: { maxItems: 240, baselineAnswers: 8 },
};

/** Values that both of the paper's experiments on RT-1 share. */
const RT1 = {
  data: { height: 256, width: 320, actionRanges: "rt1", augment: true, testEvery: 100 },
  tokenizer: {
    layersPerBlock: 2,
    latentChannels: 64,
    normGroups: 32,
    fsqLevels: [7, 5, 5, 5, 5],
    midAttention: true,
    pixelPatch: 1,
    background: false,
    normScope: "image",
    roundingWeight: 0,
    codeGain: 1,
    beta2: 0.999,
    mseWeight: 0,
    augment: true,
    learningRate: 5e-4,
    warmupSteps: 5000,
    lpipsWeight: 1,
    adversarialWeight: 0.1,
    adversarialStart: 10_000,
  },
  model: {
    hiddenSize: 768,
    layers: 12,
    heads: 12,
    intermediateSize: 3072,
    initializerRange: 0.02,
    computeType: "bfloat16",
  },
  likelihood: {
    batch: 32,
    microBatch: 32,
    learningRate: 5e-5,
    beta2: 0.999,
    warmupSteps: 5000,
    decaySteps: 0,
    weightDecay: 0,
  },
  grpo: {
    steps: 200,
    promptsPerStep: 128,
    groupSize: 16,
    miniBatchPrompts: 32,
    microBatchPrompts: 1,
    learningRate: 5e-5,
    decaySteps: 0,
    reward: [{ metric: "mae", weight: 1 }, { metric: "lpips", weight: 1 }],
    rolloutRows: 2048,
    scoreRows: 64,
  },
  control: { enabled: false },
  evaluation: { itemsPerEpisode: 1, metrics: ["mae", "mse", "psnr", "ssim", "lpips"] },
  checkpointEvery: 10_000,
};

/** What each preset changes of the defaults. */
export const ROBOT_VIDEO_PRESETS: Presets = {
  demo: {
    description: "Built-in table-top robot at 32×32, minutes on two cores",
    values: {},
  },
  "demo-64": {
    description: "Episodes of any action width at 64×64 (such as Meta-World), half an hour on two cores",
    values: {
      data: { height: 64, width: 64, actionRanges: "computed", testEvery: 6 },
      tokenizer: { channels: [96], pixelPatch: 8, steps: 1000 },
      model: { hiddenSize: 192, layers: 4, heads: 6, intermediateSize: 512, initializerRange: 0.07 },
      likelihood: { steps: 1000, learningRate: 2e-3, decaySteps: 400 },
      grpo: { steps: 60, learningRate: 5e-4 },
    },
  },
  "demo-multi-step": {
    description: "Several frames ahead with the actions between, built-in robot at 32×32, minutes on two cores",
    values: DEMO_MULTI_STEP,
  },
  "demo-policies": {
    description: "The same, to judge policies in: a token is credited with all frames from its own on",
    values: mergeSettings(DEMO_MULTI_STEP, { grpo: { credit: "frame", creditDiscount: 1 } }),
  },
  "demo-multi-step-64": {
    description: "The same for episodes of any action width at 64×64 (such as Meta-World), half an hour on two cores",
    values: mergeSettings(DEMO_MULTI_STEP, {
      data: { height: 64, width: 64, actionRanges: "computed", testEvery: 6 },
      tokenizer: { pixelPatch: 8, steps: 1000 },
      model: { hiddenSize: 192, layers: 4, heads: 6, intermediateSize: 512, initializerRange: 0.07 },
      likelihood: { learningRate: 2e-3 },
      grpo: { steps: 60 },
    }),
  },
  "rt1-single-step": {
    description: "The paper's single-step experiment on RT-1 (one large GPU; LPIPS weights needed)",
    values: mergeSettings(RT1, {
      data: { history: 4 },
      tokenizer: { channels: [128, 256, 256, 512, 768], downsamplings: 4, steps: 500_000, batch: 128 },
      likelihood: { steps: 990_000 },
    }),
  },
  "rt1-multi-step": {
    description: "The paper's multi-step experiment on RT-1 (one large GPU; LPIPS weights needed)",
    values: mergeSettings(RT1, {
      data: { prediction: "multi-step", frames: 8, contextReach: 15 },
      tokenizer: {
        channels: [128, 256, 256, 512],
        downsamplings: 3,
        contextLevels: [7, 5, 5, 5, 5],
        contextMidAttention: false,
        patchSize: 4,
        maxAttentionResolution: 32,
        attentionHeads: 4,
        attentionDropout: 0.1,
        steps: 600_000,
        batch: 16,
        laterFrames: 7,
        frameChoice: "contiguous",
      },
      likelihood: { steps: 450_000 },
      grpo: { aggregate: "mean" },
    }),
  },
};
