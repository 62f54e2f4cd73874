/** Rows of data files that cannot be used, of every kind: skipped, counted and named, or the end of a run that is strict. */
import assert from "node:assert/strict";
import { basename, dirname, join } from "node:path";
import {
  findTestFile,
  findTextGameFiles,
  openTextGameData,
  readTextGameExamples,
} from "../../lib/recipes/text_game/data.ts";
import { findWebPageFiles, readWebPageExamples } from "../../lib/recipes/web_page/data.ts";
import { type ParquetRecord, readParquetRecords, writeParquetRecords } from "../../lib/io/parquet.ts";
import { builtInWalks } from "../../lib/gyms/shop/walks.ts";
import { writeTransitions } from "../../lib/worlds/text_game/jsonl.ts";
import { parquetRow, writeParquet } from "../../lib/worlds/text_game/parquet.ts";
import { writeWebPageParquet } from "../../lib/worlds/web_page/parquet.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";
import { someTransitions, tinyTextConfig } from "../support/tiny_text_run.ts";
import { tinyWebConfig } from "../support/tiny_web_run.ts";

const COUNT = 6;
/** What a row is changed by, and what is said of it then. */
type Kind = [name: string, change: (record: ParquetRecord) => ParquetRecord, says: string];

const inside = (column: string, field: string, value: unknown) => (record: ParquetRecord): ParquetRecord => ({
  ...record,
  [column]: { ...record[column] as ParquetRecord, [field]: value },
});

const COMMON: Kind[] = [
  ["null reward_model", (record) => ({ ...record, reward_model: null }), "reward_model.ground_truth must be a string"],
  ["null truth", inside("reward_model", "ground_truth", null), "reward_model.ground_truth must be a string"],
  ["null prompt", (record) => ({ ...record, prompt: null }), "prompt must be a list of messages: received nothing"],
  ["empty prompt", (record) => ({ ...record, prompt: [] }), "prompt must be a list of messages: received []"],
  [
    "prompt of nothing",
    (record) => ({ ...record, prompt: [null] }),
    "prompt must be a list of messages with role and content",
  ],
  [
    "null content",
    (record) => ({ ...record, prompt: [{ role: "user", content: null }] }),
    'with role and content: received {"content":null,"role":"user"}',
  ],
];

const TEXT: Kind[] = [
  ...COMMON,
  ["null extra_info", (record) => ({ ...record, extra_info: null }), "extra_info.data_state must be a string"],
  ["null state", inside("extra_info", "data_state", null), "extra_info.data_state must be a string: received nothing"],
  [
    "null action",
    inside("extra_info", "data_action", null),
    "extra_info.data_action must be a string: received nothing",
  ],
  ["no JSON", inside("extra_info", "data_state", "{"), "JSON"],
  ["another form", inside("reward_model", "ground_truth", "[]"), "the state must be an object: received []"],
  ["null as a state", inside("reward_model", "ground_truth", "null"), "the state must be an object: received null"],
  [
    "too deep",
    inside("reward_model", "ground_truth", "[".repeat(50_000) + "1.0" + "]".repeat(50_000)),
    "it nests too deeply",
  ],
];

async function withBadRow(folder: string, good: string, at: number, change: Kind[1]): Promise<string> {
  const records: ParquetRecord[] = [], path = join(folder, "train.parquet");
  const needed = ["prompt", "reward_model", "extra_info"], optional = ["task_id", "step_idx", "answer"];
  for await (const { record } of readParquetRecords(good, { needed, optional })) records.push(record);
  await writeParquetRecords(path, records.map((each, i) => i === at ? change(each) : each));
  return path;
}

Deno.test("rows of text games that cannot be used, of every kind", async () => {
  await withFolder(async (folder) => {
    const good = join(folder, "good.parquet");
    const rows = someTransitions(COUNT).map((each, index) => parquetRow(each, "?", { split: "train", index }));
    await writeParquet(good, rows);
    for (const [kind, change, says] of TEXT) {
      const path = await withBadRow(folder, good, 2, change), notes: string[] = [];
      const config = tinyTextConfig({ data: { train: path } });
      const read = await readTextGameExamples(path, config, notes);
      assert.deepEqual(read.rows, [0, 1, 3, 4, 5], kind);
      assert.equal(notes.length, 1, kind);
      assert.ok(notes[0].startsWith(`${path}: skipped 1 row; the first, row 2: `) && notes[0].includes(says), notes[0]);
      assert.ok(notes[0].endsWith(" (--strict-data stops there)"), notes[0]);
      const strict = tinyTextConfig({ data: { train: path, strict: true } });
      await rejectsUserError(() => readTextGameExamples(path, strict, []), `${path}, row 2: `, says);
    }
  });
});

