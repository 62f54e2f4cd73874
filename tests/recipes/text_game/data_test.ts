/** Data of text-game runs: files found, rows skipped and counted, limits, what is held out; models and data by hub name. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { resolveWithProgress } from "../../../lib/recipes/hub_folder.ts";
import { fittingExamples, fittingQuestions, spread, trainingTexts } from "../../../lib/recipes/language/data.ts";
import {
  findTestFile,
  findTextGameFiles,
  openTextGameData,
  readTextGameExamples,
} from "../../../lib/recipes/text_game/data.ts";
import { textGameWorld } from "../../../lib/recipes/text_game/tokens.ts";
import { UserError } from "../../../lib/base/user_error.ts";
import { trainBpe } from "../../../lib/models/bpe_trainer.ts";
import { answerText } from "../../../lib/worlds/text_game/answer.ts";
import { stateDifference } from "../../../lib/worlds/text_game/difference.ts";
import { writeTransitions } from "../../../lib/worlds/text_game/jsonl.ts";
import { type ParquetRow, parquetRow, writeParquet } from "../../../lib/worlds/text_game/parquet.ts";
import { scoredCurrent, scoredNext } from "../../../lib/worlds/text_game/state.ts";
import type { LanguageExample } from "../../../lib/worlds/language_tokens.ts";
import { HubServer } from "../../support/hub_server.ts";
import { rejectsUserError, withFolder } from "../../support/files.ts";
import { stoppingProgress } from "../../support/tiny_run.ts";
import { someTransitions, tinyTextConfig } from "../../support/tiny_text_run.ts";

const transitions = someTransitions(8);
const rows = transitions.map((each, index) => parquetRow(each, `What follows ${each.action}?`, { split: "x", index }));
const target = (i: number, strictness: "released" | "strict" = "strict") =>
  answerText(stateDifference(scoredCurrent(transitions[i]), scoredNext(transitions[i]), strictness));

/** Puts a line between the lines of a file. */
async function insertLine(path: string, at: number, line: string): Promise<void> {
  const lines = (await Deno.readTextFile(path)).split("\n");
  await Deno.writeTextFile(path, lines.toSpliced(at, 0, line).join("\n"));
}

Deno.test("text-game data: a bad line of JSONL is skipped and counted, or ends the run; rows keep their numbers", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "train.jsonl"), notes: string[] = [];
    await writeTransitions(path, transitions);
    await insertLine(path, 3, '{"game": "boil-tea"}');
    await insertLine(path, 5, "");
    const config = tinyTextConfig({ data: { train: path } });
    const read = await readTextGameExamples(path, config, notes);
    assert.deepEqual(read.rows, [0, 1, 2, 4, 6, 7, 8, 9]);
    assert.deepEqual(read.examples.map((each) => each.target), transitions.map((_, i) => target(i)));
    assert.equal(notes.length, 1);
    assert.match(notes[0], /train\.jsonl: skipped 1 row; the first, line 4: .+ \(--strict-data stops there\)$/);
    const strict = tinyTextConfig({ data: { train: path, strict: true } });
    await rejectsUserError(() => readTextGameExamples(path, strict, []), "train.jsonl, line 4: ");
    await rejectsUserError(() => openTextGameData(strict), "train.jsonl, line 4: ");

    const packed = join(folder, "test.jsonl.gz");
    await writeTransitions(packed, transitions);
    const unpacked = await readTextGameExamples(packed, config, notes);
    assert.deepEqual(unpacked.examples, read.examples);
    assert.equal(notes.length, 1);

    await Deno.writeTextFile(path, "{}\n[]\n");
    await rejectsUserError(
      () => readTextGameExamples(path, config, []),
      /train\.jsonl: no transition could be used; the first, line 1: /,
    );
    await rejectsUserError(() => readTextGameExamples(join(folder, "none"), config, []), "there is no such file");
  });
});

