/**
 * Looking ahead in text that is nearly JSON, mostly without moving the cursor: is this a comment, a tuple, the beginning of the next
 * member? Belongs to `lenient_json.ts` and `lenient_string.ts`, which see.
 */
import { isAlphanumeric, isDigit, isSpaceCharacter, type LenientText, QUOTES } from "./lenient_text.ts";

/** Brackets that may open something within a string, and what closes them. */
export const CLOSING: Readonly<Record<string, string>> = { "[": "]", "{": "}", "(": ")" };

/** What a comma within a member's value is. */
export function classifyComma(t: LenientText): "member" | "text" | "only text follows" | "container" {
  const start = t.afterSpace(t.at + 1);
  const next = t.charAt(start);
  if (next === "" || next === "}") return "member";
  if (QUOTES.includes(next)) {
    const end = t.find(next, start + 1);
    return t.charAt(end) !== "" && t.charAt(t.afterSpace(end + 1)) === ":" ? "member" : "text";
  }
  if (next === "`") return t.charAt(t.afterSpace(endOfBareKey(t, start + 1))) === ":" ? "member" : "text";
  if (isAlphanumeric(next) || next === "_") {
    const colon = t.afterSpace(endOfBareKey(t, start));
    if (t.charAt(colon) === ":" && bareMemberHasValue(t, colon + 1)) return "member";
  }
  if (next === "{" || next === "[") return "container";
  const special = t.find(`${QUOTES}{[`, start);
  const kind = t.charAt(special);
  if (kind === "") return "only text follows";
  if (kind === "{" || kind === "[") return "text";
  const end = t.find(kind, special + 1);
  return t.charAt(end) !== "" && t.charAt(t.afterSpace(end + 1)) === ":" ? "member" : "text";
}

function bareMemberHasValue(t: LenientText, position: number): boolean {
  const start = t.afterSpace(position);
  const first = t.charAt(start);
  if (first !== "" && (`${QUOTES}{[-`.includes(first) || isDigit(first))) return true;
  const literal = /^(?:true|false|null)(?=[\s,}\]]|$)/.test(t.text.slice(start, start + 6));
  return literal || t.charAt(t.find(`${QUOTES}}`, start)) === "}";
}

/** The end of a name without quotes. */
export function endOfBareKey(t: LenientText, position: number): number {
  const start = position;
  while (isAlphanumeric(t.charAt(position)) || t.charAt(position) === "_" || t.charAt(position) === "-") position++;
  t.spend(position - start + 1);
  return position;
}

/** Whether a name without quotes and a colon follow. */
export function bareKeyBeforeColon(t: LenientText, position: number): boolean {
  const first = t.charAt(position);
  return (isAlphanumeric(first) || first === "_") && t.charAt(t.afterSpace(endOfBareKey(t, position))) === ":";
}

/** Whether a quote is followed by a comma and the next member. */
export function quotedMemberFollows(t: LenientText, quote: number): boolean {
  const comma = t.afterSpace(quote + 1);
  return t.charAt(comma) === "," && memberFollows(t, memberStart(t, comma + 1));
}

/** Whether a member begins here. */
export function memberFollows(t: LenientText, position: number): boolean {
  const first = t.charAt(position);
  if (first === "" || first === "}") return false;
  if (!QUOTES.includes(first)) return bareKeyBeforeColon(t, position);
  const end = t.find(first === "“" ? "”" : first, position + 1);
  return t.charAt(end) !== "" && t.charAt(t.afterSpace(end + 1)) === ":";
}

/** The first place that is neither white space nor comment. */
export function memberStart(t: LenientText, position: number): number {
  while (true) {
    position = t.afterSpace(position);
    if (t.charAt(position) === "#" || t.text.startsWith("//", position)) position = t.endOfLine(position);
    else if (t.text.startsWith("/*", position)) {
      const end = t.text.indexOf("*/", position + 2);
      const next = end === -1 ? t.text.length : end + 2;
      t.spend(next - position);
      position = next;
    } else return position;
  }
}

/** The place after the bracket that closes the container at `start`, which is part of a string. */
export function endOfInlineContainer(t: LenientText, start: number): number | undefined {
  const expected = [CLOSING[t.charAt(start)]];
  for (let i = start + 1; i < t.text.length; i++) {
    t.spend(1);
    const c = t.charAt(i);
    if (QUOTES.includes(c)) {
      i = t.find(c === "“" ? "”" : c, i + 1);
    } else if (c in CLOSING && opensNested(t, i, start)) {
      expected.push(CLOSING[c]);
    } else if (c === expected.at(-1)) {
      expected.pop();
      if (expected.length === 0) return i + 1;
    }
  }
  return undefined;
}

/** Whether a bracket within a container opens another, judged by what is around it. */
function opensNested(t: LenientText, position: number, start: number): boolean {
  let before = position - 1;
  while (before >= start && isSpaceCharacter(t.charAt(before))) before--;
  t.spend(position - before);
  if (before < start) return true;
  const previous = t.charAt(before);
  if (previous in CLOSING) return true;
  if (previous !== "," && previous !== ":") return false;
  const next = t.afterSpace(position + 1);
  const following = t.charAt(next);
  if (t.charAt(position) !== "{") {
    return following !== "" && (`])${QUOTES}-[{(tfn`.includes(following) || isDigit(following));
  }
  if (following !== "" && `}${QUOTES}`.includes(following)) return true;
  return previous === ":" && bareKeyBeforeColon(t, next);
}

