/**
 * Written by `deno task docs` from the schemas of `recipes/web_page/config.ts`, where every field is declared:
 * change it there.
 */

/** A checked configuration of web pages, as `webPageConfig` makes it. Defaults are those of the preset `demo`. */
export interface WebPageConfig {
  /** Name of the preset that the values started from. @default {"demo"} */
  preset: string;
  /** Seed of every random number. @default {0} */
  seed: number;
  /** Episodes or transitions to train with and to judge by. */
  data: {
    /** Transitions to train with (.parquet); null: walks through the built-in site. @default {null} */
    train: string | null;
    /** Transitions to judge by; null: a part of the training file. @default {null} */
    test: string | null;
    /** Whether one bad row ends the run; otherwise it is skipped and counted. @default {false} */
    strict: boolean;
    /** Every so many tasks of a training file, one is held out, without a test file. @default {10} */
    testEvery: number;
    /** Form of prompts; given: the file's own. @default {"compact"} */
    prompt: "compact" | "instructions" | "given";
    /** What is imitated: the changes alone, or a file's answers with their reasoning. @default {"changes"} */
    target: "changes" | "answer";
    /** Longer trees are cut at their end, as WebArena does (not in given prompts); null: none is. @default {null} */
    maxObservationTokens: number | null;
    /** Longer prompts are refused, or skipped where not data.strict. @default {384} */
    maxQuestionTokens: number;
    /** Answers are cut after so many tokens. @default {256} */
    maxAnswerTokens: number;
    /** Built-in data: shops to train in. @default {300} */
    sites: number;
    /** Built-in data: walks through each. @default {6} */
    walks: number;
    /** Built-in data: transitions of a walk. @default {6} */
    steps: number;
    /** Built-in data: other shops, to judge by: a walk through each. @default {60} */
    heldOutSites: number;
  };
  /** The tokenizer: a given one, or the sizes and the training of a new one. */
  tokenizer: {
    /** Tokens of the byte-pair vocabulary that is trained without a model. @default {1024} */
    vocabularySize: number;
    /** How text is cut before merging. @default {"items"} */
    pattern: "words" | "long" | "code" | "items";
  };
  /** The transformer: a given one, or the sizes of a new one. */
  model: {
    /**
     * A language model as transformers saves it, a PEFT adapter, or hub:org/name; null: a new small one.
     * @default {null}
     */
    folder: string | null;
    /** Width. @default {96} */
    hiddenSize: number;
    /** Layers. @default {3} */
    layers: number;
    /** Attention heads. @default {3} */
    heads: number;
    /** Width of the SwiGLU layer. @default {256} */
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
    /** Training steps; 0: the model is good enough already. @default {800} */
    steps: number;
    /** Learn the prompts' tokens as well, not as published. @default {false} */
    trainsQuestions: boolean;
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
    /** Last steps, over which the rate falls linearly to 0; 0: it stays. @default {400} */
    decaySteps: number;
    /** AdamW's decoupled weight decay. @default {0.01} */
    weightDecay: number;
    /** Bound of the gradient's norm. @default {1} */
    maxGradientNorm: number;
  };
  /** Training by GRPO. */
  grpo: {
    /** GRPO steps. @default {100} */
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
    /** Learning rate. @default {0.0002} */
    learningRate: number;
    /** Last steps, over which it falls linearly to 0; 0: it stays, as in the paper. @default {50} */
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
    /** What the loss is divided by (paper's Eq. 1: sequence-mean). @default {"sequence-mean"} */
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
    /** Score as released: text of the end token spoils the last item. @default {false} */
    keepEndOfSequence: boolean;
    /** A token's reward: the answer's F1 (the paper), or what its and later lines add to it. @default {"item"} */
    credit: "answer" | "item";
    /** With credit item: a line's share counts so much less for each line before it. @default {0.7} */
    creditDiscount: number;
  };
  /** What is judged, and how answers are drawn for it. */
  evaluation: {
    /** At most so many held-out transitions, from all over them; null: all. @default {null} */
    maxItems: number | null;
    /** Answers sampled at once. @default {256} */
    rows: number;
    /** Answers drawn for each transition besides the greedy one; 0: none. @default {4} */
    sampledAnswers: number;
    /** Of the drawn answers. @default {1} */
    temperature: number;
    /** Likewise; the paper's agent asks with 0.95. @default {0.95} */
    topP: number;
    /** Answers shown in the report. @default {8} */
    samples: number;
  };
  /** Steps between checkpoints. @default {500} */
  checkpointEvery: number;
  /** Tokens whose logits exist at once. @default {4096} */
  logitChunk: number;
}
