/**
 * What a policy's loss is: from the ratio ρ of the policy to the one that sampled, and the advantage A, a number to be lowered.
 *
 * A new one is a file that makes a {@linkcode PolicyLoss}, and a line in `losses.ts`.
 */
import { z } from "zod";
import type { Tensor } from "../../tensor/tensor.ts";
import type { GrpoFields } from "../grpo_fields_type.ts";

/**
 * What the loss of a batch is divided by.
 *
 * @internal
 */
export type LossDenominator = "token-mean" | "sequence-mean" | "fixed-length";

/**
 * What a loss is made of, all of one shape: [n] for n tokens, [N, 1] for N answers.
 *
 * @internal
 */
export interface RatioTerms {
  /** ρ = exp(log p − log p_old), differentiable. */
  ratio: Tensor;
  /** log p of the chosen tokens under the policy, differentiable; of answers, the mean over their tokens. */
  logProbabilities: Tensor;
  /** A, the advantage of the token or of the answer. */
  advantages: Tensor;
}

/**
 * A loss's terms, in the shape of what they are made of.
 *
 * @internal
 */
export interface LossTerms {
  /** L, differentiable. */
  loss: Tensor;
  /** 1 where the clip changed the loss, else 0. */
  clipped: Tensor;
  /** Derivative of the loss by log ρ, without a gradient of its own. */
  slope: Tensor;
}

/**
 * The policy's part of the GRPO loss, from ratio and advantage of every token or answer; a loss of one's own is an
 * object of this form.
 */
export interface PolicyLoss {
  /** What configurations and logs call it. */
  readonly name: string;
  /** Of what there is one ratio: of each token, or of a whole answer (the geometric mean of its tokens'). */
  readonly ratioOf: "token" | "answer";
  /** Loss of every token, or of every answer. */
  terms(terms: RatioTerms): LossTerms;
}

/**
 * Fields of a configuration that losses are made with.
 *
 * @internal
 */
export const LOSS_BOUNDS = {
  clipLow: z.number().gt(0).lt(1).default(0.2).describe("ε_low: a ratio counts as at least 1 − ε_low").meta({
    onlyWith: ["loss≠cispo", "loss≠rejection"],
  }),
  clipHigh: z.number().positive().default(0.2).describe("ε_high: as at most 1 + ε_high (DAPO: above clipLow)").meta({
    onlyWith: ["loss≠rejection"],
  }),
  dualClip: z.number().gt(1).default(3).describe("With loss dual-clip: bound c of bad answers' losses, −A·c").meta({
    onlyWith: ["loss=dual-clip"],
  }),
} as const satisfies Record<keyof LossBounds, z.ZodType>;

/** Bounds that losses are made with. */
export type LossBounds = Pick<GrpoFields, "clipLow" | "clipHigh" | "dualClip">;

/** A loss that configurations can name. */
export interface LossKind {
  /** Name in configurations (`grpo.loss`). */
  readonly name: string;
  /** What it is, in a line, with its source. */
  readonly description: string;
  /** Fields of a GRPO configuration whose values belong to the method, where nothing else is asked for. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Makes the loss with its bounds. */
  make(bounds: LossBounds): PolicyLoss;
}
