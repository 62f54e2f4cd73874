/**
 * Parts of a page by the JavaScript that evaluators of tasks name them with, without running any: the one form that the built-in
 * site's tasks use, which real browsers give the same texts for (white space apart).
 */
import { WebActionError } from "../../worlds/web_page/browser.ts";
import type { DocumentState } from "./document_state.ts";
import { placedElements, type SitePage } from "./page.ts";
import { pageHtml } from "./page_html.ts";
import { elementText } from "./page_tree.ts";

const LOCATOR =
  /^document\.(?:querySelector\(["']#([\w-]+)["']\)|getElementById\(["']([\w-]+)["']\))\??\.(outerText|innerText|textContent|value)$/;

/**
 * A part of a document, as `document.querySelector('#id').outerText` gives it; empty where there is no such part; the whole page's HTML
 * for an empty locator.
 *
 * @throws {WebActionError} When the locator is of another form.
 */
export function locatedText(page: SitePage, state: DocumentState, locator: string): string {
  const expression = locator.trim().replace(/;$/, "");
  if (expression === "") return pageHtml(page);
  const match = LOCATOR.exec(expression);
  if (!match) {
    throw new WebActionError(
      `locator ${JSON.stringify(locator)} needs a real browser: the simulated one knows ` +
        `document.querySelector('#id').outerText (or innerText, textContent, value)`,
    );
  }
  const [, byQuery, byId, property] = match, id = byQuery ?? byId;
  const placed = placedElements(page).find(({ element }) => "id" in element && element.id === id);
  if (!placed) return "";
  const { element, path } = placed;
  if (property !== "value") {
    // A field's label stands beside it, not in it.
    if (element.kind === "textbox" || element.kind === "checkbox") return "";
    return element.kind === "combobox" ? element.options.join("\n") : elementText(element, path, state);
  }
  // Of a checkbox it is what the form would send, ticked or not.
  if (element.kind === "checkbox") return "1";
  return element.kind === "textbox" || element.kind === "combobox" ? state.valueOf(path, element) : "";
}
