/** The built-in site's logic: what is asked for, what it does, and that nothing depends on anything but seed and requests. */
import assert from "node:assert/strict";
import { pageHtml } from "../../../lib/gyms/shop/page_html.ts";
import { placedElements } from "../../../lib/gyms/shop/page.ts";
import { money } from "../../../lib/gyms/shop/shop_data.ts";
import { ShopSite, type SiteResponse } from "../../../lib/gyms/shop/shop_site.ts";

/** A visitor with a session. */
class Visitor {
  session: string | undefined;
  constructor(readonly site: ShopSite) {}

  get(path: string): SiteResponse {
    return this.#send({ method: "GET", path });
  }
  post(path: string, form: Record<string, string> = {}): SiteResponse {
    return this.#send({ method: "POST", path, form });
  }
  /** Texts of a page, headers left out. */
  texts(path: string): string[] {
    const { page, redirect } = this.get(path);
    assert.ok(page, `${path} redirects to ${redirect}`);
    return placedElements(page).filter(({ path }) => path.startsWith("1")).flatMap(({ element }) =>
      "text" in element ? [element.text] : []
    );
  }
  #send(request: { method: "GET" | "POST"; path: string; form?: Record<string, string> }): SiteResponse {
    const response = this.site.handle({ ...request, session: this.session });
    this.session = response.session;
    return response;
  }
}

const productOf = (site: ShopSite, fits: (stock: number, hasOption: boolean) => boolean) =>
  site.data.products.find(({ stock, option }) => fits(stock, option !== undefined))!;

Deno.test("shop: a seed is a catalogue, another seed is another", () => {
  const of = (seed: number) => JSON.stringify(new ShopSite({ seed }).data);
  assert.equal(of(3), of(3));
  assert.notEqual(of(3), of(4));
  assert.throws(() => new ShopSite({ seed: -1 }), /seed must be a whole number of at least 0: received -1/);
});

Deno.test("shop: catalogues have one answer to a question", () => {
  for (let seed = 0; seed < 100; seed++) {
    const { products, categories, posts, orders, customer } = new ShopSite({ seed }).data;
    assert.ok(products.length >= 10 && products.length <= 42, `seed ${seed}: ${products.length} products`);
    assert.ok(categories.length === 5 || categories.length === 6);
    for (const each of ["slug", "name", "price"] as const) {
      assert.equal(new Set(products.map((product) => product[each])).size, products.length, `seed ${seed}: ${each}`);
    }
    assert.equal(new Set(posts.map(({ title }) => title)).size, posts.length);
    assert.ok(products.every(({ reviews }) => reviews.length > 0));
    assert.ok(orders.filter((order) => order.customer === customer.name).length >= 3);
  }
});

Deno.test("shop: a product's page says how many are left where few are, and describes some products", () => {
  let low = 0, soldOut = 0, described = 0, total = 0;
  for (let seed = 0; seed < 20; seed++) {
    const site = new ShopSite({ seed }), visitor = new Visitor(site);
    for (const { slug, stock, description } of site.data.products) {
      const texts = visitor.texts(`/product/${slug}`), ofStock = texts.filter((each) => /left|stock/.test(each));
      assert.deepEqual(ofStock, stock === 0 ? ["Out of stock"] : stock < 10 ? [`Only ${stock} left`] : []);
      assert.equal(texts.filter((each) => each.startsWith("Made for")).length, description === undefined ? 0 : 1);
      total++;
      if (stock === 0) soldOut++;
      else if (stock < 10) low++;
      if (description !== undefined) described++;
    }
  }
  for (const [count, share] of [[soldOut, 0.15], [low, 0.85 * 9 / 39], [described, 0.5]]) {
    assert.ok(Math.abs(count / total - share) < 0.08, `${count} of ${total}, expected ${share}`);
  }
});

