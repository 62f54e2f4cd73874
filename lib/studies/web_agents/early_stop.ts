/**
 * When a task is given up without asking anybody.
 *
 * Source: WebArena's `run.py`; RLVR-World's agent. The rules are theirs, the words are ours.
 */
import { isEquivalent, type WebAction } from "../../worlds/web_page/actions.ts";

/** Limits; the paper's when left out. */
export interface EarlyStopOptions {
  /** Actions at most; 5. */
  maxSteps?: number;
  /** Actions in a row that could not be parsed; 3. */
  maxUnparsed?: number;
  /** The same action in a row, or the same field typed into, however far apart; 5. */
  maxRepeats?: number;
}

/** Why to stop now, as the answer with which the agent then stops; undefined: go on. */
export function earlyStop(actions: readonly WebAction[], options: EarlyStopOptions = {}): string | undefined {
  const { maxSteps = 5, maxUnparsed = 3, maxRepeats = 5 } = options;
  if (actions.length >= maxSteps) return `Early stop: the limit of ${maxSteps} actions is reached`;
  const last = actions.at(-1);
  if (last === undefined) return undefined;
  if (actions.length >= maxUnparsed && actions.slice(-maxUnparsed).every(({ kind }) => kind === "none")) {
    return `Early stop: the last ${maxUnparsed} answers name no action`;
  }
  // Typing may be part of a loop with other actions between; other actions count only in a row.
  const compared = last.kind === "type" ? actions : actions.slice(-maxRepeats);
  const equal = compared.filter((each) => isEquivalent(each, last)).length;
  return equal >= maxRepeats ? `Early stop: one action was done ${equal} times` : undefined;
}
