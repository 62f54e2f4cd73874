/** Walks through the built-in site: the same for the same seed, replayed exactly, scripted ones followed, failures counted. */
import assert from "node:assert/strict";
import { Philox } from "../../../lib/tensor/random.ts";
import type { WebAction } from "../../../lib/worlds/web_page/actions.ts";
import { type Observation, WebActionError, type WebBrowser } from "../../../lib/worlds/web_page/browser.ts";
import { builtInWalks } from "../../../lib/gyms/shop/walks.ts";
import { itemChanges } from "../../../lib/worlds/web_page/item_changes.ts";
import { ActionProposals } from "../../../lib/worlds/web_page/proposals.ts";
import { recordWalk, replayWalk } from "../../../lib/worlds/web_page/recorder.ts";
import { recordSite } from "../../../lib/worlds/web_page/recording.ts";
import { ShopSite } from "../../../lib/gyms/shop/shop_site.ts";
import { SimulatedBrowser } from "../../../lib/gyms/shop/simulated_browser.ts";

const HOME = "http://shop.test/";

function walkOptions(seed: number) {
  return { startUrls: [HOME], steps: 30, stream: new Philox(seed, 7), taskId: 3, objective: "Look around" };
}

Deno.test("a walk is decided by its seed, and replayed on a reset site it sees the same pages", async () => {
  const site = new ShopSite({ seed: 4 });
  await using browser = new SimulatedBrowser(site);
  const first = await recordWalk(browser, walkOptions(1));
  site.reset();
  const again = await recordWalk(browser, walkOptions(1));
  site.reset();
  const other = await recordWalk(browser, walkOptions(2));
  assert.deepEqual(again, first);
  assert.notDeepEqual(other.actions, first.actions);
  site.reset();
  assert.equal(await replayWalk(browser, [HOME], first), undefined);
  const wrong = first.tried.map((each) =>
    each.transition?.step === 12
      ? { ...each, transition: { ...each.transition, nextObservation: "another page" } }
      : each
  );
  site.reset();
  const found = await replayWalk(browser, [HOME], { tried: wrong });
  assert.equal(found!.transition.step, 12);
  assert.equal(found!.seen, first.transitions[12].nextObservation);
});

Deno.test("a walk's transitions hang together and see much of the site", async () => {
  const site = new ShopSite({ seed: 5 });
  await using browser = new SimulatedBrowser(site);
  const { transitions } = await recordWalk(browser, { ...walkOptions(3), steps: 120 });
  assert.equal(transitions.length, 120);
  transitions.forEach((each, i) => {
    assert.equal(each.step, i);
    assert.equal(each.taskId, 3);
    assert.equal(each.previousActions[0], "None");
    assert.equal(each.previousActions.length, Math.min(5, i + 1), "a history of five entries at most");
    if (i > 0) {
      assert.equal(each.observation, transitions[i - 1].nextObservation);
      assert.equal(each.previousActions.at(-1), transitions[i - 1].describedAction);
    }
    assert.deepEqual(each.changes, itemChanges(each.observation, each.nextObservation));
  });
  const kinds = new Set(
    transitions.map((each) => new URL(each.url.startsWith("http") ? each.url : HOME).pathname.split("/")[1]),
  );
  assert.ok(kinds.size >= 6, [...kinds].join(", "));
  const idle = transitions.filter((each) => each.nextObservation === each.observation);
  assert.ok(idle.length < 36, `${idle.length} of 120 actions did nothing`);
  const done = idle.map((each) => `${each.action}\n${each.observation}`);
  assert.equal(new Set(done).size, done.length, "what did nothing is not tried on the same page again");
});

