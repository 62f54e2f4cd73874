/** `train-web` and `evaluate-web` as commands: a run and its scores, answers from elsewhere, and what is refused. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { builtInWalks } from "../../lib/gyms/shop/walks.ts";
import { scoreChanges } from "../../lib/worlds/web_page/f1_reward.ts";
import { writeWebPageParquet } from "../../lib/worlds/web_page/parquet.ts";
import { withFolder } from "../support/files.ts";
import { runTask } from "../support/tiny_run.ts";
import { tinyLanguageModel } from "../support/tiny_text_run.ts";
import { tinyWebFlags } from "../support/tiny_web_run.ts";
import { inTurns } from "./text_game_support.ts";

type Line = Record<string, unknown>;

const lines = async (path: string): Promise<Line[]> =>
  (await Deno.readTextFile(path)).trimEnd().split("\n").map((line) => JSON.parse(line));

async function works(task: string, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runTask(task, args);
  assert.equal(code, 0, stderr);
  return stdout;
}

/** A user's error: exit code 2, one line. */
async function fails(task: string, args: string[], ...says: string[]): Promise<void> {
  const { code, stdout, stderr } = await runTask(task, args);
  assert.equal(code, 2, stderr);
  assert.equal(stdout, "");
  const shown = stderr.trimEnd().split("\n").filter((line) => !/^(tfjs|transitions:|no test file)/.test(line));
  assert.equal(shown.length, 1, stderr);
  assert.ok(shown[0].startsWith("error: "), stderr);
  for (const part of says) assert.ok(shown[0].includes(part), `${part} is not in ${stderr}`);
}

async function someTransitions(sites: number[]) {
  return (await builtInWalks({ sites, walks: 2, steps: 3, stream: [1] })).map((each) => each.transition);
}

Deno.test("train-web, its resumption, and evaluate-web --run", async () => {
  await withFolder(async (folder) => {
    const run = join(folder, "run"), data = join(folder, "data");
    await Deno.mkdir(data);
    await writeWebPageParquet(join(data, "train.parquet"), await someTransitions([1, 2]));
    await writeWebPageParquet(join(data, "test.parquet"), (await someTransitions([3])).slice(0, 4), "test");
    const flags = [
      "--engine",
      "wasm",
      "--data",
      data,
      ...tinyWebFlags({ data: { maxAnswerTokens: 400 }, grpo: { steps: 1 } }),
    ];
    await works("train_web", [...flags, "--out", run, "--stage", "likelihood"]);
    const stdout = await works("train_web", ["--engine", "wasm", "--resume", "--out", run]);
    assert.match(stdout, /^likelihood .*, grpo .*, evaluate /);
    assert.match(
      stdout,
      /\nHeld-out F1 of item changes, likelihood → GRPO: .*; of sampled answers .*; 4 transitions\. Against the strongest cheap baseline \(/,
    );
    assert.match(stdout, /\nreport: .*report\.html\n$/);

    const out = join(folder, "answers.jsonl"), scores = join(folder, "scores.jsonl");
    const table = await works("evaluate_web", ["--engine", "wasm", "--run", run, "--out", out]);
    assert.match(table, /^ +likelihood +rlvr +always unchanged\nf1, % /);
    assert.match(table, /\n4 transitions; mean \[95 % interval\]\n/);
    const answers = await lines(out), result = JSON.parse(await Deno.readTextFile(join(run, "result.json")));
    assert.deepEqual(answers.map(({ row, model }) => `${model} ${row}`), [
      ...["likelihood", "rlvr"].flatMap((name) => [0, 1, 2, 3].map((row) => `${name} ${row}`)),
    ]);
    for (const [model, of] of [["likelihood", "base"], ["rlvr", "rlvr"]]) {
      const own = answers.filter((each) => each.model === model);
      const mean = own.reduce((sum, each) => sum + (each.f1 as number), 0) / own.length;
      assert.ok(Math.abs(mean - result.metrics.f1[of].mean) < 1e-12, "as the run itself says");
    }
    const again = await works("evaluate_web", ["--answers", out, "--out", scores]);
    assert.match(again, /\n8 answers, \d+ with F1 1, \d+ with F1 0; mean of per-answer values/);
    assert.deepEqual((await lines(scores)).map((each) => each.f1), answers.map((each) => each.f1));
  });
});

Deno.test("evaluate-web: a language model from elsewhere on recorded pages", async () => {
  await withFolder(async (folder) => {
    const data = join(folder, "d.parquet"), out = join(folder, "a.jsonl");
    await writeWebPageParquet(data, await someTransitions([1]));
    const flags = ["--engine", "wasm", "--limit", "2", "--set", "data.maxAnswerTokens=4", "--out", out];
    const model = await tinyLanguageModel(folder);
    await works("evaluate_web", [...flags, "--model", model, "--data", data]);
    const answers = await lines(out);
    assert.deepEqual(answers.map((each) => each.row), [0, 3], "from all over the file");
    for (const { truth, response, f1 } of answers) {
      assert.equal(scoreChanges(response as string, truth as string).f1, f1);
    }
  });
});

Deno.test("train-web and evaluate-web: what is refused, and leaves nothing behind", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "out"), wasm = ["--engine", "wasm", "--out", out];
    const answers = join(folder, "a.jsonl"), scores = ["--answers", answers, "--out", join(folder, "s.jsonl")];
    await Deno.writeTextFile(answers, '{"truth": "x", "response": "y"}\n{"truth": 1}\n');
    await Deno.writeTextFile(join(folder, "bad.parquet"), "no parquet");
    await inTurns([
      () => fails("train_web", [...wasm, "--stage", "tokenizer"], "--stage must be one of likelihood, grpo, evaluate"),
      () => fails("train_web", [...wasm, "--preset", "tiny"], 'unknown preset "tiny"', "demo, webarena-1.5b"),
      () => fails("train_web", [...wasm, "--set", "grpo.rewards=f1"], "unknown field grpo.rewards"),
      () =>
        fails(
          "train_web",
          [...wasm, "--set", "grpo.loss=gspo"],
          'grpo.credit "item" has no meaning with grpo.loss',
        ),
      () => fails("train_web", [...wasm, "--set", "likelihood.steps=0"], "there is no model.folder"),
      () => fails("train_web", [...wasm, "--data", join(folder, "none")], "none cannot be read"),
      () => fails("train_web", [...wasm, "--data", join(folder, "bad.parquet")], "bad.parquet: is not a parquet file"),
      () => fails("train_web", [...wasm, "--test", join(folder, "bad.parquet")], "there is no data.train"),
      () => fails("train_web", [...wasm, "--resume"], "out holds no run"),
      () => fails("evaluate_web", [...scores], "a.jsonl, line 2: truth must be a string: received 1"),
      () => fails("evaluate_web", ["--answers", answers], "needs a file for the scores: --out FILE"),
      () => fails("evaluate_web", [...scores, "--data", "x"], "--data has no meaning with --answers"),
      () => fails("evaluate_web", ["--model", "x"], "needs the transitions to judge by: --data FILE"),
      () => fails("evaluate_web", [], "name one of --answers FILE, --run FOLDER and --model FOLDER"),
      () => fails("evaluate_web", ["--run", join(folder, "none")], "none"),
      () =>
        fails(
          "evaluate_web",
          ["--run", folder, "--which", "sft"],
          '--which must be one of likelihood, rlvr: received "sft"',
        ),
    ]);
    for (const path of [out, join(folder, "s.jsonl")]) {
      assert.equal(await Deno.stat(path).catch(() => undefined), undefined, `${path} was left behind`);
    }
  });
});
