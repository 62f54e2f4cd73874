import assert from "node:assert/strict";
import { UserError } from "../../lib/base/user_error.ts";
import {
  CompletionsClient,
  type CompletionsOptions,
  type ServedRequest,
} from "../../lib/serving/completions_client.ts";
import { generate } from "../../lib/train/generation.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { openTfjsEngine } from "../../lib/tensor/tfjs/engine.ts";
import { smallModel } from "../support/small_transformer.ts";
import { encodeNumbers, type Fault, serve, type ServerStyle, type TestServer } from "../support/completions_server.ts";

const GROUP = 3;
const QUESTIONS = [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3, 5, 8, 9, 7], [9, 3, 2, 3]].map((each) => Int32Array.from(each));
const END = [0, 1, 2, 3, 4, 5];
const REQUEST: ServedRequest = {
  questions: QUESTIONS,
  groupSize: GROUP,
  maxTokens: 12,
  endTokens: END,
  sampling: { temperature: 1 },
  stream: [11, 6, 2],
};
const GREEDY = { ...REQUEST, sampling: { temperature: 0 } };

let engine: Engine | undefined;

/** Runs a test with a server and a client of it. */
function withServer(
  name: string,
  style: ServerStyle,
  options: CompletionsOptions,
  test: (client: CompletionsClient, server: TestServer, model: ReturnType<typeof smallModel>) => Promise<void>,
) {
  Deno.test({
    name,
    // The engine outlives the test that happens to open it.
    sanitizeResources: false,
    fn: async () => {
      engine ??= await openTfjsEngine({ backend: "wasm" });
      const model = smallModel(engine);
      await using server = serve(model, style);
      await test(new CompletionsClient(server.base, { backoffSeconds: 0.01, ...options }), server, model);
      model.dispose();
    },
  });
}

const lists = (answers: readonly Int32Array[]) => answers.map((each) => [...each]);
const oneLine = (message: RegExp) => (error: Error) => {
  assert.ok(error instanceof UserError, `${error.stack}`);
  assert.match(error.message, message);
  assert.ok(!error.message.includes("\n"), error.message);
  return true;
};

for (const ids of ["token_ids", "names", "text"] as const) {
  for (const hidesEnd of ids === "text" ? [true] : [false, true]) {
    const style = { ids, hidesEnd }, encode = ids === "text" ? encodeNumbers : undefined;
    withServer(`a server's ${ids}${hidesEnd ? ", its end hidden" : ""}: greedy answers are the local ones`, style, {
      encode,
    }, async (client, server, model) => {
      // A plain server knows one end alone.
      const asked = ids === "text" ? { ...GREEDY, endTokens: [0] } : GREEDY;
      const [ours, theirs] = [await generate(model, asked), await client.generate(asked)];
      assert.deepEqual(lists(theirs.answers), lists(ours.answers));
      assert.deepEqual(theirs.ended, ours.ended);
      assert.deepEqual(theirs.finishReasons, ours.ended.map((ended) => ended ? "stop" : "length"));
      assert.equal(theirs.retries, 0);
      assert.equal(server.bodies.at(-1)!.model, "tiny", "the only one that the server has");
    });

    withServer(`a server's ${ids}${hidesEnd ? ", its end hidden" : ""}: samples and their log-probabilities`, style, {
      encode,
    }, async (client, server, model) => {
      const asked = ids === "text" ? { ...REQUEST, endTokens: [0] } : REQUEST;
      const theirs = await client.generate(asked);
      const bodies = QUESTIONS.map((question) => server.bodies.findLast((each) => `${each.prompt}` === `${question}`)!);
      assert.equal(new Set(bodies.map((each) => each.seed)).size, QUESTIONS.length, "a seed a prompt");
      for (const [p, question] of QUESTIONS.entries()) {
        const ours = await generate(model, {
          ...asked,
          questions: [question],
          stream: [bodies[p].seed as number, 0, 0],
        });
        for (let g = 0; g < GROUP; g++) {
          const row = p * GROUP + g, given = theirs.logProbabilities[row];
          assert.deepEqual([...theirs.answers[row]], [...ours.answers[g]]);
          assert.equal(theirs.ended[row], ours.ended[g]);
          const isSaid = ids !== "text" && !(hidesEnd && ours.ended[g]);
          assert.deepEqual(given && [...given], isSaid ? [...ours.logProbabilities[g]] : undefined);
        }
      }
      assert.ok(theirs.ended.includes(false) || ids !== "text");
      assert.ok(theirs.ended.includes(true) || ids === "text");
      const again = await client.generate(asked);
      assert.deepEqual(lists(again.answers), lists(theirs.answers), "the same stream, the same seeds");
      const other = await client.generate({ ...asked, stream: [11, 6, 3] });
      assert.notDeepEqual(lists(other.answers), lists(theirs.answers));
      const some = await client.generate({ ...asked, questions: [QUESTIONS[2]], promptNumbers: [2] });
      assert.deepEqual(lists(some.answers), lists(theirs.answers.slice(2 * GROUP, 3 * GROUP)));
    });
  }
}

