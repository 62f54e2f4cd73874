/** Engines give back what they take: over many steps, when tensors are freed, and when an engine is closed. */
import assert from "node:assert/strict";
import type { Engine } from "../../lib/tensor/engine.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { adamW, full, scalar, type Tensor, tensor, zeros } from "../../lib/tensor/tensor.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { forEachEngine, reopened } from "../support/engines.ts";

const ADAMW = {
  learningRate: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.01,
  gradientScale: 1,
};

function normal(engine: Engine, shape: number[], seed: number, deviation = 1): Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  return tensor(engine, new Philox(11, seed).fillNormal(new Float32Array(size), 0, deviation), shape);
}

/** Trains for `steps` and returns the first and last loss and what the engine held after a tenth and at the end. */
async function train(engine: Engine, parameters: Tensor[], loss: () => Tensor, steps: number) {
  const moments = () => parameters.map(({ shape }) => zeros(engine, shape));
  const first = moments(), second = moments();
  const losses: number[] = [], held: { tensors: number; bytes: number; resident: number; native: number }[] = [];
  for (let step = 1; step <= steps; step++) {
    const { value, gradients } = valueAndGrad(loss, parameters);
    adamW(parameters, gradients, first, second, { ...ADAMW, step });
    if (step === 1 || step === steps) losses.push(await value.item());
    for (const each of [value, ...gradients]) each.dispose();
    if (step === steps / 10 || step === steps) {
      const { tensors, bytes } = engine.memory();
      const { rss, heapTotal } = Deno.memoryUsage();
      held.push({ tensors, bytes, resident: rss, native: rss - heapTotal });
    }
  }
  for (const each of [...first, ...second]) each.dispose();
  return { losses, held };
}

function assertFlat({ losses, held: [early, late] }: Awaited<ReturnType<typeof train>>): void {
  assert.ok(losses[1] < losses[0], `training lowers the loss: received ${losses}`);
  assert.equal(late.tensors, early.tensors, "tensors");
  assert.equal(late.bytes, early.bytes, "bytes");
  // One activation of 16 kB left behind a step would be 14 MB over 900 steps. JavaScript's heap comes and goes, and the process
  // gives back what it freed with delay: what is lost shows with the heap and without it.
  const grown = Math.min(late.resident - early.resident, late.native - early.native) / 2 ** 20;
  assert.ok(grown < 10, `the process grew by ${grown.toFixed(0)} MB`);
}

forEachEngine("memory is flat over 1,000 training steps", async (engine) => {
  const before = engine.memory();
  const x = normal(engine, [64, 64], 1), target = normal(engine, [64, 8], 2);
  const w1 = normal(engine, [64, 64], 3, 0.1), b1 = zeros(engine, [64]), w2 = normal(engine, [8, 64], 4, 0.1);
  const result = await train(
    engine,
    [w1, b1, w2],
    () => x.linear(w1, b1).silu().linear(w2).sub(target).square().mean(),
    1000,
  );
  assertFlat(result);
  for (const each of [x, target, w1, b1, w2]) each.dispose();
  assert.equal(engine.memory().tensors, before.tensors, "tensors left behind");
  assert.equal(engine.memory().bytes, before.bytes, "bytes left behind");
});

forEachEngine("memory is flat over 200 steps of attention, convolution and a gradient penalty", async (engine) => {
  const before = engine.memory();
  const ids = tensor(engine, Int32Array.from({ length: 32 }, (_, i) => (i * 5) % 16));
  const next = tensor(engine, Int32Array.from({ length: 32 }, (_, i) => (i * 5 + 5) % 16), [32, 1]);
  const table = normal(engine, [16, 8], 1), scale = full(engine, [8], 1), w = normal(engine, [16, 8], 2, 0.3);
  const pixels = normal(engine, [2, 8, 8, 3], 3), kernel = normal(engine, [4, 3, 3, 3], 4, 0.3);
  const shift = zeros(engine, [4]), gain = full(engine, [4], 1);
  const loss = () => {
    const h = table.gather(ids).rmsNorm(scale, 1e-6).reshape([2, 16, 2, 4]).permute([0, 2, 1, 3]);
    const mixed = h.attention(h, h, { causal: true }).permute([0, 2, 1, 3]).reshape([32, 8]);
    const likelihood = mixed.linear(w).logSoftmax().takeAlong(next).mean().neg();
    const { gradients: [inner] } = valueAndGrad(
      () =>
        pixels.conv2d(kernel, shift, { stride: 2, padding: [1, 1, 1, 1] }).leakyRelu(0.2).groupNorm(
          2,
          gain,
          shift,
          1e-5,
        )
          .tanh().sum(),
      [pixels],
      { createGraph: true },
    );
    return likelihood.add(inner.square().mean());
  };
  assertFlat(await train(engine, [table, scale, w, kernel, shift, gain], loss, 200));
  for (const each of [ids, next, table, scale, w, pixels, kernel, shift, gain]) each.dispose();
  assert.equal(engine.memory().tensors, before.tensors, "tensors left behind");
});

