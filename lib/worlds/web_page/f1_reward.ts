/**
 * The reward of a predicted page: F1 of the item changes that an answer lists, against the true ones.
 *
 * As released: both texts are read line by line; from the first line that begins with a section's title on, every line that
 * is not empty is an item of the section that was titled last, whatever it says, `None` too; sections are sets. Items match
 * when they are the same string in the same section (the released Hungarian matching allows no other cost than 0, so it is
 * the intersection). With M matches, precision P = M / predicted, recall R = M / true, F1 = 2PR / (P + R), each 0 where it
 * would divide by 0.
 *
 * One deviation: text of the token that ends a sequence is cut off before reading. The released code reads responses with it,
 * so that it hangs on the last item, which then never matches; `keepEndOfSequence` does as released.
 *
 * Source: RLVR-World App. A.2; its `reward_score/web_agent.py`.
 */

/**
 * Quality of one answer; all from 0 to 1, higher is better.
 *
 * @internal
 */
export interface F1Score {
  /** Share of the listed items that are true. */
  readonly precision: number;
  /** Share of the true items that are listed. */
  readonly recall: number;
  /** Harmonic mean of the two. */
  readonly f1: number;
}

/**
 * Items by section, each once.
 *
 * @internal
 */
export type ChangeSections = Readonly<Record<ChangeSection, ReadonlySet<string>>>;
/** Name of a section. */
export type ChangeSection = "new" | "deleted" | "updated";

/**
 * How answers are read.
 *
 * @internal
 */
export interface F1Options {
  /** Leave the end-of-sequence text on the last item, as the released scorer does. @default {false} */
  keepEndOfSequence?: boolean;
  /** Texts that end a sequence, besides those of the usual models. */
  endOfSequence?: readonly string[];
}

const TITLES: readonly (readonly [string, ChangeSection])[] = [
  ["New items:", "new"],
  ["Deleted items:", "deleted"],
  ["Updated items:", "updated"],
];

/** Ends of sequences: DeepSeek-R1-Distill's, Qwen's, Llama's, and that of vocabularies that are trained here. */
const END_OF_SEQUENCE = [
  "<｜end▁of▁sentence｜>",
  "<|endoftext|>",
  "<|im_end|>",
  "<|eot_id|>",
  "<|end_of_text|>",
  "</s>",
];

/** Items that an answer lists. Never throws. */
export function parseChanges(answer: string, options: F1Options = {}): ChangeSections {
  const sections = emptySections();
  for (const { section, item } of listedItems(answer, options)) sections[section].add(item);
  return sections;
}

function emptySections(): Record<ChangeSection, Set<string>> {
  return { new: new Set(), deleted: new Set(), updated: new Set() };
}

/** Every item that an answer lists, twice where it is listed twice, with the number of its line. */
function* listedItems(
  answer: string,
  options: F1Options,
): Generator<{ line: number; section: ChangeSection; item: string }> {
  let section: ChangeSection | undefined;
  const lines = (options.keepEndOfSequence ? answer : withoutEnd(answer, options)).split("\n");
  for (const [line, text] of lines.entries()) {
    const item = pythonStrip(text);
    if (item === "") continue;
    const title = TITLES.find(([each]) => item.startsWith(each));
    if (title) section = title[1];
    else if (section) yield { line, section, item };
  }
}

/**
 * Scores an answer against the text with the true changes. Never throws; all numbers are within [0, 1].
 *
 * @example One item too many: 4 of 5 listed items are true, none is missing.
 * ```ts
 * import assert from "node:assert/strict";
 * const truth = "New items:\n[10] link 'A'\n[11] button 'B'\n\nDeleted items:\nNone\n\nUpdated items:\n[3] textbox ''";
 * const { precision, recall } = scoreChanges(`${truth}\n[4] textbox ''`, truth);
 * assert.deepEqual([precision, recall], [0.8, 1]);
 * ```
 */
export function scoreChanges(answer: string, truth: string, options: F1Options = {}): F1Score {
  const predicted = parseChanges(answer, options), actual = parseChanges(truth, options);
  let matches = 0, listed = 0, present = 0;
  for (const section of ["new", "deleted", "updated"] as const) {
    listed += predicted[section].size;
    present += actual[section].size;
    matches += predicted[section].intersection(actual[section]).size;
  }
  const precision = listed === 0 ? 0 : matches / listed, recall = present === 0 ? 0 : matches / present;
  return { precision, recall, f1: precision + recall === 0 ? 0 : 2 * precision * recall / (precision + recall) };
}

/**
 * What each line of an answer adds to its F1: the F1 of the answer up to the line's end, less that up to its beginning. A true item
 * adds, one too many takes away, titles and empty lines are 0; the sum is the answer's F1.
 *
 * @param count Numbers wanted; lines beyond are added to the last one.
 * @returns [count], from −1 to 1.
 */
export function lineContributions(answer: string, truth: string, count: number, options: F1Options = {}): Float32Array {
  const actual = parseChanges(truth, options), seen = emptySections(), added = new Float32Array(count);
  const present = actual.new.size + actual.deleted.size + actual.updated.size;
  let listed = 0, matches = 0, before = 0;
  for (const { line, section, item } of listedItems(answer, options)) {
    if (seen[section].has(item)) continue;
    seen[section].add(item);
    listed++;
    if (actual[section].has(item)) matches++;
    const now = matches === 0 ? 0 : 2 * matches / (listed + present);
    added[Math.min(line, count - 1)] += now - before;
    before = now;
  }
  return added;
}

/** Means of per-sample values: what the paper's Table 2 shows. NaN of nothing. */
export function meanScore(scores: readonly F1Score[]): F1Score {
  const mean = (part: keyof F1Score) => scores.reduce((sum, each) => sum + each[part], 0) / scores.length;
  return { precision: mean("precision"), recall: mean("recall"), f1: mean("f1") };
}

/** What Python strips and JavaScript does not; U+FEFF is the other way round. */
const PYTHON_SPACES = "\u001c\u001d\u001e\u001f\u0085";
const isPythonSpace = (each: string) => each !== "\ufeff" && (PYTHON_SPACES.includes(each) || /\s/.test(each));

function pythonStrip(text: string): string {
  let from = 0, to = text.length;
  while (from < to && isPythonSpace(text[from])) from++;
  while (to > from && isPythonSpace(text[to - 1])) to--;
  return text.slice(from, to);
}

function withoutEnd(text: string, { endOfSequence = [] }: F1Options): string {
  const ends = [...endOfSequence, ...END_OF_SEQUENCE].filter((each) => each !== "");
  let rest = text.trimEnd();
  for (let end; (end = ends.find((each) => rest.endsWith(each))) !== undefined;) {
    rest = rest.slice(0, -end.length).trimEnd();
  }
  return rest;
}
