/** The simulated browser: trees, ids, forms, history, tabs. That it does as Chromium does is tested in `../browser`. */
import assert from "node:assert/strict";
import { parseAction } from "../../../lib/worlds/web_page/actions.ts";
import { type Observation, WebActionError } from "../../../lib/worlds/web_page/browser.ts";
import { ShopSite } from "../../../lib/gyms/shop/shop_site.ts";
import { SimulatedBrowser } from "../../../lib/gyms/shop/simulated_browser.ts";

const HOME = "http://shop.test/";

/** A browser, and what it shows. */
async function open(url = HOME, seed = 3, options = {}) {
  const site = new ShopSite({ seed }), browser = new SimulatedBrowser(site, options);
  let now: Observation = await browser.reset([url]);
  return {
    site,
    browser,
    now: () => now,
    /** Does an action of the grammar; `{…}` stands for the id of the node whose line holds that. */
    async act(text: string) {
      const named = text.replaceAll(/\{([^}]+)\}/g, (_, part) => String(idOf(now, part)));
      return now = await browser.perform(parseAction(named));
    },
  };
}

function idOf({ nodes, tree }: Observation, part: string): number {
  for (const [id, { line }] of nodes) if (line.includes(part)) return id;
  throw new Error(`${part} is not on\n${tree}`);
}

const lines = ({ tree }: Observation) => tree.split("\n");

Deno.test("simulated browser: the tree of a page", async () => {
  const { now, site } = await open();
  assert.deepEqual(lines(now()).slice(0, 10), [
    "Tab 0 (current): Home",
    "",
    "[1] RootWebArea 'Home' focused: True",
    "\t[2] link 'Home'",
    "\t[3] link 'Cart (0)'",
    "\t[4] link 'Wish list'",
    "\t[5] link 'Account'",
    "\t[6] link 'Forum'",
    "\t[7] textbox 'Search' required: False",
    "\t[8] button 'Search'",
  ]);
  assert.equal(now().url, HOME);
  assert.ok(now().tree.includes(`link '${site.data.featured.name}'`));
});

Deno.test("simulated browser: typing shows in the tree, ids hold", async () => {
  const { act, now } = await open();
  const before = lines(now());
  const typed = lines(await act("type [{'Search'}] [blue pan] [0]"));
  const added = `\t\t[${before.length - 1}] StaticText 'blue pan'`;
  assert.deepEqual(
    typed,
    before.flatMap((line) => {
      return line.includes("textbox 'Search'")
        ? ["\t[7] textbox 'Search' focused: True required: False", added]
        : [line];
    }),
  );
  // Another text is the same node.
  assert.ok(lines(await act("type [7] [big kettle] [0]")).includes(added.replace("blue pan", "big kettle")));
  const found = await act("press [Enter]");
  assert.equal(found.url, "http://shop.test/search?q=big+kettle");
});

Deno.test("simulated browser: choices, boxes and buttons make a form", async () => {
  const { act, site } = await open();
  const category = site.data.categories[0];
  await act(`click [{link '${category}'}]`);
  const chosen = await act("click [{option 'Price'}]");
  assert.ok(
    chosen.tree.includes("option 'Price' selected: True") && chosen.tree.includes("option 'Name' selected: False"),
  );
  assert.ok(chosen.tree.includes("combobox 'Sort by' focused: True hasPopup: menu expanded: False"));
  const checked = await act("click [{checkbox}]");
  assert.ok(checked.tree.includes("checkbox 'In stock only' focused: True checked: true"));
  const applied = await act("click [{button 'Apply'}]");
  assert.equal(applied.url, `http://shop.test/category/${category.toLowerCase()}?sort=Price&stock=1`);
  assert.ok(applied.tree.includes("option 'Price' selected: True") && applied.tree.includes("checked: true"));
});

