import assert from "node:assert/strict";
import { join } from "node:path";
import { runWebAgents, type WebAgentSettings } from "../../../lib/studies/web_agents/agent_run.ts";
import { chromiumOpener, fileTasks, withLogins } from "../../../lib/studies/web_agents/agent_tasks.ts";
import { silentProgress } from "../../../lib/runs/progress.ts";
import { RunInterruptedError } from "../../../lib/runs/stage.ts";
import { ShopSite } from "../../../lib/gyms/shop/shop_site.ts";
import { siteTasks } from "../../../lib/gyms/shop/site_tasks.ts";
import { taskJson } from "../../../lib/worlds/web_page/web_task.ts";
import { serveChat } from "../../support/chat_server.ts";
import { hasChromium } from "../../support/chromium.ts";
import { serveLoginSite } from "../../support/login_site.ts";
import { endpoint, inFolder, SETTINGS } from "../../support/tiny_web_agents.ts";

Deno.test("web agents: in Chromium, the sites of a task file are reached from one another", {
  ignore: !hasChromium(),
}, async () => {
  const serve = (title: string) =>
    Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen() {} },
      () => new Response(`<!doctype html><title>${title}</title>`, { headers: { "content-type": "text/html" } }),
    );
  await using shop = serve("Shop");
  await using forum = serve("Forum");
  await using other = serve("Other");
  const at = (server: typeof shop) => `http://127.0.0.1:${server.addr.port}`;
  await inFolder(async (folder) => {
    const path = join(folder, "tasks.json");
    const start = { start_url: "__SHOPPING__/a |AND| __REDDIT__/f", sites: ["shopping", "reddit"] };
    const [task] = siteTasks(new ShopSite({ seed: 1 })).map(taskJson);
    await Deno.writeTextFile(
      path,
      JSON.stringify([{ ...task, start_url: "__SHOPPING__/a" }, { ...task, ...start, task_id: 3 }]),
    );
    const sites = { __SHOPPING__: at(shop), __REDDIT__: at(forum) };
    const [one, two] = await fileTasks(path, { siteSeeds: [1], sites, slack: 1 });
    const open = chromiumOpener([], sites);
    await using session = await open(one);
    await session.browser.reset(one.task.startUrls);
    assert.equal((await session.browser.perform({ kind: "goto", url: `${at(forum)}/f` })).tabs[0].title, "Forum");
    await assert.rejects(session.browser.perform({ kind: "goto", url: at(other) }), /may not be opened/);
    // Of several start pages the first is current.
    const { tabs } = await session.browser.reset(two.task.startUrls);
    assert.deepEqual(tabs, [{ title: "Shop", isCurrent: true }, { title: "Forum", isCurrent: false }]);
  });
});

Deno.test("web agents: the storage_state of a task, or one for all, is what its browser begins with", {
  ignore: !hasChromium(),
}, async () => {
  await using site = serveLoginSite();
  await inFolder(async (folder, context) => {
    const state = (name: string) =>
      JSON.stringify({ cookies: [{ name: "session", value: name, domain: "127.0.0.1", path: "/" }] });
    await Deno.mkdir(join(folder, "auth"));
    await Deno.writeTextFile(join(folder, "auth/shop.json"), state("Ann"));
    await Deno.writeTextFile(join(folder, "all.json"), state("Bob"));
    const path = join(folder, "tasks.json"), [task] = siteTasks(new ShopSite({ seed: 1 })).map(taskJson);
    const of = (id: number, file: string | null) => ({
      ...task,
      task_id: id,
      start_url: "__SHOPPING__/",
      storage_state: file,
    });
    await Deno.writeTextFile(path, JSON.stringify([of(0, "./auth/shop.json"), of(1, null)]));
    const sites = { __SHOPPING__: site.origin }, tasks = await fileTasks(path, { siteSeeds: [1], sites, slack: 1 });
    const greeted = async (storageState: string | null) => {
      const seen: (string | undefined)[] = [];
      for (const each of await withLogins(tasks, { taskFile: path, storageState })) {
        await using session = await chromiumOpener([], sites)(each);
        const { nodes } = await session.browser.reset(each.task.startUrls);
        seen.push([...nodes.values()].find(({ role }) => role === "heading")?.name);
      }
      return seen;
    };
    assert.deepEqual(await greeted(null), ["Hello Ann", "Nobody"]);
    assert.deepEqual(await greeted(join(folder, "all.json")), ["Hello Bob", "Hello Bob"]);
    const inShop = { ...SETTINGS, storageState: "x.json" };
    await assert.rejects(runWebAgents(inShop, context), /the simulated browser keeps no logins: --storage-state needs/);
  });
});

