/** Changes between accessibility trees: what counts as the same item, and that the pairing is the cheapest. */
import assert from "node:assert/strict";
import { Philox } from "../../../lib/tensor/random.ts";
import { parseChanges, scoreChanges } from "../../../lib/worlds/web_page/f1_reward.ts";
import {
  formatChanges,
  isUnchanged,
  itemChanges,
  pairCost,
  pairItems,
} from "../../../lib/worlds/web_page/item_changes.ts";
import { pageItems, parseItem } from "../../../lib/worlds/web_page/items.ts";

const TABS = "Tab 0 (current): Shop\n\n";
const LISTING = TABS + [
  "[1] RootWebArea 'Kettles' focused: True",
  "\t[2] link 'Home'",
  "\t[3] link 'Cart (0)'",
  "\t[4] heading 'Kettles'",
  "\t[5] link 'Blue kettle'",
  "\t[6] StaticText '$24.00'",
  "\t[7] link 'Iron kettle'",
  "\t[8] StaticText '$31.50'",
].join("\n");

Deno.test("items: id, role, name as Python quotes it, attributes", () => {
  assert.deepEqual(parseItem("\t\t[12] searchbox 'Search \\'n\\' find' required: False focused: True "), {
    id: 12,
    role: "searchbox",
    name: "Search \\'n\\' find",
    attributes: "required: False focused: True",
    line: "[12] searchbox 'Search \\'n\\' find' required: False focused: True",
    text: "searchbox 'Search \\'n\\' find' required: False focused: True",
  });
  assert.equal(parseItem(`[3] button "it's"`)!.name, "it's");
  assert.deepEqual(pageItems(LISTING).map((each) => each.id), [1, 2, 3, 4, 5, 6, 7, 8]);
  for (const other of ["Tab 0 (current): Shop", "", "[x] link 'A'", "None", "[5]"]) {
    assert.equal(parseItem(other), undefined);
  }
  assert.deepEqual([parseItem("[4] link 'open")!.name, parseItem("[4] link 'open")!.attributes], ["", "'open"]);
});

Deno.test("nothing changes: None in every section", () => {
  const changes = itemChanges(LISTING, LISTING.replace("Tab 0 (current): Shop", "Tab 0 (current): Other"));
  assert.ok(isUnchanged(changes));
  assert.equal(formatChanges(changes), "New items:\nNone\n\nDeleted items:\nNone\n\nUpdated items:\nNone");
});

Deno.test("within a document an item is its id, though another says what it said", () => {
  const before = "[1] RootWebArea 'A'\n[2] StaticText '0'\n[3] StaticText '1'\n[4] checkbox 'Gift' checked: false";
  const after = "[1] RootWebArea 'A'\n[2] StaticText '1'\n[3] StaticText '2'\n[4] checkbox 'Gift' checked: true";
  assert.deepEqual(itemChanges(before, after), {
    newItems: [],
    deletedItems: [],
    updatedItems: ["[2] StaticText '1'", "[3] StaticText '2'", "[4] checkbox 'Gift' checked: true"],
  });
});

Deno.test("across documents what says the same is the same, whatever its id", () => {
  const gone = TABS + LISTING.split("\n").slice(2).filter((line) => !/Blue kettle|\$24/.test(line))
    .map((line, i) => line.replace(/\[\d+\]/, `[${i + 1}]`)).join("\n");
  assert.deepEqual(itemChanges(LISTING, gone), {
    newItems: [],
    deletedItems: ["[5] link 'Blue kettle'", "[6] StaticText '$24.00'"],
    updatedItems: [],
  });
});

Deno.test("a page that is opened: new, gone and changed items, each in its page's order", () => {
  const product = TABS + [
    "[1] RootWebArea 'Blue kettle' focused: True",
    "\t[2] link 'Home'",
    "\t[3] link 'Cart (0)'",
    "\t[4] heading 'Blue kettle'",
    "\t[5] StaticText '$24.00'",
    "\t[6] button 'Add to cart'",
  ].join("\n");
  const changes = itemChanges(LISTING, product);
  assert.deepEqual(changes, {
    newItems: ["[6] button 'Add to cart'"],
    deletedItems: ["[5] link 'Blue kettle'", "[7] link 'Iron kettle'", "[8] StaticText '$31.50'"],
    updatedItems: ["[1] RootWebArea 'Blue kettle' focused: True", "[4] heading 'Blue kettle'"],
  });
  const text = formatChanges(changes);
  assert.ok(text.startsWith("New items:\n[6] button 'Add to cart'\n\nDeleted items:\n[5] link"), text);
  assert.equal(scoreChanges(text, text).f1, 1);
  assert.deepEqual([...parseChanges(text).updated], changes.updatedItems);
});

Deno.test("taking out what is the same first leaves the pairing the cheapest", () => {
  const random = new Philox(3, 41), roles = ["link", "link", "link", "text"], words = ["blue", "red", "4"];
  const pick = (from: string[]) => from[random.integer(0, from.length)];
  const tree = (from: number) =>
    Array.from(
      { length: random.integer(1, 6) },
      (_, i) => `[${from + i}] ${pick(roles)} '${pick(words)} ${pick(words)}'`,
    ).join("\n");
  let shortcuts = 0;
  for (let round = 0; round < 800; round++) {
    const old = pageItems(tree(1)), now = pageItems(tree(1 + random.integer(0, 8) % 7 % 2));
    const pairs = pairItems(old, now);
    const left = old.length + now.length - 2 * pairs.size;
    const total = [...pairs].reduce((sum, [i, j]) => sum + pairCost(old[i], now[j]), 2 * left);
    if (old.some((each) => now.some((other) => other.line === each.line))) shortcuts++;
    assert.ok(Math.abs(total - cheapest(old, now)) < 1e-9, JSON.stringify([old, now]));
  }
  assert.ok(shortcuts > 50, `${shortcuts} of 800 have items that stay`);
});

/** By trying everything. */
function cheapest(old: ReturnType<typeof pageItems>, now: ReturnType<typeof pageItems>): number {
  const [first, ...rest] = old;
  if (first === undefined) return 2 * now.length;
  const alone = 2 + cheapest(rest, now);
  return now.reduce(
    (least, each, j) => Math.min(least, pairCost(first, each) + cheapest(rest, now.filter((_, k) => k !== j))),
    alone,
  );
}

Deno.test("trees of a thousand lines are compared in little time", () => {
  const tree = (shift: number) =>
    Array.from(
      { length: 1000 },
      (_, i) => `[${i + 1}] ${i % 2 ? "link" : "StaticText"} 'word${(i + shift) % 700} ${i % 9}'`,
    )
      .join("\n");
  const began = performance.now();
  itemChanges(tree(0), tree(3));
  assert.ok(performance.now() - began < 20_000);
});
