/**
 * Records transitions: walks through a site in any browser, by chance or along a script with detours.
 *
 * A walk is decided by its random stream and by what the browser shows, so on a site that is reset it is the same again, in a
 * real browser and in a simulated one. Actions that cannot be done are no transitions; they are counted. They may have changed the page all
 * the same, so it is looked at again after them.
 */
import type { Philox } from "../../tensor/random.ts";
import { breather } from "../../base/breather.ts";
import type { WebAction } from "./actions.ts";
import { type Observation, WebActionError, type WebBrowser } from "./browser.ts";
import { ActionProposals, type ProposalOptions } from "./proposals.ts";
import { NO_ACTION, transitionOf, type WebPageTransition } from "./transition.ts";

/** A step of a script: an action, or what finds one on the page as it is (undefined: there is none). */
export type ScriptStep = WebAction | ((observation: Observation) => WebAction | undefined);

/**
 * A walk.
 *
 * @internal
 */
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
  /** Before a scripted step, chance of an action of another kind that is taken back where it left the page. @default {0.2} */
  readonly detours?: number;
  /** Entries of a history, `None` at its head included. Default 5, as the data set has at most. */
  readonly historyLength?: number;
  /** Ends the walk; what was recorded stays. */
  readonly signal?: AbortSignal;
  /** Called with each transition. */
  readonly onTransition?: (transition: WebPageTransition, actions: readonly WebAction[]) => void;
  /** Called with what happened and cannot be seen on the pages, a line each: why an action could not be done, dialogs, lost tabs. */
  readonly onNote?: (text: string) => void;
}

/**
 * A walk that was taken.
 *
 * @internal
 */
export interface Walk {
  /** What was recorded, in order. */
  readonly transitions: readonly WebPageTransition[];
  /** The actions of the transitions. */
  readonly actions: readonly WebAction[];
  /** All actions that were tried: the same walk again on a site that is reset. */
  readonly tried: readonly TriedAction[];
  /** Actions that could not be done. */
  readonly failedActions: number;
}

/** An action of a walk. */
export interface TriedAction {
  /** What was tried. */
  readonly action: WebAction;
  /** What was recorded of it; undefined where it could not be done. */
  readonly transition?: WebPageTransition;
}

/** After so many failures in a row a walk ends: the page offers nothing. */
const GIVE_UP_AFTER = 20;

/** The page of a tab that shows nothing. */
const BLANK = "about:blank";

/**
 * Walks through a site; see the file's head.
 *
 * @throws {WebActionError} When the first pages cannot be opened.
 */
export async function recordWalk(browser: WebBrowser, request: WalkRequest): Promise<Walk> {
  const { startUrls, steps, stream, taskId, objective, script = [], detours = 0.2, signal, onTransition } = request;
  const { historyLength = 5, onNote } = request;
  const proposals = new ActionProposals(stream, request);
  const transitions: WebPageTransition[] = [], tried: TriedAction[] = [], history: string[] = [];
  const actions: WebAction[] = [];
  let failedActions = 0, failuresInARow = 0, scripted = 0, wayBack = false;
  const seen = (observation: Observation) => {
    observation.notes?.forEach((note) => onNote?.(note));
    return observation;
  };
  let observation = seen(await browser.reset(startUrls));
  const breathe = breather();
  while (transitions.length < steps && failuresInARow < GIVE_UP_AFTER && !signal?.aborted) {
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
    const after = await attempt(browser.perform(action), signal);
    proposals.observe(observation, action, typeof after === "string" ? undefined : after);
    if (typeof after === "string") {
      if (signal?.aborted) break;
      onNote?.(after);
      failedActions++;
      failuresInARow++;
      tried.push({ action });
      const page = await attempt(browser.observe(), signal);
      if (typeof page === "string") break;
      observation = seen(page);
      continue;
    }
    failuresInARow = 0;
    const transition = transitionOf(observation, action, seen(after), {
      taskId,
      step: transitions.length,
      objective,
      previousActions: [NO_ACTION, ...history.slice(Math.max(0, history.length - historyLength + 1))],
    });
    transitions.push(transition);
    actions.push(action);
    tried.push({ action, transition });
    history.push(transition.describedAction);
    onTransition?.(transition, actions);
    wayBack = isDetour && after.url !== observation.url && action.kind !== "goBack";
    observation = after;
    // Its last tab is gone: nothing of the site is left to be walked through.
    if (after.url === BLANK && after.tabs.length === 1) break;
  }
  return { transitions, actions, tried, failedActions };
}

/** What the browser shows then; why it does not, in one line, when it cannot or is stopped. */
async function attempt(look: Promise<Observation>, signal: AbortSignal | undefined): Promise<Observation | string> {
  try {
    return await look;
  } catch (error) {
    if (signal?.aborted && error === signal.reason) return "stopped";
    if (error instanceof WebActionError) return error.message;
    throw error;
  }
}

/**
 * Takes a walk's actions again and returns the first transition whose next page is another, or undefined where all are the
 * same. The site should have been reset. Actions that could not be done are tried again too, since they may have changed the page; one
 * that cannot be done now is another page: `seen` says why.
 */
export async function replayWalk(
  browser: WebBrowser,
  startUrls: readonly string[],
  { tried }: Pick<Walk, "tried">,
): Promise<{ transition: WebPageTransition; seen: string } | undefined> {
  let at = 0;
  try {
    await browser.reset(startUrls);
    for (; at < tried.length; at++) {
      const { action, transition } = tried[at];
      if (transition === undefined) {
        await attempt(browser.perform(action), undefined);
        await browser.observe();
        continue;
      }
      const { tree } = await browser.perform(action);
      if (tree !== transition.nextObservation) return { transition, seen: tree };
    }
  } catch (error) {
    const next = tried.slice(at).find(({ transition }) => transition);
    if (!(error instanceof WebActionError)) throw error;
    return next && { transition: next.transition!, seen: error.message };
  }
  return undefined;
}
