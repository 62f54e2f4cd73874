/** What tests of comparisons of web agents share: settings, tasks, a folder, logs. */
import { join } from "node:path";
import type { EndpointSettings } from "../../lib/studies/web_agents/agent_endpoints.ts";
import type { WebAgentContext, WebAgentSettings } from "../../lib/studies/web_agents/agent_run.ts";
import { silentProgress } from "../../lib/runs/progress.ts";
import { ShopSite } from "../../lib/gyms/shop/shop_site.ts";
import { siteTasks } from "../../lib/gyms/shop/site_tasks.ts";
import { taskJson } from "../../lib/worlds/web_page/web_task.ts";
import type { ChatServer } from "./chat_server.ts";

/** Agents of the built-in site's first shop, without a world model and with the site itself as one. */
export const SETTINGS: WebAgentSettings = {
  run: null,
  conditions: ["none", "oracle"],
  tasks: null,
  taskIds: null,
  sites: {},
  siteSeeds: [1],
  seeds: [0],
  browser: "simulated",
  allowedHosts: [],
  storageState: null,
  pageLimit: 10,
  endpoints: {},
  prompts: null,
  history: "all",
  valueScale: "1-5",
  pageCharacters: null,
  branching: 3,
  samples: null,
  valueSamples: 2,
  maxSteps: null,
  slack: 3,
  confusion: 0.6,
  greedy: true,
  workers: 8,
};

/** A server's endpoint. */
export const endpoint = (server: ChatServer): EndpointSettings => ({
  url: server.base,
  model: null,
  kind: "chat",
  keyVariable: null,
});

/** Runs a test with a folder, and what a comparison there runs in. */
export async function inFolder(test: (folder: string, context: WebAgentContext) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder, {
      out: join(folder, "run"),
      resume: false,
      openEngine: () => Promise.reject(new Error("no model is asked here")),
      requests: { retries: 1, timeoutSeconds: 2 },
      progress: silentProgress,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A file with some of a site's tasks. */
export async function taskFile(folder: string, seed: number, ...patterns: RegExp[]): Promise<string> {
  const tasks = siteTasks(new ShopSite({ seed })).filter(({ intent }) => patterns.some((each) => each.test(intent)));
  const path = join(folder, "tasks.json");
  await Deno.writeTextFile(path, JSON.stringify(tasks.map(taskJson)));
  return path;
}

/** Lines of a log. */
export const lines = async (path: string) =>
  (await Deno.readTextFile(path)).trim().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
