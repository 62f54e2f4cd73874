/**
 * JSON for headers and indices that come from elsewhere: duplicate keys are an error instead of the last one winning,
 * objects become Maps (so that `__proto__` is a key like any other), and integers that a JavaScript number would round
 * are errors. Only as deep as such headers are.
 */

/** What {@linkcode parseStrictJson} returns. */
export type StrictJson = null | boolean | number | string | StrictJson[] | Map<string, StrictJson>;

const MAX_DEPTH = 16;

/**
 * Parses a JSON text.
 *
 * @throws {SyntaxError} if it is not JSON, repeats a key, states an integer past 2^53 or nests deeper than 16 levels;
 * the message is meant to follow the file's name.
 */
export function parseStrictJson(text: string): StrictJson {
  // The native parser decides what JSON is, so that the walk below may take valid syntax for granted.
  try {
    JSON.parse(text);
  } catch (error) {
    // The native message quotes the text, line breaks and all.
    throw new SyntaxError((error as Error).message.replace(/[\s\p{Cc}]+/gu, " "));
  }
  const cursor = { text, at: 0 };
  return walkValue(cursor, 0);
}

interface Cursor {
  text: string;
  at: number;
}

function walkValue(c: Cursor, depth: number): StrictJson {
  if (depth > MAX_DEPTH) throw new SyntaxError(`it nests deeper than ${MAX_DEPTH} levels`);
  switch (peek(c)) {
    case "{":
      return walkObject(c, depth);
    case "[":
      return walkArray(c, depth);
    case '"':
      return walkString(c);
    default:
      return walkLiteral(c);
  }
}

function walkObject(c: Cursor, depth: number): Map<string, StrictJson> {
  const result = new Map<string, StrictJson>();
  c.at++;
  while (peek(c) !== "}") {
    if (peek(c) === ",") {
      c.at++;
      peek(c);
    }
    const key = walkString(c);
    if (result.has(key)) throw new SyntaxError(`it has the key ${JSON.stringify(key)} twice`);
    peek(c);
    c.at++; // the colon
    result.set(key, walkValue(c, depth + 1));
  }
  c.at++;
  return result;
}

function walkArray(c: Cursor, depth: number): StrictJson[] {
  const result: StrictJson[] = [];
  c.at++;
  while (peek(c) !== "]") {
    if (peek(c) === ",") c.at++;
    result.push(walkValue(c, depth + 1));
  }
  c.at++;
  return result;
}

function walkString(c: Cursor): string {
  const start = c.at;
  let end = start;
  let escaped: boolean;
  do {
    end = c.text.indexOf('"', end + 1);
    let backslashes = 0;
    while (c.text[end - 1 - backslashes] === "\\") backslashes++;
    escaped = backslashes % 2 === 1;
  } while (escaped);
  c.at = end + 1;
  return JSON.parse(c.text.slice(start, c.at));
}

function walkLiteral(c: Cursor): null | boolean | number {
  const start = c.at;
  while (c.at < c.text.length && !",]} \t\r\n".includes(c.text[c.at])) c.at++;
  const source = c.text.slice(start, c.at);
  const value = JSON.parse(source);
  if (typeof value === "number" && /^-?\d+$/.test(source) && !Number.isSafeInteger(value)) {
    throw new SyntaxError(`it states the integer ${source.slice(0, 40)}, which is past 2^53`);
  }
  return value;
}

/** Skips white space and returns the character there. */
function peek(c: Cursor): string {
  while (" \t\r\n".includes(c.text[c.at]) && c.at < c.text.length) c.at++;
  return c.text[c.at];
}
