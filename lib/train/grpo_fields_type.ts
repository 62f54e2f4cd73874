/**
 * Written by `deno task docs` from the schemas of `train/grpo_options.ts`, where every field is declared: change
 * it there.
 */

/** What a configuration of any world says of GRPO, with the defaults of the paper where it names them. */
export interface GrpoFields {
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
  /** Learning rate. @default {0.000001} */
  learningRate: number;
  /** Last steps, over which it falls linearly to 0; 0: it stays, as in the paper. @default {0} */
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
  /** Weight of the entropy bonus. @default {0} */
  entropyCoefficient: number;
  /** What the loss is divided by (paper's Eq. 1: sequence-mean). @default {"token-mean"} */
  denominator: "token-mean" | "sequence-mean" | "fixed-length";
  /** Leave groups of equal rewards out of the update. @default {false} */
  dropEqualGroups: boolean;
  /** Compute a group's question once in the update. @default {true} */
  sharePrompt: boolean;
  /** Answers sampled at once. @default {512} */
  rolloutRows: number;
}
