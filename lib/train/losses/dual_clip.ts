/**
 * The clipped loss with a second bound: where A < 0 it is at most −A·c, so that an answer that has become much likelier does not
 * own the update.
 *
 * Source: Ye et al. 2020; c = 3 in the released video code.
 */
import { clippedTerms } from "./clip.ts";
import type { LossBounds, LossKind, PolicyLoss } from "./loss.ts";

/** The clipped ratio with a second bound of bad answers' losses. */
export const DUAL_CLIP: LossKind = {
  name: "dual-clip",
  description: "the same with grpo.dualClip as a bound of bad answers' losses, as released for video",
  fields: {},
  make: dualClip,
};

/** The dual-clipped loss of each token. */
export function dualClip({ clipLow, clipHigh, dualClip }: LossBounds): PolicyLoss {
  return {
    name: "dual-clip",
    ratioOf: "token",
    terms(terms) {
      const { loss, clipped, slope } = clippedTerms(terms, clipLow, clipHigh);
      const bound = terms.advantages.mul(-dualClip);
      const isHeld = terms.advantages.less(0).and(loss.greater(bound));
      return {
        loss: isHeld.where(bound.broadcastTo(loss.shape), loss),
        clipped,
        slope: slope.mul(isHeld.not().cast(slope.dtype)),
      };
    },
  };
}
