/**
 * The cursor that `repair_json.ts` and `string.ts` share: a text, a place in it, the containers that are open, and
 * what lies ahead of every place.
 *
 * Repairing looks far ahead at every doubtful quote, so a hostile text could make it quadratic. What lies ahead of a place
 * depends on the text from there on only, so each such question (where is the next quote? where does a member begin?) is
 * answered once for all places together, from the text's end backwards, when it is first asked.
 *
 * What is left are texts that are read again and again from an earlier place. They are bounded: each character that is read
 * costs one unit of work; when the budget, which grows with the text's length only linearly, is spent, the text counts as
 * unparseable. Nesting is bounded the same way, where Python would run out of stack.
 *
 * Places are counted in code points, as Python does.
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

/** So many characters are looked at before an outlook over the whole text is made: mostly what is looked for is near. */
const NEAR = 16;

/** An answer for each place of the text, or several, and how it follows from what lies behind that place. */
interface Outlook {
  readonly answers: Int32Array;
  readonly fill: (place: number, answers: Int32Array) => void;
}

export class LenientText {
  /** Where the next character is read. */
  at = 0;
  /** The innermost open place, if any is open. */
  place: Place | undefined;
  /** Number of characters; it never changes. */
  readonly length: number;
  #characters: string | string[];
  readonly #outlooks = new Map<string, Outlook>();
  /** Outlooks of {@linkcode find} by what is looked for. */
  readonly #unescaped = new Map<string, Int32Array>();
  readonly #places: Place[] = [];
  readonly #open = { key: 0, value: 0, array: 0 };
  #frames = 0;
  #work = 0;
  readonly #workLimit: number;

  /** At the text's beginning. */
  constructor(text: string) {
    this.#characters = /[\ud800-\udfff]/.test(text) ? Array.from(text) : text;
    this.length = this.#characters.length;
    this.#workLimit = BASE_WORK + WORK_PER_CHARACTER * this.length;
  }

