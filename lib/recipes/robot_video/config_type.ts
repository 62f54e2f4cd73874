/**
 * Written by `deno task docs` from the schemas of `recipes/robot_video/config.ts`, where every field is declared:
 * change it there.
 */

/**
 * A checked configuration of robot video, as `robotVideoConfig` makes it. Defaults are those of the preset
 * `demo`.
 */
export interface RobotVideoConfig {
  /** Name of the preset that the values started from. @default {"demo"} */
  preset: string;
  /** Seed of every random number. @default {0} */
  seed: number;
  /** Episodes or transitions to train with and to judge by. */
  data: {
    /** Folder of episode .npz files; null: the built-in table-top robot. @default {null} */
    folder: string | null;
    /** Key of the frames, [T, H, W, 3]: uint8, or floats in 0..1. @default {"image"} */
    imageKey: string;
    /** Key of the actions, [T, A]. @default {"action"} */
    actionKey: string;
    /** Frames are resized to this height; null: as they are. @default {32} */
    height: number | null;
    /** Frames are resized to this width; null: as they are. @default {32} */
    width: number | null;
    /** Ranges of the action bins. @default {"rt1"} */
    actionRanges: "rt1" | "computed";
    /** Bins of each action dimension. @default {256} */
    actionBins: number;
    /** One frame after some, or several after one with the actions between. @default {"single-step"} */
    prediction: "single-step" | "multi-step";
    /** Single-step: past frames (and actions) in the question. @default {1} */
    history: number;
    /** Multi-step: frames of a clip, the first given and the others predicted. @default {8} */
    frames: number;
    /** Multi-step: how long before a clip its context frame may lie. @default {15} */
    contextReach: number;
    /** Episode frames from one frame of a clip to the next. @default {1} */
    frameStep: number;
    /** What becomes of episodes shorter than a clip. @default {"repeat"} */
    shortEpisodes: "repeat" | "drop" | "refuse";
    /** Vary the colours of training clips, as the released code does. @default {false} */
    augment: boolean;
    /** Every so many episodes, one is held out. @default {8} */
    testEvery: number;
    /** Evaluate every testEvery-th episode, or all: of data that the model was not trained on. @default {"split"} */
    heldOut: "split" | "all";
    /** Built-in data: number of episodes. @default {160} */
    episodes: number;
    /** Built-in data: frames of an episode. @default {40} */
    episodeLength: number;
    /** Built-in data: objects on the table. @default {2} */
    objects: number;
    /** Built-in data: the robot keeps busy, or attempts the tasks of policies. @default {"busy"} */
    behaviour: "busy" | "tasks";
    /** Built-in data: whether the table has a drawer (for tasks always). @default {false} */
    drawer: boolean;
    /** Built-in data: whether a zone is painted on it (for tasks always). @default {false} */
    zone: boolean;
    /** Built-in data: chance that an object slips. @default {0} */
    slip: number;
  };
  /** The tokenizer: a given one, or the sizes and the training of a new one. */
  tokenizer: {
    /** A trained tokenizer (config.json, safetensors); null: train one. @default {null} */
    folder: string | null;
    /** Channels of each block. @default {[64]} */
    channels: number[];
    /** Residual blocks a block. @default {1} */
    layersPerBlock: number;
    /** Channels between encoder and quantizer. @default {32} */
    latentChannels: number;
    /** Groups of the group normalization. @default {8} */
    normGroups: number;
    /** What is normalized together: all positions (released models), or each on its own. @default {"position"} */
    normScope: "image" | "position";
    /** Values of each dimension of a code. @default {[7,5,5,5]} */
    fsqLevels: number[];
    /** Multi-step: the same of the context frame's codes. @default {[7,5,5,5]} */
    contextLevels: number[];
    /** Self-attention at the lowest resolution. @default {false} */
    midAttention: boolean;
    /** Multi-step: the same in the context frame's networks. @default {false} */
    contextMidAttention: boolean;
    /** Multi-step: side of the latent squares that are one token of a later frame. @default {2} */
    patchSize: number;
    /** Multi-step: feature maps of at most so many rows see the context frame's. @default {32} */
    maxAttentionResolution: number;
    /** Multi-step: heads of that attention. @default {4} */
    attentionHeads: number;
    /** Multi-step: dropout of that attention in training. @default {0} */
    attentionDropout: number;
    /** How often the resolution is halved. @default {0} */
    downsamplings: number;
    /** Side of the pixel squares that the first convolution sees as one; 1 in released models. @default {4} */
    pixelPatch: number;
    /** Tokens say how a frame differs from the mean training frame (fixed cameras). @default {true} */
    background: boolean;
    /** How much larger than PyTorch's the first weights before the quantizer are. @default {4} */
    codeGain: number;
    /** Training steps. @default {500} */
    steps: number;
    /** Frames a step; multi-step: clips. @default {16} */
    batch: number;
    /** Crop and stretch training frames a little and vary their colours (released). @default {false} */
    augment: boolean;
    /** Multi-step: frames of a training clip beside its context frame. @default {7} */
    laterFrames: number;
    /** Multi-step: the frames after the context, or any of the horizon (paper). @default {"contiguous"} */
    frameChoice: "contiguous" | "random";
    /** Multi-step: frames of an episode from which random ones are chosen. @default {32} */
    horizon: number;
    /** Peak learning rate. @default {0.004} */
    learningRate: number;
    /** Steps of linear warm-up. @default {50} */
    warmupSteps: number;
    /** Bound of the gradient's norm. @default {1} */
    maxGradientNorm: number;
    /** Decay of AdamW's second moment. @default {0.99} */
    beta2: number;
    /** Weight of the distance between what is quantized and its code. @default {0.02} */
    roundingWeight: number;
    /** Weight of a term that keeps latents apart, should every place get one code. @default {0} */
    latentSpreadWeight: number;
    /** Weight of the squared error beside the absolute one. @default {10} */
    mseWeight: number;
    /** Weight of LPIPS (needs lpips.vgg and lpips.linear). @default {0} */
    lpipsWeight: number;
    /** Weight of the discriminator; 0: there is none. @default {0} */
    adversarialWeight: number;
    /** Step from which the discriminator counts. @default {10000} */
    adversarialStart: number;
  };
  /** The transformer: a given one, or the sizes of a new one. */
  model: {
    /** A trained transformer (config.json, safetensors); null: train one. @default {null} */
    folder: string | null;
    /** Width. @default {128} */
    hiddenSize: number;
    /** Layers. @default {3} */
    layers: number;
    /** Attention heads. @default {4} */
    heads: number;
    /** Width of the SwiGLU layer. @default {384} */
    intermediateSize: number;
    /** Standard deviation of new weights (0.02 in released models). @default {0.1} */
    initializerRange: number;
    /** Type of the activations (bfloat16: torch only). @default {"float32"} */
    computeType: "float32" | "bfloat16";
  };
  /** Likelihood training. */
  likelihood: {
    /** Training steps. @default {550} */
    steps: number;
    /** Sequences a step. @default {16} */
    batch: number;
    /** Sequences computed at once. @default {16} */
    microBatch: number;
    /** Learning rate after the warm-up. @default {0.003} */
    learningRate: number;
    /** Decay of AdamW's second moment. @default {0.95} */
    beta2: number;
    /** Steps of linear warm-up. @default {50} */
    warmupSteps: number;
    /** Last steps, over which the rate falls linearly to 0; 0: it stays. @default {200} */
    decaySteps: number;
    /** AdamW's decoupled weight decay. @default {0} */
    weightDecay: number;
    /** Bound of the gradient's norm. @default {1} */
    maxGradientNorm: number;
  };
  /** Training by GRPO. */
  grpo: {
    /** GRPO steps. @default {55} */
    steps: number;
    /** Prompts P of a step. @default {8} */
    promptsPerStep: number;
    /** Answers G a prompt. @default {16} */
    groupSize: number;
    /** Prompts of one optimizer update. @default {8} */
    miniBatchPrompts: number;
    /** Prompts computed at once. @default {8} */
    microBatchPrompts: number;
    /** Passes over a step's rollouts. @default {1} */
    epochs: number;
    /** Learning rate. @default {0.0007} */
    learningRate: number;
    /** Last steps, over which it falls linearly to 0; 0: it stays, as in the paper. @default {30} */
    decaySteps: number;
    /** AdamW's decoupled weight decay. @default {0.01} */
    weightDecay: number;
    /** Bound of the gradient's norm. @default {1} */
    maxGradientNorm: number;
    /** Sampling temperature of the rollouts. @default {1} */
    temperature: number;
    /** Sample the rollouts among the k likeliest tokens; 0: all. @default {0} */
    topK: number;
    /** How advantages are scaled. @default {"group-std"} */
    advantageScale: "group-std" | "uniform-std" | "none" | "best";
    /** The policy's loss. @default {"dual-clip"} */
    loss: string;
    /** ε_low: a ratio counts as at least 1 − ε_low. @default {0.2} */
    clipLow: number;
    /** ε_high: as at most 1 + ε_high (DAPO: above clipLow). @default {0.2} */
    clipHigh: number;
    /** With loss dual-clip: bound c of bad answers' losses, −A·c. @default {3} */
    dualClip: number;
    /** Estimator of the divergence from the reference. @default {"k3"} */
    kl: "none" | "k1" | "k2" | "k3";
    /** Its weight; 0: no reference model is kept. @default {0.001} */
    klCoefficient: number;
    /** Weight of the entropy bonus. @default {0} */
    entropyCoefficient: number;
    /** What the loss is divided by (paper's Eq. 1: sequence-mean). @default {"token-mean"} */
    denominator: "token-mean" | "sequence-mean" | "fixed-length";
    /** Leave groups of equal rewards out of the update. @default {false} */
    dropEqualGroups: boolean;
    /** Compute a group's question once in the update. @default {true} */
    sharePrompt: boolean;
    /** Answers sampled at once. @default {512} */
    rolloutRows: number;
    /** Weighted metrics. @default {[{"metric":"mae","weight":1}]} */
    reward: {
      /** Name of the metric. */
      metric: "mae" | "mse" | "psnr" | "ssim" | "lpips" | "repetition";
      /** How much it counts; positive. */
      weight: number;
    }[];
    /** Multi-step: how a metric's values of the predicted frames become one. @default {"mean"} */
    aggregate: "mean" | "last" | "discount";
    /** A token's reward: the answer's (the paper), its and later frames', or patches'. @default {"answer"} */
    credit: "answer" | "frame" | "patch";
    /** With credit frame or patch: what comes later counts so much less for each part between. @default {1} */
    creditDiscount: number;
    /** Answers decoded and scored at once. @default {256} */
    scoreRows: number;
  };
  /** The control: likelihood training that goes on for as long as GRPO took. */
  control: {
    /** Continue likelihood training for as long as GRPO took: what RLVR is compared with. @default {true} */
    enabled: boolean;
    /** Steps of it; null: as many as fit into GRPO's time. @default {null} */
    steps: number | null;
  };
  /** What is judged, and how answers are drawn for it. */
  evaluation: {
    /** Fixed clips of each held-out episode (1: the paper's protocol). @default {8} */
    itemsPerEpisode: number;
    /** At most so many clips; null: all. @default {null} */
    maxItems: number | null;
    /** Answers a clip; above 1 the best of them is reported as well (best-of-N). @default {1} */
    samples: number;
    /** Sampling temperature. @default {1} */
    temperature: number;
    /** Sample among the k likeliest tokens; 0: all. @default {100} */
    topK: number;
    /** Sample within this probability mass. @default {1} */
    topP: number;
    /** Sample again while an answer repeats the frame before. @default {false} */
    rejectRepeating: boolean;
    /** Samplings of an answer that repeats, until one is kept all the same. @default {20} */
    maxAttempts: number;
    /**
     * Answers a clip for a run's cheap baselines (nearest and median of them, best temperature); 0: none.
     * @default {16}
     */
    baselineAnswers: number;
    /** Clips on which the baselines' temperature is chosen. @default {64} */
    baselineClips: number;
    /** GRPO steps between evaluations on some held-out clips; 0: only at the end. @default {0} */
    every: number;
    /** Metrics of the table. @default {["mae","mse","psnr","ssim"]} */
    metrics: ("mae" | "mse" | "psnr" | "ssim" | "lpips")[];
    /** Clips shown in the report. @default {6} */
    gifs: number;
    /** Frames of each. @default {12} */
    gifFrames: number;
  };
  /** Files of LPIPS' weights. */
  lpips: {
    /** VGG16 weights (torchvision's .pth or .safetensors). @default {null} */
    vgg: string | null;
    /** LPIPS linear weights (vgg.pth or .safetensors). @default {null} */
    linear: string | null;
  };
  /** Steps between checkpoints. @default {200} */
  checkpointEvery: number;
  /** Tokens whose logits exist at once. @default {4096} */
  logitChunk: number;
}
