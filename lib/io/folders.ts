/** Folders that are to be there, or to be new. */
import { dirname } from "node:path";
import { DiskError, isSystemError, systemReason } from "../base/disk_error.ts";

/** Makes a folder and those above it, where they are missing. @throws {DiskError} When the system refuses. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true });
  } catch (error) {
    throw isSystemError(error) ? cannotMake(path, error) : error;
  }
}

/**
 * Makes a folder that nobody has, in one step with seeing that it is free: `path`, or `path-2`, `path-3`… where that is taken.
 *
 * @returns Its path.
 * @throws {DiskError} When the system refuses.
 */
export async function makeNewFolder(path: string): Promise<string> {
  await makeFolder(dirname(path));
  for (let number = 1;; number++) {
    const name = number === 1 ? path : `${path}-${number}`;
    try {
      await Deno.mkdir(name);
      return name;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      if (!(error instanceof Deno.errors.AlreadyExists)) throw cannotMake(name, error);
    }
  }
}

function cannotMake(path: string, error: Error): DiskError {
  return new DiskError(`cannot make the folder ${path}: ${systemReason(error)}`);
}
