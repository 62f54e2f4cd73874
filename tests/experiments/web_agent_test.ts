import assert from "node:assert/strict";
import { join } from "node:path";
import { releasedResults, successTable, type TrialResult } from "../../lib/experiments/web_agent_results.ts";
import { runWebAgents, type WebAgentContext, type WebAgentSettings } from "../../lib/experiments/web_agent_run.ts";
import { addressBook } from "../../lib/experiments/web_agent_tasks.ts";
import type { EndpointSettings } from "../../lib/experiments/web_agent_endpoints.ts";
import { UserError } from "../../lib/files/user_error.ts";
import { silentProgress } from "../../lib/training/progress.ts";
import { RunInterruptedError } from "../../lib/training/stage.ts";
import { ShopSite } from "../../lib/worlds/web_page/site/shop_site.ts";
import { siteTasks } from "../../lib/worlds/web_page/site/site_tasks.ts";
import { taskJson } from "../../lib/worlds/web_page/tasks/web_task.ts";
import { type ChatServer, said, serveChat } from "../agent/chat_server.ts";

const SETTINGS: WebAgentSettings = {
  run: null,
  conditions: ["none", "oracle"],
  tasks: null,
  sites: {},
  siteSeeds: [1],
  seeds: [0],
  browser: "simulated",
  allowedHosts: [],
  endpoints: {},
  prompts: null,
  branching: 3,
  samples: null,
  valueSamples: 2,
  maxSteps: null,
  slack: 3,
  confusion: 0.6,
  greedy: true,
  workers: 8,
};

const endpoint = (server: ChatServer): EndpointSettings => ({
  url: server.base,
  model: null,
  kind: "chat",
  keyVariable: null,
});

async function inFolder(test: (folder: string, context: WebAgentContext) => Promise<void>) {
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
async function taskFile(folder: string, seed: number, ...patterns: RegExp[]): Promise<string> {
  const tasks = siteTasks(new ShopSite({ seed })).filter(({ intent }) => patterns.some((each) => each.test(intent)));
  const path = join(folder, "tasks.json");
  await Deno.writeTextFile(path, JSON.stringify(tasks.map(taskJson)));
  return path;
}

const lines = async (path: string) =>
  (await Deno.readTextFile(path)).trim().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);

/** What does not depend on the clock. */
const timeless = (entries: Record<string, unknown>[]) =>
  entries.map(({ condition, task, seed, success, answer, steps, reason }) =>
    JSON.stringify([condition, task, seed, success, answer, steps, reason])
  ).sort();

