/** The assignment problem against SciPy's `linear_sum_assignment`, and against the dense method where there are ties. */
import assert from "node:assert/strict";
import { Philox } from "../../../lib/tensor/random.ts";
import { assign, type AssignmentProblem } from "../../../lib/worlds/web_page/assignment.ts";
import { assignDensely } from "./dense_assignment.ts";

interface Case {
  kind: string;
  cost: number[][];
  total: number;
  columns: number[];
}

const CASES: Case[] = JSON.parse(Deno.readTextFileSync(new URL("fixtures/assignment.json", import.meta.url)));

/** All pairs of a matrix, in whole millionths, so that sums are exact. */
function ofMatrix(cost: readonly (readonly number[])[]): AssignmentProblem {
  const own = cost.map((row) => row.map((each, column) => ({ columns: [column], cost: Math.round(each * 1e6) })));
  const groupOf = cost.map((_, row) => row), columns = cost[0].length;
  return { groupOf, shared: groupOf.map(() => []), own, columns, usual: 1e9, mostSteps: Infinity };
}

Deno.test("assignments are as cheap as SciPy's, and the same where there is only one", () => {
  for (const { kind, cost, total, columns } of CASES) {
    const isTurned = cost.length > cost[0].length, name = `${kind} ${cost.length} × ${cost[0].length}`;
    const wide = isTurned ? cost[0].map((_, column) => cost.map((row) => row[column])) : cost;
    const found = assign(ofMatrix(wide))!;
    assert.deepEqual([...found], assignDensely(wide.map((row) => row.map((each) => Math.round(each * 1e6)))), name);
    const own = isTurned ? cost.map((_, row) => found.indexOf(row)) : [...found];
    const sum = own.reduce((sum, column, row) => sum + (column === -1 ? 0 : cost[row][column]), 0);
    assert.ok(Math.abs(sum - total) < 1e-9, `${name}: ${sum} instead of ${total}`);
    if (kind === "real" || kind === "negative") assert.deepEqual(own, columns, name);
  }
});

Deno.test("of equally cheap assignments it is the one that the dense method finds", () => {
  const random = new Philox(3, 43), USUAL = 8;
  for (let round = 0; round < 3000; round++) {
    const rows = random.integer(1, 9), columns = rows + random.integer(0, 4), groups = random.integer(1, rows + 1);
    const highest = random.integer(2, USUAL), share = random.uniform();
    const pairs = (from: number) =>
      Array.from({ length: columns }, (_, column) => ({ columns: [column], cost: random.integer(from, highest) }))
        .filter(() => random.uniform() < share);
    const groupOf = Array.from({ length: rows }, () => random.integer(0, groups));
    const shared = Array.from({ length: groups }, () => pairs(1)), own = groupOf.map(() => [] as typeof shared[0]);
    // One pair of some rows is cheaper than its group says.
    for (const list of own) if (random.uniform() < 0.5) list.push({ columns: [random.integer(0, columns)], cost: 0 });
    const cost = groupOf.map((group, row) => {
      const costs = new Array<number>(columns).fill(USUAL);
      for (const { columns: [column], cost } of [...shared[group], ...own[row]]) costs[column] = cost;
      return costs;
    });
    const problem = { groupOf, shared, own, columns, usual: USUAL, mostSteps: Infinity };
    assert.deepEqual([...assign(problem)!], assignDensely(cost), JSON.stringify({ cost, groupOf }));
  }
});

Deno.test("assignments of nothing, and those that take too many steps", () => {
  const nothing = { groupOf: [], shared: [], own: [], columns: 0, usual: 1, mostSteps: 10 };
  assert.deepEqual(assign(nothing), new Int32Array(0));
  const problem = ofMatrix([[1, 2, 3], [2, 3, 4]]);
  assert.deepEqual(assign(problem), Int32Array.of(0, 1));
  assert.equal(assign({ ...problem, mostSteps: 5 }), undefined);
});