Deno.test("simulated browser: a disclosure opens and closes", async () => {
  const { act, site } = await open("http://shop.test/help");
  const [{ answer }] = site.data.help;
  const closed = await act("hover [1]");
  const opened = await act("click [{DisclosureTriangle}]");
  assert.ok(!closed.tree.includes(answer) && opened.tree.includes(`StaticText '${answer}'`));
  assert.ok(opened.tree.includes("focused: True expanded: True"));
  assert.ok(!(await act("click [{DisclosureTriangle}]")).tree.includes(answer));
  // The keyboard does the same.
  assert.ok((await act("press [Enter]")).tree.includes(answer));
});

Deno.test("simulated browser: back, forward, and the page again", async () => {
  const { act, now } = await open();
  await act("go_back");
  assert.equal(now().url, HOME);
  await act("click [{'Forum'}]");
  await act("click [{'Forum'}]");
  await act("click [{'Account'}]");
  assert.equal((await act("go_back")).url, "http://shop.test/forum");
  // Following a link to the page itself is loading it again.
  assert.equal((await act("go_back")).url, HOME);
  assert.equal((await act("go_forward")).url, "http://shop.test/forum");
  await act("click [{link 'Cart}]");
  await act("go_forward");
  assert.equal(now().url, "http://shop.test/cart");
  // What was typed is gone with the document.
  await act("type [7] [x] [0]");
  await act("go_back");
  assert.ok(!(await act("go_forward")).tree.includes("'x'"));
});

Deno.test("simulated browser: tabs", async () => {
  const { act, browser } = await open();
  const blank = await act("new_tab");
  assert.equal(blank.tree, "Tab 0: Home | Tab 1 (current): \n\n[1] RootWebArea '' focused: True");
  await act("goto [http://shop.test/cart]");
  const first = await act("tab_focus [0]");
  assert.deepEqual(first.tabs, [{ title: "Home", isCurrent: true }, { title: "Cart", isCurrent: false }]);
  assert.equal((await act("close_tab")).tree.split("\n")[0], "Tab 0 (current): Cart");
  assert.equal((await act("close_tab")).url, "about:blank");
  await assert.rejects(act("tab_focus [3]"), /there is no tab 3: the last is 0/);
  const both = await browser.reset([HOME, "http://shop.test/help"]);
  assert.equal(both.tree.split("\n")[0], "Tab 0 (current): Home | Tab 1: Help");
});

Deno.test("simulated browser: Tab goes from element to element and out", async () => {
  const { act } = await open("http://shop.test/help");
  assert.ok((await act("press [Tab]")).tree.includes("link 'Home' focused: True"));
  await act("click [{heading}]");
  assert.ok(
    (await act("press [Tab]")).tree.includes("DisclosureTriangle 'How long does delivery take?' focused: True"),
  );
  assert.ok((await act("press [Shift+Tab]")).tree.includes("button 'Search' focused: True"));
});

Deno.test("simulated browser: what cannot be done is said and changes nothing", async () => {
  const { act, browser, now } = await open();
  const before = now().tree;
  await assert.rejects(act("click [99]"), /there is no node \[99\] on the page: ids are 1 to 18/);
  await assert.rejects(act("type [2] [x]"), /\[2\] takes no text: type into a textbox/);
  await assert.rejects(act("goto [http://example.com/]"), /"http:\/\/example.com\/" may not be opened/);
  await assert.rejects(act("goto [file:///etc/passwd]"), WebActionError);
  await assert.rejects(act("goto [shop]"), /"shop" is not an address/);
  await assert.rejects(browser.reset(["http://example.com/"]), WebActionError);
  await assert.rejects(browser.locate("document.title"), /needs a real browser/);
  assert.equal((await browser.observe()).tree, before);
  for (const harmless of ["scroll [down]", "press [F5]", "nonsense", "stop [x]"]) {
    assert.equal((await act(harmless)).tree, before);
  }
});

