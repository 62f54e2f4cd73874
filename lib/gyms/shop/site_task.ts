/**
 * A task on the built-in site with a way to solve it: a question to be answered (`information`), a page to be found
 * (`navigation`), or something to be done (`change`). Which tasks there are is `site_tasks.ts`.
 *
 * A solution names elements by role and name, not by id, so that it can be followed in any browser. It is for tests and for policies
 * that are to be right some of the time; an agent never sees it.
 */
import type { WebAction } from "../../worlds/web_page/actions.ts";
import type { Observation } from "../../worlds/web_page/browser.ts";
import type { WebTask } from "../../worlds/web_page/web_task.ts";

/** Which part of the site a task is about. */
export type SiteArea = "shop" | "cart" | "account" | "wish list" | "reviews" | "help" | "admin" | "forum";

/**
 * One step of a solution: an action on the first element of that role and name, or the end with an answer.
 *
 * @internal
 */
export type SolutionStep =
  | { readonly select: ElementName; readonly action: "click" }
  | {
    readonly select: ElementName;
    readonly action: "type";
    readonly text: string;
    /** Default false. */
    readonly pressEnter?: boolean;
  }
  | { readonly stop: string };

/** Which element is meant: its role, and its name or what its name matches. */
export interface ElementName {
  /** Role in the accessibility tree. */
  readonly role: string;
  /** Name, or what it matches. */
  readonly name: string | RegExp;
}

/**
 * A task with a way to solve it.
 *
 * @internal
 */
export interface SiteTask extends WebTask {
  /** What is asked for. */
  readonly kind: "information" | "navigation" | "change";
  /** Where it happens. */
  readonly area: SiteArea;
  /** Ends with a stop. */
  readonly solution: readonly SolutionStep[];
}

/** The action of a step on the page as it is; undefined when the element is not there. */
export function resolveStep(step: SolutionStep, observation: Observation): WebAction | undefined {
  if ("stop" in step) return { kind: "stop", answer: step.stop };
  const { role, name } = step.select;
  for (const [id, node] of observation.nodes) {
    if (node.role !== role || !(typeof name === "string" ? node.name === name : name.test(node.name))) continue;
    return step.action === "click"
      ? { kind: "click", id }
      : { kind: "type", id, text: step.text, pressEnter: step.pressEnter ?? false };
  }
  return undefined;
}
