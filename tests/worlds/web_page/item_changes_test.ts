/** Changes between accessibility trees: what counts as the same item, and that the pairing is the cheapest. */
import assert from "node:assert/strict";
import { Philox } from "../../../lib/tensor/random.ts";
import { parseChanges, scoreChanges } from "../../../lib/worlds/web_page/f1_reward.ts";
import { formatChanges, isUnchanged, itemChanges } from "../../../lib/worlds/web_page/item_changes.ts";
import { pairCost, pairItems } from "../../../lib/worlds/web_page/item_pairs.ts";
import { type PageItem, pageItems, parseItem } from "../../../lib/worlds/web_page/items.ts";
import { processorTime } from "../../support/scaling.ts";
import { assignDensely } from "./dense_assignment.ts";

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

/** Every pair that is left when the same lines are paired in order, by the dense method. */
function densePairs(old: readonly PageItem[], now: readonly PageItem[]): Map<number, number> {
  const pairs = new Map<number, number>(), taken = new Set<number>();
  old.forEach((each, i) => {
    const j = now.findIndex(({ line }, j) => line === each.line && !taken.has(j));
    if (j === -1) return;
    pairs.set(i, j);
    taken.add(j);
  });
  const restOld = [...old.keys()].filter((i) => !pairs.has(i)), restNow = [...now.keys()].filter((j) => !taken.has(j));
  if (restOld.length === 0 || restNow.length === 0) return pairs;
  const cost = restOld.map((i) => restNow.map((j) => pairCost(old[i], now[j])));
  assignDensely(cost).forEach((column, row) => {
    if (column !== -1 && cost[row][column] < 4) pairs.set(restOld[row], restNow[column]);
  });
  return pairs;
}

Deno.test("pairs are those of the dense method, whichever of equally cheap ones it takes", () => {
  const random = new Philox(3, 42);
  const pick = <T>(from: readonly T[]) => from[random.integer(0, from.length)];
  const vocabularies = [["blue", "red", "4"], ["a", "b", "c", "d", "e", "f"], ["x"], ["x", "y", "z", "w w"]];
  let changed = 0;
  for (let round = 0; round < 2500; round++) {
    const words = pick(vocabularies), roles = pick([["link"], ["link", "text"], ["link", "link", "link", "text"]]);
    const most = pick([3, 6, 10, 25]), longest = pick([1, 2, 3, 5]);
    const tree = () => {
      const from = random.integer(0, 4), step = pick([1, 1, 2]), repeatsIds = random.integer(0, 5) === 0;
      return pageItems(
        Array.from({ length: random.integer(1, most + 1) }, (_, i) => {
          const name = Array.from({ length: random.integer(0, longest + 1) }, () => pick(words)).join(" ");
          const id = repeatsIds ? random.integer(0, 4) : from + i * step;
          return `[${id}] ${pick(roles)} '${name}'${random.integer(0, 4) === 0 ? " focused: True" : ""}`;
        }).join("\n"),
      );
    };
    const old = tree(), now = tree(), expected = densePairs(old, now);
    assert.deepEqual(
      [...pairItems(old, now)].sort(([i], [j]) => i - j),
      [...expected].sort(([i], [j]) => i - j),
      JSON.stringify([old, now].map((items) => items.map(({ line }) => line))),
    );
    if ([...expected].some(([i, j]) => old[i].text !== now[j].text)) changed++;
  }
  assert.ok(changed > 1000, `${changed} of 2500 have items that are updated`);
});

/** Lines of two pages, by what makes comparing long. */
const LARGE: Record<string, (line: number) => [before: string, after: string]> = {
  "one id": (i) => [`[1] link 'a${i}'`, `[1] link 'b${i}'`],
  "one line": () => ["[1] link 'a'", "[1] link 'a'"],
  "one text, some ids": (i) => [`[${2 * i}] button 'Add'`, `[${3 * i}] button 'Add'`],
  "a common word": (i) => [`[${i}] link 'item ${i}'`, `[${i + 1e6}] link 'item ${i + 1e6}'`],
  "prices": (i) => [`[${i}] StaticText '$${i % 90}.${i % 7}'`, `[${i}] StaticText '$${(7 * i) % 90}.${i % 5}'`],
};

for (const [name, lines] of Object.entries(LARGE)) {
  Deno.test(`large pages take no more than linear time: ${name}`, () => {
    const time = (size: number) => {
      const all = Array.from({ length: size }, (_, i) => lines(i));
      const [before, after] = [0, 1].map((page) => all.map((pair) => pair[page]).join("\n"));
      return processorTime(() => itemChanges(before, after), 1);
    };
    // At 1,500 an assignment has its longest time, which does not grow any more.
    time(1500);
    const small = time(1500), large = time(24_000);
    assert.ok(large < 32 * small + 300, `${small.toFixed(0)} ms, 16 times the lines ${large.toFixed(0)} ms`);
  });
}

Deno.test("what is too large to be assigned is paired in order: by id within a document, by text across documents", () => {
  const page = (line: (i: number) => string) => Array.from({ length: 20_000 }, (_, i) => line(i)).join("\n");
  const before = page((i) => `[${i}] StaticText 'count ${i}'`);
  const within = itemChanges(before, page((i) => `[${i}] StaticText 'count ${i % 2 ? i : -i}'`));
  assert.deepEqual([within.newItems.length, within.deletedItems.length, within.updatedItems.length], [0, 0, 9999]);
  const across = itemChanges(before, page((i) => `[${i + 5}] StaticText 'count ${i}'`));
  assert.ok(isUnchanged(across), JSON.stringify(across).slice(0, 200));
});
