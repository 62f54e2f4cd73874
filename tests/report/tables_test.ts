import assert from "node:assert/strict";
import { alignedText, fixed, intervalText, percent, plainText, points, tableCard } from "../../lib/report/tables.ts";

Deno.test("shares, differences and intervals as text", () => {
  assert.deepEqual([percent(0.6249), percent(0.625, 0), percent(1)], ["62.5", "63", "100.0"]);
  assert.deepEqual([points(0.015), points(-0.003), points(0)], ["+1.5", "−0.3", "0.0"]);
  assert.deepEqual([fixed(-0.1234, 3), fixed(2, 1)], ["−0.123", "2.0"]);
  const interval = { mean: 0.5, low: 0.25, high: 0.75, n: 4 };
  assert.equal(intervalText(interval), "50.0 [25.0, 75.0]");
  assert.equal(intervalText(interval, (value) => value.toFixed(2)), "0.50 [0.25, 0.75]");
});

Deno.test("a table as text: columns as wide as their widest cell, in characters, without blanks at the end", () => {
  const rows = [["", "n", "mean"], ["𝜀 low", "12", "1"], ["b", "3", ""]];
  assert.equal(alignedText(rows), "       n   mean\n𝜀 low  12  1\nb      3");
  assert.equal(alignedText(rows, "right"), "        n  mean\n𝜀 low  12     1\nb       3");
  assert.equal(plainText({ columns: rows[0], rows: rows.slice(1) }), alignedText(rows));
});

Deno.test("a table as HTML: columns of names are set on the left, and nothing in a cell is markup", () => {
  assert.equal(
    tableCard({ columns: ["Model", "<n>"], rows: [["a & b", "1"], ["—", "2"]] }),
    '<div class="card scroll"><table><thead><tr><th class="name">Model</th><th>&lt;n&gt;</th></tr></thead><tbody>' +
      '<tr><td class="name">a &amp; b</td><td>1</td></tr>\n<tr><td class="name">—</td><td>2</td></tr></tbody></table></div>',
  );
});
