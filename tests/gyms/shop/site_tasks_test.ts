/** The built-in site's tasks: their solutions succeed, doing nothing and wrong answers do not. */
import assert from "node:assert/strict";
import type { Observation } from "../../../lib/worlds/web_page/browser.ts";
import { ShopSite } from "../../../lib/gyms/shop/shop_site.ts";
import { SimulatedBrowser } from "../../../lib/gyms/shop/simulated_browser.ts";
import { siteTasks, writeSiteTasks } from "../../../lib/gyms/shop/site_tasks.ts";
import { resolveStep, type SiteTask } from "../../../lib/gyms/shop/site_task.ts";
import { evaluateTask, type TaskResult } from "../../../lib/studies/web_agents/tasks/evaluators.ts";
import { loadTasks } from "../../../lib/studies/web_agents/tasks/task_file.ts";
import type { WebTask } from "../../../lib/worlds/web_page/web_task.ts";

const SEEDS = [0, 1, 2, 3, 11, 42];

/** Follows a task's solution; `answer` replaces the answer it ends with. */
async function solve(task: SiteTask, site: ShopSite, answer?: string): Promise<TaskResult> {
  site.reset();
  const browser = new SimulatedBrowser(site);
  let observation: Observation = await browser.reset(task.startUrls);
  for (const step of task.solution) {
    const action = resolveStep(step, observation);
    assert.ok(action, `task ${task.taskId} "${task.intent}": ${JSON.stringify(step)} is not on\n${observation.tree}`);
    if (action.kind === "stop") return await evaluateTask(task, { browser, answer: answer ?? action.answer });
    const before = observation;
    observation = await browser.perform(action);
    assert.notEqual(observation.tree, before.tree, `task ${task.taskId}: ${JSON.stringify(step)} changes nothing`);
  }
  throw new Error(`solution of task ${task.taskId} does not stop`);
}

/** Stops at once with an answer. */
async function stopAtOnce(task: WebTask, site: ShopSite, answer: string): Promise<TaskResult> {
  site.reset();
  const browser = new SimulatedBrowser(site);
  await browser.reset(task.startUrls);
  return await evaluateTask(task, { browser, answer });
}

Deno.test("site tasks: at least 40 of every seed, over all areas and kinds, short", () => {
  for (const seed of SEEDS) {
    const tasks = siteTasks({ seed });
    assert.ok(tasks.length >= 40, `seed ${seed} has ${tasks.length}`);
    assert.deepEqual(new Set(tasks.map(({ kind }) => kind)), new Set(["information", "navigation", "change"]));
    assert.deepEqual(
      new Set(tasks.map(({ area }) => area)),
      new Set(["shop", "cart", "wish list", "reviews", "account", "help", "forum", "admin"]),
    );
    // The stop is not a step on the site.
    const steps = tasks.map(({ solution }) => solution.length - 1);
    const mean = steps.reduce((sum, each) => sum + each, 0) / steps.length;
    assert.ok(mean >= 2 && mean <= 5, `seed ${seed}: mean ${mean}`);
    assert.ok(Math.max(...steps) <= 5 && Math.min(...steps) >= 1);
    assert.equal(new Set(tasks.map(({ intent }) => intent)).size, tasks.length);
  }
});

Deno.test("site tasks: every solution succeeds", async () => {
  for (const seed of SEEDS) {
    const site = new ShopSite({ seed });
    for (const task of siteTasks(site)) {
      const { success, parts } = await solve(task, site);
      assert.equal(success, 1, `task ${task.taskId} "${task.intent}": ${parts.map(({ why }) => why).join("; ")}`);
    }
  }
});

Deno.test("site tasks: stopping at once succeeds nowhere", async () => {
  for (const seed of SEEDS) {
    const site = new ShopSite({ seed });
    for (const task of siteTasks(site)) {
      assert.equal((await stopAtOnce(task, site, "N/A")).success, 0, `task ${task.taskId} "${task.intent}"`);
    }
  }
});

Deno.test("site tasks: wrong answers and half-done changes fail", async () => {
  const site = new ShopSite({ seed: 5 });
  for (const task of siteTasks(site)) {
    if (task.kind === "information") {
      assert.equal((await solve(task, site, "I could not find it, sorry")).success, 0, task.intent);
      continue;
    }
    const withoutLastStep = { ...task, solution: [...task.solution.slice(0, -2), task.solution.at(-1)!] };
    assert.equal((await solve(withoutLastStep, site)).success, 0, task.intent);
  }
});

Deno.test("site tasks: the file is one of WebArena's form and judges the same", async () => {
  const site = new ShopSite({ seed: 4 });
  const folder = await Deno.makeTempDir();
  try {
    await writeSiteTasks(site, `${folder}/tasks.json`);
    const read = await loadTasks(`${folder}/tasks.json`);
    const own = siteTasks(site);
    assert.deepEqual(read.map(({ intent }) => intent), own.map(({ intent }) => intent));
    for (const [index, task] of own.entries()) {
      const { solution, kind, area } = task;
      assert.equal((await solve({ ...read[index], solution, kind, area }, site)).success, 1, task.intent);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("site tasks: an element that is not on the page resolves to nothing", async () => {
  const observation = await new SimulatedBrowser(new ShopSite({ seed: 0 })).reset(["http://shop.test/"]);
  assert.equal(resolveStep({ select: { role: "button", name: "Buy now" }, action: "click" }, observation), undefined);
  assert.deepEqual(resolveStep({ stop: "x" }, observation), { kind: "stop", answer: "x" });
});
