/** Colours for TypeScript code on a page: comments, strings, numbers, keywords. A lexer of one expression, not a parser. */
import { escapeHtml } from "../report/html.ts";

const KEYWORDS = new Set(
  ("abstract as async await break case catch class const continue declare default delete do else enum export extends false " +
    "finally for from function get if implements import in infer instanceof interface is keyof let namespace new null of " +
    "private protected public readonly return satisfies set static super switch this throw true try type typeof undefined " +
    "using var void while with yield").split(" "),
);

/** Comment, string, template (as a whole), number or word, whichever comes first. */
const TOKEN =
  /(\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|("(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|`(?:\\[\s\S]|[^`\\])*`?)|(\b\d[\w.]*)|([A-Za-z_$][\w$]*)/g;

/** Code as HTML with `<span class="c|s|n|k">` around what is coloured; the text itself stays as it is. */
export function highlightTypeScript(code: string): string {
  let html = "", done = 0;
  for (const match of code.matchAll(TOKEN)) {
    const [text, comment, string, number] = match;
    const kind = comment !== undefined
      ? "c"
      : string !== undefined
      ? "s"
      : number !== undefined
      ? "n"
      : KEYWORDS.has(text)
      ? "k"
      : "";
    html += escapeHtml(code.slice(done, match.index));
    html += kind === "" ? escapeHtml(text) : `<span class="${kind}">${escapeHtml(text)}</span>`;
    done = match.index + text.length;
  }
  return html + escapeHtml(code.slice(done));
}

/** Style of the spans. */
export const HIGHLIGHT_STYLE = `
.c { color: #667085; font-style: italic; } .s { color: #127a4b; } .n { color: #a15c00; } .k { color: #6b3fc4; }
`;
