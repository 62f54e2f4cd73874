/** The benchmark's plumbing; nothing here is timed. */
import assert from "node:assert/strict";
import { benchCases } from "../../bench/cases.ts";
import { jsonLines } from "../../bench/json_lines.ts";
import { measure, spreadOf } from "../../bench/measure.ts";
import { hashed, hashedTokens } from "../../bench/numbers.ts";
import { Side } from "../../bench/side.ts";
import { formatTable, formatTime } from "../../bench/table.ts";

Deno.test("bench: numbers are those of the Python side", () => {
  // Printed by bench/reference/hashed_numbers.py.
  assert.deepEqual([...hashed(5, 7)], [
    -0.3065221905708313,
    0.06928211450576782,
    0.4700779914855957,
    0.4022064208984375,
    0.2921493649482727,
  ]);
  assert.equal(hashed(100_000, 3).reduce((sum, x) => sum + x, 0), -57.896881103515625);
  assert.deepEqual([...hashedTokens(6, 2, 4633)], [3483, 2620, 436, 3060, 3058, 2612]);
});

Deno.test("bench: lines of JSON, split anywhere", async () => {
  const bytes = new TextEncoder().encode('{"a":"é"}\n\n[1,2]\n3');
  const chunks = [bytes.slice(0, 7), bytes.slice(7, 12), bytes.slice(12)];
  const found = await Array.fromAsync(jsonLines(ReadableStream.from(chunks)));
  assert.deepEqual(found, [{ a: "é" }, [1, 2], 3]);
});

Deno.test("bench: spread and table", () => {
  assert.deepEqual(spreadOf([3, 1, 2]), { median: 2, least: 1, most: 3 });
  assert.deepEqual(spreadOf([4, 1, 2, 3]), { median: 2.5, least: 1, most: 4 });
  assert.throws(() => spreadOf([]), /needs at least one number/);
  assert.equal(formatTime(0.0123), "12.3 ms");
  assert.equal(formatTime(2.5), "2.50 s");
  assert.equal(formatTime(3e-7), "0.300 µs");
  const table = formatTable([{
    name: "a",
    title: "a product",
    ours: spreadOf([0.5]),
    theirs: spreadOf([1]),
    ratio: spreadOf([2]),
    goal: 3,
    runs: { ours: 1, theirs: 1, rounds: 1 },
    flops: 5e9,
    memory: { ours: { peakBytes: 2e6, idleBytes: 1e6 }, theirs: { peakBytes: 4e6, idleBytes: null } },
  }], { flopsPerSecond: 1e11, bytesPerSecond: 1e9 });
  assert.match(table, /a product +500 ms +1\.00 s +2\.00× +≥ 3× MISSED +10 % \(10\.0 GFLOP\/s\) +2 \(1\) \/ \? MB/);
});

Deno.test("bench: memory is shown against what was loaded", () => {
  const table = formatTable([{
    name: "loading",
    title: "loading",
    ours: spreadOf([1]),
    runs: { ours: 1, rounds: 1 },
    loaded: { bytes: 100e6, memoryGoal: 1.1 },
    memory: { ours: { peakBytes: 150e6, idleBytes: 35e6 } },
  }], undefined);
  assert.match(table, /150 \(35\) \/ — MB; 1\.15 \/ — × the 100 MB loaded, ≤ 1\.1 MISSED/);
});

Deno.test("bench: names of cases are their own, and both sides know their kinds", async () => {
  const names = benchCases(false).map((each) => each.name);
  assert.equal(new Set(names).size, names.length);
  assert.deepEqual(benchCases(true).map((each) => each.name), names);
  const read = (path: string) => Deno.readTextFile(new URL(`../../bench/${path}`, import.meta.url));
  const files = ["operators", "models", "language", "video"];
  const ours = await Promise.all(files.map((name) => read(`ours/${name}.ts`)));
  const theirs = await Promise.all(files.map((name) => read(`reference/${name}.py`)));
  for (const { kind, against } of benchCases(false)) {
    assert.ok(ours.some((text) => new RegExp(`\\b${kind}\\b`).test(text)), `our side has no ${kind}`);
    if (!against) assert.ok(theirs.some((text) => text.includes(`"${kind}"`)), `PyTorch's side has no ${kind}`);
  }
});

Deno.test("bench: our side computes what it says, in a process of its own", async () => {
  const stop = new AbortController();
  const worker = new URL("../../bench/ours/worker.ts", import.meta.url).href;
  const side = new Side("our side", Deno.execPath(), ["run", "-A", worker], stop.signal);
  try {
    await side.ask({ do: "open", engine: "wasm" });
    const product = benchCases(true).find((each) => each.name === "matmul")!;
    const { m, k, n } = product.sizes as Record<string, number>;
    const a = hashed(m * k, 1), b = hashed(k * n, 2);
    let sum = 0;
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        let entry = 0;
        for (let l = 0; l < k; l++) entry += a[i * k + l] * b[l * n + j];
        sum += entry ** 2;
      }
    }
    const { check } = await side.ask({ do: "prepare", kind: product.kind, sizes: product.sizes, folder: "" });
    assert.ok(Math.abs(Number(check) - sum) < 1e-4 * sum, `${check} instead of ${sum}`);
    const measured = await measure(product, side, undefined, { rounds: 3, folder: "", blockSeconds: 0 });
    assert.equal(measured.ratio, undefined);
    assert.ok(measured.ours.least > 0);
    await assert.rejects(
      side.ask({ do: "prepare", kind: "matmul", sizes: { m: 1, k: -1, n: 1 }, folder: "" }),
      /our side: /,
    );
    await side.close();
  } finally {
    side.kill();
  }
});
