import assert from "node:assert/strict";
import { UserError } from "../../../lib/base/user_error.ts";
import type { JsonClientOptions } from "../../../lib/serving/json_client.ts";
import { HttpPolicy } from "../../../lib/studies/policies/http_policy.ts";
import { isTerminal, type PolicyFrame } from "../../../lib/worlds/robot_video/policy.ts";

const FRAME: PolicyFrame = { pixels: Uint8Array.from({ length: 2 * 3 * 3 }, (_, i) => i * 7), height: 2, width: 3 };
const STAY = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];

interface Request {
  path: string;
  // deno-lint-ignore no-explicit-any
  body: any;
}

/** Runs `test` with a policy whose server answers the nth request to /act (from 0) with `act`. */
async function withServer(
  act: (n: number, request: Request) => Response | Promise<Response>,
  test: (policy: HttpPolicy, requests: Request[], problems: string[]) => Promise<void>,
  options: JsonClientOptions = {},
): Promise<void> {
  const requests: Request[] = [], problems: string[] = [];
  let acts = 0;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (incoming) => {
    const request = { path: new URL(incoming.url).pathname, body: await incoming.json() };
    requests.push(request);
    return request.path.endsWith("/act") ? await act(acts++, request) : Response.json({});
  });
  const policy = new HttpPolicy(`http://127.0.0.1:${server.addr.port}/robot/`, {
    backoffSeconds: 0.001,
    onRetry: (problem) => problems.push(problem),
    ...options,
  });
  try {
    await test(policy, requests, problems);
  } finally {
    await server.shutdown();
  }
}

/** Checks that a first `act` with one frame fails with one line that names the address. */
async function refused(answer: () => Response, pattern: RegExp, options?: JsonClientOptions): Promise<void> {
  await withServer(answer, async (policy) => {
    await policy.reset(["go"], [1]);
    await assert.rejects(policy.act([FRAME]), (error: Error) => {
      assert.ok(error instanceof UserError, `${error}`);
      assert.match(error.message, /^(policy )?http:\/\/127\.0\.0\.1:\d+\/robot\/act/);
      assert.match(error.message, pattern);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
  }, options);
}

Deno.test("HttpPolicy: what is sent and what is understood", async () => {
  const ends = [...STAY];
  ends.splice(7, 2, 1, 0);
  await withServer((_, { body }) => {
    // deno-lint-ignore no-explicit-any
    const actions = body.frames.map((frame: any, i: number) => frame === null ? null : i === 0 ? [...STAY] : ends);
    if (actions[0] !== null) actions[0][10] = 1.5;
    return Response.json({ actions });
  }, async (policy, requests) => {
    await policy.reset(["open the drawer", "wave", "go"], [7, 8, 9]);
    const first = await policy.act([FRAME, null, FRAME]);
    assert.deepEqual([first[0]![10], first[1], isTerminal(first[0]!), isTerminal(first[2]!)], [1.5, null, false, true]);
    await policy.act([FRAME, null, null]);
    assert.deepEqual(await policy.act([null, null, null]), [null, null, null]);
    const [reset, act, again] = requests;
    assert.deepEqual([reset.path, act.path, requests.length], ["/robot/reset", "/robot/act", 3]);
    assert.deepEqual(
      [reset.body.instructions, reset.body.seeds],
      [["open the drawer", "wave", "go"], [7, 8, 9]],
    );
    assert.deepEqual([act.body.step, again.body.step], [0, 1]);
    assert.equal(act.body.session, reset.body.session);
    const { height, width, pixels } = act.body.frames[0];
    assert.deepEqual([height, width, Uint8Array.fromBase64(pixels)], [2, 3, FRAME.pixels]);
    await policy.reset(["go"], [1]);
    assert.notEqual(requests.at(-1)!.body.session, reset.body.session);
  });
});

Deno.test("HttpPolicy tries again after 429, 5xx and late answers, with the same step", async () => {
  const late: (() => void)[] = [];
  await withServer(async (n) => {
    if (n === 0) return new Response("busy", { status: 503 });
    if (n === 1) return new Response("slow down", { status: 429, headers: { "retry-after": "0.01" } });
    if (n === 2) await new Promise<void>((resolve) => late.push(resolve));
    return Response.json({ actions: [STAY] });
  }, async (policy, requests, problems) => {
    await policy.reset(["go"], [1]);
    const [action] = await policy.act([FRAME]);
    late.forEach((release) => release());
    assert.deepEqual([...action!], STAY);
    assert.deepEqual(requests.filter(({ path }) => path.endsWith("act")).map(({ body }) => body.step), [0, 0, 0, 0]);
    assert.equal(problems.length, 3);
    assert.match(problems[0], /answered 503: busy; trying again in 0.001 s$/);
    assert.match(problems[1], /answered 429: slow down; trying again in 0.01 s$/);
    assert.match(problems[2], /no answer within 1 s; trying again/);
  }, { timeoutSeconds: 1 });
});

Deno.test("HttpPolicy gives up in the end, and at once where another try cannot help", async () => {
  await refused(() => new Response("", { status: 500 }), /gave up after 3 tries: the server answered 500/, {
    retries: 2,
  });
  let asked = 0;
  await refused(
    () => {
      asked++;
      return new Response("who are you?", { status: 401 });
    },
    /answered 401: who are you\?/,
  );
  assert.equal(asked, 1);
  const closed = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  closed.close();
  const nobody = new HttpPolicy(`http://127.0.0.1:${closed.addr.port}`, { retries: 1, backoffSeconds: 0.001 });
  await assert.rejects(nobody.reset(["go"], [1]), /:\d+\/reset: gave up after 2 tries: .*refused/);
});

Deno.test("HttpPolicy refuses answers that are no actions", async () => {
  const changed = (d: number, value: unknown) => STAY.map((old, i) => i === d ? value : old);
  const answers: [unknown, RegExp][] = [
    [null, /must answer \{"actions": \[…\]\}: received no list/],
    [{ action: STAY }, /must answer \{"actions": \[…\]\}: received no list/],
    [{ actions: [] }, /must answer 1 actions, one a frame: received 0/],
    [{ actions: [null] }, /action 0: an action must be an array of 13 numbers: received null/],
    [{ actions: [[1, 2]] }, /action 0: an action must have 13 numbers: received 2/],
    [{ actions: [changed(10, 99)] }, /world_vector\[0\] must be a number in -2\.02\S*\.\.2\.99\S*: received 99/],
    [{ actions: [changed(3, null)] }, /gripper_closedness_action must be a number in -1\.\.1: received null/],
    [{ actions: [changed(3, "0.5")] }, /gripper_closedness_action must be a number in -1\.\.1: received "0\.5"/],
  ];
  for (const [answer, pattern] of answers) await refused(() => Response.json(answer), pattern);
  await refused(() => new Response("<html>\n404</html>"), /answer is not JSON: <html> 404<\/html>/);
});

Deno.test("HttpPolicy refuses bad arguments", async () => {
  assert.throws(() => new HttpPolicy("ftp://x"), /"ftp:\/\/x" is no server's address/);
  assert.throws(() => new HttpPolicy("http://x", { timeoutSeconds: 0 }), /timeoutSeconds must be above 0/);
  assert.throws(() => new HttpPolicy("http://x", { retries: 0.5 }), /retries must be a whole number/);
  const policy = new HttpPolicy("http://127.0.0.1:9", { retries: 0 });
  await assert.rejects(policy.act([FRAME]), /call reset first/);
  await assert.rejects(policy.reset(["go"], []), /one seed an instruction: received 1 and 0/);
});
