/**
 * The configuration of the web-page experiment: every field with its meaning, its default, and the named presets.
 *
 * Defaults are the demo's; presets change what differs. Numbers of `webarena-1.5b` are the released scripts' (RLVR-World, App. B,
 * Table 5).
 */
import { z } from "zod";
import { checkCredit, completeGrpo } from "../grpo_fields.ts";
import { count, CREDIT_DISCOUNT, RUN_FIELDS, STEP_FIELDS } from "../common_fields.ts";
import {
  checkLanguageConfig,
  LANGUAGE_MAY_CHANGE,
  languageGrpoFields,
  languageLikelihoodSchema,
  languageModelSchema,
  languageTokenizerSchema,
} from "../language/fields.ts";
import { onlyWith } from "../../runs/fields.ts";
import { checkedConfig, type ConfigSpec, type Presets } from "../../runs/settings.ts";
import type { WebPageConfig } from "./config_type.ts";

export type { WebPageConfig } from "./config_type.ts";

const dataSchema = z.strictObject({
  train: z.string().nullable().default(null).describe(
    "Transitions to train with (.parquet); null: walks through the built-in site",
  ),
  test: z.string().nullable().default(null).describe("Transitions to judge by; null: a part of the training file"),
  strict: z.boolean().default(false).describe("Whether one bad row ends the run; otherwise it is skipped and counted"),
  ...onlyWith(
    "train≠null",
    onlyWith("test=null", {
      testEvery: z.int().min(2).default(10).describe(
        "Every so many tasks of a training file, one is held out, without a test file",
      ),
    }),
  ),
  prompt: z.enum(["compact", "instructions", "given"]).default("compact").describe(
    "Form of prompts; given: the file's own",
  ),
  ...onlyWith("train≠null", {
    target: z.enum(["changes", "answer"]).default("changes").describe(
      "What is imitated: the changes alone, or a file's answers with their reasoning",
    ),
  }),
  ...onlyWith("prompt≠given", {
    maxObservationTokens: count.nullable().default(null).describe(
      "Longer trees are cut at their end, as WebArena does (not in given prompts); null: none is",
    ),
  }),
  maxQuestionTokens: count.default(384).describe("Longer prompts are refused, or skipped where not data.strict"),
  maxAnswerTokens: count.default(256).describe("Answers are cut after so many tokens"),
  ...onlyWith("train=null", {
    sites: count.default(300).describe("Built-in data: shops to train in"),
    walks: count.default(6).describe("Built-in data: walks through each"),
    steps: count.default(6).describe("Built-in data: transitions of a walk"),
    heldOutSites: count.default(60).describe("Built-in data: other shops, to judge by: a walk through each"),
  }),
});

const grpoSchema = z.strictObject({
  // By answers, as the paper's Eq. 1: by tokens, long answers that are wrong outweigh short ones, and the small model learns to say
  // little.
  ...languageGrpoFields({ steps: 100, decaySteps: 50, learningRate: 2e-4, denominator: "sequence-mean" }),
  keepEndOfSequence: z.boolean().default(false).describe(
    "Score as released: text of the end token spoils the last item",
  ),
  credit: z.enum(["answer", "item"]).default("item").describe(
    "A token's reward: the answer's F1 (the paper), or what its and later lines add to it",
  ),
  creditDiscount: CREDIT_DISCOUNT.unwrap().default(0.7).meta(CREDIT_DISCOUNT.meta()!).describe(
    "With credit item: a line's share counts so much less for each line before it",
  ),
});

const evaluationSchema = z.strictObject({
  maxItems: count.nullable().default(null).describe(
    "At most so many held-out transitions, from all over them; null: all",
  ),
  rows: count.default(256).describe("Answers sampled at once"),
  sampledAnswers: z.int().min(0).default(4).describe(
    "Answers drawn for each transition besides the greedy one; 0: none",
  ),
  ...onlyWith("sampledAnswers≠0", {
    temperature: z.number().positive().default(1).describe("Of the drawn answers"),
    topP: z.number().gt(0).max(1).default(0.95).describe("Likewise; the paper's agent asks with 0.95"),
  }),
  samples: z.int().min(0).default(8).describe("Answers shown in the report"),
});

/** Every field; `config_type.ts` is written out from it. */
export const webPageSchema = z.strictObject({
  ...RUN_FIELDS,
  data: dataSchema.prefault({}),
  tokenizer: languageTokenizerSchema("items").prefault({}),
  model: languageModelSchema({ hiddenSize: 96, heads: 3, intermediateSize: 256 }).prefault({}),
  likelihood: languageLikelihoodSchema({ steps: 800, decaySteps: 400, learningRate: 3e-3 }).prefault({}),
  grpo: grpoSchema.prefault({}),
  evaluation: evaluationSchema.prefault({}),
  ...STEP_FIELDS,
});

/** What each preset changes of the defaults. */
export const WEB_PAGE_PRESETS: Presets = {
  demo: { description: "A small model from nothing on the built-in site, minutes on two cores", values: {} },
  "webarena-1.5b": {
    description:
      "The paper's web-page experiment (a GPU; --model with DeepSeek-R1-Distill-Qwen-1.5B or the released SFT model)",
    values: {
      data: {
        prompt: "given",
        target: "answer",
        maxObservationTokens: 3840,
        maxQuestionTokens: 5000,
        maxAnswerTokens: 7288,
      },
      // Imitation trains adapters; reinforcement learning all weights.
      model: { computeType: "bfloat16", checkpointing: true, lora: { rank: 32, alpha: 16, targets: "all-linear" } },
      // Table 5 and the released script; 6,410 samples, 8 a step, 4 epochs.
      likelihood: {
        steps: 3204,
        batch: 8,
        microBatch: 1,
        learningRate: 1e-5,
        warmupSteps: 320,
        decaySteps: 2884,
        beta2: 0.95,
        weightDecay: 0.01,
      },
      grpo: {
        denominator: "token-mean",
        credit: "answer",
        creditDiscount: 1,
        adapters: false,
        steps: 1500,
        promptsPerStep: 64,
        groupSize: 5,
        miniBatchPrompts: 16,
        microBatchPrompts: 1,
        learningRate: 1e-6,
        decaySteps: 0,
        rolloutRows: 320,
      },
      evaluation: { rows: 256, sampledAnswers: 0 },
      checkpointEvery: 20,
      logitChunk: 1024,
    },
  },
};

/** What the command and its documentation are made from. */
export const WEB_PAGE: ConfigSpec<typeof webPageSchema> = {
  schema: webPageSchema,
  presets: WEB_PAGE_PRESETS,
  complete: completeGrpo,
  mayChange: LANGUAGE_MAY_CHANGE,
};

/**
 * Builds a checked configuration: the defaults, then the preset, then `overrides`.
 *
 * @throws {UserError} Naming the unknown preset, or each field that is unknown or out of range with its value.
 */
export function webPageConfig(preset = "demo", overrides: Record<string, unknown> = {}): WebPageConfig {
  const config = checkedConfig(WEB_PAGE, preset, overrides);
  checkLanguageConfig(config);
  checkCredit(config.grpo);
  return config;
}
