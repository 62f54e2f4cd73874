/** What `Tensor` itself does: shapes and types of results, and one error for each kind of mistake, the same on every engine. */
import assert from "node:assert/strict";
import { adamW, concat, full, ones, scalar, stack, Tensor, tensor, zeros } from "../../lib/tensor/tensor.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import type { DType } from "../../lib/tensor/dtype.ts";
import { forEachEngine } from "../support/engines.ts";

type Make = (shape: number[], dtype?: "float32" | "int64" | "bool") => Tensor;

const STEP = { learningRate: 1, beta1: 0, beta2: 0, epsilon: 1, weightDecay: 0, step: 1, gradientScale: 1 };

/** Mistakes and their messages. */
const MISTAKES: [error: "RangeError" | "TypeError", message: string, call: (make: Make) => unknown][] = [
  ["RangeError", "add: shapes [2, 3] and [2] do not broadcast", (t) => t([2, 3]).add(t([2]))],
  ["RangeError", "less: shapes [2] and [3] do not broadcast", (t) => t([2]).less(t([3]))],
  ["TypeError", "mul: types float32 and int64 differ: cast one of them", (t) => t([2]).mul(t([2], "int64"))],
  ["TypeError", "equal: types bool and float32 differ: cast one of them", (t) => t([2], "bool").equal(t([2]))],
  ["TypeError", "exp: needs a floating type: received int64", (t) => t([2], "int64").exp()],
  ["TypeError", "div: needs a floating type: received int64", (t) => t([2], "int64").div(2)],
  ["TypeError", "pow: needs a floating type: received int64", (t) => t([2], "int64").pow(2)],
  ["TypeError", "mean: needs a floating type: received int64", (t) => t([2], "int64").mean()],
  ["TypeError", "softmax: needs a floating type: received int64", (t) => t([2], "int64").softmax()],
  ["TypeError", "logSoftmax: needs a floating type: received bool", (t) => t([2], "bool").logSoftmax()],
  ["TypeError", "leakyRelu: needs a floating type: received int64", (t) => t([2], "int64").leakyRelu(0.1)],
  ["TypeError", "add: needs numbers: received bool: cast it first", (t) => t([2], "bool").add(t([2], "bool"))],
  ["TypeError", "neg: needs numbers: received bool: cast it first", (t) => t([2], "bool").neg()],
  ["TypeError", "max: needs numbers: received bool: cast it first", (t) => t([2], "bool").max()],
  ["TypeError", "cumsum: needs numbers: received bool: cast it first", (t) => t([2], "bool").cumsum()],
  ["TypeError", "argmax: needs numbers: received bool: cast it first", (t) => t([2], "bool").argmax()],
  [
    "TypeError",
    "add: 0.5 is no int64: cast the tensor to a floating type first",
    (t) => t([2], "int64").add(0.5),
  ],
  ["TypeError", "and: needs bool: received int64", (t) => t([2], "int64").and(t([2], "int64"))],
  ["TypeError", "not: needs bool: received float32", (t) => t([2]).not()],
  ["TypeError", "where: needs bool: received float32", (t) => t([2]).where(t([2]), t([2]))],
  [
    "TypeError",
    "where: types float32 and int64 differ: cast one of them",
    (t) => t([2], "bool").where(t([2]), t([2], "int64")),
  ],
  ["RangeError", "where: shapes [2] and [3] do not broadcast", (t) => t([2], "bool").where(t([3]), t([3]))],
  ["RangeError", "clamp: low must not exceed high: received 2 and 1", (t) => t([2]).clamp(2, 1)],
  ["RangeError", "clamp: low must not exceed high: received NaN and 1", (t) => t([2]).clamp(NaN, 1)],
  ["RangeError", "sum: axis 2 does not exist in a tensor of rank 2", (t) => t([2, 3]).sum(2)],
  ["RangeError", "max: axis -3 does not exist in a tensor of rank 2", (t) => t([2, 3]).max([0, -3])],
  ["RangeError", "max: there are no numbers along an axis of [0, 3]", (t) => t([0, 3]).max(0)],
  ["RangeError", "argmax: there are no numbers along an axis of [2, 0]", (t) => t([2, 0]).argmax(1)],
  ["RangeError", "argmax: axis -1 does not exist in a tensor of rank 0", (t) => t([]).argmax()],
  ["RangeError", "topK: k must be from 1 to the last extent 3: received 4", (t) => t([2, 3]).topK(4)],
  ["RangeError", "topK: k must be from 1 to the last extent 3: received 0", (t) => t([2, 3]).topK(0)],
  ["RangeError", "reshape: [2, 3] does not fit into [4, -1]", (t) => t([2, 3]).reshape([4, -1])],
  ["RangeError", "reshape: [2, 3] does not fit into [5]", (t) => t([2, 3]).reshape([5])],
  ["RangeError", "reshape: [1] does not fit into [-1, -1]", (t) => t([1]).reshape([-1, -1])],
  ["RangeError", "permute: order [0, 0] must name each of 2 axes once", (t) => t([2, 3]).permute([0, 0])],
  ["RangeError", "permute: order [0] must name each of 2 axes once", (t) => t([2, 3]).permute([0])],
  [
    "RangeError",
    "slice: begin [1, 2] and size [2, 1] do not lie within [2, 3]",
    (t) => t([2, 3]).slice([1, 2], [2, 1]),
  ],
  ["RangeError", "slice: begin [0] and size [1] do not lie within [2, 3]", (t) => t([2, 3]).slice([0], [1])],
  [
    "RangeError",
    "pad: needs 2 pairs of non-negative numbers: received [[1,0]]",
    (t) => t([2, 3]).pad([[1, 0]]),
  ],
  ["RangeError", "pad: needs 1 pairs of non-negative numbers: received [[-1,0]]", (t) => t([2]).pad([[-1, 0]])],
  ["RangeError", "broadcastTo: shapes [2] and [3] do not broadcast", (t) => t([2]).broadcastTo([3])],
  ["RangeError", "broadcastTo: [2, 1] does not stretch to [1]", (t) => t([2, 1]).broadcastTo([1])],
  [
    "TypeError",
    "gather: indices must be int64 of rank 1: received float32 [2]",
    (t) => t([2, 3]).gather(t([2])),
  ],
  [
    "TypeError",
    "gather: indices must be int64 of rank 1: received int64 [2, 1]",
    (t) => t([2, 3]).gather(t([2, 1], "int64")),
  ],
  [
    "RangeError",
    "takeAlong: indices int64 [3, 1] do not match [2, 3] along axis -1",
    (t) => t([2, 3]).takeAlong(t([3, 1], "int64")),
  ],
  [
    "RangeError",
    "matmul: inner extents 3 and 2 differ: received [2, 3] and [2, 3]",
    (t) => t([2, 3]).matmul(t([2, 3])),
  ],
  [
    "RangeError",
    "matmul: inner extents 2 and 3 differ: received [2, 3]ᵀ and [2, 3]ᵀ",
    (t) => t([2, 3]).matmul(t([2, 3]), { transposeA: true, transposeB: true }),
  ],
  [
    "RangeError",
    "matmul: needs two axes on both sides: received [3] and [3, 2]",
    (t) => t([3]).matmul(t([3, 2])),
  ],
  [
    "RangeError",
    "matmul: shapes [2] and [3] do not broadcast",
    (t) => t([2, 1, 1]).matmul(t([3, 1, 1])),
  ],
  [
    "TypeError",
    "matmul: needs a floating type: received int64",
    (t) => t([2, 2], "int64").matmul(t([2, 2], "int64")),
  ],
  [
    "RangeError",
    "linear: x [2, 3] does not fit weight [4, 2] and bias [4]",
    (t) => t([2, 3]).linear(t([4, 2]), t([4])),
  ],
  [
    "RangeError",
    "conv2d: x [1, 2, 2, 3] [B, H, W, C] does not fit weight [4, 3, 3, 3] [O, C, kH, kW]",
    (t) => t([1, 2, 2, 3]).conv2d(t([4, 3, 3, 3]), undefined, { stride: 1, padding: [0, 0, 0, 0] }),
  ],
  [
    "RangeError",
    "conv2d: stride must be a positive integer and padding four non-negative ones: received 0 and [0, 0, 0, 0]",
    (t) => t([1, 2, 2, 3]).conv2d(t([4, 3, 1, 1]), undefined, { stride: 0, padding: [0, 0, 0, 0] }),
  ],
  [
    "RangeError",
    "upsampleNearest2x: needs an image [B, H, W, C]: received [2, 3]",
    (t) => t([2, 3]).upsampleNearest2x(),
  ],
  ["RangeError", "maxPool2x2: needs an image [B, H, W, C]: received [2]", (t) => t([2]).maxPool2x2()],
  ["RangeError", "rmsNorm: weight [2] does not fit x [2, 3]", (t) => t([2, 3]).rmsNorm(t([2]), 1e-5)],
  [
    "RangeError",
    "groupNorm: 4 channels of [1, 4] do not divide into 3 groups",
    (t) => t([1, 4]).groupNorm(3, t([4]), t([4]), 1e-5),
  ],
  [
    "RangeError",
    "groupNorm: 4 channels of [1, 4] do not divide into 0.5 groups",
    (t) => t([1, 4]).groupNorm(0.5, t([4]), t([4]), 1e-5),
  ],
  [
    "RangeError",
    "attention: queries [1, 1, 3, 2], keys [1, 1, 2, 2] and values [1, 1, 2, 2] do not fit",
    (t) => t([1, 1, 3, 2]).attention(t([1, 1, 2, 2]), t([1, 1, 2, 2]), { causal: true }),
  ],
  ["RangeError", "assign: shapes [2] and [1, 2] differ", (t) => t([2]).assign(t([1, 2]))],
  ["TypeError", "assign: types float32 and int64 differ: cast one of them", (t) => t([2]).assign(t([2], "int64"))],
  [
    "RangeError",
    "assignSlice: [2, 2] at 2 of axis 0 does not lie within [3, 2]",
    (t) => t([3, 2]).assignSlice(t([2, 2]), 0, 2),
  ],
  ["RangeError", "concat: needs at least one tensor: received none", () => concat([])],
  [
    "RangeError",
    "concat: shapes [2, 3] and [3, 2] differ outside axis 0",
    (t) => concat([t([2, 3]), t([3, 2])]),
  ],
  ["TypeError", "concat: types float32 and int64 differ: cast one of them", (t) => concat([t([2]), t([2], "int64")])],
  [
    "RangeError",
    "adamW: parameter 0 of shape [2] must be float32, and so must its gradient and two moments of that shape",
    (t) => adamW([t([2])], [t([3])], [t([2])], [t([2])], STEP),
  ],
  ["RangeError", "tensor: 3 numbers do not fill shape [2, 2]", (t) => tensor(t([]).engine, [1, 2, 3], [2, 2])],
];

