/**
 * What data a stage has learnt from, in a few letters: `2:` and a hash. The number says how it was made, so that a run of an earlier
 * version is not said to have had other data.
 *
 *   1 (without a number)   text and pages by prompt and answer, episodes by their files' names and sizes
 *   2                      by content: every row of text and pages; of episodes what `lib/files/content_hash.ts` reads
 */
import { createHash } from "node:crypto";
import { breather } from "../files/breather.ts";
import { HASHED_BYTES, HASHED_FILES } from "../files/content_hash.ts";

/** How fingerprints are made, for messages. */
export const FINGERPRINT_RULE = `by content: all rows, or ${
  HASHED_BYTES / 1024
} KiB of each of ${HASHED_FILES} episodes`;

/** The fingerprint of anything that JSON can hold, in this order. @param signal Asks to stop; its reason is thrown. */
export async function fingerprintOf(parts: Iterable<unknown>, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256"), breathe = breather(signal);
  for (const part of parts) {
    hash.update(JSON.stringify(part) + "\n");
    await breathe();
  }
  return `2:${hash.digest("hex").slice(0, 16)}`;
}

/** Whether two fingerprints were made in the same way; where not, they say nothing of each other. */
export function areComparable(a: string, b: string): boolean {
  const making = (fingerprint: string) => /^(\d+):/.exec(fingerprint)?.[1];
  return making(a) === making(b);
}
