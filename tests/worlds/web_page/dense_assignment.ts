/**
 * The assignment problem by the method for dense costs, O(rows² · columns): what `lib/worlds/web_page/assignment.ts` is to find.
 *
 * Source: R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment
 * problems", Computing 38, 1987.
 */

/**
 * Columns of rows 0 … n − 1 in the cheapest assignment. Where there are fewer columns than rows, rows that get none have −1.
 *
 * @param cost [rows][columns], finite numbers.
 */
export function assignDensely(cost: readonly (readonly number[])[]): number[] {
  const rows = cost.length, columns = cost[0]?.length ?? 0;
  if (rows === 0) return [];
  if (rows <= columns) return rowsToColumns((i, j) => cost[i][j], rows, columns);
  const byColumn = rowsToColumns((j, i) => cost[i][j], columns, rows);
  const result = new Array<number>(rows).fill(-1);
  byColumn.forEach((row, column) => result[row] = column);
  return result;
}

/** Rows 1 … rows and columns 1 … columns; column 0 stands for "not assigned yet". Needs rows ≤ columns. */
function rowsToColumns(cost: (i: number, j: number) => number, rows: number, columns: number): number[] {
  const rowPotential = new Float64Array(rows + 1), columnPotential = new Float64Array(columns + 1);
  const rowOf = new Int32Array(columns + 1), previous = new Int32Array(columns + 1);
  const distance = new Float64Array(columns + 1), done = new Uint8Array(columns + 1);
  for (let row = 1; row <= rows; row++) {
    rowOf[0] = row;
    distance.fill(Infinity);
    done.fill(0);
    let column = 0;
    while (rowOf[column] !== 0) {
      done[column] = 1;
      const i = rowOf[column];
      let least = Infinity, next = 0;
      for (let j = 1; j <= columns; j++) {
        if (done[j]) continue;
        const reduced = cost(i - 1, j - 1) - rowPotential[i] - columnPotential[j];
        if (reduced < distance[j]) {
          distance[j] = reduced;
          previous[j] = column;
        }
        if (distance[j] < least) {
          least = distance[j];
          next = j;
        }
      }
      for (let j = 0; j <= columns; j++) {
        if (done[j]) {
          rowPotential[rowOf[j]] += least;
          columnPotential[j] -= least;
        } else distance[j] -= least;
      }
      column = next;
    }
    while (column !== 0) {
      rowOf[column] = rowOf[previous[column]];
      column = previous[column];
    }
  }
  const result = new Array<number>(rows).fill(-1);
  for (let j = 1; j <= columns; j++) if (rowOf[j] !== 0) result[rowOf[j] - 1] = j - 1;
  return result;
}
