/** Names of data sets in numbered files. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { areWhole, parseShardName, setKey, shardsOf } from "../../lib/files/shards.ts";
import { rejectsUserError, withFolder } from "./support.ts";

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
  for (
    const name of [
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
