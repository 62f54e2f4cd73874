/**
 * An error that the user of a command can cause and mend: a wrong path, flag, file or value.
 *
 * Commands print its message as one line and exit with code 2; every other error is a defect and keeps its stack trace.
 * The message says what was wrong (quoting the value), where (file, field or flag), and what to do about it.
 */
export class UserError extends Error {
  /** The class's name, for messages. */
  override readonly name: string = "UserError";

  /**
   * An error of this message. What it quotes may come from anywhere: control characters are shown as escapes, so that it stays one
   * line and a terminal obeys nothing in it, and the middle of an endless one is left out.
   */
  constructor(message: string) {
    const shown = visible(message);
    super(shown.length <= MAX_LENGTH ? shown : `${shown.slice(0, MAX_LENGTH / 2)} … ${shown.slice(-MAX_LENGTH / 2)}`);
  }
}

/** Characters of a message. */
const MAX_LENGTH = 2000;

/** A text with its control characters as escapes (`\x1b`): a terminal that shows it obeys nothing in it. */
export function visible(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
