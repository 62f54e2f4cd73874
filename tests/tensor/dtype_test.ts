import assert from "node:assert/strict";
import { broadcastShapes, isFloating, normalizeAxis, sameShape, shapeText, sizeOf } from "../../lib/tensor/dtype.ts";

Deno.test("shapes broadcast as NumPy's do", () => {
  const pairs: [number[], number[], number[] | null][] = JSON.parse(
    Deno.readTextFileSync(new URL("./fixtures/broadcasting.json", import.meta.url)),
  );
  for (const [a, b, expected] of pairs) {
    if (expected) assert.deepEqual(broadcastShapes(a, b, "add"), expected, `${shapeText(a)} and ${shapeText(b)}`);
    else {
      assert.throws(() => broadcastShapes(a, b, "add"), {
        name: "RangeError",
        message: `add: shapes ${shapeText(a)} and ${shapeText(b)} do not broadcast`,
      });
    }
  }
});

Deno.test("axes count from either end", () => {
  assert.equal(normalizeAxis(0, 3, "sum"), 0);
  assert.equal(normalizeAxis(2, 3, "sum"), 2);
  assert.equal(normalizeAxis(-1, 3, "sum"), 2);
  assert.equal(normalizeAxis(-3, 3, "sum"), 0);
  for (const [axis, rank] of [[3, 3], [-4, 3], [0, 0], [-1, 0], [0.5, 3], [NaN, 3]]) {
    assert.throws(() => normalizeAxis(axis, rank, "sum"), {
      name: "RangeError",
      message: `sum: axis ${axis} does not exist in a tensor of rank ${rank}`,
    });
  }
});

Deno.test("sizes, sameness and floating types", () => {
  assert.equal(sizeOf([]), 1);
  assert.equal(sizeOf([2, 3, 4]), 24);
  assert.equal(sizeOf([2, 0]), 0);
  assert.ok(sameShape([2, 3], [2, 3]) && !sameShape([2, 3], [3, 2]) && !sameShape([], [1]) && sameShape([], []));
  assert.deepEqual(
    (["float32", "float64", "bfloat16", "int64", "bool"] as const).map(isFloating),
    [true, true, true, false, false],
  );
});
