/** What a user of `train-text-game` can get wrong: one line, exit code 2, and nothing is written. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { writeTransitions } from "../../lib/worlds/text_game/jsonl.ts";
import { withFolder } from "../support/files.ts";
import { someTransitions, tinyLanguageModel, tinyTextFlags } from "../support/tiny_text_run.ts";
import { inTurns, train } from "./text_game_support.ts";

Deno.test("train-text-game: what is refused, and leaves nothing behind", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "out"), wasm = ["--engine", "wasm", "--out", out];
    const data = join(folder, "train.jsonl");
    await writeTransitions(data, someTransitions(10));
    await Deno.writeTextFile(join(folder, "bad.jsonl"), (await Deno.readTextFile(data)) + "{}\n");
    const mismatched = await tinyLanguageModel(folder, { vocab_size: 300 });
    await inTurns([
      () =>
        train([...wasm, "--stage", "tokenizer"], "--stage must be one of likelihood, grpo, evaluate", '"tokenizer"'),
      () => train([...wasm, "--preset", "tiny"], 'unknown preset "tiny"', "demo, bytesized32-small, bytesized32-1.5b"),
      () => train([...wasm, "--sets", "x"], "unknown flag --sets", "did you mean --set?"),
      () => train([...wasm, "--set", "grpo.reward=binary"], "unknown field grpo.reward"),
      () => train([...wasm, "--set", "model.hiddenSize=10"], "model.hiddenSize 10 must be an even multiple"),
      () => train([...wasm, "--set", "likelihood.steps=0"], "there is no model.folder"),
      () => train([...wasm, "--set", "grpo.miniBatchPrompts=99"], "grpo.miniBatchPrompts 99 exceeds"),
      () => train([...wasm, "--set", "model.parameterType=bfloat16"], "is for frozen weights"),
      () => train([...wasm, "--data", join(folder, "none")], "none cannot be read"),
      () => train([...wasm, "--test", data], "there is no data.train"),
      () => train([...wasm, "--data", join(folder, "bad.jsonl"), "--strict-data"], "bad.jsonl, line 11: "),
      () => train([...wasm, "--model", mismatched], "they belong to different models"),
      () => train([...wasm, "--data", "hub:datasets/a/b/c"], "is not a name on the hub"),
      () => train([...wasm, "--resume"], "out holds no run"),
      () =>
        train(
          [...wasm, ...tinyTextFlags(), "--rollouts", "localhost:8000"],
          '"localhost:8000" is no server\'s address: write it like http://localhost:8000',
        ),
    ]);
    assert.equal(await Deno.stat(out).catch(() => undefined), undefined, "a folder was left behind");
  });
});
