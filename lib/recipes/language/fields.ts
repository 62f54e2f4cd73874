/**
 * What experiments with language models are configured by: the fields that mean the same for text games and web pages, each
 * with the default that an experiment gives it.
 */
import { z } from "zod";
import { UserError } from "../../base/user_error.ts";
import type { BpePattern } from "../../models/bpe_trainer.ts";
import type { GrpoFields } from "../../train/grpo_options.ts";
import type { RecipeConfig } from "../../runs/recipe.ts";
import { grpoFields } from "../grpo_fields.ts";
import type { LanguageLikelihoodFields, LanguageModelFields, LanguageTokenizerFields } from "./field_types.ts";

const count = z.int().min(1);
const rate = z.number().positive();
const fraction = z.number().min(0).max(1);

/**
 * The vocabulary that is trained where there is no model. @param pattern How an experiment's demo cuts text.
 *
 * @internal
 */
export function languageTokenizerSchema(pattern: BpePattern) {
  return z.strictObject({
    vocabularySize: z.int().min(300).default(1024).describe(
      "Tokens of the byte-pair vocabulary that is trained without a model",
    ),
    pattern: z.enum(["words", "long", "code", "items"]).default(pattern).describe("How text is cut before merging"),
  });
}

const loraSchema = z.strictObject({
  rank: count.default(32).describe("Rank r"),
  alpha: rate.default(16).describe("α: what the product is scaled by, over r"),
  targets: z.union([z.literal("all-linear"), z.array(z.string()).min(1)]).default("all-linear").describe("As in PEFT"),
});

/**
 * The model: a given one, or the sizes of a new one. @param defaults Of the sizes that each experiment's demo chooses.
 *
 * @internal
 */
export function languageModelSchema(defaults: { hiddenSize: number; heads: number; intermediateSize: number }) {
  return z.strictObject({
    folder: z.string().nullable().default(null).describe(
      "A language model as transformers saves it, a PEFT adapter, or hub:org/name; null: a new small one",
    ),
    hiddenSize: count.default(defaults.hiddenSize).describe("Width"),
    layers: count.default(3).describe("Layers"),
    heads: count.default(defaults.heads).describe("Attention heads"),
    intermediateSize: count.default(defaults.intermediateSize).describe("Width of the SwiGLU layer"),
    initializerRange: rate.default(0.12).describe("Standard deviation of new weights"),
    computeType: z.enum(["float32", "bfloat16"]).default("float32").describe("Type of products (bfloat16: torch only)"),
    parameterType: z.enum(["float32", "bfloat16"]).default("float32").describe("Type of frozen weights, with LoRA"),
    checkpointing: z.boolean().default(false).describe(
      "Keep only what enters each block: less memory, a third more work",
    ),
    lora: loraSchema.nullable().default(null).describe("Train low-rank adapters; null: all weights"),
  });
}

/**
 * Likelihood training. @param defaults Of the fields that each experiment's demo chooses.
 *
 * @internal
 */
export function languageLikelihoodSchema(defaults: { steps: number; decaySteps: number; learningRate: number }) {
  return z.strictObject({
    steps: z.int().min(0).default(defaults.steps).describe("Training steps; 0: the model is good enough already"),
    trainsQuestions: z.boolean().default(false).describe("Learn the prompts' tokens as well, not as published"),
    batch: count.default(16).describe("Sequences a step"),
    microBatch: count.default(16).describe("Sequences computed at once"),
    learningRate: rate.default(defaults.learningRate).describe("Highest learning rate"),
    warmupSteps: z.int().min(0).default(50).describe("Steps of linear warm-up"),
    decaySteps: z.int().min(0).default(defaults.decaySteps).describe(
      "Last steps, over which the rate falls linearly to 0; 0: it stays",
    ),
    beta2: fraction.default(0.95).describe("Decay of AdamW's second moment"),
    weightDecay: z.number().min(0).default(0.01).describe("AdamW's decoupled weight decay"),
    maxGradientNorm: rate.default(1).describe("Bound of the gradient's norm"),
  });
}

/** GRPO's fields, and those of language models alone. @param defaults Of the fields that each demo chooses. */
export function languageGrpoFields(defaults: Parameters<typeof grpoFields>[0]) {
  return {
    ...grpoFields({ entropyCoefficient: 0.001, rolloutRows: 256, ...defaults }),
    adapters: z.boolean().default(true).describe(
      "With model.lora: train adapters in this stage too; false: all weights (the paper)",
    ),
    rollouts: z.string().nullable().default(null).describe(
      "A server of OpenAI's completions interface that samples; null: here",
    ),
    rolloutModel: z.string().nullable().default(null).describe("Name of the model there; null: the only one it has"),
  };
}

/** Fields that the experiments' shared code reads. */
export interface LanguageConfig extends RecipeConfig {
  /** Limits of prompts and answers. */
  readonly data: { readonly maxQuestionTokens: number; readonly maxAnswerTokens: number; readonly strict: boolean };
  /** The vocabulary that is trained where no model is given. */
  readonly tokenizer: LanguageTokenizerFields;
  /** How many held-out transitions are judged; null: all. */
  readonly evaluation: { readonly maxItems: number | null };
  /** The given model, or the sizes of a new one. */
  readonly model: LanguageModelFields;
  /** Likelihood training. */
  readonly likelihood: LanguageLikelihoodFields;
  /** GRPO: what all experiments have, and what concerns language models. */
  readonly grpo: GrpoFields & {
    readonly adapters: boolean;
    readonly rollouts: string | null;
    readonly rolloutModel: string | null;
  };
}

/**
 * What no single field can tell.
 *
 * @throws {UserError} When fields contradict each other.
 */
export function checkLanguageConfig({ model, grpo, likelihood }: LanguageConfig): void {
  if (model.hiddenSize % model.heads !== 0 || (model.hiddenSize / model.heads) % 2 !== 0) {
    throw new UserError(
      `model.hiddenSize ${model.hiddenSize} must be an even multiple of model.heads ${model.heads}: change one of them`,
    );
  }
  if (grpo.miniBatchPrompts > grpo.promptsPerStep) {
    throw new UserError(
      `grpo.miniBatchPrompts ${grpo.miniBatchPrompts} exceeds grpo.promptsPerStep ${grpo.promptsPerStep}: lower it`,
    );
  }
  if (likelihood.steps === 0 && model.folder === null) {
    throw new UserError(
      "likelihood.steps is 0, but there is no model.folder: a new model knows nothing yet (--model FOLDER)",
    );
  }
  if (model.parameterType === "bfloat16" && model.lora === null) {
    throw new UserError(
      "model.parameterType bfloat16 is for frozen weights: training all of them needs float32; set model.lora as well",
    );
  }
}
