/**
 * What a stage has learnt from, in a few letters: a number and a hash. The number says how it was made, so that a run of an earlier
 * version is not said to have had other data. Of data:
 *
 *   1 (without a number)   text and pages by prompt and answer, episodes by their files' names and sizes
 *   2                      by content: every row of text and pages; of episodes what `lib/io/content_hash.ts` reads
 *
 * Of models that were given: 1, by names, sizes and what `io/content_hash.ts` reads of the files that say what a model is.
 */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { breather } from "../base/breather.ts";
import { hashContent, HASHED_BYTES, HASHED_FILES } from "../io/content_hash.ts";
import { cannotRead } from "../io/random_access.ts";
import { UserError } from "../base/user_error.ts";

/**
 * What a stage learns from: it is not resumed on anything else.
 *
 * @internal
 */
export interface LearntFrom {
  /** Rule and hash of the data; equal where the data are. */
  fingerprint: string;
  /** Of the models that were given, by the field that names them. Runs of earlier versions have none. */
  models?: Readonly<Record<string, string>>;
}

/** How fingerprints of data are made, for messages. */
const FINGERPRINT_RULE = `by content: all rows, or ${HASHED_BYTES / 1024} KiB of each of ${HASHED_FILES} episodes`;

/** The fingerprint of anything that JSON can hold, in this order. @param signal Asks to stop; its reason is thrown. */
export async function fingerprintOf(parts: Iterable<unknown>, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256"), breathe = breather(signal);
  for (const part of parts) {
    hash.update(JSON.stringify(part) + "\n");
    await breathe();
  }
  return `2:${hash.digest("hex").slice(0, 16)}`;
}

/**
 * The fingerprint of a model that was given: its configuration, weights and tokenizer.
 *
 * @param places Its files, or folders of them.
 * @throws {UserError} When one cannot be read.
 */
export async function fingerprintOfModel(places: Iterable<string>): Promise<string> {
  const hash = createHash("sha256"), files: string[] = [];
  for (const place of new Set(places)) files.push(...await modelFiles(place));
  for (const file of files) hash.update(`${basename(file)}\t${(await Deno.stat(file)).size}\n`);
  await hashContent(hash, files);
  return `1:${hash.digest("hex").slice(0, 16)}`;
}

async function modelFiles(place: string): Promise<string[]> {
  try {
    if ((await Deno.stat(place)).isFile) return [place];
    const names = (await Array.fromAsync(Deno.readDir(place))).filter((entry) => !entry.isDirectory).map(({ name }) =>
      name
    );
    return names.filter((name) => /\.(safetensors|json|jinja)$/.test(name)).sort().map((name) => join(place, name));
  } catch (error) {
    throw cannotRead(place, error);
  }
}

/**
 * Compares what a checkpoint was trained on with what there is now.
 *
 * @param folder The checkpoint.
 * @returns Whether they could be compared: an earlier version may have told data apart in another way.
 * @throws {UserError} When they differ.
 */
export function compareLearntFrom(folder: string, saved: LearntFrom, now: LearntFrom): boolean {
  for (const [field, fingerprint] of Object.entries(now.models ?? {})) {
    const before = saved.models?.[field];
    if (before === undefined || !areComparable(before, fingerprint) || before === fingerprint) continue;
    throw new UserError(
      `${folder} was trained with other files of ${field} (fingerprint ${before}, now ${fingerprint}): give the model that the ` +
        `run was begun with, or start a new run with another --out (models are compared by content: ${
          HASHED_BYTES / 1024
        } KiB of each file)`,
    );
  }
  if (!areComparable(saved.fingerprint, now.fingerprint)) return false;
  if (saved.fingerprint === now.fingerprint) return true;
  throw new UserError(
    `${folder} was trained on other data (fingerprint ${saved.fingerprint}, now ${now.fingerprint}): ` +
      `give the same data, or start a new run with another --out (data are compared ${FINGERPRINT_RULE})`,
  );
}

/** Whether two fingerprints were made in the same way; where not, they say nothing of each other. */
function areComparable(a: string, b: string): boolean {
  const making = (fingerprint: string) => /^(\d+):/.exec(fingerprint)?.[1];
  return making(a) === making(b);
}
