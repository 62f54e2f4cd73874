/**
 * Dr. GRPO: the clipped loss without what favours some answers for their length or their group for its spread: losses are divided
 * by a fixed length, advantages are not scaled.
 *
 * Source: Liu et al. 2025.
 */
import { clip } from "./clip.ts";
import type { LossKind } from "./loss.ts";

/** Dr. GRPO: a fixed length as divisor, advantages not scaled. */
export const DR_GRPO: LossKind = {
  name: "dr-grpo",
  description: "the clipped ratio, a fixed length as divisor, advantages not scaled (Dr. GRPO)",
  fields: { denominator: "fixed-length", advantageScale: "none" },
  make: clip,
};
