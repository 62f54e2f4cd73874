/** What the tests of the text-game commands share: a command that fails as it should. */
import assert from "node:assert/strict";
import { runTask } from "../support/tiny_run.ts";

/** A user's error: exit code 2, one line. */
async function fails(task: string, args: string[], ...says: string[]): Promise<void> {
  const { code, stdout, stderr } = await runTask(task, args);
  assert.equal(code, 2, stderr);
  assert.equal(stdout, "");
  const shown = stderr.trimEnd().split("\n").filter((line) =>
    !/^(tfjs|LibTorch|transitions:|training data:)|^--set .* has no effect: /.test(line)
  );
  assert.equal(shown.length, 1, stderr);
  assert.ok(shown[0].startsWith("error: "), stderr);
  for (const part of says) assert.ok(shown[0].includes(part), `${part} is not in ${stderr}`);
}

/** `train-text-game` fails. */
export const train = (args: string[], ...says: string[]) => fails("train_text_game", args, ...says);
/** `evaluate-text-game` fails. */
export const evaluate = (args: string[], ...says: string[]) => fails("evaluate_text_game", args, ...says);

/** A few at a time: most of a case is the start of a process. */
export async function inTurns(cases: (() => Promise<void>)[]): Promise<void> {
  for (let i = 0; i < cases.length; i += 4) await Promise.all(cases.slice(i, i + 4).map((each) => each()));
}
