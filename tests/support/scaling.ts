/**
 * Texts that make careless parsers slow, and how the work of a function grows with its input. Of time only ratios are looked at,
 * and only this process's own, so that a busy machine does not matter.
 */
import process from "node:process";
import assert from "node:assert/strict";
import type { Philox } from "../../lib/tensor/random.ts";

/** Pieces of JSON, Python, Markdown and comments, whole and broken. */
const PIECES = [
  ...["{", "[", "(", "}", "]", ")", '"', "'", "“", "”", "„", ",", ":", "\\", "\n", " ", "`", "#", "//", "/*", "*/"],
  ...["'a'", '"a"', "'a':", '"a":', "a:", "'b':", "{'a':1}", "'a':1},", ",[1]", '"x,y"', "it's", "“a”", '\\"', "\\'"],
  ...["a", "b", "1", "-1.5", "true", "null", "None", "...", "```json", "```", ", ", "\\n", "\\u12", "é", "😀"],
];
const STARTS = ["", "", "{", "[", "[{", "{'a':", "{'a': '"];

/** A text by chance: a fragment of up to eight pieces repeated to about `size` characters, something before it and after. */
export function repeatedFragment(random: Philox, size: number, pieces: readonly string[] = PIECES): string {
  const pick = (count: number) =>
    Array.from({ length: count }, () => pieces[random.integer(0, pieces.length)]).join("");
  const start = pieces === PIECES ? STARTS[random.integer(0, STARTS.length)] : "";
  const prefix = start + pick(random.integer(0, 4)), fragment = pick(random.integer(1, 9));
  return prefix + fragment.repeat(Math.ceil(size / fragment.length)) + pick(random.integer(0, 3));
}

/** Milliseconds of this process's time that a call takes: the least of some. */
export function processorTime(run: () => unknown, calls: number): number {
  const times = Array.from({ length: calls }, () => {
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  return Math.min(...times);
}

/** Fails where eight times the input takes much more than eight times as long; 64 times as long is quadratic. */
export function assertLinear<T>(
  name: string,
  make: (size: number) => T,
  run: (input: T) => unknown,
  size: number,
): void {
  const small = make(size), large = make(8 * size);
  // The first calls are slow for other reasons.
  const before = processorTime(() => run(small), 8), after = processorTime(() => run(large), 2);
  assert.ok(after < 24 * before + 30, `${name}: ${before.toFixed(1)} ms, eight times the input ${after.toFixed(1)} ms`);
}

/** Characters of a text in which what is quadratic already shows. */
const SMALL = 16_384;

/**
 * Fails where a function takes much more than four times as long for four times the text, of any text of this kind: each piece
 * repeated, behind and before each other one or none, and some by chance. 16 times as long is quadratic.
 */
export function assertLinearInPieces(
  name: string,
  run: (text: string) => unknown,
  pieces: readonly string[],
  random: Philox,
): void {
  const ends = ["", ...pieces];
  const texts = pieces.flatMap((piece) =>
    ends.flatMap((before) =>
      ends.map((after) => (size: number) => before + piece.repeat(Math.ceil(size / piece.length)) + after)
    )
  );
  for (let i = 0; i < 100; i++) {
    const pick = (count: number) =>
      Array.from({ length: count }, () => pieces[random.integer(0, pieces.length)]).join("");
    const before = pick(random.integer(0, 4)),
      fragment = pick(random.integer(2, 6)),
      after = pick(random.integer(0, 4));
    texts.push((size) => before + fragment.repeat(Math.ceil(size / fragment.length)) + after);
  }
  for (const text of texts) {
    const few = text(SMALL), many = text(4 * SMALL);
    if (processorTime(() => run(few), 1) < 4) continue;
    const small = processorTime(() => run(few), 3), large = processorTime(() => run(many), 2);
    const shown = `${JSON.stringify(few.slice(0, 60))} … ${JSON.stringify(few.slice(-20))}`;
    assert.ok(
      large < 8 * small + 20,
      `${name}: ${small.toFixed(1)} ms, four times the text ${large.toFixed(1)} ms: ${shown}`,
    );
  }
}
