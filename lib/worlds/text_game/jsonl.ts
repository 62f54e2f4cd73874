/**
 * The benchmark's files: one transition a line, `.jsonl` or `.jsonl.gz`.
 *
 * A line that cannot be used either ends the reading with its number and the reason, or is skipped and counted; which of the
 * two is the caller's choice.
 *
 * Source: GPT-simulator, `data/train.jsonl`, `data/test.jsonl`.
 */
import { UserError } from "../../files/user_error.ts";
import { readLines, writeLines } from "./lines.ts";
import type { TextGameTransition } from "./state.ts";
import { parseTransition, transitionJson, type TransitionOptions } from "./state_json.ts";

/** A transition and the line that it stands on. */
export interface TransitionRow {
  /** Line of the file, from 0. */
  row: number;
  /** What stands there. */
  transition: TextGameTransition;
}

/** A line that was skipped. */
export interface SkippedRow {
  /** Line of the file, from 0. */
  row: number;
  /** Why. */
  reason: string;
}

/** How a file of transitions is read. */
export interface ReadTransitionsOptions extends TransitionOptions {
  /** Whether a line that cannot be used is an error. Default true. */
  strict?: boolean;
  /** Told of every line that is skipped; only where not strict. */
  onSkip?: (skipped: SkippedRow) => void;
}

/**
 * The transitions of a file, in order; blank lines count as lines and are passed over.
 *
 * @throws {UserError} When the file cannot be read; when strict, also at the first line that cannot be used.
 */
export async function* readTransitions(
  path: string,
  options: ReadTransitionsOptions = {},
): AsyncGenerator<TransitionRow> {
  for await (const { row, text } of readLines(path)) {
    if (text?.trim() === "") continue;
    try {
      if (text === undefined) throw new TypeError("it is not UTF-8");
      yield { row, transition: parseTransition(text, options) };
    } catch (error) {
      if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
      const reason = error.message.replace(/\s+/g, " ");
      if (options.strict ?? true) throw new UserError(`${path}, line ${row + 1}: ${reason}`);
      options.onSkip?.({ row, reason });
    }
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
