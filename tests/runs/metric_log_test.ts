import assert from "node:assert/strict";
import { join } from "node:path";
import { MetricLog, metricNumber } from "../../lib/runs/metric_log.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";

const withLog = (use: (log: MetricLog, path: string) => Promise<void>) =>
  withFolder(async (folder) => {
    const path = join(folder, "metrics.jsonl");
    using log = new MetricLog(path);
    await use(log, path);
  });

Deno.test("metric log: each line is in the file as soon as it is appended", () =>
  withLog(async (log, path) => {
    assert.deepEqual(await log.read(), []);
    log.append({ stage: "rl", step: 0, loss: 0.1 });
    assert.equal(Deno.readTextFileSync(path), '{"stage":"rl","step":0,"loss":0.1}\n');
    log.append({ stage: "rl", step: 1, text: "two\nlines, é", list: new Float32Array([0.5, 1]) });
    await log.sync();
    assert.deepEqual(await new MetricLog(path).read(), [
      { stage: "rl", step: 0, loss: 0.1 },
      { stage: "rl", step: 1, text: "two\nlines, é", list: [0.5, 1] },
    ]);
  }));

Deno.test("metric log: NaN and infinities stay readable", () =>
  withLog(async (log, path) => {
    log.append({ stage: "rl", step: 0, a: NaN, b: [Infinity, { c: -Infinity }], d: null });
    assert.match(Deno.readTextFileSync(path), /"a":"NaN","b":\["Infinity",\{"c":"-Infinity"\}\],"d":null/);
    const [entry] = await log.read();
    assert.ok(Number.isNaN(metricNumber(entry.a)));
    assert.equal(metricNumber((entry.b as unknown[])[0]), Infinity);
    assert.equal(metricNumber(2.5), 2.5);
    assert.equal(metricNumber("2.5"), undefined);
    assert.equal(metricNumber(null), undefined);
  }));

Deno.test("metric log: bad stages and steps are refused, and nothing is written", () =>
  withLog(async (log, path) => {
    assert.throws(() => log.append({ stage: "", step: 0 }), /stage must be a text: received ""/);
    for (const step of [-1, 0.5, NaN]) {
      assert.throws(() => log.append({ stage: "rl", step }), new RegExp(`at least 0: received ${step}`));
    }
    await assert.rejects(Deno.stat(path), Deno.errors.NotFound);
  }));

Deno.test("metric log: a resumed run has no duplicate lines", () =>
  withLog(async (log, path) => {
    for (let step = 0; step < 10; step++) log.append({ stage: "likelihood", step });
    for (let step = 0; step < 10; step++) log.append({ stage: "rl", step, value: step / 3 });
    Deno.writeTextFileSync(path, '{"stage":"rl","st', { append: true }); // killed here

    const resumed = new MetricLog(path);
    assert.equal(await resumed.truncateAfter("rl", 6), 4);
    for (let step = 7; step < 12; step++) resumed.append({ stage: "rl", step, value: step / 3 });
    resumed.close();
    const entries = await log.read();
    assert.deepEqual(entries.filter((e) => e.stage === "likelihood").map((e) => e.step), [...Array(10).keys()]);
    assert.deepEqual(entries.filter((e) => e.stage === "rl").map((e) => e.step), [...Array(12).keys()]);
    assert.equal(await resumed.truncateAfter("rl", 11), 0);
    assert.equal(await resumed.truncateAfter("rl", -1), 12);
    assert.equal((await log.read()).length, 10);
  }));

Deno.test("metric log: truncating an open log, and one that is not there", () =>
  withLog(async (log, path) => {
    assert.equal(await log.truncateAfter("rl", 0), 0);
    await assert.rejects(Deno.stat(path), Deno.errors.NotFound);
    for (let step = 0; step < 3; step++) log.append({ stage: "rl", step });
    assert.equal(await log.truncateAfter("rl", 0), 2);
    log.append({ stage: "rl", step: 1 });
    assert.deepEqual((await log.read()).map((e) => e.step), [0, 1]);
  }));

for (const length of [1, 100, 5000, 20_000]) {
  Deno.test(`metric log: a half-written line of ${length} bytes does not run into the next one`, () =>
    withLog(async (log, path) => {
      log.append({ stage: "rl", step: 0 });
      log.close();
      Deno.writeTextFileSync(path, "x".repeat(length), { append: true });
      assert.equal((await log.read()).length, 1);
      log.append({ stage: "rl", step: 1 });
      assert.equal(Deno.readTextFileSync(path), '{"stage":"rl","step":0}\n{"stage":"rl","step":1}\n');
    }));
}

Deno.test("metric log: long lines across many chunks", () =>
  withLog(async (log) => {
    const text = "é".repeat(300_000);
    for (let step = 0; step < 3; step++) log.append({ stage: "rl", step, text });
    assert.deepEqual((await log.read()).map((e) => e.text === text), [true, true, true]);
    assert.equal(await log.truncateAfter("rl", 1), 1);
    assert.equal((await log.read()).length, 2);
  }));

for (const damage of ["{broken", "[]", "null", '{"stage":"rl"}', '{"stage":1,"step":1}', ""]) {
  Deno.test(`metric log: the damaged line ${JSON.stringify(damage)} is named, and the file left as it is`, () =>
    withLog(async (log, path) => {
      const text = `{"stage":"rl","step":0}\n${damage}\n{"stage":"rl","step":5}\n`;
      Deno.writeTextFileSync(path, text);
      await rejectsUserError(() => log.read(), "line 2 of", "metrics.jsonl is damaged");
      await rejectsUserError(() => log.truncateAfter("rl", 1), "line 2 of");
      assert.equal(Deno.readTextFileSync(path), text);
    }));
}

Deno.test(
  "metric log: a disk that takes nothing is said in one line",
  { ignore: Deno.build.os !== "linux" },
  async () => {
    using log = new MetricLog("/dev/full");
    await rejectsUserError(async () => {
      await Promise.resolve();
      log.append({ stage: "rl", step: 0 });
    }, /^cannot write \/dev\/full: no space left on device$/);
  },
);
