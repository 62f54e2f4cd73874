/**
 * `deno task record-web`: walks through a site and writes what happened as a data set, a parquet file with the columns of the hub's.
 *
 * Without `--site`, the built-in shop: the same seeds give the same file, in Chromium and in the simulated browser.
 */
import { writeFileAtomic } from "../lib/io/atomic.ts";
import { UserError, visible } from "../lib/base/user_error.ts";
import { progressFor } from "../lib/runs/progress.ts";
import { RunInterruptedError } from "../lib/runs/stage.ts";
import type { Observation, WebBrowser } from "../lib/worlds/web_page/browser.ts";
import { openChromium } from "../lib/gyms/chromium/chromium.ts";
import { readStorageState, type StorageState } from "../lib/gyms/chromium/storage_state.ts";
import { builtInWalk } from "../lib/gyms/shop/walks.ts";
import { writeWebPageParquet } from "../lib/worlds/web_page/parquet.ts";
import { type Recording, type RecordingRequest, recordSite } from "../lib/worlds/web_page/recording.ts";
import { serveSite } from "../lib/gyms/shop/serve_site.ts";
import { ShopSite } from "../lib/gyms/shop/shop_site.ts";
import { siteTasks } from "../lib/gyms/shop/site_tasks.ts";
import { SimulatedBrowser } from "../lib/gyms/shop/simulated_browser.ts";
import type { WebPageTransition } from "../lib/worlds/web_page/transition.ts";
import { checkOutput, type Command, type Flags, readFlags, runCommand } from "./cli.ts";
import { siteAddresses } from "./site_addresses.ts";

const WALKS = ["random", "scripted", "mixed"] as const;
const BROWSERS = ["chromium", "simulated"] as const;
/** Walks of a seed are numbered from a thousand times the seed. */
const WALKS_PER_SEED = 1000;
/** The built-in shop has no scripts: its pages are done as soon as they are loaded. */
const SHOP_SETTLING = { quiet: 20 };
/** So many different notes are shown and kept; all are counted. */
const MOST_NOTES = 20;

const COMMAND: Command = {
  name: "record-web",
  summary: "Walk through a web site and record each action with the pages before and after it.",
  flags: {
    site: {
      value: "URL",
      description: "Where walks begin; only its host is reached",
      default: "the built-in shop",
      repeated: true,
    },
    "allow-host": { value: "HOST", description: "Another host that pages may reach, with --site", repeated: true },
    "storage-state": {
      value: "FILE",
      description: "A login that each walk begins with, as deno task web-login makes it; with --site",
    },
    seeds: {
      value: "N,N,…",
      description: "Shops to walk through; with --site, only what decides the walks",
      default: "0",
    },
    steps: { value: "N", description: "Transitions in all", default: "2000" },
    "walk-steps": {
      value: "N",
      description: "Transitions of a walk, which begins with a fresh profile",
      default: "20",
    },
    walk: {
      value: WALKS.join("|"),
      description: "By chance or along tasks' solutions",
      default: "mixed; random with --site",
    },
    browser: { value: BROWSERS.join("|"), description: "Where the pages are seen", default: "chromium" },
    minutes: { value: "N", description: "End after so many, with what was recorded", default: "no limit" },
    "page-limit": {
      value: "SECONDS",
      description: "That a page may take to settle or answer; three times that to begin to load",
      default: "10",
    },
    check: {
      value: "N",
      description: "Walks of each seed to take again: the pages must be the same; a --site is not reset in between",
      default: "0",
    },
    "max-lines": { value: "N", description: "Cut trees after so many lines", default: "all" },
    out: { value: "FILE.parquet", description: "Where to write; what was set stands beside it as FILE.json" },
  },
  epilogue: () =>
    "Ctrl-C keeps what was recorded, and so does whatever else ends it early. You should see several transitions a second in Chromium.",
};

interface Settings {
  sites: string[];
  allowedHosts: string[];
  seeds: number[];
  steps: number;
  walkSteps: number;
  walk: (typeof WALKS)[number];
  browser: (typeof BROWSERS)[number];
  minutes: number | undefined;
  pageLimit: number;
  storageState: string | undefined;
  check: number;
  maxLines: number | undefined;
  out: string;
}

/** What the walks of one seed need. */
interface OpenSite extends AsyncDisposable {
  browser: WebBrowser;
  walk: RecordingRequest["walk"];
  resetSite?: () => void;
}

