/**
 * Which item of a page before an action is which of the page after it.
 *
 * Items are paired by a Hungarian assignment, as the data set's annotation does (Chae et al., 2024, pair by name, role and
 * place); the costs are ours. Leaving two items unpaired costs 4; a pair costs
 *
 *   0      the same id and the same text (role, name, attributes)
 *   1      the same text at another id: a page that is loaded again numbers its nodes anew
 *   1.5    the same id and role, a similar name: the node has changed
 *   2      the same id and role, another name
 *   3 − s/2   the same role at another id, names whose words are shared by s ≥ ½ (Dice's coefficient); attributes may differ
 *
 * and no other pair is made. So within a document, where ids stay, an item is its id; across documents first what says the
 * same is the same, then what stands at the same place. Of equally cheap assignments it is the one that the method comes to
 * when it takes the items of the page with fewer in order.
 *
 * Where very much changes, thousands of items that resemble each other, that would take minutes. Comparing and assigning that
 * take too many steps are given up; then items are paired in the pages' order, those of the same id and role first and of the
 * rest those of the same text, or the other way round, whichever is cheaper.
 *
 * Source: RLVR-World App. A.2 (Hungarian matching).
 */
import { assign, type EqualPairs } from "./assignment.ts";
import type { PageItem } from "./items.ts";

/** What two items cost that are not paired, both together. */
const UNPAIRED = 4;
/** What the same text costs at another id. */
const MOVED = 1;
/** Least similarity of names that resemble each other. */
const SIMILAR = 0.5;
/** Pairs of texts with a word in common that are compared at most, and steps of assigning: together about a second. */
const MOST_COMPARED = 2 ** 22, MOST_STEPS = 2 ** 25;

/** The cheapest pairs, see the file's head: indices of `old` to indices of `now`. */
export function pairItems(old: readonly PageItem[], now: readonly PageItem[]): Map<number, number> {
  // Pairs that cost nothing are part of a cheapest assignment, whatever the others are: taking one of the two elsewhere
  // never costs less than what the exchange gives. Most items are among them, so little is left to be assigned.
  const pairs = pairEqual(old, now, new Map(), ({ line }) => line);
  const restOld = unpaired(old, pairs.keys()), restNow = unpaired(now, pairs.values());
  if (restOld.length <= restNow.length) {
    const places = assignItems(restOld.map((i) => old[i]), restNow.map((j) => now[j]));
    if (places === undefined) return pairInOrder(old, now, pairs);
    places.forEach((place, row) => place !== -1 && pairs.set(restOld[row], restNow[place]));
  } else {
    const places = assignItems(restNow.map((j) => now[j]), restOld.map((i) => old[i]));
    if (places === undefined) return pairInOrder(old, now, pairs);
    places.forEach((place, row) => place !== -1 && pairs.set(restOld[place], restNow[row]));
  }
  return pairs;
}

/** What a pair costs, see the file's head; that of unpaired items where the two cannot be a pair. */
export function pairCost(a: PageItem, b: PageItem): number {
  if (a.role !== b.role) return UNPAIRED;
  const isSameId = a.id === b.id;
  if (a.text === b.text) return isSameId ? 0 : MOVED;
  const first = nameWords(a), second = nameWords(b);
  const similarity = similarityOf(first.intersection(second).size, first.size, second.size);
  if (isSameId) return similarity >= SIMILAR ? 1.5 : 2;
  return similarity >= SIMILAR ? similarCost(similarity) : UNPAIRED;
}

/** Indices of items without a partner. */
function unpaired(items: readonly PageItem[], paired: Iterable<number>): number[] {
  const all = new Set(items.keys());
  for (const each of paired) all.delete(each);
  return [...all];
}

/** Pairs items of equal keys that have no partner, in the pages' order. @returns `pairs`, with these. */
function pairEqual(
  old: readonly PageItem[],
  now: readonly PageItem[],
  pairs: Map<number, number>,
  keyOf: (item: PageItem) => string,
): Map<number, number> {
  const places = new Map<string, number[]>();
  for (const j of unpaired(now, pairs.values()).reverse()) listOf(places, keyOf(now[j])).push(j);
  for (const i of unpaired(old, pairs.keys())) {
    const j = places.get(keyOf(old[i]))?.pop();
    if (j !== undefined) pairs.set(i, j);
  }
  return pairs;
}

/** What takes the place of an assignment that takes too long; see the file's head. */
function pairInOrder(
  old: readonly PageItem[],
  now: readonly PageItem[],
  pairs: ReadonlyMap<number, number>,
): Map<number, number> {
  const inOrder = (...keys: ((item: PageItem) => string)[]) => {
    const found = keys.reduce((found, keyOf) => pairEqual(old, now, found, keyOf), new Map(pairs));
    return { found, saved: [...found].reduce((sum, [i, j]) => sum + UNPAIRED - pairCost(old[i], now[j]), 0) };
  };
  const byId = inOrder(placeKey, textKey), byText = inOrder(textKey, placeKey);
  return byId.saved >= byText.saved ? byId.found : byText.found;
}