/** The place after the bracket that closes the container at `start`, taking the text for JSON. */
export function endOfContainer(text: string, start: number): number | undefined {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    const character = text[i];
    if (character === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === "\\") i++;
    } else if (character === "{" || character === "[") depth++;
    else if ((character === "}" || character === "]") && --depth === 0) return i + 1;
  }
  return undefined;
}

/** The text without the comments that are outside of strings. */
export function withoutComments(body: string): string {
  let result = "", quote = "", backslashes = 0;
  for (let i = 0; i < body.length; i++) {
    const c = body[i];
    const escaped = backslashes % 2 === 1;
    backslashes = c === "\\" ? backslashes + 1 : 0;
    if (quote === "" && c !== "\\" && !(QUOTES.includes(c) && !escaped)) {
      const end = endOfComment(body, i);
      if (end > i) {
        i = end - 1;
        continue;
      }
    }
    if (c !== "\\" && !escaped) {
      if (quote === "") quote = QUOTES.includes(c) ? c : "";
      else if (c === quote) quote = "";
    }
    result += c;
  }
  return result;
}

/** Where the comment that begins at `start` ends; `start` where none begins. */
function endOfComment(body: string, start: number): number {
  if (body[start] === "#" || body.startsWith("//", start)) {
    let end = start;
    while (end < body.length && !"\n\r".includes(body[end])) end++;
    return end;
  }
  if (!body.startsWith("/*", start)) return start;
  const end = body.indexOf("*/", start + 2);
  return end === -1 ? body.length : end + 2;
}

/** Whether a colon stands outside of strings. */
export function hasColonOutsideStrings(body: string): boolean {
  let quote = "";
  let backslashes = 0;
  for (const character of body) {
    if (character === "\\") {
      backslashes++;
      continue;
    }
    if (backslashes % 2 === 0) {
      if (quote !== "") { if (character === quote) quote = ""; }
      else if (QUOTES.includes(character)) quote = character;
      else if (character === ":") return true;
    }
    backslashes = 0;
  }
  return false;
}

/** Walks the parenthesis at the cursor; `visit` sees every character outside strings and may stop the walk. */
export function scanParenthesis(
  t: LenientText,
  visit: (character: string, isTop: boolean) => boolean,
): { end: number | undefined; stopped: boolean } {
  let quote = "", backslashes = 0, round = 0, square = 0, curly = 0;
  for (let i = t.at + 1; i < t.text.length; i++) {
    t.spend(1);
    const c = t.charAt(i);
    if (c === "\\") {
      backslashes++;
      continue;
    }
    const escaped = backslashes % 2 === 1;
    backslashes = 0;
    if (quote !== "") {
      if (c === quote && !escaped) quote = "";
      continue;
    }
    const isTop = round === 0 && square === 0 && curly === 0;
    if (c === ")" && isTop) return { end: i, stopped: false };
    if (visit(c, isTop)) return { end: undefined, stopped: true };
    if (QUOTES.includes(c) && !escaped) quote = c;
    else if (c === "(") round++;
    else if (c === ")") round = Math.max(round - 1, 0);
    else if (c === "[") square++;
    else if (c === "]") square = Math.max(square - 1, 0);
    else if (c === "{") curly++;
    else if (c === "}") curly = Math.max(curly - 1, 0);
  }
  return { end: undefined, stopped: false };
}

/** Whether the parenthesis at the cursor is a tuple (it has a comma, or nothing in it) rather than a grouping. */
export function parenthesisIsTuple(t: LenientText): boolean {
  let hasContent = false;
  const { stopped } = scanParenthesis(t, (character, isTop) => {
    if (isTop && character === ",") return true;
    if (isTop && !isSpaceCharacter(character)) hasContent = true;
    return false;
  });
  return stopped || !hasContent;
}

/** The first place that is not white space, or the end of the line. */
export function afterSpaceOnLine(t: LenientText, position: number): number {
  while (isSpaceCharacter(t.charAt(position)) && !"\n\r".includes(t.charAt(position))) position++;
  return position;
}

/** The first place from `position` on of any of these characters, escaped or not. */
export function nextOf(t: LenientText, characters: string, position: number): number {
  const start = position;
  while (position < t.text.length && !characters.includes(t.charAt(position))) position++;
  t.spend(position - start + 1);
  return position;
}

/**
 * A well-formed string without escapes that is followed by what must follow in its place; the cursor moves only over such.
 */
export function readSimple(t: LenientText): string | undefined {
  if (t.peek() !== '"') return undefined;
  const end = t.text.indexOf('"', t.at + 1);
  t.spend((end === -1 ? t.text.length : end) - t.at);
  if (end === -1) return undefined;
  const value = t.text.slice(t.at + 1, end);
  if (/[\\\n\r]/.test(value)) return undefined;
  const next = t.charAt(t.afterSpace(end + 1));
  const expected = t.place === "key"
    ? [":"]
    : t.place === "value"
    ? [",", "}", ""]
    : t.place === "array"
    ? [",", "]", ""]
    : [""];
  if (!expected.includes(next)) return undefined;
  t.at = end + 1;
  return value;
}
