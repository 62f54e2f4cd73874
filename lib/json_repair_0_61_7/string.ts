/**
 * Strings in text that is nearly JSON: where a string begins, with which quotes, and what may stand in its place. Where it
 * ends is for `string_body.ts` to say. Belongs to `repair_json.ts`, which see.
 */
import type { JsonValue } from "../io/json_value.ts";
import { readSimple } from "./lookahead.ts";
import type { EmptyAttempt } from "./members.ts";
import { StringBody } from "./string_body.ts";
import { isAlphanumeric, type LenientText, QUOTES } from "./text.ts";

/** The reader that a string stands in, for what it holds or turns out to be: `LenientReader` in `repair_json.ts`. */
interface ValueReader {
  /** The text and the place in it. */
  readonly text: LenientText;
  /** Whether Python's `None` is null. */
  readonly pythonNone: boolean;
  /** The next value; `""` where there is none. */
  readValue(): JsonValue;
  /** Skips a comment; outside of containers, gives the value after it. */
  readComment(): JsonValue;
}

/**
 * Reads a string, or one of the literals that may stand in its place, at the cursor.
 *
 * @param attempt For a key of an object that has no member yet.
 */
export function readString(reader: ValueReader, attempt?: EmptyAttempt): JsonValue {
  const t = reader.text;
  if (t.peek() === "#" || t.peek() === "/") return t.deeper(3, () => reader.readComment());
  if (!QUOTES.includes(t.peek())) {
    t.at = t.nextWhere("string", (each) => QUOTES.includes(each) || isAlphanumeric(each), t.at);
  }
  if (t.peek() === "") return "";
  const simple = readSimple(t);
  if (simple !== undefined) return simple;
  let open = '"', close = '"', unquoted = false;
  if (t.peek() === "'") open = close = "'";
  else if (t.peek() === "“") [open, close] = ["“", "”"];
  else if (!QUOTES.includes(t.peek())) {
    const literal = readLiteral(reader);
    if (literal !== undefined) return literal;
    unquoted = true;
  }
  if (!unquoted) t.at++;
  if (t.peek() === "`" && t.startsWith("```json", t.at)) {
    if (t.startsWith("```", t.find("`", t.at + 7))) {
      t.at += 7;
      const inner = t.deeper(t.place === "value" ? 5 : 4, () => reader.readValue());
      if (inner !== false) return inner;
    }
  }
  let doubled = false;
  if (t.peek() === open) {
    const entry = readDoubledQuote(t, open, close);
    if (entry === "empty") return "";
    doubled = entry === "doubled";
  }
  return new StringBody(t, open, close, unquoted, doubled, attempt).read();
}

/** true, false, null in any case; None where it was asked for. */
function readLiteral(reader: ValueReader): boolean | null | undefined {
  const t = reader.text;
  if (t.place === "key") return undefined;
  for (const [word, value] of [["true", true], ["false", false], ["null", null]] as const) {
    if (t.slice(t.at, t.at + word.length).toLowerCase() === word) {
      t.at += word.length;
      return value;
    }
  }
  if (reader.pythonNone && t.startsWith("None", t.at)) {
    t.at += 4;
    return null;
  }
  return undefined;
}

/** Two quotes at the beginning: an empty string, a doubled quote, or a slip. */
function readDoubledQuote(t: LenientText, open: string, close: string): "empty" | "doubled" | "slip" {
  const next = t.charAt(t.at + 1);
  if (
    (t.place === "key" && next === ":") || (t.place === "value" && (next === "," || next === "}")) ||
    (t.place === "array" && (next === "," || next === "]"))
  ) {
    t.at++;
    return "empty";
  }
  if (next === open) return "empty";
  if (t.charAt(t.find(close, t.at + 1) + 1) === close) {
    t.at++;
    return "doubled";
  }
  const after = t.charAt(t.afterSpace(t.at + 1));
  if (after !== "" && `${QUOTES}{[`.includes(after)) {
    t.at++;
    return "empty";
  }
  if (after === "" || !",]}".includes(after)) t.at++;
  return "slip";
}
