/** Markdown cells as HTML: GitHub's dialect by `marked`, formulas between $ and $$ by KaTeX as MathML, which browsers draw themselves. */
import katex from "katex";
import { Marked, type TokenizerAndRendererExtension } from "marked";
import { highlightTypeScript } from "./highlight.ts";
import { escapeHtml } from "../report/html.ts";

const marked = new Marked({
  extensions: [
    // A dollar before a blank or after one is money, as in Jupyter.
    formula("block", /^\$\$([\s\S]+?)\$\$/, true),
    formula("inline", /^\$(?!\s)((?:\\.|[^$\\\n])+?)(?<!\s)\$(?!\d)/, false),
  ],
  renderer: {
    code({ text, lang }) {
      const html = /^(ts|typescript|js|javascript)\b/.test(lang ?? "") ? highlightTypeScript(text) : escapeHtml(text);
      return `<pre class="code"><code>${html}</code></pre>\n`;
    },
  },
});

/**
 * Markdown as HTML. HTML in it stays as it is: a notebook's author may write what a page may hold. What nests so deep that the
 * parsers, which recur, run out of stack is shown as it was written.
 */
export function markdownToHtml(markdown: string): string {
  try {
    return marked.parse(markdown, { async: false });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return `<pre>${escapeHtml(markdown)}</pre>\n`;
  }
}

function formula(level: "block" | "inline", pattern: RegExp, displayMode: boolean): TokenizerAndRendererExtension {
  const name = `formula-${level}`;
  return {
    name,
    // Display formulas stand inside paragraphs too, so both are looked for in running text.
    level: "inline",
    start: (source) => {
      const index = source.indexOf("$");
      return index < 0 ? undefined : index;
    },
    tokenizer: (source) => {
      const match = pattern.exec(source);
      return match ? { type: name, raw: match[0], text: match[1].trim() } : undefined;
    },
    renderer: (token) => katex.renderToString(token.text, { displayMode, output: "mathml", throwOnError: false }),
  };
}
