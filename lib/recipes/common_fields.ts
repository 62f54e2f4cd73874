/**
 * Fields that configurations of all recipes have, each declared here once; a recipe gives the defaults of its demo. GRPO's are the
 * trainer's own: `train/grpo_options.ts`.
 */
import { z } from "zod";
import { UserError } from "../base/user_error.ts";

/** A whole number from 1 on. */
export const count = z.int().min(1);
/** A number above 0. */
export const rate = z.number().positive();
/** A number from 0 to 1. */
export const fraction = z.number().min(0).max(1);

/** Fields of no section. */
export const RUN_FIELDS = {
  preset: z.string().default("demo").describe("Name of the preset that the values started from"),
  seed: z.int().min(0).default(0).describe("Seed of every random number"),
};

/** Those behind the sections. */
export const STEP_FIELDS = {
  checkpointEvery: count.default(500).describe("Steps between checkpoints"),
  logitChunk: count.default(4096).describe("Tokens whose logits exist at once"),
};

/** A new transformer. */
export const MODEL_FIELDS = {
  hiddenSize: count.default(128).describe("Width"),
  layers: count.default(3).describe("Layers"),
  heads: count.default(4).describe("Attention heads"),
  intermediateSize: count.default(384).describe("Width of the SwiGLU layer"),
  initializerRange: rate.default(0.1).describe("Standard deviation of new weights (0.02 in released models)"),
};

/** Its activations. */
export const COMPUTE_TYPE = z.enum(["float32", "bfloat16"]).default("float32").describe(
  "Type of the activations (bfloat16: torch only)",
);

/** Likelihood training, but for its number of steps. */
export const LIKELIHOOD_FIELDS = {
  batch: count.default(16).describe("Sequences a step"),
  microBatch: count.default(16).describe("Sequences computed at once"),
  learningRate: rate.default(3e-3).describe("Learning rate after the warm-up"),
  beta2: fraction.default(0.95).describe("Decay of AdamW's second moment"),
  warmupSteps: z.int().min(0).default(50).describe("Steps of linear warm-up"),
  decaySteps: z.int().min(0).default(200).describe("Last steps, over which the rate falls linearly to 0; 0: it stays"),
  weightDecay: z.number().min(0).default(0).describe("AdamW's decoupled weight decay"),
  maxGradientNorm: rate.default(1).describe("Bound of the gradient's norm"),
};

/** Credit by parts of an answer: what is passed on from later parts. */
export const CREDIT_DISCOUNT = z.number().gt(0).max(1).default(1).meta({ onlyWith: ["credit≠answer"] });

/** @throws {UserError} When heads of the width's size cannot be turned by rotary positions. */
export function checkModelSizes({ hiddenSize, heads }: { hiddenSize: number; heads: number }): void {
  if (hiddenSize % heads === 0 && (hiddenSize / heads) % 2 === 0) return;
  throw new UserError(
    `model.hiddenSize ${hiddenSize} must be an even multiple of model.heads ${heads}: change one of them`,
  );
}

/** @throws {UserError} When an update is to have more prompts than a step. */
export function checkMiniBatches(
  { miniBatchPrompts, promptsPerStep }: { miniBatchPrompts: number; promptsPerStep: number },
): void {
  if (miniBatchPrompts <= promptsPerStep) return;
  throw new UserError(
    `grpo.miniBatchPrompts ${miniBatchPrompts} exceeds grpo.promptsPerStep ${promptsPerStep}: lower it`,
  );
}