Deno.test("text-game data: parquet has its own prompts; a bad row is skipped and counted, or ends the run", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "train.parquet"), notes: string[] = [];
    const bad: ParquetRow = { ...rows[2], dataState: "{not JSON" };
    await writeParquet(path, [rows[0], rows[1], bad, rows[3]]);
    const config = tinyTextConfig({ data: { train: path, targets: "released" } });
    const { examples, rows: numbers } = await readTextGameExamples(path, config, notes);
    assert.deepEqual(numbers, [0, 1, 3]);
    assert.deepEqual(examples[2].question, rows[3].prompt);
    assert.deepEqual(examples.map((each) => each.target), [0, 1, 3].map((i) => target(i, "released")));
    assert.match(notes[0], /train\.parquet: skipped 1 row; the first, row 2: /);
    const strict = tinyTextConfig({ data: { train: path, strict: true } });
    await rejectsUserError(() => readTextGameExamples(path, strict, []), "train.parquet, row 2: ");

    // Responses to imitate stand in place of states.
    const imitation = join(folder, "generated_cot.parquet");
    await writeParquet(imitation, [{ ...rows[0], groundTruth: "<think> … </think>", dataState: undefined }]);
    const data = await openTextGameData(tinyTextConfig({ data: { train: path, test: path, imitation } }));
    assert.deepEqual(data.imitation!.map(({ question, target }) => [question, target]), [
      [rows[0].prompt, "<think> … </think>"],
    ]);
    assert.deepEqual([...trainingTexts(data.train)].slice(0, 2), [rows[0].prompt[0].content, target(0)]);
  });
});

Deno.test("text-game data: without a test file every so many rows are held out; the fingerprint knows the data", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "all.jsonl");
    await writeTransitions(path, transitions);
    const change = { data: { train: path, testEvery: 4 } };
    const data = await openTextGameData(tinyTextConfig(change));
    assert.deepEqual(
      [...data.test, ...data.train].map((each) => each.target),
      [0, 4, 1, 2, 3, 5, 6, 7].map((i) => target(i)),
    );
    assert.match(data.notes[0], /^no test file: every 4th row is held out/);
    assert.match(data.notes[1], /^transitions: 6 to train with \(\d change something\), 2 to judge by \(\d\)$/);
    assert.equal((await openTextGameData(tinyTextConfig(change))).fingerprint, data.fingerprint);
    await writeTransitions(path, transitions.toReversed());
    assert.notEqual((await openTextGameData(tinyTextConfig(change))).fingerprint, data.fingerprint);
    await rejectsUserError(
      () => openTextGameData(tinyTextConfig({ data: { test: path } })),
      "data.test is",
      "but there is no data.train",
    );
    await rejectsUserError(
      () => openTextGameData(tinyTextConfig({ data: { games: ["chess"] } })),
      'built-in games: unknown text game "chess": there are bake-bread, ',
    );
  });
});

Deno.test("text-game data: what is too long to train with is left out; what is long to answer is judged all the same", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "train.jsonl"), notes: string[] = [];
    const note = (text: string) => void notes.push(text);
    await writeTransitions(path, transitions);
    const config = tinyTextConfig();
    const { examples } = await readTextGameExamples(path, config, []);
    const tokenizer = trainBpe(trainingTexts(examples), { vocabularySize: 400, pattern: "long" });
    const world = textGameWorld(tokenizer, tokenizer.vocabularySize, config);
    const lengths = examples.map((each) => {
      const { question, answer } = world.encodeOne(each);
      return { question: question.length, answer: answer.tokens.length };
    });
    const middle = (values: number[]) => values.toSorted((a, b) => a - b)[3];
    const [question, answer] = [
      middle(lengths.map((each) => each.question)),
      middle(lengths.map((each) => each.answer)),
    ];
    const limited = (maxQuestionTokens: number, maxAnswerTokens: number, strict = false) =>
      tinyTextConfig({ data: { maxQuestionTokens, maxAnswerTokens, strict } });
    const options = { maxPositions: Infinity, note };
    const fit = (c: ReturnType<typeof limited>, maxPositions = Infinity) =>
      fittingExamples(examples, world, c, "training data", { maxPositions, note });

    assert.deepEqual(await fit(limited(9999, 9999)), examples);
    assert.deepEqual(notes, []);
    assert.deepEqual(await fit(limited(question, 9999)), examples.filter((_, i) => lengths[i].question <= question));
    const over = lengths.filter((each) => each.question > question).length;
    assert.ok(over > 0 && over < 8);
    assert.match(
      notes[0],
      new RegExp(
        `^training data: ${over} of 8 prompts exceed data.maxQuestionTokens ${question} \\(longest: \\d+ tokens\\): skipped$`,
      ),
    );
    assert.deepEqual(await fit(limited(9999, answer)), examples.filter((_, i) => lengths[i].answer <= answer));
    assert.match(notes[1], /answers exceed data.maxAnswerTokens/);
    const whole = lengths.map((each) => each.question + each.answer - 1);
    assert.deepEqual(
      await fit(limited(9999, 9999), middle(whole)),
      examples.filter((_, i) => whole[i] <= middle(whole)),
    );
    assert.match(notes[2], /prompts with their answers exceed the model's max_position_embeddings/);
    await rejectsUserError(() => fit(limited(question, 9999, true)), "raise it, or leave --strict-data out");
    await rejectsUserError(() => fit(limited(1, 9999)), "training data: no example is within data.maxQuestionTokens");

    const all = { examples, rows: [...examples.keys()] };
    const judged = await fittingQuestions(all, world, limited(question, 1), options);
    assert.deepEqual(judged.rows, all.rows.filter((i) => lengths[i].question <= question));
    assert.match(notes.at(-1)!, /: skipped, and not among the scores$/);
    assert.deepEqual(
      await fittingQuestions(all, world, limited(9999, 1), { maxPositions: question + 1, note }),
      judged,
    );
    assert.match(notes.at(-1)!, /exceed the model's max_position_embeddings less 1/);
    await rejectsUserError(() => fittingQuestions(all, world, limited(1, 1), options), "8 of 8 prompts exceed");
  });
  assert.deepEqual(spread([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 4), [0, 2, 5, 7]);
  assert.deepEqual(spread([1, 2], 3), [1, 2]);
  assert.deepEqual(spread([1, 2], null), [1, 2]);
});

