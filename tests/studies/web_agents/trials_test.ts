import assert from "node:assert/strict";
import { join } from "node:path";
import { agentSuccessRows } from "../../../lib/studies/web_agents/agent_report.ts";
import {
  agentHeadline,
  type AgentTrialResult,
  errorLines,
  releasedResults,
  successTable,
} from "../../../lib/studies/web_agents/agent_results.ts";
import { runWebAgents, type WebAgentSettings } from "../../../lib/studies/web_agents/agent_run.ts";
import { addressBook } from "../../../lib/studies/web_agents/agent_tasks.ts";
import type { EndpointSettings } from "../../../lib/studies/web_agents/agent_endpoints.ts";
import { UserError } from "../../../lib/base/user_error.ts";
import { silentProgress } from "../../../lib/runs/progress.ts";
import { RunInterruptedError } from "../../../lib/runs/stage.ts";
import { ShopSite } from "../../../lib/gyms/shop/shop_site.ts";
import { siteTasks } from "../../../lib/gyms/shop/site_tasks.ts";
import { taskJson } from "../../../lib/worlds/web_page/web_task.ts";
import { said, serveChat } from "../../support/chat_server.ts";
import { endpoint, inFolder, lines, SETTINGS, taskFile } from "../../support/tiny_web_agents.ts";

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
    const { result, report } = await runWebAgents(settings, context);
    assert.deepEqual(result.table.errors, { none: 0, served: 2 });
    // Of an agent that could not do anything there is no rate: 0 % would be a claim.
    assert.deepEqual([result.table.failed, Object.keys(result.table.all.rates)], [["served"], ["none"]]);
    assert.deepEqual(result.table.differences, []);
    assert.match(agentHeadline(result.table), /^Tasks that succeed: no world model \d+ % \(2 trials each\)\.$/);
    assert.deepEqual(
      agentSuccessRows(result.table).rows.map((row) => row.at(-1)),
      agentSuccessRows(result.table).rows.map(() => "—"),
    );
    const [line, ...others] = errorLines(result.table);
    assert.match(
      line,
      /^served model: none of 2 trials could go on, so there is no rate: 2 × the world model answered/,
    );
    assert.deepEqual(others, []);
    assert.match(await Deno.readTextFile(report), /none of 2 trials could go on/);
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
    await refuses({ taskIds: [1000, 7, 8] }, [task], /has no task_id 7, 8$/);
    await refuses({ tasks: null, taskIds: [1000, 7] }, [task], /the built-in site of these seeds has no task_id 7$/);
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
    await refuses({}, [fuzzy], /no task of .* can be judged: task_id 1000: fuzzy_match needs a judge/);
  });
});

Deno.test("web agents: tasks of a file that cannot be judged are left out, told and counted; some can be chosen", async () => {
  await inFolder(async (folder, context) => {
    const path = join(folder, "tasks.json");
    const [a, b, c, d] = siteTasks(new ShopSite({ seed: 1 })).map(taskJson);
    const check = (locator: string) => ({
      eval_types: ["program_html"],
      program_html: [{ url: "last", locator, required_contents: { must_include: ["x"] } }],
    });
    const list = [a, { ...b, eval: check("func:first_order()") }, { ...c, start_url: "__MAP__" }, d];
    await Deno.writeTextFile(path, JSON.stringify(list));
    const notes: string[] = [];
    const noting = { ...context, progress: { ...silentProgress, note: (text: string) => void notes.push(text) } };
    const settings: WebAgentSettings = { ...SETTINGS, tasks: path, conditions: ["none"] };
    const { result, report } = await runWebAgents(settings, noting);
    assert.equal(result.table.all.rates.none.n, 2);
    assert.deepEqual(result.skipped.map(({ taskId }) => taskId), [1002, 1001]);
    assert.deepEqual(notes, [
      "1 task is left out (task_id 1002): __MAP__ is not known: say where that site is served",
      "1 task is left out (task_id 1001): helper first_order is not known",
    ]);
    const { skipped } = JSON.parse(await Deno.readTextFile(join(context.out, "result.json")));
    assert.deepEqual(skipped, result.skipped);
    assert.match(await Deno.readTextFile(report), /helper first_order is not known/);

    const chosen = { ...noting, out: join(folder, "chosen") };
    await runWebAgents({ ...settings, taskIds: [1003] }, chosen);
    assert.deepEqual((await lines(join(chosen.out, "results.jsonl"))).map(({ task }) => task), [1003]);
    const more = { ...settings, taskIds: [1000, 1003] };
    await runWebAgents(more, { ...chosen, resume: true });
    assert.deepEqual((await lines(join(chosen.out, "results.jsonl"))).map(({ task }) => task), [1003, 1000]);
    const builtIn = { ...noting, out: join(folder, "built-in") };
    await runWebAgents({ ...settings, tasks: null, taskIds: [1004] }, builtIn);
    assert.deepEqual((await lines(join(builtIn.out, "results.jsonl"))).map(({ task }) => task), [1004]);
  });
});

