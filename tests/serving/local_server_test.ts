/**
 * What local servers refuse, by requests as they go over the wire: bodies without end, names and pages of others. And what a real
 * browser lets another page see.
 */
import assert from "node:assert/strict";
import { serveLabels } from "../../lib/studies/labels/server.ts";
import { LabelSession } from "../../lib/studies/labels/session.ts";
import { servePlay } from "../../lib/play/play_server.ts";
import { simulatorPlayground } from "../../lib/play/simulator_playground.ts";
import { serveSite } from "../../lib/gyms/shop/serve_site.ts";
import { ShopSite } from "../../lib/gyms/shop/shop_site.ts";
import { BrowserPage, findChromium } from "../support/browser.ts";
import { sitting, withItems } from "../support/labels.ts";

/** A connection to a server, on which text goes as it is. */
class Wire implements Disposable {
  readonly #connection: Deno.TcpConn;

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  static async open(url: string): Promise<Wire> {
    const { hostname, port } = new URL(url);
    return new Wire(await Deno.connect({ hostname, port: Number(port) }));
  }

  async send(text: string): Promise<void> {
    const bytes = new TextEncoder().encode(text);
    for (let done = 0; done < bytes.length;) done += await this.#connection.write(bytes.subarray(done));
  }

  /** The status, the headers and the text of an answer that says its length. */
  async answer(): Promise<{ status: number; headers: Headers; text: string }> {
    const buffer = new Uint8Array(65_536), late = setTimeout(() => this.#connection.close(), 10_000);
    try {
      for (let got = "";;) {
        const n = await this.#connection.read(buffer).catch(() => assert.fail(`no answer within 10 s, only ${got}`));
        if (n === null) assert.fail(`closed after ${JSON.stringify(got)}`);
        got += new TextDecoder("latin1").decode(buffer.subarray(0, n)); // a character a byte
        const end = got.indexOf("\r\n\r\n"), text = got.slice(end + 4);
        if (end < 0) continue;
        const [line, ...fields] = got.slice(0, end).split("\r\n");
        const headers = new Headers(fields.map((each) => each.split(": ", 2) as [string, string]));
        if (text.length < Number(headers.get("content-length"))) continue;
        return { status: Number(line.split(" ")[1]), headers, text };
      }
    } finally {
      clearTimeout(late);
    }
  }

  [Symbol.dispose](): void {
    try {
      this.#connection.close();
    } catch { /* it took too long, and is closed */ }
  }
}

/** One request, as text, and its answer. */
async function exchange(url: string, text: string) {
  using wire = await Wire.open(url);
  await wire.send(text);
  return await wire.answer();
}

const head = (request: string, headers: Record<string, string>) =>
  `${request} HTTP/1.1\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;

/** Runs a test with each local server, and where it takes a body of what kind and how many bytes. */
async function withServers(
  test: (name: string, url: string, at: { path: string; type: string; most: number }) => Promise<void>,
): Promise<void> {
  const json = { type: "application/json", most: 4096 };
  await withItems((place) => sitting(place, "ann", (_ask, _, url) => test("label", url, { path: "/answer", ...json })));
  const stop = new AbortController(), playground = simulatorPlayground({ height: 32, width: 32, seed: 0 });
  const play = servePlay({ playground, port: 0, signal: stop.signal });
  await test("play", play.url, { path: "/play", ...json });
  stop.abort();
  await play.finished;
  await using shop = serveSite(new ShopSite({ seed: 0 }));
  await test("shop", shop.origin, { path: "/", type: "application/x-www-form-urlencoded", most: 16_384 });
}

Deno.test("local servers: a body is bounded while it is read, and when it says its length", async () => {
  await withServers(async (name, url, { path, type, most }) => {
    const post = { host: new URL(url).host, "content-type": type };
    const said = await exchange(url, head(`POST ${path}`, { ...post, "content-length": "300000000" }));
    assert.equal(said.status, 413, name);
    assert.match(said.text, new RegExp(`has at most ${most} bytes$`));
    using wire = await Wire.open(url);
    await wire.send(head(`POST ${path}`, { ...post, "transfer-encoding": "chunked" }));
    // The body has no end: what waits for that never answers.
    await wire.send(`${(most + 1).toString(16)}\r\n${"x".repeat(most + 1)}\r\n`);
    assert.equal((await wire.answer()).status, 413, name);
    const fits = await exchange(url, head(`POST ${path}`, { ...post, "content-length": `${most}` }) + "x".repeat(most));
    assert.ok(fits.status !== 413, `${name}: ${fits.status}`);
  });
});

Deno.test("local servers: a body that does not come holds up neither other answers nor the end", async () => {
  await withItems(async (place) => {
    using session = await LabelSession.open({ ...place, labeller: "ann", seed: 0 });
    const stop = new AbortController(), server = serveLabels({ session, port: 0, signal: stop.signal });
    const headers = { host: new URL(server.url).host, "content-type": "application/json" };
    const body = JSON.stringify({ position: session.task.position, success: true });
    using slow = await Wire.open(server.url), slower = await Wire.open(server.url);
    await slow.send(head("POST /answer", { ...headers, "content-length": `${body.length}` }) + body.slice(0, 10));
    await slower.send("POST /answ");
    const whole = head("POST /answer", { ...headers, "content-length": `${body.length}` }) + body;
    assert.equal((await exchange(server.url, whole)).status, 200);
    await slow.send(body.slice(10));
    assert.match((await slow.answer()).text, /this item is not the one that is shown/);
    await slow.send(head("POST /undo", { ...headers, "content-length": "2" }) + "{");
    stop.abort();
    await server.finished;
  });
});

Deno.test("local servers: only their own names and their own page are answered", async () => {
  await withItems(async (place) => {
    await sitting(place, "ann", async (ask, session, url) => {
      const { host, port } = new URL(url), { position } = session.task;
      const elsewhere = { "sec-fetch-site": "cross-site" }, image = { "sec-fetch-dest": "image" };
      const body = JSON.stringify({ position, success: null }), json = { "content-type": "application/json" };
      const cases: [request: string, headers: Record<string, string>, status: number][] = [
        // Names of the internet that were made to point here, or none.
        ["GET /task", { host }, 200],
        ["GET /task", { host: `localhost:${port}` }, 200],
        ["GET /task", { host: `[::1]:${port}` }, 200],
        ["GET /task", { host: "127.0.0.1:9" }, 200], // the near end of a tunnel
        ["GET /task", {}, 403],
        ["GET /task", { host: "" }, 403],
        ["GET /task", { host: `evil.example:${port}` }, 403],
        ["GET /task", { host: `127.0.0.1.evil.example:${port}` }, 403],
        ["GET /task", { host: `localhost.evil.example` }, 403],
        ["GET /task", { host: `evil.example:80:${port}` }, 403],
        ["GET /task", { host: "0.0.0.0" }, 403],
        // Pages of others.
        ["GET /task", { host, origin: `http://${host}` }, 200],
        ["GET /task", { host, origin: "http://127.0.0.1:9" }, 403],
        ["GET /task", { host, origin: `http://localhost:${port}` }, 403],
        ["GET /task", { host, origin: `https://${host}` }, 403],
        ["GET /task", { host, origin: "null" }, 403],
        // Pictures, scripts and frames in them, which come without an origin.
        [`GET /frame/${position}`, { host, "sec-fetch-site": "same-origin", ...image }, 200],
        [`GET /frame/${position}`, { host, "sec-fetch-site": "none", ...image }, 200],
        [`GET /frame/${position}`, { host, ...elsewhere, ...image }, 403],
        [`GET /frame/${position}`, { host, "sec-fetch-site": "same-site", ...image }, 403],
        [`GET /task`, { host, ...elsewhere, "sec-fetch-dest": "script" }, 403],
        [`GET /`, { host, ...elsewhere, "sec-fetch-dest": "iframe" }, 403],
        [`GET /`, { host, ...elsewhere, "sec-fetch-dest": "document" }, 200], // a link
        // Forms and plain text, which any page may send.
        ["POST /answer", { host, "content-type": "text/plain" }, 415],
        ["POST /answer", { host, "content-type": "text/plain; application/json" }, 415],
        ["POST /answer", { host, "content-type": "application/x-www-form-urlencoded" }, 415],
        ["POST /answer", { host }, 415],
        ["POST /answer", { host, ...json, origin: "https://evil.example" }, 403],
        ["POST /answer", { host, ...json, ...elsewhere }, 403],
        ["POST /answer", { host, ...json, ...elsewhere, "sec-fetch-dest": "document" }, 403],
        ["POST /answer", { host: "evil.example", ...json }, 403],
        ["OPTIONS /answer", { host, origin: "https://evil.example" }, 403],
        ["OPTIONS /answer", { host }, 405],
        ["PUT /answer", { host, ...json }, 405],
        ["GET /answer", { host }, 404],
        ["GET /nothing", { host }, 404],
        ["GET /frame/99", { host }, 400],
        ["GET /", { host }, 200],
        ["GET /page.css", { host }, 200],
      ];
      for (const [request, headers, status] of cases) {
        const text = request.startsWith("GET") ? "" : body;
        const said = await exchange(url, head(request, { ...headers, "content-length": `${text.length}` }) + text);
        const what = `${request} ${JSON.stringify(headers)}: ${said.text.slice(0, 200)}`;
        assert.equal(said.status, status, what);
        assert.equal(said.headers.get("x-content-type-options"), "nosniff", what);
        assert.equal(said.headers.get("cross-origin-resource-policy"), "same-origin", what);
        assert.equal(said.headers.get("cache-control"), "no-store", what);
        assert.equal(said.headers.get("access-control-allow-origin"), null, what);
      }
      const two = await exchange(url, head("GET /task", { Host: host, host: "evil.example" }));
      assert.equal(two.status, 400);
      const old = await exchange(url, "GET /task HTTP/1.0\r\n\r\n");
      assert.equal(old.status, 403);
      assert.equal(session.task.skipped, 0, "nothing of it did anything");
      for (const type of ["application/json", "Application/JSON ; charset=utf-8"]) {
        const headers = { host, origin: `http://${host}`, "content-type": type, "content-length": `${body.length}` };
        await exchange(url, head("POST /answer", headers) + body);
      }
      assert.equal((await ask("task")).skipped, 1);
    });
  });
});

