/**
 * Parentheses in text that is nearly JSON: whether one is a tuple, and whether one outside of containers is a value at all.
 * Belongs to `repair_json.ts`, which see.
 *
 * To tell, one walks over strings and brackets to the first comma or closing parenthesis that is in no inner bracket. Other
 * parentheses on the way are answered on the same walk, so that those within each other do not walk the same way again.
 */
import { isDigit, isSpaceCharacter, type LenientText, QUOTES } from "./text.ts";

const UNKNOWN = 0, TUPLE = 1, GROUPING = 2, NOWHERE = -1;

/** Whether the parenthesis at the cursor is a tuple (it has a comma, or nothing in it) rather than a grouping. */
export function parenthesisIsTuple(t: LenientText): boolean {
  const { tuples, ends } = answers(t);
  if (tuples[t.at] === UNKNOWN) walk(t, tuples, ends, () => tuples[t.at] !== UNKNOWN);
  return tuples[t.at] === TUPLE;
}

/** Outside of containers, a parenthesis on a line of its own is a value; within prose it is not. */
export function parenthesisStartsValue(t: LenientText): boolean {
  for (let i = t.at - 1; i >= 0 && !"\n\r".includes(t.charAt(i)); i--) {
    t.spend(1);
    if (!isSpaceCharacter(t.charAt(i))) return false;
  }
  const inner = t.afterSpace(t.at + 1);
  const first = t.charAt(inner);
  if (first === "") return false;
  const looksRight = `){[(-.${QUOTES}`.includes(first) || isDigit(first) ||
    ["true", "false", "null"].some((each) => t.startsWith(each, inner));
  if (!looksRight) return false;
  const { tuples, ends } = answers(t);
  if (ends[t.at] === UNKNOWN) walk(t, tuples, ends, () => ends[t.at] !== UNKNOWN);
  if (ends[t.at] === NOWHERE) return true;
  const after = t.afterSpace(ends[t.at] + 1);
  return after === t.length || t.next("\n\r", ends[t.at] + 1) < after;
}

/** What is known of the parenthesis at each place: whether it is a tuple, and where it ends. */
function answers(t: LenientText): { tuples: Int32Array; ends: Int32Array } {
  const forget = (place: number, known: Int32Array) => known[place] = UNKNOWN;
  return { tuples: t.outlook("tuples", forget), ends: t.outlook("ends of parentheses", forget) };
}

/** How often brackets of one kind were opened more than closed, and where that number was last reached from below. */
class Depth {
  now = 0;
  readonly #rises = new Map<number, number>();

  open(place: number): void {
    this.#rises.set(++this.now, place);
  }

  close(): void {
    this.now--;
  }

  /** From this place on it was never less than now: seen from there, no bracket is open. */
  get leastFrom(): number {
    return this.#rises.get(this.now) ?? -1;
  }
}

/** Walks from the cursor's parenthesis on until what is asked is known, and writes down what it learns of others. */
function walk(t: LenientText, tuples: Int32Array, ends: Int32Array, isDone: () => boolean): void {
  const round = new Depth(), square = new Depth(), curly = new Depth();
  /** Parentheses whose answers are not known yet; for their ends, by their depth. */
  const undecided: number[] = [], openAt = new Map<number, number[]>();
  const decide = (from: number, isTuple: (place: number) => boolean) => {
    while (undecided.length > 0 && undecided[undecided.length - 1] >= from) {
      const place = undecided.pop()!;
      tuples[place] = isTuple(place) ? TUPLE : GROUPING;
    }
  };
  for (let i = t.at; i < t.length; i++) {
    t.spend(1);
    const c = t.charAt(i);
    if (QUOTES.includes(c) && !t.isEscaped(i)) {
      i = t.find(c, i + 1);
      continue;
    }
    if (c === "(") {
      round.open(i);
      undecided.push(i);
      if (!openAt.has(round.now)) openAt.set(round.now, []);
      openAt.get(round.now)!.push(i);
    } else if (c === "," || c === ")") {
      const least = Math.max(square.leastFrom, curly.leastFrom);
      decide(Math.max(least, round.leastFrom), (place) => c === "," || isEmpty(t, place));
      if (c === ")") {
        const open = openAt.get(round.now) ?? [];
        while (open.length > 0 && open[open.length - 1] >= least) ends[open.pop()!] = i;
        round.close();
      }
    } else if (c === "[") square.open(i);
    else if (c === "]") square.close();
    else if (c === "{") curly.open(i);
    else if (c === "}") curly.close();
    if (isDone()) return;
  }
  decide(-1, (place) => isEmpty(t, place));
  for (const places of openAt.values()) for (const place of places) ends[place] = NOWHERE;
}

/** Whether nothing stands in the parenthesis before it closes. */
function isEmpty(t: LenientText, place: number): boolean {
  const first = t.charAt(t.nextWhere("content", (each) => !isSpaceCharacter(each) && each !== "\\", place + 1));
  return first === "" || first === ")";
}
