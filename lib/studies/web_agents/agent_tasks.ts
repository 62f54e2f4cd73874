/**
 * What web agents are given: tasks of the built-in site with their solutions, or a file of WebArena's tasks; and browsers with the
 * site as new.
 */
import { dirname, resolve } from "node:path";
import type { AddressBook } from "./web_task_run.ts";
import type { Solution } from "./built_in/noisy_policy.ts";
import { UserError } from "../../base/user_error.ts";
import type { WebBrowser } from "../../worlds/web_page/browser.ts";
import { openChromium } from "../../gyms/chromium/chromium.ts";
import { readStorageState, type StorageState } from "../../gyms/chromium/storage_state.ts";
import { serveSite } from "../../gyms/shop/serve_site.ts";
import { SHOP_ORIGIN, ShopSite } from "../../gyms/shop/shop_site.ts";
import { siteTasks } from "../../gyms/shop/site_tasks.ts";
import { resolveStep, type SiteTask } from "../../gyms/shop/site_task.ts";
import { SimulatedBrowser } from "../../gyms/shop/simulated_browser.ts";
import { loadTasks, type LoadTasksOptions, type SitePlaces, type SkippedTask } from "./tasks/task_file.ts";
import type { WebTask } from "../../worlds/web_page/web_task.ts";

/** A task, where it is done, and how long it may take. */
export interface AgentTask {
  /** The task: words, first pages, how success is judged. */
  readonly task: WebTask;
  /** Seed of the built-in site; null: another site. */
  readonly site: number | null;
  /** Kind of site: `cart`, `forum`, `shopping_admin`, … */
  readonly area: string;
  /** Kind of task: `information`, `navigation`, `change`; where that is not known, how it is judged. */
  readonly kind: string;
  /** Actions that the agent may take at most. */
  readonly maxSteps: number;
  /** For the policy that knows it; undefined where it is not known. */
  readonly solution?: Solution;
  /** Addresses as models are told them. */
  readonly addresses?: AddressBook;
  /** With what the browser is signed in. */
  readonly login?: StorageState;
}

/** A browser for one task. */
export interface BrowserSession extends AsyncDisposable {
  /** With the site as new. */
  readonly browser: WebBrowser;
}

/** Opens a browser for a task. */
export type SessionOpener = (task: AgentTask) => Promise<BrowserSession>;

/**
 * How long tasks may take.
 *
 * @internal
 */
export interface StepLimits {
  /** Actions at most; by the solution where left out. */
  maxSteps?: number;
  /** Actions beyond the solution's. */
  slack: number;
}

/** Actions of a task whose solution is not known, as in the paper. */
const UNKNOWN_STEPS = 5;

/** The built-in site's tasks, for each seed. */
export function builtInTasks(siteSeeds: readonly number[], limits: StepLimits): AgentTask[] {
  return siteSeeds.flatMap((seed) =>
    siteTasks(new ShopSite({ seed })).map((task) => agentTask(task, seed, task, limits))
  );
}

/** What a task file is read with. */
export interface TaskFileOptions extends StepLimits, LoadTasksOptions {
  /** Seeds of the built-in site, for tasks that begin there. */
  siteSeeds: readonly number[];
  /** Where WebArena's sites are served, by placeholder. */
  sites: SitePlaces;
}

/**
 * Tasks of a file. Those that begin on the built-in site are done on each seed's, and have a solution where they are its own.
 *
 * @throws {UserError} When the file is wrong, or tasks of the built-in site are mixed with others.
 */
export async function fileTasks(path: string, options: TaskFileOptions): Promise<AgentTask[]> {
  const tasks = await loadTasks(path, options), { siteSeeds, sites } = options;
  const isBuiltIn = (task: WebTask) => task.startUrls.every((url) => URL.parse(url)?.origin === SHOP_ORIGIN);
  const own = tasks.filter(isBuiltIn);
  if (own.length > 0 && own.length < tasks.length) {
    throw new UserError(`${path} mixes tasks of the built-in site (${SHOP_ORIGIN}) with others: make two files of it`);
  }
  if (own.length === 0) {
    const addresses = addressBook(sites);
    return tasks.map((task) => ({ ...agentTask(task, null, undefined, options), addresses }));
  }
  return siteSeeds.flatMap((seed) => {
    const known = new Map(siteTasks(new ShopSite({ seed })).map((each) => [each.intent, each]));
    return tasks.map((task) => agentTask(task, seed, known.get(task.intent), options));
  });
}

/**
 * The tasks with their logins: the one that is given, or the file that each names (`storage_state`), seen from the task file. Those
 * whose file is not there or is no login are left out, and told by number.
 *
 * @throws {UserError} When the given one is not there or is no login, or no task is left.
 */
