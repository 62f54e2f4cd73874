/**
 * What is chosen of a GRPO stage. Every field is declared here once: its meaning, its default, what it may be. Configurations,
 * their help and the trainer read it from here; what a world or a demo chooses otherwise is a default that it gives.
 */
import { z } from "zod";
import type { GrpoFields } from "./grpo_fields_type.ts";
import type { World } from "../worlds/world.ts";
import { LOSSES } from "./losses/losses.ts";
import { LOSS_BOUNDS, type PolicyLoss } from "./losses/loss.ts";
import { lossOf } from "./objective.ts";
import { checkReward, type RewardTerm } from "./reward.ts";

export type { GrpoFields } from "./grpo_fields_type.ts";

const count = z.int().min(1);

/**
 * Fields of a configuration that mean the same in every world, with the paper's values where it says them; `grpo_fields_type.ts` is
 * written out from them.
 *
 * @internal
 */
export const GRPO_FIELDS = {
  steps: count.default(100).describe("GRPO steps"),
  promptsPerStep: count.default(16).describe("Prompts P of a step"),
  groupSize: z.int().min(2).default(16).describe("Answers G a prompt"),
  miniBatchPrompts: count.default(16).describe("Prompts of one optimizer update"),
  microBatchPrompts: count.default(16).describe("Prompts computed at once"),
  epochs: count.default(1).describe("Passes over a step's rollouts"),
  learningRate: z.number().positive().default(1e-6).describe("Learning rate"),
  decaySteps: z.int().min(0).default(0).describe(
    "Last steps, over which it falls linearly to 0; 0: it stays, as in the paper",
  ),
  weightDecay: z.number().min(0).default(0.01).describe("AdamW's decoupled weight decay"),
  maxGradientNorm: z.number().positive().default(1).describe("Bound of the gradient's norm"),
  temperature: z.number().positive().default(1).describe("Sampling temperature of the rollouts"),
  topK: z.int().min(0).default(0).describe("Sample the rollouts among the k likeliest tokens; 0: all"),
  advantageScale: z.enum(["group-std", "uniform-std", "none", "best"]).default("group-std").describe(
    "How advantages are scaled",
  ),
  loss: z.enum(LOSSES.map(({ name }) => name)).default("clip").describe("The policy's loss"),
  ...LOSS_BOUNDS,
  kl: z.enum(["none", "k1", "k2", "k3"]).default("k3").describe("Estimator of the divergence from the reference")
    .meta({ onlyWith: ["klCoefficient≠0"] }),
  klCoefficient: z.number().min(0).default(0.001).describe("Its weight; 0: no reference model is kept").meta({
    onlyWith: ["kl≠none"],
  }),
  entropyCoefficient: z.number().default(0).describe("Weight of the entropy bonus"),
  denominator: z.enum(["token-mean", "sequence-mean", "fixed-length"]).default("token-mean").describe(
    "What the loss is divided by (paper's Eq. 1: sequence-mean)",
  ),
  dropEqualGroups: z.boolean().default(false).describe("Leave groups of equal rewards out of the update"),
  sharePrompt: z.boolean().default(true).describe("Compute a group's question once in the update"),
  rolloutRows: count.default(512).describe("Answers sampled at once"),
} as const;

/**
 * {@linkcode GRPO_FIELDS} as one schema.
 *
 * @internal
 */
export const GRPO_SCHEMA = z.object(GRPO_FIELDS);

/** Choices of a GRPO trainer: those of a configuration, each with its default, and what a world adds. */
export interface GrpoOptions extends Partial<Omit<GrpoFields, "promptsPerStep" | "loss">> {
  /** A name among `LOSSES`, or a loss of one's own. @default {"clip"} */
  loss?: string | PolicyLoss;
  /** The metric, or a weighted list of metrics. */
  reward: readonly RewardTerm[];
  /** Metrics logged beside the reward. @default {[]} */
  alsoMeasured?: readonly string[];
  /**
   * What a token is credited with: `answer`, the whole answer's reward (the paper), or `part`, what its part of the answer and
   * those after it earn, for worlds whose answers have parts (the frames of a video, the lines of a list).
   *
   * @default {"answer"}
   */
  credit?: "answer" | "part";
  /** With parts: what a part earns counts so much less for each part before it. @default {1} */
  creditDiscount?: number;
  /** Keep only what enters each block in the update, and run each twice: less memory, a third more work. @default {false} */
  checkpointing?: boolean;
  /** Tokens whose logits exist at once. @default {4096} */
  logitChunk?: number;
  /** Answers that are decoded and scored at once. @default {512} */
  scoreRows?: number;
  /** Leads the names of the rollouts' random streams. @default {0} */
  seed?: number;
}

/**
 * {@linkcode GrpoOptions} with every default.
 *
 * @internal
 */
export type GrpoSettings = Required<GrpoOptions>;

const SETTINGS = z.object({
  ...GRPO_FIELDS,
  loss: z.any().default("clip"),
  reward: z.any(),
  alsoMeasured: z.array(z.string()).default([]),
  credit: z.enum(["answer", "part"]).default("answer"),
  creditDiscount: z.number().gt(0).max(1).default(1),
  checkpointing: z.boolean().default(false),
  logitChunk: count.default(4096),
  scoreRows: count.default(512),
  seed: z.int().default(0),
}).omit({ promptsPerStep: true });

/** What is said instead of an option of version 0.1. */
const INSTEAD: Record<string, string> = {
  objective: "its fields stand among the others",
  decay: "give decaySteps and steps",
  ratio: "give loss",
};

/**
 * Choices with every default.
 *
 * @throws {RangeError} Naming the option that is out of range.
 */
export function grpoSettings(options: GrpoOptions): GrpoSettings {
  const old = ["objective", "decay", "ratio"].find((name) => Object.hasOwn(options, name));
  if (old) throw new RangeError(`${old} is no option: ${INSTEAD[old]}`);
  if ((options.decaySteps ?? 0) > 0 && options.steps === undefined) {
    throw new RangeError(`decaySteps is ${options.decaySteps}, which are the last ones of steps: give steps as well`);
  }
  const { data, error } = SETTINGS.safeParse(options);
  if (data) return data as GrpoSettings;
  const [{ path, message }] = error.issues;
  throw new RangeError(`${path.join(".")}: ${message}: received ${String(options[path[0] as keyof GrpoOptions])}`);
}

/**
 * Checks choices against the world that they are made for.
 *
 * @throws {RangeError} When a metric is unknown, there is no such loss, or answers cannot be credited by part.
 */
export function checkWorldFits<Transition, States>(settings: GrpoSettings, world: World<Transition, States>): void {
  checkReward(settings.reward, world.metrics);
  const loss = lossOf(settings);
  if (settings.credit === "answer") return;
  const partless = settings.reward.find(({ metric }) => !world.metrics[metric].computeParts);
  if (partless) {
    throw new RangeError(
      `credit "part" needs metrics that tell what each part of an answer adds, which ${partless.metric} of ${world.name} ` +
        `does not: use credit "answer"`,
    );
  }
  if (world.openAnswers && !world.answerParts) {
    throw new RangeError(`credit "part" needs answers that have parts, which those of ${world.name} have not`);
  }
  if (loss.ratioOf === "answer") {
    throw new RangeError(
      `credit "part" has no meaning with the loss ${loss.name}, where an answer is one: use another`,
    );
  }
}
