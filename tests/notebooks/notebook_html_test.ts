import assert from "node:assert/strict";
import { highlightTypeScript } from "../../lib/notebooks/highlight.ts";
import { markdownToHtml } from "../../lib/notebooks/markdown.ts";
import type { CellOutput, NotebookCell } from "../../lib/notebooks/notebook_file.ts";
import { renderNotebook } from "../../lib/notebooks/notebook_html.ts";

const display = (data: Record<string, unknown>): CellOutput => ({ output_type: "display_data", data, metadata: {} });
const code = (source: string, ...outputs: CellOutput[]): NotebookCell => ({
  ...{ cell_type: "code", source, outputs, execution_count: 1 },
});
const markdown = (source: string | string[]): NotebookCell => ({ cell_type: "markdown", source });
const render = (...cells: NotebookCell[]) => renderNotebook({ nbformat: 4, cells }, "fallback");
const markup = (html: string) => html.replaceAll(/<script>[\s\S]*?<\/script>/g, "<script></script>");

Deno.test("text, code and outputs in their order, the title from the first heading", async () => {
  const html = await render(
    markdown(["Before\n", "\n", "# A *great* `title`\n"]),
    code("const a = 1 < 2;", { output_type: "stream", name: "stdout", text: ["one\n", "two <b>\n"] }),
    { cell_type: "raw", source: "not shown" },
    code("  "),
  );
  assert.match(html, /<title>A great title<\/title>/);
  assert.match(html, /<span class="k">const<\/span> a = <span class="n">1<\/span> &lt; /);
  assert.match(html, /one\ntwo &lt;b&gt;/);
  assert.match(html, /<span class="count">\[1\]<\/span>/);
  assert.doesNotMatch(html, /not shown/);
  assert.equal(html.match(/class="cell"/g)?.length, 1);
  assert.match(await render(code("1")), /<title>fallback<\/title>/);
});

Deno.test("figures are drawn by plotly.js, which is there once, or not at all without figures", async () => {
  const figure = display({
    "application/vnd.plotly.v1+json": { data: [{ type: "scatter", name: "</script><b>" }], layout: {} },
    "text/plain": "[figure]",
  });
  const html = await render(code("a", figure), code("b", figure));
  assert.equal(html.match(/plotly\.js \(basic - minified\)/g)?.length, 1);
  assert.equal(html.match(/Plotly\.newPlot\("figure-[01]"/g)?.length, 2);
  assert.doesNotMatch(markup(html), /\[figure\]|<b>/);
  assert.doesNotMatch(await render(code("a")), /plotly/i);
  const heatmap = display({ "application/vnd.plotly.v1+json": { data: [{ type: "heatmap", z: [[1]] }] } });
  assert.match(await render(code("a", heatmap)), /plotly\.js v4/);
});

Deno.test("the richest form of an output is taken", async () => {
  const html = await render(code(
    "a",
    display({ "text/plain": "plain", "text/html": ["<i>", "html</i>"] }),
    display({ "image/png": "iVBO\nRw0=", "text/plain": "png" }),
    display({ "image/svg+xml": "<svg></svg>", "text/plain": "svg" }),
    display({ "text/markdown": "**bold**" }),
    display({ "application/json": { a: "<" } }),
  ));
  assert.match(html, /<i>html<\/i>/);
  assert.match(html, /src="data:image\/png;base64,iVBORw0="/);
  assert.match(html, /<svg><\/svg>/);
  assert.match(html, /<strong>bold<\/strong>/);
  assert.match(html, /&quot;a&quot;: &quot;&lt;&quot;/);
  assert.doesNotMatch(html, />plain<|>png<|>svg</);
});

Deno.test("figures that are none are shown in another form", async () => {
  for (const figure of [null, {}, { data: [null] }, { data: [1] }, { data: [], layout: 7 }, { data: "x" }]) {
    const html = await render(
      code("a", display({ "application/vnd.plotly.v1+json": figure, "text/plain": "instead" })),
    );
    assert.match(html, /instead/, JSON.stringify(figure));
    assert.doesNotMatch(html, /newPlot/);
  }
});

Deno.test("text that nests deeper than the parsers can go is shown as it was written", async () => {
  const deep = [">".repeat(20_000), "1. ".repeat(20_000), `$${"{".repeat(20_000)}${"}".repeat(20_000)}$`];
  for (const text of deep) {
    const html = await render(markdown(`${text} <b>`), markdown("*after*"));
    assert.match(html, /&lt;b&gt;<\/pre>/);
    assert.match(html, /<em>after<\/em>/);
  }
});

Deno.test("terminal text loses its colours and shows the last state of a line", async () => {
  const text = "\x1b[32mgreen\x1b[39m\n 10 %\r 50 %\r100 %\r\nend";
  const html = await render(code("a", { output_type: "stream", name: "stderr", text }));
  assert.match(html, /class="stream stderr">green\n100 %\nend</);
});

Deno.test("errors are shown with their traceback, escaped", async () => {
  const html = await render(
    code("a", { output_type: "error", ename: "Error", evalue: "<x>", traceback: ["\x1b[31mError: <x>", "  at y"] }),
    code("b", { output_type: "error", ename: "Late", evalue: "no trace", traceback: [] }),
  );
  assert.match(html, /class="error">Error: &lt;x&gt;\n {2}at y</);
  assert.match(html, /class="error">Late: no trace/);
});

Deno.test("formulas become MathML; dollars of money and of code stay", () => {
  const html = markdownToHtml("$a_1 * b_1 * c$ costs $5 and $6.\n\n$$\nx^2\n$$\n\n`$n$`");
  assert.equal(html.match(/<math /g)?.length, 2);
  assert.match(html, /display="block"/);
  assert.match(html, /costs \$5 and \$6\./);
  assert.match(html, /<code>\$n\$<\/code>/);
  assert.doesNotMatch(html, /<em>/);
  assert.match(markdownToHtml("$\\frac{1$"), /katex-error/);
});

Deno.test("highlighting changes no text", () => {
  const source = "const s = `a ${b} <c>`; // it's \"x\"\n/* open 'y' */ let n = 0x1f + 1e-3; 'it\\'s'; class A<T> {}";
  const text = highlightTypeScript(source).replaceAll(/<\/?span[^>]*>/g, "")
    .replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&#39;", "'").replaceAll(
      "&amp;",
      "&",
    );
  assert.equal(text, source);
  assert.match(highlightTypeScript("// const 1"), /^<span class="c">\/\/ const 1<\/span>$/);
  assert.equal(highlightTypeScript("constant letter"), "constant letter");
});
