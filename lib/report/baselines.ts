/**
 * A reinforced model against what can be had of likelihood models for nothing: the table, and the sentence that says whether it is
 * better.
 *
 * A way to predict is a model and how it is asked: as it is drawn, at another temperature, the nearest of N answers to the others.
 * The first way is the reinforced model's, fixed beforehand; every other one is compared with it item by item. The strongest
 * baseline is the one of the best mean on the reported items themselves, which is in the baselines' favour.
 */
import { formatNumber } from "./html.ts";
import type { ReportTable } from "./html_report.ts";
import { type IntervalOptions, meanInterval, pairedDifference } from "./intervals.ts";
import type { Better, Interval } from "./result.ts";
import { verdict } from "./result.ts";

/** A way to predict, with its metric of every item. */
export interface PredictionWay {
  /** Which model, and how it is asked: `control, nearest of 16`. */
  name: string;
  /** `rlvr`: the reinforced model; `baseline`: what it must beat; `limit`: what there is to be gained. */
  kind: "rlvr" | "baseline" | "limit";
  /** One number an item. */
  values: Float64Array;
}

/** A way with its intervals. */
export interface ComparedWay extends Omit<PredictionWay, "values"> {
  /** Its metric. */
  value: Interval;
  /** The first way minus this, item by item; absent of the first way, and where items are of one group only. */
  difference?: Interval;
}

/** The comparison, as it stands in `result.json`. */
export interface BaselineComparison {
  /** The metric. */
  metric: string;
  /** Which way it improves. */
  better: Better;
  /** Every way, the reinforced model's first. */
  rows: ComparedWay[];
  /** Name of the strongest baseline. */
  strongest: string;
  /**
   * The share that the first way takes of the way from the base's mean answer to the median of its answers; absent where there is
   * no median, or it is no better than the mean.
   */
  attained?: number;
}

/** What is compared, and by what. */
export interface ComparisonRequest extends Pick<IntervalOptions, "seed" | "groups"> {
  /** Name of the metric. */
  metric: string;
  /** Which way it improves. */
  better: Better;
  /** The reinforced model's way, then all others; at least one baseline. */
  ways: readonly PredictionWay[];
  /** From where to where there is something to be attained. */
  attainable?: { from: Float64Array; to: Float64Array };
}

/** Compares the first way with every other. Pure but for the bootstrap's seeded draws. */
export function compareWithBaselines(
  { metric, better, ways, attainable, seed, groups }: ComparisonRequest,
): BaselineComparison {
  const [first] = ways, options = { seed, groups };
  const isOneGroup = groups !== undefined && new Set(groups).size < 2;
  const rows = ways.map((way): ComparedWay => ({
    name: way.name,
    kind: way.kind,
    value: meanInterval(way.values, options),
    ...isOneGroup || way === first ? {} : { difference: pairedDifference(way.values, first.values, options) },
  }));
  const sign = better === "lower" ? 1 : -1;
  const strongest = rows.filter(({ kind }) => kind === "baseline")
    .reduce((best, row) => sign * row.value.mean < sign * best.value.mean ? row : best);
  const gain = attainable && sign * (meanOf(attainable.from) - meanOf(attainable.to));
  return {
    metric,
    better,
    rows,
    strongest: strongest.name,
    ...gain && gain > 0 ? { attained: sign * (meanOf(attainable.from) - meanOf(first.values)) / gain } : {},
  };
}

/** Whether the reinforced model is better than everything that costs nothing: one sentence or two. */
export function baselineSentence({ rows, strongest, better, metric, attained }: BaselineComparison): string {
  const [{ value: rlvr }] = rows, { value: base, difference } = rows.find(({ name }) => name === strongest)!;
  const judged = verdict({ better, base, rlvr, difference });
  const said = judged === "unclear" ? "cannot be told from" : `is ${judged} than`;
  const range = difference
    ? ` (difference ${formatNumber(difference.mean)} [${formatNumber(difference.low)}, ${
      formatNumber(difference.high)
    }])`
    : "";
  const share = attained === undefined
    ? ""
    : ` It takes ${
      formatNumber(100 * attained, 2)
    } % of the way from the base's mean answer to the median of its answers.`;
  return `Against the strongest cheap baseline (${strongest}: ${metric} ${formatNumber(base.mean)}) RLVR ${said} it` +
    `${range}.${share}`;
}

/** The comparison as a table of a report. @param caption What the ways are, beyond what is the same of all comparisons. */
export function baselineTable(comparison: BaselineComparison, caption: string): ReportTable {
  const { rows, strongest, better, metric } = comparison, [first] = rows;
  const show = (interval: Interval | undefined) =>
    interval ? `${formatNumber(interval.mean)} [${formatNumber(interval.low)}, ${formatNumber(interval.high)}]` : "";
  return {
    title: `Against what costs nothing: ${metric}`,
    columns: ["Way to predict", `${metric} ${better === "lower" ? "↓" : "↑"}`, `${first.name}, minus this`],
    rows: rows.map(({ name, kind, value, difference }) => [
      name === strongest ? `${name} (strongest baseline)` : kind === "limit" ? `${name} (limit)` : name,
      show(value),
      show(difference),
    ]),
    caption: `Mean and 95 % interval over held-out items, differences item by item. ${caption}`,
  };
}

function meanOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
