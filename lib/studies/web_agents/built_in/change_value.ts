/**
 * A value that reads predicted changes instead of asking a model: how much of what the objective names would stand on the page
 * after the action. It knows the objective's words and nothing of the solution, so it is right as often as the prediction is.
 *
 * From the objective it takes wanted things: quoted texts and names in capitals (weight 3), numbers and prices (2), other words
 * that say something (1). The page after the action is the page now without the items that are predicted deleted or updated, and
 * with the new and updated ones. A wanted thing counts
 *
 *   1     in a heading or the title, when that is new or updated
 *   0.9   in another new or updated item, or in what the action itself fills in
 *   0.55  in an item that stays
 *   0     nowhere; options that are not selected and fields' labels of other values do not count
 *
 * a name of several words by the share of them that stand together in one item. The score is 1 + 4 · (sum of weight · count) /
 * (sum of weights), on the paper's scale from 1 to 5; a prediction that nothing changes scores 1, one that cannot be read 0.
 * It is a number, not a vote, so one sample says all.
 *
 * Source of the scale: RLVR-World App. A.3. The formula is ours.
 */
import type { WebAction } from "../../../worlds/web_page/actions.ts";
import { type ChangeSections, parseChanges } from "../../../worlds/web_page/f1_reward.ts";
import { type PageItem, pageItems, parseItem } from "../../../worlds/web_page/items.ts";
import type { AgentState, ValueRole } from "../roles.ts";
import { type Reply, timed } from "../../../serving/usage.ts";
import { contentWords, stem } from "./words.ts";

/** Something that the objective names. */
export interface WantedThing {
  /** Its words, as {@linkcode contentWords} gives them. */
  readonly words: readonly string[];
  /** How much it counts. */
  readonly weight: number;
}

const NAME_WEIGHT = 3, NUMBER_WEIGHT = 2, WORD_WEIGHT = 1;
const TITLE_COUNT = 1, FRESH_COUNT = 0.9, KEPT_COUNT = 0.55;
/** Characters of an objective that are read: it is a sentence or two. */
const LONGEST_OBJECTIVE = 2000;
const TITLE_ROLES: ReadonlySet<string> = new Set(["heading", "RootWebArea"]);

/** A value that compares predicted changes with the words of the task: a program, for the built-in shop. */
export class ChangeValue implements ValueRole {
  /** {@inheritDoc ValueRole.score} */
  score(state: AgentState, candidates: Parameters<ValueRole["score"]>[1]): Promise<Reply<number[][]>> {
    const wanted = wantedThings(state.objective);
    return timed(
      candidates.length,
      () =>
        candidates.map(({ prediction, action }) => [changeScore(wanted, state.observation.tree, prediction, action)]),
    );
  }
}

/** The score of one prediction. @param tree The page now. @param action What is predicted of. */
export function changeScore(
  wanted: readonly WantedThing[],
  tree: string,
  prediction: string,
  action?: WebAction,
): number {
  const changes = parseChanges(prediction);
  if (changes.new.size + changes.deleted.size + changes.updated.size === 0) return 0;
  const { fresh, kept } = pageAfter(tree, changes);
  const isChanged = fresh.length > 0 || itemsOf(changes.deleted).length > 0;
  if (!isChanged) return 1;
  const typed = action?.kind === "type" && !action.pressEnter
    ? [parseItem(`[${action.id}] textbox '${action.text}'`)!]
    : [];
  const all = wanted.reduce((sum, { weight }) => sum + weight, 0);
  const items = [
    ...[...fresh, ...typed].map((item) => ({
      words: wordsOf(item),
      count: TITLE_ROLES.has(item.role) ? TITLE_COUNT : FRESH_COUNT,
    })),
    ...kept.map((item) => ({ words: wordsOf(item), count: KEPT_COUNT })),
  ];
  const found = wanted.reduce((sum, { words, weight }) => {
    const most = items.reduce((most, item) => Math.max(most, item.count * share(words, item.words)), 0);
    return sum + weight * most;
  }, 0);
  return all === 0 ? 1 : 1 + 4 * found / all;
}

/** What an objective names, each once; of a very long one, what its beginning names. */
export function wantedThings(objective: string): WantedThing[] {
  objective = objective.slice(0, LONGEST_OBJECTIVE);
  const things = new Map<string, WantedThing>();
  const add = (text: string, weight: number) => {
    const words = [...contentWords(text)];
    const isKnown = [...things.values()].some((each) => words.every((word) => each.words.includes(word)));
    if (words.length > 0 && !isKnown) things.set(words.join(" "), { words, weight });
  };
  // An apostrophe within a word is no quote.
  for (const [, quoted] of objective.matchAll(/(?<![\p{L}\p{N}])["'“‘](.+?)["'”’](?![\p{L}\p{N}])/gu)) {
    add(quoted, NAME_WEIGHT);
  }
  for (
    const [name] of objective.matchAll(/(?<=[\p{L}\p{N},:;'"] +)\p{Lu}[\p{L}\p{N}'-]*(?: \p{Lu}[\p{L}\p{N}'-]*)*/gu)
  ) {
    add(name, NAME_WEIGHT);
  }
  for (const [number] of objective.matchAll(/\$?\d+(?:[.,]\d+)*/g)) add(number, NUMBER_WEIGHT);
  for (const word of contentWords(objective)) add(word, WORD_WEIGHT);
  return [...things.values()];
}

function pageAfter(tree: string, changes: ChangeSections): { fresh: PageItem[]; kept: PageItem[] } {
  const fresh = itemsOf([...changes.new, ...changes.updated]), updated = itemsOf(changes.updated);
  const gone = new Set(itemsOf(changes.deleted).map(({ line }) => line)),
    replaced = new Set(updated.map(({ id }) => id));
  return { fresh, kept: pageItems(tree).filter(({ id, line }) => !gone.has(line) && !replaced.has(id)) };
}

function itemsOf(lines: Iterable<string>): PageItem[] {
  return [...lines].map(parseItem).filter((item) => item !== undefined);
}

/** The words of an item; none of an option that is not chosen. */
function wordsOf({ name, attributes }: PageItem): ReadonlySet<string> {
  if (attributes.includes("selected: False")) return new Set();
  return new Set(
    [...name.toLowerCase().matchAll(/[\p{L}\p{N}]+(?:[.'-][\p{L}\p{N}]+)*/gu)].map(([word]) => stem(word)),
  );
}

/** The share of a thing's words that are among an item's, squared. */
function share(words: readonly string[], own: ReadonlySet<string>): number {
  const held = words.filter((word) => own.has(word)).length;
  // Half a name is worth less than half: many things share a word.
  return (held / words.length) ** 2;
}