withServer(
  "every option is said, so that the server's own defaults play no part",
  { ids: "token_ids" },
  {},
  async (client, server) => {
    await client.generate(REQUEST);
    assert.deepEqual(server.bodies[0], {
      model: "tiny",
      prompt: [3, 1, 4, 1, 5],
      n: 3,
      max_tokens: 12,
      temperature: 1,
      top_p: 1,
      top_k: -1,
      min_p: 0,
      repetition_penalty: 1,
      seed: server.bodies[0].seed,
      logprobs: 1,
      stop_token_ids: END,
      ignore_eos: true,
      skip_special_tokens: false,
      return_token_ids: true,
      return_tokens_as_token_ids: true,
    });
    const sampling = { temperature: 0.7, topP: 0.9, topK: 5, repetitionPenalty: 1.1 };
    const { logProbabilities } = await client.generate({ ...REQUEST, sampling });
    const { temperature, top_p, top_k, repetition_penalty } = server.bodies.at(-1)!;
    assert.deepEqual([temperature, top_p, top_k, repetition_penalty], [0.7, 0.9, 5, 1.1]);
    assert.ok(logProbabilities.every((each) => each === undefined), "raw ones are of another distribution");
  },
);

withServer("processed log-probabilities are those of the sampling", { ids: "token_ids" }, {
  logProbabilities: "processed",
}, async (client) => {
  const { logProbabilities, answers } = await client.generate({ ...REQUEST, sampling: { temperature: 0.7 } });
  assert.deepEqual(logProbabilities.map((each) => each?.length), answers.map((each) => each.length));
});

withServer(
  "some requests at a time, and progress",
  { ids: "token_ids" },
  { concurrency: 2 },
  async (client, server) => {
    const done: number[] = [];
    for (let i = 0; i < 8; i++) {
      server.faults.push(async (closing) => {
        await late(30, closing);
        return undefined;
      });
    }
    await client.generate({
      ...REQUEST,
      questions: [...QUESTIONS, ...QUESTIONS],
      onProgress: (count) => done.push(count),
    });
    assert.equal(server.mostAtOnce, 2);
    assert.deepEqual(done, [1, 2, 3, 4, 5, 6, 7, 8]);
  },
);

const failing = (status: number, body = "", headers = {}): Fault => () => new Response(body, { status, headers });
const cut: Fault = () =>
  new Response(
    new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('{"choices": [{"index": 0, "te'));
        setTimeout(() => controller.error(new Error("cut")), 5);
      },
    }),
    { headers: { "content-type": "application/json" } },
  );
/** An answer that comes late; the server's end does not wait for it. */
const slow = (milliseconds: number): Fault => async (closing) => {
  await late(milliseconds, closing);
  return Response.json({ choices: [] });
};

async function late(milliseconds: number, closing: Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  await Promise.race([promise, closing]);
  clearTimeout(timer);
}

withServer("what passes is tried again and counted: 500, 429, 503, a cut stream, silence", { ids: "token_ids" }, {
  timeoutSeconds: 2,
  concurrency: 1,
  onRetry: (note) => notes.push(note),
}, async (client, server) => {
  const whole = await client.generate(REQUEST);
  server.faults.push(
    failing(500, "Internal Server Error"),
    failing(503, '{"error": {"message": "loading"}}'),
    undefined,
    cut,
    undefined,
    failing(429, '{"detail": "slow down"}', { "retry-after": "0" }),
    slow(2500),
  );
  const before = client.retries, again = await client.generate(REQUEST);
  assert.deepEqual(lists(again.answers), lists(whole.answers));
  assert.equal(again.retries, 5);
  assert.equal(client.retries - before, 5);
  for (
    const [i, message] of [
      /500: Internal Server Error; trying again in 0.01 s/,
      /503: loading; trying again in 0.02 s/,
      /error reading|body|connection/,
      /429: slow down; trying again in 0 s/,
      /no answer within 2 s/,
    ].entries()
  ) {
    assert.match(notes[i], message);
  }
});
const notes: string[] = [];

