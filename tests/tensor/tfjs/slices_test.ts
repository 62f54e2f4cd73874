/** Slices and splits on the WASM backend, against the same taken number by number from a JavaScript array. */
import assert from "node:assert/strict";
import { openEngine } from "../../../lib/tensor/registry.ts";
import { Philox } from "../../../lib/tensor/random.ts";
import { tf } from "../../../lib/tensor/tfjs/runtime.ts";

/** The numbers of a block of a row-major array. */
function taken(values: readonly number[], shape: number[], begin: number[], size: number[]): number[] {
  const result: number[] = [], count = size.reduce((a, b) => a * b, 1);
  for (let n = 0; n < count; n++) {
    let rest = n, at = 0, stride = 1;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += (begin[axis] + rest % size[axis]) * stride;
      rest = Math.floor(rest / size[axis]);
      stride *= shape[axis];
    }
    result.push(values[at]);
  }
  return result;
}

Deno.test("wasm: a slice has the numbers of its block, whatever the rank, the place and the type", async () => {
  await openEngine({ engine: "wasm" });
  const random = new Philox(4);
  let whole = 0, empty = 0;
  for (let i = 0; i < 400; i++) {
    const rank = random.integer(1, 7), shape = Array.from({ length: rank }, () => random.integer(1, 5));
    const begin = shape.map((n) => random.integer(0, n));
    const size = shape.map((n, axis) => random.integer(i % 10 === 0 ? 0 : 1, n - begin[axis] + 1));
    // Often whole axes, in front and behind.
    shape.forEach((n, axis) => {
      if (random.uniform() < 0.4) [begin[axis], size[axis]] = [0, n];
    });
    const dtype = (["float32", "int32", "bool"] as const)[i % 3], count = shape.reduce((a, b) => a * b, 1);
    const values = Array.from({ length: count }, (_, at) => dtype === "bool" ? (at * 7 + i) % 3 % 2 : at - 3);
    const expected = taken(values, shape, begin, size);
    const part = tf.tidy(() => tf.slice(tf.tensor(values, shape, dtype), begin, size));
    assert.deepEqual(part.shape, size);
    assert.deepEqual([...part.dataSync()].map(Number), expected, `${dtype} [${shape}] from [${begin}] the [${size}]`);
    part.dispose();
    if (size.every((n, axis) => n === shape[axis])) whole++;
    if (expected.length === 0) empty++;
  }
  assert.ok(whole > 10 && empty > 10);
});

Deno.test("wasm: a split gives parts of their own, in order, along any axis", async () => {
  await openEngine({ engine: "wasm" });
  const shape = [3, 6, 4], values = Array.from({ length: 72 }, (_, i) => i);
  for (const [axis, sizes] of [[0, [1, 2]], [1, [1, 2, 3]], [2, [3, 1]], [-1, [2, 2]]] as const) {
    const parts = tf.tidy(() => tf.split(tf.tensor(values, shape), [...sizes], axis));
    const along = axis < 0 ? axis + 3 : axis;
    let start = 0;
    parts.forEach((part, i) => {
      const begin = shape.map((_, at) => at === along ? start : 0), size = shape.with(along, sizes[i]);
      assert.deepEqual([...part.dataSync()], taken(values, shape, begin, size), `axis ${axis}, part ${i}`);
      start += sizes[i];
      part.dispose();
    });
  }
});

Deno.test("wasm: a slice is right where making it moves the memory", async () => {
  await openEngine({ engine: "wasm" });
  const { memory } = (tf.backend() as unknown as { wasm: { asm: { memory: WebAssembly.Memory } } }).wasm.asm;
  const x = tf.range(0, 3_000_000), kept: tf.Tensor[] = [];
  const before = memory.buffer.byteLength;
  for (let i = 0; i < 60 && memory.buffer.byteLength === before; i++) {
    const part = tf.slice(x, i, 2_900_000);
    kept.push(part);
    const numbers = part.dataSync();
    assert.deepEqual([numbers[0], numbers[2_899_999]], [i, i + 2_899_999]);
  }
  assert.ok(memory.buffer.byteLength > before, "the memory never grew");
  for (const each of [x, ...kept]) each.dispose();
});
