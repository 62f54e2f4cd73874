/** `play` and `label` as commands: a fresh clone's first try, the address, Ctrl-C, help, and what a user can type wrong. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { encodePng } from "../../lib/report/png.ts";
import { withFolder } from "../support/files.ts";
import { runTask, startTask } from "../support/tiny_run.ts";

const CLOSING = "closing the page's server; press Ctrl-C again to stop at once";

/** Starts a page's command, waits for its address, looks at it, and ends it as Ctrl-C does. */
async function visit(
  task: string,
  args: readonly string[],
  look: (url: string) => Promise<void>,
  { through = [], code: expected = 0, says = CLOSING }: { through?: string[]; code?: number; says?: string } = {},
): Promise<string> {
  const child = startTask(task, args, { through });
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
  assert.equal(code, expected, stderr);
  assert.equal(stderr.trim(), says);
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

/** A folder with one item, and the flags to label it. */
async function withItem(test: (out: string, flags: string[]) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "items.jsonl"), '{"id":"a","instruction":"lift","frame":"a.png"}\n');
    await Deno.writeFile(join(folder, "a.png"), encodePng(new Uint8Array(3), 1, 1));
    const out = join(folder, "labels.jsonl");
    await test(out, ["--frames", folder, "--labeller", "ann", "--out", out]);
  });
}

Deno.test("label: an answer, and what was done at the end", async () => {
  await withItem(async (out, flags) => {
    const said = await visit("label", flags, async (url) => {
      assert.equal((await (await answer(url)).json()).done, 1);
    });
    assert.ok(said.endsWith(`1 of 1 items answered by ann: ${out}\n`), said);
    assert.match(await Deno.readTextFile(out), /^\{"id":"a","success":true,"labeller":"ann","at":"20.*"\}\n$/);
  });
});

Deno.test("label: answers whose file has been moved are not said to be there", async () => {
  await withItem(async (out, flags) => {
    const look = async (url: string) => {
      await (await answer(url)).body?.cancel();
      await Deno.rename(out, `${out}.moved`);
    };
    const error = `error: ${out} has been moved, and your answers with it: move it back before you answer`;
    const said = await visit("label", flags, look, { code: 2, says: `${CLOSING}\n${error}` });
    assert.doesNotMatch(said, /answered by/);
  });
});

Deno.test({
  name: "label: where the disk takes half a line nothing of it stays, and the item is asked again",
  ignore: Deno.build.os === "windows",
  async fn() {
    await withItem(async (out, flags) => {
      // No file may have more than 30 KiB, and one answer would make it so.
      const line = (labeller: string) => JSON.stringify({ id: "a", success: true, labeller, at: "" }) + "\n";
      const before = line("b".repeat(30 * 1024 - 50 - line("").length));
      await Deno.writeTextFile(out, before);
      const through = ["bash", "-c", `trap '' XFSZ; ulimit -f 30; exec "$@"`, "limited"];
      await visit("label", flags, async (url) => {
        const refused = await answer(url);
        assert.equal(
          await refused.text(),
          `cannot write ${out}: file too large. The answer does not count: mend that, then answer again`,
        );
        assert.equal(refused.status, 500);
        assert.equal(await Deno.readTextFile(out), before);
        const { position, done } = await (await fetch(`${url}task`)).json();
        assert.deepEqual([position, done], [0, 0]);
        await Deno.writeTextFile(out, line("bob"));
        assert.equal((await (await answer(url)).json()).done, 1);
      }, { through });
      const labels = (await Deno.readTextFile(out)).trimEnd().split("\n").map((each) => JSON.parse(each).labeller);
      assert.deepEqual(labels, ["bob", "ann"]);
    });
  },
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
