/**
 * Looking ahead in text that is nearly JSON, mostly without moving the cursor: is this a comment, a container, the beginning of
 * the next member? Belongs to `repair_json.ts` and `string.ts`, which see; how every look stays short, in
 * `text.ts`.
 */
import { isAlphanumeric, isDigit, isSpaceCharacter, type LenientText, QUOTES } from "./text.ts";

/** Brackets that may open something within a string, and what closes them. */
export const CLOSING: Readonly<Record<string, string>> = { "[": "]", "{": "}", "(": ")" };

const CLOSERS = Object.values(CLOSING);

/** What a comma within a member's value is. */
export function classifyComma(t: LenientText): "member" | "text" | "only text follows" | "container" {
  const start = t.afterSpace(t.at + 1);
  const next = t.charAt(start);
  if (next === "" || next === "}") return "member";
  if (QUOTES.includes(next)) return colonFollowsQuote(t, next, start) ? "member" : "text";
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
  return colonFollowsQuote(t, kind, special) ? "member" : "text";
}

/** Whether what begins with a quote ends with the same, and a colon follows. */
function colonFollowsQuote(t: LenientText, quote: string, place: number): boolean {
  return t.charAt(t.afterSpace(t.find(quote, place + 1) + 1)) === ":";
}

function bareMemberHasValue(t: LenientText, position: number): boolean {
  const start = t.afterSpace(position);
  const first = t.charAt(start);
  if (first !== "" && (`${QUOTES}{[-`.includes(first) || isDigit(first))) return true;
  const literal = ["true", "false", "null"].find((each) => t.startsWith(each, start));
  if (literal !== undefined) {
    const after = t.charAt(start + literal.length);
    if (after === "" || isSpaceCharacter(after) || ",}]".includes(after)) return true;
  }
  return t.charAt(t.find(`${QUOTES}}`, start)) === "}";
}

/** The end of a name without quotes. */
function endOfBareKey(t: LenientText, position: number): number {
  return t.nextWhere("end of name", (each) => !isAlphanumeric(each) && each !== "_" && each !== "-", position);
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
  return t.charAt(t.afterSpace(t.find(closingQuote(first), position + 1) + 1)) === ":";
}

const closingQuote = (quote: string) => quote === "“" ? "”" : quote;

/** The first place that is neither white space nor comment. */
export function memberStart(t: LenientText, position: number): number {
  return t.outlook("member", (i, later) => {
    const end = isSpaceCharacter(t.charAt(i)) ? i + 1 : endOfComment(t, i);
    later[i] = end === i ? i : later[end];
  })[Math.min(position, t.length)];
}

/** Where the comment that begins at `start` ends; `start` where none begins. */
function endOfComment(t: LenientText, start: number): number {
  const first = t.charAt(start);
  if (first === "#" || (first === "/" && t.charAt(start + 1) === "/")) return t.next("\n\r", start);
  return first === "/" && t.charAt(start + 1) === "*" ? endOfBlockComment(t, start + 2) : start;
}

/** Where a block comment ends whose end is looked for from a place on. */
export function endOfBlockComment(t: LenientText, from: number): number {
  const close = t.outlook("*/", (i, later) => later[i] = t.startsWith("*/", i) ? i : later[i + 1]);
  return Math.min(close[Math.min(from, t.length)] + 2, t.length);
}

/** The place after the bracket that closes the container at `start`, which is part of a string. */
export function endOfInlineContainer(t: LenientText, start: number): number | undefined {
  // Three answers a place: where, from there on, the container that is open ends, if ")", "]" or "}" closes it; −1: nowhere.
  const ends = t.outlook("inline containers", fillInlineContainers(t), -1, CLOSERS.length);
  const end = ends[CLOSERS.length * (start + 1) + CLOSERS.indexOf(CLOSING[t.charAt(start)])];
  return end === -1 ? undefined : end;
}

