/** `deno task serve-site`: errors in one line, tasks written, the shop served. */
import assert from "node:assert/strict";
import { runTask } from "../support/tiny_run.ts";
import { loadTasks } from "../../lib/studies/web_agents/tasks/task_file.ts";

Deno.test("serve-site: mistakes are one line and exit code 2", async () => {
  for (
    const [args, says] of [
      [["--seed", "x"], "--seed must be an integer"],
      [["--port", "70000"], "--port must be in 1..65535: received 70000"],
      [["--out", "/nowhere/tasks.json"], "there is no folder /nowhere"],
      [["--sed", "1"], "did you mean --seed?"],
    ] as const
  ) {
    const { code, stdout, stderr } = await runTask("serve_site", [...args]);
    assert.equal(code, 2, stderr);
    assert.equal(stdout, "");
    assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
    assert.ok(stderr.startsWith("error: ") && stderr.includes(says), stderr);
  }
});

Deno.test("serve-site: --out writes the shop's tasks", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { code, stdout, stderr } = await runTask("serve_site", ["--seed", "7", "--out", `${folder}/tasks.json`]);
    assert.equal(code, 0, stderr);
    const tasks = await loadTasks(`${folder}/tasks.json`);
    assert.match(stdout, new RegExp(`^${tasks.length} tasks of the shop with seed 7: `));
    assert.ok(tasks.length >= 40 && tasks.every(({ taskId }) => Math.floor(taskId / 1000) === 7));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("serve-site: serves until it is told to stop", async () => {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "tasks/serve_site.ts", "--seed", "3"],
    cwd: new URL("../..", import.meta.url),
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reader.read();
  const [, address] = /^the shop with seed 3 is at (http:\/\/127\.0\.0\.1:\d+\/) /.exec(value) ?? [];
  assert.ok(address, value);
  assert.ok((await (await fetch(address)).text()).includes("Welcome to the shop"));
  process.kill("SIGINT");
  await reader.cancel();
  assert.equal((await process.status).code, 0);
});
