/** Files of web pages: parquet with the data set's columns, answers that are scored. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { builtInWalks } from "../../../lib/gyms/shop/walks.ts";
import { readParquetRecords, writeParquetRecords } from "../../../lib/io/parquet.ts";
import { readWebPageRows, webPageRecord, writeWebPageParquet } from "../../../lib/worlds/web_page/parquet.ts";
import { buildWebPrompt } from "../../../lib/worlds/web_page/prompt.ts";
import { scoreWebAnswersFile } from "../../../lib/worlds/web_page/score_answers.ts";
import { answerOf } from "../../../lib/worlds/web_page/transition.ts";
import { rejectsUserError, withFolder } from "../../support/files.ts";

const COLUMNS = [
  ...["task_id", "step_idx", "previous_actions", "next_state_acctree", "refined_tao", "raw_prediction"],
  ...["next_state_description_with_tao", "new_items", "updated_items", "deleted_items", "question", "answer"],
  ...["data_source", "prompt", "ability", "reward_model", "extra_info"],
];

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const each of items) all.push(each);
  return all;
}

async function transitions(count: number) {
  const walks = await builtInWalks({ sites: [3], walks: 2, steps: count, stream: [1] });
  return walks.slice(0, count).map((each) => each.transition);
}

Deno.test("parquet: recordings have the data set's columns and come back whole", async () => {
  await withFolder(async (folder) => {
    for (const count of [1, 7]) {
      const path = join(folder, `${count}.parquet`), recorded = await transitions(count);
      await writeWebPageParquet(path, recorded, "test");
      const [{ record }] = await collect(readParquetRecords(path, { needed: COLUMNS }));
      assert.deepEqual(Object.keys(record).sort(), [...COLUMNS].sort());
      assert.equal(record.data_source, "web_agent");
      const rows = await collect(readWebPageRows(path, { answers: true }));
      assert.equal(rows.length, count);
      rows.forEach((row, i) => {
        const each = recorded[i];
        assert.deepEqual([row.taskId, row.step, row.split], [each.taskId, each.step, "test"]);
        assert.equal(row.truth, answerOf(each));
        assert.equal(row.nextObservation, each.nextObservation);
        assert.deepEqual(row.prompt, [{ role: "user", content: buildWebPrompt(each, "instructions") }]);
        const { url, objective, previousActions, observation, action } = each;
        assert.deepEqual(row.question, { url, objective, previousActions, observation, action });
      });
    }
    assert.deepEqual([...await Array.fromAsync(Deno.readDir(folder))].map((each) => each.name).sort(), [
      "1.parquet",
      "7.parquet",
    ]);
    await assert.rejects(writeWebPageParquet(join(folder, "none.parquet"), []), /needs at least one row/);
  });
});

Deno.test("parquet: a file that Python wrote with the hub's columns; the prompt tells the question", async () => {
  const rows = await collect(readWebPageRows(join(import.meta.dirname!, "fixtures/hub.parquet"), { answers: true }));
  assert.deepEqual(rows.map((each) => [each.taskId, each.step]), [[4, 0], [4, 1], [9, 0]]);
  assert.match(rows[0].truth, /^New items:\n\[7\] StaticText 'Added'/);
  assert.match(rows[0].answer!, /^I think it is added/);
  assert.deepEqual(rows[1].question, {
    url: "http://shop.test/cart",
    objective: "Buy a kettle",
    previousActions: ["None", "click [2] where [2] is link 'Home'"],
    observation: "Tab 0 (current): Shop\n\n[1] RootWebArea 'Shop'\n\t[3] link 'Cart (0)'\n\t[5] button 'Remove é'",
    action: "click [5]",
  });
  assert.equal(
    (await collect(readWebPageRows(join(import.meta.dirname!, "fixtures/hub.parquet"), { limit: 2 }))).length,
    2,
  );
});

Deno.test("parquet: missing files, columns and fields are named", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "bad.parquet"), [good] = await transitions(1);
    const record = webPageRecord(good, { split: "train", index: 0 });
    const write = (changes: Record<string, unknown>, without: string[] = []) => {
      const changed = { ...record, ...changes };
      for (const name of without) delete changed[name as keyof typeof changed];
      return writeParquetRecords(path, [changed, changed]);
    };
    const read = (answers = false) => () => collect(readWebPageRows(path, { answers }));
    await rejectsUserError(() => collect(readWebPageRows(join(folder, "none.parquet"))), "there is no such file");
    await Deno.writeTextFile(path, "no parquet");
    await rejectsUserError(read(), "bad.parquet: is not a parquet file");
    await write({}, ["reward_model"]);
    await rejectsUserError(read(), 'bad.parquet: has no column "reward_model"; needed are prompt, reward_model');
    await write({}, ["answer", "extra_info", "task_id"]);
    await rejectsUserError(read(true), 'has no column "answer"');
    const [row] = await read()();
    assert.deepEqual([row.taskId, row.answer, row.question?.url], [-1, undefined, good.url], "read from the prompt");
    await write({ reward_model: { style: "rule" } });
    await rejectsUserError(read(), "bad.parquet, row 0: reward_model.ground_truth must be a string");
    await write({ prompt: "text" });
    await rejectsUserError(read(), "bad.parquet, row 0: prompt must be a list of messages");
  });
});

Deno.test("answers: scores come in the order of the answers, and nothing is written when a line is bad", async () => {
  await withFolder(async (folder) => {
    const answers = join(folder, "a.jsonl"), out = join(folder, "s.jsonl");
    const truth = "New items:\n[1] link 'A'\n\nDeleted items:\nNone\n\nUpdated items:\nNone";
    const lines = [{ truth, response: truth }, { truth, response: "" }, {
      truth,
      response: `Hm.\n${truth.replace("'A'", "'B'")}</s>`,
      model: "other fields are ignored",
    }];
    await Deno.writeTextFile(answers, lines.map((each) => JSON.stringify(each)).join("\n\n") + "\n");
    const scores = await scoreWebAnswersFile({ answers, out });
    const written = (await Deno.readTextFile(out)).trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(written, scores);
    assert.deepEqual(written.map((each) => Object.keys(each)), Array(3).fill(["precision", "recall", "f1"]));
    assert.deepEqual(written.map((each) => each.f1), [1, 0, 2 / 3]);
    const kept = await scoreWebAnswersFile({ answers, out: join(folder, "k.jsonl.gz"), keepEndOfSequence: true });
    assert.equal(kept[2].f1, 1 / 3, "None</s> is not None");

    await Deno.remove(out);
    for (
      const [text, says] of [
        ["{", "a.jsonl, line 2: is not JSON"],
        ['{"truth": "x"}', "a.jsonl, line 2: response must be a string: received nothing"],
        ['{"truth": 3, "response": ""}', "a.jsonl, line 2: truth must be a string: received 3"],
        ["null", "a.jsonl, line 2: truth must be a string"],
        [
          `{"truth": ${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
          "a.jsonl, line 2: truth must be a string: received a list",
        ],
      ]
    ) {
      await Deno.writeTextFile(answers, `${JSON.stringify(lines[0])}\n${text}\n`);
      await rejectsUserError(() => scoreWebAnswersFile({ answers, out }), says);
    }
    await Deno.writeTextFile(answers, "\n");
    await rejectsUserError(() => scoreWebAnswersFile({ answers, out }), "it has no answer");
    await Deno.writeTextFile(answers, JSON.stringify(lines[0]));
    await rejectsUserError(
      () => scoreWebAnswersFile({ answers, out: join(folder, "no/such/s.jsonl") }),
      "cannot be written",
    );
    await assert.rejects(Deno.stat(out), Deno.errors.NotFound);
  });
});
