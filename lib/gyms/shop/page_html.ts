/**
 * A page as HTML, for real browsers. No scripts, nothing to be loaded; forms are sent to the server; everything that comes from data is
 * escaped.
 *
 * What a person sees beside a field (its label, its picture) is hidden from the accessibility tree, where the field has the same name
 * as its `aria-label`: one line a field, in every version of Chromium. Browsers are asked not to fill in or restore fields, so that a
 * page that is loaded again is as the server sent it.
 */
import style from "./style.css" with { type: "text" };
import { childrenOf, type Form, type PageElement, type SitePage } from "./page.ts";

/** Stands in the page itself: a page is one request, and complete when it has come. */
const STYLE = style.replaceAll(/\s*\n\s*/g, "");

/** The whole document. */
export function pageHtml(page: SitePage): string {
  return "<!doctype html>" +
    `<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">` +
    `<title>${escapeText(page.title)}</title><link rel="icon" href="data:,"><style>${STYLE}</style></head>` +
    `<body><div class="header"><div class="inner">${htmlOfAll(page.header)}</div></div>` +
    `<div class="body">${htmlOfAll(page.body)}</div></body></html>`;
}

/** Text as HTML, safe in content and in quoted attributes. */
export function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}

function htmlOfAll(elements: readonly PageElement[]): string {
  return elements.map(htmlOf).join("");
}

function htmlOf(element: PageElement): string {
  switch (element.kind) {
    case "heading":
      return `<h${element.level}>${escapeText(element.text)}</h${element.level}>`;
    case "text":
      return `<p${attributes({ id: element.id, class: element.look })}>${escapeText(element.text)}</p>`;
    case "link": {
      const named = attributes({ id: element.id, class: element.isStrong ? "strong" : undefined, href: element.href });
      return `<a${named}>${escapeText(element.text)}</a>`;
    }
    case "textbox": {
      const input = attributes({
        id: element.id,
        type: element.isSecret ? "password" : "text",
        name: element.name,
        "aria-label": element.label,
        value: element.value,
        autocomplete: "off",
        spellcheck: "false",
      });
      return labelled(element.label, `<input${input}>`);
    }
    case "combobox": {
      const options = element.options.map((option) =>
        `<option${option === element.value ? " selected" : ""}>${escapeText(option)}</option>`
      );
      const named = attributes({
        id: element.id,
        name: element.name,
        "aria-label": element.label,
        autocomplete: "off",
      });
      return labelled(element.label, `<select${named}>${options.join("")}</select>`);
    }
    case "checkbox": {
      const input = attributes({
        id: element.id,
        type: "checkbox",
        name: element.name,
        value: "1",
        "aria-label": element.label,
        autocomplete: "off",
      });
      return `<div class="check"><input${input}${element.isChecked ? " checked" : ""}>` +
        `<span aria-hidden="true">${escapeText(element.label)}</span></div>`;
    }
    case "button": {
      const named = attributes({ class: element.isStrong ? "strong" : undefined, formaction: element.action });
      return `<button${named}>${escapeText(element.text)}</button>`;
    }
    case "form":
      return htmlOfForm(element);
    case "group":
      return `<div${attributes({ id: element.id, class: element.look })}>${htmlOfAll(element.children)}</div>`;
    case "disclosure":
      return `<details role="none"><summary>${escapeText(element.summary)}</summary>` +
        `${htmlOfAll(element.children)}</details>`;
    case "table": {
      const columns = element.columns.map((column) => `<th>${escapeText(column)}</th>`).join("");
      const rows = element.rows.map((row) =>
        `<tr>${
          row.map((content) => `<td>${content.kind === "link" ? htmlOf(content) : escapeText(content.text)}</td>`)
            .join("")
        }</tr>`
      );
      return `<table${attributes({ id: element.id })}><tbody><tr>${columns}</tr>${rows.join("")}</tbody></table>`;
    }
    case "tile":
      return `<div class="tile tile${element.hue % TILE_COUNT}" aria-hidden="true">${
        escapeText(element.letters)
      }</div>`;
  }
}

/** How many looks a tile has; see `style.css`. */
const TILE_COUNT = 8;

function htmlOfForm(form: Form): string {
  const named = attributes({
    role: "none",
    class: form.look,
    method: form.method,
    action: form.action,
    autocomplete: "off",
  });
  const hidden = Object.entries(form.hidden ?? {}).map(([name, value]) =>
    `<input${attributes({ type: "hidden", name, value })}>`
  );
  return `<form${named}>${hidden.join("")}${htmlOfAll(childrenOf(form))}</form>`;
}

function labelled(label: string, field: string): string {
  return `<div class="field"><span aria-hidden="true">${escapeText(label)}</span>${field}</div>`;
}

function attributes(values: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(values).filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}="${escapeText(value!)}"`).join("");
}
