/**
 * One labeller's work: which item comes next, what was answered, what was taken back; every answer is on the disk before the next
 * item is shown. Whoever comes back goes on where they stopped. The server around it is `label_server.ts`.
 */
import { UserError } from "../files/user_error.ts";
import { type LabelItem, type LabelItems, readLabelItems } from "../experiments/blind_label_items.ts";
import { labelLine, labelProblems, readLabels } from "../experiments/blind_labels.ts";
import { Philox } from "../tensor/random.ts";

/** What is labelled, by whom. */
export interface LabelSessionOptions {
  /** A folder with an `items.jsonl`, or such a file. */
  frames: string;
  /** Who answers. */
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
  /** The task's text. */
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

/** The second number of the stream that orders a labeller's items ("ordr" in ASCII). */
const ORDER_STREAM = 0x6f726472;

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
    const order = new Philox(options.seed, ORDER_STREAM).permutation(items.length);
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
    if (labeller.trim() === "") throw new UserError("--labeller must be a name: received none");
    const items = await readLabelItems(options.frames);
    const ids = items.items.map(({ id }) => id);
    const isThere = (await Deno.stat(out).catch(() => undefined)) !== undefined;
    const notes: string[] = [];
    let answered = new Set<string>();
    if (isThere) {
      const reading = await readLabels(out, ids);
      answered = new Set(reading.labels.filter((label) => label.labeller === labeller).map(({ id }) => id));
      if (answered.size > 0) notes.push(`${labeller} has answered ${answered.size} of ${ids.length} before: going on`);
      // What is not answered yet is what this is for.
      notes.push(...labelProblems({ ...reading, missing: new Map() }).filter((line) => line !== "there is no answer"));
      if (reading.cutOff) await cutLastLine(out);
    }
    try {
      const file = await Deno.open(out, { append: true, create: true });
      return new LabelSession(options, items, answered, file, notes);
    } catch (error) {
      throw new UserError(`cannot write to --out ${out}: ${(error as Error).message}`);
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

  /** The path of an item's picture. @throws {RangeError} When there is no such item. */
  framePath(position: number): string {
    this.#check(position);
    return `${this.#folder}/${this.#items[position].frame}`;
  }

  /**
   * Answers the item that is shown, or puts it at the end.
   *
   * @param position Of the item that the answer is meant for: an answer that was sent twice does not count for the next item.
   * @param success Null skips.
   * @throws {RangeError} When another item is shown.
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

  /** Takes the last answer (or skip) of this sitting back: its item is shown again. @throws {RangeError} When there is none. */
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

  async #append(position: number, success: boolean | null): Promise<void> {
    const { id } = this.#items[position], { labeller } = this.#options;
    const line = new TextEncoder().encode(labelLine({ id, success, labeller, at: new Date().toISOString() }));
    // Several labellers may have one file open: a line is written whole, or not at all.
    await this.#file.lock(true);
    try {
      for (let done = 0; done < line.length;) done += await this.#file.write(line.subarray(done));
      await this.#file.sync();
    } finally {
      await this.#file.unlock();
    }
  }

  #check(position: number): void {
    if (!Number.isInteger(position) || position < 0 || position >= this.#items.length) {
      throw new RangeError(`an item's position must be in 0..${this.#items.length - 1}: received ${position}`);
    }
  }
}

/** Removes what stands after the last line break: half a line would spoil the next one. */
async function cutLastLine(path: string): Promise<void> {
  const bytes = await Deno.readFile(path);
  await Deno.truncate(path, bytes.lastIndexOf(0x0a) + 1);
}