Deno.test("data of language models: a prompt that the chat template refuses is left out, or ends a strict run", async () => {
  const examples = [0, 1, 2, 3].map((i) => ({ question: String(i), target: "" }));
  const world = {
    encodeOne({ question }: LanguageExample) {
      if (question === "1") throw new UserError("m: the chat template failed: Roles must alternate");
      const tokens = Int32Array.of(Number(question));
      return { question: tokens, answer: { tokens, sampled: Uint8Array.of(1) }, trainedQuestionTokens: 0 };
    },
  };
  const config = tinyTextConfig(), strict = tinyTextConfig({ data: { strict: true } }), notes: string[] = [];
  const options = { maxPositions: 10, note: (text: string) => void notes.push(text) };
  assert.deepEqual(await fittingExamples(examples, world, config, "training data", options), examples.toSpliced(1, 1));
  const held = { examples, rows: [4, 5, 6, 7] };
  assert.deepEqual(await fittingQuestions(held, world, config, options), {
    examples: examples.toSpliced(1, 1),
    rows: [4, 6, 7],
  });
  const said = "1 of 4 prompts are refused, the first: m: the chat template failed: Roles must alternate: skipped";
  assert.deepEqual(notes, [`training data: ${said}`, said]);
  await rejectsUserError(() => fittingExamples(examples, world, strict, "x", options), "Roles must alternate");
  await rejectsUserError(() => fittingQuestions(held, world, strict, options), "Roles must alternate");
  const bad = [examples[1]];
  await rejectsUserError(() => fittingExamples(bad, world, config, "x", options), "Roles must alternate");
});

Deno.test("text-game data: the files of a folder", async () => {
  await withFolder(async (folder) => {
    const put = async (...names: string[]) => {
      const place = await Deno.makeTempDir({ dir: folder });
      for (const name of names) {
        await Deno.mkdir(join(place, name, ".."), { recursive: true });
        await Deno.writeTextFile(join(place, name), "");
      }
      return { place, at: (name: string) => join(place, name) };
    };
    const benchmark = await put("train.jsonl.gz", "test.jsonl.gz", "README.md");
    assert.deepEqual(await findTextGameFiles(benchmark.place), {
      train: benchmark.at("train.jsonl.gz"),
      test: benchmark.at("test.jsonl.gz"),
    });
    assert.equal(await findTestFile(benchmark.place), benchmark.at("test.jsonl.gz"));
    const hub = await put(
      "data/train_full_state.parquet",
      "data/train_state_difference.parquet",
      "data/test_state_difference.parquet",
      "generated_cot.parquet",
    );
    assert.deepEqual(await findTextGameFiles(hub.place), {
      train: hub.at("data/train_state_difference.parquet"),
      test: hub.at("data/test_state_difference.parquet"),
      imitation: hub.at("generated_cot.parquet"),
    });
    const named = await put("train_8_games.jsonl", "test_16_games.jsonl");
    assert.equal((await findTextGameFiles(named.place)).test, named.at("test_16_games.jsonl"));
    const alone = await put("train.jsonl");
    assert.deepEqual(await findTextGameFiles(alone.place), { train: alone.at("train.jsonl") });
    assert.deepEqual(await findTextGameFiles(alone.at("train.jsonl")), { train: alone.at("train.jsonl") });
    assert.equal(await findTestFile(alone.at("train.jsonl")), alone.at("train.jsonl"));
    await rejectsUserError(() => findTestFile(alone.place), "has no test file", "found train.jsonl");
    await rejectsUserError(() => findTextGameFiles(folder + "/none"), "none cannot be read");
    const none = await put("notes.txt");
    await rejectsUserError(() => findTextGameFiles(none.place), "has no training file", "found notes.txt");
  });
});

