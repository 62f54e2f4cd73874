/** What a person sees: a terminal of eighty columns in which a run is stopped with Ctrl-C, and one that is closed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { withFolder } from "../support/files.ts";
import { hasTerminal, Terminal } from "../support/terminal.ts";
import { tinyFlags } from "../support/tiny_run.ts";

const ENDLESS = [...tinyFlags({ checkpointEvery: 1_000_000, grpo: { steps: 1_000_000 } }), "--device", "cpu"];
const NAME = hasTerminal ? "" : " (skipped: there is no script of util-linux)";

/** A number as the progress line has them, or a word, as a whole. */
const PART =
  /^(grpo|[█░]+|\d+ %|\d+\/1000000|(reward|KL|clip|H|equal) -?\d+(\.\d+)?(e-\d+)?|[\d.]+ (steps\/s|s\/step)|[\d:]+ left|in [\d:]+)$/;

for (const columns of [80, 100, 40]) {
  Deno.test(`a terminal of ${columns} columns: whole numbers, and a clean screen after Ctrl-C${NAME}`, {
    ignore: !hasTerminal,
  }, async () => {
    await withFolder(async (folder) => {
      const out = join(folder, "run");
      const terminal = new Terminal("train_video", [...ENDLESS, "--out", out], columns);
      await terminal.until(/grpo .*[1-9]\/1000000/);
      const progress = terminal.screen().at(-1)!;
      assert.ok(progress.length <= columns - 3, progress);
      for (const part of progress.trim().split(/ {2,}/)) assert.match(part, PART, progress);
      await terminal.press("\x03");
      assert.equal(await terminal.end(), 130, terminal.output);
      const lines = terminal.screen();
      assert.ok(!lines.some((line) => line.includes("^C")), lines.join("\n"));
      const text = lines.slice(lines.findIndex((line) => line.startsWith("stopping"))).join("\n");
      const grpo = lines.filter((line) => line.startsWith("grpo"));
      assert.equal(grpo.length, 1, `one line is left of the stage: ${lines.join("\n")}`);
      assert.match(
        text.replaceAll("\n", ""),
        /^stopping after this step, .*grpo .*resume with: .*stopped after step \d+ of/,
      );
      assert.ok(text.endsWith("saved\n"), text);
    });
  });
}

Deno.test(`a terminal that is closed: the run saves and ends${NAME}`, { ignore: !hasTerminal }, async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "run");
    const terminal = new Terminal("train_video", [...ENDLESS, "--out", out], 80);
    await terminal.until(/grpo .*[1-9]\/1000000/);
    await terminal.close();
    const saved = join(out, "checkpoints/grpo");
    const isSaved = async () => {
      const names = await Array.fromAsync(Deno.readDir(saved)).catch(() => []);
      return names.some(({ name }) => name.startsWith("step-"));
    };
    const last = performance.now() + 60_000;
    while (!await isSaved() && performance.now() < last) await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(await isSaved(), "nothing was saved");
    // And its process is gone: another may write to the folder.
    let lock: Deno.FsFile;
    for (;;) {
      lock = await Deno.open(join(out, ".lock"), { write: true });
      if (await lock.tryLock(true)) break;
      lock.close();
      assert.ok(performance.now() < last, "it did not end");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    lock.close();
  });
});
