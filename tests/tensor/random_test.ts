import assert from "node:assert/strict";
import { Philox, philoxBlock } from "../../lib/tensor/random.ts";

const fixture = JSON.parse(Deno.readTextFileSync(new URL("./fixtures/random.json", import.meta.url))) as {
  blocks: { counter: number[]; key: number[]; words: number[] }[];
  streams: { names: number[]; words: number[] }[];
};

function block(counter: number[], key: number[]): number[] {
  const out = new Uint32Array(4);
  philoxBlock(counter, key, out);
  return [...out];
}

Deno.test("Philox4x32-10 gives Random123's known answers", () => {
  const all = 0xffffffff;
  assert.deepEqual(block([0, 0, 0, 0], [0, 0]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  assert.deepEqual(block([all, all, all, all], [all, all]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
  // Digits of pi.
  assert.deepEqual(
    block([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  );
});

Deno.test("Philox4x32-10 agrees with randomgen on random counters and keys", () => {
  for (const { counter, key, words } of fixture.blocks) assert.deepEqual(block(counter, key), words);
});

Deno.test("a block leaves its counter and key alone", () => {
  const counter = Uint32Array.of(1, 2, 3, 4), key = Uint32Array.of(5, 6);
  philoxBlock(counter, key, new Uint32Array(4));
  assert.deepEqual([[...counter], [...key]], [[1, 2, 3, 4], [5, 6]]);
});

Deno.test("a stream's words follow from its name", () => {
  for (const { names, words } of fixture.streams) {
    const stream = new Philox(...names);
    assert.deepEqual(words.map(() => stream.uint32()), words, `stream ${names}`);
  }
});

Deno.test("the same name gives the same numbers, another name others", () => {
  const draw = (...names: number[]) => {
    const stream = new Philox(...names);
    return [stream.uniform(), stream.normal(), stream.integer(0, 1000), ...stream.permutation(20)];
  };
  assert.deepEqual(draw(3, 1, 4), draw(3, 1, 4));
  const names = [[], [0], [0, 0], [0, 0, 0], [1], [0, 1], [1, 0], [1, 1], [2 ** 32], [2 ** 32 + 1]];
  const seen = new Set(names.map((each) => draw(...each).join()));
  assert.equal(seen.size, names.length);
});

Deno.test("streams whose names differ by one are uncorrelated", () => {
  const count = 20_000;
  const fill = (...names: number[]) => new Philox(...names).fillNormal(new Float32Array(count));
  const base = fill(5, 10, 20);
  for (const other of [fill(6, 10, 20), fill(5, 11, 20), fill(5, 10, 21), fill(5, 10), fill(10, 5, 20)]) {
    const correlation = base.reduce((sum, x, i) => sum + x * other[i], 0) / count;
    assert.ok(Math.abs(correlation) < 4 / Math.sqrt(count), `correlation ${correlation}`);
  }
});

Deno.test("uniform numbers fill [0, 1) evenly", () => {
  const stream = new Philox(1), count = 64_000, bins = new Array(64).fill(0);
  let serial = 0, previous = 0.5;
  for (let i = 0; i < count; i++) {
    const u = stream.uniform();
    assert.ok(u >= 0 && u < 1 && Math.fround(u) === u);
    bins[Math.floor(u * 64)]++;
    serial += (u - 0.5) * (previous - 0.5);
    previous = u;
  }
  // Chi-squared with 63 degrees of freedom: mean 63, deviation 11.2.
  const chi = bins.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0);
  assert.ok(chi > 63 - 4 * 11.2 && chi < 63 + 4 * 11.2, `chi-squared ${chi}`);
  assert.ok(Math.abs(serial / count) < 4 / 12 / Math.sqrt(count), `serial covariance ${serial / count}`);
});

Deno.test("normal numbers have the moments of the normal distribution", () => {
  const count = 100_000, x = new Philox(2).fillNormal(new Float32Array(count));
  const moment = (power: number) => x.reduce((sum, each) => sum + each ** power, 0) / count;
  // Deviations of the sample moments: sqrt((E x^2p − (E x^p)²) / n).
  for (const [power, expected, variance] of [[1, 0, 1], [2, 1, 2], [3, 0, 15], [4, 3, 96]]) {
    const error = Math.abs(moment(power) - expected);
    assert.ok(error < 4 * Math.sqrt(variance / count), `moment ${power}: ${moment(power)}`);
  }
  const beyond = x.filter((each) => Math.abs(each) > 1.959964).length / count;
  assert.ok(Math.abs(beyond - 0.05) < 4 * Math.sqrt(0.05 * 0.95 / count), `beyond 1.96: ${beyond}`);
});

Deno.test("mean, deviation and bounds of the fillers", () => {
  const normal = new Philox(3).fillNormal(new Float32Array(40_000), 5, 0.5);
  assert.ok(Math.abs(normal.reduce((a, b) => a + b) / 40_000 - 5) < 4 * 0.5 / 200);
  const uniform = new Philox(4).fillUniform(new Float32Array(40_000), -2, 6);
  assert.ok(uniform.every((each) => each >= -2 && each < 6));
  assert.ok(Math.abs(uniform.reduce((a, b) => a + b) / 40_000 - 2) < 4 * 8 / Math.sqrt(12) / 200);
});

Deno.test("integers are even over their range", () => {
  const stream = new Philox(6), counts = new Array(7).fill(0);
  for (let i = 0; i < 70_000; i++) counts[stream.integer(-3, 4) + 3]++;
  const chi = counts.reduce((sum, n) => sum + (n - 10_000) ** 2 / 10_000, 0);
  assert.ok(chi < 6 + 4 * Math.sqrt(12), `chi-squared ${chi}`);
  assert.equal(stream.integer(9, 10), 9);
  const wide = Array.from({ length: 1000 }, () => stream.integer(0, 2 ** 32));
  assert.ok(Math.max(...wide) > 0.99 * 2 ** 32 && Math.min(...wide) < 0.01 * 2 ** 32);
});

Deno.test("permutations are permutations, each as likely as the other", () => {
  const order = new Philox(8).permutation(1000);
  assert.deepEqual([...order].sort((a, b) => a - b), Array.from({ length: 1000 }, (_, i) => i));
  const stream = new Philox(9), counts = new Map<string, number>();
  for (let i = 0; i < 12_000; i++) {
    const key = stream.permutation(3).join();
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  assert.equal(counts.size, 6);
  const chi = [...counts.values()].reduce((sum, n) => sum + (n - 2000) ** 2 / 2000, 0);
  assert.ok(chi < 5 + 4 * Math.sqrt(10), `chi-squared ${chi}`);
  assert.deepEqual([...stream.permutation(0)], []);
  assert.deepEqual([...stream.permutation(1)], [0]);
});

Deno.test("bad names and ranges are refused", () => {
  assert.throws(() => new Philox(1, -2), {
    name: "RangeError",
    message: "a random stream's key must be a non-negative integer: received -2 at position 1",
  });
  assert.throws(() => new Philox(0.5), RangeError);
  assert.throws(() => new Philox(NaN), RangeError);
  assert.throws(() => new Philox(1).integer(3, 3), {
    name: "RangeError",
    message: "a random integer needs low < high: received low 3 and high 3",
  });
  assert.throws(() => new Philox(1).integer(0, 2 ** 33), RangeError);
});
