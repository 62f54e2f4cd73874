/**
 * Reads what language models write in place of JSON: single quotes, Python's literals, trailing commas, comments, missing
 * brackets, text and fences around it. Values come out as the released scorer's parser finds them, because the reward of an
 * answer depends on it.
 *
 * It never throws and does not run away: work is linear in the text's length where json_repair's is quadratic, with the same
 * result (`text.ts` says how), and a text that needs more all the same, or that Python's parser would refuse, is
 * `undefined`.
 *
 * Not here: strings and where they end (`string.ts`), which part of a response is the answer (`worlds/text_game/answer.ts`).
 *
 * Source: the heuristics are those of the Python package json_repair 0.61.7 (MIT License, © 2023 Stefano Baccianella),
 * written anew; options of it that the scorer does not use (schemas, strict mode, streams) are left out.
 */
import { MAX_DIGITS, parsePythonJson } from "../io/python_json.ts";
import { endOfBlockComment, endOfContainer, hasColonOutsideStrings, memberStart } from "./lookahead.ts";
import { EmptyAttempt, Members } from "./members.ts";
import { parenthesisIsTuple, parenthesisStartsValue } from "./parenthesis.ts";
import { readString } from "./string.ts";
import { isDigit, isLetter, isSpaceCharacter, LenientText, QUOTES, Unparseable } from "./text.ts";
import { type JsonValue, PythonFloat } from "../io/json_value.ts";

/** Options of {@linkcode parseLenientJson}. */
export interface LenientJsonOptions {
  /** Also take Python's `None` outside strings for null; True and False are taken in any case. Default false. */
  pythonNone?: boolean;
}

/** Deeper than this, Python's readers of valid JSON run out of stack. */
const MAX_DEPTH = 490;

/** The value that the text means, or undefined where there is no making sense of it. */
export function parseLenientJson(text: string, options: LenientJsonOptions = {}): JsonValue | undefined {
  const valid = parsePythonJson(text);
  if (valid !== undefined) return nestsWithin(valid, MAX_DEPTH) ? valid : undefined;
  try {
    return new LenientReader(text, options.pythonNone ?? false).readAll();
  } catch (error) {
    if (error instanceof Unparseable) return undefined;
    throw error;
  }
}

function nestsWithin(value: JsonValue, depth: number): boolean {
  if (typeof value !== "object" || value === null || value instanceof PythonFloat) return true;
  if (depth === 0) return false;
  return Object.values(value).every((inner) => nestsWithin(inner, depth - 1));
}

/** Reads values out of a {@linkcode LenientText}; strings are delegated. */
export class LenientReader {
  /** The text and the place in it. */
  readonly text: LenientText;
  /** See {@linkcode LenientJsonOptions}. */
  readonly pythonNone: boolean;
  #triedValid = false;
  /** Object members were re-read as something else: what follows is still read as if inside a key, once each. */
  #deferredKeys = 0;

  /** At the text's beginning. */
  constructor(text: string, pythonNone: boolean) {
    this.text = new LenientText(text);
    this.pythonNone = pythonNone;
  }

  /** All values of the text: the only one, or a list where there are several that do not update each other. */
  readAll(): JsonValue {
    const t = this.text;
    const first = this.readValue();
    if (t.at >= t.length) return first;
    const values = [first];
    while (t.at < t.length) {
      t.spend(1);
      this.#deferredKeys = 0;
      const afterComma = this.#isAfterComma();
      const value = this.readValue();
      if (!isTruthy(value)) {
        t.at++;
        continue;
      }
      const last = values[values.length - 1];
      // A value of the same shape is taken for a better version of the one before.
      if (!afterComma && haveSameShape(last, value)) values.pop();
      else if (!isTruthy(last)) values.pop();
      values.push(value);
    }
    return values.length === 1 ? values[0] : values;
  }

