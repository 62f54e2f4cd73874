/**
 * The simulated browser and Chromium see the built-in site alike: walks through it, action by action, with the same trees, line by
 * line, the same addresses, and the same actions refused.
 *
 * Ignored where there is no Chromium.
 */
import assert from "node:assert/strict";
import { Philox } from "../../../lib/tensor/random.ts";
import { formatAction, type WebAction } from "../../../lib/worlds/web_page/actions.ts";
import { type Observation, WebActionError, type WebBrowser } from "../../../lib/worlds/web_page/browser.ts";
import { openChromium } from "../../../lib/gyms/chromium/chromium.ts";
import { ActionProposals } from "../../../lib/worlds/web_page/proposals.ts";
import { recordWalk, replayWalk } from "../../../lib/worlds/web_page/recorder.ts";
import { serveSite } from "../../../lib/gyms/shop/serve_site.ts";
import { ShopSite } from "../../../lib/gyms/shop/shop_site.ts";
import { SimulatedBrowser } from "../../../lib/gyms/shop/simulated_browser.ts";
import { hasChromium } from "../../support/chromium.ts";

const STARTS = ["/", "/product/", "/forum", "/account", "/admin/orders", "/cart"];
/** Steps of each walk. */
const STEPS = Number(Deno.env.get("RLVR_EQUALITY_STEPS") ?? 12);

async function attempt(browser: WebBrowser, action: WebAction): Promise<Observation | "refused"> {
  try {
    return await browser.perform(action);
  } catch (error) {
    if (error instanceof WebActionError) return "refused";
    throw error;
  }
}

Deno.test("built-in site: Chromium's trees are the simulated browser's, line by line; a walk replays in it", {
  ignore: !hasChromium(),
}, async () => {
  const served = new ShopSite({ seed: 3 }), imitated = new ShopSite({ seed: 3 });
  await using server = serveSite(served);
  await using real = await openChromium({
    hosts: { "shop.test": `127.0.0.1:${server.port}` },
    settling: { quiet: 20 },
  });
  const simulated = new SimulatedBrowser(imitated);
  let compared = 0;
  for (const [walk, start] of STARTS.entries()) {
    served.reset();
    imitated.reset();
    const path = start === "/product/" ? start + served.data.products[0].slug : start;
    const proposals = new ActionProposals(new Philox(3, walk), {});
    let page = await simulated.reset([`http://shop.test${path}`]);
    assert.equal((await real.reset([`http://shop.test${path}`])).tree, page.tree, path);
    for (let step = 0; step < STEPS; step++) {
      const action = proposals.propose(page);
      const place = `walk ${walk}, step ${step}: ${formatAction(action)} at ${page.url}`;
      const expected = await attempt(simulated, action), seen = await attempt(real, action);
      if (expected === "refused" || seen === "refused") {
        assert.equal(seen, expected, place);
        proposals.observe(page, action, undefined);
        continue;
      }
      assert.equal(seen.tree, expected.tree, place);
      assert.equal(seen.url, expected.url, place);
      proposals.observe(page, action, expected);
      page = expected;
      compared++;
    }
  }
  assert.ok(compared >= STARTS.length * STEPS * 0.8, `only ${compared} pages were compared`);

  // What walks by chance do not do: a text typed into a list, which chooses its option, and one that it does not have.
  const { slug, option } = served.data.products.find((each) => each.option && each.stock > 0)!;
  const url = `http://shop.test/product/${slug}`, page = await simulated.reset([url]);
  await real.reset([url]);
  const [list] = [...page.nodes].find(([, { role }]) => role === "combobox")!;
  for (const text of [option!.choices.at(-1)!.slice(0, 3).toUpperCase(), option!.choices[0], "no such option"]) {
    const action: WebAction = { kind: "type", id: list, text, pressEnter: true };
    const expected = await attempt(simulated, action), seen = await attempt(real, action);
    if (expected === "refused" || seen === "refused") assert.deepEqual([seen, text], [expected, "no such option"]);
    else assert.equal(seen.tree, expected.tree, text);
  }

  served.reset();
  const startUrls = ["http://shop.test/"];
  const recorded = await recordWalk(real, {
    startUrls,
    steps: STEPS,
    stream: new Philox(4),
    taskId: 0,
    objective: "Look around",
  });
  served.reset();
  assert.equal(await replayWalk(real, startUrls, recorded), undefined);
});
