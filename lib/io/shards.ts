/**
 * Data sets that are cut into numbered files, as the hub has them: `train-00000-of-00003.parquet`, or, where the hub itself has made
 * parquet of them, `train/0000.parquet`. Naming one of the files names the data set, so that no part of it is lost without a word.
 */
import { basename, dirname, join, resolve } from "node:path";
import { UserError } from "../base/user_error.ts";

/** What a numbered file's name says. */
export interface ShardName {
  /** The name that the data set would have as one file: `train.parquet`. */
  set: string;
  /** The file's number, from 0. */
  number: number;
  /** How many files there are; undefined where names do not tell, as in `train/0000.parquet`. */
  count?: number;
}

/** Older tools put a hash, another one in each file's name, before the ending. */
const SHARD = /^(.*)-(\d{5})-of-(\d{5})(?:-[0-9a-f]{8,})?((?:\.\w+)+)$/s;
const IN_FOLDER = /^(|.*[\\/])((?:train|test|validation)[\w.-]*)[\\/](\d{4,5})(\.parquet)$/s;
/** Missing files that a message names. */
const NAMED = 3;

/** Reads the name of a numbered file; undefined where it is not numbered. Folders before it belong to the set's name. */
export function parseShardName(path: string): ShardName | undefined {
  const match = SHARD.exec(path);
  if (!match) {
    const [, folder, split, number, ending] = IN_FOLDER.exec(path) ?? [];
    return number === undefined ? undefined : { set: folder + split + ending, number: Number(number) };
  }
  const number = Number(match[2]), count = Number(match[3]);
  return number < count ? { set: match[1] + match[4], number, count } : undefined;
}

/** A set's numbered files among some names, in order; undefined where one is missing. */
function partsOf({ set, count }: ShardName, names: readonly string[]): (string | undefined)[] {
  const parts: (string | undefined)[] = [];
  for (const name of names) {
    const shard = parseShardName(name);
    if (shard?.set !== set || shard.count !== count) continue;
    if (parts[shard.number] !== undefined) {
      const both = [parts[shard.number]!, name].map((each) => basename(each)).join(" and ");
      throw new UserError(`${both} have the same number: remove the one that is not meant`);
    }
    parts[shard.number] = name;
  }
  return Array.from({ length: count ?? parts.length }, (_, number) => parts[number]);
}

/** Whether of the numbered files among some names none is missing. */
export function areWhole(names: readonly string[]): boolean {
  const sets = new Map(
    names.map(parseShardName).filter((each) => each !== undefined).map((each) => [setKey(each), each]),
  );
  return [...sets.values()].every((each) => partsOf(each, names).every((part) => part !== undefined));
}

/** What the files of one data set have in common, and no other. */
export function setKey({ set, count }: Pick<ShardName, "set" | "count">): string {
  return `${set} in ${count ?? "a folder"}`;
}

/**
 * All files of the data set that a path names a part of, in order; the path alone where it is not numbered.
 *
 * @throws {UserError} When one is missing, naming it, or two have the same number.
 */
export async function shardsOf(path: string): Promise<string[]> {
  const shard = parseShardName(resolve(path)), folder = dirname(path);
  if (shard === undefined) return [path];
  let names: string[];
  try {
    names = (await Array.fromAsync(Deno.readDir(folder))).filter((entry) => !entry.isDirectory).map(({ name }) => name);
  } catch {
    return [path]; // whoever opens it says why it cannot be read
  }
  const parts = partsOf(shard, names.map((name) => join(dirname(resolve(path)), name)));
  const missing = parts.flatMap((part, number) => part === undefined ? [fileName(shard, number)] : []);
  if (missing.length > 0) {
    const more = missing.length > NAMED ? ` and ${missing.length - NAMED} more` : "";
    throw new UserError(
      `${path} is one of the ${parts.length} files of a data set, of which ${folder} lacks ` +
        `${missing.slice(0, NAMED).join(", ")}${more}: fetch what is missing, or rename the file to read it alone`,
    );
  }
  // A path that is not there is its opener's to name.
  return parts.length === 0 ? [path] : parts.map((part) => join(folder, basename(part!)));
}

function fileName({ set, count }: ShardName, number: number): string {
  const digits = (value: number, length: number) => String(value).padStart(length, "0"), name = basename(set);
  if (count === undefined) return `${digits(number, 4)}${name.slice(name.lastIndexOf("."))}`;
  const stem = name.indexOf(".");
  return `${name.slice(0, stem)}-${digits(number, 5)}-of-${digits(count, 5)}${name.slice(stem)}`;
}
