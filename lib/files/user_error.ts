/**
 * An error that the user of a command can cause and mend: a wrong path, flag, file or value.
 *
 * Commands print its message as one line and exit with code 2; every other error is a defect and keeps its stack trace.
 * The message says what was wrong (quoting the value), where (file, field or flag), and what to do about it.
 */
export class UserError extends Error {
  /** The class's name, for messages. */
  override readonly name: string = "UserError";
}
