/**
 * One labeller's work: which item comes next, what was answered, what was taken back; every answer is on the disk before the next
 * item is shown. Whoever comes back goes on where they stopped. The server around it is `server.ts`.
 */
import { STREAM } from "../../base/streams.ts";
import { cannotWrite } from "../../base/disk_error.ts";
import { isNameOf } from "../../io/plain_file.ts";
import { UserError } from "../../base/user_error.ts";
import { type LabelItem, type LabelItems, readLabelItems } from "./items.ts";
import { labelLine, labelProblems, readLabels } from "./labels.ts";
import { openFrame } from "./frame.ts";
import { Philox } from "../../tensor/random.ts";

/** What is labelled, by whom. */
export interface LabelSessionOptions {
  /** A folder with an `items.jsonl`, or such a file. */
  frames: string;
  labeller: string;
  /** The file of labels; made, or appended to. */
  out: string;
  /** Of the order of the items. */
  seed: number;
}

/** What the page shows. It names no id: even that might say where an item comes from. */
export interface LabelTask {
  /** Position of the item in this labeller's order; null when all are answered. */
  position: number | null;
  instruction: string | null;
  /** Items answered. */
  done: number;
  /** All items. */
  total: number;
  /** Items that were skipped, to come again. */
  skipped: number;
  /** Whether there is an answer of this sitting to take back. */
  canUndo: boolean;
}

/** See the file's head. */
export class LabelSession implements Disposable {
  /** Answers of this labeller that were there before, and what is odd about the file, for the person who starts it. */
  readonly notes: readonly string[];
  readonly #items: readonly LabelItem[];
  readonly #folder: string;
  readonly #options: LabelSessionOptions;
  readonly #file: Deno.FsFile;
  /** Positions that have an answer. */
  readonly #answered: Set<number>;
  /** Positions that wait, the next one first. */
  #queue: number[];
  readonly #skipped = new Set<number>();
  /** What was done in this sitting, the latest last. */
  readonly #history: { position: number; answered: boolean }[] = [];
  /** Where the answers are whose file was deleted. */
  #rescued?: Promise<string>;

  private constructor(
    options: LabelSessionOptions,
    { items, folder }: LabelItems,
    answered: ReadonlySet<string>,
    file: Deno.FsFile,
    notes: string[],
  ) {
    this.#options = options;
    this.#folder = folder;
    this.#file = file;
    this.notes = notes;
    const order = new Philox(options.seed, STREAM.labelOrder).permutation(items.length);
    this.#items = Array.from(order, (index) => items[index]);
    this.#answered = new Set(this.#items.flatMap(({ id }, position) => answered.has(id) ? [position] : []));
    this.#queue = this.#items.flatMap((_, position) => this.#answered.has(position) ? [] : [position]);
  }