forEachEngine("mistakes give the same errors on every engine", (engine) => {
  const make: Make = (shape, dtype = "float32") => zeros(engine, shape, dtype);
  const before = engine.memory().tensors;
  for (const [name, message, call] of MISTAKES) {
    assert.throws(() => tidy(() => void call(make)), { name, message });
  }
  assert.equal(engine.memory().tensors, before, "a refused call leaves nothing behind");
});

forEachEngine("item reads one number and refuses more", async (engine) => {
  const one = tensor(engine, [7], [1, 1]), two = zeros(engine, [2]), yes = scalar(engine, 1, "bool");
  assert.equal(await one.item(), 7);
  assert.equal(await yes.item(), 1);
  await assert.rejects(two.item(), { name: "RangeError", message: "item: needs one element: received shape [2]" });
  for (const each of [one, two, yes]) each.dispose();
});

forEachEngine("what makes tensors, makes them", async (engine) => {
  const made = {
    tensor: tensor(engine, Int32Array.of(1, 2)),
    big: tensor(engine, BigInt64Array.of(3n)),
    list: tensor(engine, [1.5, 2]),
    doubles: tensor(engine, Float64Array.of(0.5)),
    zeros: zeros(engine, [2, 1]),
    ones: ones(engine, [2], "int64"),
    full: full(engine, [1, 2], 2.5),
    scalar: scalar(engine, -1),
  };
  const read: Record<string, unknown> = {};
  for (const [name, each] of Object.entries(made)) {
    read[name] = [each.dtype, each.shape, [...await each.data()]];
    assert.equal(each.rank, each.shape.length);
    each.dispose();
  }
  assert.deepEqual(read, {
    tensor: ["int64", [2], [1, 2]],
    big: ["int64", [1], [3]],
    list: ["float32", [2], [1.5, 2]],
    doubles: ["float32", [1], [0.5]],
    zeros: ["float32", [2, 1], [0, 0]],
    ones: ["int64", [2], [1, 1]],
    full: ["float32", [1, 2], [2.5, 2.5]],
    scalar: ["float32", [], [-1]],
  });
});

