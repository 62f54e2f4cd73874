/**
 * What people are asked to judge blindly: final frames with the task's text, and the key that says where each comes from.
 *
 * The items (`items.jsonl`: `{id, instruction, frame}`, beside `frames/*.png`) are all that a labeller's page sees. The key
 * (`{id, model, policy, task, start}` a line) is kept elsewhere. The answers are in `labels.ts`, the page in `page.html`.
 *
 * Source: RLVR-World §6.4 (one annotator, blind: final frame and task only).
 */
import { STREAM } from "../../base/streams.ts";
import { dirname, isAbsolute, join, normalize, relative, resolve } from "node:path";
import { writeFileAtomic } from "../../io/atomic.ts";
import { readTextFile } from "../../io/plain_file.ts";
import { cannotRead } from "../../io/random_access.ts";
import { UserError } from "../../base/user_error.ts";
import { encodePng } from "../../report/png.ts";
import { Philox } from "../../tensor/random.ts";
import { openFrame } from "./frame.ts";

/** What a labeller judges. */
export interface LabelItem {
  /** Says nothing of where the item comes from. */
  id: string;
  instruction: string;
  /** A PNG, relative to the items' file. */
  frame: string;
}

/** Where an item comes from. */
export interface LabelKey {
  id: string;
  /** Who predicted the frame: `base`, `rlvr`, `truth`, … */
  model: string;
  /** Whose actions led to it. */
  policy: string;
  /** Name of the task; policies are compared within one. */
  task: string;
  /** Number of the start frame. */
  start: number;
}

/** A final frame to be labelled, with where it comes from. */
export interface LabelCandidate extends Omit<LabelKey, "id"> {
  instruction: string;
  /** RGB bytes, [H, W, 3]. */
  pixels: Uint8Array;
  /** H, in pixels. */
  height: number;
  /** W, in pixels. */
  width: number;
}

/** The items' file in its folder. */
const ITEMS_FILE = "items.jsonl";

/**
 * Writes a folder of items for the labelling page, and the key beside it but not in it. Ids and order are drawn from the seed,
 * so that neither says which model or policy an item is of.
 *
 * @param folder Gets `items.jsonl` and `frames/`; made where it is missing.
 * @param keyPath The key's file; outside `folder`, or the labeller has it at hand.
 * @throws {UserError} When the key would lie in the items' folder.
 */
export async function writeLabelItems(
  folder: string,
  keyPath: string,
  candidates: readonly LabelCandidate[],
  seed: number,
): Promise<void> {
  if (!relative(resolve(folder), resolve(keyPath)).startsWith("..")) {
    throw new UserError(
      `${keyPath} lies in ${folder}, where the labeller sees it: write the key to another folder`,
    );
  }
  await Deno.mkdir(join(folder, "frames"), { recursive: true });
  const order = new Philox(seed, STREAM.labelItems).permutation(candidates.length);
  const digits = String(candidates.length).length;
  const items: LabelItem[] = [], keys: LabelKey[] = [];
  for (let position = 0; position < order.length; position++) {
    const { instruction, pixels, height, width, model, policy, task, start } = candidates[order[position]];
    const id = `item-${String(position + 1).padStart(digits, "0")}`;
    const frame = `frames/${id}.png`;
    await writeFileAtomic(join(folder, frame), encodePng(pixels, height, width));
    items.push({ id, instruction, frame });
    keys.push({ id, model, policy, task, start });
  }
  await writeFileAtomic(join(folder, ITEMS_FILE), jsonLines(items));
  await writeFileAtomic(keyPath, jsonLines(keys));
}

/** Items and where their frames are. */
export interface LabelItems {
  /** In the file's order. */
  items: LabelItem[];
  /** The folder that `frame` is relative to. */
  folder: string;
}

/**
 * Reads items.
 *
 * @param path The file, or a folder with an `items.jsonl`.
 * @throws {UserError} When there is none, a line is not an item, an id comes twice, or a frame is
 *   missing, elsewhere or no PNG.
 */
