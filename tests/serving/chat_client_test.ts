import assert from "node:assert/strict";
import { ChatClient, type ChatClientOptions } from "../../lib/serving/chat_client.ts";
import { UserError } from "../../lib/base/user_error.ts";
import { type ChatServer, type Fault, said, serveChat } from "../support/chat_server.ts";

const QUESTION = [{ role: "user", content: "Where to?" }] as const;
const QUICK: ChatClientOptions = { backoffSeconds: 0.01, timeoutSeconds: 0.4, retries: 2 };

const status = (code: number, headers: Record<string, string> = {}): Fault => () =>
  Response.json({ error: { message: `failing with ${code}` } }, { status: code, headers });
const text = (body: string): Fault => () => new Response(body, { headers: { "content-type": "application/json" } });

/** Sends a head and half a body, and breaks off. */
const cut: Fault = () =>
  new Response(
    new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('{"choices": [{"mess'));
        setTimeout(() => controller.error(new Error("cut")), 20);
      },
    }),
  );
/** Never answers. */
const slow: Fault = (closing) => closing.then(() => new Response("too late"));

function withServer(
  name: string,
  test: (server: ChatServer) => Promise<void>,
  answer: Parameters<typeof serveChat>[0] = () => "north",
  models?: string[],
) {
  Deno.test(name, async () => {
    await using server = serveChat(answer, models);
    await test(server);
  });
}

for (
  const [name, fault] of Object.entries({
    "429 with Retry-After": status(429, { "retry-after": "0.02" }),
    "500": status(500),
    "a cut body": cut,
    "a slow answer": slow,
    "nonsense": text("<html>busy</html>"),
    "no choices": text('{"choices": []}'),
    "a choice without text": text('{"choices": [{"message": {"content": null}}]}'),
    "JSON that is no object": text("null"),
  })
) {
  withServer(`chat: ${name} is tried again, counted, and answered`, async (server) => {
    server.faults = [fault];
    const notes: string[] = [];
    const client = new ChatClient(server.base, { ...QUICK, onRetry: (note) => notes.push(note) });
    const { value, usage, problems } = await client.ask(QUESTION, 1, [1]);
    assert.deepEqual([value, usage.failed, problems], [["north"], 0, []]);
    assert.equal(client.retries, 1);
    assert.equal(server.requests.length, 2);
    assert.match(notes[0], /trying again in/);
  });
}

withServer("chat: a query that keeps failing is an empty answer, the others go on", async (server) => {
  // Three of the five samples reach the server first; one of them fails for good.
  const client = new ChatClient(server.base, { ...QUICK, retries: 0, concurrency: 1 });
  server.faults = [undefined, status(500), undefined, text("nonsense"), undefined];
  const { value, usage, problems } = await client.ask(QUESTION, 5, [1]);
  assert.deepEqual(value, ["north", "", "north", "", "north"]);
  assert.deepEqual([usage.queries, usage.failed], [5, 2]);
  assert.equal(problems?.length, 2);
  assert.match(problems![0], /500: failing with 500/);
  assert.match(problems![1], /not JSON: "nonsense"/);
  for (const each of problems!) assert.ok(!each.includes("\n"));
});

withServer("chat: what the server refuses is not tried again", async (server) => {
  const client = new ChatClient(server.base, QUICK);
  server.faults = [status(400)];
  const { usage } = await client.ask(QUESTION, 1, [1]);
  assert.deepEqual([usage.failed, client.retries, server.requests.length], [1, 0, 1]);
});

withServer("chat: requests say model, sampling and different seeds; tokens and limits are kept", async (server) => {
  const client = new ChatClient(server.base, { ...QUICK, concurrency: 3, maxTokens: 77, apiKey: "sesame" });
  const { usage } = await client.ask(QUESTION, 9, [4, 2]);
  assert.ok(server.mostAtOnce <= 3, `${server.mostAtOnce} at once`);
  const bodies = server.requests.map(({ body }) => body);
  const { seed: _, ...first } = bodies[0];
  assert.deepEqual(first, {
    model: "tiny",
    messages: [{ role: "user", content: "Where to?" }],
    temperature: 1,
    top_p: 0.95,
    max_tokens: 77,
  });
  assert.equal(new Set(bodies.map(({ seed }) => seed)).size, 9);
  assert.deepEqual([usage.promptTokens, usage.answerTokens], [9 * "Where to?".length, 9 * "north".length]);
  assert.ok(server.requests.every(({ authorization }) => authorization === "Bearer sesame"));
  const again = await client.ask(QUESTION, 9, [4, 2]);
  assert.equal(again.value.length, 9);
  assert.deepEqual(
    new Set(server.requests.slice(9).map(({ body }) => body.seed)),
    new Set(bodies.map(({ seed }) => seed)),
  );
});

