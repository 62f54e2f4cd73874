/**
 * The benchmark's files: one transition a line, `.jsonl` or `.jsonl.gz`.
 *
 * A line that cannot be used either ends the reading with its number and the reason, or is skipped and counted; which of the
 * two is the caller's choice.
 *
 * Source: GPT-simulator, `data/train.jsonl`, `data/test.jsonl`.
 */
import { type RowOptions, type RowPlace, type SkippedRow, usableRows } from "../../io/rows.ts";
import { shardsOf } from "../../io/shards.ts";
import { UserError } from "../../base/user_error.ts";
import { readLines, writeLines } from "../../io/lines.ts";
import type { TextGameTransition } from "./state.ts";
import { parseTransition, transitionJson, type TransitionOptions } from "./state_json.ts";

/**
 * A transition and where it stands: its row is the line, from 0.
 *
 * @internal
 */
export interface TransitionRow extends RowPlace {
  /** What stands there. */
  transition: TextGameTransition;
}

/**
 * How a file of transitions is read.
 *
 * @internal
 */
export interface ReadTransitionsOptions extends TransitionOptions, RowOptions {}

/**
 * The transitions of a file, in order; blank lines count as lines and are passed over. A numbered file
 * (`train-00000-of-00003.jsonl`) stands for all of its data set.
 *
 * @throws {UserError} When a file cannot be read; when strict, also at the first line that cannot be used.
 */
export function readTransitions(path: string, options: ReadTransitionsOptions = {}): AsyncGenerator<TransitionRow> {
  return usableRows(lines(path), ({ text, ...place }) => {
    if (text === undefined) throw new TypeError("it is not UTF-8");
    return { ...place, transition: parseTransition(text, options) };
  }, options);
}

async function* lines(path: string): AsyncGenerator<RowPlace & { text: string | undefined }> {
  let before = 0;
  for (const file of await shardsOf(path)) {
    let count = 0;
    for await (const { row, text } of readLines(file)) {
      count = row + 1;
      if (text?.trim() !== "") yield { row: before + row, file, place: `line ${row + 1}`, text };
    }
    before += count;
  }
}

/**
 * All transitions of a file, and what was skipped.
 *
 * @throws {UserError} As {@linkcode readTransitions}, and when there is no transition at all.
 */
export async function loadTransitions(
  path: string,
  options: ReadTransitionsOptions = {},
): Promise<{ rows: TransitionRow[]; skipped: SkippedRow[] }> {
  const rows: TransitionRow[] = [], skipped: SkippedRow[] = [];
  const onSkip = (row: SkippedRow) => {
    skipped.push(row);
    options.onSkip?.(row);
  };
  for await (const row of readTransitions(path, { ...options, onSkip })) rows.push(row);
  if (rows.length === 0) {
    const why = skipped.length > 0 ? `; the first of ${skipped.length} skipped lines: ${skipped[0].reason}` : "";
    throw new UserError(`${path}: it has no transition${why}`);
  }
  return { rows, skipped };
}

/**
 * Writes transitions as the benchmark has them, gzipped if the name ends in `.gz`.
 *
 * @throws whatever the file system reports; the file that was there before is then unchanged.
 */
export async function writeTransitions(path: string, transitions: Iterable<TextGameTransition>): Promise<void> {
  await writeLines(path, mapLines(transitions));
}

function* mapLines(transitions: Iterable<TextGameTransition>): Generator<string> {
  for (const transition of transitions) yield transitionJson(transition);
}
