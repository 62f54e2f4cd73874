/**
 * What is chosen of a GRPO stage: every option of the trainer, and what is wrong with its values.
 */
import type { AdvantageScale } from "./advantage.ts";
import { checkObjective, type ObjectiveOptions } from "./objective.ts";
import type { RewardTerm } from "./reward.ts";

/** Choices of the GRPO stage. */
export interface GrpoOptions {
  /** G. */
  groupSize: number;
  /** Prompts of one optimizer update; a step's prompts divided by it is the number of updates. */
  miniBatchPrompts: number;
  /** Prompts whose forward and backward run at once. */
  microBatchPrompts: number;
  /** Passes over a step's rollouts. */
  epochs: number;
  /** AdamW's step size, constant as in the paper but for `decay`. */
  learningRate: number;
  /** How the rate falls at the end: linearly to 0 over the last `steps` of `totalSteps` steps. Left out: it stays. */
  decay?: { steps: number; totalSteps: number };
  /** AdamW's decoupled decay. */
  weightDecay: number;
  /** Bound of the gradient's global L2 norm. */
  maxGradientNorm: number;
  /** Clips, divergence, denominator. */
  objective: ObjectiveOptions;
  /** How centred rewards are scaled. */
  advantageScale: AdvantageScale;
  /**
   * What a token is credited with: `answer`, the whole answer's reward (the paper; the default), or `part`, what its part of the
   * answer and those after it earn, for worlds whose answers have parts (the frames of a video, the lines of a list).
   */
  credit?: "answer" | "part";
  /** With parts: what a part earns counts so much less for each part before it. Default 1: all the same. */
  creditDiscount?: number;
  /** Leave groups of equal rewards out of the update (DAPO's dynamic sampling without resampling). */
  dropEqualGroups: boolean;
  /** The metric, or a weighted list of metrics. */
  reward: readonly RewardTerm[];
  /** Metrics logged beside the reward. */
  alsoMeasured: readonly string[];
  /** Sampling temperature of the rollouts; the policy's logits are divided by it in the update as well. */
  temperature: number;
  /**
   * Sample the rollouts among the k likeliest tokens, 0: among all (the paper; the default). What an evaluation with top-k never
   * samples need not be unlearned; the update's probabilities stay those of the whole vocabulary.
   */
  topK?: number;
  /** Compute a group's question once in the update (the same numbers, several times faster). */
  sharePrompt: boolean;
  /** Keep only what enters each block in the update, and run each twice: less memory, a third more work. */
  checkpointing?: boolean;
  /** Tokens whose logits exist at once. */
  logitChunk: number;
  /** Answers that are sampled at once. */
  rolloutRows: number;
  /** Answers that are decoded and scored at once. */
  scoreRows: number;
  /** Leads the names of the rollouts' random streams. */
  seed: number;
}

/**
 * @throws {RangeError} Naming the option that is out of range.
 */
export function checkGrpoOptions(options: GrpoOptions): void {
  checkObjective(options.objective);
  const counts = ["miniBatchPrompts", "microBatchPrompts", "epochs", "logitChunk", "rolloutRows", "scoreRows"] as const;
  for (const name of counts) {
    if (!(Number.isInteger(options[name]) && options[name] >= 1)) {
      throw new RangeError(`${name} must be at least 1: received ${options[name]}`);
    }
  }
  if (!(Number.isInteger(options.groupSize) && options.groupSize >= 2)) {
    throw new RangeError(`groupSize must be at least 2: received ${options.groupSize}`);
  }
  const { creditDiscount = 1 } = options;
  if (!(creditDiscount > 0 && creditDiscount <= 1)) {
    throw new RangeError(`creditDiscount must be above 0 and at most 1: received ${creditDiscount}`);
  }
  if (!(options.temperature > 0)) throw new RangeError(`temperature must be positive: received ${options.temperature}`);
}
