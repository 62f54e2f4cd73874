/** Names of data sets in numbered files. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { areWhole, parseShardName, setKey, shardsOf } from "../../lib/io/shards.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";

Deno.test("numbered names: what they say; names that only look like them are other names", () => {
  assert.deepEqual(parseShardName("train-00001-of-00003.parquet"), { set: "train.parquet", number: 1, count: 3 });
  assert.deepEqual(parseShardName("data/a-b-00000-of-00001.jsonl.gz"), {
    set: "data/a-b.jsonl.gz",
    number: 0,
    count: 1,
  });
  assert.deepEqual(parseShardName("train-00001-of-00002-0123456789abcdef.parquet"), {
    set: "train.parquet",
    number: 1,
    count: 2,
  });
  // As the hub's own conversion has them: a folder a split, how many there are is not said.
  assert.deepEqual(parseShardName("train/0003.parquet"), { set: "train.parquet", number: 3 });
  assert.deepEqual(parseShardName("default/train_sft/0000.parquet"), { set: "default/train_sft.parquet", number: 0 });
  for (
    const name of [
      "0000.parquet",
      "data/0000.parquet",
      "partial-train/0000.parquet",
      "train/000.parquet",
      "train/0000.jsonl",
      "train/0000.parquet/x",
      "train.parquet",
      "train-1-of-3.parquet",
      "train-00003-of-00003.parquet",
      "train-00000-of-00000.parquet",
      "train-00001-of-00003",
      "train-00001-of-00003.parquet.tmp/x",
    ]
  ) assert.equal(parseShardName(name), undefined, name);
  assert.notEqual(setKey({ set: "a", count: 2 }), setKey({ set: "a", count: 3 }));

  const whole = ["x.parquet", "a-00000-of-00002.parquet", "a-00001-of-00002.parquet", "b/a-00000-of-00001.parquet"];
  assert.ok(areWhole([]) && areWhole(whole));
  assert.ok(areWhole(["a-00001-of-00002-01234567.parquet", "a-00000-of-00002-89abcdef.parquet"]));
  assert.ok(!areWhole(whole.toSpliced(1, 1)));
  assert.ok(!areWhole([...whole, "b/a-00001-of-00002.parquet"]), "of another folder");
  assert.ok(areWhole(["train/0001.parquet", "train/0000.parquet", "test/0000.parquet"]));
  assert.ok(!areWhole(["train/0001.parquet", "test/0000.parquet"]));
});

Deno.test("numbered files: what is missing is named, some of much; a claim of many costs nothing", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "train-00002-of-99999.parquet");
    await Deno.writeTextFile(path, "");
    await Deno.mkdir(join(folder, "train-00000-of-99999.parquet"));
    await rejectsUserError(
      () => shardsOf(path),
      `${path} is one of the 99999 files of a data set, of which ${folder} lacks train-00000-of-99999.parquet, ` +
        `train-00001-of-99999.parquet, train-00003-of-99999.parquet and 99995 more: `,
    );
    assert.deepEqual(await shardsOf(join(folder, "x.parquet")), [join(folder, "x.parquet")]);
    const nowhere = join(folder, "none/train-00000-of-00002.parquet");
    assert.deepEqual(await shardsOf(nowhere), [nowhere], "whoever opens it says that it is not there");
  });
});

Deno.test("numbered files in a split's folder: naming one names all, in order; a gap is named", async () => {
  await withFolder(async (folder) => {
    const split = join(folder, "train"), at = (number: number) => join(split, `000${number}.parquet`);
    await Deno.mkdir(split);
    for (const number of [2, 0, 1]) await Deno.writeTextFile(at(number), "");
    await Deno.writeTextFile(join(split, "dataset_info.json"), "");
    assert.deepEqual(await shardsOf(at(1)), [at(0), at(1), at(2)]);
    const elsewhere = join(folder, "test/0000.parquet");
    assert.deepEqual(await shardsOf(elsewhere), [elsewhere], "whoever opens it says that it is not there");
    await Deno.remove(at(1));
    await rejectsUserError(
      () => shardsOf(at(0)),
      `one of the 3 files of a data set, of which ${split} lacks 0001.parquet: `,
    );
  });
});
