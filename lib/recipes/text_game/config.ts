/**
 * The configuration of the text-game experiment: every field with its meaning, its default, and the named presets.
 *
 * Defaults are the demo's; presets change what differs. Numbers of `bytesized32-1.5b` are the released scripts' (RLVR-World,
 * App. B, Table 5).
 */
import { z } from "zod";
import { completeGrpo } from "../grpo_fields.ts";
import { count, fraction, RUN_FIELDS, STEP_FIELDS } from "../common_fields.ts";
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
import type { TextGameConfig } from "./config_type.ts";

export type { TextGameConfig } from "./config_type.ts";

const dataSchema = z.strictObject({
  train: z.string().nullable().default(null).describe(
    "Transitions to train with (.jsonl, .jsonl.gz, .parquet); null: the built-in games",
  ),
  test: z.string().nullable().default(null).describe("Transitions to judge by; null: a part of the training file"),
  imitation: z.string().nullable().default(null).describe(
    "Parquet with responses to imitate (generated_cot); null: the true differences",
  ),
  strict: z.boolean().default(false).describe("Whether one bad row ends the run; otherwise it is skipped and counted"),
  ...onlyWith(
    "train≠null",
    onlyWith("test=null", {
      testEvery: z.int().min(2).default(10).describe(
        "Every so many rows of a training file, one is held out, without a test file",
      ),
    }),
  ),
  prompt: z.enum(["compact", "instructions"]).default("compact").describe("Form of prompts that are built here"),
  ...onlyWith("prompt=instructions", {
    rules: z.string().nullable().default(null).describe(
      "Folder with object_, action_ and score_rules.json for prompts",
    ),
  }),
  targets: z.enum(["released", "strict"]).default("strict").describe(
    "Differences to imitate: as released (added objects are garbled), or right",
  ),
  maxQuestionTokens: count.default(512).describe("Longer prompts are refused, or skipped where not data.strict"),
  maxAnswerTokens: count.default(160).describe("Answers are cut after so many tokens"),
  ...onlyWith("train=null", {
    games: z.array(z.string()).min(1).nullable().default(["boil-tea", "wash-dishes", "wire-lamp"]).describe(
      "Built-in data: names of the games; null: all thirteen",
    ),
    perGame: count.default(12000).describe("Built-in data: training transitions of each game"),
    heldOutPerGame: count.default(80).describe("Built-in data: held-out transitions of each game"),
    changedShare: fraction.nullable().default(0.6).describe(
      "Built-in data: share of transitions that change something",
    ),
  }),
});

const grpoSchema = z.strictObject({
  rewards: z.array(z.enum(["binary", "taskSpecific"])).min(1).default(["binary", "taskSpecific"]).describe(
    "One model is trained by each",
  ),
  scoring: z.enum(["released", "strict"]).default("strict").describe(
    "The released scorer (repairs as json_repair 0.61.7) or the one without its defects",
  ),
  othersPerGold: z.strictObject({ binary: z.number().min(0), taskSpecific: z.number().min(0) })
    .default({ binary: 0.4, taskSpecific: 0.35 }).describe("Rows without changed properties for each with"),
  ...languageGrpoFields({ steps: 140, decaySteps: 70, learningRate: 4e-4 }),
});

const evaluationSchema = z.strictObject({
  maxItems: count.nullable().default(null).describe(
    "At most so many held-out transitions, from all over them; null: all",
  ),
  rows: count.default(256).describe("Answers sampled at once"),
  sampledAnswers: z.int().min(0).default(8).describe(
    "Answers drawn for each transition besides the greedy one; 0: none",
  ),
  samples: z.int().min(0).default(8).describe("Answers shown in the report"),
});

/** Every field; `config_type.ts` is written out from it. */
export const textGameSchema = z.strictObject({
  ...RUN_FIELDS,
  data: dataSchema.prefault({}),
  tokenizer: languageTokenizerSchema("code").prefault({}),
  model: languageModelSchema({ hiddenSize: 64, heads: 2, intermediateSize: 192 }).prefault({}),
  likelihood: languageLikelihoodSchema({ steps: 3000, decaySteps: 1500, learningRate: 4e-3 }).prefault({}),
  grpo: grpoSchema.prefault({}),
  evaluation: evaluationSchema.prefault({}),
  ...STEP_FIELDS,
});

/** Name of a reward. */
export type TextGameRewardName = TextGameConfig["grpo"]["rewards"][number];

/** What each preset changes of the defaults. */
export const TEXT_GAME_PRESETS: Presets = {
  demo: { description: "A small model from nothing on the built-in games, minutes on two cores", values: {} },
  "bytesized32-small": {
    description: "A small model from nothing on ByteSized32's transitions, within an hour on two cores",
    values: {
      data: { maxQuestionTokens: 1200, maxAnswerTokens: 400 },
      tokenizer: { vocabularySize: 2048 },
      model: { hiddenSize: 96, layers: 4, heads: 3, intermediateSize: 256, initializerRange: 0.1 },
      likelihood: { steps: 4000, learningRate: 3e-3, decaySteps: 2000 },
      grpo: { scoring: "released", othersPerGold: { binary: 0.4, taskSpecific: 0.05 } },
    },
  },
  "bytesized32-1.5b": {
    description:
      "The paper's text-game experiment (a GPU; --model with DeepSeek-R1-Distill-Qwen-1.5B or the released SFT model)",
    values: {
      data: {
        prompt: "instructions",
        targets: "released",
        maxQuestionTokens: 7192,
        maxAnswerTokens: 4096,
      },
      // Imitation trains adapters; reinforcement learning all weights.
      model: { computeType: "bfloat16", checkpointing: true, lora: { rank: 32, alpha: 16, targets: "all-linear" } },
      // Table 5 and sft_trainer.yaml; 4,237 samples, 16 a step, 10 epochs.
      likelihood: {
        steps: 2640,
        batch: 16,
        microBatch: 1,
        learningRate: 1e-5,
        warmupSteps: 264,
        decaySteps: 2376,
        beta2: 0.95,
        weightDecay: 0.01,
      },
      grpo: {
        adapters: false,
        scoring: "released",
        rewards: ["taskSpecific"],
        othersPerGold: { binary: 0.4, taskSpecific: 0.05 },
        steps: 300,
        promptsPerStep: 128,
        groupSize: 5,
        miniBatchPrompts: 64,
        microBatchPrompts: 1,
        learningRate: 1e-6,
        decaySteps: 0,
        rolloutRows: 640,
      },
      evaluation: { rows: 512 },
      checkpointEvery: 20,
      logitChunk: 1024,
    },
  },
};

/** What the command and its documentation are made from. */
export const TEXT_GAME: ConfigSpec<typeof textGameSchema> = {
  schema: textGameSchema,
  presets: TEXT_GAME_PRESETS,
  complete: completeGrpo,
  mayChange: LANGUAGE_MAY_CHANGE,
};

/**
 * Builds a checked configuration: the defaults, then the preset, then `overrides`.
 *
 * @throws {UserError} Naming the unknown preset, or each field that is unknown or out of range with its value.
 */
export function textGameConfig(preset = "demo", overrides: Record<string, unknown> = {}): TextGameConfig {
  const config = checkedConfig(TEXT_GAME, preset, overrides);
  checkLanguageConfig(config);
  return config;
}
