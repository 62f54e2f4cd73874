/**
 * The text form of a page: WebArena's accessibility tree, one line a node.
 *
 *     Tab 0 (current): Shop | Tab 1: Cart
 *
 *     [1] RootWebArea 'Shop' focused: True
 *     	[2] link 'Home'
 *     	[3] searchbox 'Search' required: False
 *
 * Three things are decided here, for every browser alike: which nodes are shown ({@linkcode pruneTree}), which number each has
 * ({@linkcode PageNumbering}), and how its line reads ({@linkcode describePage}). Where nodes come from, and which of them are in
 * the viewport, is a browser's own affair.
 *
 * Source: WebArena (Zhou et al., 2024), its observation processor. Two of its accidents are not kept: there, a text is also
 * dropped when it happens to stand in the *id* of a line above, and a line of any role goes when its name contains "statictext".
 */
import { pythonRepr } from "../../io/python_repr.ts";
import type { AccessibilityNode, BrowserTab, Observation } from "./browser.ts";
import type { PageNode } from "./actions.ts";

/** Roles that say nothing by themselves: shown only with a name or a property. */
const SILENT_ROLES: ReadonlySet<string> = new Set([
  "generic",
  "img",
  "list",
  "strong",
  "paragraph",
  "banner",
  "navigation",
  "Section",
  "LabelText",
  "Legend",
  "listitem",
  // The invisible holder of a list's options; WebArena drops it because it is drawn nowhere.
  "MenuListPopup",
]);

/** How many of the shown lines above a text are searched for it. */
const LINES_SEARCHED = 3;

/** What a page looks like, before it is written down. */
export interface PageView {
  /** Its nodes. Those that say nothing may still be among them. */
  readonly root: AccessibilityNode;
  readonly url: string;
  /** All tabs, in order. */
  readonly tabs: readonly BrowserTab[];
  /** Tells the document from others, so that its nodes keep their numbers: a new one after each navigation. */
  readonly documentKey: string;
  /** Numbers given so far; {@linkcode KeyNumbering} for the browser's own. */
  readonly numbering: Numbering;
  /** The tree is cut after so many lines (the line of tabs is not counted). All are shown when left out. */
  readonly maxLines?: number;
}

/** An observation with what a browser needs to find an action's node again. */
export interface DescribedPage extends Observation {
  /** Keys of the nodes by their ids, as {@linkcode Observation.nodes}. */
  readonly keys: ReadonlyMap<number, AccessibilityNode["key"]>;
}

/** Gives the shown nodes of a document their ids. */
export interface Numbering {
  /** An id for each node below and including `root`, in document order. */
  idsOf(documentKey: string, root: AccessibilityNode): Map<AccessibilityNode, number>;
  /** A document is gone: its numbers are not needed any more. */
  forget(documentKey: string): void;
}

/**
 * Our own numbering, the default: a new document's nodes are 1, 2, 3, … in document order; as long as the document lives a node
 * keeps its number, and nodes that come later get the next free ones. The same walk gives the same numbers in every browser.
 */
export class PageNumbering implements Numbering {
  private readonly documents = new Map<string, Map<AccessibilityNode["key"], number>>();

  /** {@inheritDoc Numbering.idsOf} */
  idsOf(documentKey: string, root: AccessibilityNode): Map<AccessibilityNode, number> {
    let numbers = this.documents.get(documentKey);
    if (!numbers) this.documents.set(documentKey, numbers = new Map());
    const ids = new Map<AccessibilityNode, number>();
    for (const { node } of nodesOf(root)) {
      let id = numbers.get(node.key);
      // Numbers are never taken back, so the next free one is one more than there are.
      if (id === undefined) numbers.set(node.key, id = numbers.size + 1);
      ids.set(node, id);
    }
    return ids;
  }

  /** {@inheritDoc Numbering.forget} */
  forget(documentKey: string): void {
    this.documents.delete(documentKey);
  }

  /** An independent copy, for a copy of the browser. */
  clone(): PageNumbering {
    const copy = new PageNumbering();
    for (const [key, numbers] of this.documents) copy.documents.set(key, new Map(numbers));
    return copy;
  }
}

/** WebArena's own numbering: a node's id is its key, which must be a whole number (Chromium's node ids). */
export class KeyNumbering implements Numbering {
  /**
   * {@inheritDoc Numbering.idsOf}
   *
   * @throws {RangeError} When a key is not a whole number.
   */
  idsOf(_documentKey: string, root: AccessibilityNode): Map<AccessibilityNode, number> {
    const ids = new Map<AccessibilityNode, number>();
    for (const { node } of nodesOf(root)) {
      const id = Number(node.key);
      if (!Number.isSafeInteger(id)) {
        throw new RangeError(
          `key of ${node.role} '${node.name}' must be a whole number to be its id: received ${
            JSON.stringify(node.key)
          }`,
        );
      }
      ids.set(node, id);
    }
    return ids;
  }

