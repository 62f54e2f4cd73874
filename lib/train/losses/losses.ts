/** Policy losses by name. */
import { z } from "zod";
import { CISPO } from "./cispo.ts";
import { CLIP } from "./clip.ts";
import { DAPO } from "./dapo.ts";
import { DR_GRPO } from "./dr_grpo.ts";
import { DUAL_CLIP } from "./dual_clip.ts";
import { GSPO } from "./gspo.ts";
import { LOSS_BOUNDS, type LossBounds, type LossKind, type PolicyLoss } from "./loss.ts";
import { REJECTION } from "./rejection.ts";

/** Every loss; a new one is a line here. */
export const LOSSES: readonly LossKind[] = [CLIP, DUAL_CLIP, GSPO, DR_GRPO, DAPO, CISPO, REJECTION];

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
  const { error } = z.object(LOSS_BOUNDS).safeParse(bounds);
  if (error) {
    const [{ path: [field], message }] = error.issues;
    throw new RangeError(`${String(field)}: ${message}: received ${bounds[field as keyof LossBounds]}`);
  }
  return kind.make(bounds);
}
