/** Servers that give more than was asked for, lead elsewhere, or say what is not for the eyes of people. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { JsonClient, type JsonClientOptions } from "../../lib/serving/json_client.ts";
import { UserError } from "../../lib/base/user_error.ts";

const KEY = "sk-very-secret-0123456789";

interface Served {
  base: string;
  /** Path and authorization of each request. */
  requests: { method: string; path: string; authorization: string | null; body: string }[];
}

/** Runs a test with a server on a free port. */
async function withServer(
  answer: (request: Request, url: URL) => Response | Promise<Response>,
  test: (served: Served) => Promise<void>,
) {
  const requests: Served["requests"] = [];
  const stop = new AbortController();
  const http = Deno.serve(
    {
      port: 0,
      hostname: "127.0.0.1",
      signal: stop.signal,
      onListen() {},
      onError: () => new Response(null, { status: 500 }),
    },
    async (request) => {
      const url = new URL(request.url);
      requests.push({
        method: request.method,
        path: url.pathname,
        authorization: request.headers.get("authorization"),
        body: await request.text(),
      });
      return await answer(request, url);
    },
  );
  try {
    await test({ base: `http://127.0.0.1:${http.addr.port}`, requests });
  } finally {
    stop.abort();
    await http.finished;
  }
}

const open = (base: string, options: JsonClientOptions = {}) =>
  new JsonClient(base, { apiKey: KEY, retries: 1, backoffSeconds: 0.001, timeoutSeconds: 20, ...options });

async function refused(asked: Promise<unknown>, message: RegExp): Promise<UserError> {
  const error = await asked.then(() => assert.fail("it was answered"), (error) => error);
  assert.ok(error instanceof UserError, error.stack);
  assert.match(error.message, message);
  assert.doesNotMatch(error.message, /\p{Cc}/u);
  assert.ok(!error.message.includes(KEY), error.message);
  return error;
}

/** Pieces without an end, until the reader has enough. */
function endless(piece: Uint8Array<ArrayBuffer>, milliseconds = 0, onPiece = (_sent: number) => {}) {
  let sent = 0;
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      try {
        controller.enqueue(piece);
        onPiece(sent += piece.length);
      } catch { /* the reader has gone */ }
    },
  });
}

Deno.test("an answer without an end is read as far as was asked for, and not asked for again", async () => {
  let most = 0;
  const piece = new Uint8Array(64 << 10).fill(32);
  await withServer(() => new Response(endless(piece, 0, (sent) => most = sent)), async ({ base, requests }) => {
    await refused(open(base).text("/x", { maxBytes: 1 << 20 }), /\/x has more than the 1048576 bytes that are read$/);
    assert.equal(requests.length, 1);
  });
  assert.ok(most < 32 << 20, `${most} bytes were sent`);
});

Deno.test("what counts is what a compressed answer expands to", async () => {
  const bomb = new Uint8Array(gzipSync(new Uint8Array(64 << 20)));
  assert.ok(bomb.length < 100_000);
  await withServer(
    () => new Response(bomb, { headers: { "content-encoding": "gzip", "content-type": "application/json" } }),
    async ({ base }) => {
      await refused(open(base).json("/x", { maxBytes: 1 << 20 }), /more than the 1048576 bytes/);
      await refused(open(base).json("/x"), /more than the 16777216 bytes/);
    },
  );
});

Deno.test("the time limit holds to the last byte, for plain and for compressed answers", async () => {
  const space = new Uint8Array([32]);
  for (const isCompressed of [false, true]) {
    const body = () => {
      const slow = endless(space, 20);
      return isCompressed ? slow.pipeThrough(new CompressionStream("gzip")) : slow;
    };
    const headers: Record<string, string> = isCompressed ? { "content-encoding": "gzip" } : {};
    await withServer(() => new Response(body(), { headers }), async ({ base, requests }) => {
      const server = open(base, { timeoutSeconds: 0.5 });
      await refused(server.text("/x"), /gave up after 2 tries: no answer within 0.5 s$/);
      assert.equal(requests.length, 2);
    });
  }
});

Deno.test("a refusal of any length, and one without an end, is its status", async () => {
  const piece = new TextEncoder().encode("nothing here. ".repeat(5000));
  await withServer(() => new Response(endless(piece), { status: 404 }), async ({ base }) => {
    await refused(open(base).text("/x"), /the server answered 404: more than 1048576 bytes$/);
  });
});

Deno.test("redirects within the host are followed, and the question goes with them", async () => {
  await withServer((request, url) => {
    if (url.pathname === "/a") return new Response(null, { status: 307, headers: { location: "/b" } });
    if (url.pathname === "/b") return new Response(null, { status: 308, headers: { location: `${url.origin}/c` } });
    if (url.pathname === "/old") return new Response(null, { status: 301, headers: { location: "/c" } });
    if (url.pathname === "/round") return new Response(null, { status: 307, headers: { location: "/round" } });
    return Response.json({ method: request.method });
  }, async ({ base, requests }) => {
    assert.deepEqual(await open(base).json("/a", { body: { q: 1 } }), { method: "POST" });
    assert.deepEqual(requests.at(-1), { method: "POST", path: "/c", authorization: `Bearer ${KEY}`, body: '{"q":1}' });
    assert.deepEqual(await open(base).json("/old"), { method: "GET" });
    await refused(open(base).json("/old", { body: {} }), /redirects to http:\S+\/c \(301\): give that address$/);
    await refused(open(base).json("/round"), /more than 8 redirects, the last to http:/);
  });
});

