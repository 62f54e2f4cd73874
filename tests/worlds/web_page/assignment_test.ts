/** The assignment problem against SciPy's `linear_sum_assignment`. */
import assert from "node:assert/strict";
import { assign } from "../../../lib/worlds/web_page/assignment.ts";

interface Case {
  kind: string;
  cost: number[][];
  total: number;
  columns: number[];
}

const CASES: Case[] = JSON.parse(Deno.readTextFileSync(new URL("fixtures/assignment.json", import.meta.url)));

Deno.test("assignments are as cheap as SciPy's, and the same where there is only one", () => {
  for (const { kind, cost, total, columns } of CASES) {
    const own = assign(cost), name = `${kind} ${cost.length} × ${cost[0].length}`;
    const sum = own.reduce((sum, column, row) => sum + (column === -1 ? 0 : cost[row][column]), 0);
    assert.ok(Math.abs(sum - total) < 1e-9, `${name}: ${sum} instead of ${total}`);
    const used = own.filter((column) => column !== -1);
    assert.equal(used.length, Math.min(cost.length, cost[0].length), name);
    assert.equal(new Set(used).size, used.length, `${name}: a column for one row only`);
    if (kind === "real" || kind === "negative") assert.deepEqual(own, columns, name);
  }
});

Deno.test("assignments of nothing, and costs that are none", () => {
  assert.deepEqual(assign([]), []);
  assert.deepEqual(assign([[], []]), [-1, -1]);
  assert.throws(() => assign([[1, 2], [3]]), /^RangeError: assign: row 1 has 1 costs, row 0 has 2/);
  assert.throws(
    () => assign([[1, NaN]]),
    /^RangeError: assign: the cost of row 0, column 1 must be finite: received NaN/,
  );
});