Deno.test("web agents: answers are judged by the judge, sampled as WebArena's also where it is the policy's model", async () => {
  await using server = serveChat((body) =>
    said(body).startsWith("You compare two answers") ? "correct" : "In summary: ```stop [noon]```"
  );
  await inFolder(async (folder, context) => {
    const path = join(folder, "tasks.json");
    const [task] = siteTasks(new ShopSite({ seed: 1 })).map(taskJson);
    const fuzzy = { eval_types: ["string_match"], reference_answers: { fuzzy_match: ["12:00"] } };
    await Deno.writeTextFile(path, JSON.stringify({ ...task, eval: fuzzy }));
    const chat = endpoint(server);
    const { result } = await runWebAgents(
      { ...SETTINGS, tasks: path, conditions: ["none"], endpoints: { policy: chat, judge: chat }, samples: 1 },
      context,
    );
    assert.equal(result.table.all.rates.none.mean, 1);
    const sampling = server.requests.map(({ body }) => [body.temperature, body.top_p, body.max_tokens]);
    assert.deepEqual(sampling, [[1, 0.95, 1024], [0, 1, 768]]);
  });
});

Deno.test("web agents: history, scale of values and length of pages reach the endpoints", async () => {
  await using server = serveChat((body) => {
    const text = said(body);
    if (text.startsWith("You operate")) {
      const link = /\[(\d+)\] link 'Account'/.exec(text.slice(text.lastIndexOf("OBSERVATION:")))?.[1] ?? "1";
      return `\`\`\`click [${link}]\`\`\``;
    }
    return text.startsWith("You judge") ? "[Score] 0.5" : "New items:\nNone";
  });
  await inFolder(async (folder, context) => {
    const tasks = await taskFile(folder, 1, /^Sign out/);
    const chat = endpoint(server);
    const endpoints = { policy: chat, "world-model": chat, summarizer: chat, translator: chat, value: chat };
    const settings: WebAgentSettings = {
      ...SETTINGS,
      ...{ tasks, endpoints, conditions: ["served"], samples: 1, valueSamples: 1, maxSteps: 3 },
    };
    const run = async (name: string, changes: Partial<WebAgentSettings>) => {
      server.requests.length = 0;
      const out = join(folder, name);
      await runWebAgents({ ...settings, ...changes }, { ...context, out });
      const texts = server.requests.map(({ body }) => said(body));
      const last = texts.findLast((text) => text.startsWith("You operate"))!;
      const [step] = await lines(
        join(out, "served", "trials", await firstName(join(out, "served", "trials")), "steps.jsonl"),
      );
      return {
        history: last.split("PREVIOUS ACTION: ").at(-1)!.split("\n").length,
        isShare: texts.some((text) => text.includes("a number from 0 to 1")),
        isCut: texts.filter((text) => text.includes("more lines are left out")).length,
        value: (step.candidates as { value: number }[])[0].value,
      };
    };
    const released = await run("released", {});
    assert.deepEqual({ ...released, value: 0 }, { history: 3, isShare: false, isCut: 0, value: 0 });
    assert.equal((await run("last", { history: "last" })).history, 1);
    const share = await run("share", { valueScale: "0-1" });
    assert.deepEqual([share.isShare, share.value, released.value], [true, 0.5, 0]);
    // The summarizer is told no page.
    assert.equal((await run("cut", { pageCharacters: 100, maxSteps: 1 })).isCut, 4);
  });
});

async function firstName(folder: string): Promise<string> {
  const [{ name }] = await Array.fromAsync(Deno.readDir(folder));
  return name;
}

Deno.test("web agents: rates, differences and the released form, by hand", () => {
  const trial = (condition: string, task: number, success: 0 | 1, error?: string): AgentTrialResult => ({
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
  assert.deepEqual([table.failed, table.trials], [[], { none: 4, rlvr: 3 }]);
  assert.deepEqual(errorLines(table), ["RLVR model: 1 of 3 trials could not go on and count as failures: 1 × late"]);
  const failed = successTable([trial("none", 0, 0, "401: bad key"), trial("none", 1, 0, "401: bad key")], ["none"]);
  assert.deepEqual(failed.failed, ["none"]);
  assert.equal(agentHeadline(failed), "No trial could go on, so it is not known how many tasks succeed.");
  assert.deepEqual(errorLines(failed), [
    "no world model: none of 2 trials could go on, so there is no rate: 2 × 401: bad key",
  ]);
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
  // Seeds of one task are no independent trials: an interval over them is one over tasks.
  const seeded = (seeds: number[]) =>
    successTable(
      seeds.flatMap((seed) =>
        [[0, 1], [0, 0], [1, 1], [0, 1], [1, 0], [0, 1]].flatMap(([none, rlvr], task) => [
          { ...trial("none", task, none as 0 | 1), seed },
          { ...trial("rlvr", task, rlvr as 0 | 1), seed },
        ])
      ),
      ["none", "rlvr"],
    ).differences[0].difference;
  const { n, ...interval } = seeded([0, 1, 2, 3]), { n: tasks, ...single } = seeded([0]);
  assert.deepEqual([n, tasks], [24, 6]);
  assert.deepEqual(interval, single);
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