const chromium = findChromium();
Deno.test({
  name: "local servers: a page of another server sees and does nothing, in Chromium",
  ignore: chromium === undefined,
  async fn() {
    await withItems(async (place) => {
      await sitting(place, "ann", async (_, session, url) => {
        const { position } = session.task;
        const other = `<!doctype html><iframe name="there"></iframe><script>
          const seen = {}, url = ${JSON.stringify(url)}, answer = '{"position":${position},"success":null}';
          const image = new Image();
          image.onload = () => seen.image = true;
          image.onerror = () => seen.image = false;
          image.src = url + "frame/${position}";
          const send = (name, options, path = "answer") =>
            fetch(url + path, options).then(() => seen[name] = true, () => seen[name] = false);
          send("task", {}, "task");
          send("json", { method: "POST", headers: { "content-type": "application/json" }, body: answer });
          send("text", { method: "POST", body: answer });
          fetch(url + "answer", { method: "POST", mode: "no-cors", body: answer }).finally(() => seen.blind = false);
          const socket = new WebSocket(url.replace("http", "ws") + "play");
          socket.onopen = () => seen.socket = true;
          socket.onerror = () => seen.socket = false;
        </script><form action="${url}answer" method="post" enctype="text/plain" target="there">
          <input name='{"position":${position},"success":null,"x":"' value='"}'></form>
          <script>document.forms[0].submit()</script>`;
        await using served = Deno.serve(
          { hostname: "127.0.0.1", port: 0, onListen() {} },
          () => new Response(other, { headers: { "content-type": "text/html" } }),
        );
        await using page = await BrowserPage.open(chromium!, `http://127.0.0.1:${served.addr.port}/`);
        await page.see("Object.keys(seen).length === 6 && document.readyState === 'complete'");
        const seen = await page.ask("seen") as Record<string, boolean>;
        assert.deepEqual(Object.values(seen), Array(6).fill(false), JSON.stringify(seen));
        assert.equal(session.task.skipped, 0);
      });
    });
  },
});