  /** Counts work done on `characters` characters. */
  spend(characters: number): void {
    this.#work += characters;
    if (this.#work > this.#workLimit) throw new Unparseable("it takes too much work to repair");
  }

  /** The character at the cursor, `""` at the end. */
  peek(): string {
    return this.charAt(this.at);
  }

  /** The character at that place, `""` outside the text. */
  charAt(place: number): string {
    return this.#characters[place] ?? "";
  }

  /** The text of [from, to). */
  slice(from: number, to: number): string {
    const part = this.#characters.slice(from, to);
    return typeof part === "string" ? part : part.join("");
  }

  /** Whether these characters stand at that place. */
  startsWith(characters: string, place: number): boolean {
    for (let i = 0; i < characters.length; i++) if (this.charAt(place + i) !== characters[i]) return false;
    return true;
  }

  /**
   * Writes over what was read: `by` ends at `end` then, and begins at the place that is returned. What stood before it is
   * not read again, so nothing has to make room or close up, and what lies ahead of later places stays as it is.
   */
  rewrite(by: string, end: number): number {
    if (typeof this.#characters === "string") this.#characters = this.#characters.split("");
    const characters = Array.from(by), start = end - characters.length;
    for (const [i, character] of characters.entries()) this.#characters[start + i] = character;
    this.spend(characters.length);
    for (let place = end - 1; place >= start; place--) {
      for (const { answers, fill } of this.#outlooks.values()) fill(place, answers);
    }
    return start;
  }

  /**
   * The answers to a question about what lies ahead, for each place from 0 to the text's length.
   *
   * @param name Of the question.
   * @param fill Answers it for a place, given the answers for all later ones.
   * @param end The answer at the text's end.
   * @param perPlace How many answers a place has, one beside the other.
   */
  outlook(name: string, fill: Outlook["fill"], end = this.length, perPlace = 1): Int32Array {
    const known = this.#outlooks.get(name);
    if (known !== undefined) return known.answers;
    const answers = new Int32Array(perPlace * (this.length + 1)).fill(end, perPlace * this.length);
    for (let place = this.length - 1; place >= 0; place--) fill(place, answers);
    this.#outlooks.set(name, { answers, fill });
    return answers;
  }

  /** The first place from `place` on whose character is such; the text's length if there is none. */
  nextWhere(name: string, isSuch: (character: string) => boolean, place: number): number {
    const near = Math.min(place + NEAR, this.length);
    for (let i = place; i < near; i++) if (isSuch(this.charAt(i))) return i;
    if (near === this.length) return this.length;
    return this.outlook(name, (i, later) => later[i] = isSuch(this.charAt(i)) ? i : later[i + 1])[near];
  }

  /** The first place from `place` on of any of these characters, escaped or not; the text's length if there is none. */
  next(characters: string, place: number): number {
    const near = Math.min(place + NEAR, this.length);
    for (let i = place; i < near; i++) if (characters.includes(this.charAt(i))) return i;
    return this.nextWhere(characters, (each) => characters.includes(each), near);
  }

  /** The first place from `place` on that is not white space. */
  afterSpace(place: number): number {
    const near = Math.min(place + NEAR, this.length);
    for (let i = place; i < near; i++) if (!isSpaceCharacter(this.charAt(i))) return i;
    return this.nextWhere("not space", (each) => !isSpaceCharacter(each), near);
  }

  /** Moves the cursor over white space. */
  skipSpace(): void {
    this.at = this.afterSpace(this.at);
  }

  /**
   * The first place from `place` on of an unescaped character among `targets`; the text's length if there is none. Only
   * backslashes from `place` on escape.
   */
  find(targets: string, place: number): number {
    if (place >= this.length) return this.length;
    let from = place;
    if (this.charAt(place) === "\\" || this.charAt(place - 1) === "\\") {
      from = this.nextWhere("not backslash", (each) => each !== "\\", place);
      if (from < this.length && targets.includes(this.charAt(from)) && (from - place) % 2 === 0) return from;
      from = Math.min(from + 1, this.length);
    }
    const near = Math.min(from + NEAR, this.length);
    for (let i = from; i < near; i++) if (targets.includes(this.charAt(i)) && !this.isEscaped(i)) return i;
    if (near === this.length) return this.length;
    const isTarget = (i: number) => targets.includes(this.charAt(i)) && !this.isEscaped(i);
    let found = this.#unescaped.get(targets);
    if (found === undefined) {
      found = this.outlook(`unescaped ${targets}`, (i, later) => later[i] = isTarget(i) ? i : later[i + 1]);
      this.#unescaped.set(targets, found);
    }
    return found[near];
  }

  /** Whether an odd number of backslashes stands before that place. */
  isEscaped(place: number): boolean {
    let start = place;
    while (this.charAt(start - 1) === "\\") start--;
    return (place - start) % 2 === 1;
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

const isAsciiLetter = (code: number) => (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a);
const isAsciiDigit = (code: number) => code >= 0x30 && code <= 0x39;

/** Python's `str.isalpha` for a character. */
export function isLetter(character: string): boolean {
  const code = character.charCodeAt(0);
  return code < 0x80 ? isAsciiLetter(code) : /^\p{L}$/u.test(character);
}

/** Python's `str.isdigit` for a character. */
export function isDigit(character: string): boolean {
  const code = character.charCodeAt(0);
  return code < 0x80 ? isAsciiDigit(code) : DIGIT.test(character);
}

/** Decimals, and what Unicode gives the numeric type Digit: superscripts, subscripts, digits in circles and the like. */
const DIGIT = new RegExp(
  "^[\\p{Nd}²³¹⁰⁴-⁹₀-₉፩-፱᧚①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒\\u{10a40}-\\u{10a43}\\u{10e60}-\\u{10e68}" +
    "\\u{11052}-\\u{1105a}\\u{1f100}-\\u{1f10a}]$",
  "u",
);

/** Python's `str.isalnum` for a character. */
export function isAlphanumeric(character: string): boolean {
  const code = character.charCodeAt(0);
  return code < 0x80 ? isAsciiLetter(code) || isAsciiDigit(code) : /^[\p{L}\p{N}]$/u.test(character);
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
