/**
 * Our own WASM kernels against tfjs' operators, at the awkward sizes: not multiples of four, larger than a block, strides and
 * paddings of every kind. Values and gradients, the same program both ways.
 */
import assert from "node:assert/strict";
import { Philox } from "../../../lib/tensor/random.ts";
import { tidy } from "../../../lib/tensor/scope.ts";
import { type Tensor, tensor } from "../../../lib/tensor/tensor.ts";
import { valueAndGrad } from "../../../lib/tensor/gradient.ts";
import { openTfjsEngine } from "../../../lib/tensor/tfjs/engine.ts";
import { kernels, withoutKernels } from "../../../lib/tensor/tfjs/kernels.ts";
import binary from "../../../lib/tensor/tfjs/kernels/binary.json" with { type: "json" };
import { sourcesHash } from "../../../tasks/build_wasm_kernels.ts";

const engine = await openTfjsEngine({ backend: "wasm" });
let stream = 0;

function normal(shape: number[]): Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  return tensor(engine, new Philox(5, stream++).fillNormal(new Float32Array(size)), shape);
}

async function readAll(tensors: Tensor[]): Promise<Float32Array[]> {
  const read = await Promise.all(tensors.map((each) => each.data() as Promise<Float32Array>));
  for (const each of tensors) each.dispose();
  return read;
}

/** Value and gradients of Σ f(x) · w with fixed random weights w. */
function evaluate(fn: (xs: Tensor[]) => Tensor, xs: Tensor[], seed: number): Tensor[] {
  return tidy(() => {
    const { value, gradients, aux } = valueAndGrad(() => {
      const out = fn(xs);
      const weights = new Philox(6, seed).fillNormal(new Float32Array(out.size));
      return { loss: out.mul(tensor(engine, weights, out.shape)).sum(), aux: out };
    }, xs);
    return [value, aux, ...gradients];
  });
}

async function assertSame(
  name: string,
  shapes: number[][],
  fn: (xs: Tensor[]) => Tensor,
  tolerance = 2e-5,
): Promise<void> {
  const xs = shapes.map(normal);
  const ours = await readAll(evaluate(fn, xs, 1));
  const theirs = await withoutKernels(() => readAll(evaluate(fn, xs, 1)));
  for (const [k, wanted] of theirs.entries()) {
    let scale = 0.1, worst = 0;
    for (let i = 0; i < wanted.length; i++) {
      scale = Math.max(scale, Math.abs(wanted[i]));
      worst = Math.max(worst, Math.abs(ours[k][i] - wanted[i]));
    }
    // A sum of many terms (the value, k = 0) is compared by their size, not by what is left of them.
    const allowed = tolerance * (k === 0 ? Math.max(scale, Math.sqrt(theirs[1].length)) : scale);
    assert.ok(
      worst <= allowed,
      `${name}, ${k === 0 ? "value" : k === 1 ? "result" : `gradient ${k - 2}`}: off by ${worst} of ${scale}`,
    );
  }
  for (const each of xs) each.dispose();
}

Deno.test("the compiled kernels are those of the sources (deno task build-wasm-kernels)", async () => {
  assert.equal(binary.sources, await sourcesHash());
});

Deno.test("the kernels run here", () => assert.ok(kernels()));

Deno.test("products: every pair of transpositions, sizes around the tiles and blocks", async () => {
  for (const [m, k, n] of [[1, 1, 1], [6, 4, 8], [7, 5, 9], [13, 259, 17], [98, 3, 515], [5, 300, 8]]) {
    for (const [transposeA, transposeB] of [[false, false], [false, true], [true, false], [true, true]]) {
      await assertSame(
        `[${m}, ${k}] · [${k}, ${n}] ${transposeA} ${transposeB}`,
        [transposeA ? [2, k, m] : [2, m, k], transposeB ? [2, n, k] : [2, k, n]],
        ([a, b]) => a.matmul(b, { transposeA, transposeB }),
      );
    }
  }
  await assertSame("linear", [[3, 5, 37], [11, 37], [11]], ([x, w, b]) => x.linear(w, b));
});

