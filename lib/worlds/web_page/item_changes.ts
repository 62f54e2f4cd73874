/**
 * What an action changes on a page: the items that are new, gone and different between two accessibility trees, and the
 * answer in three sections that says so.
 *
 * Items of the two trees are paired by a Hungarian assignment, as the data set's annotation does (Chae et al., 2024, pair by
 * name, role and place); the costs are ours. Leaving two items unpaired costs 4; a pair costs
 *
 *   0      the same id and the same text (role, name, attributes)
 *   1      the same text at another id: a page that is loaded again numbers its nodes anew
 *   1.5    the same id and role, a similar name: the node has changed
 *   2      the same id and role, another name
 *   3 − s/2   the same role at another id, names whose words are shared by s ≥ ½ (Dice's coefficient); attributes may differ
 *
 * and no other pair is made. So within a document, where ids stay, an item is its id; across documents first what says the
 * same is the same, then what stands at the same place. A pair that does not say the same is "updated", written as the new
 * line; what has no partner is new or deleted. An item that has only got another id has not changed.
 *
 * Source: RLVR-World §3.2 of App. D (form of the answer), App. A.2 (Hungarian matching).
 */
import { assign } from "./assignment.ts";
import { type PageItem, pageItems } from "./items.ts";

/** Lines of items, each without indentation. */
export interface ItemChanges {
  /** Only on the page after, in its order. */
  readonly newItems: readonly string[];
  /** Only on the page before, in its order. */
  readonly deletedItems: readonly string[];
  /** On both, but different: as they are after, in that order. */
  readonly updatedItems: readonly string[];
}

/** What two items cost that are not paired, both together. */
const UNPAIRED = 4;

/**
 * What has changed from one tree to another, both in WebArena's text form.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const before = "[1] RootWebArea 'Shop'\n\t[2] link 'Cart (0)'\n\t[3] button 'Add'";
 * const after = "[1] RootWebArea 'Shop'\n\t[2] link 'Cart (1)'\n\t[4] StaticText 'Added'";
 * assert.deepEqual(itemChanges(before, after), {
 *   newItems: ["[4] StaticText 'Added'"],
 *   deletedItems: ["[3] button 'Add'"],
 *   updatedItems: ["[2] link 'Cart (1)'"],
 * });
 * ```
 */
export function itemChanges(before: string, after: string): ItemChanges {
  const old = pageItems(before), now = pageItems(after);
  const pairs = pairItems(old, now), partners = new Map([...pairs].map(([i, j]) => [j, i]));
  return {
    newItems: now.filter((_, j) => !partners.has(j)).map((each) => each.line),
    deletedItems: old.filter((_, i) => !pairs.has(i)).map((each) => each.line),
    updatedItems: now.filter((each, j) => partners.has(j) && old[partners.get(j)!].text !== each.text)
      .map((each) => each.line),
  };
}

/** Whether nothing has changed. */
export function isUnchanged({ newItems, deletedItems, updatedItems }: ItemChanges): boolean {
  return newItems.length + deletedItems.length + updatedItems.length === 0;
}

/** The answer that states changes: three titled sections with an empty line between, `None` in an empty one. */
export function formatChanges({ newItems, deletedItems, updatedItems }: ItemChanges): string {
  return [["New items:", newItems], ["Deleted items:", deletedItems], ["Updated items:", updatedItems]]
    .map(([title, items]) => [title, ...(items.length > 0 ? items : ["None"])].join("\n"))
    .join("\n\n");
}

/** The cheapest pairs: indices of `old` to indices of `now`. */
export function pairItems(old: readonly PageItem[], now: readonly PageItem[]): Map<number, number> {
  const pairs = new Map<number, number>();
  // Pairs that cost nothing are part of a cheapest assignment, whatever the others are: taking one of the two elsewhere
  // never costs less than what the exchange gives. Most items are among them, so little is left to be assigned.
  const places = new Map<string, number[]>();
  now.forEach((each, j) => places.set(each.line, [...places.get(each.line) ?? [], j]));
  old.forEach((each, i) => {
    const j = places.get(each.line)?.shift();
    if (j !== undefined) pairs.set(i, j);
  });
  const taken = new Set(pairs.values());
  const restOld = [...old.keys()].filter((i) => !pairs.has(i)), restNow = [...now.keys()].filter((j) => !taken.has(j));
  if (restOld.length === 0 || restNow.length === 0) return pairs;
  const cost = restOld.map((i) => restNow.map((j) => pairCost(old[i], now[j])));
  assign(cost).forEach((column, row) => {
    if (column !== -1 && cost[row][column] < UNPAIRED) pairs.set(restOld[row], restNow[column]);
  });
  return pairs;
}

/** See the file's head; `UNPAIRED` where the two cannot be a pair. */
export function pairCost(a: PageItem, b: PageItem): number {
  if (a.role !== b.role) return UNPAIRED;
  const isSameId = a.id === b.id;
  if (a.text === b.text) return isSameId ? 0 : 1;
  const similarity = wordSimilarity(a.name, b.name);
  if (isSameId) return similarity >= 0.5 ? 1.5 : 2;
  return similarity >= 0.5 ? 3 - similarity / 2 : UNPAIRED;
}

/** Dice's coefficient of the bags of words; two empty names say nothing of each other: 0. */
function wordSimilarity(a: string, b: string): number {
  const first = words(a), second = words(b);
  if (first.length + second.length === 0) return 0;
  const left = new Map<string, number>();
  for (const word of first) left.set(word, (left.get(word) ?? 0) + 1);
  let shared = 0;
  for (const word of second) {
    const count = left.get(word) ?? 0;
    if (count === 0) continue;
    left.set(word, count - 1);
    shared++;
  }
  return 2 * shared / (first.length + second.length);
}

function words(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}
