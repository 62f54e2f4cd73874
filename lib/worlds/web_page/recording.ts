/**
 * Recording a data set: walk after walk through one site until there are enough transitions, with walks taken again to see that
 * the same actions still give the same pages. Which site and which browser is not known here.
 */
import { Philox } from "../../tensor/random.ts";
import { breather } from "../../base/breather.ts";
import { WebActionError, type WebBrowser } from "./browser.ts";
import { recordWalk, replayWalk, type Walk, type WalkRequest } from "./recorder.ts";
import type { WebPageTransition } from "./transition.ts";

/** What is recorded. */
export interface RecordingRequest {
  /** Transitions in all. */
  readonly steps: number;
  /** Transitions of a walk, at most. */
  readonly walkSteps: number;
  /** Name of the random streams of the walks; a walk's number follows. */
  readonly stream: readonly number[];
  /** Number of the first walk in what is written; the others follow. */
  readonly firstTaskId: number;
  /** What a walk is to do. */
  readonly walk: (random: Philox) => Omit<WalkRequest, "steps" | "stream" | "taskId">;
  /** Puts the site back to how it was before each walk; left out where that is not in our hands. */
  readonly resetSite?: () => void;
  /** How many of the walks are taken again afterwards; on a site that is not reset, what walks have changed shows. @default {0} */
  readonly checkedWalks?: number;
  /** Ends the recording; what was recorded stays. */
  readonly signal?: AbortSignal;
  /** Called with each transition. */
  readonly onTransition?: (transition: WebPageTransition) => void;
  /** Called with what happened and cannot be seen on the pages, a line each. */
  readonly onNote?: (text: string) => void;
}

/** What was recorded. */
export interface Recording {
  readonly transitions: readonly WebPageTransition[];
  /** Walks taken. */
  readonly walks: number;
  /** Actions that could not be done. */
  readonly failedActions: number;
  /** Walks that were taken again with the same pages. */
  readonly confirmedWalks: number;
  /** Walks that gave another page when they were taken again: which action, and both pages. */
  readonly differences: readonly Difference[];
}

/** A page that was another when the same actions were done again. */
export interface Difference {
  /** What was recorded. */
  readonly transition: WebPageTransition;
  /** The page that was seen instead. */
  readonly seen: string;
}

/** So many walks in a row without a transition end a recording: the site offers nothing. */
const GIVE_UP_AFTER = 3;

/** A walk whose first page could not be opened. */
const NO_WALK: Walk = { transitions: [], actions: [], tried: [], failedActions: 0 };

/** Records walks; see the file's head. A walk that cannot begin is an empty one, with a note. */
export async function recordSite(browser: WebBrowser, request: RecordingRequest): Promise<Recording> {
  const { steps, walkSteps, stream, firstTaskId, resetSite, checkedWalks = 0, signal, onTransition, onNote } = request;
  const taken: { startUrls: readonly string[]; walk: Walk }[] = [];
  let count = 0, emptyInARow = 0;
  const breathe = breather();
  while (count < steps && emptyInARow < GIVE_UP_AFTER && !signal?.aborted) {
    // Short walks end before they would breathe themselves.
    await breathe();
    resetSite?.();
    const random = new Philox(...stream, taken.length);
    const plan = request.walk(random);
    const walk = await unlessStopped(NO_WALK, () =>
      recordWalk(browser, {
        ...plan,
        steps: Math.min(walkSteps, steps - count),
        stream: random,
        taskId: firstTaskId + taken.length,
        signal,
        onTransition,
        onNote,
      }), request);
    taken.push({ startUrls: plan.startUrls, walk });
    count += walk.transitions.length;
    emptyInARow = walk.transitions.length === 0 ? emptyInARow + 1 : 0;
  }
  const differences: Difference[] = [];
  let confirmedWalks = 0;
  // Spread over the recording, so that late walks are among them.
  for (const { startUrls, walk } of spread(taken.filter(({ walk }) => walk.transitions.length > 0), checkedWalks)) {
    if (signal?.aborted) break;
    await breathe();
    resetSite?.();
    const difference = await unlessStopped("stopped" as const, () => replayWalk(browser, startUrls, walk), request);
    if (difference === undefined) confirmedWalks++;
    else if (difference !== "stopped") differences.push(difference);
  }
  return {
    transitions: taken.flatMap(({ walk }) => walk.transitions),
    walks: taken.length,
    failedActions: taken.reduce((sum, { walk }) => sum + walk.failedActions, 0),
    confirmedWalks,
    differences,
  };
}

/** What comes of browsing; `other` where the signal ends it, or the first pages cannot be opened, which is noted. */
async function unlessStopped<T, Other>(
  other: Other,
  browse: () => Promise<T>,
  { signal, onNote }: RecordingRequest,
): Promise<T | Other> {
  try {
    return await browse();
  } catch (error) {
    if (signal?.aborted && error === signal.reason) return other;
    if (!(error instanceof WebActionError)) throw error;
    onNote?.(error.message);
    return other;
  }
}

function spread<Item>(items: readonly Item[], count: number): Item[] {
  const some = Math.min(count, items.length);
  return Array.from({ length: some }, (_, index) => items[Math.floor((index * items.length) / some)]);
}
