/**
 * Scores a file of answers, from whatever model: lines `{"truth": "…", "response": "…"}` become lines
 * `{"precision", "recall", "f1"}` in the same order.
 */
import { breather } from "../../base/breather.ts";
import { shownValue } from "../../io/shown_value.ts";
import { UserError } from "../../base/user_error.ts";
import { readLines, writeLines } from "../../io/lines.ts";
import { type F1Options, type F1Score, scoreChanges } from "./f1_reward.ts";

/** What is scored, with what, and where the scores go. */
export interface ScoreWebAnswersOptions extends F1Options {
  /** Answers: a line each, `.jsonl` or `.jsonl.gz`. */
  answers: string;
  /** Where scores are written; gzipped if it ends in `.gz`. */
  out: string;
  /** Ends it; nothing is written then. */
  signal?: AbortSignal;
}

/**
 * Scores a file of answers and writes the scores; the file of scores appears complete or not at all.
 *
 * @throws {UserError} When a file cannot be read or written, or a line of answers has another form; with the line's number.
 * @throws The signal's reason once it is aborted.
 */
export async function scoreWebAnswersFile(options: ScoreWebAnswersOptions): Promise<F1Score[]> {
  const scores: F1Score[] = [], breathe = breather(options.signal);
  for await (const { row, text } of readLines(options.answers)) {
    if (text?.trim() === "") continue;
    await breathe();
    const { truth, response } = parseLine(text, `${options.answers}, line ${row + 1}`);
    scores.push(scoreChanges(response, truth, options));
  }
  if (scores.length === 0) throw new UserError(`${options.answers}: it has no answer`);
  try {
    await writeLines(options.out, scores.map(({ precision, recall, f1 }) => JSON.stringify({ precision, recall, f1 })));
  } catch (error) {
    throw new UserError(`${options.out}: cannot be written (${(error as Error).message})`);
  }
  return scores;
}

function parseLine(text: string | undefined, where: string): { truth: string; response: string } {
  if (text === undefined) throw new UserError(`${where}: it is not UTF-8`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${where}: is not JSON (${(error as Error).message.replace(/\s+/g, " ")})`);
  }
  const { truth, response } = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  for (const [name, field] of Object.entries({ truth, response })) {
    if (typeof field !== "string") {
      throw new UserError(`${where}: ${name} must be a string: received ${shownValue(field)}`);
    }
  }
  return { truth: truth as string, response: response as string };
}
