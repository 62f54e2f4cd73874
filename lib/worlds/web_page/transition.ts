/**
 * A step on a web page: what was seen, what was done, what was seen then, and what that changed. The unit that is recorded,
 * written to files and learnt from.
 */
import { describeAction, formatAction, type WebAction } from "./actions.ts";
import type { Observation } from "./browser.ts";
import { formatChanges, type ItemChanges, itemChanges } from "./item_changes.ts";

/**
 * What a world model is asked: a page, how one came there, and an action.
 *
 * @internal
 */
export interface WebQuestion {
  /** Address of the page. */
  readonly url: string;
  /** What the user wants in the end. */
  readonly objective: string;
  /** Described actions before this one, oldest first; the first is `None`. */
  readonly previousActions: readonly string[];
  /** The page as an accessibility tree in WebArena's text form, its line of tabs included. */
  readonly observation: string;
  /** The action in the grammar: `click [12]`. */
  readonly action: string;
}

/** One action on a web page: the question, the page before and after, and what changes. */
export interface WebPageTransition extends WebQuestion {
  /** Task or walk that it belongs to. */
  readonly taskId: number;
  /** Its place in that, from 0. */
  readonly step: number;
  /** The action as a history tells it: `click [12] where [12] is link 'Cart'`. */
  readonly describedAction: string;
  /** The next page as an accessibility tree. */
  readonly nextObservation: string;
  /** From one to the other. */
  readonly changes: ItemChanges;
}

/** First entry of every history, when nothing has been done yet. */
export const NO_ACTION = "None";

/** The transition from what was seen to what is seen after an action. */
export function transitionOf(
  before: Observation,
  action: WebAction,
  after: Observation,
  context: {
    /** Task or walk that it belongs to. */
    readonly taskId: number;
    /** Its place in that, from 0. */
    readonly step: number;
    /** What the user wants in the end. */
    readonly objective: string;
    /** Described actions before this one, `None` first. */
    readonly previousActions: readonly string[];
  },
): WebPageTransition {
  return {
    ...context,
    url: before.url,
    observation: before.tree,
    action: formatAction(action),
    describedAction: describeAction(action, before.nodes),
    nextObservation: after.tree,
    changes: itemChanges(before.tree, after.tree),
  };
}

/** The true answer to a transition's question. */
export function answerOf({ changes }: WebPageTransition): string {
  return formatChanges(changes);
}