  /** {@inheritDoc Numbering.forget} */
  forget(_documentKey: string): void {}
}

/**
 * The tree without the nodes that say nothing; what was below one stands in its place.
 *
 * Left out are
 * - nodes of a role that only groups or decorates (generic, img, list, strong, paragraph, banner, navigation, Section, LabelText,
 *   Legend, listitem, MenuListPopup) without name and without properties, and list items without a name even when they have properties;
 * - texts (StaticText) that are empty, or that stand in one of the three shown lines above: a link's text repeats its name.
 *
 * Pruning twice changes nothing that pruning once did not, except that a text may then stand nearer to one that it repeats; a tree
 * is therefore pruned once, by {@linkcode describePage}.
 */
export function pruneTree(root: AccessibilityNode): AccessibilityNode {
  const shownLines: string[] = [], roots: AccessibilityNode[] = [];
  // Not by recursion: pages may nest deeper than calls.
  const open = [{ node: root, siblings: roots }];
  for (let next; (next = open.pop()) !== undefined;) {
    const { node, siblings } = next;
    const isShown = node === root || !isSilent(node) && !(node.role === "StaticText" && isRepeated(node, shownLines));
    const children = isShown ? [] : siblings;
    if (isShown) {
      shownLines.push(describeNode(node));
      siblings.push({ ...node, children });
    }
    for (const child of node.children.toReversed()) open.push({ node: child, siblings: children });
  }
  return roots[0];
}

/**
 * A page in text form, with the nodes that an action may point at.
 *
 * Nodes below a cut (`maxLines`) are not in `nodes`: nobody has seen them.
 */
export function describePage(page: PageView): DescribedPage {
  const root = pruneTree(page.root);
  const ids = page.numbering.idsOf(page.documentKey, root);
  const lines: string[] = [];
  const nodes = new Map<number, PageNode>();
  const keys = new Map<number, AccessibilityNode["key"]>();
  let linesLeftOut = 0;
  for (const { node, depth } of nodesOf(root)) {
    if (lines.length >= (page.maxLines ?? Infinity)) {
      linesLeftOut++;
      continue;
    }
    const id = ids.get(node)!;
    const line = `[${id}] ${describeNode(node)}`;
    lines.push("\t".repeat(depth) + line);
    nodes.set(id, { role: node.role, name: node.name, line });
    keys.set(id, node.key);
  }
  const tree = `${describeTabs(page.tabs)}\n\n${lines.join("\n")}`;
  const described = { tree, url: page.url, tabs: page.tabs, nodes, keys };
  return linesLeftOut > 0 ? { ...described, linesLeftOut } : described;
}

/** The line of tabs: `Tab 0 (current): Shop | Tab 1: Cart`. */
export function describeTabs(tabs: readonly BrowserTab[]): string {
  return tabs
    .map(({ title, isCurrent }, index) => `Tab ${index}${isCurrent ? " (current)" : ""}: ${onOneLine(title)}`)
    .join(" | ");
}

/** A node's line without its id: `searchbox 'Search' required: False`. Names and values are written as Python writes them. */
function describeNode(node: AccessibilityNode): string {
  const properties = Object.entries(node.properties).map(([key, value]) => `${key}: ${propertyText(value)}`);
  return [node.role, pythonRepr(node.name), ...properties].join(" ");
}

function propertyText(value: string | number | boolean): string {
  return typeof value === "string" ? onOneLine(value) : pythonRepr(value);
}

/** Text that may not break a line (a name is quoted, which does it already). */
function onOneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ");
}

function isSilent(node: AccessibilityNode): boolean {
  if (node.name.trim() !== "" || !SILENT_ROLES.has(node.role)) return false;
  return node.role === "listitem" || Object.keys(node.properties).length === 0;
}

function isRepeated(node: AccessibilityNode, shownLines: readonly string[]): boolean {
  if (node.name === "") return true;
  const text = pythonRepr(node.name).slice(1, -1);
  return shownLines.slice(-LINES_SEARCHED).some((line) => line.includes(text));
}

function* nodesOf(root: AccessibilityNode): Generator<{ node: AccessibilityNode; depth: number }> {
  const open = [{ node: root, depth: 0 }];
  for (let next; (next = open.pop()) !== undefined;) {
    yield next;
    const depth = next.depth + 1;
    for (const child of next.node.children.toReversed()) open.push({ node: child, depth });
  }
}
