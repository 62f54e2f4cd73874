/** `play` and `label` as commands: a fresh clone's first try, the address, Ctrl-C, help, and what a user can type wrong. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { encodePng } from "../../lib/report/png.ts";
import { runTask, startTask } from "../support/tiny_run.ts";

/** Starts a page's command, waits for its address, looks at it, and ends it as Ctrl-C does. */
async function visit(task: string, args: readonly string[], look: (url: string) => Promise<void>): Promise<string> {
  const child = startTask(task, args);
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (!said.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) assert.fail(`it ended: ${await new Response(child.stderr).text()}`);
    said += value;
  }
  const [, url] = /^\w+ at (http:\/\/127\.0\.0\.1:\d+\/) \(Ctrl-C ends it\)\n$/.exec(said) ?? assert.fail(said);
  await look(url);
  child.kill("SIGINT");
  for (let part = await reader.read(); !part.done; part = await reader.read()) said += part.value;
  const { code } = await child.status;
  const stderr = await new Response(child.stderr).text();
  assert.equal(code, 0, stderr);
  assert.equal(stderr.trim(), "closing the page's server; press Ctrl-C again to stop at once");
  return said;
}

/** Yes, to the first item. */
const answer = (url: string) =>
  fetch(`${url}answer`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"position":0,"success":true}',
  });

Deno.test("play --simulator: needs nothing, prints one line, Ctrl-C ends it with a player connected", async () => {
  const said = await visit("play", ["--simulator", "--size", "32x40"], async (url) => {
    const socket = new WebSocket(`${url.replace("http", "ws")}play`);
    const next = () => new Promise<MessageEvent>((resolve) => socket.onmessage = resolve);
    const { height, width } = JSON.parse((await next()).data);
    assert.deepEqual([height, width], [32, 40]);
    socket.send('{"type":"reset","start":0,"seed":0}');
    assert.equal(JSON.parse((await next()).data).type, "view");
  });
  assert.equal(said.split("\n").length, 2, "one line");
});

Deno.test("label: an answer, and what was done at the end", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(folder, "items.jsonl"), '{"id":"a","instruction":"lift","frame":"a.png"}\n');
    await Deno.writeFile(join(folder, "a.png"), encodePng(new Uint8Array(3), 1, 1));
    const out = join(folder, "labels.jsonl");
    const said = await visit("label", ["--frames", folder, "--labeller", "ann", "--out", out], async (url) => {
      assert.equal((await (await answer(url)).json()).done, 1);
    });
    assert.ok(said.endsWith(`1 of 1 items answered by ann: ${out}\n`), said);
    assert.match(await Deno.readTextFile(out), /^\{"id":"a","success":true,"labeller":"ann","at":"20.*"\}\n$/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("play and label: a user's errors are one line and exit code 2", async () => {
  const wrong: [task: string, args: string[], says: RegExp][] = [
    ["play", [], /name a run with --run FOLDER \(deno task train-video makes one\), or play .* --simulator/],
    ["play", ["--run", "x", "--simulator"], /--simulator plays without a model/],
    ["play", ["--run", "/nowhere", "--engine", "wasm"], /\/nowhere holds no run/],
    ["play", ["--run", "x", "--stage", "grop"], /--stage must be one of likelihood, grpo: received "grop"/],
    ["play", ["--simulator", "--stage", "grpo"], /--stage has no meaning with --simulator/],
    ["play", ["--run", "x", "--size", "32x32"], /--size has no meaning with --run/],
    ["play", ["--simulator", "--size", "32"], /--size must be like 256x320, .*: received "32"/],
    ["play", ["--simulator", "--port", "99999"], /--port must be in 1\.\.65535: received 99999/],
    ["play", ["--simulater"], /unknown flag --simulater: did you mean --simulator\?/],
    ["label", [], /name what to judge with --frames FOLDER/],
    ["label", ["--frames", "x"], /say who answers with --labeller NAME/],
    ["label", ["--frames", "/nowhere", "--labeller", "a"], /cannot read \/nowhere: no such file/],
    ["label", ["--frames", "x", "--labeller", "a", "--out", "/nowhere/l.jsonl"], /there is no folder \/nowhere/],
  ];
  for (const [task, args, says] of wrong) {
    const { code, stdout, stderr } = await runTask(task, args);
    assert.equal(code, 2, `${task} ${args.join(" ")}: ${stderr}`);
    assert.match(stderr, says);
    const errors = stderr.trimEnd().split("\n").filter((line) => line.startsWith("error: "));
    assert.equal(errors.length, 1);
    assert.equal(stderr.trimEnd().split("\n").at(-1), errors[0]);
    assert.equal(stdout, "");
  }
});

Deno.test("play and label: help names every flag with a description", async () => {
  const flags = {
    play: ["run", "stage", "simulator", "size", "seed", "port", "engine", "device", "help"],
    label: ["frames", "labeller", "out", "seed", "port", "help"],
  };
  for (const [task, names] of Object.entries(flags)) {
    const { code, stdout } = await runTask(task, ["--help"]);
    assert.equal(code, 0);
    const lines = [...stdout.matchAll(/^ {2}--(\S+)(?: \S+)? +[A-Z].{3,}$/gm)];
    assert.deepEqual(lines.map(([, name]) => name), names);
    assert.ok(stdout.split("\n").every((line) => line.length <= 150));
  }
});
