/** `web-agent` as a command: how it ends where agents cannot go on, and which tasks it takes. */
import assert from "node:assert/strict";
import { serveChat } from "../support/chat_server.ts";
import { runTask } from "../support/tiny_run.ts";

Deno.test("web-agent: where no trial could go on it says so and exits with 1; where some could, their number", async () => {
  const folder = await Deno.makeTempDir();
  // Servers list their models without a key.
  await using server = serveChat(() => Response.json({ error: { message: "no such key" } }, { status: 401 }));
  const run = (name: string, ...flags: string[]) =>
    runTask("web_agent", [
      ...["--out", `${folder}/${name}`, "--site-seeds", "1", "--task-ids", "1000-1001", "--retries", "0"],
      ...flags,
    ]);
  try {
    const all = await run("all", "--world-model", "none", "--policy", server.base);
    assert.equal(all.code, 1, all.stderr);
    assert.match(all.stdout, /^all tasks +0 +—$/m);
    assert.match(all.stdout, /^No trial could go on/m);
    assert.match(
      all.stderr,
      /^no world model: none of 2 trials could go on, so there is no rate: 2 × the policy .*no such key$/m,
    );
    const some = await run("some", "--world-model", "none,served", "--world-model-url", server.base);
    assert.equal(some.code, 1, some.stderr);
    assert.match(some.stdout, /^Tasks that succeed: no world model \d+ % \(2 trials each\)\.$/m);
    assert.match(some.stderr, /^served model: none of 2 trials could go on/m);
    const good = await run("good", "--world-model", "none");
    assert.deepEqual([good.code, good.stderr.includes("could")], [0, false], good.stderr);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("web-agent: flags that cannot be are refused in one line", async () => {
  for (
    const [flags, message] of [
      [["--task-ids", "3-1"], /--task-ids must be like 3,7-9: received "3-1"/],
      [["--task-ids", "a"], /--task-ids must be like 3,7-9: received "a"/],
      [["--history", "some"], /--history must be one of all, last: received "some"/],
      [["--value-scale", "1-10"], /--value-scale must be one of 1-5, 0-1: received "1-10"/],
    ] as const
  ) {
    const { code, stderr } = await runTask("web_agent", [...flags]);
    assert.equal(code, 2);
    assert.match(stderr, message);
    assert.equal(stderr.trim().split("\n").length, 1);
  }
});
