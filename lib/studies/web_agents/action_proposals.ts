/**
 * What a policy's answers propose: the action that each names, counted.
 *
 * Source: RLVR-World App. A.3; its `webagent/agent`. As released, an action is what stands between the first pair of triple
 * back-ticks, else of single ones, else the word `None`, and equal texts are counted without being parsed. An empty answer (a
 * query that failed) proposes nothing; there it proposes `None`.
 */

/**
 * An action that was proposed, as it was written.
 *
 * @internal
 */
export interface Proposal {
  /** `click [12]`. */
  text: string;
  /** How many answers name it. */
  count: number;
}

/** What an answer without an action proposes. */
const NOTHING = "None";

/** The action that an answer names. */
export function proposedAction(answer: string): string {
  return (between("```", answer) ?? between("`", answer))?.trim() ?? NOTHING;
}

/** What stands between the first two of these in a text. */
function between(fence: string, text: string): string | undefined {
  const [, inner, rest] = text.split(fence, 3);
  return rest === undefined ? undefined : inner;
}

/**
 * All actions that answers name, the most frequent first, the first seen first among equals.
 *
 * @returns At least one: where all answers are empty, that of an answer without an action.
 */
export function countProposals(answers: readonly string[]): Proposal[] {
  const counts = new Map<string, number>();
  for (const answer of answers) {
    if (answer === "") continue;
    const text = proposedAction(answer);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  if (counts.size === 0) return [{ text: NOTHING, count: 0 }];
  // Sorting is stable, and a map keeps the order in which its keys came.
  return [...counts].map(([text, count]) => ({ text, count })).sort((a, b) => b.count - a.count);
}