Deno.test("text-game data by hub name: fetched once, with a progress line", async () => {
  await withFolder(async (folder) => {
    await writeParquet(join(folder, "x.parquet"), rows);
    const bytes = await Deno.readFile(join(folder, "x.parquet"));
    await using hub = new HubServer({
      name: "datasets/org/games",
      commit: "0123456789abcdef0123456789abcdef01234567",
      files: new Map([["train_state_difference.parquet", bytes], ["test_state_difference.parquet", bytes]]),
    });
    const values: Record<string, string> = { HF_HOME: join(folder, "home"), HF_ENDPOINT: hub.endpoint };
    const options = { environment: (name: string) => values[name], delay: 1 };
    const { progress, stages } = stoppingProgress();
    const place = await resolveWithProgress("hub:datasets/org/games", progress, options);
    const { train, test } = await findTextGameFiles(place);
    assert.deepEqual(stages, ["fetch hub:datasets/org/games"]);
    const { downloads } = hub;
    const data = await openTextGameData(tinyTextConfig({ data: { train, test } }));
    assert.equal(data.train.length, 8);
    assert.equal(await resolveWithProgress("hub:datasets/org/games", progress, options), place);
    assert.equal(hub.downloads.length, downloads.length, "what is there is not fetched again");
    assert.equal(await resolveWithProgress("a/folder", progress, options), "a/folder");
    assert.equal(stages.length, 2);
    await rejectsUserError(() => resolveWithProgress("hub:datasets/org/none", progress, options), "org/none");
  });
  // In numbered files: with the hashes that older tools put into names, and as the hub's own conversion names them.
  const layouts = [
    {
      name: "hub:datasets/org/parts",
      train: (i: number) => `data/train-0000${i}-of-00002-${"ab"[i].repeat(16)}.parquet`,
      test: "data/test-00000-of-00001.parquet",
      lost: 1,
    },
    {
      name: "hub:datasets/org/parts@refs/convert/parquet",
      train: (i: number) => `default/train/000${i}.parquet`,
      test: "default/test/0000.parquet",
      lost: 0,
    },
  ];
  for (const { name, train, test, lost } of layouts) {
    await withFolder(async (folder) => {
      const files = new Map<string, Uint8Array<ArrayBuffer>>();
      for (const i of [0, 1]) {
        await writeParquet(join(folder, "x.parquet"), rows.slice(5 * i, 5 * i + 5));
        files.set(train(i), await Deno.readFile(join(folder, "x.parquet")));
      }
      files.set(test, await Deno.readFile(join(folder, "x.parquet")));
      const hub = new HubServer({
        name: "datasets/org/parts",
        commit: "0123456789abcdef0123456789abcdef01234567",
        files,
      });
      const values: Record<string, string> = { HF_HOME: join(folder, "home"), HF_ENDPOINT: hub.endpoint };
      const options = { environment: (name: string) => values[name], delay: 1 };
      const { progress } = stoppingProgress();
      const place = await resolveWithProgress(name, progress, options);
      await hub[Symbol.asyncDispose]();
      const data = await openTextGameData(tinyTextConfig({ data: { ...await findTextGameFiles(place) } }));
      assert.deepEqual([data.train.length, data.test.length], [8, 3]);
      // Read whole, also from the cache alone.
      values.HF_HUB_OFFLINE = "1";
      assert.equal(await resolveWithProgress(name, progress, options), place);
      await Deno.remove(join(place, train(lost)));
      await rejectsUserError(() => resolveWithProgress(name, progress, options), "is not complete in the cache");
    });
  }
});
