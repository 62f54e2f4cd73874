/** What `valueAndGrad` promises beyond single operators: nesting, leaves, aux, and who frees what. */
import assert from "node:assert/strict";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { full, scalar, type Tensor, tensor, zeros } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";

/** Numbers of tensors, which are freed. */
async function take(...tensors: Tensor[]): Promise<number[][]> {
  const out = [];
  for (const each of tensors) {
    out.push([...await each.data()]);
    each.dispose();
  }
  return out;
}

forEachEngine("value and gradients of a function", async (engine) => {
  const before = engine.memory().tensors;
  const x = tensor(engine, [1, 2, 3]), y = tensor(engine, [4, 5, 6]);
  const { value, gradients, aux } = valueAndGrad(() => x.mul(y).sum(), [y, x]);
  assert.deepEqual([value.shape, value.dtype, aux], [[], "float32", undefined]);
  assert.deepEqual(gradients.map(({ shape, dtype }) => [shape, dtype]), [[[3], "float32"], [[3], "float32"]]);
  assert.deepEqual(await take(value, ...gradients), [[32], [1, 2, 3], [4, 5, 6]], "in the order of the leaves");
  assert.equal(engine.memory().tensors, before + 2, "nothing but the results outlives the call");
  await take(x, y);
});

forEachEngine("a leaf that the loss does not depend on gets zeros of its shape and type", async (engine) => {
  const x = tensor(engine, [1, 2]), unused = full(engine, [2, 3], 7);
  const { value, gradients } = valueAndGrad(() => x.square().sum(), [unused, x]);
  assert.deepEqual(gradients[0].shape, [2, 3]);
  assert.deepEqual(await take(value, ...gradients), [[5], [0, 0, 0, 0, 0, 0], [2, 4]]);
  const constant = valueAndGrad(() => scalar(engine, 3), [x]);
  assert.deepEqual(await take(constant.value, ...constant.gradients), [[3], [0, 0]], "a loss of no leaf at all");
  await take(x, unused);
});

forEachEngine("a leaf may be used many times, be the loss, or be named twice", async (engine) => {
  const x = scalar(engine, 3), y = scalar(engine, 2);
  const many = valueAndGrad(() => x.mul(x).mul(x).add(x.mul(y)), [x, y]);
  assert.deepEqual(await take(many.value, ...many.gradients), [[33], [29], [3]]);
  const itself = valueAndGrad(() => x, [x]);
  assert.deepEqual(await take(itself.value, ...itself.gradients), [[3], [1]]);
  const twice = valueAndGrad(() => x.square(), [x, x]);
  assert.deepEqual(await take(twice.value, ...twice.gradients), [[9], [6], [6]]);
  assert.deepEqual(await take(x, y), [[3], [2]], "leaves stay the caller's");
});

forEachEngine("detach stops the gradient", async (engine) => {
  const x = tensor(engine, [2, 3]);
  const { value, gradients } = valueAndGrad(() => x.mul(x.detach().square()).sum(), [x]);
  assert.deepEqual(await take(value, ...gradients), [[35], [4, 9]]);
  await take(x);
});

forEachEngine("tensors that are no leaves are constants", async (engine) => {
  const x = tensor(engine, [2, 3]), w = tensor(engine, [5, 7]), before = tidy(() => x.square());
  const { value, gradients } = valueAndGrad(() => x.mul(w).add(before).sum(), [x]);
  assert.deepEqual(await take(value, ...gradients), [[44], [5, 7]], "what was computed before the recording, too");
  await take(x, w, before);
});

forEachEngine("aux comes back in its structure, detached, and the rest is freed", async (engine) => {
  const start = engine.memory().tensors;
  const x = tensor(engine, [1, 2]);
  let freed: Tensor | undefined;
  const { value, gradients, aux } = valueAndGrad(() => {
    freed = x.exp();
    const doubled = x.mul(2), loss = doubled.square().sum();
    return {
      loss,
      aux: { doubled, list: [doubled, loss], map: new Map([["x", x]]), count: 3, name: "step", nothing: null },
    };
  }, [x]);
  assert.ok(freed!.isDisposed);
  assert.equal(aux.list[0], aux.doubled, "one tensor stays one");
  assert.deepEqual([aux.count, aux.name, aux.nothing], [3, "step", null]);
  assert.deepEqual([...await aux.map.get("x")!.data()], [1, 2]);
  assert.equal(await aux.list[1].item(), 20);
  // Detached: an enclosing recording would see a constant.
  const again = valueAndGrad(() => aux.doubled.mul(x).sum(), [x]);
  assert.deepEqual(await take(again.value, ...again.gradients), [[10], [2, 4]]);
  assert.deepEqual(await take(value, ...gradients, aux.doubled), [[20], [8, 16], [2, 4]]);
  aux.list[1].dispose();
  if (aux.map.get("x") !== x) aux.map.get("x")!.dispose();
  assert.deepEqual(await take(x), [[1, 2]], "a leaf in aux stays the caller's");
  assert.equal(engine.memory().tensors, start);
});

