/** What a comparison of web agents gives to whom: models, random numbers, limits, roles, keys, what Chromium may and must. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { runWebAgents, type WebAgentSettings } from "../../../lib/studies/web_agents/agent_run.ts";
import { openWebPageModel, WebPageModel } from "../../../lib/recipes/web_page/web_page_model.ts";
import type { CausalTransformer } from "../../../lib/models/causal_transformer.ts";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { ShopSite } from "../../../lib/gyms/shop/shop_site.ts";
import { siteTasks } from "../../../lib/gyms/shop/site_tasks.ts";
import { SimulatedBrowser } from "../../../lib/gyms/shop/simulated_browser.ts";
import { taskJson } from "../../../lib/worlds/web_page/web_task.ts";
import { said, serveChat } from "../../support/chat_server.ts";
import { hasChromium } from "../../support/chromium.ts";
import { digest, replace } from "../../support/config_fields.ts";
import { endpoint, inFolder, lines, SETTINGS, taskFile } from "../../support/tiny_web_agents.ts";
import { tinyWebRun } from "../../support/tiny_web_run.ts";

async function weightsOf({ parameters }: CausalTransformer): Promise<string> {
  return digest(await Promise.all([...parameters.values()].map(async (each) => Array.from(await each.data(), Number))));
}

Deno.test("web agents: each trained model is asked as itself, as it is to be asked, and never twice with the same numbers", async () => {
  await inFolder(async (folder, context) => {
    const run = join(folder, "trained"), tasks = await taskFile(folder, 1, /^Sign out/, /change my address\.$/);
    const { engine } = await openEngine({ engine: "wasm" });
    await tinyWebRun(engine, run, { stages: ["likelihood", "grpo"] });
    const models: Record<string, string> = {};
    for (const which of ["likelihood", "rlvr"] as const) {
      using opened = await openWebPageModel(engine, { run, which });
      models[which] = await weightsOf(opened.model);
    }
    assert.notEqual(models.likelihood, models.rlvr);
    for (const greedy of [true, false]) {
      const asked: { weights: string; greedy?: boolean; stream: readonly number[] }[] = [];
      using _ = replace(WebPageModel.prototype, "predict", async function (questions, options) {
        asked.push({ weights: await weightsOf(this.model), greedy: options.greedy, stream: options.stream });
        return questions.map(() => ["New items:\nNone\n\nDeleted items:\nNone\n\nUpdated items:\nNone"]);
      });
      const settings: WebAgentSettings = {
        ...SETTINGS,
        ...{ tasks, run, greedy, conditions: ["likelihood", "rlvr"], seeds: [5], maxSteps: 3 },
      };
      const openOther = async () => (await openEngine({ engine: "wasm" })).engine;
      await runWebAgents(settings, { ...context, out: join(folder, `greedy ${greedy}`), openEngine: openOther });
      assert.deepEqual(new Set(asked.map(({ weights }) => weights)), new Set([models.likelihood, models.rlvr]));
      assert.equal(asked[0].weights, models.likelihood, "conditions in their order");
      assert.ok(asked.every((each) => each.greedy === greedy && each.stream[0] === 5));
      const own = asked.filter(({ weights }) => weights === models.rlvr).map(({ stream }) => stream.join());
      assert.ok(own.length > 2 && new Set(own).size === own.length, own.join("; "));
    }
  });
});

/** Candidates of every step of some trials, by the trial's folder. */
async function candidatesOf(trials: string): Promise<Record<string, string[][]>> {
  const found: Record<string, string[][]> = {};
  for await (const { name } of Deno.readDir(trials)) {
    const steps = await lines(join(trials, name, "steps.jsonl"));
    found[name] = steps.map(({ candidates }) => (candidates as { text: string }[]).map(({ text }) => text));
  }
  return found;
}

Deno.test("web agents: seeds, branching, confusion and limits are those of the settings; the site is the task's", async () => {
  await inFolder(async (folder, context) => {
    const sites: unknown[] = [], { reset } = SimulatedBrowser.prototype;
    using _ = replace(SimulatedBrowser.prototype, "reset", async function (urls) {
      const seen = await reset.call(this, urls);
      sites.push(seen.tree);
      return seen;
    });
    let runs = 0;
    const run = async (change: Partial<WebAgentSettings>) => {
      const settings = {
        ...SETTINGS,
        taskIds: [1000, 1003, 1007],
        conditions: ["none" as const],
        confusion: 1,
        ...change,
      };
      const out = join(folder, `${runs++}`);
      sites.length = 0;
      const { result } = await runWebAgents(settings, { ...context, out });
      const [condition] = settings.conditions;
      const trials = await lines(join(out, "results.jsonl"));
      return {
        rate: result.table.all.rates[condition].mean,
        trials,
        steps: await candidatesOf(join(out, condition, "trials")),
      };
    };
    const two = await run({ seeds: [0, 1] });
    for (const task of [1000, 1003, 1007]) {
      const of = (seed: number) => two.steps[`site-1_task-${task}_seed-${seed}`];
      assert.notDeepEqual(of(0), of(1), `task ${task}: two seeds`);
    }
    const widest = ({ steps }: typeof two) => Math.max(...Object.values(steps).flat().map(({ length }) => length));
    assert.deepEqual([widest(await run({ branching: 2 })), widest(await run({ branching: 4 }))], [2, 4]);
    // Whoever is never confused does every task; whoever always is takes all the time that there is.
    const clear = await run({ confusion: 0, samples: 200 }), lost = await run({ samples: 200 });
    assert.deepEqual([clear.rate, lost.rate], [1, 0]);
    const longer = await run({ samples: 200, slack: 5 });
    const taken = ({ trials }: typeof two) =>
      trials.toSorted((a, b) => +a.task! - +b.task!).map(({ steps }) => steps as number);
    assert.deepEqual(taken(longer), taken(lost).map((steps) => steps + 2));
    for (const { task, kind, area } of clear.trials) {
      const own = siteTasks(new ShopSite({ seed: 1 })).find(({ taskId }) => taskId === task)!;
      assert.deepEqual([kind, area], [own.kind, own.area]);
    }
    await run({ siteSeeds: [1, 2], taskIds: [1000, 2000] });
    for (const seed of [1, 2]) {
      const site = new ShopSite({ seed }), [{ startUrls }] = siteTasks(site);
      await using browser = new SimulatedBrowser(site);
      assert.ok(sites.includes((await reset.call(browser, startUrls)).tree), `site ${seed}`);
    }
  });
});

