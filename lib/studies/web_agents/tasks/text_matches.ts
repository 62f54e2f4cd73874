/** How texts and numbers are compared by WebArena's evaluators. */
import { wordTokens } from "./word_tokens.ts";

/** An answer without the white space and the quotes around it, in small letters. */
export function cleanAnswer(answer: string): string {
  const trimmed = answer.trim();
  const [first, last] = [trimmed.at(0), trimmed.at(-1)];
  const isQuoted = first === last && (first === "'" || first === '"');
  return (isQuoted ? trimmed.slice(1, -1) : trimmed).toLowerCase();
}

/** Whether an answer is the reference, both cleaned. */
export function isExactMatch(reference: string, answer: string): boolean {
  return cleanAnswer(reference) === cleanAnswer(answer);
}

/**
 * Whether the reference stands in the answer, both cleaned.
 *
 * @param asToken Look for a reference of one character among the answer's tokens: `2` is not in `12`.
 */
export function includesText(reference: string, answer: string, asToken = false): boolean {
  const wanted = cleanAnswer(reference), given = cleanAnswer(answer);
  if (asToken && [...wanted].length === 1 && wordTokens(wanted).length === 1) return wordTokens(given).includes(wanted);
  return given.includes(wanted);
}

/** Whether the reference does not stand in the answer, both cleaned; one of a single token is looked for among tokens. */
export function excludesText(reference: string, answer: string): boolean {
  const wanted = cleanAnswer(reference), given = cleanAnswer(answer);
  return wordTokens(wanted).length === 1 ? !wordTokens(given).includes(wanted) : !given.includes(wanted);
}

/** So far beyond its bound may a number be, as in the released evaluator: `< 700` holds for 700, too. */
const TOLERANCE = 1e-8;

/** `>= 12` as a test of numbers; undefined where it is no inequality. */
export function readInequality(text: string): ((value: number) => boolean) | undefined {
  const [, sign, digits] = /^\s*(<=|>=|==|<|>)\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*$/.exec(text) ?? [];
  if (sign === undefined) return undefined;
  const bound = Number(digits);
  return (value) => {
    const isLow = value <= bound + TOLERANCE, isHigh = value >= bound - TOLERANCE;
    return sign === "==" ? isLow && isHigh : sign.startsWith("<") ? isLow : isHigh;
  };
}

/**
 * Whether a text is a number for which an inequality, or one of several with ` |OR| ` between, holds. Commas between digits are passed
 * over. The released evaluator reads whole numbers only; here `69.50` is a number too.
 */
export function isWithin(inequalities: string, text: string): boolean {
  const digits = text.trim().replaceAll(",", "");
  if (!/^[+-]?(\d+(\.\d*)?|\.\d+)$/.test(digits)) return false;
  return inequalities.split(" |OR| ").some((each) => readInequality(each)?.(Number(digits)));
}

/** Longest quotation in a reason, in characters. */
const LONGEST_QUOTE = 120;

/** A text as a reason quotes it: on one line, not too long. */
export function quote(content: string): string {
  const line = content.replaceAll(/\s+/g, " ");
  return JSON.stringify(line.length > LONGEST_QUOTE ? `${line.slice(0, LONGEST_QUOTE - 1)}…` : line);
}
