/**
 * PPO's clipped loss, which GRPO's is: L = max(−A·ρ, −A·clamp(ρ, 1 − ε_low, 1 + ε_high)).
 *
 * Source: Schulman et al. 2017; Shao et al. 2024; RLVR-World Eq. 1.
 */
import type { LossKind, LossTerms, PolicyLoss, RatioTerms } from "./loss.ts";

/** PPO's and GRPO's clipped ratio of each token. */
export const CLIP: LossKind = {
  name: "clip",
  description: "the clipped ratio of each token, as in PPO and GRPO",
  fields: {},
  make: clip,
};

/** The clipped loss of each token. */
export function clip({ clipLow, clipHigh }: { clipLow: number; clipHigh: number }): PolicyLoss {
  return { name: "clip", ratioOf: "token", terms: (terms) => clippedTerms(terms, clipLow, clipHigh) };
}

/** Terms of the clipped loss, whatever the ratios are of. */
export function clippedTerms({ ratio, advantages }: RatioTerms, clipLow: number, clipHigh: number): LossTerms {
  const plain = ratio.mul(advantages).neg();
  const bounded = ratio.clamp(1 - clipLow, 1 + clipHigh).mul(advantages).neg();
  const clipped = bounded.greater(plain).cast(ratio.dtype).detach();
  return { loss: plain.maximum(bounded), clipped, slope: plain.detach().mul(clipped.neg().add(1)) };
}
