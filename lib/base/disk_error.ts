/** What the system refuses to write: a full disk, a read-only folder, a quota, a folder that is gone. One line for people. */
import { UserError } from "./user_error.ts";

/** The system did not take what was to be written. What had been written before is as it was. */
export class DiskError extends UserError {
  /** The class's name, for messages. */
  override readonly name: string = "DiskError";
}

/** Whether an error is what the system said, here or in a library, and not a defect of the program. */
export function isSystemError(error: unknown): error is Error {
  return error instanceof Error &&
    (/^E[A-Z0-9]+$/.test(String((error as { code?: unknown }).code)) || / \(os error \d+\)/.test(error.message));
}

/** What the system says, without its number and the call, which may be of a file that is not the user's. */
export function systemReason({ message }: Error): string {
  const [reason] = message.split(" (os error ");
  return reason.charAt(0).toLowerCase() + reason.slice(1);
}

/**
 * The error to throw where writing `path` failed: one line where the system refused, the error itself where the program is wrong
 * (it names a folder that it should have made, say).
 */
export function cannotWrite(path: string, error: unknown): unknown {
  if (error instanceof Deno.errors.NotFound) return error;
  return isSystemError(error) ? new DiskError(`cannot write ${path}: ${systemReason(error)}`) : error;
}