  #isAfterComma(): boolean {
    const t = this.text;
    if (t.charAt(t.afterSpace(t.at)) === ",") return true;
    let before = t.at - 1;
    while (isSpaceCharacter(t.charAt(before))) before--;
    t.spend(t.at - before);
    return t.charAt(before) === ",";
  }

  /** The next value; `""` where there is none. */
  readValue(): JsonValue {
    if (this.#deferredKeys > 0) {
      const deferred = this.#deferredKeys;
      this.#deferredKeys = 0;
      return this.#withinKeys(deferred, () => this.readValue());
    }
    const t = this.text;
    while (true) {
      t.spend(1);
      const character = t.peek();
      if (character === "") return "";
      const inside = t.place !== undefined;
      if (character === "{" || character === "[") {
        const valid = this.#tryValid();
        if (valid !== undefined) return valid;
        t.at++;
        return character === "{" ? t.deeper(4, () => this.readObject()) : t.deeper(3, () => this.readArray("]"));
      }
      if (character === "(" && (inside || parenthesisStartsValue(t))) {
        return t.deeper(4, () => this.#readParenthesis());
      }
      if (inside && (QUOTES.includes(character) || isLetter(character))) return readString(this);
      if (inside && (isDigit(character) || character === "-" || character === ".")) return this.#readNumber();
      if (character === "#" || character === "/") return t.deeper(3, () => this.readComment());
      t.at++;
    }
  }

  #withinKeys<T>(count: number, read: () => T): T {
    return count === 0 ? read() : this.text.within("key", () => this.#withinKeys(count - 1, read));
  }

  /** The first container after some prefix is tried as plain JSON, once. */
  #tryValid(): JsonValue | undefined {
    const t = this.text;
    if (this.#triedValid || t.place !== undefined || t.at === 0) return undefined;
    this.#triedValid = true;
    const end = endOfContainer(t, t.at);
    if (end === undefined) return undefined;
    const value = parsePythonJson(t.slice(t.at, end));
    if (value === undefined) return undefined;
    if (!nestsWithin(value, MAX_DEPTH)) throw new Unparseable("it nests too deeply");
    t.at = end;
    return value;
  }

  /** An object whose brace has been read. */
  readObject(): JsonValue {
    const first = this.#readMembers();
    if (!(first instanceof Members)) return first;
    this.#completeObject(first);
    return Object.fromEntries(first);
  }

  /** The members of an object; a value where the braces turn out to hold something else. */
  #readMembers(): Members | JsonValue {
    const t = this.text;
    const start = t.at;
    const isMemberValue = t.place === "value";
    const members = new Members();
    const attempt = new EmptyAttempt(t, this.#deferredKeys === 0);
    while ((t.peek() || "}") !== "}") {
      t.spend(1);
      t.skipSpace();
      if (t.peek() === ":") t.at++;
      const { key, from } = t.within("key", () => this.#readKey(members, members.size === 0 ? attempt : undefined));
      if (t.isOpen("array") && members.has(key) && !isMemberValue && this.#duplicateStartsObject(from)) {
        t.at = t.rewrite("{", from) - 1;
        break;
      }
      t.skipSpace();
      if ((t.peek() || "}") === "}") continue;
      t.at++; // the colon, or what stands in its place
      members.set(key, t.within("value", () => this.#readMemberValue()));
      if (t.peek() !== "" && `,'"`.includes(t.peek())) t.at++;
      if (t.peek() === "]" && t.isOpen("array")) {
        t.at--;
        break;
      }
      t.skipSpace();
    }
    if (members.size === 0) attempt.remember();
    t.at++;
    return members.size === 0 && t.at - start > 2 ? this.#rereadEmptyObject(start) ?? members : members;
  }

  #readMemberValue(): JsonValue {
    this.text.skipSpace();
    const character = this.text.peek();
    return character === "," || character === "}" ? "" : this.readValue();
  }

  #readKey(members: Members, attempt?: EmptyAttempt): { key: string; from: number } {
    const t = this.text;
    let key = "";
    let from = t.at;
    while (t.peek() !== "") {
      if (attempt?.leaps("between")) break;
      t.spend(1);
      from = t.at;
      if (t.peek() === "[" && key === "" && this.#continueArray(members)) continue;
      const read = readString(this, attempt);
      if (typeof read !== "string") throw new Unparseable("a key is not a string");
      key = read;
      if (key === "") t.skipSpace();
      if (key !== "" || t.peek() === ":" || t.peek() === "}") break;
    }
    return { key, from };
  }

  /** An array where a key should be continues the array that was the last member's value. */
  #continueArray(members: Members): boolean {
    const t = this.text;
    const last = members.lastArray;
    if (last === undefined) return false;
    t.at++;
    last.extend(t.deeper(3, () => this.readArray("]")));
    t.skipSpace();
    if (t.peek() === ",") t.at++;
    t.skipSpace();
    return true;
  }

  /** Whether a key met twice begins the next object of an array whose brace is missing. */
  #duplicateStartsObject(from: number): boolean {
    const t = this.text;
    let before = from - 1;
    while (isSpaceCharacter(t.charAt(before))) before--;
    t.spend(from - before);
    const isPlainMember = QUOTES.includes(t.charAt(from) || "x") && t.charAt(before) === "," &&
      t.charAt(t.afterSpace(t.at)) === ":";
    return !isPlainMember;
  }

  /** Braces around something that is no member at all: escaped members, or an array (a Python set). */
  #rereadEmptyObject(start: number): JsonValue | undefined {
    const t = this.text;
    const end = Math.min(t.at + 1, t.length), endOfBody = t.charAt(end - 1) === "}" ? end - 1 : end;
    const body = t.afterSpace(start);
    if (body >= endOfBody) return undefined;
    const isEscaped = ['"', "'"].some((quote) => {
      const colon = `\\${quote}:`;
      if (!t.startsWith(`\\${quote}`, body)) return false;
      const next = t.outlook(colon, (i, later) => later[i] = t.startsWith(colon, i) ? i : later[i + 1])[body];
      return next + colon.length <= endOfBody;
    });
    if (isEscaped) {
      const members = t.slice(start - 1, end).replaceAll('\\"', '"').replaceAll("\\'", "'");
      t.at = t.rewrite(members, end) + 1;
    } else {
      if (memberStart(t, body) >= endOfBody || hasColonOutsideStrings(t, body, endOfBody)) return undefined;
      t.at = start;
    }
    const value = t.within(
      "key",
      () => isEscaped ? t.deeper(3, () => this.readObject()) : t.deeper(2, () => this.readArray("]")),
    );
    this.#deferredKeys++;
    return value;
  }

  #completeObject(members: Members): void {
    const t = this.text;
    if (t.place !== undefined) {
      if (t.peek() === "}" && t.place === "array") t.at++;
      return;
    }
    // More members after the brace that should have been last, and more after those.
    for (let rounds = 1;; rounds++) {
      t.skipSpace();
      if (t.peek() !== ",") return;
      t.at++;
      t.skipSpace();
      if (t.peek() === "" || !QUOTES.includes(t.peek())) return;
      const more = t.deeper(2 * rounds, () => this.#readMembers());
      const isComplete = !(more instanceof Members);
      for (const [key, value] of isComplete ? isPlainObject(more) ? Object.entries(more) : [] : more) {
        members.set(key, value);
      }
      if (isComplete) return;
    }
  }

  /** An array whose bracket has been read. */
  readArray(closing: string): JsonValue[] {
    const t = this.text;
    const values: JsonValue[] = [];
    t.within("array", () => {
      t.skipSpace();
      while (t.peek() !== "" && t.peek() !== closing && t.peek() !== "}") {
        t.spend(1);
        const value = this.#readElement();
        const isEmpty = value === "" ||
          (typeof value === "object" && value !== null && !(value instanceof PythonFloat) &&
            isEmptyContainer(value));
        if (isEmpty && t.peek() !== closing && t.peek() !== ",") t.at++;
        else if (!(value === "..." && t.charAt(t.at - 1) === ".")) values.push(value);
        while (t.peek() !== "" && t.peek() !== closing && (isSpaceCharacter(t.peek()) || t.peek() === ",")) t.at++;
      }
      t.at++;
    });
    return values;
  }

  #readElement(): JsonValue {
    const t = this.text;
    if (!QUOTES.includes(t.peek())) return this.readValue();
    const end = t.find(t.peek(), t.at + 1);
    // A string before a colon is a member of an object whose brace is missing.
    return t.charAt(t.afterSpace(end + 1)) === ":" ? t.deeper(3, () => this.readObject()) : readString(this);
  }

  #readParenthesis(): JsonValue {
    const t = this.text;
    const isTuple = parenthesisIsTuple(t);
    t.at++;
    const values = this.readArray(")");
    return isTuple || values.length !== 1 ? values : values[0];
  }

  #readNumber(): JsonValue {
    const t = this.text;
    const isElement = t.place === "array";
    let digits = "";
    while (t.peek() !== "" && "0123456789-.eE/,_".includes(t.peek()) && !(isElement && t.peek() === ",")) {
      if (t.peek() !== "_") digits += t.peek();
      t.at++;
    }
    t.spend(digits.length);
    if (isLetter(t.peek())) {
      t.at -= digits.length;
      return readString(this);
    }
    if (digits !== "" && "-eE/,".includes(digits[digits.length - 1])) {
      digits = digits.slice(0, -1);
      t.at--;
    }
    if (digits.includes(",")) return digits;
    if (/^-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE]-?\d+)?$/.test(digits)) {
      const value = Number(digits), isFloat = /[.eE]/.test(digits);
      if (!isFloat && digits.replace("-", "").length > MAX_DIGITS) return digits;
      return isFloat && (Number.isInteger(value) || !Number.isFinite(value)) ? new PythonFloat(value) : value;
    }
    return digits;
  }

  /** Skips a comment; outside of containers, gives the value after it. */
  readComment(): JsonValue {
    const t = this.text;
    while (true) {
      const start = t.at;
      if (t.peek() === "#") {
        const ends = "\n\r" + (t.isOpen("array") ? "]" : "") + (t.isOpen("value") ? "}" : "") +
          (t.isOpen("key") ? ":" : "");
        while (t.peek() !== "" && !ends.includes(t.peek())) t.at++;
      } else if (t.peek() === "/") {
        const next = t.charAt(t.at + 1);
        if (next === "/") t.at = t.next("\n\r", t.at + 2);
        else if (next === "*") t.at = endOfBlockComment(t, t.at + 1);
        else t.at++;
      }
      t.spend(t.at - start + 1);
      if (t.place !== undefined) return "";
      t.skipSpace();
      if (t.peek() !== "#" && t.peek() !== "/") return this.readValue();
    }
  }
}

