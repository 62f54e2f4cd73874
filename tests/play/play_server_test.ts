/** The play page's server over the true simulator: what is answered, what is refused, several players, files, the end. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readNpz } from "../../lib/io/npz.ts";
import { UserError } from "../../lib/base/user_error.ts";
import { controlsFor } from "../../lib/play/controls.ts";
import type { Playground } from "../../lib/play/game.ts";
import type { LocalServer } from "../../lib/serving/local_server.ts";
import { servePlay } from "../../lib/play/play_server.ts";
import { simulatorPlayground, taskStart } from "../../lib/play/simulator_playground.ts";
import { RT1_ACTION, RT1_ACTION_RANGES } from "../../lib/worlds/robot_video/actions.ts";
import { WorldModelEnv } from "../../lib/worlds/robot_video/world_model_env.ts";
import { emptyAction } from "../../lib/worlds/robot_video/policy.ts";
import { TableTop } from "../../lib/gyms/table_top/table_top.ts";
import { BrowserPage, findChromium } from "../support/browser.ts";

const SIZE = 32;
const ground = simulatorPlayground({ height: SIZE, width: SIZE, seed: 3 });

/** A player without a page. */
class Client implements Disposable {
  readonly #waiting: PromiseWithResolvers<Record<string, unknown>>[] = [];
  readonly #came: Record<string, unknown>[] = [];
  readonly closed: Promise<CloseEvent>;

  constructor(readonly socket: WebSocket) {
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data), waiting = this.#waiting.shift();
      if (waiting) waiting.resolve(message);
      else this.#came.push(message);
    };
    this.closed = new Promise((resolve) => socket.onclose = resolve);
  }

  static async open({ url }: LocalServer): Promise<{ client: Client; welcome: Record<string, unknown> }> {
    const client = new Client(new WebSocket(`${url.replace("http", "ws")}play`));
    return { client, welcome: await client.next() };
  }

  next(): Promise<Record<string, unknown>> {
    const come = this.#came.shift();
    if (come) return Promise.resolve(come);
    const waiting = Promise.withResolvers<Record<string, unknown>>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  ask(message: unknown): Promise<Record<string, unknown>> {
    this.socket.send(typeof message === "string" || message instanceof Uint8Array ? message : JSON.stringify(message));
    return this.next();
  }

  async leave(): Promise<void> {
    this.socket.close();
    await this.closed;
  }

  [Symbol.dispose](): void {
    this.socket.close();
  }
}

async function withServer(
  test: (server: LocalServer, stop: AbortController) => Promise<void>,
  playground: Playground = ground,
  maxPlayers?: number,
) {
  const stop = new AbortController(), defects: unknown[] = [];
  const onDefect = (error: unknown) => void defects.push(error);
  const server = servePlay({ playground, port: 0, signal: stop.signal, maxPlayers, onDefect });
  try {
    await test(server, stop);
  } finally {
    stop.abort();
    await server.finished;
  }
  assert.deepEqual(defects, []);
}

const bytes = (data: unknown) => new Uint8Array(Buffer.from(data as string, "base64"));
const pixels = (view: Record<string, unknown>, side: string) => bytes((view.frames as Record<string, unknown>)[side]);
const start = (number = 0, seed = 0) => ({ type: "reset", start: number, seed });

function push(x: number): number[] {
  const action = emptyAction();
  action[RT1_ACTION.worldVector] = x;
  return [...action];
}

Deno.test("play: a game is what the simulator does", async () => {
  await withServer(async (server) => {
    const { client, welcome } = await Client.open(server);
    assert.equal(welcome.type, "welcome");
    assert.deepEqual([welcome.height, welcome.width, welcome.modelName, welcome.starts], [SIZE, SIZE, null, null]);
    for (const number of [0, 4]) {
      const { scene, instruction } = taskStart(number, 3, SIZE, SIZE);
      const table = new TableTop(scene!.config);
      table.setState(scene!.state!);
      const first = await client.ask(start(number));
      assert.deepEqual([first.step, first.start, first.instruction, first.success], [0, number, instruction, false]);
      assert.deepEqual(pixels(first, "simulator"), table.render(SIZE, SIZE));
      for (let t = 1; t <= 3; t++) {
        const view = await client.ask({ type: "step", action: push(-1) });
        table.step(push(-1));
        assert.deepEqual([view.step, view.ended, view.windowSlid], [t, false, false]);
        assert.deepEqual(pixels(view, "simulator"), table.render(SIZE, SIZE));
      }
    }
    const ended = await client.ask({ type: "step", action: [...emptyAction(true)] });
    assert.equal(ended.ended, true);
    assert.match((await client.ask({ type: "step", action: push(1) })).message as string, /the episode has ended/);
    assert.equal((await client.ask(start())).type, "view", "a reset begins again");
    await client.leave();
  });
});

