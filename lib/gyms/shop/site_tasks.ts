/**
 * Tasks on the built-in site, in WebArena's form, each with a way to solve it: questions to be answered (`information`), pages to be
 * found (`navigation`), things to be done (`change`). All follow from the site's seed.
 *
 * A solution names elements by role and name, not by id, so that it can be followed in any browser. It is for tests and for policies
 * that are to be right some of the time; an agent never sees it.
 */
import { writeFileAtomic } from "../../io/atomic.ts";
import type { WebAction } from "../../worlds/web_page/actions.ts";
import type { Observation } from "../../worlds/web_page/browser.ts";
import { taskJson, type WebTask } from "../../worlds/web_page/web_task.ts";
import { initialShopData } from "./shop_data.ts";
import { SHOP_ORIGIN, type ShopSite } from "./shop_site.ts";
import { taskDrafts } from "./site_task_drafts.ts";

/** What a task asks for. */
export type SiteTaskKind = "information" | "navigation" | "change";
/** Which part of the site a task is about. */
export type SiteArea = "shop" | "cart" | "account" | "wish list" | "reviews" | "help" | "admin" | "forum";

/** One step of a solution: an action on the first element of that role and name, or the end with an answer. */
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

/** A task with a way to solve it. */
export interface SiteTask extends WebTask {
  /** What is asked for. */
  readonly kind: SiteTaskKind;
  /** Where it happens. */
  readonly area: SiteArea;
  /** Ends with a stop. */
  readonly solution: readonly SolutionStep[];
}

/** What a draft leaves to be filled in alike for all. */
export type TaskDraft =
  & Pick<SiteTask, "intent" | "kind" | "area" | "solution" | "evaluation">
  & { readonly startPath?: string };

/** The kind of WebArena's sites that an area is like. */
const SITE_OF: Readonly<Record<SiteArea, string>> = {
  shop: "shopping",
  cart: "shopping",
  account: "shopping",
  "wish list": "shopping",
  reviews: "shopping",
  help: "shopping",
  admin: "shopping_admin",
  forum: "reddit",
};
/** Ids of a seed's tasks begin at the seed times this. */
const IDS_PER_SEED = 1000;

/** The tasks of a site: at least 40, for the site as its seed makes it, whatever has been done to it since. */
export function siteTasks(site: Pick<ShopSite, "seed">): SiteTask[] {
  return taskDrafts(initialShopData(site.seed), site.seed).map(({ startPath = "/", ...draft }, index) => ({
    ...draft,
    taskId: site.seed * IDS_PER_SEED + index,
    sites: [SITE_OF[draft.area]],
    startUrls: [SHOP_ORIGIN + startPath],
    requiresReset: draft.kind === "change",
    requiresLogin: true,
  }));
}

/** Writes a site's tasks as a file of WebArena's form; solutions are not in it. */
export async function writeSiteTasks(site: Pick<ShopSite, "seed">, path: string): Promise<void> {
  await writeFileAtomic(path, JSON.stringify(siteTasks(site).map(taskJson), null, 2) + "\n");
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
