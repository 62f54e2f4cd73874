/**
 * Written by `deno task docs` from the schemas of `recipes/language/fields.ts`, where every field is declared:
 * change it there.
 */

/** The vocabulary that is trained where no language model is given. */
export interface LanguageTokenizerFields {
  /** Tokens of the byte-pair vocabulary that is trained without a model. */
  vocabularySize: number;
  /** How text is cut before merging. */
  pattern: "words" | "long" | "code" | "items";
}

/** The language model: a given one, or the sizes of a new one. */
export interface LanguageModelFields {
  /** A language model as transformers saves it, a PEFT adapter, or hub:org/name; null: a new small one. */
  folder: string | null;
  /** Width. */
  hiddenSize: number;
  /** Layers. */
  layers: number;
  /** Attention heads. */
  heads: number;
  /** Width of the SwiGLU layer. */
  intermediateSize: number;
  /** Standard deviation of new weights (0.02 in released models). */
  initializerRange: number;
  /** Type of the activations (bfloat16: torch only). */
  computeType: "float32" | "bfloat16";
  /** Type of frozen weights, with LoRA. */
  parameterType: "float32" | "bfloat16";
  /** Keep only what enters each block: less memory, a third more work. */
  checkpointing: boolean;
  /** Train low-rank adapters; null: all weights. */
  lora: {
    /** Rank r. */
    rank: number;
    /** α: what the product is scaled by, over r. */
    alpha: number;
    /** As in PEFT. */
    targets: "all-linear" | string[];
  } | null;
}

/** Likelihood training of a language model. */
export interface LanguageLikelihoodFields {
  /** Training steps; 0: the model is good enough already. */
  steps: number;
  /** Learn the prompts' tokens as well, not as published. */
  trainsQuestions: boolean;
  /** Sequences a step. */
  batch: number;
  /** Sequences computed at once. */
  microBatch: number;
  /** Learning rate after the warm-up. */
  learningRate: number;
  /** Decay of AdamW's second moment. */
  beta2: number;
  /** Steps of linear warm-up. */
  warmupSteps: number;
  /** Last steps, over which the rate falls linearly to 0; 0: it stays. */
  decaySteps: number;
  /** AdamW's decoupled weight decay. */
  weightDecay: number;
  /** Bound of the gradient's norm. */
  maxGradientNorm: number;
}
