/**
 * What experiments with language models are configured by: the fields that mean the same for text games and web pages, each
 * with the default that an experiment gives it.
 */
import { z } from "zod";
import { UserError } from "../../base/user_error.ts";
import type { BpePattern } from "../../models/bpe_trainer.ts";
import type { GrpoFields } from "../../train/grpo_options.ts";
import type { RecipeConfig } from "../../runs/recipe.ts";
import { changeable } from "../../runs/settings.ts";
import { GRPO_FIELDS } from "../../train/grpo_options.ts";
import { onlyWith, withDefaults } from "../../runs/fields.ts";
import {
  checkMiniBatches,
  checkModelSizes,
  COMPUTE_TYPE,
  count,
  LIKELIHOOD_FIELDS,
  MODEL_FIELDS,
  rate,
} from "../common_fields.ts";
import type { LanguageLikelihoodFields, LanguageModelFields, LanguageTokenizerFields } from "./field_types.ts";

/** Of a resumed run, beside what a fresh one of any recipe may change: who samples. */
export const LANGUAGE_MAY_CHANGE: readonly string[] = [
  ...changeable(["likelihood", "grpo"]),
  "grpo.rollouts",
  "grpo.rolloutModel",
];

/**
 * The vocabulary that is trained where there is no model. @param pattern How an experiment's demo cuts text.
 *
 * @internal
 */
export function languageTokenizerSchema(pattern: BpePattern) {
  return z.strictObject(onlyWith("model.folder=null", {
    vocabularySize: z.int().min(300).default(1024).describe(
      "Tokens of the byte-pair vocabulary that is trained without a model",
    ),
    pattern: z.enum(["words", "long", "code", "items"]).default(pattern).describe("How text is cut before merging"),
  }));
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
    ...onlyWith("folder=null", withDefaults(MODEL_FIELDS, { initializerRange: 0.12, ...defaults })),
    computeType: COMPUTE_TYPE,
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
  const { steps, ...others } = defaults;
  return z.strictObject({
    steps: z.int().min(0).default(steps).describe("Training steps; 0: the model is good enough already"),
    ...onlyWith("steps≠0", {
      trainsQuestions: z.boolean().default(false).describe("Learn the prompts' tokens as well, not as published"),
      ...withDefaults(LIKELIHOOD_FIELDS, { weightDecay: 0.01, ...others }),
    }),
  });
}

/** GRPO's fields, and those of language models alone. @param defaults Of the fields that each demo chooses. */
export function languageGrpoFields(defaults: Partial<GrpoFields>) {
  return {
    ...withDefaults(GRPO_FIELDS, { entropyCoefficient: 0.001, rolloutRows: 256, ...defaults }),
    ...onlyWith("model.lora≠null", {
      adapters: z.boolean().default(true).describe(
        "With model.lora: train adapters in this stage too; false: all weights (the paper)",
      ),
    }),
    rollouts: z.string().nullable().default(null).describe(
      "A server of OpenAI's completions interface that samples; null: here",
    ),
    ...onlyWith("rollouts≠null", {
      rolloutModel: z.string().nullable().default(null).describe("Name of the model there; null: the only one it has"),
    }),
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
  checkModelSizes(model);
  checkMiniBatches(grpo);
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