/** Python's truth of a value. */
function isTruthy(value: JsonValue): boolean {
  if (value instanceof PythonFloat) return value.value !== 0;
  if (typeof value === "object" && value !== null) return !isEmptyContainer(value);
  return Boolean(value) || Number.isNaN(value);
}

function isEmptyContainer(value: JsonValue[] | { [key: string]: JsonValue }): boolean {
  return Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0;
}

/** A dictionary: not null, not an array, not a number in disguise. */
export function isPlainObject(value: JsonValue | undefined): value is { [key: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof PythonFloat);
}

function kindOf(value: JsonValue): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (value instanceof PythonFloat) return "float";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "float";
  return typeof value;
}

/** Whether two values have the same kinds, keys and lengths throughout. */
function haveSameShape(a: JsonValue, b: JsonValue): boolean {
  if (kindOf(a) !== kindOf(b)) return false;
  if (Array.isArray(a)) {
    return a.length === (b as JsonValue[]).length && a.every((v, i) => haveSameShape(v, (b as JsonValue[])[i]));
  }
  if (!isPlainObject(a)) return true;
  const other = b as { [key: string]: JsonValue };
  const keys = Object.keys(a);
  return keys.length === Object.keys(other).length &&
    keys.every((key) => Object.hasOwn(other, key) && haveSameShape(a[key], other[key]));
}