Deno.test("no redirect leads question or key to another host", async () => {
  await withServer(() => Response.json("caught"), async (thief) => {
    const port = new URL(thief.base).port;
    for (
      const target of [
        `${thief.base}/x`,
        `http://localhost:${port}/x`,
        `//[::1]:${port}/x`,
        "ftp://127.0.0.1/x",
        "http://",
      ]
    ) {
      for (const status of [301, 302, 303, 307, 308]) {
        await withServer(
          () => new Response(null, { status, headers: { location: target } }),
          async ({ base, requests }) => {
            await refused(
              open(base).json("/x", { body: { q: 1 } }),
              /redirects to .*, another host, which is not followed/,
            );
            await refused(open(base).json("/x"), /redirects to .*, another host/);
            assert.equal(requests.length, 2);
          },
        );
      }
    }
    assert.deepEqual(thief.requests, []);
  });
});

Deno.test("a key that the server sends back is in no message, no note and no answer", async () => {
  const notes: string[] = [];
  await withServer((request, { pathname }) => {
    const said = `your key is ${request.headers.get("authorization")} and ${request.headers.get("x-api-key")}`;
    if (pathname === "/400") return Response.json({ error: { message: said } }, { status: 400 });
    if (pathname === "/500") return new Response(said, { status: 500 });
    if (pathname === "/to") {
      return new Response(null, { status: 307, headers: { location: `http://example.org/${KEY}` } });
    }
    if (pathname === "/text") return new Response(said);
    return Response.json({ choices: [said] });
  }, async ({ base }) => {
    const other = "other-secret-42";
    const server = open(base, { onRetry: (note) => notes.push(note), headers: { "X-Api-Key": other } });
    const errors = [
      await refused(server.json("/400"), /400: your key is Bearer \[key\] and \[key\]$/),
      await refused(server.json("/500"), /500: your key is Bearer \[key\] and \[key\]$/),
      await refused(server.json("/text"), /not JSON: your key is Bearer \[key\]/),
      await refused(server.json("/to"), /redirects to http:\/\/example.org\/\[key\]/),
    ];
    assert.deepEqual(await server.json("/200"), { choices: ["your key is Bearer [key] and [key]"] });
    assert.equal(notes.length, 1);
    for (const text of [...notes, ...errors.map((each) => each.message)]) {
      assert.ok(!text.includes(KEY) && !text.includes(other), text);
    }
  });
  const named = new JsonClient("http://me:password@127.0.0.1:1/?token=abcdefgh", { retries: 0 });
  assert.doesNotMatch((await refused(named.json("/x"), /127\.0\.0\.1:1\/x/)).message, /password|abcdefgh/);
  assert.throws(() => open("http://a", { apiKey: `${KEY}\r` }), (error: Error) => {
    assert.match(error.message, /^the key for http:\/\/a has characters that a key cannot have/);
    return !error.message.includes(KEY);
  });
});

Deno.test("a terminal obeys nothing that a server says", async () => {
  const notes: string[] = [], evil = "\x1b]0;owned\x07\x1b[2J\x9b31m";
  await withServer((_, { pathname }) => {
    if (pathname === "/check") return Response.json(evil);
    return new Response(evil, { status: Number(pathname.slice(1)) });
  }, async ({ base }) => {
    const onRetry = (note: string) => notes.push(note);
    await refused(open(base, { onRetry }).text("/400"), /400: \\x1b\]0;owned\\x07/);
    await refused(open(base, { onRetry }).text("/503"), /503: \\x1b/);
    await refused(open(base, { onRetry }).json("/200"), /not JSON: \\x1b/);
    await refused(open(base, { onRetry, check: (_, text) => JSON.parse(text) }).text("/check"), /tries: \\x1b/);
  });
  assert.equal(notes.length, 2);
  for (const note of notes) assert.doesNotMatch(note, /\p{Cc}/u);
});

Deno.test("an answer that nests without end is no answer", async () => {
  const deep = (open: string, close: string) => open.repeat(1_000_000) + close.repeat(1_000_000);
  await withServer((_, { pathname }) => {
    const [, status, shape] = pathname.split("/");
    const text = shape === "list" ? deep("[", "]") : `{"error": ${deep('{"a":', "}")}`;
    return new Response(text, { status: Number(status) });
  }, async ({ base }) => {
    for (const shape of ["list", "object"]) {
      await refused(open(base).json(`/200/${shape}`), /the server's answer is not JSON/);
      await refused(open(base).json(`/400/${shape}`), /the server answered 400/);
    }
  });
  await withServer(() => new Response(`{"a": ["\\"[{", ${"[".repeat(90)}1${"]".repeat(90)}]}`), async ({ base }) => {
    assert.ok(await open(base).json("/x"));
  });
});
