/** Policy losses by name. */
import { CISPO } from "./cispo.ts";
import { CLIP } from "./clip.ts";
import { DAPO } from "./dapo.ts";
import { DR_GRPO } from "./dr_grpo.ts";
import { DUAL_CLIP } from "./dual_clip.ts";
import { GSPO } from "./gspo.ts";
import type { LossBounds, LossKind, PolicyLoss } from "./loss.ts";

/** Every loss; a new one is a line here. */
export const LOSSES: readonly LossKind[] = [CLIP, DUAL_CLIP, GSPO, DR_GRPO, DAPO, CISPO];

/**
 * A loss by its name.
 *
 * @throws {RangeError} When there is none of that name, or a bound is out of its range.
 */
export function policyLossOf(name: string, bounds: LossBounds): PolicyLoss {
  const kind = LOSSES.find((loss) => loss.name === name);
  if (!kind) {
    throw new RangeError(
      `loss: there is no ${JSON.stringify(name)}: use one of ${LOSSES.map((loss) => loss.name).join(", ")}`,
    );
  }
  const { clipLow, clipHigh, dualClip } = bounds;
  if (!(clipLow > 0 && clipLow < 1)) throw new RangeError(`clipLow must be between 0 and 1: received ${clipLow}`);
  if (!(clipHigh > 0)) throw new RangeError(`clipHigh must be positive: received ${clipHigh}`);
  if (!(dualClip > 1)) throw new RangeError(`dualClip must be above 1: received ${dualClip}`);
  return kind.make(bounds);
}
