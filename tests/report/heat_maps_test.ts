import assert from "node:assert/strict";
import { heatMaps } from "../../lib/report/heat_maps.ts";

// deno-lint-ignore no-explicit-any
type Any = any;

Deno.test("heatMaps: grids lie beside each other on one scale, the first row on top", () => {
  const { data, layout } = heatMaps([
    { title: "a < b", values: [[0, 1], [2, 3]] },
    { title: "c", values: [[8, 0], [0, 0]], marks: [[1, 0, "x"]] },
  ]) as Any;
  const grids = data.filter((trace: Any) => trace.type === "heatmap");
  assert.deepEqual(grids.map(({ zmin, zmax, xaxis, yaxis }: Any) => [zmin, zmax, xaxis, yaxis]), [
    [0, 8, "x", "y"],
    [0, 8, "x2", "y2"],
  ]);
  assert.deepEqual(grids[0].z, [[0, 1], [2, 3]]);
  assert.equal(layout.yaxis.autorange, "reversed");
  assert.ok(layout.xaxis.domain[1] < layout.xaxis2.domain[0]);
  assert.equal(layout.annotations[0].text, "a &lt; b");
  const marks = data.find((trace: Any) => trace.type === "scatter");
  assert.deepEqual([marks.x, marks.y, marks.xaxis], [[1], [0], "x2"]);
});

Deno.test("heatMaps: no grid and an empty grid are refused", () => {
  assert.throws(() => heatMaps([]), /RangeError: heatMaps needs at least one grid: received none/);
  assert.throws(
    () => heatMaps([{ title: "t", values: [] }]),
    /RangeError: the grid "t" must have at least one cell: it has none/,
  );
});
