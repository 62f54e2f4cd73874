/** The shop's helpers ask and answer as the released ones do (`tasks/fixtures/make_released.py`). */
import assert from "node:assert/strict";
import { shoppingHelpers } from "../../../lib/studies/web_agents/shopping_helpers.ts";
import { UserError } from "../../../lib/base/user_error.ts";

type Asked = [method: string, path: string, authorization: string | null, body: unknown];

const CASES: {
  shop: Record<string, unknown>;
  asked: [helper: string, args: string[], result: string, requests: Asked[]][];
} = JSON.parse(
  await Deno.readTextFile(new URL("./tasks/fixtures/released.json", import.meta.url)),
);

/** What a helper that looks at no page is given. */
const NO_PAGE = { read: () => Promise.reject(new Error("there is no page")) };

Deno.test("shopping helpers: the same questions and the same answers as the released ones", async () => {
  const asked: Asked[] = [];
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const { pathname, search } = new URL(request.url), body = await request.text();
    asked.push([
      request.method,
      pathname + search,
      request.headers.get("authorization"),
      body === "" ? "" : JSON.parse(body),
    ]);
    return Response.json(CASES.shop[pathname]);
  });
  const shop = `http://127.0.0.1:${server.addr.port}`, helpers = shoppingHelpers(`${shop}/`);
  for (const [name, args, result, requests] of CASES.asked) {
    asked.length = 0;
    assert.equal(await helpers[name](args, NO_PAGE), result.replace("SHOP", shop), name);
    const plain = (list: Asked[]) =>
      list.map(([method, path, key, body]) => [method, decodeURIComponent(path), key, body]);
    assert.deepEqual(plain(asked), plain(requests), name);
  }
});

Deno.test("shopping helpers: a shop that answers otherwise is an error in one line", async () => {
  const answers: Response[] = [];
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => answers.shift() ?? Response.json({ items: [] }),
  );
  const helpers = shoppingHelpers(`http://127.0.0.1:${server.addr.port}`, { retries: 0, timeoutSeconds: 2 });
  const order = () => helpers.shopping_get_latest_order_url([], NO_PAGE) as Promise<string>;
  await assert.rejects(order(), (error: Error) => error instanceof UserError && /gave no token/.test(error.message));
  answers.push(Response.json("sesame"));
  await assert.rejects(order(), /has no order/);
  answers.push(Response.json("sesame"), Response.json({ orders: [] }));
  await assert.rejects(order(), /answer is not as expected/);
  answers.push(Response.json({ message: "no such user" }, { status: 401 }));
  await assert.rejects(order(), /401: no such user/);
});
