/** What the system refuses to write: a full disk, a read-only folder, a quota, a folder that is gone. One line for people. */
import { UserError } from "./user_error.ts";

/** The system did not take what was to be written. What had been written before is as it was. */
export class DiskError extends UserError {
  override readonly name: string = "DiskError";
}

/** Whether an error is the system's own: a code such as ENOSPC, and not a defect of the program. */
export function isSystemError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && /^E[A-Z0-9]+$/.test(String((error as { code?: unknown }).code));
}

/** What the system says of an error, without its number and call: "no space left on device". */
export function systemReason(error: unknown): string {
  const [reason] = (error as Error).message.split(" (os error ");
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

/** Makes a folder and those above it, where they are missing. @throws {DiskError} When the system refuses. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true });
  } catch (error) {
    throw isSystemError(error) ? new DiskError(`cannot make the folder ${path}: ${systemReason(error)}`) : error;
  }
}
