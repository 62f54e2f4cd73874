/**
 * What `repair_json.ts`, which see, keeps while it reads an object: the members so far, and attempts that led to none.
 */
import type { LenientText } from "./text.ts";
import type { JsonValue } from "../io/json_value.ts";

/** The members of an object by name, in the order in which their names first came. */
export class Members extends Map<string, JsonValue> {
  #lastKey = "";
  #lastArray: GrowingArray | undefined;

  override set(key: string, value: JsonValue): this {
    if (!this.has(key)) this.#lastKey = key;
    return super.set(key, value);
  }

  /** The value of the member whose name came last, where it is an array. */
  get lastArray(): GrowingArray | undefined {
    const value = this.#lastKey === "" ? undefined : this.get(this.#lastKey);
    if (!Array.isArray(value)) return undefined;
    if (this.#lastArray?.values !== value) this.#lastArray = new GrowingArray(value);
    return this.#lastArray;
  }
}

/** An array that arrays after it continue; each of its values is looked at once, however often it is continued. */
export class GrowingArray {
  /** What it holds. */
  readonly values: JsonValue[];
  #seen = 0;
  #lastRow = -1;
  /** Length of the arrays among the values, if it is the same of all and not 0. */
  #width: number | undefined;

  /** To be continued. */
  constructor(values: JsonValue[]) {
    this.values = values;
  }

  /** Adds the values of another array; where this one has rows of one length, as rows. */
  extend(more: JsonValue[]): void {
    const width = this.#rowWidth(), { values } = this;
    if (width === 0) return appendAll(values, more.length === 1 && Array.isArray(more[0]) ? more[0] : more);
    const loose = values.length - 1 - this.#lastRow;
    if (loose > 0 && loose % width === 0) {
      const cells = values.splice(this.#lastRow + 1);
      for (let i = 0; i < loose; i += width) values.push(cells.slice(i, i + width));
      this.#seen = this.#lastRow + 1;
    }
    if (more.length === 0) return;
    if (more.every((row) => Array.isArray(row))) appendAll(values, more);
    else values.push(more);
  }

  #rowWidth(): number {
    for (; this.#seen < this.values.length; this.#seen++) {
      const row = this.values[this.#seen];
      if (!Array.isArray(row)) continue;
      this.#lastRow = this.#seen;
      this.#width = this.#width === undefined || this.#width === row.length ? row.length : 0;
    }
    return this.#width ?? 0;
  }
}

/** `push(...values)` fails on very long arrays. */
function appendAll(target: JsonValue[], values: readonly JsonValue[]): void {
  for (const value of values) target.push(value);
}

const UNKNOWN = 0;

/** Within a key it is enough to ask at every so many places whether an attempt leaps. */
export const LEAP_EVERY = 16;

/** Where an attempt is at: between keys, or in a key that begins with this quote, or with none, within „ or not. */
export type Stop = "between" | `in ${string}`;

/**
 * An attempt to read an object that may find no member and is then taken back. Another one that comes to a place where such
 * an attempt has been ends where that one did: the way there need not be gone again.
 */
export class EmptyAttempt {
  readonly #text: LenientText;
  readonly #open: string;
  readonly #isComparable: boolean;
  #stop: Stop | undefined;
  /** By place, one more than where the attempt ended that came by with this stop. */
  #ends: Int32Array | undefined;
  readonly #way: { ends: Int32Array; place: number }[] = [];

  /** @param isComparable Whether nothing but the text and what is open decides how it goes on. */
  constructor(text: LenientText, isComparable: boolean) {
    this.#text = text;
    this.#open = `${text.isOpen("value")} ${text.isOpen("array")}`;
    this.#isComparable = isComparable;
  }

  /** Whether it is known how it goes on from the cursor; the cursor is then at the end. */
  leaps(stop: Stop): boolean {
    const { at } = this.#text;
    if (!this.#isComparable || at >= this.#text.length) return false;
    if (this.#ends === undefined || this.#stop !== stop) {
      this.#ends = this.#text.outlook(`${stop} ${this.#open}`, (place, ends) => ends[place] = UNKNOWN, UNKNOWN);
      this.#stop = stop;
    }
    const end = this.#ends[at];
    if (end === UNKNOWN) {
      this.#way.push({ ends: this.#ends, place: at });
      return false;
    }
    this.#text.at = end - 1;
    return true;
  }

  /** At the end of an attempt that found no member. */
  remember(): void {
    for (const { ends, place } of this.#way) ends[place] = this.#text.at + 1;
  }
}
