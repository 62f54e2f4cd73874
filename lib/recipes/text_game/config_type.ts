/**
 * Written by `deno task docs` from the schemas of `recipes/text_game/config.ts`, where every field is declared:
 * change it there.
 */

/** A checked configuration of text games, as `textGameConfig` makes it. Defaults are those of the preset `demo`. */
export interface TextGameConfig {
  /** Name of the preset that the values started from. @default {"demo"} */
  preset: string;
  /** Seed of every random number. @default {0} */
  seed: number;
  /** Episodes or transitions to train with and to judge by. */
  data: {
    /** Transitions to train with (.jsonl, .jsonl.gz, .parquet); null: the built-in games. @default {null} */
    train: string | null;
    /** Transitions to judge by; null: a part of the training file. @default {null} */
    test: string | null;
    /** Parquet with responses to imitate (generated_cot); null: the true differences. @default {null} */
    imitation: string | null;
    /** Whether one bad row ends the run; otherwise it is skipped and counted. @default {false} */
    strict: boolean;
    /** Every so many rows of a training file, one is held out, without a test file. @default {10} */
    testEvery: number;
    /** Form of prompts that are built here. @default {"compact"} */
    prompt: "compact" | "instructions";
    /** Folder with object_, action_ and score_rules.json for prompts. @default {null} */
    rules: string | null;
    /** Differences to imitate: as released (added objects are garbled), or right. @default {"strict"} */
    targets: "released" | "strict";
    /** Longer prompts are refused, or skipped where not data.strict. @default {512} */
    maxQuestionTokens: number;
    /** Answers are cut after so many tokens. @default {160} */
    maxAnswerTokens: number;
    /** Built-in data: names of the games; null: all thirteen. @default {["boil-tea","wash-dishes","wire-lamp"]} */
    games: string[] | null;
    /** Built-in data: training transitions of each game. @default {12000} */
    perGame: number;
    /** Built-in data: held-out transitions of each game. @default {80} */
    heldOutPerGame: number;
    /** Built-in data: share of transitions that change something. @default {0.6} */
    changedShare: number | null;
  };
  /** The tokenizer: a given one, or the sizes and the training of a new one. */
  tokenizer: {
    /** Tokens of the byte-pair vocabulary that is trained without a model. @default {1024} */
    vocabularySize: number;
    /** How text is cut before merging. @default {"code"} */
    pattern: "words" | "long" | "code" | "items";
  };
  /** The transformer: a given one, or the sizes of a new one. */
  model: {
    /**
     * A language model as transformers saves it, a PEFT adapter, or hub:org/name; null: a new small one.
     * @default {null}
     */
    folder: string | null;
    /** Width. @default {64} */
    hiddenSize: number;
    /** Layers. @default {3} */
    layers: number;
    /** Attention heads. @default {2} */
    heads: number;
    /** Width of the SwiGLU layer. @default {192} */
    intermediateSize: number;
    /** Standard deviation of new weights (0.02 in released models). @default {0.12} */
    initializerRange: number;
    /** Type of the activations (bfloat16: torch only). @default {"float32"} */
    computeType: "float32" | "bfloat16";
    /** Type of frozen weights, with LoRA. @default {"float32"} */
    parameterType: "float32" | "bfloat16";
    /** Keep only what enters each block: less memory, a third more work. @default {false} */
    checkpointing: boolean;
    /** Train low-rank adapters; null: all weights. @default {null} */
    lora: {
      /** Rank r. @default {32} */
      rank: number;
      /** α: what the product is scaled by, over r. @default {16} */
      alpha: number;
      /** As in PEFT. @default {"all-linear"} */
      targets: "all-linear" | string[];
    } | null;
  };
  /** Likelihood training. */
  likelihood: {
    /** Training steps; 0: the model is good enough already. @default {3000} */
    steps: number;
    /** Learn the prompts' tokens as well, not as published. @default {false} */
    trainsQuestions: boolean;
    /** Sequences a step. @default {16} */
    batch: number;
    /** Sequences computed at once. @default {16} */
    microBatch: number;
    /** Learning rate after the warm-up. @default {0.004} */
    learningRate: number;
    /** Decay of AdamW's second moment. @default {0.95} */
    beta2: number;
    /** Steps of linear warm-up. @default {50} */
    warmupSteps: number;
    /** Last steps, over which the rate falls linearly to 0; 0: it stays. @default {1500} */
    decaySteps: number;
    /** AdamW's decoupled weight decay. @default {0.01} */
    weightDecay: number;
    /** Bound of the gradient's norm. @default {1} */
    maxGradientNorm: number;
  };
  /** Training by GRPO. */
  grpo: {
    /** One model is trained by each. @default {["binary","taskSpecific"]} */
    rewards: ("binary" | "taskSpecific")[];
    /** The released scorer (repairs as json_repair 0.61.7) or the one without its defects. @default {"strict"} */
    scoring: "released" | "strict";
    /** Rows without changed properties for each with. @default {{"binary":0.4,"taskSpecific":0.35}} */
    othersPerGold: {
      /** With the reward `binary`. */
      binary: number;
      /** With the reward `taskSpecific`. */
      taskSpecific: number;
    };
    /** GRPO steps. @default {140} */
    steps: number;
    /** Prompts P of a step. @default {16} */
    promptsPerStep: number;
    /** Answers G a prompt. @default {16} */
    groupSize: number;
    /** Prompts of one optimizer update. @default {16} */
    miniBatchPrompts: number;
    /** Prompts computed at once. @default {16} */
    microBatchPrompts: number;
    /** Passes over a step's rollouts. @default {1} */
    epochs: number;
    /** Learning rate. @default {0.0004} */
    learningRate: number;
    /** Last steps, over which it falls linearly to 0; 0: it stays, as in the paper. @default {70} */
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
    /** The policy's loss. @default {"clip"} */
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
    /** Weight of the entropy bonus. @default {0.001} */
    entropyCoefficient: number;
    /** What the loss is divided by (paper's Eq. 1: sequence-mean). @default {"token-mean"} */
    denominator: "token-mean" | "sequence-mean" | "fixed-length";
    /** Leave groups of equal rewards out of the update. @default {false} */
    dropEqualGroups: boolean;
    /** Compute a group's question once in the update. @default {true} */
    sharePrompt: boolean;
    /** Answers sampled at once. @default {256} */
    rolloutRows: number;
    /** With model.lora: train adapters in this stage too; false: all weights (the paper). @default {true} */
    adapters: boolean;
    /** A server of OpenAI's completions interface that samples; null: here. @default {null} */
    rollouts: string | null;
    /** Name of the model there; null: the only one it has. @default {null} */
    rolloutModel: string | null;
  };
  /** What is judged, and how answers are drawn for it. */
  evaluation: {
    /** At most so many held-out transitions, from all over them; null: all. @default {null} */
    maxItems: number | null;
    /** Answers sampled at once. @default {256} */
    rows: number;
    /** Answers drawn for each transition besides the greedy one; 0: none. @default {8} */
    sampledAnswers: number;
    /** Answers shown in the report. @default {8} */
    samples: number;
  };
  /** Steps between checkpoints. @default {500} */
  checkpointEvery: number;
  /** Tokens whose logits exist at once. @default {4096} */
  logitChunk: number;
}