await runCommand(async (signal) => {
  const settings = readSettings(readFlags(COMMAND, Deno.args));
  await checkOutput(settings.out, "web.parquet");
  const login = settings.storageState === undefined ? undefined : await readStorageState(settings.storageState);
  const started = performance.now();
  const progress = progressFor(Deno.stderr);
  const recordings: Recording[] = [];
  const transitions: WebPageTransition[] = [];
  const notes = new Map<string, number>();
  let cutPages = 0, failure: unknown;
  const onNote = (text: string) => {
    if (notes.size < MOST_NOTES && !notes.has(text)) progress.note(text);
    if (notes.size < MOST_NOTES || notes.has(text)) notes.set(text, (notes.get(text) ?? 0) + 1);
  };
  progress.stage("recording", settings.steps, { unit: "transitions" });
  try {
    for (const [index, seed] of settings.seeds.entries()) {
      const share = Math.ceil((settings.steps - transitions.length) / (settings.seeds.length - index));
      const stop = AbortSignal.any([signal, ...timeLimit(settings, started, index)]);
      await using site = await openSite(settings, seed, login, stop);
      recordings.push(
        await recordSite(watched(site.browser, ({ linesLeftOut }) => cutPages += linesLeftOut ? 1 : 0), {
          steps: share,
          walkSteps: settings.walkSteps,
          stream: [seed],
          firstTaskId: seed * WALKS_PER_SEED,
          walk: site.walk,
          resetSite: site.resetSite,
          checkedWalks: settings.check,
          signal: stop,
          onTransition: (transition) => {
            transitions.push(transition);
            progress.step(transitions.length, { seed, page: new URL(transition.url).pathname });
          },
          onNote,
        }),
      );
      if (signal.aborted) break;
    }
  } catch (error) {
    // What was recorded before is kept, whatever has happened.
    failure = error;
  }
  progress.done();
  if (transitions.length === 0) {
    throw failure ?? (signal.aborted ? new RunInterruptedError("stopped: nothing had been recorded") : new UserError(
      `nothing was recorded: ${[...notes.keys()].at(-1) ?? "the pages offered no action that could be done"}`,
    ));
  }
  const counted = { recordings, transitions, notes, cutPages };
  await finish(settings, counted, (performance.now() - started) / 1000, signal.aborted, failure);
}, { stopping: "stopping after this step, to write what was recorded" });

/** The seeds share the minutes there are. */
function timeLimit({ minutes, seeds }: Settings, started: number, index: number): AbortSignal[] {
  if (minutes === undefined) return [];
  const end = started + (minutes * 60_000 * (index + 1)) / seeds.length;
  return [AbortSignal.timeout(Math.max(0, Math.round(end - performance.now())))];
}

function readSettings(flags: Flags): Settings {
  const sites = flags.list("site");
  const walk = oneOf("walk", flags.text("walk"), WALKS, sites.length > 0 ? "random" : "mixed");
  const browser = oneOf("browser", flags.text("browser"), BROWSERS, "chromium");
  if (sites.length > 0 && browser === "simulated") {
    throw new UserError(
      "--browser simulated knows the built-in shop only: leave out --site, or take --browser chromium",
    );
  }
  if (sites.length > 0 && walk !== "random") {
    throw new UserError(`--walk ${walk} needs the built-in shop's tasks: leave out --site, or take --walk random`);
  }
  if (sites.length === 0 && flags.list("allow-host").length > 0) {
    throw new UserError("--allow-host needs --site: the built-in shop reaches nothing else");
  }
  if (sites.length === 0 && flags.text("storage-state") !== undefined) {
    throw new UserError("--storage-state needs --site: nobody signs in to the built-in shop");
  }
  siteAddresses(sites);
  const seeds = (flags.text("seeds") ?? "0").split(",").map((text) => {
    if (!/^\d{1,9}$/.test(text.trim())) {
      throw new UserError(`--seeds must be whole numbers with commas between them: received "${flags.text("seeds")}"`);
    }
    return Number(text);
  });
  if (new Set(seeds).size < seeds.length) throw new UserError(`--seeds must differ: received "${flags.text("seeds")}"`);
  const out = flags.text("out");
  if (out === undefined) throw new UserError("--out is missing: name the file to write, such as --out web.parquet");
  return {
    sites,
    allowedHosts: [...sites.map((site) => new URL(site).host), ...flags.list("allow-host")],
    seeds,
    steps: flags.integer("steps", 1) ?? 2000,
    walkSteps: flags.integer("walk-steps", 1) ?? 20,
    walk,
    browser,
    minutes: flags.integer("minutes", 1),
    pageLimit: flags.integer("page-limit", 1) ?? 10,
    storageState: flags.text("storage-state"),
    check: flags.integer("check") ?? 0,
    maxLines: flags.integer("max-lines", 1),
    out,
  };
}

function oneOf<Name extends string>(
  flag: string,
  given: string | undefined,
  names: readonly Name[],
  usual: Name,
): Name {
  const name = names.find((each) => each === (given ?? usual));
  if (name === undefined) throw new UserError(`--${flag} must be one of ${names.join(", ")}: received "${given}"`);
  return name;
}