Deno.test("play: whatever is sent is answered in order, and the game goes on", async () => {
  await withServer(async (server) => {
    const { client } = await Client.open(server);
    const wrong: [unknown, RegExp][] = [
      [{ type: "step", action: push(1) }, /nothing has begun: reset first/],
      ["no json", /a message must be JSON: received "no json"/],
      ["[1]", /must be an object with a type: received \[1\]/],
      ["null", /must be an object/],
      [new Uint8Array([1, 2]), /must be JSON text: received binary data/],
      [" ".repeat(40_000), /at most 32768 characters: received 40000/],
      [{}, /type must be reset, step or save: received nothing/],
      [{ type: "reset", start: -1, seed: 0 }, /start must be a whole number in 0\.\.4294967295: received -1/],
      [{ type: "reset", start: 0, seed: "x" }, /seed must be a whole number in .*: received "x"/],
      [{ type: "step" }, /action must be a list of numbers: received nothing/],
      [{ type: "step", action: [1, null] }, /action must be a list of numbers: received \[1,null\]/],
      [{ type: "save", format: "exe", framesPerSecond: 5 }, /format must be gif or npz: received "exe"/],
      [{ type: "save", format: "gif", framesPerSecond: 0 }, /framesPerSecond must be in 1\.\.50: received 0/],
    ];
    for (const [message, says] of wrong) {
      const answer = await client.ask(message);
      assert.equal(answer.type, "error");
      assert.match(answer.message as string, says);
    }
    await client.ask(start());
    const short = await client.ask({ type: "step", action: [1, 2] });
    assert.match(short.message as string, /the action must have 13 numbers: received 2/);
    const far = await client.ask({ type: "step", action: push(9) });
    assert.match(far.message as string, /world_vector\[0\] must be in -2\.02\d*\.\.2\.99\d*: received 9/);
    assert.equal((await client.ask({ type: "step", action: push(1) })).step, 1, "wrong actions moved nothing");
    for (let i = 0; i < 40; i++) client.socket.send(JSON.stringify({ type: "step", action: push(0) }));
    const answers = [];
    for (let i = 0; i < 40; i++) answers.push(await client.next());
    assert.ok(answers.some(({ message }) => /too many requests at once/.test(String(message))));
    const steps = answers.filter(({ type }) => type === "view").map(({ step }) => step);
    assert.deepEqual(steps, steps.map((_, i) => i + 2));
    await client.leave();
  });
});

Deno.test("play: players do not disturb each other; one too many is told so", async () => {
  await withServer(
    async (server) => {
      const [{ client: a }, { client: b }] = [await Client.open(server), await Client.open(server)];
      const { welcome: refusal, client: c } = await Client.open(server);
      assert.match(String(refusal.message), /2 players are here already/);
      await c.closed;
      await Promise.all([a.ask(start(1)), b.ask(start(1))]);
      for (let t = 0; t < 3; t++) await a.ask({ type: "step", action: push(1) });
      const [moved, still] = await Promise.all([a, b].map((each) => each.ask({ type: "step", action: push(0) })));
      assert.deepEqual([moved.step, still.step], [4, 1]);
      assert.notDeepEqual(pixels(moved, "simulator"), pixels(still, "simulator"));
      await a.leave();
      let again = await Client.open(server);
      for (let i = 0; again.welcome.type === "error" && i < 20; i++) again = await Client.open(server);
      assert.equal(again.welcome.type, "welcome", "who leaves makes room");
      await again.client.leave();
      await b.leave();
    },
    ground,
    2,
  );
});

Deno.test("play: a recording is an episode, and a GIF", async () => {
  const view = { height: SIZE, width: SIZE };
  // The simulator once more, in the place of a model that knows the truth.
  const truth = (): Playground => ({
    ...ground,
    modelName: "Model",
    open: async () => {
      let table = new TableTop({ seed: 0 });
      const inner = await ground.open();
      const predictor = {
        ...view,
        actionWidth: 13,
        horizon: 2,
        reset: (_: readonly Uint8Array[], seed: number) => {
          table = new TableTop({ seed });
          return Promise.resolve([table.render(SIZE, SIZE)]);
        },
        step: ([action]: readonly (Float32Array | null)[]) => {
          table.step(action!);
          return Promise.resolve([table.render(SIZE, SIZE)]);
        },
        dispose() {},
      };
      return { ...inner, model: new WorldModelEnv({ predictor }), [Symbol.dispose]() {} };
    },
  });
  await withServer(async (server) => {
    const { client } = await Client.open(server);
    const seen = [await client.ask(start(1, 5))];
    for (const x of [1, -0.5, 1]) seen.push(await client.ask({ type: "step", action: push(x) }));
    assert.deepEqual(seen.map(({ windowSlid }) => windowSlid), [false, false, false, true]);
    assert.deepEqual(seen[3].recorded, { frames: 4, most: 1000 });
    const file = await client.ask({ type: "save", format: "npz", framesPerSecond: 5 });
    assert.equal(file.name, "play-start-1-4-frames.npz");
    const path = await Deno.makeTempFile({ suffix: ".npz" });
    await Deno.writeFile(path, bytes(file.data));
    const { image, simulator, action } = await readNpz(path);
    await Deno.remove(path);
    const all = (side: string) => seen.flatMap((each) => [...pixels(each, side)]);
    assert.deepEqual([image.shape, simulator.shape, action.shape], [[4, 32, 32, 3], [4, 32, 32, 3], [4, 13]]);
    assert.deepEqual([...image.data as Uint8Array], all("model"));
    assert.deepEqual([...simulator.data as Uint8Array], all("simulator"));
    assert.deepEqual([...action.data as Float32Array], [push(1), push(-0.5), push(1), [...emptyAction()]].flat());
    const gif = await client.ask({ type: "save", format: "gif", framesPerSecond: 5 });
    const content = bytes(gif.data);
    assert.equal(new TextDecoder().decode(content.subarray(0, 6)), "GIF89a");
    // Two views of 32 pixels and a gap of 2, eightfold.
    assert.deepEqual([content[6] + 256 * content[7], content[8] + 256 * content[9]], [66 * 8, 32 * 8]);
    await client.leave();
  }, truth());
});

