/**
 * Built-in data: walks through the built-in site in its simulated browser, thousands of transitions a few seconds.
 *
 * Each seed of the site is another shop with a catalogue of its own, so what is held out are shops that training has never seen.
 * Half of the walks follow the solution of one of the shop's tasks, with detours, so that what people do in a shop is well
 * covered; the others go by chance. These begin at pages from all over the shop, for a walk from the home page would mostly see
 * the pages near it.
 */
import { breather } from "../../base/breather.ts";
import { Philox } from "../../tensor/random.ts";
import type { Observation } from "../../worlds/web_page/browser.ts";
import { recordWalk, type WalkRequest } from "../../worlds/web_page/recorder.ts";
import type { ShopData } from "./shop_data.ts";
import { SHOP_ORIGIN, ShopSite } from "./shop_site.ts";
import { siteTasks } from "./site_tasks.ts";
import { resolveStep, type SiteTask } from "./site_task.ts";
import { SimulatedBrowser } from "./simulated_browser.ts";
import type { WebPageTransition } from "../../worlds/web_page/transition.ts";

/** A transition and the shop that it was recorded in. */
export interface SiteTransition {
  /** Seed of the shop. */
  readonly site: number;
  /** What was recorded. */
  readonly transition: WebPageTransition;
}

/** What a walk without a task is for. */
const OBJECTIVE = "Look around in the shop";

/** Records walks; the same options give the same transitions. @throws The signal's reason once it is aborted. */
export async function builtInWalks(
  { sites, walks, steps, stream, signal }: {
    /** Seeds of the shops. */
    readonly sites: Iterable<number>;
    /** Walks through each. */
    readonly walks: number;
    /** Transitions of each. */
    readonly steps: number;
    /** Leading part of the names of the walks' random streams; the shop's seed and the walk's number follow. */
    readonly stream: readonly number[];
    /** Ends it. */
    readonly signal?: AbortSignal;
  },
): Promise<SiteTransition[]> {
  const recorded: SiteTransition[] = [], breathe = breather(signal);
  let taskId = 0;
  for (const seed of sites) {
    const site = new ShopSite({ seed }), tasks = siteTasks(site);
    await using browser = new SimulatedBrowser(site);
    for (let walk = 0; walk < walks; walk++) {
      // Short walks end before they would breathe themselves.
      await breathe();
      site.reset();
      const random = new Philox(...stream, seed, walk);
      const { transitions } = await recordWalk(browser, {
        ...builtInWalk(site, tasks, random, random.uniform() < TASK_SHARE),
        steps,
        stream: random,
        taskId: taskId++,
      });
      for (const transition of transitions) recorded.push({ site: seed, transition });
    }
  }
  return recorded;
}

/** How many of the walks follow a task's solution. */
const TASK_SHARE = 0.5;

/**
 * What a walk through a shop is to do.
 *
 * @param followsTask Along the solution of one of the shop's tasks, or by chance.
 */
export function builtInWalk(
  site: ShopSite,
  tasks: readonly SiteTask[],
  random: Philox,
  followsTask: boolean,
): BuiltInWalk {
  const purpose = followsTask
    ? taskWalk(pick(tasks, random))
    : { startUrls: [SHOP_ORIGIN + startPath(site.data, random)], objective: OBJECTIVE };
  return {
    ...purpose,
    usesTabs: false,
    clickWeights: CLICK_WEIGHTS,
    words: [...new Set(site.data.products.flatMap(({ name }) => name.toLowerCase().split(" ")))],
  };
}

/** The part of a walk's request that the shop decides. */
export type BuiltInWalk = Omit<WalkRequest, "steps" | "stream" | "taskId">;

function taskWalk({ startUrls, intent, solution }: SiteTask) {
  const script = solution.filter((step) => !("stop" in step))
    .map((step) => (observation: Observation) => resolveStep(step, observation));
  return { startUrls, objective: intent, script };
}

/** The shop's texts and headings do nothing when they are clicked: now and then one should be seen to. */
const CLICK_WEIGHTS = { heading: 0.03, StaticText: 0.03, RootWebArea: 0 };

/** Where walks begin, with how often. */
const STARTS: readonly (readonly [share: number, path: (data: ShopData, random: Philox) => string])[] = [
  [0.15, () => "/"],
  [0.25, ({ products }, random) => `/category/${slugOf(pick(products, random).category)}`],
  [0.3, ({ products }, random) => `/product/${pick(products, random).slug}`],
  [0.06, ({ products }, random) => `/product/${pick(products, random).slug}/reviews`],
  [0.06, ({ posts }, random) => `/forum/${pick(posts, random).number}`],
  [0.04, () => "/forum"],
  [0.05, () => "/account"],
  [0.03, () => "/account/orders"],
  [0.03, () => "/admin/orders"],
  [0.03, () => "/admin/products"],
];

function startPath(data: ShopData, random: Philox): string {
  let left = random.uniform();
  const [, path] = STARTS.find(([share]) => (left -= share) < 0) ?? STARTS[0];
  return path(data, random);
}

function pick<Item>(items: readonly Item[], random: Philox): Item {
  return items[random.integer(0, items.length)];
}

function slugOf(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]+/g, "-");
}