async function openSite(
  settings: Settings,
  seed: number,
  storageState: StorageState | undefined,
  signal: AbortSignal,
): Promise<OpenSite> {
  const { sites, maxLines } = settings, limit = settings.pageLimit * 1000;
  if (sites.length > 0) {
    const { allowedHosts } = settings;
    const browser = await openChromium({ allowedHosts, settling: { limit }, storageState, maxLines, signal });
    const objective = "Look around on the site";
    const walk: OpenSite["walk"] = (random) => ({ startUrls: [sites[random.integer(0, sites.length)]], objective });
    return { browser, walk, [Symbol.asyncDispose]: () => browser.close() };
  }
  const site = new ShopSite({ seed }), tasks = siteTasks(site);
  const walk: OpenSite["walk"] = (random) => {
    const chance = random.uniform();
    return builtInWalk(site, tasks, random, settings.walk === "scripted" || settings.walk === "mixed" && chance < 0.5);
  };
  const resetSite = () => site.reset();
  if (settings.browser === "simulated") {
    return {
      browser: new SimulatedBrowser(site, { maxLines }),
      walk,
      resetSite,
      [Symbol.asyncDispose]: async () => {},
    };
  }
  const served = serveSite(site);
  try {
    const hosts = { "shop.test": new URL(served.origin).host };
    const browser = await openChromium({ hosts, settling: { ...SHOP_SETTLING, limit }, maxLines, signal });
    return { browser, walk, resetSite, [Symbol.asyncDispose]: () => browser.close().finally(() => served.close()) };
  } catch (error) {
    await served.close();
    throw error;
  }
}

/** The same browser, with a word about each page that is seen. */
function watched(browser: WebBrowser, onSeen: (observation: Observation) => void): WebBrowser {
  const seen = async (look: Promise<Observation>) => {
    const observation = await look;
    onSeen(observation);
    return observation;
  };
  return {
    reset: (urls) => seen(browser.reset(urls)),
    observe: () => seen(browser.observe()),
    perform: (action) => seen(browser.perform(action)),
    locate: (locator, url) => browser.locate(locator, url),
    screenshot: () => browser.screenshot(),
    [Symbol.asyncDispose]: () => browser[Symbol.asyncDispose](),
  };
}

async function finish(
  settings: Settings,
  { recordings, transitions, notes, cutPages }: {
    recordings: readonly Recording[];
    transitions: readonly WebPageTransition[];
    notes: ReadonlyMap<string, number>;
    cutPages: number;
  },
  seconds: number,
  isInterrupted: boolean,
  failure: unknown,
): Promise<void> {
  const { out, check } = settings;
  await writeWebPageParquet(out, transitions);
  const sum = (count: (recording: Recording) => number) => recordings.reduce((total, each) => total + count(each), 0);
  const summary = {
    ...settings,
    transitions: transitions.length,
    walks: new Set(transitions.map(({ taskId }) => taskId)).size,
    failedActions: sum(({ failedActions }) => failedActions),
    cutPages,
    confirmedWalks: sum(({ confirmedWalks }) => confirmedWalks),
    notes: Object.fromEntries(notes),
    seconds: Math.round(seconds * 10) / 10,
  };
  await writeFileAtomic(`${out}.json`, JSON.stringify(summary, null, 2) + "\n");
  console.log(
    `${out}: ${summary.transitions} transitions of ${summary.walks} walks in ${summary.seconds} s ` +
      `(${(transitions.length / seconds).toFixed(1)} a second); ${summary.failedActions} actions could not be done` +
      (settings.maxLines === undefined ? "" : `; ${cutPages} of the pages seen were cut to ${settings.maxLines} lines`),
  );
  const differences = recordings.flatMap((recording) => recording.differences);
  if (check > 0) {
    const doubt = settings.sites.length > 0 && differences.length > 0 ? " (the site was not reset in between)" : "";
    console.log(
      `taken again: ${summary.confirmedWalks} walks with the same pages, ${differences.length} with others${doubt}`,
    );
  }
  const shown = (page: string) => page.split("\n").map(visible).join("\n");
  for (const { transition: { taskId, step, action, nextObservation }, seen } of differences) {
    console.error(
      `walk ${taskId}, step ${step}, ${visible(action)}: the next page was\n${shown(nextObservation)}\nand is\n${
        shown(seen)
      }`,
    );
  }
  if (failure !== undefined) {
    console.error(`ended early: ${transitions.length} transitions were kept`);
    throw failure;
  }
  if (isInterrupted) throw new RunInterruptedError(`stopped: ${transitions.length} transitions were kept`);
  if (differences.length > 0) Deno.exit(1);
}