withServer("Retry-After is heeded", { ids: "token_ids" }, { concurrency: 1 }, async (client, server) => {
  server.faults.push(
    failing(429, "", { "retry-after": "0.3" }),
    failing(503, "", { "retry-after": new Date(Date.now() - 9000).toUTCString() }),
  );
  const start = performance.now();
  await client.generate({ ...GREEDY, questions: QUESTIONS.slice(0, 1) });
  assert.ok(performance.now() - start > 290);
});

withServer(
  "what does not pass is one line with the server's words",
  { ids: "token_ids" },
  { retries: 2 },
  async (client, server) => {
    const rejects = async (faults: Fault[], message: RegExp) => {
      server.faults.push(...faults);
      await assert.rejects(client.generate({ ...REQUEST, questions: QUESTIONS.slice(0, 1) }), oneLine(message));
      server.faults.length = 0;
    };
    await rejects([
      failing(400, '{"object":"error","message":"This model\'s maximum context length is 64 tokens.\\nToo long."}'),
    ], /completions: the server answered 400: This model's maximum context length is 64 tokens. Too long.$/);
    await rejects([failing(401, "no")], /401: no$/);
    await rejects([failing(404)], /404: \(nothing\)$/);
    await rejects(
      [1, 2, 3].map(() => failing(500, "x".repeat(1000))),
      /gave up after 3 tries: the server answered 500: x{300}…$/,
    );
    await rejects([cut, cut, cut], /gave up after 3 tries: /);
    await rejects([failing(200, "<html>\n<b>hello</b>")], /answer is not JSON: <html> <b>hello<\/b>$/);
    await rejects([failing(200, "null")], /3 answers were asked for: received no list/);
    await rejects([failing(200, '{"choices": []}')], /3 answers were asked for: received 0/);
    await rejects([failing(200, '{"choices": [null, null, null]}')], /finish_reason nothing/);
    const three = (choice: object) => failing(200, JSON.stringify({ choices: [choice, choice, choice] }));
    await rejects([three({ finish_reason: "abort", token_ids: [] })], /finish_reason "abort"/);
    await rejects([three({ finish_reason: "stop" })], /neither token ids nor text/);
    await rejects([three({ finish_reason: "stop", text: "hello" })], /needs a tokenizer: pass encode/);
    const ids = (token_ids: unknown[], token_logprobs?: unknown[]) =>
      three({ finish_reason: "length", token_ids, text: "hello", logprobs: { token_logprobs } });
    await rejects([ids([1.5, "x"])], /token ids must be whole numbers of at least 0: received 1.5$/);
    await rejects([ids([-1])], /received -1$/);
    await rejects([ids([7, 2 ** 32 + 5])], /received 4294967301$/);
    await rejects([ids([7, [8]])], /received object$/);
    await rejects(
      [three({ finish_reason: "length", logprobs: { tokens: ["token_id:99999999999"] } })],
      /received 99999/,
    );
    await rejects([ids(Array(13).fill(7))], /at most 12 tokens were asked for: an answer has 13$/);
    await rejects([ids(Array(3000).fill(7))], /at most 12 tokens were asked for: an answer has 3000$/);
    for (const strange of [300, 0.02, -9999, -105]) {
      await rejects([ids([7, 8], [-1, strange])], new RegExp(`log-probability is ${strange}: .* lies in -104..0$`));
    }
    await rejects([
      failing(
        200,
        '{"choices": [{"index": 0, "finish_reason": "length", "token_ids": [7], "logprobs": {"token_logprobs": [-1e999]}}]}'
          .replace(/\[(\{.*\})\]/, "[$1,$1,$1]"),
      ),
    ], /log-probability is -Infinity/);
    await rejects([failing(200, `{"choices": ${"[".repeat(4e5)}${"]".repeat(4e5)}}`)], /not JSON: \{"choices": \[\[/);
    await rejects(
      [failing(200, `{"choices": [], "x": "${"x".repeat(2 << 20)}"}`)],
      /has more than the 1085920 bytes that are read$/,
    );
  },
);

withServer("log-probabilities above 0 by rounding are 0", { ids: "token_ids" }, {}, async (client, server) => {
  const choice = { finish_reason: "length", token_ids: [7, 8], logprobs: { token_logprobs: [1e-7, -0.5] } };
  server.faults.push(failing(200, JSON.stringify({ choices: [choice, choice, choice] })));
  const { logProbabilities } = await client.generate({ ...REQUEST, questions: QUESTIONS.slice(0, 1) });
  assert.deepEqual([...logProbabilities[0]!], [0, -0.5]);
});

withServer("a text that has more tokens here than there is cut off", { ids: "text" }, {
  encode: encodeNumbers,
}, async (client, server) => {
  const text = Array.from({ length: 15 }, (_, i) => `<${i + 10}>`).join("");
  const choice = { finish_reason: "stop", text };
  // The first request is refused: it teaches the client which fields the server does not take.
  server.faults.push(undefined, failing(200, JSON.stringify({ choices: [choice, choice, choice] })));
  const asked = { ...REQUEST, questions: QUESTIONS.slice(0, 1) };
  const { answers, ended } = await client.generate(asked);
  assert.deepEqual([[...answers[0]], ended[0]], [Array.from({ length: 12 }, (_, i) => i + 10), false]);
});

withServer(
  "one failure ends the other requests",
  { ids: "token_ids" },
  { retries: 0, concurrency: 2 },
  async (client, server) => {
    server.faults.push(slow(10_000), failing(400, "bad"));
    const start = performance.now();
    await assert.rejects(client.generate(REQUEST), /400: bad/);
    assert.ok(performance.now() - start < 5000, "the slow one was not waited for");
    assert.equal(server.bodies.length, 2, "and no more were sent");
  },
);

withServer(
  "models: the only one, one by name, or a choice to make",
  { ids: "token_ids", models: ["base", "other"] },
  {},
  async (client, server) => {
    assert.deepEqual(await client.models(), [{ id: "base", maxLength: 64 }, { id: "other", maxLength: 64 }]);
    await assert.rejects(client.generate(REQUEST), oneLine(/the server has 2 models: name one of base, other/));
    const named = new CompletionsClient(`${server.base}/v1/`, { model: "other" });
    await named.generate(GREEDY);
    assert.equal(server.bodies[0].model, "other");
    const wrong = new CompletionsClient(server.base, { model: "missing" });
    await assert.rejects(wrong.generate(GREEDY), oneLine(/404: The model `missing` does not exist/));
  },
);

for (const refusesKnownAdapters of [false, true]) {
  withServer(
    `adapters are loaded, replaced and asked for${refusesKnownAdapters ? " on older servers" : ""}`,
    { ids: "token_ids", refusesKnownAdapters },
    { model: "tiny" },
    async (client, server) => {
      await client.loadAdapter("step-1", "/shared/step-1");
      await client.generate(GREEDY);
      assert.equal(server.bodies[0].model, "step-1");
      await client.loadAdapter("step-1", "/shared/step-2");
      const loads = server.adapters.map(([path, body]) => [path.slice(4), body.lora_name, body.lora_path]);
      const load = ["load_lora_adapter", "step-1"], unload = ["unload_lora_adapter", "step-1", undefined];
      assert.deepEqual(loads, [
        [...load, "/shared/step-1"],
        ...refusesKnownAdapters ? [[...load, "/shared/step-2"], unload] : [],
        [...load, "/shared/step-2"],
      ]);
      await client.unloadAdapter("step-1");
      await client.generate(GREEDY);
      assert.equal(server.bodies.at(-1)!.model, "tiny");
      await assert.rejects(
        client.loadAdapter("x", "/nowhere"),
        oneLine(/load_lora_adapter: the server answered 404: No adapter found/),
      );
    },
  );
}

Deno.test("nobody there, no address, options out of range", async () => {
  const closed = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = closed.addr;
  closed.close();
  const client = new CompletionsClient(`http://127.0.0.1:${port}`, { retries: 1, backoffSeconds: 0.01 });
  await assert.rejects(client.generate(REQUEST), oneLine(/\/v1\/models: gave up after 2 tries: .*refused/));
  for (const base of ["localhost:8000", "", "ftp://x"]) {
    assert.throws(() => new CompletionsClient(base), oneLine(/is no server's address: write it like http:/));
  }
  assert.throws(
    () => new CompletionsClient("http://x", { concurrency: 0 }),
    /concurrency must be at least 1: received 0/,
  );
  assert.throws(() => new CompletionsClient("http://x", { retries: -1 }), /retries must be a whole number/);
  assert.throws(() => new CompletionsClient("http://x", { timeoutSeconds: 0 }), /timeoutSeconds must be above 0/);
  await assert.rejects(client.generate({ ...REQUEST, questions: [] }), /at least one question/);
  await assert.rejects(client.generate({ ...REQUEST, groupSize: 0 }), /groupSize must be at least 1: received 0/);
  await assert.rejects(client.generate({ ...REQUEST, sampling: { topP: 0 } }), /topP must be above 0/);
  const stop = new AbortController();
  stop.abort(new Error("enough"));
  const stopped = new CompletionsClient(`http://127.0.0.1:${port}`, { signal: stop.signal });
  await assert.rejects(stopped.generate(REQUEST), /enough/);
});
