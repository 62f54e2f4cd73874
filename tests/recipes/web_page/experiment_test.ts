/** Whole web-page runs in this process: stopped and resumed, from a given model and files; models that are asked; data. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  cutObservation,
  cutObservations,
  findWebPageFiles,
  findWebPageTestFile,
  openWebPageData,
} from "../../../lib/recipes/web_page/data.ts";
import { unchangedPageBaseline } from "../../../lib/recipes/web_page/evaluation.ts";
import { markedAnswer } from "../../../lib/recipes/web_page/marks.ts";
import { openWebPageModel, predictedItems } from "../../../lib/recipes/web_page/web_page_model.ts";
import { tellingPages, webPageHeadline } from "../../../lib/recipes/web_page/report.ts";
import { trainBpe } from "../../../lib/models/bpe_trainer.ts";
import type { Engine } from "../../../lib/tensor/engine.ts";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { RunInterruptedError } from "../../../lib/runs/stage.ts";
import { builtInWalks } from "../../../lib/gyms/shop/walks.ts";
import { scoreChanges } from "../../../lib/worlds/web_page/f1_reward.ts";
import { writeWebPageParquet } from "../../../lib/worlds/web_page/parquet.ts";
import { rejectsUserError, withFolder } from "../../support/files.ts";
import { onOneEngine } from "../../support/engines.ts";
import { runNumbers, stoppingProgress } from "../../support/tiny_run.ts";
import { tinyLanguageModel } from "../../support/tiny_text_run.ts";
import { tinyWebConfig, tinyWebRun, WEB_MODELS } from "../../support/tiny_web_run.ts";

async function stopped(engine: Engine, folder: string, at: { stage: string; step: number }, resume: boolean) {
  const { progress, signal } = stoppingProgress(at);
  await assert.rejects(tinyWebRun(engine, folder, { progress, signal, resume }), RunInterruptedError);
}

async function someTransitions(sites: number[], steps = 4) {
  return (await builtInWalks({ sites, walks: 2, steps, stream: [1] })).map((each) => each.transition);
}

onOneEngine("a web-page run stopped in every stage ends as one that was not; its models answer", async (engine) => {
  await withFolder(async (folder) => {
    const whole = join(folder, "whole"), parts = join(folder, "parts");
    await tinyWebRun(engine, join(folder, "first"), { stages: ["likelihood"] });
    // From here on the engine has its tables of rotations, which stay.
    const { tensors } = engine.memory();
    const { result, report, seconds } = await tinyWebRun(engine, whole);
    assert.equal(engine.memory().tensors, tensors, "a run gives back all its tensors");
    assert.deepEqual(Object.keys(seconds), ["likelihood", "grpo", "evaluate"]);
    const metrics = ["f1", "precision", "recall"];
    assert.deepEqual(Object.keys(result!.metrics), [...metrics, ...metrics.map((name) => `${name}Sampled`)]);
    for (const { base, rlvr, better } of Object.values(result!.metrics)) {
      assert.deepEqual([base.n, rlvr.n, better], [8, 8, "higher"]);
    }
    assert.match(
      webPageHeadline(result!),
      /^Held-out F1 of item changes, likelihood → GRPO: .*; of sampled .*; 8 trans/,
    );
    const html = await Deno.readTextFile(report!);
    assert.ok(html.includes("Always “nothing changes”") && html.includes("○ "), "baseline and missed items are shown");

    await stopped(engine, parts, { stage: "likelihood", step: 3 }, false);
    await stopped(engine, parts, { stage: "grpo", step: 1 }, true);
    await stopped(engine, parts, { stage: "evaluate rlvr", step: 1 }, true);
    const { progress, notes, stages } = stoppingProgress();
    await tinyWebRun(engine, parts, { resume: true, progress });
    assert.equal(engine.memory().tensors, tensors, "stopped ones as well");
    assert.deepEqual(await runNumbers(parts, WEB_MODELS), await runNumbers(whole, WEB_MODELS));
    assert.deepEqual(stages, WEB_MODELS.map((name) => `evaluate ${name}`), "finished stages are not run again");
    assert.equal(notes[0], "transitions: 16 to train with, 8 to judge by");

    const questions = await someTransitions([5]);
    using model = await openWebPageModel(engine, { run: whole, which: "rlvr" });
    const ask = (samples: number) => model.predict(questions, { samples, stream: [0, 7, 1] });
    const answers = await ask(2);
    assert.deepEqual([answers.length, answers[0].length], [questions.length, 2]);
    assert.deepEqual(await ask(2), answers, "the same numbers, the same answers");
    // A sample's random numbers are its own, whatever is drawn beside it; another batch rounds otherwise, which may flip a token.
    const alone = await ask(1), same = alone.filter(([first], i) => first === answers[i][0]).length;
    assert.ok(same >= alone.length / 2, `${same} of ${alone.length} first samples are the same`);
    assert.ok(!answers.flat().some((each) => each.includes("<|endoftext|>")));
    assert.deepEqual(await model.predict([], { stream: [0, 7, 1] }), []);
  });
  await withFolder(async (folder) => {
    await tinyWebRun(engine, folder + "/run", { stages: ["likelihood"] });
    await rejectsUserError(
      () => openWebPageModel(engine, { run: folder + "/run", which: "rlvr" }),
      "has no model rlvr: run that stage first",
    );
  });
});

Deno.test("recordings and a given model: its own template, trees cut to its limit, tasks held out whole", async () => {
  const { engine } = await openEngine({ engine: "wasm" });
  await withFolder(async (folder) => {
    const base = await tinyLanguageModel(folder), data = join(folder, "data");
    await Deno.mkdir(data);
    await writeWebPageParquet(join(data, "train.parquet"), await someTransitions([1, 2, 3], 2));
    const change = {
      data: {
        train: join(data, "train.parquet"),
        prompt: "compact",
        testEvery: 3,
        maxQuestionTokens: 1000,
        maxAnswerTokens: 700,
        maxObservationTokens: 300,
      },
      model: { folder: base },
      likelihood: { steps: 0 },
      grpo: { steps: 1, promptsPerStep: 1, miniBatchPrompts: 1, rolloutRows: 2 },
      evaluation: { maxItems: 1, sampledAnswers: 0 },
    };
    const { progress, notes } = stoppingProgress();
    const { result } = await tinyWebRun(engine, join(folder, "run"), { change, progress });
    assert.deepEqual(Object.keys(result!.metrics), ["f1", "precision", "recall"]);
    assert.ok(notes.includes("no test file: every 3th task is held out (2 of 6)"), notes.join("\n"));
    assert.ok(
      notes.some((each) => /^training data: \d+ of 8 trees exceed data.maxObservationTokens 300: cut$/.test(each)),
    );
    assert.ok(notes.includes("likelihood: no steps asked for, GRPO begins with the given model"));
    using model = await openWebPageModel(engine, { run: join(folder, "run"), which: "likelihood" });
    const [question] = await someTransitions([1]);
    assert.equal((await model.predict([question], { greedy: true, stream: [0, 0, 0] })).length, 1);
    assert.equal(model.cutTrees, 1);
  });
});

Deno.test("built-in data: shops of training and judging are different ones; the fingerprint knows the data", async () => {
  const config = tinyWebConfig(), data = await openWebPageData(config);
  const shops = (examples: readonly { group: string }[]) => new Set(examples.map((each) => each.group));
  assert.deepEqual(shops(data.test), new Set(["shop 0", "shop 1"]));
  assert.ok(shops(data.train).isDisjointFrom(shops(data.test)));
  assert.equal((await openWebPageData(config)).fingerprint, data.fingerprint);
  const other = await openWebPageData({ ...config, seed: 1 });
  assert.notEqual(other.fingerprint, data.fingerprint);
  assert.ok(shops(other.train).isDisjointFrom(shops(data.train)), "another seed trains in other shops");
  await rejectsUserError(
    () => openWebPageData(tinyWebConfig({ data: { test: "x.parquet" } })),
    "there is no data.train",
  );
});

Deno.test("files of web-page data: folders, rows that lack something", async () => {
  await withFolder(async (folder) => {
    await rejectsUserError(() => findWebPageFiles(folder), "has no training file (train.parquet): found nothing");
    const train = join(folder, "train.parquet");
    await writeWebPageParquet(train, await someTransitions([1]));
    assert.deepEqual(await findWebPageFiles(folder), { train });
    await rejectsUserError(() => findWebPageTestFile(folder), "has no test file (test.parquet): found train.parquet");
    await Deno.copyFile(train, join(folder, "test.parquet"));
    assert.deepEqual(await findWebPageFiles(folder), { train, test: join(folder, "test.parquet") });
    assert.equal(await findWebPageTestFile(train), train);
    const { train: rows, test } = await openWebPageData(
      tinyWebConfig({ data: { train, test: train, prompt: "given", target: "answer" } }),
    );
    assert.equal(rows.length, test.length);
    assert.equal(rows[0].target, rows[0].truth, "recordings have no reasoning");
    assert.equal(typeof rows[0].question, "object");
  });
});

Deno.test("trees are cut at their end, and only trees that prompts are built from", async () => {
  const { train } = await openWebPageData(tinyWebConfig());
  const tokenizer = trainBpe(train.map((each) => each.truth), { vocabularySize: 300 });
  const tree = train[0].asked!.observation, cut = cutObservation(tree, tokenizer, 40);
  assert.ok(tree.startsWith(cut) && cut.length < tree.length);
  assert.equal(tokenizer.encode(cut).length, 40);
  const config = tinyWebConfig({ data: { maxObservationTokens: 40 } }), notes: string[] = [];
  const given = { ...train[1], question: [{ role: "user", content: "as it came" }] };
  const examples = await cutObservations([train[0], given], tokenizer, config, "data", (text) => notes.push(text));
  assert.ok((examples[0].question as string).length < (train[0].question as string).length);
  assert.equal(examples[0].truth, train[0].truth);
  assert.equal(examples[1], given);
  assert.deepEqual(notes, ["data: 1 of 2 trees exceed data.maxObservationTokens 40: cut"]);
});

Deno.test("what stands beside the numbers: baseline, marks, the answers that tell most", () => {
  const truth = "New items:\n[1] a\n[2] b\n\nDeleted items:\nNone\n\nUpdated items:\nNone";
  const answer = "New items:\n[2] b\n[3] c\n\nDeleted items:\nNone\n\nUpdated items:\n[4] d";
  assert.equal(
    markedAnswer(answer, truth),
    "New items:\n✓ [2] b\n✗ [3] c\n○ [1] a\n\nDeleted items:\n✓ None\n\nUpdated items:\n✗ [4] d\n○ None",
  );
  assert.deepEqual(predictedItems(answer), { new: ["[2] b", "[3] c"], deleted: [], updated: ["[4] d"] });
  const example = { name: "", group: "", question: "", target: truth, truth, asked: undefined };
  const none = "New items:\nNone\n\nDeleted items:\nNone\n\nUpdated items:\nNone";
  assert.equal(unchangedPageBaseline([example]).greedy.f1[0], scoreChanges(none, truth).f1);
  const scores = (...f1: number[]) => {
    const part = Float64Array.from(f1);
    return { f1: part, precision: part, recall: part };
  };
  assert.deepEqual(tellingPages(scores(0.5, 0.5, 0.5, 0.5), scores(0.5, 0.6, 0.9, 0.1), 4), [2, 3, 1, 0]);
});
