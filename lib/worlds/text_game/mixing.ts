/**
 * Which rows GRPO sees: every gold row once an epoch, and among them a number of rows in which nothing changes, drawn anew
 * at each access.
 *
 * More unchanged rows raise the accuracy on unchanged transitions and lower that on changed ones; with none, a model forgets
 * that most actions do nothing.
 *
 * Source: RLVR-World App. A.1 and its `rl_dataset_text_game.py`.
 */
import { Philox } from "../../tensor/random.ts";

/** What a mixture is made of. */
export interface GoldMixtureOptions<Row> {
  /** Rows whose objects change; see `isGold`. */
  gold: readonly Row[];
  /** The rows to draw from. */
  others: readonly Row[];
  /** How many of them an epoch has. */
  drawn: number;
  /** Name of the random stream: the run's seed and what it is for. */
  stream: readonly number[];
}

export class GoldMixture<Row> {
  /** Rows an epoch has: gold ones and drawn ones. */
  readonly length: number;
  readonly #options: GoldMixtureOptions<Row>;

  /**
   * Keeps references to the rows.
   *
   * @throws {RangeError} When `drawn` is not a count, there is nothing to draw from, or no row at all.
   */
  constructor(options: GoldMixtureOptions<Row>) {
    const { gold, others, drawn } = options;
    if (!Number.isSafeInteger(drawn) || drawn < 0) {
      throw new RangeError(`drawn must be a number of rows, 0 or more: received ${drawn}`);
    }
    if (drawn > 0 && others.length === 0) throw new RangeError(`drawn is ${drawn}, but there is no row to draw from`);
    if (gold.length + drawn === 0) throw new RangeError("a mixture needs at least one row: received none");
    this.#options = options;
    this.length = gold.length + drawn;
  }

  /**
   * The row at a place of an epoch: the gold ones in order, then drawn ones. The same epoch and place give the same row.
   *
   * @throws {RangeError} When the place is outside [0, length).
   */
  at(index: number, epoch: number): Row {
    if (!Number.isSafeInteger(index) || index < 0 || index >= this.length) {
      throw new RangeError(`a mixture's index must be in [0, ${this.length}): received ${index}`);
    }
    const { gold, others, stream } = this.#options;
    if (index < gold.length) return gold[index];
    return others[new Philox(...stream, epoch, index).integer(0, others.length)];
  }

  /** A whole epoch in random order. */
  epoch(epoch: number): Row[] {
    const order = new Philox(...this.#options.stream, epoch).permutation(this.length);
    return Array.from(order, (index) => this.at(index, epoch));
  }
}
