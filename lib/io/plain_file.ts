/** Files proper, and not what else a path can lead to: a pipe is waited for until somebody writes into it, a device may never end. */
import { cannotWrite } from "../base/disk_error.ts";

/** A text of more bytes fits into no string. */
const MOST_TEXT_BYTES = 2 ** 29;

/**
 * Sees that a path leads to a file, before it is opened.
 *
 * @param limit Bytes that it may have. Default: any number.
 * @throws The system's error where there is nothing, or an Error of a few words: for a message that names the path.
 */
export async function checkIsFile(path: string, limit = Infinity): Promise<void> {
  const { isFile, isDirectory, size } = await Deno.stat(path);
  if (!isFile) throw new Error(isDirectory ? "it is a folder, not a file" : "it is not a file");
  if (size > limit) throw new Error(`it has ${size} bytes, more than the ${limit} that are read`);
}

/**
 * The text of a file.
 *
 * @param limit Bytes that it may have.
 * @throws As {@linkcode checkIsFile} does.
 */
export async function readTextFile(path: string, limit = MOST_TEXT_BYTES): Promise<string> {
  await checkIsFile(path, limit);
  return await Deno.readTextFile(path);
}

/**
 * Whether a path leads to an open file, and not to another of the same name.
 *
 * @throws {DiskError} When the system does not say.
 */
export function isNameOf(path: string, file: Deno.FsFile): boolean {
  const own = file.statSync();
  try {
    const found = Deno.statSync(path);
    // Where a system has no such numbers, the name has to do.
    return found.ino === own.ino && found.dev === own.dev;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw cannotWrite(path, error);
  }
}
