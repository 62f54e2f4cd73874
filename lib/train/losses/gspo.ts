/**
 * GSPO: one ratio an answer, the geometric mean of its tokens' ratios, clipped as a whole.
 *
 * Source: Zheng et al. 2025; its bounds are 3e-4 and 4e-4.
 */
import { clippedTerms } from "./clip.ts";
import type { LossKind } from "./loss.ts";

/** GSPO: one clipped ratio an answer. */
export const GSPO: LossKind = {
  name: "gspo",
  description: "one clipped ratio an answer (GSPO)",
  fields: { clipLow: 3e-4, clipHigh: 4e-4, denominator: "sequence-mean" },
  make: ({ clipLow, clipHigh }) => ({
    name: "gspo",
    ratioOf: "answer",
    terms: (terms) => clippedTerms(terms, clipLow, clipHigh),
  }),
};
