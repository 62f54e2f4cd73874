/**
 * A notebook with its outputs as one page that needs no network: text, code, and of each output the richest form that a
 * browser can show. It runs nothing: see `notebook_runner.ts`.
 */
import { HIGHLIGHT_STYLE, highlightTypeScript } from "./highlight.ts";
import { escapeHtml, figureHtml, page, plotlyScript } from "../report/html.ts";
import type { PlotlyFigure } from "../report/figures.ts";
import { markdownToHtml } from "./markdown.ts";
import { type CellOutput, joinLines, type Notebook } from "./notebook_file.ts";
import type { MimeBundle } from "../report/notebook.ts";
import { colors } from "../report/theme.ts";

const PLOTLY_TYPE = "application/vnd.plotly.v1+json";

/** The page of a notebook. Its title is the first heading, or `fallbackTitle`. */
export async function renderNotebook(notebook: Notebook, fallbackTitle: string): Promise<string> {
  const figures: PlotlyFigure[] = [];
  const parts = notebook.cells.map((cell) => {
    const source = joinLines(cell.source);
    if (cell.cell_type === "markdown") return `<div class="text">${markdownToHtml(source)}</div>`;
    if (cell.cell_type === "raw" || source.trim() === "") return "";
    const label = typeof cell.execution_count === "number" ? `[${cell.execution_count}]` : "";
    const outputs = (cell.outputs ?? []).map((output) => outputHtml(output, figures)).filter((html) => html !== "");
    return `<div class="cell"><span class="count">${label}</span><pre class="code"><code>${
      highlightTypeScript(source)
    }</code></pre>` +
      (outputs.length > 0 ? `<div class="output">${outputs.join("\n")}</div>` : "") + `</div>`;
  });
  const title = titleOf(notebook) ?? fallbackTitle;
  return page(
    title,
    `<style>${NOTEBOOK_STYLE}${HIGHLIGHT_STYLE}</style>\n${await plotlyScript(figures)}`,
    `<main class="notebook">${parts.filter((part) => part !== "").join("\n")}</main>`,
  );
}

function outputHtml(output: CellOutput, figures: PlotlyFigure[]): string {
  switch (output.output_type) {
    case "stream":
      return `<pre class="stream ${output.name === "stderr" ? "stderr" : ""}">${
        terminalText(joinLines(output.text))
      }</pre>`;
    case "error": {
      const trace = output.traceback.join("\n");
      const head = `${output.ename}: ${output.evalue}`;
      return `<pre class="error">${
        terminalText(trace.includes(output.evalue) && trace !== "" ? trace : `${head}\n${trace}`)
      }</pre>`;
    }
    default:
      return bundleHtml(output.data, figures);
  }
}

/** The richest form first. */
function bundleHtml(data: MimeBundle, figures: PlotlyFigure[]): string {
  const figure = data[PLOTLY_TYPE];
  if (isFigure(figure)) {
    figures.push(figure);
    return figureHtml({ data: figure.data, layout: figure.layout ?? {} }, `figure-${figures.length - 1}`);
  }
  const text = (type: string) => joinLines(data[type]);
  if (data["text/html"] !== undefined) return `<div class="scroll">${text("text/html")}</div>`;
  if (data["image/svg+xml"] !== undefined) return text("image/svg+xml");
  for (const type of ["image/gif", "image/png", "image/jpeg"]) {
    if (data[type] !== undefined) {
      return `<img src="data:${type};base64,${escapeHtml(text(type).replaceAll(/\s/g, ""))}" alt="output image">`;
    }
  }
  if (data["text/markdown"] !== undefined) return `<div class="text">${markdownToHtml(text("text/markdown"))}</div>`;
  if (data["text/plain"] !== undefined) return `<pre class="stream">${terminalText(text("text/plain"))}</pre>`;
  const json = Object.keys(data).find((type) => type.endsWith("json"));
  return json === undefined ? "" : `<pre class="stream">${escapeHtml(JSON.stringify(data[json], null, 2))}</pre>`;
}

function isFigure(value: unknown): value is PlotlyFigure {
  const { data, layout } = value as Partial<PlotlyFigure> ?? {};
  return Array.isArray(data) && [...data, layout ?? {}].every((part) => typeof part === "object" && part !== null);
}

/** Text of a terminal: colours are dropped, and of a line that was written over with \r only its last state stays. */
function terminalText(text: string): string {
  // deno-lint-ignore no-control-regex
  const plain = text.replaceAll(/\x1b\[[0-9;?]*[A-Za-z]/g, "").replaceAll("\r\n", "\n");
  return escapeHtml(plain.split("\n").map((line) => line.replace(/\r$/, "").split("\r").at(-1)).join("\n"));
}

function titleOf(notebook: Notebook): string | undefined {
  for (const cell of notebook.cells) {
    const heading = cell.cell_type === "markdown" ? /^#\s+(.+)$/m.exec(joinLines(cell.source)) : null;
    if (heading) return heading[1].replaceAll(/[`*_]/g, "").trim();
  }
  return undefined;
}

const NOTEBOOK_STYLE = `
body { background: #fff; }
main.notebook { max-width: 920px; }
.text h1 { margin: 0 0 16px; }
.text h2 { border-top: 1px solid ${colors.line}; padding-top: 26px; margin-top: 40px; }
.text table { width: auto; margin: 12px 0; }
.text th, .text td { text-align: left; padding: 6px 14px 6px 0; }
.text blockquote { margin: 14px 0; padding: 2px 16px; border-left: 3px solid ${colors.line}; color: ${colors.muted}; }
.text :not(pre) > code { background: #f1f3f6; border-radius: 4px; padding: 1px 5px; }
math[display="block"] { margin: 14px 0; overflow-x: auto; font-size: 1.08em; }
.cell { position: relative; margin: 16px 0; }
.count { position: absolute; right: 100%; margin-right: 10px; top: 11px; font-size: 12px; color: #aab2bf; }
pre.code { margin: 0; background: #f6f7f9; border: 1px solid ${colors.line}; border-radius: 8px; padding: 12px 14px; overflow-x: auto; line-height: 1.5; }
.output { padding: 10px 2px 0 14px; border-left: 3px solid ${colors.line}; margin: 8px 0 0 1px; display: grid; gap: 10px; grid-template-columns: minmax(0, 1fr); }
pre.stream, pre.error { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.45; }
pre.stream { max-height: 480px; overflow-y: auto; }
pre.stderr { color: #8a5a00; }
pre.error { color: ${colors.bad}; background: #fdeceb; border-radius: 8px; padding: 10px 12px; }
`;
