/**
 * The headline numbers of a run, as they stand in its `result.json`. Types only: tasks fill them, the report shows them.
 */

/** A mean with the ends of its confidence interval, over `n` held-out items. */
export interface Interval {
  /** Mean over the items. */
  mean: number;
  /** Lower end of the interval. */
  low: number;
  /** Upper end of the interval. */
  high: number;
  /** How many held-out items it is over. */
  n: number;
}

/** Which way a metric improves. */
export type Better = "lower" | "higher";

/** One metric of the model after likelihood training alone (base) and after reinforcement learning (rlvr). */
export interface MetricResult {
  /** Which way the metric improves. */
  better: Better;
  /** After likelihood training alone. */
  base: Interval;
  /** After reinforcement learning. */
  rlvr: Interval;
  /** rlvr − base, item by item; see `pairedDifference`. */
  difference?: Interval;
  /** What is printed after the number: "dB", "%". */
  unit?: string;
}

/**
 * The content of `result.json`.
 *
 * @internal
 */
export interface RunResult {
  /** The command: "train-video". */
  task: string;
  /** Preset of the configuration. */
  preset: string;
  /** Tensor engine: "torch" or "tfjs". */
  engine: string;
  /** What it ran on: "cpu", "cuda:0". */
  device: string;
  /** The run's seed. */
  seed: number;
  /** Held-out metrics by name; the first is the one in the headline. */
  metrics: Record<string, MetricResult>;
  /** Wall-clock seconds a stage. */
  seconds: Record<string, number>;
  /** Peak resident memory of the process. */
  peakMemoryBytes: number;
}

/**
 * How much better RLVR is than the base, as a share of the base's value: +0.1 is 10 % better, whichever way the metric
 * points. NaN where the base is 0.
 */
export function relativeImprovement(metric: MetricResult): number {
  const gain = metric.better === "lower" ? metric.base.mean - metric.rlvr.mean : metric.rlvr.mean - metric.base.mean;
  return metric.base.mean === 0 ? NaN : gain / Math.abs(metric.base.mean);
}

/**
 * What the interval of the difference says: `better` or `worse` where it excludes 0, `unclear` where it does not or is not
 * known. One item has no spread to judge by and is always unclear.
 */
export function verdict(metric: MetricResult): "better" | "worse" | "unclear" {
  const difference = metric.difference;
  if (!difference || difference.n < 2 || !(difference.low > 0 || difference.high < 0)) return "unclear";
  return (difference.high < 0) === (metric.better === "lower") ? "better" : "worse";
}
