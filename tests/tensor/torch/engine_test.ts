/**
 * What is particular to the torch engine: ownership, errors, autograd's state, reading, accounts. That operators compute the
 * right numbers is tested for all engines in `tests/tensor/conformance_test.ts`.
 */
import assert from "node:assert/strict";
import { UserError } from "../../../lib/base/user_error.ts";
import { valueAndGrad } from "../../../lib/tensor/gradient.ts";
import { keep, tidy } from "../../../lib/tensor/scope.ts";
import { adamW, addAll, concat, full, type Tensor, tensor, zeros } from "../../../lib/tensor/tensor.ts";
import { openTorchEngine, type TorchEngine } from "../../../lib/tensor/torch/engine.ts";
import { chooseLibrary, searchLibrary } from "../../../lib/tensor/torch/location.ts";
import { loadPretendedDevice } from "../pretended_device/pretended_device.ts";

const there = chooseLibrary(searchLibrary()) !== undefined;
// LibTorch asks once a process which devices there are, in its first backward pass: tests that come later want theirs.
await loadPretendedDevice().catch(() => {});

function torchTest(name: string, run: (engine: TorchEngine) => void | Promise<void>): void {
  Deno.test({
    name: there ? name : `${name} (ignored: no LibTorch)`,
    ignore: !there,
    // LibTorch stays loaded.
    sanitizeResources: false,
    fn: async () => {
      // What glibc does by default depends on what was freed before: here it gives back early.
      Deno.dlopen("libc.so.6", { mallopt: { parameters: ["i32", "i32"], result: "i32" } }).symbols.mallopt(-1, 2 ** 20);
      const engine = await openTorchEngine({ device: "cpu", threads: 1 });
      try {
        await run(engine);
      } finally {
        engine.close();
      }
    },
  });
}

async function numbers(x: Tensor): Promise<number[]> {
  return Array.from(await x.data(), Number);
}

torchTest("describes itself", (engine) => {
  assert.match(engine.version, /^2\.\d+\.\d+$/);
  assert.equal(engine.device, "cpu");
  assert.ok(engine.threads >= 1);
  assert.match(engine.description, /^LibTorch 2\.\d+\.\d+ on cpu, \d+ threads? \(.+\)$/);
  for (const dtype of ["float32", "float64", "bfloat16", "int64", "bool"] as const) assert.ok(engine.supports(dtype));
});

torchTest("asked for wrongly, it says what is wrong", async () => {
  await assert.rejects(
    openTorchEngine({ device: "gpu" }),
    (error) => error instanceof UserError && /cpu, cuda/.test(error.message),
  );
  await assert.rejects(
    openTorchEngine({ device: "cuda:99" }),
    (error) => error instanceof UserError && /cuda:99/.test(error.message),
  );
  await assert.rejects(openTorchEngine({ threads: 0 }), /threads must be a whole number of at least 1: received 0/);
});

torchTest("an error names operator, operands and LibTorch's words, and leaves the engine sound", async (engine) => {
  const x = tensor(engine, [1, 2, 3, 4], [2, 2]), rows = tensor(engine, [7], [1], "int64");
  for (let i = 0; i < 50; i++) {
    assert.throws(() => x.gather(rows), /embedding of float32 \[2, 2\], int64 \[1\]: LibTorch says: /);
  }
  assert.deepEqual(await numbers(x.add(x)), [2, 4, 6, 8]);
  assert.equal(engine.memory().tensors, 3);
});

torchTest("what the direct calls cannot take is refused before", (engine) => {
  const flags = tensor(engine, [1, 0], [2], "bool"), ids = tensor(engine, [1, 2], [2], "int64");
  assert.throws(() => flags.sub(flags), /sub: needs numbers: received bool/);
  assert.throws(() => ids.add(0.5), /0\.5 is no int64/);
  assert.throws(() => ids.less(Infinity), /Infinity is no int64/);
});