Deno.test("web agents: the site itself as a world model helps; the folder tells all; stopped and resumed it is the same", async () => {
  await inFolder(async (folder, context) => {
    const tasks = await taskFile(folder, 1, /wish list|Open the|my order|street/);
    const settings = { ...SETTINGS, tasks, seeds: [0, 1] };
    const { result, report, replay } = await runWebAgents(settings, context);
    const { none, oracle } = result.table.all.rates;
    assert.ok(none.n >= 16, `${none.n} trials`);
    assert.ok(oracle.mean > none.mean + 0.2, `${none.mean} without, ${oracle.mean} with the site itself`);
    const [difference] = result.table.differences;
    assert.ok(Math.abs(difference.difference.mean - (oracle.mean - none.mean)) < 1e-12);

    const whole = await lines(join(context.out, "results.jsonl"));
    assert.equal(whole.length, 2 * none.n);
    const released = JSON.parse(await Deno.readTextFile(join(context.out, "oracle", "results.json")));
    assert.deepEqual(released.progress, { total: none.n, finished: none.n, error: 0, unfinished: 0, percentage: 100 });
    assert.equal(released.overall, oracle.mean);
    const { task } = whole.find(({ condition }) => condition === "oracle")! as { task: number };
    const [step] = await lines(join(context.out, "oracle", "trials", `site-1_task-${task}_seed-0`, "steps.jsonl"));
    const candidates = step.candidates as Record<string, unknown>[];
    for (const key of ["prediction", "salientChanges", "description", "scores", "value", "count"]) {
      assert.ok(key in candidates[0], key);
    }
    assert.match(await Deno.readTextFile(report), /Web agents that look before they act/);
    assert.ok(!/https?:\/\/(?!shop\.test)[^"]*\.(js|css)"/.test(await Deno.readTextFile(replay)));

    const stop = new AbortController();
    let steps = 0;
    const interrupted = {
      ...context,
      out: join(folder, "stopped"),
      signal: stop.signal,
      progress: { ...silentProgress, step: () => void (++steps === none.n + 4 && stop.abort()) },
    };
    await assert.rejects(runWebAgents(settings, interrupted), RunInterruptedError);
    const before = await lines(join(interrupted.out, "results.jsonl"));
    assert.ok(before.length > none.n && before.length < whole.length, `${before.length} of ${whole.length}`);
    await runWebAgents(settings, { ...context, out: interrupted.out, resume: true });
    const after = await lines(join(interrupted.out, "results.jsonl"));
    assert.deepEqual(after.slice(0, before.length), before, "what was done is not done again");
    assert.deepEqual(timeless(after), timeless(whole));

    await assert.rejects(runWebAgents(settings, context), /already holds a run/);
    await assert.rejects(runWebAgents({ ...settings, slack: 4 }, { ...context, resume: true }), /slack was 3, now 4/);
  });
});

Deno.test("web agents: every role behind an endpoint that fails now and then; the run goes on, all is counted", async () => {
  const seen = new Set<string>();
  await using server = serveChat((body) => {
    const text = said(body);
    if (text.startsWith("You operate a web browser")) {
      seen.add("policy");
      const link = /\[(\d+)\] link 'Account'/.exec(text.slice(text.lastIndexOf("OBSERVATION:")))?.[1];
      const acted = !/PREVIOUS ACTION: None\s*$/.test(text);
      return `In summary, the next action I will perform is \`\`\`${acted ? "stop [done]" : `click [${link}]`}\`\`\``;
    }
    if (text.startsWith("You simulate a web browser")) {
      seen.add("world model");
      assert.match(text, /\n CURRENT ACTION: click \[\d+\]\n/);
      return "New items:\n[9] heading 'Account'\n\nDeleted items:\nNone\n\nUpdated items:\nNone";
    }
    if (text.startsWith("A web page has been predicted")) {
      seen.add("summarizer");
      assert.match(text, /New items:\n\[9\] heading 'Account'/);
      return "1. The account appears";
    }
    if (text.startsWith("You foresee")) {
      seen.add("translator");
      assert.match(
        text,
        /CURRENT ACTION: click \[\d+\] where \[\d+\] is link 'Account'\nKEY CHANGES:\n1\. The account appears$/,
      );
      return "[Rationale] a [Next State] The expected effect is that the account is shown.";
    }
    seen.add("value");
    assert.match(text, /NEXT STATE: \[Rationale\] a \[Next State\]/);
    return "[Rationale]: fine\n[Score]: 4";
  });
  await inFolder(async (folder, context) => {
    const tasks = await taskFile(folder, 1, /^Sign out/, /change my address\.$/);
    const chat = endpoint(server);
    const endpoints = { policy: chat, "world-model": chat, summarizer: chat, translator: chat, value: chat };
    const settings: WebAgentSettings = {
      ...SETTINGS,
      tasks,
      endpoints,
      conditions: ["served"],
      samples: 4,
      workers: 1,
    };
    const busy = () => Response.json({ error: { message: "busy" } }, { status: 500 });
    // One request fails twice and is given up, others once.
    server.faults = [busy, busy, () => Response.json({ error: { message: "too long" } }, { status: 400 }), busy];
    const { result } = await runWebAgents(settings, context);
    assert.deepEqual([...seen].sort(), ["policy", "summarizer", "translator", "value", "world model"]);
    const [first] = await lines(join(context.out, "results.jsonl"));
    assert.deepEqual([first.reason, first.answer, first.error], ["stop proposed", "done", undefined]);
    const { costs } = result.table, served = costs.served;
    assert.ok(served.policy!.failed >= 1, "the refused query is a failed one");
    assert.ok(served.policy!.promptTokens > 1000 && served.value!.answerTokens > 0);
    assert.equal(served.value!.queries, 2 * 2);
    assert.ok(Object.values(result.retries)[0] >= 2);
  });
});

Deno.test("web agents: a role that always fails ends its tasks with a line, and the others go on", async () => {
  await using server = serveChat(() => Response.json({ error: { message: "no such luck" } }, { status: 400 }));
  await inFolder(async (folder, context) => {
    const tasks = await taskFile(folder, 1, /^Sign out/, /change my address\.$/);
    const settings: WebAgentSettings = {
      ...SETTINGS,
      tasks,
      endpoints: { "world-model": endpoint(server) },
      conditions: ["none", "served"],
    };
    const { result } = await runWebAgents(settings, context);
    assert.deepEqual(result.table.errors, { none: 0, served: 2 });
    const failed = (await lines(join(context.out, "results.jsonl"))).filter(({ error }) => error);
    for (const { error, success, reason } of failed) {
      assert.match(error as string, /^the world model answered none of 3 queries: .*400: no such luck$/);
      assert.deepEqual([success, reason], [0, "error"]);
    }
    const { progress } = JSON.parse(await Deno.readTextFile(join(context.out, "served", "results.json")));
    assert.equal(progress.error, 2);
  });
});

Deno.test("web agents: what is wrong is said before anything runs, in one line", async () => {
  await inFolder(async (folder, context) => {
    const path = join(folder, "tasks.json");
    const [task] = siteTasks(new ShopSite({ seed: 1 })).map(taskJson);
    const refuses = async (changes: Partial<WebAgentSettings>, json: unknown, message: RegExp) => {
      await Deno.writeTextFile(path, JSON.stringify(json));
      await assert.rejects(runWebAgents({ ...SETTINGS, tasks: path, ...changes }, context), (error: Error) => {
        assert.ok(error instanceof UserError, `${error.stack}`);
        assert.match(error.message, message);
        assert.ok(!error.message.includes("\n"), error.message);
        return true;
      });
      assert.ok(!await Deno.stat(context.out).catch(() => undefined), "a folder was made");
    };
    const evaluator = { ...task, eval: { ...(task.eval as object), eval_types: ["vibes"] } };
    await refuses({}, [evaluator], /task_id 1000: .*unknown evaluator "vibes"/);
    const elsewhere = { ...task, start_url: "http://elsewhere.test/" };
    await refuses({}, [elsewhere], /built-in policy knows the built-in tasks alone, not task_id 1000: .*--policy URL/);
    const policy: EndpointSettings = { url: "http://127.0.0.1:9", model: "m", kind: "chat", keyVariable: null };
    await refuses({ endpoints: { policy } }, [elsewhere], /simulated browser does not know: use --browser chromium/);
    await refuses(
      { endpoints: { policy } },
      [task],
      /^policy: http:\/\/127\.0\.0\.1:9\/v1\/models: gave up after 2 tries/,
    );
    await refuses(
      { endpoints: { policy: { ...policy, url: "deepseek" } } },
      [task],
      /"deepseek" is no server's address/,
    );
    await refuses(
      { endpoints: { policy: { ...policy, keyVariable: "NO_SUCH_KEY" } } },
      [task],
      /NO_SUCH_KEY, which is not set/,
    );
    await refuses({ conditions: ["rlvr"] }, [task], /rlvr needs a trained model: .*--run FOLDER/);
    await refuses({ conditions: ["served"] }, [task], /served needs an endpoint: --world-model-url/);
    await refuses({ prompts: "/nowhere" }, [task], /cannot read the prompts of \/nowhere/);
    const fuzzy = { ...task, eval: { eval_types: ["string_match"], reference_answers: { fuzzy_match: ["x"] } } };
    await refuses({}, [fuzzy], /fuzzy_match, which needs a judge/);
  });
});

Deno.test("web agents: rates, differences and the released form, by hand", () => {
  const trial = (condition: string, task: number, success: 0 | 1, error?: string): TrialResult => ({
    condition,
    site: null,
    task,
    seed: 0,
    objective: "",
    area: task < 2 ? "a" : "b",
    kind: "k",
    success,
    parts: [],
    steps: 2,
    answer: "",
    reason: "most frequent",
    ...error === undefined ? {} : { error },
    costs: {},
    seconds: 1,
  });
  const results = [
    ...[0, 0, 1, 0].map((success, task) => trial("none", task, success as 0 | 1)),
    ...[1, 1, 1].map((success, task) => trial("rlvr", task, success as 0 | 1, task === 2 ? "late" : undefined)),
  ];
  const table = successTable(results, ["none", "likelihood", "rlvr"]);
  assert.deepEqual(table.conditions, ["none", "rlvr"]);
  assert.deepEqual([table.all.rates.none.mean, table.all.rates.rlvr.mean], [1 / 4, 1]);
  // Wilson's interval of 1 in 4, by scipy's binomtest(1, 4).proportion_ci(method="wilson").
  assert.ok(
    Math.abs(table.all.rates.none.low - 0.045587) < 1e-5 && Math.abs(table.all.rates.none.high - 0.699358) < 1e-5,
  );
  assert.deepEqual(table.byArea.map(({ group, rates }) => [group, rates.none.mean]), [["a", 0], ["b", 0.5]]);
  assert.deepEqual(table.differences.map(({ from, to, difference }) => [from, to, difference.mean, difference.n]), [
    ["none", "rlvr", 2 / 3, 3],
  ]);
  assert.deepEqual(releasedResults(results.slice(4), 4), {
    overall: 1,
    info: { "task-0_seed-0": 1, "task-1_seed-0": 1, "task-2_seed-0": 1 },
    progress: { total: 4, finished: 3, error: 1, unfinished: 1, percentage: 75 },
  });
});

Deno.test("web agents: addresses as models know them, and back", () => {
  const { told, real } = addressBook({
    __SHOPPING__: "http://host:7770",
    __SHOPPING_ADMIN__: "http://host:7780/admin/",
  });
  assert.equal(told("http://host:7770/cart?x=1"), "http://onestopmarket.com/cart?x=1");
  assert.equal(told("http://host:7780/admin"), "http://luma.com/admin");
  assert.equal(real("http://luma.com/admin/orders"), "http://host:7780/admin/orders");
  assert.equal(told("http://host:77701/"), "http://host:77701/");
});
