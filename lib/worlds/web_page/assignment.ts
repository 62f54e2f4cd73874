/**
 * The assignment problem where most pairs cost the same: each row gets a column of its own so that the costs add up to the
 * least.
 *
 * The Hungarian method in its form of shortest augmenting paths with potentials, row after row, and of equal ways the one to
 * the lowest column: what it finds is what the dense method finds (`tests/worlds/web_page/dense_assignment.ts`), ties included,
 * as long as sums of costs are exact in floating point. But only pairs that cost less than the usual are looked at:
 *
 *   - The usual cost leads from a row to all columns alike, and of those without a row, which have the highest potential (0),
 *     the lowest one comes first: no search goes further than it is.
 *   - Rows of a group have all costs in common but those in `own`: once one of them has been reached, another one that lies no
 *     nearer shortens no way.
 *
 * Where most pairs are of usual cost this takes little more time than reading the others; at worst it is cubic, and gives up.
 *
 * Source: R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment
 * problems", Computing 38, 1987.
 */
import { PriorityQueue } from "../../models/priority_queue.ts";

/** Columns that cost a row the same. */
export interface EqualPairs {
  readonly columns: readonly number[];
  /** Less than the usual. */
  readonly cost: number;
}

/** What is to be assigned. */
export interface AssignmentProblem {
  /** The group of each row. */
  readonly groupOf: readonly number[];
  /** By group: what its rows have in common. */
  readonly shared: readonly (readonly EqualPairs[])[];
  /** By row: what it has besides, cheaper than the same column is in `shared`. */
  readonly own: readonly (readonly EqualPairs[])[];
  /** Number of columns, at least as many as rows. */
  readonly columns: number;
  /** What every other pair costs. */
  readonly usual: number;
  /** Pairs that may be looked at in all. */
  readonly mostSteps: number;
}

/**
 * The column of each row in the cheapest assignment; undefined where finding it takes more than `mostSteps`.
 *
 * @example The cheap diagonal would force the dear corner.
 * ```ts
 * import assert from "node:assert/strict";
 * const own = [[{ columns: [0], cost: 1 }, { columns: [1], cost: 2 }], [{ columns: [0], cost: 2 }]];
 * const problem = { groupOf: [0, 1], shared: [[], []], own, columns: 2, usual: 9, mostSteps: 100 };
 * assert.deepEqual(assign(problem), Int32Array.of(1, 0));
 * ```
 */
export function assign({ groupOf, shared, own, columns, usual, mostSteps }: AssignmentProblem): Int32Array | undefined {
  const rows = groupOf.length, columnOf = new Int32Array(rows).fill(-1), rowOf = new Int32Array(columns).fill(-1);
  const rowPotential = new Float64Array(rows), columnPotential = new Float64Array(columns);
  // Of one search: how far each column is, the row that it is reached from, and how near each group's rows have been.
  const distance = new Float64Array(columns).fill(Infinity), from = new Int32Array(columns);
  const nearest = new Float64Array(shared.length).fill(Infinity);
  const queue = new PriorityQueue();
  let free = 0, steps = 0;
  for (let root = 0; root < rows; root++) {
    while (rowOf[free] !== -1) free++;
    const reached = [free], done: number[] = [], groups: number[] = [];
    let row = root, far = 0, end: number;
    for (;;) {
      const base = far - rowPotential[row], group = groupOf[row], lists = [own[row]];
      if (base + usual < distance[free]) {
        distance[free] = base + usual;
        from[free] = row;
      }
      if (base < nearest[group]) {
        nearest[group] = base;
        groups.push(group);
        lists.push(shared[group]);
      }
      for (const list of lists) {
        for (const { columns, cost } of list) {
          steps += columns.length;
          for (const column of columns) {
            const way = base + cost - columnPotential[column];
            // No way to a column that is done is shorter than the one that is known.
            if (way >= distance[free] || way >= distance[column]) continue;
            if (distance[column] === Infinity) reached.push(column);
            distance[column] = way;
            from[column] = row;
            if (column !== free) queue.push(column, way);
          }
        }
      }
      if (++steps > mostSteps) return undefined;
      let next = queue.pop();
      while (next && next.priority > distance[next.value]) next = queue.pop();
      end = next && next.priority < distance[free] ? next.value : free;
      if (rowOf[end] === -1) break;
      done.push(end);
      row = rowOf[end];
      far = distance[end];
    }
    rowPotential[root] += distance[end];
    for (const column of done) {
      rowPotential[rowOf[column]] += distance[end] - distance[column];
      columnPotential[column] -= distance[end] - distance[column];
    }
    for (const column of reached) distance[column] = Infinity;
    for (const group of groups) nearest[group] = Infinity;
    queue.clear();
    for (let column = end; column !== -1;) {
      const on: number = from[column], before = columnOf[on];
      columnOf[on] = column;
      rowOf[column] = on;
      column = on === root ? -1 : before;
    }
  }
  return columnOf;
}
