/** Whole text-game runs in this process: stopped and resumed, from given models; what is refused; evaluation. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { evaluateTextGame, unchangedBaseline } from "../../../lib/recipes/text_game/evaluation.ts";
import { TextGameExperiment } from "../../../lib/recipes/text_game/experiment.ts";
import { readTextGameTokens } from "../../../lib/recipes/text_game/tokens.ts";
import { textGameHeadline } from "../../../lib/recipes/text_game/report.ts";
import { answerLines, textGameScoreTable } from "../../../lib/recipes/text_game/scores.ts";
import type { Engine } from "../../../lib/tensor/engine.ts";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { silentProgress } from "../../../lib/runs/progress.ts";
import { RunFolder } from "../../../lib/runs/run_folder.ts";
import { RunInterruptedError } from "../../../lib/runs/stage.ts";
import { rejectsUserError, withFolder } from "../../support/files.ts";
import { forEachEngine } from "../../support/engines.ts";
import { runNumbers, stoppingProgress } from "../../support/tiny_run.ts";
import { TEXT_MODELS, tinyLanguageModel, tinyTextConfig, tinyTextRun } from "../../support/tiny_text_run.ts";

async function stopped(engine: Engine, folder: string, at: { stage: string; step: number }, resume: boolean) {
  const { progress, signal } = stoppingProgress(at);
  await assert.rejects(tinyTextRun(engine, folder, { progress, signal, resume }), RunInterruptedError);
}

forEachEngine("a text-game run stopped in every stage ends as one that was not", async (engine) => {
  await withFolder(async (folder) => {
    const whole = join(folder, "whole"), parts = join(folder, "parts");
    await tinyTextRun(engine, join(folder, "first"), { stages: ["likelihood"] });
    // From here on the engine has its tables of rotations, which stay.
    const { tensors } = engine.memory();
    const { result, report, seconds } = await tinyTextRun(engine, whole);
    assert.equal(engine.memory().tensors, tensors, "a run gives back all its tensors");
    assert.deepEqual(Object.keys(seconds), ["likelihood", "grpo-binary", "grpo-taskSpecific", "evaluate"]);
    assert.deepEqual(result!.rewards, ["binary", "taskSpecific"]);
    assert.deepEqual(result!.metrics.all.base.n, 6);
    assert.equal(result!.metrics.changed.base.n + result!.metrics.unchanged.base.n, 6);
    // Always "nothing changes" is right exactly where nothing does.
    assert.equal(result!.metrics.changed.unchangedBaseline.mean, 0);
    assert.equal(result!.metrics.unchanged.unchangedBaseline.mean, 1);
    assert.equal(result!.metrics.allSampled.base.n, 6);
    assert.match(textGameHeadline(result!), /; of sampled answers .* \(changed/);
    assert.match(
      textGameHeadline(result!),
      /^Held-out accuracy, likelihood → GRPO on the binary reward: .*; 6 transitions/,
    );
    assert.ok((await Deno.readTextFile(report!)).includes("Always “nothing changes”"));

    await stopped(engine, parts, { stage: "likelihood", step: 3 }, false);
    await stopped(engine, parts, { stage: "grpo-binary", step: 1 }, true);
    await stopped(engine, parts, { stage: "grpo-taskSpecific", step: 1 }, true);
    await stopped(engine, parts, { stage: "evaluate rlvr-binary", step: 1 }, true);
    const { progress, notes, stages } = stoppingProgress();
    await tinyTextRun(engine, parts, { resume: true, progress });
    assert.equal(engine.memory().tensors, tensors, "stopped ones as well");
    assert.deepEqual(await runNumbers(parts, TEXT_MODELS), await runNumbers(whole, TEXT_MODELS));
    assert.deepEqual(stages, TEXT_MODELS.map((name) => `evaluate ${name}`), "finished stages are not run again");
    assert.match(notes[0], /^transitions: 32 to train with \(\d+ change something\), 6 to judge by/);
    assert.equal(
      notes[1],
      "training data: 20 of 32 answers exceed data.maxAnswerTokens 48 (longest: 110 tokens): skipped",
    );
  });
});

Deno.test("a given model that is good enough already: no likelihood stage, its own tokenizer, its own template", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const base = await tinyLanguageModel(folder), run = join(folder, "run");
    const change = {
      data: { maxQuestionTokens: 2000, maxAnswerTokens: 200, games: ["boil-tea"], heldOutPerGame: 2 },
      model: { folder: base },
      likelihood: { steps: 0 },
      grpo: { rewards: ["binary"], steps: 1, promptsPerStep: 1, miniBatchPrompts: 1, rolloutRows: 2 },
      evaluation: { maxItems: 1 },
    };
    const { progress, notes } = stoppingProgress();
    const { result } = await tinyTextRun(engine, run, { change, progress });
    assert.ok(notes.includes("likelihood: no steps asked for, GRPO begins with the given model"), notes.join("\n"));
    assert.deepEqual(Object.keys(result!.seconds), ["grpo-binary", "evaluate"]);
    assert.equal(result!.metrics.all.base.n, 1);
    for (const name of ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]) {
      const [ours, theirs] = [join(run, "models/rlvr-binary", name), join(base, name)];
      assert.equal(await Deno.readTextFile(ours), await Deno.readTextFile(theirs), name);
    }
    const experiment = await TextGameExperiment.open({
      engine,
      config: tinyTextConfig(change),
      run: () => RunFolder.read(run),
      progress: silentProgress,
    });
    const text = experiment.tokenizer.decode(experiment.world.encodeOne(experiment.test[0]).question, {
      keepSpecial: true,
    });
    assert.match(text, /^<\|im_start\|>system\n.*<\|im_start\|>user\n.*<\|im_start\|>assistant\n$/s);
  });
});

Deno.test("a model whose tokenizer has more ids than its embedding rows, or no end of text, is refused", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const base = await tinyLanguageModel(folder, { vocab_size: 300 });
    const run = join(folder, "run"), change = { model: { folder: base } };
    await rejectsUserError(
      () => tinyTextRun(engine, run, { change }),
      "qwen2: the tokenizer has ids up to 383, the model's embedding only 300 rows: they belong to different models",
    );
    await Deno.writeTextFile(join(base, "tokenizer_config.json"), "{}");
    await Deno.writeTextFile(
      join(base, "config.json"),
      (await Deno.readTextFile(join(base, "config.json"))).replace('"vocab_size":300', '"vocab_size":384'),
    );
    await rejectsUserError(() => tinyTextRun(engine, run, { change }), "the tokenizer has no eos_token");
    await rejectsUserError(
      () => tinyTextRun(engine, run, { change: { model: { folder: join(folder, "none") } } }),
      join(folder, "none"),
    );
    await rejectsUserError(() => tinyTextRun(engine, run, { change: { model: { folder: "hub:a/b/c" } } }), "hub:a/b/c");
    assert.equal(await Deno.stat(run).catch(() => undefined), undefined, "nothing is written");
  });
});

Deno.test("evaluation: scores are the world's, tables and lines say them", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const run = join(folder, "run"), config = tinyTextConfig();
    await tinyTextRun(engine, run, { stages: ["likelihood"] });
    const experiment = await TextGameExperiment.open({
      engine,
      config,
      run: () => RunFolder.read(run),
      progress: silentProgress,
    });
    const model = await experiment.models.likelihood();
    const done: number[] = [];
    const own = await experiment.evaluate(model, { onProgress: (count) => void done.push(count) });
    const { sampledAnswers } = config.evaluation;
    assert.equal(done.at(-1), 12, "6 greedily, 6 by samples");
    assert.ok(own.sampledBinary!.every((share) => [0, 0.5, 1].includes(share)), String(own.sampledBinary));
    // The folder alone says as much as the run does.
    const { world } = await readTextGameTokens(join(run, "models/likelihood"), config);
    const { test: examples } = experiment;
    const again = await evaluateTextGame({
      model,
      world,
      examples,
      scoring: "strict",
      seed: 0,
      rows: 2,
      sampledAnswers,
    });
    assert.deepEqual(again, own);
    // Right and wrong answers, told apart.
    const perfect = {
      ...own,
      responses: examples.map((each, i) => i === 0 ? "?" : each.target),
    };
    const scores = perfect.responses.map((response, i) => world.score({ example: examples[i], response }, "strict"));
    perfect.binary = Float64Array.from(scores, (each) => each.binary);
    perfect.taskSpecific = Float64Array.from(scores, (each) => each.taskSpecific);
    assert.deepEqual([...perfect.binary], [0, 1, 1, 1, 1, 1]);
    const table = textGameScoreTable({ perfect }, { examples, scoring: "strict", seed: 0 });
    assert.match(table, /^all, % right +6 +83\.3 \[50\.0, 100\.0\] /m);
    assert.match(table, /\n6 transitions, strict scoring; mean \[95 % interval\]$/);
    const baseline = unchangedBaseline(examples, "released");
    assert.deepEqual([...baseline.binary], examples.map((each) => each.isChanged ? 0 : 1));
    const [line] = answerLines(perfect, [7, 8, 9, 10, 11, 12]);
    assert.deepEqual(JSON.parse(line), { row: 7, response: "?", binary: 0, taskSpecific: 0, ended: own.ended[0] });
    model.dispose();
  });
});