forEachEngine("the engine counts tensors and bytes", (engine) => {
  const start = engine.memory();
  const a = zeros(engine, [256, 256]);
  assert.equal(engine.memory().tensors, start.tensors + 1);
  assert.equal(engine.memory().bytes, start.bytes + 4 * 256 * 256);
  const b = a.add(1);
  assert.equal(engine.memory().tensors, start.tensors + 2);
  assert.equal(engine.memory().bytes, start.bytes + 2 * 4 * 256 * 256);
  a.dispose();
  a.dispose();
  assert.equal(engine.memory().tensors, start.tensors + 1, "a second dispose does nothing");
  const view = b.reshape([256 * 256]);
  b.dispose();
  assert.equal(engine.memory().tensors, start.tensors + 1, "a view outlives what it looks at");
  view.dispose();
  assert.deepEqual({ ...engine.memory(), peakBytes: 0 }, { ...start, peakBytes: 0 });
  assert.ok(engine.memory().peakBytes >= start.bytes + 2 * 4 * 256 * 256, "the peak is remembered");
  engine.resetPeak();
  assert.ok(engine.memory().peakBytes < start.bytes + 2 * 4 * 256 * 256, "until it is reset");
});

forEachEngine("a view keeps its numbers when its source is freed", async (engine) => {
  const source = tensor(engine, [1, 2, 3, 4, 5, 6], [2, 3]);
  const views = [
    source.reshape([6]),
    source.transpose(),
    source.slice([0, 1], [2, 2]),
    source.detach(),
    source.broadcastTo([1, 2, 3]),
  ];
  source.dispose();
  const expected = [[1, 2, 3, 4, 5, 6], [1, 4, 2, 5, 3, 6], [2, 3, 5, 6], [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]];
  for (const [i, view] of views.entries()) {
    assert.deepEqual([...await view.data()], expected[i]);
    view.dispose();
  }
});

forEachEngine("a failing step leaves nothing behind", async (engine) => {
  const x = tensor(engine, [1, 2, 3]);
  const before = engine.memory().tensors;
  assert.throws(
    () =>
      valueAndGrad(() => {
        x.exp().mul(2);
        throw new Error("no loss");
      }, [x]),
    { message: "no loss" },
  );
  assert.throws(() => valueAndGrad(() => x.square(), [x]), RangeError);
  assert.equal(engine.memory().tensors, before);
  const { value, gradients: [gradient] } = valueAndGrad(() => x.square().sum(), [x]);
  assert.equal(await value.item(), 14, "the next recording is not disturbed");
  assert.deepEqual([...await gradient.data()], [2, 4, 6]);
  for (const each of [x, value, gradient]) each.dispose();
});

forEachEngine("synchronize waits", async (engine) => {
  const x = full(engine, [64, 64], 1);
  const y = tidy(() => x.matmul(x).matmul(x));
  await engine.synchronize();
  assert.equal((await y.data())[0], 64 * 64);
  x.dispose();
  y.dispose();
});

forEachEngine("a closed engine refuses, its tensors too", async (closing) => {
  const old = tensor(closing, [1, 2]), freed = tensor(closing, [1]);
  freed.dispose();
  assert.throws(() => freed.add(1), {
    name: "Error",
    message:
      "a disposed tensor of shape [1] was used: it was freed by dispose() or by the tidy() that made it; return it " +
      "from tidy, or keep() it",
  });
  assert.equal(closing.closed, false);
  closing.close();
  closing.close();
  assert.equal(closing.closed, true);
  const { name } = closing;
  assert.throws(() => old.add(1), { name: "Error", message: `add: the ${name} engine of this tensor has been closed` });
  assert.throws(() => old.data(), {
    name: "Error",
    message: `data: the ${name} engine of this tensor has been closed`,
  });
  assert.throws(() => tensor(closing, [1]), { name: "Error", message: `tensor: the ${name} engine has been closed` });
  assert.throws(() => full(closing, [1], 0), { name: "Error", message: `full: the ${name} engine has been closed` });
  assert.throws(() => valueAndGrad(() => old.sum(), [old]), {
    name: "Error",
    message: `valueAndGrad: the ${name} engine of this tensor has been closed`,
  });

  const engine = await reopened(closing);
  assert.notEqual(engine, closing);
  const fresh = scalar(engine, 2);
  assert.equal(await fresh.item(), 2, "an engine can be opened again");
  assert.throws(() => fresh.add(old), {
    name: "TypeError",
    message:
      `add: operands live on different engines (${engine.description}; ${closing.description}): read the one and ` +
      "make a tensor of its numbers on the other",
  });
  old.dispose();
  fresh.dispose();
  assert.ok(fresh.isDisposed && old.isDisposed, "disposing after close is harmless");
});