Deno.test("a script is followed, with detours that come back; steps without an element are passed over", async () => {
  const site = new ShopSite({ seed: 6 });
  await using browser = new SimulatedBrowser(site);
  const click = (role: string, name: string) => (observation: Observation): WebAction | undefined => {
    for (const [id, node] of observation.nodes) {
      if (node.role === role && node.name === name) return { kind: "click", id };
    }
    return undefined;
  };
  const script = [click("link", "Forum"), click("button", "No such button"), click("link", "New post")];
  const straight = await recordWalk(browser, { ...walkOptions(1), steps: 2, script, detours: 0 });
  assert.deepEqual(straight.transitions.map((each) => each.describedAction.replace(/\d+/g, "#")), [
    "click [#] where [#] is link 'Forum'",
    "click [#] where [#] is link 'New post'",
  ]);
  let cameBack = 0;
  for (let seed = 0; seed < 12; seed++) {
    site.reset();
    const { transitions } = await recordWalk(browser, { ...walkOptions(seed), steps: 8, script, detours: 0.6 });
    const at = transitions.findIndex((each) => / is link 'New post'/.test(each.describedAction));
    if (transitions.slice(0, at).some((each) => each.action === "go_back")) cameBack++;
  }
  assert.ok(cameBack > 0, "a detour that left the page is taken back");
});

Deno.test("actions that cannot be done are counted and no transitions; a page that offers nothing ends the walk", async () => {
  const page = (step: number): Observation => ({
    tree: `Tab 0 (current): Stuck\n\n[1] RootWebArea 'Stuck ${step}'\n\t[2] link 'Out'`,
    url: HOME,
    tabs: [{ title: "Stuck", isCurrent: true }],
    nodes: new Map([[2, { role: "link", name: "Out", line: "[2] link 'Out'" }]]),
  });
  let performed = 0;
  const stuck = {
    reset: () => Promise.resolve(page(0)),
    observe: () => Promise.resolve(page(performed)),
    perform: () => ++performed % 2 === 0 ? Promise.resolve(page(performed)) : Promise.reject(new WebActionError("no")),
  } as unknown as WebBrowser;
  const walk = await recordWalk(stuck, { ...walkOptions(0), steps: 4 });
  assert.deepEqual([walk.transitions.length, walk.actions.length, walk.failedActions], [4, 4, 4]);
  assert.deepEqual(walk.tried.map(({ transition }) => transition === undefined), Array(4).fill([true, false]).flat());
  // Each refused action had changed the page: what follows begins with the page that was there then.
  assert.deepEqual(walk.transitions.map((each) => each.observation), [1, 3, 5, 7].map((i) => page(i).tree));
  const dead = { ...stuck, perform: () => Promise.reject(new WebActionError("no")) } as unknown as WebBrowser;
  const none = await recordWalk(dead, { ...walkOptions(0), steps: 4 });
  assert.deepEqual([none.transitions.length, none.failedActions], [0, 20]);
  const broken = { ...stuck, perform: () => Promise.reject(new TypeError("a bug")) } as unknown as WebBrowser;
  await assert.rejects(recordWalk(broken, walkOptions(0)), TypeError);
  const asked = await recordWalk(stuck, { ...walkOptions(0), signal: AbortSignal.abort() });
  assert.equal(asked.transitions.length, 0);
});

Deno.test("a browser that ends, a tab that is lost, a stop during an action: the walk is kept as far as it went", async () => {
  const page = (url = HOME, notes?: string[]): Observation => ({
    tree: `Tab 0 (current): Page\n\n[1] RootWebArea '${url}'\n\t[2] link 'Out'`,
    url,
    tabs: [{ title: "Page", isCurrent: true }],
    nodes: new Map([[2, { role: "link", name: "Out", line: "[2] link 'Out'" }]]),
    ...notes && { notes },
  });
  const browserOf = (third: () => Promise<Observation>, observe = () => Promise.resolve(page())) => {
    let performed = 0;
    return {
      reset: () => Promise.resolve(page()),
      observe,
      perform: () => ++performed < 3 ? Promise.resolve(page()) : third(),
    } as unknown as WebBrowser;
  };
  const notes: string[] = [];
  const options = { ...walkOptions(0), onNote: (note: string) => void notes.push(note) };
  const end = () => Promise.reject(new WebActionError("Chromium has ended"));
  const ended = await recordWalk(browserOf(end, end), options);
  assert.deepEqual([ended.transitions.length, ended.failedActions, notes.splice(0)], [2, 1, ["Chromium has ended"]]);
  const lost = await recordWalk(browserOf(() => Promise.resolve(page("about:blank", ["it crashed"]))), options);
  assert.deepEqual([lost.transitions.length, notes.splice(0)], [3, ["it crashed"]]);
  const stop = new AbortController();
  const waiting = () =>
    new Promise<Observation>((_, reject) => {
      stop.signal.addEventListener("abort", () => reject(stop.signal.reason));
      stop.abort();
    });
  const stopped = await recordWalk(browserOf(waiting), { ...options, signal: stop.signal });
  assert.deepEqual([stopped.transitions.length, stopped.failedActions, notes], [2, 0, []]);
});