Deno.test("simulated browser: a long page is cut, and what is cut cannot be clicked", async () => {
  const { now, act } = await open(HOME, 3, { maxLines: 9 });
  assert.equal(lines(now()).length, 2 + 9);
  assert.equal(now().linesLeftOut, 9);
  await assert.rejects(act("click [10]"), /ids are 1 to 9/);
});

Deno.test("simulated browser: parts of pages for evaluators", async () => {
  const { act, browser, site } = await open("http://shop.test/account/address");
  const { customer: { street, town } } = site.data;
  const part = (id: string, property: string) => `document.querySelector('#${id}').${property}`;
  assert.equal(await browser.locate(part("address", "outerText")), `Parcels go to ${street}, ${town}.`);
  assert.equal(await browser.locate(part("address-town", "value")), town);
  await act("type [{textbox 'Town'}] [Leeds] [0]");
  assert.equal(await browser.locate(part("address-town", "value")), "Leeds");
  // Another page is loaded aside, with the same session; the current one stays as it is.
  assert.equal(await browser.locate(part("address-town", "value"), "http://shop.test/account/address"), town);
  assert.equal(await browser.locate(part("nothing", "outerText")), "");
  assert.ok((await browser.locate("")).startsWith("<!doctype html>"));
  const product = site.data.products.find(({ stock }) => stock > 0)!;
  await act(`goto [http://shop.test/product/${product.slug}]`);
  await act("click [{'Add to cart'}]");
  assert.match(
    await browser.locate('document.getElementById("cart-items")?.innerText'),
    new RegExp(`\\n${product.name}\\n1 x`),
  );
});

Deno.test("simulated browser: a copy goes its own way, with the same ids", async () => {
  const { act, browser, now } = await open();
  await act("type [7] [pan] [0]");
  const copy = browser.clone();
  assert.deepEqual(await copy.observe(), now());
  const ahead = await copy.perform(parseAction("press [Enter]"));
  assert.equal(ahead.url, "http://shop.test/search?q=pan");
  assert.equal((await browser.observe()).url, HOME);
  assert.deepEqual(await act("press [Enter]"), ahead);
});

Deno.test("simulated browser: forgetting everything gives the first page again", async () => {
  const { browser, site, act, now } = await open();
  const first = now();
  const { slug } = site.data.products.find(({ stock }) => stock > 0)!;
  await act(`goto [http://shop.test/product/${slug}]`);
  await act("click [{'Add to cart'}]");
  assert.ok((await act("goto [http://shop.test/]")).tree.includes("Cart (1)"));
  assert.deepEqual(await browser.reset([HOME]), first);
});

Deno.test("simulated browser: pages are short whatever is done", async () => {
  const { browser, site } = await open();
  const paths = [
    "/",
    "/cart",
    "/wish-list",
    "/forum",
    "/forum/1",
    "/help",
    "/account",
    "/account/orders",
    "/admin/orders",
    "/admin/products?page=2",
    ...site.data.categories.map((category) => `/category/${category.toLowerCase()}`),
    ...site.data.products.flatMap(({ slug }) => [`/product/${slug}`, `/product/${slug}/reviews`]),
  ];
  for (let i = 0; i < 20; i++) {
    for (
      const [path, form] of [
        ["/forum/1/comment", { comment: `number ${i}` }],
        ["/cart/add", { product: site.data.products[i].slug, quantity: "1" }],
        ["/wish-list/add", { product: site.data.products[i].slug }],
        [`/product/${site.data.products[0].slug}/review`, { stars: "3", review: `number ${i}` }],
      ] as const
    ) site.handle({ method: "POST", path, form: { ...form }, session: "1" });
  }
  for (const path of paths) {
    const { nodes } = await browser.perform({ kind: "goto", url: `http://shop.test${path}` });
    assert.ok(nodes.size >= 10 && nodes.size <= 28, `${path} has ${nodes.size} lines`);
  }
});
