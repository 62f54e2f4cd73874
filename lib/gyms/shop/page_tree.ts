/**
 * A page as the accessibility tree that Chromium reports of its HTML (`page_html.ts`), written down directly, and the text that
 * Chromium calls an element's `innerText`. Nodes that say nothing (paragraphs, groups) are left out from the start, as the text form
 * does.
 *
 * What Chromium does and is kept here: texts of links, buttons and headings stand below them once more as StaticText; a field's value
 * is a StaticText below the field; a combobox has its options below it; a closed disclosure hides its content; the focused element
 * says so, and so does the page, unless the Tab key has led out of it.
 */
import type { AccessibilityNode } from "../../worlds/web_page/browser.ts";
import type { DocumentState } from "./document_state.ts";
import type { ElementPath, PageElement, SitePage } from "./page.ts";

type Properties = AccessibilityNode["properties"];

/** The accessibility tree of a page as it stands. Keys are the elements' paths, with a suffix for nodes below. */
export function pageTree(page: SitePage, state: DocumentState): AccessibilityNode {
  const children = [...treeOf(page.header, "0", state), ...treeOf(page.body, "1", state)];
  return node("RootWebArea", page.title, "root", children, state.isLeftByTab ? {} : { focused: true });
}

/** The path of the element that a node's key belongs to; undefined for the page itself. */
export function elementPathOfKey(key: AccessibilityNode["key"]): ElementPath | undefined {
  const path = String(key).split(":")[0];
  return path === "root" ? undefined : path;
}

/** Which option of a combobox a node's key names. */
export function optionOfKey(key: AccessibilityNode["key"]): number | undefined {
  const [, index] = /:option(\d+)$/.exec(String(key)) ?? [];
  return index === undefined ? undefined : Number(index);
}

function treeOf(elements: readonly PageElement[], path: ElementPath, state: DocumentState): AccessibilityNode[] {
  return elements.flatMap((element, index) => nodesOf(element, `${path}.${index}`, state));
}

function nodesOf(element: PageElement, path: ElementPath, state: DocumentState): AccessibilityNode[] {
  const focused: Properties = state.focus === path ? { focused: true } : {};
  switch (element.kind) {
    case "heading":
      return [node("heading", element.text, path, [staticText(element.text, path)])];
    case "text":
      return [staticText(element.text, path)];
    case "link":
    case "button":
      return [node(element.kind, element.text, path, [staticText(element.text, path)], focused)];
    case "textbox": {
      const value = state.valueOf(path, element);
      const shown = element.isSecret ? "•".repeat(value.length) : value;
      return [
        node("textbox", element.label, path, value === "" ? [] : [staticText(shown, path)], {
          ...focused,
          required: false,
        }),
      ];
    }
    case "combobox": {
      const chosen = state.valueOf(path, element);
      const options = element.options.map((option, index) =>
        node("option", option, `${path}:option${index}`, [], { selected: option === chosen })
      );
      return [node("combobox", element.label, path, options, { ...focused, hasPopup: "menu", expanded: false })];
    }
    case "checkbox":
      return [
        // Chromium's own word: a box can also be "mixed".
        node("checkbox", element.label, path, [], { ...focused, checked: String(state.isChecked(path, element)) }),
      ];
    case "form":
    case "group":
      return treeOf(element.children, path, state);
    case "disclosure": {
      const expanded = state.open.has(path);
      const triangle = node("DisclosureTriangle", element.summary, path, [staticText(element.summary, path)], {
        ...focused,
        expanded,
      });
      return [triangle, ...expanded ? treeOf(element.children, path, state) : []];
    }
    case "table": {
      const header = element.columns.map((column, index) => {
        const key = `${path}:column${index}`;
        return node("columnheader", column, key, [staticText(column, key)], { required: false });
      });
      let position = 0;
      const rows = element.rows.map((cells, index) => {
        const row = cells.map((content) => {
          const place = `${path}.${position++}`;
          return node("cell", content.text, `${place}:cell`, nodesOf(content, place, state));
        });
        return node("row", "", `${path}:row${index}`, row);
      });
      return [node("table", "", path, [node("row", "", `${path}:header`, header), ...rows])];
    }
    case "tile":
      return [];
  }
}

function node(
  role: string,
  name: string,
  key: string,
  children: readonly AccessibilityNode[],
  properties: Properties = {},
): AccessibilityNode {
  return { role, name, key, children, properties };
}

function staticText(content: string, path: ElementPath): AccessibilityNode {
  return node("StaticText", content, `${path}:text`, []);
}

/** What Chromium calls the innerText (or outerText) of an element: its visible texts, a line each. */
export function elementText(element: PageElement, path: ElementPath, state: DocumentState): string {
  switch (element.kind) {
    case "heading":
    case "text":
    case "link":
    case "button":
      return element.text;
    case "form":
    case "group":
      return textOfAll(element.children, path, state);
    case "disclosure":
      return state.open.has(path) ? `${element.summary}\n${textOfAll(element.children, path, state)}` : element.summary;
    case "table": {
      const rows = element.rows.map((row) => row.map((content) => content.text).join("\t"));
      return [element.columns.join("\t"), ...rows].join("\n");
    }
    case "combobox":
      return [element.label, ...element.options].join("\n");
    case "textbox":
    case "checkbox":
      return element.label;
    case "tile":
      return element.letters;
  }
}

function textOfAll(elements: readonly PageElement[], path: ElementPath, state: DocumentState): string {
  return elements.map((element, index) => elementText(element, `${path}.${index}`, state))
    .filter((part) => part !== "").join("\n");
}