Deno.test("play: only this machine's own page is answered; a taken port is said", async () => {
  await withServer(async (server) => {
    const { port } = new URL(server.url);
    assert.equal(new URL(server.url).hostname, "127.0.0.1");
    const page = await fetch(server.url);
    assert.match(page.headers.get("content-security-policy")!, /default-src 'none'/);
    assert.match(await page.text(), /<title>Play<\/title>/);
    for (
      const [path, headers, status] of [
        ["", { origin: "https://evil.example" }, 403],
        ["nothing", {}, 404],
        ["play", {}, 426],
        ["page.css", {}, 200],
      ] as const
    ) {
      const response = await fetch(server.url + path, { headers });
      await response.body?.cancel();
      assert.equal(response.status, status, path);
    }
    // A name of the internet that was made to point here.
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
    await connection.write(
      new TextEncoder().encode("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
    );
    const answer = await new Response(connection.readable).text();
    assert.match(answer, /^HTTP\/1\.1 403/);
    assert.throws(() => servePlay({ playground: ground, port: Number(port) }), (error: Error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, new RegExp(`port ${port} is taken`));
      return true;
    });
  });
});

Deno.test("play: the end of the server closes the connections", async () => {
  await withServer(async (server, stop) => {
    const { client } = await Client.open(server);
    await client.ask(start());
    stop.abort();
    await server.finished;
    assert.equal((await client.closed).code, 1001);
  });
});

Deno.test("play: keys stand for values within the ranges, whatever the robot", () => {
  const narrow = {
    min: Float32Array.from({ length: 13 }, () => -0.1),
    max: Float32Array.from({ length: 13 }, () => 0.2),
  };
  const odd = { min: Float32Array.of(-1, 0.5, 0, -2, -1), max: Float32Array.of(1, 0.9, 0, 3, 1) };
  const four = { min: new Float32Array(4).fill(-1), max: new Float32Array(4).fill(1) };
  for (
    const controls of [
      controlsFor("table-top", 13, RT1_ACTION_RANGES),
      controlsFor("rt1", 13, RT1_ACTION_RANGES),
      controlsFor("table-top", 13, narrow),
      controlsFor("other", 5, odd),
      controlsFor("other", 4, four),
    ]
  ) {
    const { rest, names, min, max, axes, toggle } = controls;
    assert.equal(names.length, rest.length);
    const values: [number, number][] = rest.map((value, d) => [d, value]);
    for (const { dimension, negative, positive } of axes) {
      values.push([dimension, negative.value], [dimension, positive.value]);
    }
    for (const value of toggle?.values ?? []) values.push([toggle!.dimension, value]);
    for (const [d, value] of values) assert.ok(value >= min[d] && value <= max[d], `${names[d]} = ${value}`);
    const keys = [
      ...axes.flatMap(({ negative, positive }) => [...negative.keys, ...positive.keys]),
      ...toggle?.keys ?? [],
    ];
    assert.equal(new Set(keys).size, keys.length, "a key stands for one thing");
  }
  assert.equal(controlsFor("other", 4, four).toggle?.dimension, 3);
});

const chromium = findChromium();
Deno.test({
  name: "play: the page in Chromium",
  ignore: chromium === undefined,
  async fn() {
    await withServer(async (server) => {
      await using page = await BrowserPage.open(chromium!, server.url);
      await page.see("document.getElementById('task').textContent === 'open the drawer'");
      const shown = "document.getElementById('simulator').toDataURL()";
      const before = await page.ask(shown);
      await page.press("KeyD", 500);
      await page.see("Number(document.getElementById('step').textContent) > 0");
      assert.notEqual(await page.ask(shown), before);
      await page.press("Space");
      await page.see("document.getElementById('gripper').textContent.startsWith('open')");
      await page.press("KeyN");
      await page.see("document.getElementById('task').textContent === 'close the drawer'");
      assert.equal(await page.ask("document.getElementById('step').textContent"), "0");
      assert.deepEqual(page.problems, []);
    });
  },
});
