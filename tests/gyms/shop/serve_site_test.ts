/** The built-in site over HTTP: its own machine only, cookies, forms, reset. */
import assert from "node:assert/strict";
import { UserError } from "../../../lib/base/user_error.ts";
import { serveSite, type ServeSiteOptions } from "../../../lib/gyms/shop/serve_site.ts";
import { ShopSite } from "../../../lib/gyms/shop/shop_site.ts";

async function served(
  use: (origin: string, site: ShopSite) => Promise<void>,
  options: ServeSiteOptions = {},
): Promise<void> {
  const site = new ShopSite({ seed: 3 });
  await using server = serveSite(site, options);
  await use(server.origin, site);
}

const send = (url: string, init: RequestInit = {}) => fetch(url, { redirect: "manual", ...init });
const form = (values: Record<string, string>) => ({ method: "POST", body: new URLSearchParams(values) });

Deno.test("served shop: pages, what is not there", () =>
  served(async (origin, site) => {
    const home = await send(`${origin}/`);
    assert.equal(home.status, 200);
    assert.match(home.headers.get("content-security-policy")!, /default-src 'none'/);
    assert.equal(home.headers.get("cache-control"), "no-store");
    assert.ok((await home.text()).includes(`>${site.data.featured.name}</a>`));
    const missing = await send(`${origin}/nothing`);
    assert.equal(missing.status, 404);
    await missing.body?.cancel();
  }));

Deno.test("served shop: a form, a redirect, a cookie", () =>
  served(async (origin, site) => {
    const { slug, name } = site.data.products[0];
    const added = await send(`${origin}/wish-list/add`, form({ product: slug }));
    assert.equal(added.status, 303);
    assert.equal(added.headers.get("location"), "/wish-list?done=wished");
    const cookie = added.headers.get("set-cookie")!.split(";")[0];
    assert.ok((await (await send(`${origin}/wish-list`, { headers: { cookie } })).text()).includes(name));
    assert.ok(!(await (await send(`${origin}/wish-list`)).text()).includes(name));
  }));

Deno.test("served shop: answers to its own machine, its own forms, small ones", () =>
  served(async (origin) => {
    const refused = async (path: string, init: RequestInit, status: number) => {
      const response = await send(origin + path, init);
      assert.equal(response.status, status);
      await response.body?.cancel();
    };
    await refused("/forum/1/vote", { method: "POST", headers: { origin: "http://evil.test" } }, 403);
    await refused("/", { method: "DELETE" }, 405);
    await refused("/forum/1/comment", { method: "POST", body: JSON.stringify({ comment: "x" }) }, 400);
    await refused("/forum/1/comment", form({ comment: "x".repeat(20_000) }), 413);
    // A name that somebody else made to point here. fetch sets the host itself, so the request is written out.
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(origin).port) });
    await connection.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"));
    assert.match(await new Response(connection.readable).text(), /^HTTP\/1.1 403/);
  }));

Deno.test("served shop: reset only where it is allowed", async () => {
  await served(async (origin, site) => {
    site.data.posts[0].votes = 1000;
    assert.equal((await (await send(`${origin}/reset`, { method: "POST" })).text()).includes("not found"), true);
    assert.equal(site.data.posts[0].votes, 1000);
  });
  await served(async (origin, site) => {
    site.data.posts[0].votes = 1000;
    assert.equal(await (await send(`${origin}/reset`, { method: "POST" })).text(), "reset");
    assert.notEqual(site.data.posts[0].votes, 1000);
  }, { allowsReset: true });
});

Deno.test("served shop: a port that is taken", () =>
  served((origin) => {
    assert.throws(() => serveSite(new ShopSite({ seed: 0 }), { port: Number(new URL(origin).port) }), UserError);
    return Promise.resolve();
  }));
