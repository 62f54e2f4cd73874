/**
 * Tables and the numbers in them, for pages, notebooks and terminals: what a share, an interval and a difference look like, and
 * rows of cells as text or as HTML.
 */
import { escapeHtml } from "./html.ts";
import type { Interval } from "./result.ts";

/**
 * A table to be shown: on a page, in a notebook or a terminal.
 *
 * @internal
 */
export interface TextTable {
  /** Column headings. */
  columns: string[];
  /** Cells. */
  rows: string[][];
}

/** A share in [0, 1] in per cent, without the sign: "62.5". */
export function percent(share: number, digits = 1): string {
  return (100 * share).toFixed(digits);
}

/** A difference of shares in percentage points: "+1.5", "−0.3". */
export function points(difference: number): string {
  return `${difference > 0 ? "+" : ""}${percent(difference)}`.replace("-", "−");
}

/** A number with a fixed count of decimals and a minus sign. */
export function fixed(value: number, digits: number): string {
  return value.toFixed(digits).replace("-", "−");
}

/** A mean with its interval: "62 [48, 74]". @param show Of each of the three numbers; per cent when left out. */
export function intervalText(
  { mean, low, high }: Pick<Interval, "mean" | "low" | "high">,
  show: (value: number) => string = percent,
): string {
  return `${show(mean)} [${show(low)}, ${show(high)}]`;
}

/**
 * Rows in columns of a common width, for a terminal.
 *
 * @param rows All with the same number of cells, headings first.
 * @param numbers Where cells of all columns but the first stand.
 */
export function alignedText(rows: readonly (readonly string[])[], numbers: "left" | "right" = "left"): string {
  const lengthOf = (cell: string) => [...cell].length;
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => lengthOf(row[column] ?? ""))));
  return rows.map((row) =>
    row.map((cell, column) => {
      const blanks = " ".repeat(widths[column] - lengthOf(cell));
      return numbers === "right" && column > 0 ? blanks + cell : cell + blanks;
    }).join("  ").trimEnd()
  ).join("\n");
}

/** A {@linkcode TextTable} in columns of a common width. */
export function plainText({ columns, rows }: TextTable): string {
  return alignedText([columns, ...rows]);
}

/**
 * A table as HTML.
 *
 * @param attributes What stands in the tag of every cell of a column, safe HTML with a blank before it: ` class="name"`.
 */
export function tableHtml(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  attributes: readonly string[],
): string {
  const line = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell, i) => `<${tag}${attributes[i] ?? ""}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  return `<table><thead>${line(columns, "th")}</thead><tbody>${
    rows.map((row) => line(row, "td")).join("\n")
  }</tbody></table>`;
}

/** A table as a card of a page: names are set on the left (class `name`), numbers on the right. */
export function tableCard({ columns, rows }: TextTable): string {
  const isName = columns.map((_, i) => rows.some((row) => /^\p{L}/u.test(row[i])));
  return `<div class="card scroll">${tableHtml(columns, rows, isName.map((is) => is ? ' class="name"' : ""))}</div>`;
}