Deno.test("web agents: every role asks its own model, in its own way, with its key and the prompts that were given", async () => {
  // What each role is told begins with; the summarizer's prompt is one of ours.
  const roles = {
    policy: "You operate a web browser",
    "world-model": "You simulate a web browser",
    summarizer: "Sum up:",
    translator: "You foresee",
    value: "You judge",
  };
  const seen: Record<string, string> = {};
  await using server = serveChat((body, path) => {
    const text = said(body), [role] = Object.entries(roles).find(([, start]) => text.includes(start))!;
    seen[role] = `${body.model} ${path}`;
    if (role !== "policy") return role === "value" ? "[Score]: 4" : "New items:\n[9] heading 'Account'";
    return /PREVIOUS ACTION: None\s*$/.test(text) ? "In summary: ```click [1]```" : "In summary: ```stop [done]```";
  }, Object.keys(roles));
  Deno.env.set("RLVR_TEST_KEY", "secret");
  try {
    await inFolder(async (folder, context) => {
      const prompts = join(folder, "prompts");
      await Deno.mkdir(prompts);
      await Deno.writeTextFile(
        join(prompts, "salient_changes.txt"),
        "=== user\nSum up: {{newItems}} {{deletedItems}} {{updatedItems}}\n",
      );
      const endpoints = Object.fromEntries(
        Object.keys(roles).map((model) => [model, {
          ...{ url: server.base, model, keyVariable: "RLVR_TEST_KEY" },
          kind: model === "value" ? "completions" as const : "chat" as const,
        }]),
      );
      const tasks = await taskFile(folder, 1, /^Sign out/);
      await runWebAgents(
        { ...SETTINGS, ...{ tasks, endpoints, prompts, conditions: ["served"], samples: 2 } },
        context,
      );
    });
  } finally {
    Deno.env.delete("RLVR_TEST_KEY");
  }
  const path = (role: string) => role === "value" ? "/v1/completions" : "/v1/chat/completions";
  assert.deepEqual(seen, Object.fromEntries(Object.keys(roles).map((role) => [role, `${role} ${path(role)}`])));
  assert.ok(server.requests.every(({ authorization }) => authorization === "Bearer secret"));
});

Deno.test(
  "web agents: in Chromium, names of sites, hosts beside them, the page's time and pictures are as the settings say",
  {
    ignore: !hasChromium(),
  },
  async () => {
    const serve = (html: string) =>
      Deno.serve(
        { port: 0, hostname: "127.0.0.1", onListen() {} },
        () => new Response(`<!doctype html>${html}`, { headers: { "content-type": "text/html" } }),
      );
    await using shop = serve("<title>Shop</title>");
    // A page that is never quiet: how long it was waited for is how often it has ticked.
    await using other = serve(
      "<title>Other</title><h1>tick 0</h1><script>let n = 0; setInterval(() => " +
        "document.querySelector('h1').textContent = `tick ${++n}`, 50)</script>",
    );
    const at = ({ addr }: typeof shop) => `http://127.0.0.1:${addr.port}`;
    const told: string[] = [];
    await using server = serveChat((body) => {
      told.push(/\nURL: (.*)\n/.exec(said(body).slice(said(body).lastIndexOf("OBSERVATION:")))![1]);
      return told.length === 1 ? `In summary: \`\`\`goto [${at(other)}/]\`\`\`` : "In summary: ```stop [done]```";
    });
    await inFolder(async (folder, context) => {
      const tasks = join(folder, "tasks.json"), [task] = siteTasks(new ShopSite({ seed: 1 })).map(taskJson);
      await Deno.writeTextFile(tasks, JSON.stringify([{ ...task, start_url: "__SHOPPING__/a" }]));
      const settings: WebAgentSettings = {
        ...SETTINGS,
        ...{ tasks, sites: { __SHOPPING__: at(shop) }, endpoints: { policy: endpoint(server) }, conditions: ["none"] },
        ...{
          browser: "chromium",
          allowedHosts: [`127.0.0.1:${other.addr.port}`],
          pageLimit: 1,
          samples: 1,
          workers: 1,
        },
      };
      await runWebAgents(settings, { ...context, requests: { timeoutSeconds: 30 } });
      assert.equal(told[0], "http://onestopmarket.com/a");
      const trial = join(context.out, "none", "trials", `task-${task.task_id}_seed-0`);
      const [first, second] = await lines(join(trial, "steps.jsonl"));
      assert.equal(first.refused, undefined);
      const ticks = Number(/heading 'tick (\d+)'/.exec(second.observation as string)![1]);
      // 20 in a second; in the ten that are the default, 200.
      assert.ok(ticks < 100, `${ticks} ticks`);
      for (const step of [0, 1]) assert.ok((await Deno.stat(join(trial, `step_${step}.png`))).size > 100);
    });
  },
);
