/**
 * The log of a stage while it is trained: both its ends, from which one sees whether it is training at all, and the number that
 * says how good its weights are. A stage that is resumed gets it from the log's file, so that it sees what it would have seen.
 *
 * Rules of divergence are functions of it. They are for what is finite and cannot be training all the same, not for training that
 * is poor: their bounds lie far from what any run has that learns something.
 */
import { type MetricEntry, metricNumber } from "./metric_log.ts";

/** Entries that are kept of each end of a log, and batches over which a noisy number is averaged. */
export const HISTORY_WINDOW = 20;

/**
 * A logged number by which checkpoints are compared.
 *
 * @internal
 */
export interface WatchedMetric {
  /** Name of the number in the log. */
  name: string;
  /** Whether less is better, or more. */
  better: "lower" | "higher";
  /**
   * Whether it is measured after a step, on items held out, and so of the weights that the step ended with. Else it is of the step's
   * own batch: noisy, and averaged over {@linkcode HISTORY_WINDOW} steps.
   */
  heldOut: boolean;
  /** Its value in a step's log, undefined where the step has none. */
  of(metrics: Record<string, unknown>): number | undefined;
}

/** Watches a number of every step's own batch. */
export function watchBatches(name: string, better: "lower" | "higher"): WatchedMetric {
  return { name, better, heldOut: false, of: (metrics) => metricNumber(metrics[name]) };
}

/** Why a stage is no training any more. */
export interface Divergence {
  /** Which number, as `TrainingDivergedError` takes it. */
  what: string;
  /** The number that is too bad. */
  value: number;
  /** The first step at which it was seen. */
  since: number;
}

/** The first and the newest log entries of a stage. */
export class StageHistory {
  /** The first entries of the log, at most {@linkcode HISTORY_WINDOW}. */
  readonly first: MetricEntry[] = [];
  /** The newest ones, in order; as many. */
  readonly last: MetricEntry[] = [];

  /** Empty. @param metric What {@linkcode StageHistory.watched} is of. */
  constructor(readonly metric?: WatchedMetric) {}

  /** Takes the next entry in. */
  add(entry: MetricEntry): void {
    if (this.first.length < HISTORY_WINDOW) this.first.push(entry);
    this.last.push(entry);
    if (this.last.length > HISTORY_WINDOW) this.last.shift();
  }

  /** The watched metric: of the newest step, or averaged; undefined where that has none, or where there are too few yet. */
  get watched(): number | undefined {
    const { metric, last } = this;
    if (metric === undefined || last.length === 0) return undefined;
    if (metric.heldOut) return metric.of(last.at(-1)!);
    const values = last.map((entry) => metric.of(entry)).filter((value) => value !== undefined);
    if (last.length < HISTORY_WINDOW || values.length === 0) return undefined;
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  }

  /**
   * The newest values of a number, if there are `count` and all pass; those of entries that have none are left out.
   *
   * @returns the last value and the step of the first, undefined otherwise.
   */
  inARow(
    name: string,
    count: number,
    isBad: (value: number) => boolean,
  ): Pick<Divergence, "value" | "since"> | undefined {
    const tail = this.last.flatMap((entry) => {
      const value = metricNumber(entry[name]);
      return value === undefined ? [] : [{ value, since: entry.step }];
    }).slice(-count);
    if (tail.length < count || !tail.every(({ value }) => isBad(value))) return undefined;
    return { value: tail[count - 1].value, since: tail[0].since };
  }
}

/**
 * Likelihood: for 20 steps a loss that is half as large again as that of the untrained model, and a nat a token above it. Warm-up
 * and single bad batches do not last so long.
 */
export function likelihoodDivergence(history: StageHistory): Divergence | undefined {
  const start = metricNumber(history.first[0]?.loss);
  if (start === undefined) return undefined;
  const divergence = history.inARow("loss", HISTORY_WINDOW, (loss) => loss > Math.max(1.5 * start, start + 1));
  return divergence && { what: `the likelihood loss, ${start.toPrecision(4)} in the beginning,`, ...divergence };
}

/** Updates of a tokenizer in a row that must have failed. */
const FAILED_UPDATES = 10;

/**
 * Tokenizers: for 10 updates images that are further from the true ones, on average, than black is from white. Any image at all
 * would be nearer.
 */
export function tokenizerDivergence(history: StageHistory): Divergence | undefined {
  const divergence = history.inARow("absoluteError", FAILED_UPDATES, (error) => error > 1);
  return divergence && { what: "the mean error of pixels, of which the largest possible is 1,", ...divergence };
}
