/** The pretended device is as strict as CUDA is, and counts what passes. */
import assert from "node:assert/strict";
import { tidy } from "../../../lib/tensor/scope.ts";
import { tensor } from "../../../lib/tensor/tensor.ts";
import { Context, CPU, lend } from "../../../lib/tensor/torch/context.ts";
import { parseDevice } from "../../../lib/tensor/torch/cuda.ts";
import { operator } from "../../../lib/tensor/torch/dispatcher.ts";
import type { Owned } from "../../../lib/tensor/torch/memory.ts";
import { openCountingEngine } from "./counting_engine.ts";
import { loadPretendedDevice, PRETENDED } from "./pretended_device.ts";

const missing = await loadPretendedDevice().then(() => undefined, (error: Error) => error.message.split("\n")[0]);

function deviceTest(name: string, fn: () => void | Promise<void>): void {
  Deno.test({
    name: missing === undefined ? name : `${name} (ignored: ${missing})`,
    ignore: missing !== undefined,
    // LibTorch stays loaded.
    sanitizeResources: false,
    fn,
  });
}

deviceTest("the pretended device refuses the host's memory, but for numbers beside arithmetic", async () => {
  const { library } = await loadPretendedDevice(), c = new Context(library, parseDevice(PRETENDED));
  const mine: Owned[] = [];
  const make = (shape: number[], dtype: "float32" | "int64", device?: number) => {
    const made = c.full(1, shape, dtype, device);
    mine.push(made);
    return lend(made);
  };
  const there = make([3, 3], "float32"), here = make([3, 3], "float32", CPU), number = make([], "float32", CPU);
  const mm = operator("aten::mm"), mul = operator("aten::mul", "Tensor"), maximum = operator("aten::maximum");
  const embedding = operator("aten::embedding"), indices = make([2], "int64", CPU);
  c.free(c.call.borrow(there).borrow(there).run(mm));
  c.free(c.call.borrow(there).borrow(number).run(mul));
  // LibTorch itself looks at what some operators get; the device at the rest.
  const refused =
    /Expected all tensors to be on the same device|aten::\w+ got \w+ of shape \[.*\] in the host's memory: upload it first/;
  assert.throws(() => c.call.borrow(there).borrow(here).run(mm), refused);
  assert.throws(() => c.call.borrow(there).borrow(here).run(mul), refused);
  assert.throws(() => c.call.borrow(there).borrow(number).run(maximum), refused);
  assert.throws(() => c.call.borrow(there).borrow(indices).int(-1).bool(false).bool(false).run(embedding), refused);
  mine.forEach((each) => c.free(each));
});

deviceTest(
  "the pretended device counts kernels, uploads and reads, and the engine its operators and calls",
  async () => {
    const { engine, counted, byName } = await openCountingEngine();
    assert.equal(engine.device, PRETENDED);
    const { calls, ...counts } = await counted(async () => {
      const x = tensor(engine, [1, 2, 3, 4], [2, 2]);
      const y = tidy(() => x.matmul(x).transpose().add(1));
      assert.deepEqual([...await y.data()], [8, 16, 11, 23]);
      for (const each of [x, y]) each.dispose();
    });
    // The number 1 is made on the host; a transposed view is no kernel, but has to be written out before it is read.
    assert.deepEqual(byName().map(([name, count]) => [name.split(".")[0], count]), [
      ["aten::copy_", 1],
      ["aten::mm", 1],
      // How the engine adds, see `Context.sum`.
      ["aten::sub", 1],
    ]);
    assert.deepEqual(counts, { operators: 6, kernels: 3, uploads: 1, reads: 1 });
    assert.ok(calls > 20 && calls < 60, `${calls} calls`);
    engine.close();
  },
);
