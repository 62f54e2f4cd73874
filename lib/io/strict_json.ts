/**
 * JSON for headers and indices that come from elsewhere: duplicate keys are an error instead of the last one winning,
 * objects become Maps (so that `__proto__` is a key like any other), and integers that a JavaScript number would round
 * are errors. Only as deep and as wide as such headers are: the native parser takes a minute and gigabytes for a hundred
 * megabytes of brackets, before anybody could look at them.
 */

/** What {@linkcode parseStrictJson} returns. */
export type StrictJson = null | boolean | number | string | StrictJson[] | Map<string, StrictJson>;

/** How far a text may go. */
export interface StrictJsonLimits {
  /** Levels of objects and lists inside the top one. */
  depth: number;
  /** Items of each list and object below the top one. */
  items: number;
}

/** More than a Map can hold is an error of its own. */
const NO_LIMITS: StrictJsonLimits = { depth: 16, items: 10_000_000 };

/**
 * Parses a JSON text.
 *
 * @throws {SyntaxError} if it is not JSON, repeats a key, states an integer past 2^53 or goes beyond the limits; the message is
 * meant to follow the file's name.
 */
export function parseStrictJson(text: string, limits: StrictJsonLimits = NO_LIMITS): StrictJson {
  const cursor = { text, at: 0, limits };
  const value = readValue(cursor, 0);
  readEnd(cursor);
  return value;
}

/**
 * The members of the object that a JSON text is, one after the other: who finds one wrong need not read the rest. Keys are not
 * compared with one another.
 *
 * @throws {SyntaxError} as {@linkcode parseStrictJson} does, when the place is reached.
 */
export function* strictJsonMembers(text: string, limits: StrictJsonLimits): Generator<[string, StrictJson]> {
  const cursor = { text, at: 0, limits };
  if (peek(cursor) !== "{") throw unexpected(cursor);
  yield* readMembers(cursor, 0);
  readEnd(cursor);
}

interface Cursor {
  text: string;
  at: number;
  limits: StrictJsonLimits;
}

function readValue(c: Cursor, depth: number): StrictJson {
  const { limits } = c;
  const first = peek(c);
  if (first === '"') return readString(c);
  if (first !== "{" && first !== "[") return readLiteral(c);
  if (depth > limits.depth) throw new SyntaxError(`it nests deeper than ${limits.depth} levels`);
  let result: Map<string, StrictJson> | StrictJson[];
  const check = (count: number) => {
    if (count > limits.items) throw new SyntaxError(`it has a list or an object of more than ${limits.items} items`);
  };
  if (first === "{") {
    result = new Map();
    for (const [key, value] of readMembers(c, depth)) {
      if (result.has(key)) throw repeated(key);
      check(result.set(key, value).size);
    }
  } else {
    result = [];
    for (const _ of readItems(c, "]")) check(result.push(readValue(c, depth + 1)));
  }
  return result;
}

/** The error that a key is there twice. */
export function repeated(key: string): SyntaxError {
  return new SyntaxError(`it has the key ${JSON.stringify(key)} twice`);
}

function* readMembers(c: Cursor, depth: number): Generator<[string, StrictJson]> {
  for (const _ of readItems(c, "}")) {
    if (peek(c) !== '"') throw unexpected(c);
    const key = readString(c);
    if (peek(c) !== ":") throw unexpected(c);
    c.at++;
    yield [key, readValue(c, depth + 1)];
  }
}

/** Stands before each item in turn, and behind the closing bracket at the end. */
function* readItems(c: Cursor, closing: string): Generator<void> {
  c.at++;
  if (peek(c) === closing) {
    c.at++;
    return;
  }
  for (;;) {
    yield;
    const next = peek(c);
    if (next !== "," && next !== closing) throw unexpected(c);
    c.at++;
    if (next === closing) return;
  }
}

function readString(c: Cursor): string {
  const start = c.at;
  let end = start;
  let isEscaped: boolean;
  do {
    end = c.text.indexOf('"', end + 1);
    if (end < 0) throw new SyntaxError("it ends inside a text");
    let backslashes = 0;
    while (c.text[end - 1 - backslashes] === "\\") backslashes++;
    isEscaped = backslashes % 2 === 1;
  } while (isEscaped);
  c.at = end + 1;
  const inner = c.text.slice(start + 1, end);
  return /[\\\p{Cc}]/u.test(inner) ? native(c.text.slice(start, c.at)) as string : inner;
}

function readLiteral(c: Cursor): null | boolean | number {
  const start = c.at;
  while (c.at < c.text.length && !',:[]{}" \t\r\n'.includes(c.text[c.at])) c.at++;
  if (c.at === start) throw unexpected(c);
  const source = c.text.slice(start, c.at);
  const isInteger = /^-?(0|[1-9]\d*)$/.test(source);
  const value = isInteger ? Number(source) : native(source) as null | boolean | number;
  if (isInteger && !Number.isSafeInteger(value)) {
    throw new SyntaxError(`it states the integer ${source.slice(0, 40)}, which is past 2^53`);
  }
  return value;
}

/** One text or literal, as the native parser takes it. */
function native(source: string): StrictJson {
  try {
    return JSON.parse(source);
  } catch {
    throw new SyntaxError(`${JSON.stringify(source.slice(0, 80))} is no value of JSON`);
  }
}

function readEnd(c: Cursor): void {
  if (peek(c) !== undefined) throw unexpected(c);
}

/** Skips white space and returns the character there; undefined at the end. */
function peek(c: Cursor): string | undefined {
  while (c.at < c.text.length && " \t\r\n".includes(c.text[c.at])) c.at++;
  return c.text[c.at];
}

function unexpected(c: Cursor): SyntaxError {
  if (c.at >= c.text.length) return new SyntaxError("it ends too early");
  return new SyntaxError(`${JSON.stringify(c.text.slice(c.at, c.at + 40))} at character ${c.at} is not JSON`);
}
