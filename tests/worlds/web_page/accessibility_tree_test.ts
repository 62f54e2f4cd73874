/** The text form of pages, against a reference of WebArena's processor in Python, and the rules of numbers and cuts. */
import assert from "node:assert/strict";
import {
  accessibilityTree,
  type ChromiumAccessibilityNode,
  type Rectangle,
} from "../../../lib/gyms/chromium/accessibility.ts";
import type { AccessibilityNode } from "../../../lib/worlds/web_page/browser.ts";
import {
  describePage,
  KeyNumbering,
  PageNumbering,
  pruneTree,
} from "../../../lib/worlds/web_page/accessibility_tree.ts";

interface Golden {
  viewport: [number, number];
  cases: { nodes: ChromiumAccessibilityNode[]; boxes: Record<string, Rectangle>; lines: string[] }[];
}

const TABS = [{ title: "Shop", isCurrent: true }];

function node(
  role: string,
  name: string,
  children: AccessibilityNode[] = [],
  properties: AccessibilityNode["properties"] = {},
  key: string | number = `${role} ${name}`,
): AccessibilityNode {
  return { role, name, properties, key, children };
}

function linesOf(root: AccessibilityNode, numbering = new PageNumbering(), documentKey = "a"): string[] {
  return describePage({ root, url: "http://shop.test/", tabs: TABS, documentKey, numbering }).tree.split("\n").slice(2);
}

Deno.test("tree: lines are those of WebArena's processor", async () => {
  const golden: Golden = JSON.parse(
    await Deno.readTextFile(new URL("fixtures/trees.json", import.meta.url)),
  );
  const [width, height] = golden.viewport;
  let droppedTexts = 0;
  for (const { nodes, boxes, lines } of golden.cases) {
    const rectangles = new Map(nodes.map(({ nodeId }) => [Number(nodeId), boxes[nodeId]]));
    const root = accessibilityTree(nodes, { rectangles, viewport: { width, height } });
    const seen = describePage({ root, url: "", tabs: TABS, documentKey: "1", numbering: new KeyNumbering() }).tree;
    assert.deepEqual(seen.split("\n").slice(2), lines);
    droppedTexts += nodes.length - lines.length;
  }
  assert.ok(droppedTexts > 100, `only ${droppedTexts} nodes were left out: the fixture does not test it`);
});

Deno.test("tree: tabs stand first, nodes know their lines", () => {
  const root = node("RootWebArea", "It's", [
    node("generic", "", [node("link", "Home", [node("StaticText", "Home")])]),
    node("searchbox", "Search", [], { focused: true, required: false, valuemax: 9 }),
  ]);
  const tabs = [{ title: "Shop", isCurrent: false }, { title: "It's\na", isCurrent: true }];
  const page = describePage({ root, url: "u", tabs, documentKey: "a", numbering: new PageNumbering() });
  assert.equal(
    page.tree,
    "Tab 0: Shop | Tab 1 (current): It's a\n\n[1] RootWebArea \"It's\"\n\t[2] link 'Home'\n" +
      "\t[3] searchbox 'Search' focused: True required: False valuemax: 9",
  );
  assert.deepEqual(page.nodes.get(2), { role: "link", name: "Home", line: "[2] link 'Home'" });
  assert.deepEqual([...page.nodes.keys()], [1, 2, 3]);
  assert.equal(page.keys.get(3), "searchbox Search");
  assert.equal(page.linesLeftOut, undefined);
});

Deno.test("tree: a text that repeats one of the three lines above is dropped, a fourth is not", () => {
  const texts = ["one", "two", "three"].map((name) => node("cell", name));
  const lines = (above: AccessibilityNode[]) =>
    linesOf(node("RootWebArea", "", [node("link", "Cart"), ...above, node("StaticText", "Cart")]));
  assert.equal(lines(texts.slice(0, 2)).length, 4);
  assert.equal(lines(texts).length, 6);
  // Whether a number is shown does not hang on the ids above it.
  assert.ok(linesOf(node("RootWebArea", "", [node("StaticText", "1")])).includes("\t[2] StaticText '1'"));
});

Deno.test("tree: a node keeps its number while its document lives; new ones get the next", () => {
  const numbering = new PageNumbering();
  const [home, cart, help] = ["Home", "Cart", "Help"].map((name) => node("link", name));
  const page = (...links: AccessibilityNode[]) => node("RootWebArea", "", links);
  assert.deepEqual(linesOf(page(home, cart), numbering).slice(1), ["\t[2] link 'Home'", "\t[3] link 'Cart'"]);
  assert.deepEqual(linesOf(page(help, cart), numbering).slice(1), ["\t[4] link 'Help'", "\t[3] link 'Cart'"]);
  assert.deepEqual(linesOf(page(home), numbering).slice(1), ["\t[2] link 'Home'"]);
  assert.deepEqual(linesOf(page(help, cart), numbering, "b").slice(1), ["\t[2] link 'Help'", "\t[3] link 'Cart'"]);
  numbering.forget("a");
  assert.deepEqual(linesOf(page(cart), numbering).slice(1), ["\t[2] link 'Cart'"]);
});

Deno.test("tree: a long one is cut and says so; what was cut cannot be pointed at", () => {
  const root = node("RootWebArea", "", Array.from({ length: 9 }, (_, index) => node("link", `link ${index}`)));
  const page = describePage({
    root,
    url: "",
    tabs: TABS,
    documentKey: "a",
    numbering: new PageNumbering(),
    maxLines: 4,
  });
  assert.equal(page.tree.split("\n").length, 2 + 4);
  assert.equal(page.linesLeftOut, 6);
  assert.deepEqual([...page.nodes.keys()], [1, 2, 3, 4]);
});

Deno.test("tree: pruning leaves groups out and keeps what is below them", () => {
  const root = node("RootWebArea", "", [
    node("list", "", [node("listitem", "", [node("link", "A")], { level: 1 })]),
    node("combobox", "Size", [node("MenuListPopup", "", [node("option", "S")])]),
    node("navigation", "Main"),
  ]);
  const roles = pruneTree(root).children.map(({ role, children }) => [role, ...children.map((child) => child.role)]);
  assert.deepEqual(roles, [["link"], ["combobox", "option"], ["navigation"]]);
});

Deno.test("tree: pages nest as deeply as they like", () => {
  const DEPTH = 20_000;
  const nodes = Array.from({ length: DEPTH }, (_, i): ChromiumAccessibilityNode => ({
    nodeId: String(i),
    ignored: false,
    role: { value: i === DEPTH - 1 ? "link" : "generic" },
    name: { value: i === DEPTH - 1 ? "Cart" : "" },
    childIds: i === DEPTH - 1 ? [] : [String(i + 1)],
    backendDOMNodeId: i,
  }));
  const root = accessibilityTree(nodes, { rectangles: new Map(), viewport: { width: 1, height: 1 } });
  assert.deepEqual(linesOf(root), ["[1] generic ''", "\t[2] link 'Cart'"]);
});

Deno.test("tree: keys that are no whole numbers are no ids", () => {
  assert.throws(
    () => new KeyNumbering().idsOf("a", node("link", "Cart", [], {}, "x")),
    new RangeError(`key of link 'Cart' must be a whole number to be its id: received "x"`),
  );
  assert.throws(() => accessibilityTree([], { rectangles: new Map(), viewport: { width: 1, height: 1 } }), /is empty/);
});