forEachEngine("a disposed tensor is refused wherever it is used", (engine) => {
  const gone = zeros(engine, [2]), here = zeros(engine, [2]);
  gone.dispose();
  assert.ok(gone.isDisposed);
  const message = "a disposed tensor of shape [2] was used: it was freed by dispose() or by the tidy() that made it; " +
    "return it from tidy, or keep() it";
  const uses = [
    () => gone.neg(),
    () => gone.add(here),
    () => here.add(gone),
    () => here.less(gone),
    () => gone.sum(),
    () => gone.reshape([1, 2]),
    () => concat([here, gone]),
    () => stack([gone, here]),
    () => here.assign(gone),
    () => gone.data(),
  ];
  for (const use of uses) assert.throws(use, { name: "Error", message });
  here.dispose();
});

forEachEngine("a tensor of another engine is refused", (engine) => {
  // Another engine object is enough to be foreign: what it would compute is never asked for.
  const other = Object.create(engine, { description: { value: "another engine" } });
  const here = zeros(engine, [2]), there = new Tensor(other, {}, [2], "float32");
  const message =
    `add: operands live on different engines (${engine.description}; another engine): read the one and make a ` +
    "tensor of its numbers on the other";
  assert.throws(() => here.add(there), { name: "TypeError", message });
  assert.throws(() => concat([here, there]), {
    name: "TypeError",
    message: "concat: operands live on different engines",
  });
  here.dispose();
});

