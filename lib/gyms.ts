/**
 * Simulators that the worlds are tried in, so that nothing has to be downloaded: a robot at a table, thirteen text games, a web shop;
 * and Chromium, for the shop or any other site.
 *
 * Each is decided by its seed. The robot is {@linkcode TableTopEnv} in Gymnasium's terms, or {@linkcode tableTopEpisodes} as data;
 * {@linkcode TEXT_GAMES} are played by text; {@linkcode ShopSite} is one model of pages that {@linkcode SimulatedBrowser} reads directly
 * and {@linkcode serveSite} serves to a real browser.
 *
 * @example A step in each.
 * ```ts
 * import { ShopSite, SimulatedBrowser, siteTasks, TableTopEnv, TEXT_GAMES } from "@rlvr-world/rlvr-world/gyms";
 *
 * const robot = new TableTopEnv({ height: 32, width: 32, maxSteps: 10 });
 * const start = await robot.reset({ config: { seed: 0, drawer: true } });
 * const { observation, truncated } = await robot.step(new Float32Array(13));
 * console.log(`${start.observation.pixels.length} bytes a frame; ${observation.pixels.length}, truncated: ${truncated}`);
 *
 * const game = TEXT_GAMES["boil-tea"], state = game.start(0), action = game.expertAction(state);
 * console.log(`${game.taskDescription} ${action}: score ${game.step(state, action).nextScore.score}`);
 *
 * const shop = new ShopSite({ seed: 0 }), [task] = siteTasks(shop);
 * const page = await new SimulatedBrowser(shop).reset(task.startUrls);
 * console.log(`${task.intent}\n${page.tree.split("\n").slice(0, 3).join("\n")}`);
 * ```
 *
 * @module
 */

// A robot at a table
export { tableTopEpisodes } from "./gyms/table_top/episodes.ts";
export { TableTopEnv, TableTopVectorEnv } from "./gyms/table_top/table_top_env.ts";

// Text games
export { builtInTransitions } from "./gyms/games/crawl.ts";
export { TEXT_GAMES } from "./gyms/games/games.ts";

// A web shop, and browsers
export { SHOP_ORIGIN, ShopSite } from "./gyms/shop/shop_site.ts";
export { serveSite } from "./gyms/shop/serve_site.ts";
export { SimulatedBrowser } from "./gyms/shop/simulated_browser.ts";
export { siteTasks } from "./gyms/shop/site_tasks.ts";
export { resolveStep } from "./gyms/shop/site_task.ts";
export { openChromium } from "./gyms/chromium/chromium.ts";
export { findChromium } from "./gyms/chromium/find_chromium.ts";
