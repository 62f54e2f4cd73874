/**
 * One task, from the first page to the last action: asks the agent, does what it chose, and tells each step as a record that can
 * be written as JSON. Whether the task succeeded is an evaluator's affair.
 *
 * An action that cannot be done (an id that is not on the page, a host that is not allowed) changes nothing; it stands in the
 * record and in the history, and the agent goes on, as in WebArena.
 */
import { formatAction, type WebAction } from "../../worlds/web_page/actions.ts";
import { type Observation, WebActionError, type WebBrowser } from "../../worlds/web_page/browser.ts";
import type { ChoiceReason, Decision, JudgedCandidate, PlanningAgent } from "./planning_agent.ts";
import type { PastAction } from "./roles.ts";

/**
 * A task to be run.
 *
 * @internal
 */
export interface WebTaskRun {
  /** The session. */
  browser: WebBrowser;
  /** Who chooses. */
  agent: PlanningAgent;
  /** What the user wants. */
  objective: string;
  /** Addresses of the first tabs; the first is looked at. */
  startUrls: readonly string[];
  /** Name of the random stream: seed, purpose, task. The step's number is added. */
  stream: readonly number[];
  /** Addresses as models are told them, and back. The addresses themselves when left out. */
  addresses?: AddressBook;
  /** Takes a picture before each step. Default false. */
  takesScreenshots?: boolean;
  /** Told each step as it is done. */
  onStep?: (record: StepRecord, screenshot: Uint8Array | undefined) => void | Promise<void>;
  /** Ends the task. */
  signal?: AbortSignal;
}

/**
 * Sites by the names that models know, in place of where they are hosted.
 *
 * @internal
 */
export interface AddressBook {
  /** What models are told. */
  told(url: string): string;
  /** What the browser opens. */
  real(url: string): string;
}

/** One step, as it is written to `steps.jsonl`. */
export interface StepRecord extends Omit<Decision, "action" | "described" | "candidates"> {
  /** Number of the action, from 0. */
  step: number;
  /** Address of the page that the agent saw. */
  url: string;
  /** The page that the agent saw. */
  observation: string;
  /** Lines of it that were cut off. */
  linesLeftOut?: number;
  /** What was done: `click [12]`. */
  action: string;
  /** The same as histories tell it. */
  described: string;
  /** The actions that were considered, with what was predicted of each. */
  candidates: Omit<JudgedCandidate, "action" | "sections">[];
  /** Why the action could not be done. */
  refused?: string;
  /** What had happened before it that cannot be seen on the page: dialogs, pages that did not answer, lost tabs. */
  notes?: readonly string[];
  /** Seconds that the step took, the action's included. */
  seconds: number;
}

/**
 * How a task went.
 *
 * @internal
 */
export interface WebTaskTrace {
  /** The answer of the last action. */
  answer: string;
  /** Why it ended. */
  reason: ChoiceReason;
  /** Actions done, the stop not counted. */
  actions: WebAction[];
  /** The last page. */
  observation: Observation;
}

/**
 * Runs a task to its end.
 *
 * @throws {RoleFailedError} When a role fails.
 * @throws {WebActionError} When the first pages cannot be opened.
 */
export async function runWebTask(run: WebTaskRun): Promise<WebTaskTrace> {
  const { browser, agent, objective, addresses, signal } = run;
  let observation = await browser.reset(run.startUrls);
  const history: PastAction[] = [];
  for (let step = 0;; step++) {
    signal?.throwIfAborted();
    const start = performance.now();
    const screenshot = run.takesScreenshots ? await browser.screenshot() : undefined;
    const decision = await agent.decide({
      objective,
      observation,
      url: addresses ? addresses.told(observation.url) : observation.url,
      history,
      stream: [...run.stream, step],
      signal,
    });
    const { action, described } = decision, isLast = action.kind === "stop";
    let next = observation, refused: string | undefined;
    if (!isLast) {
      try {
        const isGoto = action.kind === "goto" && addresses;
        next = await browser.perform(isGoto ? { ...action, url: addresses.real(action.url) } : action);
      } catch (error) {
        if (!(error instanceof WebActionError)) throw error;
        refused = error.message;
        next = await browser.observe();
      }
    }
    await run.onStep?.(
      recordOf(step, observation, decision, refused, (performance.now() - start) / 1000),
      screenshot,
    );
    if (isLast) {
      return {
        answer: action.answer,
        reason: decision.reason,
        actions: history.map((each) => each.action),
        observation,
      };
    }
    history.push({ action, described });
    observation = next;
  }
}

function recordOf(
  step: number,
  { url, tree, linesLeftOut, notes }: Observation,
  { action, described, candidates, ...rest }: Decision,
  refused: string | undefined,
  seconds: number,
): StepRecord {
  return {
    step,
    url,
    observation: tree,
    ...linesLeftOut === undefined ? {} : { linesLeftOut },
    action: formatAction(action),
    described,
    ...rest,
    candidates: candidates.map(({ action: _action, sections: _sections, ...each }) => each),
    ...refused === undefined ? {} : { refused },
    ...notes === undefined ? {} : { notes },
    seconds,
  };
}