  /**
   * Reads items and what was answered before.
   *
   * @throws {UserError} When a file is not what it should be, or the labels cannot be written.
   */
  static async open(options: LabelSessionOptions): Promise<LabelSession> {
    const { labeller, out } = options;
    if (labeller.trim() === "" || /\p{Cc}/u.test(labeller)) {
      throw new UserError(`--labeller must be a name, in one line: received ${JSON.stringify(labeller)}`);
    }
    const items = await readLabelItems(options.frames);
    let file: Deno.FsFile;
    try {
      file = await Deno.open(out, { append: true, read: true, create: true });
    } catch (error) {
      throw new UserError(`cannot write to --out ${out}: ${(error as Error).message}`);
    }
    try {
      const ids = items.items.map(({ id }) => id);
      const reading = await whileLocked(file, async () => {
        const read = await readLabels(out, ids);
        await endLastLine(out, file, read.cutOff);
        return read;
      });
      const answered = new Set(reading.labels.filter((label) => label.labeller === labeller).map(({ id }) => id));
      const notes = answered.size > 0
        ? [`${labeller} has answered ${answered.size} of ${ids.length} before: going on`]
        : [];
      // What is not answered yet is what this is for.
      notes.push(...labelProblems({ ...reading, missing: new Map() }).filter((line) => line !== "there is no answer"));
      return new LabelSession(options, items, answered, file, notes);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** What to show now. */
  get task(): LabelTask {
    const position = this.#queue[0] ?? null;
    return {
      position,
      instruction: position === null ? null : this.#items[position].instruction,
      done: this.#answered.size,
      total: this.#items.length,
      skipped: this.#skipped.size,
      canUndo: this.#history.length > 0,
    };
  }

  /** An item's picture. @throws {RangeError} When there is no such item. @throws {UserError} When it cannot be shown. */
  async frame(position: number): Promise<Uint8Array<ArrayBuffer>> {
    this.#check(position);
    using file = await openFrame(this.#folder, this.#items[position].frame);
    const bytes = new Uint8Array(file.size);
    await file.readInto(0, bytes);
    return bytes;
  }

  /**
   * Answers the item that is shown, or puts it at the end.
   *
   * @param position Of the item that the answer is meant for: an answer that was sent twice does not count for the next item.
   * @param success Null skips.
   * @throws {RangeError} When another item is shown.
   * @throws {UserError} When the answer cannot be written; the item stays where it is.
   */
  async answer(position: number, success: boolean | null): Promise<void> {
    this.#check(position);
    if (this.#queue[0] !== position) throw new RangeError("this item is not the one that is shown: reload the page");
    if (success === null) {
      this.#skipped.add(position);
      this.#queue = [...this.#queue.slice(1), position];
    } else {
      await this.#append(position, success);
      this.#answered.add(position);
      this.#skipped.delete(position);
      this.#queue = this.#queue.slice(1);
    }
    this.#history.push({ position, answered: success !== null });
  }

  /** Takes the last answer (or skip) of this sitting back: its item is shown again. @throws As {@linkcode answer}. */
  async undo(): Promise<void> {
    const last = this.#history.at(-1);
    if (!last) throw new RangeError("there is nothing to take back in this sitting");
    if (last.answered) await this.#append(last.position, null);
    this.#history.pop();
    this.#answered.delete(last.position);
    this.#skipped.delete(last.position);
    this.#queue = [last.position, ...this.#queue.filter((each) => each !== last.position)];
  }

  /** Closes the file of labels. */
  [Symbol.dispose](): void {
    this.#file.close();
  }

  /** Sees that the file of labels is still the one at its path. @throws {UserError} When it is not: says where the answers are. */
  async checkFile(): Promise<void> {
    const { out } = this.#options;
    if (isNameOf(out, this.#file)) return;
    if ((await this.#file.stat()).nlink !== 0) {
      throw new UserError(`${out} has been moved, and your answers with it: move it back before you answer`);
    }
    this.#rescued ??= this.#rescue();
    throw new UserError(
      `${out} has been deleted or replaced, and nothing more is saved. ${await this.#rescued}`,
    );
  }

  async #append(position: number, success: boolean | null): Promise<void> {
    const { id } = this.#items[position], { labeller, out } = this.#options, file = this.#file;
    const line = labelLine({ id, success, labeller, at: new Date().toISOString() });
    await whileLocked(file, async () => {
      await this.checkFile();
      const { size } = await file.stat();
      try {
        await write(file, line);
      } catch (error) {
        await file.truncate(size);
        const reason = cannotWrite(out, error);
        throw reason instanceof UserError
          ? new UserError(`${reason.message}. The answer does not count: mend that, then answer again`)
          : reason;
      }
    });
  }

  /** Writes what is in the file that has no name any more into one that has, and says so. */
  async #rescue(): Promise<string> {
    const { out } = this.#options, path = `${out}.rescued-${Date.now()}`;
    try {
      const bytes = new Uint8Array((await this.#file.stat()).size);
      await this.#file.seek(0, Deno.SeekMode.Start);
      for (let done = 0; done < bytes.length;) done += await this.#file.read(bytes.subarray(done)) ?? bytes.length;
      await Deno.writeFile(path, bytes, { createNew: true });
      return `Your answers so far are in ${path}: rename it to ${out}, and start again`;
    } catch (error) {
      return `Your answers so far cannot be kept (${(error as Error).message}): start again`;
    }
  }

  #check(position: number): void {
    if (!Number.isInteger(position) || position < 0 || position >= this.#items.length) {
      throw new RangeError(`an item's position must be in 0..${this.#items.length - 1}: received ${position}`);
    }
  }
}

/** Several labellers may have one file open: a line is written whole, or not at all. */
async function whileLocked<T>(file: Deno.FsFile, work: () => Promise<T>): Promise<T> {
  await file.lock(true);
  try {
    return await work();
  } finally {
    await file.unlock();
  }
}

/** Returns when the text is on the disk. */
async function write(file: Deno.FsFile, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
  await file.sync();
}

/** Removes half a last line, and gives a whole one its end: the next would be written onto it. */
async function endLastLine(path: string, file: Deno.FsFile, cutOff: boolean): Promise<void> {
  const bytes = await Deno.readFile(path), end = bytes.lastIndexOf(0x0a) + 1;
  if (end === bytes.length) return;
  if (cutOff) await file.truncate(end);
  else await write(file, "\n");
}
