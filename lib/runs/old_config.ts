/** Configurations of older versions, said as they are now: a run that was begun then is read, judged and resumed like any other. */

/** As long as a bound that is not used has to have a value. */
const DEFAULT_DUAL_CLIP = 3;

/**
 * A stored configuration in today's words. Until version 0.1 `grpo.ratio` and a `grpo.dualClip` that might be null told which loss it
 * was; now `grpo.loss` names it.
 */
export function inTodaysWords(stored: Record<string, unknown>): Record<string, unknown> {
  const { ratio, dualClip, ...grpo } = (stored.grpo ?? {}) as Record<string, unknown>;
  if (ratio === undefined) return stored;
  const isBounded = typeof dualClip === "number";
  const loss = ratio === "sequence" ? "gspo" : isBounded ? "dual-clip" : "clip";
  return { ...stored, grpo: { ...grpo, loss, dualClip: isBounded ? dualClip : DEFAULT_DUAL_CLIP } };
}
