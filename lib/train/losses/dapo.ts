/**
 * DAPO: the clipped loss with more room upwards, tokens that weigh the same, no divergence, groups of equal rewards left out. Its
 * sampling again in their place is left out, as is its penalty of long answers.
 *
 * Source: Yu et al. 2025.
 */
import { clip } from "./clip.ts";
import type { LossKind } from "./loss.ts";

/** DAPO: clip-higher, token mean, no divergence, equal groups left out. */
export const DAPO: LossKind = {
  name: "dapo",
  description: "the clipped ratio with more room upwards, no divergence, equal groups left out (DAPO)",
  fields: { clipHigh: 0.28, denominator: "token-mean", kl: "none", dropEqualGroups: true },
  make: clip,
};
