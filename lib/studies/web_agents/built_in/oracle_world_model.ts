/**
 * The built-in site itself as a world model: it does each candidate in a copy of the browser and tells what changed. No model
 * can be more right, so it shows how far looking ahead can help with a given policy and value.
 */
import type { WebAction } from "../../../worlds/web_page/actions.ts";
import { WebActionError } from "../../../worlds/web_page/browser.ts";
import { formatChanges, itemChanges } from "../../../worlds/web_page/item_changes.ts";
import { SimulatedBrowser } from "../../../gyms/shop/simulated_browser.ts";
import { ShopSite } from "../../../gyms/shop/shop_site.ts";
import type { AgentState, Candidate, WorldModelRole } from "../roles.ts";
import { type Reply, timed } from "../../../serving/usage.ts";

/** See the file's head. One object is for one task. */
export class OracleWorldModel implements WorldModelRole {
  readonly #seed: number;
  readonly #startUrls: readonly string[];
  #now: SimulatedBrowser | undefined;
  #tree = "";
  /** Actions of the history that have been done. */
  #done = 0;

  /**
   * Nothing is computed yet: pages are opened when something is predicted.
   *
   * @param seed The site's.
   * @param startUrls Where the task begins.
   */
  constructor(seed: number, startUrls: readonly string[]) {
    this.#seed = seed;
    this.#startUrls = startUrls;
  }

  /** {@inheritDoc WorldModelRole.predict} */
  predict(state: AgentState, candidates: readonly Candidate[]): Promise<Reply<string[]>> {
    return timed(candidates.length, async () => {
      // What was done is done again, so that it also knows where a real browser is.
      if (!this.#now) {
        this.#now = new SimulatedBrowser(new ShopSite({ seed: this.#seed }));
        this.#tree = (await this.#now.reset(this.#startUrls)).tree;
      }
      for (const { action } of state.history.slice(this.#done)) this.#tree = (await attempt(this.#now, action)).tree;
      this.#done = state.history.length;
      const predictions: string[] = [];
      for (const { action } of candidates) {
        predictions.push(formatChanges(itemChanges(this.#tree, (await attempt(this.#now.clone(), action)).tree)));
      }
      return predictions;
    });
  }
}

/** What is seen after an action; one that cannot be done changes nothing. */
async function attempt(browser: SimulatedBrowser, action: WebAction): Promise<{ tree: string }> {
  try {
    return await browser.perform(action);
  } catch (error) {
    if (!(error instanceof WebActionError)) throw error;
    return await browser.observe();
  }
}