Deno.test("rows of web pages that cannot be used, of every kind", async () => {
  await withFolder(async (folder) => {
    const good = join(folder, "good.parquet");
    const walks = await builtInWalks({ sites: [3], walks: 1, steps: COUNT, stream: [1] });
    await writeWebPageParquet(good, walks.map((each) => each.transition));
    const kinds: [...Kind, data?: Record<string, unknown>][] = [
      ...COMMON,
      ["null answer", (record) => ({ ...record, answer: null }), "no answer to imitate", { target: "answer" }],
      [
        "another prompt",
        (record) => ({ ...record, extra_info: null, prompt: [{ role: "user", content: "?" }] }),
        "its prompt has not the fields URL",
        { prompt: "compact" },
      ],
    ];
    for (const [kind, change, says, data = {}] of kinds) {
      const path = await withBadRow(folder, good, 2, change), notes: string[] = [];
      const read = await readWebPageExamples(path, tinyWebConfig({ data: { ...data, train: path } }), notes);
      assert.deepEqual(read.rows, [0, 1, 3, 4, 5], kind);
      assert.ok(notes[0].startsWith(`${path}: skipped 1 row; the first, row 2: `) && notes[0].includes(says), notes[0]);
      const strict = tinyWebConfig({ data: { ...data, train: path, strict: true } });
      await rejectsUserError(() => readWebPageExamples(path, strict, []), `${path}, row 2: `, says);
    }
    // Nothing left is an error that says why.
    const none = await withBadRow(folder, good, -1, (record) => record);
    const records = (await Array.fromAsync(readParquetRecords(none, { needed: ["prompt", "reward_model"] })))
      .map(({ record }) => ({ ...record, prompt: [] as unknown }));
    await writeParquetRecords(none, [
      { ...records[0], prompt: [{ role: "user", content: null }] },
      ...records.slice(1),
    ]);
    await rejectsUserError(
      () => readWebPageExamples(none, tinyWebConfig(), []),
      `${none}: no transition could be used; the first, row 0: prompt must be`,
    );
  });
});

Deno.test("rows to imitate that cannot be used are skipped and counted as well", async () => {
  await withFolder(async (folder) => {
    const good = join(folder, "good.parquet"), data = join(folder, "data.jsonl"), transitions = someTransitions(COUNT);
    await writeTransitions(data, transitions);
    await writeParquet(good, transitions.map((each, index) => parquetRow(each, "?", { split: "train", index })));
    const imitation = await withBadRow(folder, good, 4, (record) => ({ ...record, reward_model: null }));
    const opened = await openTextGameData(tinyTextConfig({ data: { train: data, test: data, imitation } }));
    assert.deepEqual(opened.imitation!.map(({ name }) => name), ["row 0", "row 1", "row 2", "row 3", "row 5"]);
    assert.ok(
      opened.notes.some((each) => each.startsWith(`${imitation}: skipped 1 row; the first, row 4: reward_model`)),
    );
    await rejectsUserError(
      () => openTextGameData(tinyTextConfig({ data: { train: data, test: data, imitation, strict: true } })),
      `${imitation}, row 4: `,
    );
  });
});

