/**
 * Parts of the built-in site's pages as evaluators look at them: the same texts in Chromium and in the simulated browser.
 *
 * Ignored where there is no Chromium. That the trees are the same is tested in `../browser`.
 */
import assert from "node:assert/strict";
import { openChromium } from "../../../lib/gyms/chromium/chromium.ts";
import { placedElements } from "../../../lib/gyms/shop/page.ts";
import { serveSite } from "../../../lib/gyms/shop/serve_site.ts";
import { ShopSite } from "../../../lib/gyms/shop/shop_site.ts";
import { SimulatedBrowser } from "../../../lib/gyms/shop/simulated_browser.ts";
import { hasChromium } from "../../support/chromium.ts";

const words = (content: string) => content.trim().split(/\s+/).join(" ");

Deno.test("built-in site: locators give the same texts in Chromium", { ignore: !hasChromium() }, async () => {
  const site = new ShopSite({ seed: 3 });
  await using served = serveSite(site);
  await using chromium = await openChromium({ hosts: { "shop.test": `127.0.0.1:${served.port}` } });
  const simulated = new SimulatedBrowser(site);
  const { slug } = site.data.products.find(({ option, stock }) => option && stock > 0)!;
  const [order] = site.data.orders.filter(({ customer }) => customer === site.data.customer.name);
  let compared = 0;
  // Sessions are the browsers' own: both put the same into theirs.
  for (const browser of [simulated, chromium]) {
    const { nodes } = await browser.reset([`http://shop.test/product/${slug}`]);
    const [id] = [...nodes].find(([, { name }]) => name === "Add to cart")!;
    await browser.perform({ kind: "click", id });
  }
  for (
    const path of [
      "/cart",
      "/account/address",
      `/product/${slug}/reviews`,
      `/admin/orders/${order.number}`,
    ]
  ) {
    const url = `http://shop.test${path}`;
    const { page } = site.handle({ method: "GET", path, session: "1" });
    const ids = placedElements(page!).flatMap(({ element }) => "id" in element && element.id ? [element.id] : []);
    assert.ok(ids.length > 0, path);
    // All parts of a page at once: a page is slow to open.
    const parts = ids.flatMap((id) => ["outerText", "value"].map((property) => ({ id, property })));
    const list = parts.map(({ id, property }) => `document.querySelector('#${id}').${property} ?? ''`).join(", ");
    const real: string[] = JSON.parse(await chromium.locate(`JSON.stringify([${list}])`, url));
    for (const [index, { id, property }] of parts.entries()) {
      const expected = await simulated.locate(`document.querySelector('#${id}').${property}`, url);
      assert.equal(words(expected), words(real[index]), `${path} #${id} ${property}`);
      compared++;
    }
  }
  assert.ok(compared >= 15, `${compared} parts`);
});
