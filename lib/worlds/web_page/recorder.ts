/**
 * Records transitions: walks through a site in any browser, by chance or along a script with detours.
 *
 * A walk is decided by its random stream and by what the browser shows, so on a site that is reset it is the same again, in a
 * real browser and in a simulated one. Actions that cannot be done are no transitions; they are counted.
 */
import type { Philox } from "../../tensor/random.ts";
import { breather } from "../../files/breather.ts";
import type { WebAction } from "./browser/actions.ts";
import { type Observation, WebActionError, type WebBrowser } from "./browser/browser.ts";
import { ActionProposals, type ProposalOptions } from "./proposals.ts";
import { NO_ACTION, transitionOf, type WebPageTransition } from "./transition.ts";

/** A step of a script: an action, or what finds one on the page as it is (undefined: there is none). */
export type ScriptStep = WebAction | ((observation: Observation) => WebAction | undefined);

/** A walk. */
export interface WalkRequest extends ProposalOptions {
  /** Opened before the first step, a tab each; the first is seen. */
  readonly startUrls: readonly string[];
  /** Transitions to record. */
  readonly steps: number;
  /** Decides everything that is left to chance. */
  readonly stream: Philox;
  /** Number of the walk in what is written. */
  readonly taskId: number;
  /** What the walk is for, in words. */
  readonly objective: string;
  /** Steps to be followed; by chance alone when left out, and after its end. */
  readonly script?: readonly ScriptStep[];
  /** Before a scripted step, chance of an action of another kind that is taken back where it left the page. Default 0.2. */
  readonly detours?: number;
  /** Entries of a history, `None` at its head included. Default 5, as the data set has at most. */
  readonly historyLength?: number;
  /** Asked before each step: true ends the walk; what was recorded stays. */
  readonly isStopped?: () => boolean;
  /** Called with each transition. */
  readonly onTransition?: (transition: WebPageTransition, actions: readonly WebAction[]) => void;
}

/** A walk that was taken. */
export interface Walk {
  /** What was recorded, in order. */
  readonly transitions: readonly WebPageTransition[];
  /** The actions of the transitions: the same walk again on a site that is reset. */
  readonly actions: readonly WebAction[];
  /** Actions that could not be done. */
  readonly failedActions: number;
}

/** After so many failures in a row a walk ends: the page offers nothing. */
const GIVE_UP_AFTER = 20;

/** Walks through a site; see the file's head. */
export async function recordWalk(browser: WebBrowser, request: WalkRequest): Promise<Walk> {
  const { startUrls, steps, stream, taskId, objective, script = [], detours = 0.2, isStopped, onTransition } = request;
  const { historyLength = 5 } = request;
  const proposals = new ActionProposals(stream, request);
  const transitions: WebPageTransition[] = [], actions: WebAction[] = [], history: string[] = [];
  let observation = await browser.reset(startUrls), failedActions = 0, failuresInARow = 0, scripted = 0;
  let wayBack = false;
  const breathe = breather();
  while (transitions.length < steps && failuresInARow < GIVE_UP_AFTER && !isStopped?.()) {
    await breathe();
    const isDetour: boolean = scripted < script.length && !wayBack && stream.uniform() < detours;
    let action: WebAction | undefined;
    if (wayBack) action = { kind: "goBack" };
    else if (scripted < script.length && !isDetour) {
      const step = script[scripted++];
      action = typeof step === "function" ? step(observation) : step;
    } else action = proposals.propose(observation);
    wayBack = false;
    // A script may say that it has no step for this page.
    if (action === undefined) continue;
    let after: Observation | undefined;
    try {
      after = await browser.perform(action);
    } catch (error) {
      if (!(error instanceof WebActionError)) throw error;
      failedActions++;
      failuresInARow++;
    }
    proposals.observe(observation, action, after);
    if (after === undefined) continue;
    failuresInARow = 0;
    const transition = transitionOf(observation, action, after, {
      taskId,
      step: transitions.length,
      objective,
      previousActions: [NO_ACTION, ...history.slice(Math.max(0, history.length - historyLength + 1))],
    });
    transitions.push(transition);
    actions.push(action);
    history.push(transition.describedAction);
    onTransition?.(transition, actions);
    wayBack = isDetour && after.url !== observation.url && action.kind !== "goBack";
    observation = after;
  }
  return { transitions, actions, failedActions };
}

/**
 * Takes a walk's actions again and returns the first transition whose next page is another, or undefined where all are the
 * same. The site should have been reset. An action that cannot be done now is another page, too: `seen` says why.
 */
export async function replayWalk(
  browser: WebBrowser,
  startUrls: readonly string[],
  { transitions, actions }: Pick<Walk, "transitions" | "actions">,
): Promise<{ transition: WebPageTransition; seen: string } | undefined> {
  let step = 0;
  try {
    await browser.reset(startUrls);
    for (const action of actions) {
      const { tree } = await browser.perform(action);
      if (tree !== transitions[step].nextObservation) return { transition: transitions[step], seen: tree };
      step++;
    }
  } catch (error) {
    if (!(error instanceof WebActionError)) throw error;
    return { transition: transitions[step], seen: error.message };
  }
  return undefined;
}