Deno.test("shop: from the cart to the order", () => {
  const site = new ShopSite({ seed: 1 }), visitor = new Visitor(site);
  const product = productOf(site, (stock, hasOption) => stock >= 5 && !hasOption),
    { slug, name, price, stock } = product;
  assert.deepEqual(visitor.texts("/cart"), ["Cart", "Your cart is empty."]);
  assert.equal(visitor.post("/cart/add", { product: slug, quantity: "2" }).redirect, "/cart?done=added");
  assert.equal(visitor.post("/cart/add", { product: slug, quantity: "1" }).redirect, "/cart?done=added");
  const cart = visitor.texts("/cart");
  assert.ok(cart.includes(`3 x ${money(price)}`) && cart.includes(`Total ${money(3 * price)}`), cart.join("|"));
  const before = site.data.orders.length;
  const { redirect } = visitor.post("/checkout", {
    name: "Ann",
    street: "1 Mill Road",
    town: "York",
    delivery: "Express $9.00",
  });
  const number = site.data.orders[0].number;
  assert.equal(redirect, `/order/${number}?done=placed`);
  assert.equal(site.data.orders.length, before + 1);
  assert.equal(product.stock, stock - 3);
  const order = visitor.texts(redirect!);
  assert.ok(order.includes("Thank you, your order is placed."));
  assert.ok(order.includes(`Total: ${money(3 * price + 900)}, Express`) && order.includes("To 1 Mill Road, York"));
  assert.ok(order.includes(name));
  assert.deepEqual(visitor.texts("/cart"), ["Cart", "Your cart is empty."]);
  assert.ok(visitor.texts("/admin/orders").includes("Pending, Ann"));
  // Another visitor does not see it.
  assert.equal(new Visitor(site).get(`/order/${number}`).status, 404);
});

Deno.test("shop: what cannot be bought is refused", () => {
  const site = new ShopSite({ seed: 1 }), visitor = new Visitor(site);
  const { slug, stock } = productOf(site, (pieces) => pieces > 0 && pieces < 40);
  const add = (quantity: string, product = slug) => visitor.post("/cart/add", { product, quantity }).redirect;
  for (const quantity of ["0", "-1", "1.5", "1e3", "100", "", "two", " "]) {
    assert.equal(add(quantity), `/product/${slug}?refused=quantity`, quantity);
  }
  assert.equal(add(String(stock + 1)), `/product/${slug}?refused=stock`);
  assert.equal(add(String(stock)), "/cart?done=added");
  assert.equal(add("1"), `/product/${slug}?refused=stock`);
  assert.equal(visitor.post("/cart/add", { product: "nothing", quantity: "1" }).status, 404);
  assert.equal(visitor.post("/checkout", { name: "", street: "x", town: "y" }).redirect, "/checkout?refused=empty");
  // The last pieces went to somebody else meanwhile.
  const other = new Visitor(site);
  other.post(`/admin/products/${slug}`, { price: "5.00", stock: "0" });
  assert.equal(visitor.post("/checkout", { name: "a", street: "x", town: "y" }).redirect, "/cart?refused=stock");
});

Deno.test("shop: sessions are apart, shared things are shared", () => {
  const site = new ShopSite({ seed: 2 }), ann = new Visitor(site), bob = new Visitor(site);
  const { slug, name } = site.data.products[0];
  ann.post("/wish-list/add", { product: slug });
  ann.post("/wish-list/add", { product: slug });
  assert.equal(ann.texts("/wish-list").filter((each) => each === name).length, 1);
  assert.ok(bob.texts("/wish-list").includes("Your wish list is empty."));
  ann.post("/account/address", { name: "Ann X", street: "1 Way", town: "York", news: "1" });
  assert.ok(ann.texts("/account/address").includes("Parcels go to 1 Way, York, with news."));
  assert.ok(!bob.texts("/account/address").some((each) => each.includes("1 Way")));
  ann.post(`/product/${slug}/review`, { stars: "2 stars", review: "Not  for\nme" });
  assert.ok(bob.texts(`/product/${slug}/reviews`).includes("Ann, 2 of 5: Not for me"));
  ann.post("/forum/1/comment", { comment: "Hello" });
  assert.ok(bob.texts("/forum/1").includes("Ann: Hello"));
});

Deno.test("shop: a vote counts once and can be taken back", () => {
  const site = new ShopSite({ seed: 2 }), visitor = new Visitor(site), [post] = site.data.posts, { votes } = post;
  visitor.post(`/forum/${post.number}/vote`);
  assert.equal(post.votes, votes + 1);
  assert.ok(visitor.texts(`/forum/${post.number}`).includes("Take back vote"));
  visitor.post(`/forum/${post.number}/vote`);
  assert.equal(post.votes, votes);
});