Deno.test("data sets in numbered files: a folder's are found whole; which of several is meant is asked, not guessed", async () => {
  await withFolder(async (folder) => {
    const transitions = someTransitions(COUNT);
    const shard = async (name: string, some: typeof transitions) =>
      await writeParquet(join(folder, name), some.map((each, index) => parquetRow(each, "?", { split: "x", index })));
    await shard("train-00000-of-00002.parquet", transitions.slice(0, 4));
    await shard("train-00001-of-00002.parquet", transitions.slice(4));
    await shard("test-00000-of-00001.parquet", transitions.slice(0, 2));
    const { train, test } = await findTextGameFiles(folder);
    assert.deepEqual([basename(train), basename(test!)], [
      "train-00000-of-00002.parquet",
      "test-00000-of-00001.parquet",
    ]);
    const data = await openTextGameData(tinyTextConfig({ data: { train, test } }));
    assert.deepEqual([data.train.length, data.test.length], [COUNT, 2]);
    assert.deepEqual(await findWebPageFiles(folder), { train, test });

    // A bad row is named by its own file.
    const bad = { ...parquetRow(transitions[5], "?", { split: "x", index: 5 }), groundTruth: "{" };
    const second = join(folder, "train-00001-of-00002.parquet");
    await writeParquet(second, [parquetRow(transitions[4], "?", { split: "x", index: 4 }), bad]);
    const notes: string[] = [];
    const { rows } = await readTextGameExamples(train, tinyTextConfig(), notes);
    assert.deepEqual(rows, [0, 1, 2, 3, 4]);
    assert.ok(
      notes[0].startsWith(`${train}: skipped 1 row; the first, row 1 of train-00001-of-00002.parquet: `),
      notes[0],
    );
    const strict = tinyTextConfig({ data: { strict: true } });
    await rejectsUserError(() => readTextGameExamples(train, strict, []), `${second}, row 1: `);

    await Deno.remove(join(folder, "train-00000-of-00002.parquet"));
    const found = await findTextGameFiles(folder);
    await rejectsUserError(
      () => readTextGameExamples(found.train, tinyTextConfig(), []),
      "is one of the 2 files of a data set",
      "lacks train-00000-of-00002.parquet",
    );

    await Deno.remove(join(folder, "test-00000-of-00001.parquet"));
    for (const name of ["test_8_games.jsonl", "test_16-00000-of-00002.jsonl", "test_16-00001-of-00002.jsonl"]) {
      await Deno.writeTextFile(join(folder, name), "");
    }
    await rejectsUserError(
      () => findTestFile(folder),
      "which of these is meant, test_16-00000-of-00002.jsonl, test_8_games.jsonl? Name it: ",
    );
    await rejectsUserError(() => findTextGameFiles(folder), "which of these is meant", "Name it: --test ");
    assert.equal((await findTextGameFiles(folder, "elsewhere.jsonl")).test, "elsewhere.jsonl");
    // A name that is looked for by itself needs no question.
    await Deno.writeTextFile(join(folder, "test.jsonl"), "");
    assert.equal(basename(await findTestFile(folder)), "test.jsonl");
  });
});

Deno.test("data sets in folders of splits, as the hub converts them: found whole, also below a configuration's folder", async () => {
  await withFolder(async (folder) => {
    const transitions = someTransitions(COUNT);
    const put = async (name: string, some: typeof transitions) => {
      await Deno.mkdir(dirname(join(folder, name)), { recursive: true });
      await writeParquet(join(folder, name), some.map((each, index) => parquetRow(each, "?", { split: "x", index })));
    };
    for (const below of ["plain", "configured/default"]) {
      await put(`${below}/train/0000.parquet`, transitions.slice(0, 4));
      await put(`${below}/train/0001.parquet`, transitions.slice(4));
      await put(`${below}/validation/0000.parquet`, transitions.slice(0, 2));
      const place = join(folder, below.split("/")[0]), own = join(folder, below);
      const expected = { train: join(own, "train/0000.parquet"), test: join(own, "validation/0000.parquet") };
      assert.deepEqual(await findTextGameFiles(place), expected);
      assert.deepEqual(await findWebPageFiles(place), expected);
      const data = await openTextGameData(tinyTextConfig({ data: expected }));
      assert.deepEqual([data.train.length, data.test.length], [COUNT, 2]);
      // What is held out for the end goes before what is looked at during training.
      await put(`${below}/test/0000.parquet`, transitions.slice(0, 3));
      assert.equal(await findTestFile(place), join(own, "test/0000.parquet"));
      assert.equal((await findWebPageFiles(place)).test, join(own, "test/0000.parquet"));
    }
    // Other files so far down are none of the data set's.
    await put("configured/default/train/train.parquet", transitions);
    assert.equal((await findTextGameFiles(join(folder, "configured"))).train.slice(-12), "0000.parquet");
    await put("configured/other/train/0000.parquet", transitions);
    await rejectsUserError(
      () => findTextGameFiles(join(folder, "configured")),
      "which of these is meant, default/train/0000.parquet, other/train/0000.parquet? Name it: --data ",
    );
  });
});
