/**
 * A hash of what files hold, to tell whether they are the same ones. Of many or large files a part is read that is spread evenly
 * over them and always the same: reading terabytes before each start would cost more than it is worth.
 */
import type { Hash } from "node:crypto";
import { openRandomAccess } from "./random_access.ts";

/** Files that are looked into, the first and the last among them, where there are more. */
export const HASHED_FILES = 1000;
/** Pieces of a file that are read, the first and the last bytes among them, where it is larger. */
const PIECES = 16, PIECE_BYTES = 16384;
/** Bytes of a file that are read where it is larger. */
export const HASHED_BYTES = PIECES * PIECE_BYTES;

/**
 * Adds what files hold to a hash: of up to `HASHED_FILES` files up to `HASHED_BYTES` bytes each. The last bytes of a zip archive
 * (an .npz) hold the checksums of all that is in it.
 *
 * @throws {UserError} When a file cannot be read.
 */
export async function hashContent(hash: Hash, paths: readonly string[]): Promise<void> {
  for (const index of spread(paths.length, HASHED_FILES)) {
    using file = await openRandomAccess(paths[index]);
    if (file.size <= HASHED_BYTES) hash.update(await file.read(0, file.size));
    else for (const at of spread(file.size - PIECE_BYTES + 1, PIECES)) hash.update(await file.read(at, PIECE_BYTES));
  }
}

/** Up to `most` of the numbers below `count`, evenly, from the first to the last. */
function spread(count: number, most: number): number[] {
  const number = Math.min(count, most);
  return Array.from({ length: number }, (_, i) => number === 1 ? 0 : Math.round(i * (count - 1) / (number - 1)));
}