export async function withLogins(
  tasks: readonly AgentTask[],
  { taskFile, storageState, onSkipped }: {
    taskFile: string | null;
    storageState: string | null;
    onSkipped?: (task: SkippedTask) => void;
  },
): Promise<AgentTask[]> {
  const logins = new Map<string, StorageState | UserError>(), told = new Set<number>(), complete: AgentTask[] = [];
  for (const each of tasks) {
    const { taskId, storageState: named } = each.task;
    const path = storageState ?? (named && resolve(dirname(taskFile ?? "."), named));
    if (!path) {
      complete.push(each);
      continue;
    }
    const login = logins.get(path) ?? await readLogin(path);
    logins.set(path, login);
    if (!(login instanceof UserError)) complete.push({ ...each, login });
    else if (storageState !== null) throw login;
    else if (!told.has(taskId)) {
      told.add(taskId);
      onSkipped?.({ taskId, reason: `${login.message}, or name one for all tasks with --storage-state` });
    }
  }
  if (complete.length === 0) {
    const [reason] = logins.values();
    throw new UserError(
      `no task of ${taskFile} has its login: ${
        (reason as UserError).message
      }, or name one for all tasks with --storage-state`,
    );
  }
  return complete;
}

async function readLogin(path: string): Promise<StorageState | UserError> {
  try {
    return await readStorageState(path);
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
}

function agentTask(task: WebTask, site: number | null, known: SiteTask | undefined, limits: StepLimits): AgentTask {
  const solution = known && solutionOf(known);
  return {
    task,
    site,
    area: known?.area ?? ([...task.sites].sort().join(" + ") || "other"),
    kind: known?.kind ?? [...task.evaluation.types].sort().join(" + "),
    maxSteps: limits.maxSteps ?? (solution ? solution.length - 1 + limits.slack : UNKNOWN_STEPS),
    solution,
  };
}

function solutionOf({ solution }: SiteTask): Solution {
  return {
    length: solution.length,
    resolve: (step, observation) => resolveStep(solution[step], observation),
    isNavigation: (step) => {
      const each = solution[step];
      if ("stop" in each) return false;
      return each.select.role === "link" || each.select.name === "Search";
    },
  };
}

/** Names by which models know WebArena's sites. */
const TOLD_PLACES: Readonly<Record<string, string>> = {
  __SHOPPING__: "http://onestopmarket.com",
  __SHOPPING_ADMIN__: "http://luma.com/admin",
  __REDDIT__: "http://reddit.com",
  __GITLAB__: "http://gitlab.com",
  __WIKIPEDIA__: "http://wikipedia.org",
  __MAP__: "http://openstreetmap.org",
  __HOMEPAGE__: "http://homepage.com",
  __CLASSIFIEDS__: "http://classifieds.com",
};

/** Addresses of served sites by the names that models know. */
export function addressBook(sites: SitePlaces): AddressBook {
  const pairs = Object.entries(sites).flatMap(([placeholder, place]) => {
    const told = TOLD_PLACES[placeholder];
    return told === undefined ? [] : [[place.replace(/\/$/, ""), told] as const];
  });
  const replaced = (url: string, from: 0 | 1) => {
    // The longest place that fits: one site may be served below another.
    const fitting = pairs.filter((pair) => url === pair[from] || url.startsWith(`${pair[from]}/`))
      .sort((a, b) => b[from].length - a[from].length);
    return fitting.length === 0 ? url : fitting[0][1 - from] + url.slice(fitting[0][from].length);
  };
  return { told: (url) => replaced(url, 0), real: (url) => replaced(url, 1) };
}

/** Opens the built-in site in its simulated browser. @throws {UserError} When the task begins elsewhere. */
export function openSimulated({ site, task }: AgentTask): Promise<BrowserSession> {
  if (site === null) {
    throw new UserError(
      `task_id ${task.taskId} begins at ${
        task.startUrls[0]
      }, which the simulated browser does not know: use --browser chromium`,
    );
  }
  const browser = new SimulatedBrowser(new ShopSite({ seed: site }));
  return Promise.resolve({ browser, [Symbol.asyncDispose]: () => browser[Symbol.asyncDispose]() });
}

/**
 * Opens Chromium with a fresh profile: on the built-in site, served for this task alone, or on the task's own sites.
 *
 * @param allowedHosts Hosts that it may reach besides those where the task begins.
 * @param sites Those of a task file: tasks go from one to another.
 * @param options How long a page may take, in seconds (default 10), and what ends all waiting.
 */
export function chromiumOpener(
  allowedHosts: readonly string[],
  sites: SitePlaces = {},
  { pageLimit = 10, signal }: { pageLimit?: number; signal?: AbortSignal } = {},
): SessionOpener {
  return async ({ site, task, login: storageState }) => {
    await using owned = new AsyncDisposableStack();
    const common = { settling: { limit: pageLimit * 1000 }, storageState, signal };
    let browser: WebBrowser;
    if (site === null) {
      const hosts = [...task.startUrls, ...Object.values(sites)].map((url) => new URL(url).host);
      browser = owned.use(await openChromium({ ...common, allowedHosts: [...new Set([...hosts, ...allowedHosts])] }));
    } else {
      const served = serveSite(new ShopSite({ seed: site }));
      owned.defer(() => served.close());
      const host = new URL(SHOP_ORIGIN).hostname, hosts = { [host]: `127.0.0.1:${served.port}` };
      browser = owned.use(await openChromium({ ...common, allowedHosts: [host], hosts }));
    }
    const kept = owned.move();
    return { browser, [Symbol.asyncDispose]: () => kept.disposeAsync() };
  };
}
