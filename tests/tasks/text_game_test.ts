/** `train-text-game` and `evaluate-text-game` as commands: a run and its scores, answers from elsewhere, and what is refused. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { unchangedBaseline } from "../../lib/recipes/text_game/evaluation.ts";
import { exampleOf } from "../../lib/worlds/text_game/world.ts";
import { isChanged } from "../../lib/worlds/text_game/difference.ts";
import { readTransitions, writeTransitions } from "../../lib/worlds/text_game/jsonl.ts";
import { parquetRow, writeParquet } from "../../lib/worlds/text_game/parquet.ts";
import { scoreResponse } from "../../lib/worlds/text_game/reward.ts";
import { scoredCurrent, scoredNext } from "../../lib/worlds/text_game/state.ts";
import { HubServer } from "../support/hub_server.ts";
import { withFolder } from "../support/files.ts";
import { runTask } from "../support/tiny_run.ts";
import { evaluate, inTurns, train } from "./text_game_support.ts";
import { someTransitions, tinyLanguageModel, tinyTextFlags } from "../support/tiny_text_run.ts";

type Line = Record<string, unknown>;

const lines = async (path: string): Promise<Line[]> =>
  (await Deno.readTextFile(path)).trimEnd().split("\n").map((line) => JSON.parse(line));

async function works(task: string, args: string[], env?: Record<string, string>): Promise<string> {
  const { code, stdout, stderr } = await runTask(task, args, { env });
  assert.equal(code, 0, stderr);
  return stdout;
}

Deno.test("train-text-game, its resumption, and evaluate-text-game --run", async () => {
  await withFolder(async (folder) => {
    const run = join(folder, "run"), data = join(folder, "data");
    await Deno.mkdir(data);
    await writeTransitions(join(data, "train.jsonl.gz"), someTransitions(12));
    const held = someTransitions(4, 9);
    await writeTransitions(join(data, "test.jsonl"), held);
    const flags = ["--engine", "wasm", "--preset", "demo", "--data", data, ...tinyTextFlags({ grpo: { steps: 1 } })];
    await works("train_text_game", [...flags, "--out", run, "--stage", "likelihood"]);
    const stdout = await works("train_text_game", ["--engine", "wasm", "--resume", "--out", run]);
    assert.match(stdout, /^likelihood .*, grpo-binary .*, grpo-taskSpecific .*, evaluate /);
    assert.match(
      stdout,
      /\nHeld-out accuracy, likelihood → GRPO on the binary reward: .*; 4 transitions\. Against the strongest cheap baseline \(/,
    );
    assert.match(stdout, /\nreport: .*report\.html\n$/);

    const out = join(folder, "answers.jsonl");
    const table = await works("evaluate_text_game", ["--engine", "wasm", "--run", run, "--out", out]);
    const result = JSON.parse(await Deno.readTextFile(join(run, "result.json")));
    const answers = await lines(out);
    assert.deepEqual(answers.map(({ row, model }) => `${model} ${row}`), [
      ...["likelihood", "rlvr-binary", "rlvr-taskSpecific"].flatMap((name) =>
        [0, 1, 2, 3].map((row) => `${name} ${row}`)
      ),
    ]);
    const mean = (model: string, key: string) => {
      const own = answers.filter((each) => each.model === model);
      return own.reduce((sum, each) => sum + (each[key] as number), 0) / own.length;
    };
    for (const [model, of] of [["likelihood", "base"], ["rlvr-binary", "rlvr"]]) {
      assert.equal(mean(model, "binary"), result.metrics.all[of].mean, "as the run itself says");
      assert.equal(mean(model, "taskSpecific"), result.metrics.taskSpecific[of].mean);
    }
    assert.match(table, /^ +n +likelihood +rlvr-binary +rlvr-taskSpecific +always unchanged\n/);
    assert.match(table, /\n4 transitions, strict scoring; mean \[95 % interval\]\n/);

    // Answers of a model are answers: scored as a file they earn the same.
    const single = join(folder, "single.jsonl"), scores = join(folder, "scores.jsonl");
    const some = ["--engine", "wasm", "--run", run, "--which", "likelihood", "--limit", "2", "--scoring", "released"];
    await works("evaluate_text_game", [...some, "--out", single]);
    const own = await lines(single);
    assert.deepEqual(own.map(({ row, model }) => [row, model]), [[0, undefined], [2, undefined]]);
    await works("evaluate_text_game", ["--answers", single, "--data", data, "--out", scores]);
    assert.deepEqual(
      await lines(scores),
      own.map(({ row, binary, taskSpecific }) => ({ row, binary, taskSpecific })),
    );
    await inTurns([
      () => evaluate(["--run", data], "holds no run"),
      () => evaluate(["--run", run, "--which", "best"], "--which must be one of likelihood, rlvr-binary", '"best"'),
      () => evaluate(["--run", run, "--preset", "demo"], "--preset has no meaning with --run: leave it out"),
      () => evaluate(["--run", run, "--limit", "0"], "--limit must be an integer of at least 1"),
      () => train(["--out", run, ...flags], "already holds a run", "--resume"),
      () =>
        train(
          ["--resume", "--out", run, "--set", "data.targets=released"],
          "started with another configuration: data.targets",
        ),
      () => train(["--resume", "--out", run, "--preset", "bytesized32-small"], "was started with --preset demo"),
      () => train(["--resume", "--out", join(folder, "none")], "holds no run"),
    ]);
  });
});

Deno.test("evaluate-text-game --answers: scores of any model's answers, in order, released or strict, without an engine", async () => {
  await withFolder(async (folder) => {
    const data = join(folder, "data.jsonl.gz"),
      answers = join(folder, "answers.jsonl"),
      out = join(folder, "out.jsonl");
    const transitions = someTransitions(10);
    await writeTransitions(data, transitions);
    const examples = transitions.map((each) => exampleOf(each, { strictness: "released" }));
    const given = [7, 0, 3, 3, 9].map((row, i) => ({ row, response: i === 3 ? "I cannot say" : examples[row].target }));
    await Deno.writeTextFile(answers, given.map((each) => JSON.stringify(each)).join("\n") + "\n");
    const flags = ["--answers", answers, "--data", data, "--out", out];
    // No engine could be opened here.
    const env = { LIBTORCH: "/nonexistent", PATH: "" };
    for (const scoring of ["released", "strict"] as const) {
      const stdout = await works(
        "evaluate_text_game",
        scoring === "strict" ? [...flags, "--scoring", "strict"] : flags,
        env,
      );
      const expected = given.map(({ row, response }) => {
        const [current, next] = [scoredCurrent(transitions[row]), scoredNext(transitions[row])];
        return { row, ...scoreResponse(response, current, next, scoring) };
      });
      assert.deepEqual(await lines(out), expected);
      assert.match(stdout, new RegExp(`\\n5 answers, ${scoring} scoring; mean \\[95 % interval\\]\\n`));
      assert.match(stdout, /^ +n +% right +mean task-specific reward\n/);
      const changed = given.filter(({ row }) =>
        isChanged(scoredCurrent(transitions[row]), scoredNext(transitions[row]))
      ).length;
      assert.match(stdout, new RegExp(`^changed +${changed} +`, "m"));
      assert.match(stdout, new RegExp(`^unchanged +${5 - changed} +`, "m"));
      const right = 100 * expected.filter((each) => each.binary === 1).length / 5;
      assert.match(stdout, new RegExp(`^all +5 +${right.toFixed(1)} \\[`, "m"));
    }
    // The hub's form has the same rows.
    const parquet = join(folder, "data.parquet");
    await writeParquet(parquet, transitions.map((each, index) => parquetRow(each, "?", { split: "test", index })));
    const before = await lines(out);
    await works("evaluate_text_game", ["--answers", answers, "--data", parquet, "--out", out, "--scoring", "strict"]);
    assert.deepEqual(await lines(out), before);
    // Rows of a data set in numbered files are counted through all of them.
    const shards = join(folder, "elsewhere/shards");
    await Deno.mkdir(shards, { recursive: true });
    for (const i of [0, 1]) {
      await writeTransitions(join(shards, `test-0000${i}-of-00002.jsonl`), transitions.slice(6 * i, 6 * i + 6));
    }
    await works("evaluate_text_game", ["--answers", answers, "--data", shards, "--out", out, "--scoring", "strict"]);
    assert.deepEqual(await lines(out), before);

    const bad = join(folder, "bad.jsonl");
    await Deno.writeTextFile(bad, '{"row": 0, "response": "x"}\n{"row": 10, "response": "x"}\n');
    const scored = ["--data", data, "--out", join(folder, "never.jsonl")];
    await inTurns([
      () => evaluate([], "name one of --answers FILE, --run FOLDER and --model FOLDER"),
      () => evaluate(["--answers", answers, "--run", folder], "name one of"),
      () => evaluate(["--answers", answers, "--out", out], "--answers needs the transitions to judge by: --data FILE"),
      () => evaluate(["--answers", answers, "--data", data], "--answers needs a file for the scores: --out FILE"),
      () => evaluate(["--answers", answers, ...scored, "--engine", "wasm"], "--engine has no meaning with --answers"),
      () => evaluate(["--answers", answers, ...scored, "--strict-data"], "--strict-data has no meaning with --answers"),
      () =>
        evaluate(["--answers", answers, ...scored, "--scoring", "fair"], "--scoring must be one of released, strict"),
      () => evaluate(["--answers", bad, ...scored], "bad.jsonl, line 2: there is no row 10", "which has 10 rows"),
      () => evaluate(["--answers", join(folder, "no.jsonl"), ...scored], "no.jsonl: there is no such file"),
      () => evaluate(["--answers", answers, "--data", data, "--out", join(folder, "no/x")], "there is no folder"),
      () => evaluate(["--answers", answers, "--data", data, "--out", folder], "is a folder: name a file, such as"),
      () => evaluate(["--answers", answers, "--data", folder, "--out", out], "has no test file"),
      () => evaluate(["--model", folder, "--awnsers", "x"], "unknown flag --awnsers", "did you mean --answers?"),
    ]);
    assert.equal(await Deno.stat(join(folder, "never.jsonl")).catch(() => undefined), undefined);
  });
});

Deno.test("evaluate-text-game --model: a folder, and the same by hub name", async () => {
  await withFolder(async (folder) => {
    const model = await tinyLanguageModel(folder), data = join(folder, "test.jsonl"), out = join(folder, "out.jsonl");
    await writeTransitions(data, someTransitions(3));
    const common = [
      "--engine",
      "wasm",
      "--out",
      out,
      "--set",
      "data.maxAnswerTokens=8",
      "--set",
      "data.prompt=compact",
    ];
    const flags = ["--data", data, ...common];
    const stdout = await works("evaluate_text_game", ["--model", model, ...flags]);
    const answers = await lines(out);
    assert.deepEqual(answers.map((each) => each.row), [0, 1, 2]);
    assert.match(stdout, /\n3 transitions, released scoring; /);
    // What never changing would earn stands beside it.
    const read = await Array.fromAsync(readTransitions(data));
    const baseline = unchangedBaseline(
      read.map((each) => exampleOf(each.transition, { strictness: "strict" })),
      "released",
    );
    const right = 100 * baseline.binary.reduce((sum, each) => sum + each, 0) / 3;
    assert.match(stdout, new RegExp(`^all, % right +3 .* ${right.toFixed(1)} \\[[\\d., ]+\\]$`, "m"));

    const names = [
      "config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
      "chat_template.jinja",
    ];
    const files = new Map(
      await Promise.all(names.map(async (name) => [name, await Deno.readFile(join(model, name))] as const)),
    );
    await using hub = new HubServer({
      name: "models/org/tiny",
      commit: "0123456789abcdef0123456789abcdef01234567",
      files,
    });
    const env = { HF_HOME: join(folder, "home"), HF_ENDPOINT: hub.endpoint };
    const named = await works("evaluate_text_game", ["--model", "hub:org/tiny", ...flags], env);
    assert.deepEqual(await lines(out), answers);
    assert.match(named, / hub:org\/tiny +always unchanged\n/);

    // A bad row is left out of the evaluation, or ends it.
    const bad = join(folder, "bad.jsonl");
    await Deno.writeTextFile(bad, (await Deno.readTextFile(data)) + "{}\n");
    await works("evaluate_text_game", ["--model", model, "--data", bad, ...common]);
    assert.deepEqual(await lines(out), answers);

    const adapter = join(folder, "adapter");
    await Deno.mkdir(adapter);
    await Deno.writeTextFile(join(adapter, "adapter_config.json"), '{"base_model_name_or_path": "org/base"}');
    await Deno.writeTextFile(join(folder, "config.json"), "{}");
    await inTurns([
      () => evaluate(["--model", model], "--model needs the transitions to judge by: --data FILE"),
      () => evaluate(["--model", model, "--data", bad, ...common, "--strict-data"], "bad.jsonl, line 4: "),
      () =>
        evaluate(
          ["--model", adapter, ...flags],
          `${adapter} is an adapter (PEFT)`,
          'base model "org/base" is no folder',
        ),
      () => evaluate(["--model", join(folder, "none"), ...flags], join(folder, "none")),
      () => evaluate(["--model", folder, ...flags], `${folder} has no tokenizer.json`),
      () => evaluate(["--model", "hub:a b", ...flags], '"hub:a b" is not a name on the hub: write hub:org/name'),
      () =>
        evaluate(
          ["--model", model, ...flags, "--set", "data.maxQuestionTokens=9"],
          "3 of 3 prompts exceed",
          "raise it",
        ),
    ]);
  });
});
