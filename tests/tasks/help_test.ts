/**
 * The flags of the commands and the fields of their configuration, with defaults, are frozen in fixtures/: what users type
 * and what runs mean changes only with them. RLVR_UPDATE_FIXTURES=1 writes them anew.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { runTask } from "../support/tiny_run.ts";

const FIXTURES = join(import.meta.dirname!, "fixtures");

/** Flags with what stands for their values, then fields with their defaults; no descriptions. */
function frozen(help: string): string {
  const flags = [...help.matchAll(/^ {2}(--\S+(?: \S+)?) {2,}/gm)].map(([, flag]) => flag);
  const fields = [...help.matchAll(/^ {2}([a-zA-Z]+(?:\.[a-zA-Z0-9]+)?=\S+) +/gm)].map(([, field]) => field);
  return [...flags, ...fields].join("\n") + "\n";
}

const TASKS = [
  ...["train_video", "evaluate_video", "train_text_game", "evaluate_text_game", "train_web", "evaluate_web"],
  ...["evaluate_policy", "record_web", "web_login", "web_agent", "serve_site"],
];

for (const task of TASKS) {
  Deno.test(`${task} --help: flags and fields are those that are frozen`, async () => {
    const { code, stdout, stderr } = await runTask(task, ["--help"]);
    assert.equal(code, 0, stderr);
    assert.equal(stderr, "");
    const path = join(FIXTURES, `${task}.txt`);
    if (Deno.env.get("RLVR_UPDATE_FIXTURES")) await Deno.writeTextFile(path, frozen(stdout));
    assert.equal(frozen(stdout), await Deno.readTextFile(path));
    assert.ok(frozen(stdout).split("\n").length > (task.startsWith("train") ? 80 : 5), "the test sees the help");
  });

  Deno.test(`${task} --help: every line says something, in a terminal's width or little more`, async () => {
    const { stdout } = await runTask(task, ["-h"]);
    assert.ok(stdout.startsWith(`deno task ${task.replaceAll("_", "-")} [flags]\n\n`));
    for (const line of stdout.split("\n").filter((each) => /^ {2}(--|[a-z]+\.)/.test(each))) {
      assert.match(line, /^ {2}\S.* +[A-ZεΨ].{3,}$/, `no description: ${line}`);
      assert.ok(line.length <= 150, `${line.length} characters: ${line}`);
    }
  });
}