function fillInlineContainers(t: LenientText): (place: number, ends: Int32Array) => void {
  const count = CLOSERS.length;
  return (place, ends) => {
    const c = t.charAt(place);
    let from = place + 1;
    if (QUOTES.includes(c)) {
      const end = t.find(closingQuote(c), place + 1);
      from = end === t.length ? -1 : end + 1;
    } else if (c in CLOSING && opensNested(t, place)) {
      from = ends[count * (place + 1) + CLOSERS.indexOf(CLOSING[c])];
    }
    for (let kind = 0; kind < count; kind++) {
      ends[count * place + kind] = c === CLOSERS[kind] ? place + 1 : from === -1 ? -1 : ends[count * from + kind];
    }
  };
}

/** Whether a bracket within a container opens another, judged by what is around it. */
function opensNested(t: LenientText, position: number): boolean {
  let before = position - 1;
  while (isSpaceCharacter(t.charAt(before))) before--;
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
export function endOfContainer(t: LenientText, start: number): number | undefined {
  let depth = 0;
  for (let i = start; i < t.length; i++) {
    const character = t.charAt(i);
    if (character === '"') {
      for (i++; i < t.length && t.charAt(i) !== '"'; i++) if (t.charAt(i) === "\\") i++;
    } else if (character === "{" || character === "[") depth++;
    else if ((character === "}" || character === "]") && --depth === 0) return i + 1;
  }
  return undefined;
}

/** Whether a colon stands outside of strings and comments between two places. */
export function hasColonOutsideStrings(t: LenientText, from: number, to: number): boolean {
  if (t.outlook("escaped comment", (i, later) => later[i] = beginsEscapedComment(t, i) ? i : later[i + 1])[from] < to) {
    return hasColon(withoutComments(t, from, to));
  }
  const colons = t.outlook("colon outside strings", (i, later) => {
    const c = t.charAt(i), end = endOfComment(t, i);
    if (end > i) later[i] = later[end];
    else if (QUOTES.includes(c) && !t.isEscaped(i)) later[i] = later[Math.min(t.find(c, i + 1) + 1, t.length)];
    else later[i] = c === ":" && !t.isEscaped(i) ? i : later[i + 1];
  });
  return colons[from] < to;
}

/** A backslash before a comment: it escapes what follows the comment. */
function beginsEscapedComment(t: LenientText, place: number): boolean {
  return t.charAt(place) === "\\" && endOfComment(t, place + 1) > place + 1;
}

/** The text between two places without the comments that are outside of strings. */
function withoutComments(t: LenientText, from: number, to: number): string[] {
  t.spend(8 * (to - from));
  const kept: string[] = [];
  let quote = "", backslashes = 0;
  for (let i = from; i < to; i++) {
    const c = t.charAt(i);
    const escaped = backslashes % 2 === 1;
    backslashes = c === "\\" ? backslashes + 1 : 0;
    if (quote === "" && !(QUOTES.includes(c) && !escaped)) {
      const end = endOfComment(t, i);
      if (end > i) {
        i = end - 1;
        continue;
      }
    }
    if (c !== "\\" && !escaped) {
      if (quote === "") quote = QUOTES.includes(c) ? c : "";
      else if (c === quote) quote = "";
    }
    kept.push(c);
  }
  return kept;
}

function hasColon(characters: readonly string[]): boolean {
  let quote = "", backslashes = 0;
  for (const character of characters) {
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

/**
 * A well-formed string without escapes that is followed by what must follow in its place; the cursor moves only over such.
 */
export function readSimple(t: LenientText): string | undefined {
  if (t.peek() !== '"') return undefined;
  const end = t.next('"\\\n\r', t.at + 1);
  if (t.charAt(end) !== '"') return undefined;
  const next = t.charAt(t.afterSpace(end + 1));
  const expected = t.place === "key"
    ? [":"]
    : t.place === "value"
    ? [",", "}", ""]
    : t.place === "array"
    ? [",", "]", ""]
    : [""];
  if (!expected.includes(next)) return undefined;
  const value = t.slice(t.at + 1, end);
  t.at = end + 1;
  return value;
}
