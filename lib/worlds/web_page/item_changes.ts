/**
 * What an action changes on a page: the items that are new, gone and different between two accessibility trees, and the
 * answer in three sections that says so.
 *
 * Items of the two trees are paired by `item_pairs.ts`. A pair that does not say the same is "updated", written as the new
 * line; what has no partner is new or deleted. An item that has only got another id has not changed.
 *
 * Source: RLVR-World §3.2 of App. D (form of the answer).
 */
import { pairItems } from "./item_pairs.ts";
import { pageItems } from "./items.ts";

/**
 * Lines of items, each without indentation.
 *
 * @internal
 */
export interface ItemChanges {
  /** Only on the page after, in its order. */
  readonly newItems: readonly string[];
  /** Only on the page before, in its order. */
  readonly deletedItems: readonly string[];
  /** On both, but different: as they are after, in that order. */
  readonly updatedItems: readonly string[];
}

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
