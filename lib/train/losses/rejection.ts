/**
 * Rejection fine-tuning: the best answer of each group is a likelihood target, the others are dropped. The strong and cheap opponent of
 * policy gradients: what they gain has to be more than that.
 *
 * With `advantageScale` best the advantage of the best is the group's size and that of the others 0, so that the loss by `token-mean` is
 * the mean negative log-likelihood of the best answers (of the best parts, with credit by part); ε_low and ε_high have no meaning here.
 * Source: Dong et al. 2023 (RAFT); Touvron et al. 2023 (Llama 2), §3.2.3.
 */
import type { LossKind } from "./loss.ts";

/** Rejection fine-tuning: the likelihood of each group's best answer. */
export const REJECTION: LossKind = {
  name: "rejection",
  description:
    "−A·log p: with advantageScale best the likelihood of each group's best answer (rejection fine-tuning, RAFT)",
  fields: { advantageScale: "best", kl: "none" },
  make: () => ({
    name: "rejection",
    ratioOf: "token",
    terms({ logProbabilities, advantages }) {
      const slope = advantages.neg();
      return { loss: slope.mul(logProbabilities), clipped: advantages.mul(0), slope };
    },
  }),
};
