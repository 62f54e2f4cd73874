/**
 * Web pages as a world: a state is a page's accessibility tree, one line an item as in WebArena (`[12] link 'Cart (0)'`), and a model
 * reads it with an action (`click [12]`) and answers with what changes.
 *
 * A {@linkcode WebBrowser} (a simulated one or Chromium, both in `/gyms`) performs actions and observes pages;
 * {@linkcode transitionOf} makes a transition of two observations, {@linkcode answerOf} the true answer: new, deleted and updated items.
 * {@linkcode scoreChanges} is the reward, the F1 of predicted items against true ones. {@linkcode WebPageWorld} makes tokens of it all.
 *
 * @example One action in the built-in shop, what it changes, and what guesses earn.
 * ```ts
 * import { resolveStep, ShopSite, SimulatedBrowser, siteTasks } from "@rlvr-world/rlvr-world/gyms";
 * import { answerOf, describeAction, scoreChanges, transitionOf } from "@rlvr-world/rlvr-world/web_page";
 *
 * const site = new ShopSite({ seed: 0 }), browser = new SimulatedBrowser(site);
 * const [task] = siteTasks(site);
 * const before = await browser.reset(task.startUrls);
 * const action = resolveStep(task.solution[0], before)!;
 * const after = await browser.perform(action);
 * const transition = transitionOf(before, action, after, {
 *   taskId: task.taskId,
 *   step: 0,
 *   objective: task.intent,
 *   previousActions: ["None"],
 * });
 * console.log(`${task.intent}: ${describeAction(action, before.nodes)}`);
 *
 * const truth = answerOf(transition);
 * console.log(truth);
 * const half = truth.split("\n").slice(0, truth.split("\n").length / 2).join("\n");
 * for (const guess of [truth, half, ""]) console.log(`F1 ${scoreChanges(guess, truth).f1.toFixed(2)}`);
 * ```
 *
 * @module
 */

// Pages and actions
export { describeAction, formatAction, parseAction, type WebAction } from "./worlds/web_page/actions.ts";
export type { Observation, WebBrowser } from "./worlds/web_page/browser.ts";
export { pageItems } from "./worlds/web_page/items.ts";
export { pairItems } from "./worlds/web_page/item_pairs.ts";

// Transitions
export { answerOf, transitionOf, type WebPageTransition } from "./worlds/web_page/transition.ts";
export { recordWalk, replayWalk } from "./worlds/web_page/recorder.ts";

// The world, and the F1 of its answers
export { buildWebPrompt } from "./worlds/web_page/prompt.ts";
export { parseChanges, scoreChanges } from "./worlds/web_page/f1_reward.ts";
export {
  type WebPageExample,
  webPageExample,
  WebPageWorld,
  type WebPageWorldOptions,
} from "./worlds/web_page/world.ts";