Deno.test("a recording goes on after a walk that could not begin, and ends where none can", async () => {
  const site = new ShopSite({ seed: 4 });
  await using shop = new SimulatedBrowser(site);
  let resets = 0;
  const notes: string[] = [];
  const request = {
    steps: 12,
    walkSteps: 6,
    stream: [0],
    firstTaskId: 0,
    walk: () => ({ startUrls: [HOME], objective: "Look around" }),
    checkedWalks: 2,
    onNote: (note: string) => void notes.push(note),
  };
  const unsteady = {
    reset: (urls: string[]) => ++resets === 2 ? Promise.reject(new WebActionError("no answer")) : shop.reset(urls),
    observe: () => shop.observe(),
    perform: (action: WebAction) => shop.perform(action),
  } as unknown as WebBrowser;
  const { transitions, walks, confirmedWalks, differences } = await recordSite(unsteady, {
    ...request,
    resetSite: () => site.reset(),
  });
  assert.deepEqual([transitions.length, walks, notes.splice(0)], [12, 3, ["no answer"]]);
  assert.deepEqual([confirmedWalks, differences.length], [2, 0]);
  const closed = { ...unsteady, reset: () => Promise.reject(new WebActionError("closed")) } as unknown as WebBrowser;
  const nothing = await recordSite(closed, request);
  assert.deepEqual([nothing.transitions.length, nothing.walks, nothing.confirmedWalks], [0, 3, 0]);
  // A site that is not ours to reset is walked through again as it is.
  const live = await recordSite(shop, request);
  assert.equal(live.confirmedWalks + live.differences.length, 2);
});

Deno.test("proposals: what was used or seen before weighs less, given words are typed", () => {
  const nodes = new Map([
    [2, { role: "link", name: "Old", line: "[2] link 'Old'" }],
    [3, { role: "searchbox", name: "Search", line: "[3] searchbox 'Search'" }],
  ]);
  const page: Observation = { tree: "t", url: HOME, tabs: [{ title: "", isCurrent: true }], nodes };
  const proposals = new ActionProposals(new Philox(0, 1), { words: ["kettle"], usesTabs: false });
  const drawn = Array.from({ length: 60 }, () => proposals.propose(page));
  const typed = drawn.filter((each) => each.kind === "type");
  assert.ok(typed.length > 10 && typed.every((each) => each.pressEnter), "a search box is sent off");
  assert.deepEqual(new Set(typed.map((each) => each.text)), new Set(["kettle", "Old"]));
  assert.ok(!drawn.some((each) => each.kind === "newTab"));
  proposals.observe(page, { kind: "click", id: 2 }, page);
  const after = Array.from({ length: 60 }, () => proposals.propose(page));
  assert.ok(drawn.some((each) => each.kind === "click" && each.id === 2));
  assert.ok(!after.some((each) => each.kind === "click" && each.id === 2), "it did nothing on this page");
});

Deno.test("built-in walks: the same for the same stream, each shop its own, tasks among them", async () => {
  const options = { sites: [7, 8, 9], walks: 4, steps: 5, stream: [0, 8] };
  const walks = await builtInWalks(options);
  assert.deepEqual(await builtInWalks(options), walks);
  assert.equal(walks.length, 60);
  assert.deepEqual(new Set(walks.map((each) => each.site)), new Set([7, 8, 9]));
  assert.equal(new Set(walks.map((each) => each.transition.taskId)).size, 12);
  const objectives = new Set(walks.map((each) => each.transition.objective));
  assert.ok(objectives.has("Look around in the shop") && objectives.size >= 4, [...objectives].join("; "));
  const alone = await builtInWalks({ ...options, sites: [8] });
  const strip = (all: typeof walks) => all.map(({ transition: { taskId: _, ...rest } }) => rest);
  assert.deepEqual(
    strip(alone),
    strip(walks.filter((each) => each.site === 8)),
    "a shop's walks do not depend on others",
  );
});