export async function readLabelItems(path: string): Promise<LabelItems> {
  const isFolder = (await Deno.stat(path).catch(() => undefined))?.isDirectory ?? false;
  const file = isFolder ? join(path, ITEMS_FILE) : path;
  const folder = dirname(file);
  const items: LabelItem[] = [], seen = new Set<string>();
  for (const { where, value } of (await readLines(file)).lines) {
    const item = {
      id: nameField(where, value, "id"),
      instruction: textField(where, value, "instruction"),
      frame: nameField(where, value, "frame"),
    };
    if (seen.has(item.id)) {
      throw new UserError(`${where}: the id "${item.id}" was there before: give every item its own`);
    }
    seen.add(item.id);
    if (isAbsolute(item.frame) || normalize(item.frame).startsWith("..")) {
      throw new UserError(`${where}: the frame "${item.frame}" must lie in ${folder}, below the items' file`);
    }
    try {
      (await openFrame(folder, item.frame)).close();
    } catch (error) {
      throw error instanceof UserError ? new UserError(`${where}: ${error.message}`) : error;
    }
    items.push(item);
  }
  if (items.length === 0) {
    throw new UserError(`${file} has no items: write a line {"id", "instruction", "frame"} for each`);
  }
  return { items, folder };
}

/** Reads a key. @throws {UserError} When a line is not one, or an id comes twice. */
export async function readLabelKey(path: string): Promise<Map<string, LabelKey>> {
  const keys = new Map<string, LabelKey>();
  for (const { where, value } of (await readLines(path)).lines) {
    const id = nameField(where, value, "id");
    if (keys.has(id)) throw new UserError(`${where}: the id "${id}" was there before: a key has one line an item`);
    const { start } = value;
    if (!Number.isInteger(start)) {
      throw new UserError(`${where}: start must be a whole number: received ${JSON.stringify(start)}`);
    }
    const named = {
      model: nameField(where, value, "model"),
      policy: nameField(where, value, "policy"),
      task: nameField(where, value, "task"),
    };
    keys.set(id, { id, ...named, start: start as number });
  }
  return keys;
}

function jsonLines(values: readonly object[]): string {
  return values.map((value) => JSON.stringify(value) + "\n").join("");
}

/** Bytes of a file of items, keys or labels at most, and characters of a line: a line has a few hundred. */
const MOST_BYTES = 2 ** 26, LONGEST_LINE = 2 ** 16;

/** One line of a JSONL file. */
export interface Line {
  /** File and line number, for messages. */
  where: string;
  /** Its object. */
  value: Record<string, unknown>;
}

/**
 * Objects of a JSONL file; a last line without its end that does not parse is only reported.
 *
 * @throws {UserError} When the file cannot be read or has more than 64 MiB, or another line is no object or endless.
 */
export async function readLines(path: string): Promise<{ lines: Line[]; cutOff: boolean }> {
  let content: string;
  try {
    content = await readTextFile(path, MOST_BYTES);
  } catch (error) {
    throw cannotRead(path, error);
  }
  const rows = content.split("\n"), lines: Line[] = [];
  for (const [i, row] of rows.entries()) {
    if (row.trim() === "") continue;
    const where = `${path}, line ${i + 1}`;
    if (row.length > LONGEST_LINE) {
      throw new UserError(`${where} has ${row.length} characters, more than the ${LONGEST_LINE} that are read`);
    }
    let value: unknown;
    try {
      value = JSON.parse(row);
    } catch {
      if (i === rows.length - 1) return { lines, cutOff: true };
      throw new UserError(`${where} is not JSON: ${JSON.stringify(row.slice(0, 60))}`);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new UserError(`${where} must hold an object: received ${row.slice(0, 60)}`);
    }
    lines.push({ where, value: value as Record<string, unknown> });
  }
  return { lines, cutOff: false };
}

/** A field that must be a text. @throws {UserError} When it is none, or empty. */
export function textField(where: string, value: Record<string, unknown>, field: string): string {
  const found = Object.hasOwn(value, field) ? value[field] : undefined;
  if (typeof found === "string" && found.trim() !== "") return found;
  throw new UserError(`${where}: ${field} must be a text: received ${JSON.stringify(found) ?? "nothing"}`);
}

/** A text of one line, which a terminal may be shown. @throws {UserError} When it is none. */
export function nameField(where: string, value: Record<string, unknown>, field: string): string {
  const name = textField(where, value, field);
  if (!/\p{Cc}/u.test(name)) return name;
  throw new UserError(
    `${where}: ${field} must be one line without control characters: received ${JSON.stringify(name)}`,
  );
}