Deno.test("shop: signing out and in", () => {
  const site = new ShopSite({ seed: 2 }), visitor = new Visitor(site), { customer, password } = site.data;
  assert.equal(visitor.post("/account/sign-out").redirect, "/account/sign-in?done=out");
  for (
    const path of [
      "/account",
      "/wish-list",
      "/admin/orders",
      "/checkout",
      `/product/${site.data.products[0].slug}/review`,
    ]
  ) {
    assert.equal(visitor.get(path).redirect, "/account/sign-in", path);
  }
  const signIn = (name: string, word: string) => visitor.post("/account/sign-in", { name, password: word }).redirect;
  assert.equal(signIn(customer.name, "wrong"), "/account/sign-in?refused=password");
  assert.equal(signIn(customer.name, password), "/account");
  assert.ok(visitor.texts("/account").includes(`Signed in as ${customer.name}.`));
});

Deno.test("shop: listings are sorted, filtered and paged", () => {
  const site = new ShopSite({ seed: 6 }), visitor = new Visitor(site);
  const category = site.data.categories.find((each) =>
    site.data.products.filter((product) => product.category === each).length > 5
  )!;
  const inside = site.data.products.filter((product) => product.category === category);
  const names = (path: string) => visitor.texts(path).filter((each) => inside.some(({ name }) => name === each));
  const path = `/category/${category.toLowerCase()}`;
  const byPrice = [...inside].sort((a, b) => a.price - b.price).map(({ name }) => name);
  assert.deepEqual(names(`${path}?sort=Price`), byPrice.slice(0, 5));
  assert.deepEqual(names(`${path}?sort=Price&page=2`), byPrice.slice(5));
  assert.ok(visitor.texts(`${path}?sort=Price`).includes("Next page"));
  assert.ok(!visitor.texts(`${path}?sort=Price&page=2`).includes("Next page"));
  assert.deepEqual(names(`${path}?page=99`), names(path));
  const [{ slug, name }] = inside;
  visitor.post(`/admin/products/${slug}`, { price: "$7.5", stock: "0" });
  assert.equal(site.data.products.find((product) => product.slug === slug)!.price, 750);
  assert.ok(!names(`${path}?stock=1`).includes(name));
  assert.deepEqual(names(`/search?q=${encodeURIComponent(name.toUpperCase())}`), [name]);
  assert.ok(visitor.texts("/search?q=nothing+like+it").includes("No products found."));
});

Deno.test("shop: reset and clone", () => {
  const site = new ShopSite({ seed: 2 }), fresh = JSON.stringify(site.data), visitor = new Visitor(site);
  visitor.post("/forum/new", { title: "Hello", text: "World" });
  const copy = site.clone();
  visitor.post("/forum/new", { title: "Only here", text: "World" });
  assert.equal(copy.data.posts[0].title, "Hello");
  assert.equal(site.data.posts[0].title, "Only here");
  // A copy knows the visitors too.
  assert.equal(copy.handle({ method: "GET", path: "/", session: visitor.session }).session, visitor.session);
  site.reset();
  assert.equal(JSON.stringify(site.data), fresh);
  assert.equal(visitor.get("/").session, "1");
});

Deno.test("shop: what people type is text and stays short", () => {
  const site = new ShopSite({ seed: 2 }), visitor = new Visitor(site);
  const evil = `<script>alert("x")</script>'&`;
  visitor.post("/forum/1/comment", { comment: evil });
  visitor.post("/forum/1/comment", { comment: "long ".repeat(1000) });
  const html = pageHtml(visitor.get("/forum/1").page!);
  assert.ok(!html.includes("<script") && html.includes("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&#39;&amp;"));
  assert.ok(visitor.texts("/forum/1").every((each) => each.length < 100));
  const search = pageHtml(visitor.get(`/search?q=${encodeURIComponent(evil)}`).page!);
  assert.ok(!search.includes("<script"));
});

Deno.test("shop: addresses that there are none for", () => {
  const visitor = new Visitor(new ShopSite({ seed: 2 }));
  for (
    const path of [
      "/nothing",
      "/product/none",
      "/forum/99",
      "/forum/__proto__",
      "/order/1",
      "/admin/orders/1",
      "/category/x",
    ]
  ) {
    assert.equal(visitor.get(path).status, 404, path);
  }
  assert.equal(visitor.post("/").status, 404);
  // Unknown codes say nothing.
  assert.deepEqual(visitor.texts("/help?done=toString&refused=constructor"), visitor.texts("/help"));
});

Deno.test("shop: sessions do not grow without bound", () => {
  const site = new ShopSite({ seed: 2 }), first = new Visitor(site);
  first.get("/");
  for (let i = 0; i < 1000; i++) site.handle({ method: "GET", path: "/" });
  assert.equal(first.get("/").session, "1002");
});
