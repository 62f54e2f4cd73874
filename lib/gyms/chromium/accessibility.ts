/**
 * Chromium's accessibility nodes, as its DevTools protocol lists them, made into a tree of what WebArena's form tells.
 *
 * This file decides what a node *is* (role, name, properties, key) and whether it is seen;
 * `worlds/web_page/accessibility_tree.ts` then leaves out what says nothing and writes lines. It talks to no browser. Only the
 * page's main frame is read, as WebArena does.
 *
 * How the usual controls come out, for whoever imitates them:
 *
 *     textbox 'Name' required: True             with the text in it as a StaticText below; so searchbox
 *     spinbutton 'Quantity' required: False valuemin: 1 valuemax: 9 valuetext: 1
 *     checkbox 'Gift' checked: true             (true, false, mixed: Chromium's own words, not Python's); so radio
 *     combobox 'Size' hasPopup: menu expanded: False
 *     	option 'S' selected: False               options are shown though the list is closed: an action may click them
 *     DisclosureTriangle 'More' expanded: False
 *     columnheader 'Price' required: False
 *
 * `focused: True` stands first, except after `disabled: True`; the page itself always says it.
 *
 * Source: WebArena (Zhou et al., 2024), its observation processor with `current_viewport_only`. Its threshold (0.6 of a node's
 * area in the viewport) multiplies by the height where it means to divide, so that in effect all is kept that overlaps the
 * viewport; that effect is the rule here.
 */
import type { AccessibilityNode } from "../../worlds/web_page/browser.ts";

/** A node as `Accessibility.getFullAXTree` lists it; of its fields, those that are read here. */
export interface ChromiumAccessibilityNode {
  /** Its id in the list. */
  readonly nodeId: string;
  /** Whether it is left out of the tree; what is below it takes its place. */
  readonly ignored: boolean;
  readonly role?: { readonly value?: unknown };
  readonly name?: { readonly value?: unknown };
  /** What else is said of it. */
  readonly properties?: readonly { readonly name: string; readonly value: { readonly value?: unknown } }[];
  /** Ids of the nodes below it, in document order. */
  readonly childIds?: readonly string[];
  /** The DOM node that it stands for. */
  readonly backendDOMNodeId?: number;
}

/** A rectangle [x, y, width, height] in CSS pixels, seen from the viewport's upper left corner. */
export type Rectangle = readonly [x: number, y: number, width: number, height: number];

/** What is known of the layout. */
export interface PageLayout {
  /**
   * Where DOM nodes are; undefined: drawn nowhere. Nodes that the page did not make itself (what a field is made of inside) are
   * missing: they are where the nodes above them are.
   */
  readonly rectangles: ReadonlyMap<number, Rectangle | undefined>;
  /** Size of the viewport in CSS pixels. */
  readonly viewport: { readonly width: number; readonly height: number };
}

/**
 * Properties that WebArena leaves out; `url`, which Chromium did not have when its trees were made; and `busy`, which only says
 * that Chromium has not yet taken note of a page's end of loading.
 */
const UNTOLD_PROPERTIES: ReadonlySet<string> = new Set([
  "focusable",
  "editable",
  "readonly",
  "level",
  "settable",
  "multiline",
  "invalid",
  "url",
  "busy",
]);

/** Roles of what a person types into: the text in one belongs to it, whatever DOM nodes hold it. */
const FIELD_ROLES: ReadonlySet<string> = new Set(["textbox", "searchbox", "spinbutton", "combobox"]);

/**
 * The tree of the nodes that are seen: those that Chromium does not ignore, that stand for a DOM node, and that overlap the
 * viewport. What is below an unseen node takes its place. Options of a closed list count as seen, bullets of lists do not.
 *
 * A node's key is the id of its DOM node; of texts in a field it is made from the field's, since Chromium may make new DOM nodes
 * for a field's text with every change.
 *
 * @throws {Error} When the list is empty.
 */
export function accessibilityTree(nodes: readonly ChromiumAccessibilityNode[], layout: PageLayout): AccessibilityNode {
  if (nodes.length === 0) throw new Error("accessibility tree is empty: the browser listed no nodes");
  const byId = new Map(nodes.map((node) => [node.nodeId, node])), roots: AccessibilityNode[] = [];
  // Not by recursion: pages may nest deeper than calls.
  const open: { node: ChromiumAccessibilityNode; above: Surroundings }[] = [
    { node: nodes[0], above: { isInView: true, field: undefined, siblings: roots } },
  ];
  for (let next; (next = open.pop()) !== undefined;) {
    const { node, above } = next;
    const role = String(node.role?.value ?? "");
    const key = keyOf(node, role, above.field);
    const isInView = inView(node, role, layout) ?? above.isInView;
    const field = FIELD_ROLES.has(role) ? { key, texts: 0 } : above.field;
    const isSeen = node === nodes[0] || isInView && isTold(node, role);
    const children = isSeen ? [] : above.siblings;
    if (isSeen) {
      const name = String(node.name?.value ?? "");
      above.siblings.push({ role, name, properties: propertiesOf(node), key, children });
    }
    for (const id of (node.childIds ?? []).toReversed()) {
      const child = byId.get(id);
      if (child) open.push({ node: child, above: { isInView, field, siblings: children } });
    }
  }
  return roots[0];
}

/** What is known from the nodes above one. */
interface Surroundings {
  readonly isInView: boolean;
  /** The field around it, and how many texts have been found in that. */
  readonly field: { readonly key: string | number; texts: number } | undefined;
  /** Where the node goes, if it is seen. */
  readonly siblings: AccessibilityNode[];
}

function keyOf(node: ChromiumAccessibilityNode, role: string, field: Surroundings["field"]): string | number {
  if (field && role === "StaticText") return `${field.key}/text ${field.texts++}`;
  return node.backendDOMNodeId ?? node.nodeId;
}

function isTold(node: ChromiumAccessibilityNode, role: string): boolean {
  return !node.ignored && node.backendDOMNodeId !== undefined && node.name !== undefined && role !== "ListMarker";
}

/** Whether a node is in the viewport; undefined where that is known of the nodes above it only. */
function inView(node: ChromiumAccessibilityNode, role: string, layout: PageLayout): boolean | undefined {
  // A closed list draws no options: they are where the list is.
  if (role === "option") return undefined;
  if (node.backendDOMNodeId === undefined || !layout.rectangles.has(node.backendDOMNodeId)) return undefined;
  const rectangle = layout.rectangles.get(node.backendDOMNodeId);
  return rectangle !== undefined && overlapsViewport(rectangle, layout.viewport);
}

function overlapsViewport([x, y, width, height]: Rectangle, viewport: PageLayout["viewport"]): boolean {
  if (width <= 0 || height <= 0) return false;
  return x < viewport.width && x + width > 0 && y < viewport.height && y + height > 0;
}

function propertiesOf(node: ChromiumAccessibilityNode): Record<string, string | number | boolean> {
  const told: Record<string, string | number | boolean> = {};
  for (const { name, value: { value } } of node.properties ?? []) {
    if (UNTOLD_PROPERTIES.has(name)) continue;
    // Properties that name other nodes (labelledby, controls) have no value of their own.
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") told[name] = value;
  }
  return told;
}
