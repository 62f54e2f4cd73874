/**
 * What the GRPO stages of all experiments are configured by: the fields that mean the same everywhere, with the released
 * values, and their way into the trainer's options.
 */
import { z } from "zod";
import { UserError } from "../base/user_error.ts";
import type { GrpoOptions } from "../train/grpo.ts";

/** Fields of a GRPO configuration that no experiment changes. */
export const COMMON_GRPO_FIELDS = {
  epochs: z.int().min(1).default(1).describe("Passes over a step's rollouts"),
  weightDecay: z.number().min(0).default(0.01).describe("AdamW's decoupled weight decay"),
  maxGradientNorm: z.number().positive().default(1).describe("Bound of the gradient's norm"),
  temperature: z.number().positive().default(1).describe("Sampling temperature of the rollouts"),
  topK: z.int().min(0).default(0).describe("Sample the rollouts among the k likeliest tokens; 0: all"),
  advantageScale: z.enum(["group-std", "uniform-std", "none"]).default("group-std").describe(
    "How advantages are scaled",
  ),
  clipLow: z.number().gt(0).lt(1).default(0.2).describe("ε_low"),
  clipHigh: z.number().positive().default(0.2).describe("ε_high (above clipLow: DAPO's clip-higher)"),
  kl: z.enum(["none", "k1", "k2", "k3"]).default("k3").describe("Estimator of the divergence from the reference"),
  klCoefficient: z.number().min(0).default(0.001).describe("Its weight; 0: no reference model is kept"),
  denominator: z.enum(["token-mean", "sequence-mean", "fixed-length"]).default("token-mean")
    .describe("What the loss is divided by (paper's Eq. 1: sequence-mean)"),
  ratio: z.enum(["token", "sequence"]).default("token").describe("A ratio a token, or one an answer (GSPO)"),
  dropEqualGroups: z.boolean().default(false).describe("Leave groups of equal rewards out of the update"),
  sharePrompt: z.boolean().default(true).describe("Compute a group's question once in the update"),
} as const;

/** Values of {@linkcode COMMON_GRPO_FIELDS} and of the fields whose defaults are an experiment's own. */
export interface GrpoFields {
  steps: number;
  promptsPerStep: number;
  groupSize: number;
  miniBatchPrompts: number;
  microBatchPrompts: number;
  learningRate: number;
  decaySteps: number;
  dualClip: number | null;
  entropyCoefficient: number;
  rolloutRows: number;
  epochs: number;
  weightDecay: number;
  maxGradientNorm: number;
  temperature: number;
  topK: number;
  advantageScale: GrpoOptions["advantageScale"];
  clipLow: number;
  clipHigh: number;
  kl: GrpoOptions["objective"]["kl"];
  klCoefficient: number;
  denominator: GrpoOptions["objective"]["denominator"];
  ratio: GrpoOptions["objective"]["ratio"];
  dropEqualGroups: boolean;
  sharePrompt: boolean;
}

/**
 * Refuses credit by part where an answer has one ratio: before anything is trained, rather than when GRPO begins.
 *
 * @throws {UserError} When `credit` is not `answer` and the ratio is a sequence's.
 */
export function checkCredit({ credit, ratio }: { credit: string; ratio: GrpoFields["ratio"] }): void {
  if (credit === "answer" || ratio !== "sequence") return;
  throw new UserError(
    `grpo.credit "${credit}" has no meaning with grpo.ratio "sequence", where an answer is one: set grpo.credit=answer, or ` +
      `leave grpo.ratio out`,
  );
}

/** The trainer's options that a configuration decides. */
export function grpoOptions(
  grpo: GrpoFields,
): Omit<GrpoOptions, "reward" | "alsoMeasured" | "logitChunk" | "scoreRows" | "seed"> {
  return {
    groupSize: grpo.groupSize,
    miniBatchPrompts: grpo.miniBatchPrompts,
    microBatchPrompts: grpo.microBatchPrompts,
    epochs: grpo.epochs,
    learningRate: grpo.learningRate,
    decay: { steps: Math.min(grpo.decaySteps, grpo.steps), totalSteps: grpo.steps },
    weightDecay: grpo.weightDecay,
    maxGradientNorm: grpo.maxGradientNorm,
    objective: {
      clipLow: grpo.clipLow,
      clipHigh: grpo.clipHigh,
      dualClip: grpo.dualClip ?? undefined,
      kl: grpo.kl,
      klCoefficient: grpo.klCoefficient,
      entropyCoefficient: grpo.entropyCoefficient,
      denominator: grpo.denominator,
      ratio: grpo.ratio,
    },
    advantageScale: grpo.advantageScale,
    dropEqualGroups: grpo.dropEqualGroups,
    temperature: grpo.temperature,
    topK: grpo.topK,
    sharePrompt: grpo.sharePrompt,
    rolloutRows: grpo.rolloutRows,
  };
}