forEachEngine("data goes in and comes out", async (engine) => {
  const kinds = {
    float32: Float32Array,
    bfloat16: Float32Array,
    float64: Float64Array,
    int64: Int32Array,
    bool: Uint8Array,
  } as const;
  const values = [0, 1, 1, 0, 1, 1];
  const hosts = [
    values,
    Float32Array.from(values),
    Float64Array.from(values),
    Int32Array.from(values),
    BigInt64Array.from(values, BigInt),
    Uint8Array.from(values),
  ];
  for (const [dtype, Kind] of Object.entries(kinds) as [DType, typeof kinds[DType]][]) {
    if (!engine.supports(dtype)) {
      assert.throws(() => tensor(engine, [1], [1], dtype), {
        name: "TypeError",
        message:
          `tensor: ${dtype} does not exist on the ${engine.name} engine (${engine.backend}): use float32, or an engine ` +
          "that has it (deno task doctor)",
      });
      continue;
    }
    for (const host of hosts) {
      const made = tensor(engine, host, [2, 3], dtype);
      const back = await made.data();
      assert.ok(back instanceof Kind, `${dtype} is read as ${Kind.name}: received ${back.constructor.name}`);
      assert.deepEqual([...back], values, `${dtype} from ${host.constructor.name}`);
      made.dispose();
    }
    const empty = tensor(engine, [], [0, 3], dtype),
      filled = new Tensor(engine, engine.full(1, [2, 1], dtype), [2, 1], dtype);
    assert.equal((await empty.data()).length, 0);
    assert.deepEqual([...await filled.data()], [1, 1]);
    empty.dispose();
    filled.dispose();
  }
  const whole = tensor(engine, BigInt64Array.of(-(2n ** 31n), 2n ** 31n - 1n), [2]);
  assert.deepEqual([...await whole.data()], [-(2 ** 31), 2 ** 31 - 1], "int64 within 32 bits");
  whole.dispose();
  const source = Float32Array.of(1.5, 2.5);
  const copied = tensor(engine, source);
  source.fill(0);
  assert.deepEqual([...await copied.data()], [1.5, 2.5], "the tensor does not change with its source");
  const first = await copied.data();
  first.fill(7);
  assert.deepEqual([...await copied.data()], [1.5, 2.5], "nor with what was read");
  copied.dispose();
  if (engine.name === "tfjs") assert.throws(() => tensor(engine, BigInt64Array.of(2n ** 40n), [1]), RangeError);
});

forEachEngine("reductions of no numbers are what they are of none, whatever lay in memory before", async (engine) => {
  for (const size of [3, 3, 3, 3, 1, 1]) full(engine, [size], 7).dispose();
  const none = zeros(engine, [0, 3]), row = ones(engine, [3]);
  assert.deepEqual([...await none.sum(0).data()], [0, 0, 0]);
  assert.deepEqual([...await none.cast("int64").sum(0).data()], [0, 0, 0]);
  assert.equal(await none.sum().item(), 0);
  assert.deepEqual([...await none.mean(0).data()], [NaN, NaN, NaN]);
  assert.deepEqual([...await none.logSumExp(0).data()], [-Infinity, -Infinity, -Infinity]);
  const { gradients: [towards] } = valueAndGrad(() => none.add(row).sum(), [row]);
  assert.deepEqual([...await towards.data()], [0, 0, 0]);
});
