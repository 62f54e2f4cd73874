import assert from "node:assert/strict";
import { adopt, type Disposable, keep, tidy } from "../../lib/tensor/scope.ts";
import { full, scalar, type Tensor, tensor } from "../../lib/tensor/tensor.ts";
import { forEachEngine } from "../support/engines.ts";

/** Something disposable that scopes adopt, as tensors are. */
class Item implements Disposable {
  isDisposed = false;
  constructor() {
    adopt(this);
  }
  dispose(): void {
    assert.ok(!this.isDisposed, "freed twice");
    this.isDisposed = true;
  }
}

Deno.test("tidy frees what it did not return", () => {
  let inner: Item | undefined;
  const result = tidy(() => {
    inner = new Item();
    return new Item();
  });
  assert.ok(inner!.isDisposed);
  assert.ok(!result.isDisposed);
});

Deno.test("tidy finds results in arrays, maps, sets and objects, however deep", () => {
  const outside = new Item();
  const result = tidy(() => {
    new Item();
    return {
      list: [new Item(), { deep: [[new Item()]] }],
      map: new Map([["a", new Item()]]),
      set: new Set([new Item()]),
      bare: Object.assign(Object.create(null), { item: new Item() }),
      outside,
      nothing: null,
      text: "text",
      numbers: Float32Array.of(1, 2),
    };
  });
  const items = [result.list[0], (result.list[1] as { deep: Item[][] }).deep[0][0], result.map.get("a"), ...result.set];
  for (const item of [...items, result.bare.item]) assert.equal((item as Item).isDisposed, false);
  assert.ok(!outside.isDisposed);
});

Deno.test("nested scopes: a result belongs to the next scope out", () => {
  const seen: Item[] = [];
  const result = tidy(() => {
    const passed = tidy(() => {
      seen.push(new Item());
      return new Item();
    });
    assert.ok(seen[0].isDisposed, "freed at the end of the inner scope");
    assert.ok(!passed.isDisposed);
    seen.push(passed);
    return tidy(() => tidy(() => new Item()));
  });
  assert.ok(seen[1].isDisposed, "an inner result that the outer scope does not return is freed by it");
  assert.ok(!result.isDisposed);
});

Deno.test("an exception frees everything and passes through", () => {
  const seen: Item[] = [];
  assert.throws(
    () =>
      tidy(() => {
        seen.push(new Item());
        tidy(() => {
          seen.push(new Item());
          throw new Error("inside");
        });
      }),
    { message: "inside" },
  );
  assert.ok(seen.length === 2 && seen.every((item) => item.isDisposed));
  const free = new Item();
  tidy(() => {});
  assert.ok(!free.isDisposed, "no scope is left open");
});

Deno.test("keep takes an item out of every scope", () => {
  let kept: Item | undefined;
  tidy(() => {
    tidy(() => {
      kept = keep(new Item());
    });
  });
  assert.ok(!kept!.isDisposed);
  tidy(() => kept);
  assert.ok(!kept!.isDisposed, "returning it does not put it back");
});

Deno.test("what was disposed inside is not freed again", () => {
  tidy(() => {
    new Item().dispose();
  });
});

Deno.test("a promise is refused, and what was made before it is freed", () => {
  let made: Item | undefined;
  assert.throws(
    () =>
      tidy(async () => {
        made = new Item();
        await Promise.resolve();
      }),
    { name: "TypeError", message: "tidy: the function must be synchronous: received one that returns a promise" },
  );
  assert.ok(made!.isDisposed);
});

forEachEngine("tidy gives an engine's memory back", async (engine) => {
  const before = engine.memory().tensors;
  const x = tensor(engine, [1, 2, 3]);
  let inner: Tensor | undefined;
  const { total, parts } = tidy(() => {
    inner = x.exp();
    const halves = [x.slice([0], [1]), x.slice([1], [2])];
    return { total: x.mul(2).sum(), parts: new Map(halves.map((half, i) => [i, half.add(1)])) };
  });
  assert.ok(inner!.isDisposed && !x.isDisposed);
  assert.equal(engine.memory().tensors, before + 4);
  assert.equal(await total.item(), 12);
  assert.deepEqual([...await parts.get(1)!.data()], [3, 4]);
  const kept = tidy(() => ({ count: 1, kept: keep(full(engine, [2], 1)) })).kept;
  for (const each of [x, total, ...parts.values(), kept, scalar(engine, 1)]) each.dispose();
  assert.equal(engine.memory().tensors, before);
});
