/** One backend a process at a time; engines of the same backend live beside each other; what is missing is said. */
import assert from "node:assert/strict";
import { UserError } from "../../../lib/base/user_error.ts";
import { wrongKernels } from "../../../lib/tensor/tfjs/self_check.ts";
import { openTfjsEngine } from "../../../lib/tensor/tfjs/engine.ts";
import { valueAndGrad } from "../../../lib/tensor/gradient.ts";
import { tensor } from "../../../lib/tensor/tensor.ts";

Deno.test("two engines on one backend; another backend waits until both are closed", async () => {
  const a = await openTfjsEngine({ backend: "wasm" }), b = await openTfjsEngine({ backend: "wasm" });
  const x = tensor(a, [1, 2]), y = tensor(b, [3, 4]);
  assert.equal(a.memory().tensors, 1);
  await assert.rejects(openTfjsEngine({ backend: "cpu" }), {
    name: "UserError",
    message: /cannot open the cpu backend while an engine on wasm is open/,
  });
  a.close();
  a.close();
  assert.throws(() => x.add(1), /has been closed/);
  assert.deepEqual([...await y.data()], [3, 4], "the other engine goes on");
  await assert.rejects(openTfjsEngine({ backend: "cpu" }), UserError);
  b.close();
  const c = await openTfjsEngine({ backend: "cpu" });
  const z = tensor(c, [1, 2, 3, 4], [2, 2]),
    image = tensor(c, Float32Array.from({ length: 32 }, (_, i) => i), [1, 4, 4, 2]);
  const w = tensor(c, Float32Array.from({ length: 18 }, (_, i) => i - 9), [1, 2, 3, 3]);
  const product = z.matmul(z);
  assert.deepEqual([...await product.data()], [7, 10, 15, 22]);
  const { gradients: [dw] } = valueAndGrad(
    () => image.conv2d(w, undefined, { stride: 1, padding: [0, 0, 0, 0] }).sum(),
    [w],
  );
  // Sums of the 2 × 2 windows of each channel.
  assert.deepEqual([...await dw.data()], [20, 28, 36, 52, 60, 68, 84, 92, 100, 24, 32, 40, 56, 64, 72, 88, 96, 104]);
  c.close();
  const again = await openTfjsEngine({ backend: "wasm" });
  const back = tensor(again, [5]);
  assert.equal(await back.item(), 5);
  again.close();
});

Deno.test("a backend that is not there says what to do", async () => {
  const before = Deno.env.get("RLVR_WORLD_CACHE");
  Deno.env.set("RLVR_WORLD_CACHE", Deno.makeTempDirSync());
  try {
    await assert.rejects(openTfjsEngine({ backend: "tensorflow" }), {
      name: "UserError",
      message: /is not installed: run deno task install-tfjs-node/,
    });
  } finally {
    if (before === undefined) Deno.env.delete("RLVR_WORLD_CACHE");
    else Deno.env.set("RLVR_WORLD_CACHE", before);
  }
  // tfjs 4.22.0's kernels are not right; when they are, this test says so.
  const message = await navigator.gpu?.requestAdapter()
    ? /wrong numbers on WebGPU \(pad of five axes, /
    : /finds no adapter/;
  await assert.rejects(openTfjsEngine({ backend: "webgpu" }), { name: "UserError", message });
  // A failed attempt leaves the way free.
  (await openTfjsEngine({ backend: "wasm" })).close();
});

Deno.test("the check of kernels is right where the kernels are", async () => {
  const engine = await openTfjsEngine({ backend: "wasm" });
  assert.deepEqual(await wrongKernels(), []);
  engine.close();
});
