/**
 * CISPO: the ratio is a weight, bounded above and without a gradient, of REINFORCE's −A·log p, so that no token falls silent.
 *
 * Its paper bounds the weight above only; ε_low has no meaning here. Source: MiniMax-M1 (Chen et al. 2025), Eq. 4.
 */
import type { LossKind } from "./loss.ts";

/** CISPO: log p weighted by the bounded ratio. */
export const CISPO: LossKind = {
  name: "cispo",
  description: "log p weighted by the ratio, which is bounded by 1 + grpo.clipHigh (CISPO)",
  fields: { clipHigh: 4, denominator: "token-mean", kl: "none" },
  make: ({ clipHigh }) => ({
    name: "cispo",
    ratioOf: "token",
    terms({ ratio, logProbabilities, advantages }) {
      const bounded = ratio.detach().clamp(0, 1 + clipHigh), slope = bounded.mul(advantages).neg();
      return {
        loss: slope.mul(logProbabilities),
        clipped: ratio.greater(1 + clipHigh).cast(ratio.dtype).detach(),
        slope,
      };
    },
  }),
};
