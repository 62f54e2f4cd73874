/**
 * The cursor that `lenient_json.ts` and `lenient_string.ts` share: a text, a place in it, the containers that are open, and
 * a budget of work.
 *
 * Repairing looks far ahead at every doubtful quote, so a hostile text could make it quadratic. Each character that is looked
 * at costs one unit; when the budget, which grows with the text's length only linearly, is spent, the text counts as
 * unparseable. Nesting is bounded the same way, where Python would run out of stack.
 */

/** What kind of place the cursor is in. */
export type Place = "key" | "value" | "array";

/** Thrown inside the lenient parser where Python's would raise; never leaves it. */
export class Unparseable extends Error {}

const BASE_WORK = 2_000_000;
const WORK_PER_CHARACTER = 16;
/** Python's stack holds 1,000 frames, some of them the caller's. */
const MAX_FRAMES = 960;

/** Characters that may open or close a string. */
export const QUOTES = `"'“”`;

/** See the file's head. */
export class LenientText {
  /** Where the next character is read. */
  at = 0;
  /** The innermost open place, if any is open. */
  place: Place | undefined;
  readonly #places: Place[] = [];
  readonly #open = { key: 0, value: 0, array: 0 };
  #frames = 0;
  #work = 0;
  #workLimit: number;

  /** What is read; only {@linkcode replace} changes it. */
  text: string;

  /** At the text's beginning. */
  constructor(text: string) {
    this.text = text;
    this.#workLimit = BASE_WORK + WORK_PER_CHARACTER * text.length;
  }

  /** Counts work done on `characters` characters. */
  spend(characters: number): void {
    this.#work += characters;
    if (this.#work > this.#workLimit) throw new Unparseable("it takes too much work to repair");
  }

  /** The character at the cursor, `""` at the end. */
  peek(): string {
    return this.text.charAt(this.at);
  }

  /** The character at that place, `""` outside the text. */
  charAt(position: number): string {
    return this.text.charAt(position);
  }

  /** Puts other text in place of [from, to). */
  replace(from: number, to: number, by: string): void {
    this.spend(this.text.length);
    this.text = this.text.slice(0, from) + by + this.text.slice(to);
  }

  /** The first place from `position` on that is not white space. */
  afterSpace(position: number): number {
    const start = position;
    while (position < this.text.length && isSpace(this.text.charCodeAt(position))) position++;
    this.spend(position - start + 1);
    return position;
  }

  /** Moves the cursor over white space. */
  skipSpace(): void {
    this.at = this.afterSpace(this.at);
  }

  /** The first place from `position` on of an unescaped character among `targets`; the text's length if there is none. */
  find(targets: string, position: number): number {
    const start = position;
    let backslashes = 0;
    for (; position < this.text.length; position++) {
      const character = this.text.charAt(position);
      if (character === "\\") {
        backslashes++;
        continue;
      }
      if (backslashes % 2 === 0 && targets.includes(character)) break;
      backslashes = 0;
    }
    this.spend(position - start + 1);
    return Math.min(position, this.text.length);
  }

  /** The end of a line comment that begins at or before `position`. */
  endOfLine(position: number): number {
    const start = position;
    while (position < this.text.length && !"\n\r".includes(this.text.charAt(position))) position++;
    this.spend(position - start + 1);
    return position;
  }

  /** Runs `read` with a place open. */
  within<T>(place: Place, read: () => T): T {
    this.#places.push(place);
    this.#open[place]++;
    this.place = place;
    try {
      return read();
    } finally {
      this.#places.pop();
      this.#open[place]--;
      this.place = this.#places.at(-1);
    }
  }

  /** Whether such a place is open, be it the innermost or not. */
  isOpen(place: Place): boolean {
    return this.#open[place] > 0;
  }

  /** Runs `read` one level deeper, which costs Python that many frames of its stack. */
  deeper<T>(frames: number, read: () => T): T {
    this.#frames += frames;
    if (this.#frames > MAX_FRAMES) throw new Unparseable("it nests too deeply");
    try {
      return read();
    } finally {
      this.#frames -= frames;
    }
  }
}

/** Whether Python's `str.isspace` holds for this UTF-16 unit. */
export function isSpace(code: number): boolean {
  if (code <= 0x20) return code === 0x20 || (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x1f);
  if (code < 0x85) return false;
  return code === 0x85 || code === 0xa0 || code === 0x1680 || (code >= 0x2000 && code <= 0x200a) || code === 0x2028 ||
    code === 0x2029 || code === 0x202f || code === 0x205f || code === 0x3000;
}

/** Whether Python's `str.isspace` holds for a character; false for `""`. */
export function isSpaceCharacter(character: string): boolean {
  return character !== "" && isSpace(character.charCodeAt(0));
}

/** Python's `str.isalpha` for a character. */
export function isLetter(character: string): boolean {
  return /^[A-Za-z]$/.test(character) || (character > "\x7f" && /^\p{L}$/u.test(character));
}

/** Python's `str.isdigit` for a character. */
export function isDigit(character: string): boolean {
  return /^[0-9]$/.test(character) || (character > "\x7f" && /^[\p{Nd}²³¹⁰-⁹₀-₉]$/u.test(character));
}

/** Python's `str.isalnum` for a character. */
export function isAlphanumeric(character: string): boolean {
  return /^[A-Za-z0-9]$/.test(character) || (character > "\x7f" && /^[\p{L}\p{N}]$/u.test(character));
}

/** Python's `str.strip`. */
export function strip(text: string): string {
  let start = 0;
  while (start < text.length && isSpace(text.charCodeAt(start))) start++;
  return stripEnd(text.slice(start));
}

/** Python's `str.rstrip`. */
export function stripEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text.charCodeAt(end - 1))) end--;
  return text.slice(0, end);
}