/** The index in `many` of the partner of each of `few`, −1 where it has none; undefined where that takes too many steps. */
function assignItems(few: readonly PageItem[], many: readonly PageItem[]): number[] | undefined {
  const rows = indicesBy(few, textKey), columns = indicesBy(many, textKey), places = indicesBy(many, placeKey);
  const similar = similarTexts([...rows.values()].map(([row]) => few[row]), many, [...columns.values()]);
  const own: EqualPairs[][] = [];
  let compared = 0;
  for (const each of few) {
    const there = places.get(placeKey(each)) ?? [];
    // Whole names are compared here, where an id is there twice.
    if ((compared += 16 * there.length) > MOST_COMPARED) return undefined;
    own.push(there.map((column) => ({ columns: [column], cost: pairCost(each, many[column]) })));
  }
  const groupOf = new Array<number>(few.length);
  [...rows.values()].forEach((members, group) => members.forEach((row) => groupOf[row] = group));
  const columnOf = similar && assign({
    groupOf,
    shared: similar,
    own,
    columns: many.length,
    usual: UNPAIRED,
    mostSteps: MOST_STEPS,
  });
  return columnOf &&
    Array.from(columnOf, (column, row) => pairCost(few[row], many[column]) < UNPAIRED ? column : -1);
}

/** Of each item, those that say the same or something similar, whatever their ids. @param groups Indices of `many` by text. */
function similarTexts(
  items: readonly PageItem[],
  many: readonly PageItem[],
  groups: readonly (readonly number[])[],
): EqualPairs[][] | undefined {
  const having = new Map<string, number[]>(), lengths: number[] = [];
  for (const [group, [first]] of groups.entries()) {
    const words = nameWords(many[first]);
    lengths.push(words.size);
    for (const word of words) listOf(having, word).push(group);
  }
  const groupOfText = new Map(groups.map(([first], group) => [many[first].text, group]));
  const shared = new Int32Array(groups.length), similar: EqualPairs[][] = [];
  let compared = 0;
  for (const item of items) {
    const words = nameWords(item), found: number[] = [], same = groupOfText.get(item.text);
    const pairs = same === undefined ? [] : [{ columns: groups[same], cost: MOVED }];
    for (const word of words) {
      const list = having.get(word) ?? [];
      if ((compared += list.length) > MOST_COMPARED) return undefined;
      for (const group of list) if (shared[group]++ === 0) found.push(group);
    }
    for (const group of found) {
      const similarity = similarityOf(shared[group], words.size, lengths[group]);
      if (group !== same && similarity >= SIMILAR) {
        pairs.push({ columns: groups[group], cost: similarCost(similarity) });
      }
      shared[group] = 0;
    }
    similar.push(pairs);
  }
  return similar;
}

/** Dice's coefficient. */
function similarityOf(shared: number, length: number, other: number): number {
  return shared === 0 ? 0 : 2 * shared / (length + other);
}

/** In steps of 2⁻⁴⁸, so that sums and differences of costs are exact and do not depend on their order. */
function similarCost(similarity: number): number {
  return Math.round((3 - similarity / 2) * 2 ** 48) / 2 ** 48;
}

const wordsOfItems = new WeakMap<PageItem, ReadonlySet<string>>();

/** Words of a name, each with the role and how often it has come before: what two names share is what is in both sets. */
function nameWords(item: PageItem): ReadonlySet<string> {
  let words = wordsOfItems.get(item);
  if (words === undefined) {
    const counts = new Map<string, number>(), { role, name } = item;
    words = new Set(Array.from(name.toLowerCase().matchAll(/[\p{L}\p{N}]+/gu), ([word]) => {
      const before = counts.get(word) ?? 0;
      counts.set(word, before + 1);
      return `${role} ${word} ${before}`;
    }));
    wordsOfItems.set(item, words);
  }
  return words;
}

function placeKey({ id, role }: PageItem): string {
  return `${id} ${role}`;
}

function textKey({ text }: PageItem): string {
  return text;
}

function indicesBy(items: readonly PageItem[], keyOf: (item: PageItem) => string): Map<string, number[]> {
  const indices = new Map<string, number[]>();
  items.forEach((each, index) => listOf(indices, keyOf(each)).push(index));
  return indices;
}

function listOf(lists: Map<string, number[]>, key: string): number[] {
  const list = lists.get(key) ?? [];
  if (list.length === 0) lists.set(key, list);
  return list;
}