forEachEngine("a loss of shape [1] or [1, 1] is a scalar too", async (engine) => {
  const x = tensor(engine, [3], [1, 1]);
  const { value, gradients } = valueAndGrad(() => x.square(), [x]);
  assert.deepEqual([value.shape, gradients[0].shape], [[1, 1], [1, 1]]);
  assert.deepEqual(await take(value, ...gradients, x), [[9], [6], [3]]);
});

forEachEngine("an inner call's gradients are constants to the outer one without createGraph", async (engine) => {
  const x = tensor(engine, [1, 2, 3]);
  const { value, gradients } = valueAndGrad(() => {
    const inner = valueAndGrad(() => x.square().mul(x).sum(), [x]); // 3 x²
    return inner.gradients[0].mul(x).sum();
  }, [x]);
  assert.deepEqual(await take(value, ...gradients, x), [[108], [3, 12, 27], [1, 2, 3]]);
});

forEachEngine("an inner call's gradients are differentiated with createGraph", async (engine) => {
  const x = tensor(engine, [1, 2, 3]);
  const { value, gradients } = valueAndGrad(() => {
    const inner = valueAndGrad(() => x.square().mul(x).sum(), [x], { createGraph: true });
    return inner.gradients[0].mul(x).sum(); // 3 x³
  }, [x]);
  const [loss, gradient] = await take(value, ...gradients);
  assertClose(loss, [108], 1e-6, "value");
  assertClose(gradient, [9, 36, 81], 1e-6, "gradient");
  await take(x);
});

forEachEngine("an inner call may differentiate by what the outer one computed", async (engine) => {
  const x = tensor(engine, [1, 2]), w = tensor(engine, [3, 5]);
  const { value, gradients } = valueAndGrad(() => {
    const middle = x.mul(2).detach();
    const inner = valueAndGrad(() => middle.square().mul(w).sum(), [middle], { createGraph: true }); // 2 m w
    return inner.gradients[0].sum();
  }, [w, x]);
  assert.deepEqual(await take(value, ...gradients), [[52], [4, 8], [0, 0]]);
  await take(x, w);
});

forEachEngine("third derivatives", async (engine) => {
  const x = tensor(engine, [1, 2]);
  const derivative = (f: () => Tensor) => () => valueAndGrad(f, [x], { createGraph: true }).gradients[0].sum();
  const { value, gradients } = valueAndGrad(derivative(derivative(() => x.square().square().sum())), [x]); // 12 x², 24 x
  const [second, third] = await take(value, ...gradients);
  assertClose(second, [60], 1e-6, "second");
  assertClose(third, [24, 48], 1e-6, "third");
  await take(x);
});

forEachEngine("createGraph without an enclosing call still gives plain gradients", async (engine) => {
  const start = engine.memory().tensors;
  const x = tensor(engine, [1, 2]);
  const { value, gradients } = valueAndGrad(() => x.square().sum(), [x], { createGraph: true });
  assert.deepEqual(await take(value, ...gradients), [[5], [2, 4]]);
  await take(x);
  assert.equal(engine.memory().tensors, start);
});

forEachEngine("gradients accumulate nothing from call to call", async (engine) => {
  const x = tensor(engine, [3]);
  for (let i = 0; i < 3; i++) {
    const { value, gradients } = valueAndGrad(() => x.square().sum(), [x]);
    assert.deepEqual(await take(value, ...gradients), [[9], [6]]);
  }
  await take(x);
});

forEachEngine("tidy inside a recording frees what it can", async (engine) => {
  const x = tensor(engine, [1, 2]);
  const { value, gradients } = valueAndGrad(() => tidy(() => x.exp().log().square()).sum(), [x]);
  const [loss, gradient] = await take(value, ...gradients);
  assertClose(loss, [5], 1e-6, "value");
  assertClose(gradient, [2, 4], 1e-6, "gradient");
  await take(x);
});

forEachEngine("mistakes in valueAndGrad are refused", (engine) => {
  const before = engine.memory().tensors;
  tidy(() => {
    const x = tensor(engine, [1, 2]), ids = zeros(engine, [2], "int64");
    assert.throws(() => valueAndGrad(() => x.sum(), []), {
      name: "RangeError",
      message: "valueAndGrad: needs at least one leaf: received none",
    });
    assert.throws(() => valueAndGrad(() => x.mul(2), [x]), {
      name: "RangeError",
      message: "valueAndGrad: the loss must be one floating number: received float32 [2]",
    });
    assert.throws(() => valueAndGrad(() => ids.sum(), [x]), {
      name: "RangeError",
      message: "valueAndGrad: the loss must be one floating number: received int64 []",
    });
    assert.throws(() => valueAndGrad(() => x.sum(), [x, ids]), {
      name: "TypeError",
      message: "valueAndGrad: leaf 1 of type int64 has no gradient",
    });
    assert.throws(() => valueAndGrad((() => Promise.resolve(x.sum())) as unknown as () => Tensor, [x]), {
      name: "TypeError",
      message: "valueAndGrad: the function must return a tensor or { loss, aux }, and not a promise",
    });
    const gone = x.clone();
    gone.dispose();
    assert.throws(() => valueAndGrad(() => x.sum(), [gone]), /a disposed tensor of shape \[2\] was used/);
    assert.throws(() => valueAndGrad(() => gone.sum(), [x]), /a disposed tensor of shape \[2\] was used/);
  });
  assert.equal(engine.memory().tensors, before);
});