Deno.test("convolutions: strides, one-sided paddings, kernels of one and two sizes", async () => {
  const cases: [number[], number[], number, [number, number, number, number]][] = [
    [[2, 6, 7, 3], [5, 3, 3, 3], 1, [1, 1, 1, 1]],
    [[2, 6, 7, 4], [5, 4, 3, 3], 2, [0, 1, 0, 1]],
    [[1, 9, 8, 2], [3, 2, 4, 4], 2, [1, 1, 1, 1]],
    [[2, 5, 5, 6], [7, 6, 1, 1], 1, [0, 0, 0, 0]],
    [[1, 5, 6, 2], [3, 2, 2, 3], 3, [2, 0, 1, 3]],
    [[1, 4, 5, 2], [3, 2, 2, 2], 1, [3, 2, 3, 4]],
    [[1, 40, 33, 3], [9, 3, 3, 3], 1, [0, 0, 0, 0]],
  ];
  for (const [x, w, stride, padding] of cases) {
    await assertSame(
      `${x} with ${w}, stride ${stride}, padding ${padding}`,
      [x, w, [w[0]]],
      ([x, w, b]) => x.conv2d(w, b, { stride, padding }),
    );
  }
});

Deno.test("normalizations, softmax, attention, activations, rows", async () => {
  for (const n of [1, 3, 4, 7, 130]) {
    await assertSame(`softmax ${n}`, [[5, n]], ([x]) => x.softmax());
    await assertSame(`logSoftmax ${n}`, [[5, n]], ([x]) => x.mul(5).logSoftmax());
    await assertSame(`layerNorm ${n}`, [[5, n], [n], [n]], ([x, w, b]) => x.layerNorm(w, b, 1e-2), 1e-4);
    await assertSame(`rmsNorm ${n}`, [[5, n], [n]], ([x, w]) => x.rmsNorm(w, 1e-2));
    await assertSame(`silu ${n}`, [[2, n]], ([x]) => x.mul(4).silu());
    await assertSame(`gelu ${n}`, [[2, n]], ([x]) => x.mul(4).gelu());
    await assertSame(`tanh ${n}`, [[2, n]], ([x]) => x.mul(4).tanh());
    await assertSame(`sums ${n}`, [[3, n, 5, 2]], ([x]) => x.sum([0, 2]).square().mean(0));
  }
  await assertSame("groupNorm", [[2, 5, 3, 12], [12], [12]], ([x, w, b]) => x.groupNorm(4, w, b, 1e-5), 1e-4);
  await assertSame("groupNorm of 6 channels", [[2, 7, 6], [6], [6]], ([x, w, b]) => x.groupNorm(2, w, b, 1e-5), 1e-4);
  for (const causal of [false, true]) {
    await assertSame(
      "attention",
      [[2, 3, 5, 7], [2, 3, 9, 7], [2, 3, 9, 7]],
      ([q, k, v]) => q.attention(k, v, { causal }),
    );
  }
  const ids = tensor(engine, Int32Array.of(3, 0, 3, 1, 3));
  await assertSame("gather", [[4, 7]], ([x]) => x.gather(ids));
  ids.dispose();
});

Deno.test("an index that lies outside is refused", () => {
  const x = normal([4, 2]);
  for (const wrong of [-1, 4]) {
    const ids = tensor(engine, Int32Array.of(0, wrong));
    assert.throws(() => x.gather(ids), {
      name: "RangeError",
      message: `gather: indices must be from 0 to 3: received ${wrong} at 1`,
    });
    ids.dispose();
  }
  x.dispose();
});

Deno.test("numbers that were overwritten are what the next product sees", async () => {
  const first = normal([4, 4]), second = normal([4, 4]), x = normal([3, 4]);
  const target = first.clone();
  const before = await readAll([x.matmul(target), x.matmul(first)]);
  assert.deepEqual(before[0], before[1]);
  target.assignSlice(second, 0, 0);
  const after = await readAll([x.matmul(target), x.matmul(second)]);
  assert.deepEqual(after[0], after[1]);
  for (const each of [first, second, x, target]) each.dispose();
});

Deno.test("nothing was left behind", () => {
  assert.equal(engine.memory().tensors, 0);
  engine.close();
});