withServer("chat: base models are asked by the older interface", async (server) => {
  const client = new ChatClient(server.base, { ...QUICK, kind: "completions", model: "base" });
  const { value } = await client.ask([{ role: "system", content: "A" }, { role: "user", content: "B" }], 1, [1]);
  assert.deepEqual(value, ["north"]);
  assert.equal(server.requests[0].path, "/v1/completions");
  assert.equal(said(server.requests[0].body), "A\n\nB");
});

withServer(
  "chat: fields that a server does not take are left out from then on",
  async (server) => {
    const client = new ChatClient(server.base, QUICK);
    assert.deepEqual((await client.ask(QUESTION, 1, [1])).value, ["north"]);
    const { body } = server.requests.at(-1)!;
    assert.ok(!("seed" in body) && !("max_tokens" in body));
    assert.equal(body.max_completion_tokens, 1024);
    assert.equal(server.requests.length, 3);
  },
  (body) =>
    "max_tokens" in body
      ? Response.json({ error: { message: "Use 'max_completion_tokens' instead." } }, { status: 400 })
      : "seed" in body
      ? Response.json({ error: { message: "Unknown parameter: seed" } }, { status: 400 })
      : "north",
);

withServer(
  "chat: a wrong model's name and an open choice are one line",
  async (server) => {
    await assert.rejects(new ChatClient(server.base, { model: "c" }).check(), {
      message: 'the server has no model "c": it has a, b',
    });
    await assert.rejects(new ChatClient(server.base).check(), /^UserError: .*2 models: name one of a, b$/);
    await new ChatClient(server.base, { model: "b" }).check();
  },
  undefined,
  ["a", "b"],
);

Deno.test("chat: addresses and options that cannot be", async () => {
  assert.throws(() => new ChatClient("deepseek"), UserError);
  assert.throws(() => new ChatClient("http://a", { topP: 0 }), /^RangeError: topP must lie in \(0, 1\]: received 0$/);
  assert.throws(() => new ChatClient("http://a", { concurrency: 0 }), RangeError);
  const nobody = new ChatClient("http://127.0.0.1:9/v1/chat/completions", { retries: 0 });
  await assert.rejects(nobody.check(), /^UserError: http:\/\/127\.0\.0\.1:9\/v1\/models: gave up after 1 try/);
});

withServer("chat: an answer in parts is the text of its parts", async (server) => {
  const parts = (content: unknown) => Response.json({ choices: [{ message: { role: "assistant", content } }] });
  const client = new ChatClient(server.base, { ...QUICK, retries: 0, concurrency: 1 });
  server.faults = [
    () => parts([{ type: "text", text: "due " }, { type: "text", text: "north" }]),
    () => parts([{ type: "thinking", thinking: "hm" }, { type: "output_text", text: "west" }]),
    () => parts([{ type: "image_url", image_url: { url: "data:" } }]),
    () => parts([]),
  ];
  const { value, problems } = await client.ask(QUESTION, 4, [1]);
  assert.deepEqual(value, ["due north", "west", "", ""]);
  assert.match(problems![0], /the answer has no text/);
});

withServer(
  "chat: a question in parts is sent as it is; without a chat interface its texts are joined",
  async (server) => {
    const content = [{ type: "text", text: "Where" }, { type: "text", text: " to?" }] as const;
    const messages = [{ role: "system", content: "" }, { role: "user", content }] as const;
    await new ChatClient(server.base, QUICK).ask(messages, 1, [1]);
    assert.deepEqual(server.requests[0].body.messages, messages);
    await new ChatClient(server.base, { ...QUICK, kind: "completions" }).ask(messages, 1, [1]);
    assert.equal(server.requests[1].body.prompt, "Where to?");
  },
);