torchTest("a lack of memory is an error of each kind of call, not the process's end", (engine) => {
  const one = tensor(engine, [1], [1]);
  const wide = one.broadcastTo([1 << 24, 1 << 24]);
  // Before 2.13 LibTorch's words only go to standard error.
  const out = { message: /can't allocate memory|not enough memory|out of memory|bad_alloc|see standard error/i };
  assert.throws(() => wide.exp(), out);
  assert.throws(() => wide.mul(2), out);
  assert.throws(() => wide.add(1), out);
  assert.throws(() => wide.sub(wide), out);
  assert.throws(() => valueAndGrad(() => wide.mul(one).add(one).sum(), [one]), out);
  assert.throws(() => full(engine, [1 << 24, 1 << 24], 1), out);
  assert.throws(() => tensor(engine, [1]).broadcastTo([1 << 24, 1 << 24]).cast("int64").add(1), out);
});

torchTest("int64 goes in from each kind of array and comes out in 32 bits, or not at all", async (engine) => {
  const least = -(2 ** 31), most = 2 ** 31 - 1;
  const given = [0, 1, -1, least, most];
  assert.deepEqual(await numbers(tensor(engine, Int32Array.from(given))), given);
  assert.deepEqual(await numbers(tensor(engine, given, [5], "int64")), given);
  assert.deepEqual(await numbers(tensor(engine, BigInt64Array.from(given, BigInt))), given);
  assert.ok((await tensor(engine, given, [5], "int64").data()) instanceof Int32Array);
  for (const beyond of [2 ** 31, -(2 ** 31) - 1, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
    const x = tensor(engine, [0, beyond], [2], "int64");
    await assert.rejects(x.data(), {
      name: "RangeError",
      message: new RegExp(`number 1 .* does not fit 32 bits: ${beyond}$`),
    });
    assert.deepEqual(await numbers(x.greater(most)), [0, beyond > 0 ? 1 : 0]);
  }
  assert.throws(() => tensor(engine, [0.5], [1], "int64"), /number 0 must be an integer for int64: received 0\.5/);
});

torchTest("bfloat16 rounds to nearest even, and a number beside it is exact", async (engine) => {
  const x = tensor(engine, [1 + 2 ** -8, 1 + 3 * 2 ** -8, 129], [3], "bfloat16");
  assert.deepEqual(await numbers(x), [1, 1 + 2 ** -6, 129]);
  // 12.9 rounds to 12.875; were 0.1 rounded to bfloat16 first, the product would be 12.9375.
  assert.equal((await numbers(x.mul(0.1)))[2], 12.875);
  assert.equal((await numbers(x.div(10)))[2], 12.875);
});

torchTest("a view is counted once, and its numbers live as long as it", async (engine) => {
  const x = tensor(engine, new Float32Array(1000), [10, 100]);
  assert.deepEqual(engine.memory(), { tensors: 1, bytes: 4000, peakBytes: 4000 });
  const views = [x.reshape([1000]), x.permute([1, 0]), x.slice([1, 1], [2, 2]), x.detach(), x.cast("float32")];
  assert.deepEqual(engine.memory(), { tensors: 6, bytes: 4000, peakBytes: 4000 });
  x.dispose();
  assert.equal(engine.memory().bytes, 4000);
  assert.deepEqual(await numbers(views[2]), [0, 0, 0, 0]);
  // Reshaping what is not contiguous makes numbers of its own.
  const copy = views[1].reshape([1000]);
  assert.equal(engine.memory().bytes, 8000);
  [...views, copy].forEach((each) => each.dispose());
  assert.deepEqual(engine.memory(), { tensors: 0, bytes: 0, peakBytes: 8000 });
  engine.resetPeak();
  assert.equal(engine.memory().peakBytes, 0);
});

torchTest("views that are made late outlive what they look at, in any order", async (engine) => {
  const before = engine.memory();
  const x = tensor(engine, Float32Array.from({ length: 24 }, (_, i) => i), [2, 3, 4]);
  const turned = x.permute([2, 0, 1]), part = turned.narrow(0, 1, 2), middle = part.narrow(1, 1, 1);
  const unused = part.narrow(2, 0, 1), row = middle.reshape([2, 3]);
  for (const each of [x, turned, part, middle]) each.dispose();
  assert.equal(engine.memory().bytes, before.bytes + 96, "the storage is still looked at");
  assert.deepEqual([...await row.data()], [13, 17, 21, 14, 18, 22]);
  row.dispose();
  unused.dispose();
  assert.deepEqual({ ...engine.memory(), peakBytes: 0 }, { ...before, peakBytes: 0 });
});

torchTest("the strides that results are taken to have are LibTorch's", async (engine) => {
  const x = tensor(engine, Float32Array.from({ length: 120 }, (_, i) => Math.sin(i)), [2, 3, 4, 5]);
  const weight = tensor(engine, [1, 2, 3, 4, 5]), row = tensor(engine, [5, 4, 3, 2, 1]);
  const results = (x: Tensor) => [
    ...[x.exp(), x.add(2), x.mul(row), x.sub(x), x.cast("float64").cast("float32"), x.cast("bfloat16").cast("float32")],
    ...[x.softmax(), x.logSoftmax(), x.rmsNorm(weight, 1e-5), x.matmul(x, { transposeB: true }), x.attention(x, x)],
    ...[concat([x, x], 1), concat([x, x], 3), concat([x.narrow(0, 0, 1), x], 0)],
    ...[x.reshape([x.size / 5, 5]).linear(x.reshape([x.size / 5, 5])), x.reshape([-1]), x.maximum(row).clone()],
  ];
  const views: ((x: Tensor) => Tensor)[] = [
    (x) => x,
    (x) => x.permute([2, 0, 1, 3]),
    (x) => x.narrow(1, 1, 2),
    (x) => x.permute([1, 2, 0, 3]).narrow(0, 0, 2),
    (x) => x.narrow(1, 0, 1),
    (x) => x.narrow(2, 0, 1).broadcastTo([2, 3, 4, 5]),
  ];
  for (const [v, view] of views.entries()) {
    for (const [i, result] of tidy(() => results(view(x))).entries()) {
      // The one by the strides that are assumed, the other as LibTorch reads its own tensor.
      const assumed = tidy(() => result.reshape([result.size]).clone());
      assert.deepEqual(await assumed.data(), await result.data(), `view ${v}, result ${i}`);
    }
  }
});

torchTest("closing frees what is alive; afterwards everything is refused, by name", async (engine) => {
  const x = tensor(engine, [1, 2]);
  keep(x.mul(2));
  engine.close();
  assert.equal(engine.closed, true);
  assert.deepEqual([engine.memory().tensors, engine.memory().bytes], [0, 0]);
  assert.throws(() => x.add(1), /closed/);
  assert.throws(() => tensor(engine, [1]), /closed/);
  await assert.rejects(async () => await x.data(), /closed/);
  assert.throws(() => engine.gradients(() => ({ loss: x, aux: [] }), [], false), /closed/);
  x.dispose();
  engine.close();
});

torchTest("engines side by side do not disturb one another", async (engine) => {
  const other = await openTorchEngine();
  const x = tensor(engine, [1, 2]), y = tensor(other, [3]);
  assert.throws(() => x.add(y), /different engines/);
  other.close();
  assert.deepEqual(await numbers(x.add(x)), [2, 4]);
});

torchTest("a call on one engine inside a call on another does not end the outer recording", async (engine) => {
  const x = tensor(engine, [2, 3]);
  const other = await openTorchEngine();
  const y = tensor(other, [5]);
  const { gradients } = valueAndGrad(() => {
    valueAndGrad(() => y.square().sum(), [y]);
    return x.square().sum();
  }, [x]);
  assert.deepEqual(await numbers(gradients[0]), [4, 6]);
  other.close();
});

torchTest("nothing is recorded outside a call, also after one that failed", async (engine) => {
  const x = tensor(engine, [1, 2]);
  assert.throws(() =>
    valueAndGrad(() => {
      throw new Error("mine");
    }, [x]), /mine/);
  assert.throws(() => valueAndGrad(() => x.mul(2), [x]), /the loss must be one floating number/);
  // Were something still recorded, this would be refused as a leaf that was computed.
  const y = x.mul(3);
  const { gradients } = valueAndGrad(() => y.square().sum(), [y]);
  assert.deepEqual(await numbers(gradients[0]), [6, 12]);
});

torchTest("a leaf must be floating, and not computed inside a recording unless detached", async (engine) => {
  const ids = tensor(engine, [1], [1], "int64"), x = tensor(engine, [2]);
  assert.throws(
    () => valueAndGrad(() => ids.cast("float32").sum(), [ids]),
    /leaf 0 of type int64 has no gradient/,
  );
  assert.throws(
    () =>
      valueAndGrad(() => {
        const h = x.mul(2);
        return valueAndGrad(() => h.square().sum(), [h]).value;
      }, [x]),
    /leaf 0 of shape \[1\] was computed inside a valueAndGrad: detach\(\) it first/,
  );
  const { value } = valueAndGrad(() => {
    const h = x.mul(2).detach();
    const inner = valueAndGrad(() => h.square().sum(), [h]);
    return inner.gradients[0].mul(x).sum();
  }, [x]);
  assert.equal(await value.item(), 16);
});

torchTest("an inner call by other leaves leaves the outer recording whole", async (engine) => {
  const x = tensor(engine, [2, 3]), w = tensor(engine, [5, 7]);
  const { gradients } = valueAndGrad(() => {
    const h = x.mul(w);
    const point = h.detach();
    // Uses h, which the outer call still needs for its own backward pass.
    const inner = valueAndGrad(() => point.mul(h).sum(), [point]);
    return h.square().sum().add(inner.value);
  }, [x, w]);
  // d(x²w²)/dx = 2xw²; the inner value comes back detached.
  assert.deepEqual(await numbers(gradients[0]), [100, 294]);
  assert.deepEqual(await numbers(gradients[1]), [40, 126]);
});

torchTest("one leaf in two nested calls, twice in one list, and unused", async (engine) => {
  const x = tensor(engine, [2, 3]), unused = tensor(engine, [1, 1, 1]);
  const { gradients } = valueAndGrad(() => {
    const inner = valueAndGrad(() => x.square().sum(), [x]);
    return inner.gradients[0].mul(x).sum();
  }, [x, x, unused]);
  // The inner gradient 2x is a constant of the outer call.
  assert.deepEqual(await numbers(gradients[0]), [4, 6]);
  assert.deepEqual(await numbers(gradients[1]), [4, 6]);
  assert.deepEqual(await numbers(gradients[2]), [0, 0, 0]);
});

torchTest("a leaf or an engine that the function takes away is no harm", async (engine) => {
  const x = tensor(engine, [2, 3]);
  const { gradients } = valueAndGrad(() => {
    const loss = x.square().sum();
    x.dispose();
    return loss;
  }, [x]);
  assert.deepEqual(await numbers(gradients[0]), [4, 6]);
  const other = await openTorchEngine();
  const y = tensor(other, [2]);
  assert.throws(() =>
    valueAndGrad(() => {
      const loss = y.sum();
      other.close();
      return loss;
    }, [y]), /closed by the function/);
  assert.deepEqual(await numbers(gradients[0].mul(2)), [8, 12]);
});

torchTest("attention is differentiable twice", async (engine) => {
  const shape = [1, 1, 3, 2];
  const q = tensor(engine, [0.1, 0.4, -0.3, 0.2, 0.5, -0.6], shape, "float64");
  const penalty = () =>
    valueAndGrad(() => {
      const inner = valueAndGrad(() => q.attention(q, q, { causal: true }).square().sum(), [q], { createGraph: true });
      return inner.gradients[0].square().sum();
    }, [q]);
  const { gradients } = penalty();
  const analytic = await numbers(gradients[0]);
  const values = await numbers(q), step = 1e-5;
  for (let i = 0; i < values.length; i++) {
    const at = async (delta: number) => {
      q.assign(tensor(engine, values.map((each, j) => j === i ? each + delta : each), shape, "float64"));
      return await penalty().value.item();
    };
    const slope = (await at(step) - await at(-step)) / (2 * step);
    assert.ok(Math.abs(slope - analytic[i]) < 1e-8, `${i}: ${slope} ${analytic[i]}`);
  }
});

const ADAMW = {
  learningRate: 1,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  step: 1,
  gradientScale: 1,
};

torchTest("writing in place is refused while recording", (engine) => {
  const x = tensor(engine, [1, 2]), y = zeros(engine, [2]);
  assert.throws(() => valueAndGrad(() => (y.assign(x), x.sum()), [x]), /assign: .* running valueAndGrad/);
  assert.throws(() => valueAndGrad(() => (y.assignSlice(x, 0, 0), x.sum()), [x]), /assignSlice: /);
  assert.throws(() => valueAndGrad(() => (addAll([y], [x]), x.sum()), [x]), /addAll: /);
  assert.throws(() => valueAndGrad(() => (adamW([x], [y], [y], [y], ADAMW), x.sum()), [x]), /adamW: /);
});

torchTest("adamW scales gradients, makes no copy of them, and takes lists of other strides", async (engine) => {
  const size = 1 << 20, options = { ...ADAMW, learningRate: 0.1, step: 1, gradientScale: 0.5 };
  const make = (value: number) => [full(engine, [size], value), full(engine, [2, 3], 2 * value)];
  const [p, g, m, v] = [make(1), make(0.2), make(0), make(0)];
  // Of other strides than its parameter: LibTorch's direct call might refuse it.
  const turned = full(engine, [3, 2], 0.4), other = turned.transpose();
  const before = engine.memory();
  engine.resetPeak();
  adamW(p, g, m, v, options);
  assert.ok(engine.memory().peakBytes < before.bytes + 64, "no copy of the gradients");
  adamW([p[1]], [other], [m[1]], [v[1]], options);
  assert.equal(engine.memory().bytes, before.bytes);
  const close = (x: number, wanted: number) => assert.ok(Math.abs(x - wanted) < 1e-7, `${x}, not ${wanted}`);
  close(await m[0].slice([0], [1]).item(), 0.1 * 0.1);
  close(await m[1].slice([0, 0], [1, 1]).item(), 0.1 * 0.2 * 1.9);
});

torchTest("the recorded graph does not outlive its call", (engine) => {
  const w = full(engine, [256], 0.01), x = full(engine, [512, 256], 1);
  const step = () =>
    tidy(() => {
      valueAndGrad(() => {
        let h = x;
        for (let i = 0; i < 20; i++) h = h.mul(w).tanh();
        return h.square().mean();
      }, [w]);
    });
  for (let i = 0; i < 5; i++) step();
  const before = Deno.memoryUsage().rss;
  // Twelve steps of forty activations of 512 KiB each: 250 MB if they stayed.
  for (let i = 0; i < 12; i++) step();
  const grown = Deno.memoryUsage().rss - before;
  assert.ok(grown < 60e6, `grew by ${grown} bytes`);
  assert.equal(engine.memory().tensors, 2);
});

// Of the main thread, where commands compute: glibc gives other threads heaps of 64 MiB each, which it does give back.
Deno.test({
  name: there ? "memory that was freed is used again, not asked for anew" : "memory reuse (ignored: no LibTorch)",
  ignore: !there || Deno.build.os !== "linux",
  fn: async () => {
    const from = (path: string) => JSON.stringify(new URL(`../../../lib/tensor/${path}`, import.meta.url).href);
    const program = `
      import { openTorchEngine } from ${from("torch/engine.ts")};
      import { tidy } from ${from("scope.ts")};
      import { zeros } from ${from("tensor.ts")};
      // Fields after the command's name, which may hold anything: minor faults are the tenth of all.
      const faults = () => Number(Deno.readTextFileSync("/proc/self/stat").split(") ").at(-1).split(" ")[7]);
      // What glibc does by default depends on what was freed before: here it gives back early.
      Deno.dlopen("libc.so.6", { mallopt: { parameters: ["i32", "i32"], result: "i32" } }).symbols.mallopt(-1, 2 ** 20);
      const engine = await openTorchEngine({ device: "cpu", threads: 1 });
      const x = zeros(engine, [2 ** 20]), chain = () => tidy(() => void [1, 2, 3, 4, 5, 6, 7, 8].map((each) => x.add(each)));
      for (let i = 0; i < 5; i++) chain();
      const before = faults();
      for (let i = 0; i < 20; i++) chain();
      console.log(faults() - before);`;
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", `data:application/typescript;base64,${btoa(program)}`],
      env: { OMP_NUM_THREADS: "1" },
    }).output();
    const pages = Number(new TextDecoder().decode(stdout));
    // 160 tensors of 4 MiB are 163,840 pages; the engine that runs the program needs some as well.
    assert.ok(pages < 16_384, `${pages} pages for 20 rounds; ${new TextDecoder().decode(stderr)}`);
  },
});