Deno.test(
  "web agents: tasks whose login is not there are left out, tasks that need one and name none begin signed out",
  {
    ignore: !hasChromium(),
  },
  async () => {
    await using site = serveLoginSite();
    await using server = serveChat(() => "In summary, the next action I will perform is ```stop [done]```");
    await inFolder(async (folder, context) => {
      const path = join(folder, "tasks.json"), [task] = siteTasks(new ShopSite({ seed: 1 })).map(taskJson);
      const of = (id: number, file: string | null, needsLogin = true) => ({
        ...task,
        task_id: id,
        start_url: "__SHOPPING__/",
        storage_state: file,
        require_login: needsLogin,
      });
      const notes: string[] = [], progress = { ...silentProgress, note: (line: string) => void notes.push(line) };
      const settings: WebAgentSettings = {
        ...SETTINGS,
        conditions: ["none"],
        tasks: path,
        sites: { __SHOPPING__: site.origin },
        browser: "chromium",
        endpoints: { policy: endpoint(server) },
        samples: 1,
      };
      await Deno.writeTextFile(join(folder, "damaged.json"), "{");
      const tasks = [of(3, "./gone.json"), of(4, "damaged.json"), of(5, "gone.json"), of(6, null), of(7, null, false)];
      await Deno.writeTextFile(path, JSON.stringify(tasks));
      const { result } = await runWebAgents(settings, { ...context, progress });
      const gone = `storage state ${join(folder, "gone.json")} is not there: make one with deno task web-login, ` +
        "or name one for all tasks with --storage-state";
      assert.deepEqual(result.skipped.map(({ taskId }) => taskId), [3, 4, 5]);
      assert.equal(result.skipped[0].reason, gone);
      assert.deepEqual(notes.slice(0, 3), [
        `2 tasks are left out (task_id 3, 5): ${gone}`,
        `1 task is left out (task_id 4): storage state ${join(folder, "damaged.json")} is no JSON: ` +
        "make one with deno task web-login, or name one for all tasks with --storage-state",
        "1 task with require_login begins signed out (task_id 6): there is no storage_state; " +
        "name a login for all tasks with --storage-state",
      ]);
      assert.deepEqual(result.table.failed, []);
      const results = JSON.parse(await Deno.readTextFile(join(context.out, "none/results.json")));
      assert.deepEqual(Object.keys(results.info), ["task-6_seed-0", "task-7_seed-0"]);
      assert.match(await Deno.readTextFile(join(context.out, "report.html")), /gone\.json/);

      // Nothing is begun where no task has its login, or the one for all is not there.
      await Deno.writeTextFile(path, JSON.stringify(tasks.slice(0, 3)));
      const again = { ...context, out: join(folder, "other") }, requests = server.requests.length;
      await assert.rejects(
        runWebAgents(settings, again),
        /^UserError: no task of .*tasks.json has its login: storage state .*gone.json is not there: make one with deno/,
      );
      const all = { ...settings, storageState: join(folder, "all.json") };
      await assert.rejects(
        runWebAgents(all, again),
        /^UserError: storage state .*all.json is not there: make one with/,
      );
      assert.equal(server.requests.length, requests);
      await assert.rejects(Deno.stat(again.out), Deno.errors.NotFound);
    });
  },
);

Deno.test("web agents: a stop is heard while a page keeps the browser waiting", {
  ignore: !hasChromium(),
  sanitizeOps: false,
  sanitizeResources: false,
}, async () => {
  const stop = new AbortController();
  let stopped = 0;
  const silent = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    stopped = performance.now();
    stop.abort();
    return new Promise(() => {});
  });
  await using server = serveChat(() => "stop");
  await inFolder(async (folder, context) => {
    const path = join(folder, "tasks.json"), [task] = siteTasks(new ShopSite({ seed: 1 })).map(taskJson);
    await Deno.writeTextFile(path, JSON.stringify({ ...task, start_url: `http://127.0.0.1:${silent.addr.port}/` }));
    const settings = {
      ...SETTINGS,
      conditions: ["none" as const],
      tasks: path,
      endpoints: { policy: endpoint(server) },
    };
    const run = runWebAgents({ ...settings, browser: "chromium" }, { ...context, signal: stop.signal });
    await assert.rejects(run, RunInterruptedError);
    // Two seconds, and the browser's end on a busy machine.
    assert.ok(performance.now() - stopped < 5000, `${performance.now() - stopped} ms`);
  });
  await Promise.race([silent.shutdown(), new Promise((resolve) => setTimeout(resolve, 100))]);
});
