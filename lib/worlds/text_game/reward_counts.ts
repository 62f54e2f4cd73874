/**
 * Counts of what an answer gets right and wrong, and the two rewards that follow from them; `reward.ts` has the formulas.
 */

/**
 * The two rewards of an answer.
 *
 * @internal
 */
export interface TextGameReward {
  /** 1 if the predicted state is right in all that is compared, else 0. */
  binary: number;
  /** In [0, 1.3]. */
  taskSpecific: number;
}

/** Right and wrong properties of a predicted state. */
export interface ErrorCounts {
  /** Properties and contents that are right. */
  right: number;
  /** Those that are wrong; an object that is missing counts once. */
  wrong: number;
  /** Entries of the score that are right. */
  rightScore: number;
  /** Entries of the score that are wrong or missing. */
  wrongScore: number;
}

/** What is worth nothing. */
export const NO_REWARD: Readonly<TextGameReward> = { binary: 0, taskSpecific: 0 };

/** Binary and task-specific reward from counts and the mean over gold properties. */
export function combineReward(counts: ErrorCounts, gold: number): TextGameReward {
  const item = counts.right / (counts.right + counts.wrong);
  const score = counts.rightScore / (counts.rightScore + counts.wrongScore);
  const binary = item === 1 && score === 1 ? 1 : 0;
  return { binary, taskSpecific: item * 0.09 + score * 0.01 + 0.2 * binary + gold };
}
