/** Items, key, labels, agreement, counts; and files that are not what they should be. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  type LabelCandidate,
  type LabelKey,
  readLabelItems,
  readLabelKey,
  writeLabelItems,
} from "../../../lib/studies/labels/items.ts";
import {
  agreement,
  type Label,
  labelLine,
  labelProblems,
  readLabels,
  successCounts,
} from "../../../lib/studies/labels/labels.ts";
import { UserError } from "../../../lib/base/user_error.ts";
import { encodePng } from "../../../lib/report/png.ts";
import { makePipe, withFolder } from "../../support/files.ts";
import kappa from "./fixtures/kappa.json" with { type: "json" };

const candidates: LabelCandidate[] = ["base", "rlvr"].flatMap((model) =>
  ["random", "expert"].flatMap((policy) =>
    [0, 1, 2].map((start) => ({
      model,
      policy,
      task: "open-drawer",
      start,
      instruction: "open the drawer",
      pixels: new Uint8Array(8 * 8 * 3).fill(start * 40 + (model === "rlvr" ? 10 : 0)),
      height: 8,
      width: 8,
    }))
  )
);

const label = (id: string, success: boolean | null, labeller = "ann") => labelLine({ id, success, labeller, at: "" });

Deno.test("blind labels: items say nothing of where they come from, the key says all", async () => {
  await withFolder(async (folder) => {
    await writeLabelItems(join(folder, "items"), join(folder, "key.jsonl"), candidates, 7);
    const { items } = await readLabelItems(join(folder, "items"));
    const key = await readLabelKey(join(folder, "key.jsonl"));
    assert.equal(items.length, 12);
    assert.deepEqual([...key.keys()], items.map(({ id }) => id));
    const seen = await Deno.readTextFile(join(folder, "items/items.jsonl"));
    assert.doesNotMatch(seen, /base|rlvr|random|expert|start/);
    const order = [...key.values()].map(({ model, policy, start }) => `${model} ${policy} ${start}`);
    assert.notDeepEqual(order, candidates.map(({ model, policy, start }) => `${model} ${policy} ${start}`));
    assert.equal(new Set(order).size, 12);
    await writeLabelItems(join(folder, "again"), join(folder, "again.jsonl"), candidates, 7);
    assert.deepEqual(await readLabelKey(join(folder, "again.jsonl")), key);
    await writeLabelItems(join(folder, "other"), join(folder, "other.jsonl"), candidates, 8);
    assert.notDeepEqual(await readLabelKey(join(folder, "other.jsonl")), key);
    await assert.rejects(
      writeLabelItems(join(folder, "items"), join(folder, "items/secret/key.jsonl"), candidates, 7),
      /UserError: .*key\.jsonl lies in .*items, where the labeller sees it/,
    );
  });
});

Deno.test("blind labels: gaps, duplicates, unknown ids and a cut-off line are reported by name", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "labels.jsonl");
    const lines = [
      label("a", true),
      label("b", false),
      label("b", true),
      label("c", true),
      label("c", null),
      label("d", true),
      label("d", true),
      label("zzz", true),
      label("a", false, "bob"),
      label("b", true, "bob"),
      label("c", true, "bob"),
      label("c", null, "bob"),
      label("c", false, "bob"),
      label("d", true, "bob"),
      '{"id": "a", "succ',
    ];
    await Deno.writeTextFile(path, lines.join(""));
    const reading = await readLabels(path, ["a", "b", "c", "d"]);
    assert.deepEqual(reading.labels.map(({ id, success, labeller }) => `${labeller} ${id} ${success}`), [
      "ann a true",
      "ann b true",
      "ann d true",
      "bob a false",
      "bob b true",
      "bob c false",
      "bob d true",
    ]);
    assert.deepEqual(labelProblems(reading), [
      "ann has not answered 1 item (c)",
      "ann answered b 2 times, differently: the last answer counts",
      "ann answered d 2 times: the last answer counts",
      "answers to 1 item (zzz) that are none of the items' are left out",
      "the last line is cut off and does not count",
    ]);
    await Deno.writeTextFile(path, ["a", "b"].map((id) => label(id, true)).join(""));
    assert.deepEqual(labelProblems(await readLabels(path, ["a", "b"])), []);
    await Deno.writeTextFile(path, "");
    assert.deepEqual(labelProblems(await readLabels(path, ["a", "b"])), ["there is no answer"]);
  });
});

Deno.test("blind labels: lines that are no labels, items or keys are named with their place", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "file.jsonl");
    const refused = async (read: (path: string) => Promise<unknown>, text: string, says: RegExp) => {
      await Deno.writeTextFile(path, text);
      await assert.rejects(read(path), (error: Error) => {
        assert.ok(error instanceof UserError, String(error));
        assert.match(error.message, says);
        return true;
      });
    };
    await refused(readLabels, "no json\n{}\n", /file\.jsonl, line 1 is not JSON: "no json"/);
    await refused(readLabels, "[1]\n", /line 1 must hold an object: received \[1\]/);
    await refused(readLabels, '\n{"success":true,"labeller":"x"}\n', /line 2: id must be a text: received nothing/);
    await refused(readLabels, '{"id":"a","success":true}\n', /labeller must be a text: received nothing/);
    await refused(
      readLabels,
      '{"id":"a","labeller":"x","success":"yes"}\n',
      /success must be true, false or null: .*"yes"/,
    );
    await refused(
      readLabels,
      '{"id":"a","labeller":"x","success":true,"at":3}\n',
      /at must be a date as text: received 3/,
    );
    await refused(
      readLabelKey,
      '{"id":"a","model":"m","policy":"p","task":"t","start":"1"}\n',
      /start must be a whole number/,
    );
    const line = '{"id":"a","model":"m","policy":"p","task":"t","start":1}\n';
    await refused(readLabelKey, line + line, /line 2: the id "a" was there before/);
    await refused(readLabelItems, "", /has no items/);
    const item = (frame: string) => JSON.stringify({ id: "a", instruction: "lift", frame }) + "\n";
    await refused(readLabelItems, item("none.png"), /there is no frame .*none\.png/);
    await refused(readLabelItems, item("../x.png"), /the frame "\.\.\/x\.png" must lie in/);
    await refused(readLabelItems, item("/etc/passwd"), /must lie in/);
    await Deno.writeFile(join(folder, "a.png"), encodePng(new Uint8Array(3), 1, 1));
    await refused(readLabelItems, item("a.png") + item("a.png"), /line 2: the id "a" was there before/);
    const control = JSON.stringify({ id: "a\x1b[2J", instruction: "lift", frame: "a.png" }) + "\n";
    await refused(readLabelItems, control, /line 1: id must be one line .*: received "a\\u001b\[2J"$/);
    await refused(readLabels, '{"id":"a","labeller":"x\\ny","success":true}\n', /labeller must be one line .*"x\\ny"/);
    await refused(readLabels, `{"id":"${"a".repeat(2 ** 16)}"}\n`, /line 1 has 65545 characters, more than the 65536/);
    await assert.rejects(readLabelItems(join(folder, "nowhere")), /UserError: cannot read .*nowhere: no such file/);
    await assert.rejects(readLabelItems(folder), /UserError: cannot read .*items\.jsonl: no such file/);
  });
});

Deno.test("blind labels: a file without end is not read", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "items.jsonl");
    await Deno.writeTextFile(path, "");
    await Deno.truncate(path, 2 ** 40);
    await assert.rejects(readLabelItems(folder), /UserError: cannot read .*: it has 1099511627776 bytes, more than/);
    await assert.rejects(readLabels(path), /UserError: cannot read .*: it has 1099511627776 bytes, more than/);
  });
});

Deno.test("blind labels: a frame is a PNG below the items' file, wherever links lead", async () => {
  await withFolder(async (folder) => {
    const items = join(folder, "items"), frames = join(items, "frames"), png = encodePng(new Uint8Array(12), 2, 2);
    await Deno.mkdir(frames, { recursive: true });
    await Deno.mkdir(join(folder, "items elsewhere"));
    const read = (frame: string, place = items) =>
      Deno.writeTextFile(join(items, "items.jsonl"), JSON.stringify({ id: "a", instruction: "lift", frame }) + "\n")
        .then(() => readLabelItems(place));
    const refused = (frame: string, says: RegExp) =>
      assert.rejects(read(frame), (error: Error) => {
        assert.ok(error instanceof UserError, String(error));
        assert.match(error.message, /items\.jsonl, line 1: /);
        assert.ok(error.message.includes(`/${frame}`), error.message);
        assert.match(error.message, says);
        return true;
      });
    await Deno.writeFile(join(frames, "a.png"), png);
    await Deno.writeFile(join(folder, "secret.png"), png);
    await Deno.writeFile(join(folder, "items elsewhere/b.png"), png);
    await Deno.symlink("frames/a.png", join(items, "inside.png"));
    await Deno.symlink(items, join(folder, "link"));
    for (const frame of ["frames/a.png", "inside.png", "frames/../inside.png"]) {
      assert.equal((await read(frame)).items[0].frame, frame);
      assert.equal((await read(frame, join(folder, "link"))).items.length, 1, "the folder itself may be a link");
    }
    await Deno.symlink(join(folder, "secret.png"), join(items, "out.png"));
    await Deno.symlink(join(folder, "items elsewhere"), join(items, "sub"));
    await Deno.symlink("/dev/zero", join(items, "zero.png"));
    await Deno.symlink("nowhere.png", join(items, "dangling.png"));
    await Deno.symlink("circle.png", join(items, "circle.png"));
    await refused("out.png", /leads to .*\/secret\.png, out of the items' folder: put the picture itself there/);
    await refused("sub/b.png", /leads to .*\/items elsewhere\/b\.png, out of the items' folder/);
    await refused("zero.png", /leads to \/dev\/zero, out of the items' folder/);
    await refused("dangling.png", /there is no frame/);
    await refused("circle.png", /cannot read/);
    await refused("frames", /it is a folder, not a file/);
    await Deno.writeTextFile(join(items, "text.png"), "not a picture, but longer than a PNG's head");
    await refused("text.png", /is no PNG/);
    await Deno.writeFile(join(items, "short.png"), png.subarray(0, 20));
    await refused("short.png", /is no PNG/);
    const bomb = png.slice();
    new DataView(bomb.buffer).setUint32(16, 2 ** 30);
    await Deno.writeFile(join(items, "bomb.png"), bomb);
    await refused("bomb.png", /has 2 × 1073741824 pixels, more than the 67108864 that are shown/);
    await Deno.writeFile(join(items, "large.png"), png);
    await Deno.truncate(join(items, "large.png"), 2 ** 40);
    await refused("large.png", /has 1099511627776 bytes, more than the 67108864 that are shown/);
    const pipe = join(items, "pipe.png");
    if (await makePipe(pipe)) await refused("pipe.png", /it is not a file/);
  });
});

Deno.test("blind labels: agreement is scikit-learn's", () => {
  for (const { first, second, share, kappa: expected } of kappa) {
    const labels = (answers: readonly boolean[], labeller: string): Label[] =>
      answers.map((success, i) => ({ id: `${i}`, success, labeller, at: "" }));
    // Items that only one of them answered do not count.
    const alone = [{ id: "alone", success: true, labeller: "ann", at: "" }];
    const [found] = agreement([...labels(first, "ann"), ...alone, ...labels(second, "bob")]);
    assert.equal(found.items, first.length);
    assert.ok(Math.abs(found.share - share) < 1e-12);
    if (expected === null) assert.ok(Number.isNaN(found.kappa), `kappa ${found.kappa}`);
    else assert.ok(Math.abs(found.kappa - expected) < 1e-12, `${found.kappa} against ${expected}`);
  }
  const three = agreement(["ann", "bob", "eve"].map((labeller) => ({ id: "a", success: true, labeller, at: "" })));
  assert.deepEqual(three.map(({ labellers }) => labellers.join("-")), ["ann-bob", "ann-eve", "bob-eve"]);
});

Deno.test("blind labels: successes are counted by cell, by majority", () => {
  const key = new Map<string, LabelKey>(["a", "b", "c", "d"].map((id, i) => [id, {
    id,
    model: i < 2 ? "base" : "rlvr",
    policy: "expert",
    task: "lift",
    start: i,
  }]));
  const of = (id: string, ...answers: boolean[]) =>
    answers.map((success, i) => ({ id, success, labeller: `labeller ${i}`, at: "" }));
  assert.deepEqual(successCounts([...of("a", true, false, true), ...of("b", false), ...of("c", true, false)], key), [
    { model: "base", policy: "expert", task: "lift", n: 2, successes: 1, tied: 0 },
    { model: "rlvr", policy: "expert", task: "lift", n: 0, successes: 0, tied: 1 },
  ]);
  assert.throws(() => successCounts(of("x", true), key), /UserError: the key has no item "x"/);
});
