/**
 * What a finished web-page run says: `result.json` with intervals over held-out transitions, and `report.html`.
 *
 * Transitions of one shop (or task) share pages, so intervals draw them together. Beside every model stands what always answering
 * "nothing changes" would earn.
 */
import {
  type BaselineComparison,
  baselineSentence,
  baselineTable,
  compareWithBaselines,
} from "../../report/baselines.ts";
import type { ReportTable } from "../../report/html_report.ts";
import { meanInterval, pairedDifference } from "../../report/intervals.ts";
import type { Interval, MetricResult, RunResult } from "../../report/result.ts";
import { intervalText, percent } from "../../report/tables.ts";
import { type CurvePanel, grpoPanels, LIKELIHOOD_PANEL } from "../../runs/curves.ts";
import type { Evaluations, RecipeReport } from "../../runs/recipe.ts";
import { parseAction } from "../../worlds/web_page/actions.ts";
import { pageItems } from "../../worlds/web_page/items.ts";
import type { WebPageExample } from "../../worlds/web_page/world.ts";
import {
  unchangedPageBaseline,
  WEB_PAGE_METRICS,
  type WebPageEvaluation,
  type WebPageMetric,
  type WebPageScores,
} from "./evaluation.ts";
import type { WebPageConfig } from "./config.ts";
import { markedAnswer } from "./marks.ts";

/** A metric with every model's interval. */
export interface WebPageMetricResult extends MetricResult {
  /** What one gets who always answers that nothing changes. */
  unchangedBaseline: Interval;
}

/**
 * `result.json` of a web-page run.
 *
 * @internal
 */
export interface WebPageResult extends RunResult {
  /** `f1`, `precision`, `recall` (greedy answers), and `f1Sampled` and so on (of drawn answers, where they were asked for). */
  metrics: Record<string, WebPageMetricResult>;
  /** F1 of RLVR's greedy answers against what can be had for nothing; there where answers were drawn and GRPO has run. */
  baselines?: BaselineComparison;
  /** Share of greedy answers that did not end by themselves, by model. */
  cutAnswers: Record<string, number>;
}

/** What a run was judged with. */
export interface JudgedWebPages {
  /** The configuration, every value filled in. */
  config: WebPageConfig;
  /** Held-out transitions that were evaluated. */
  test: readonly WebPageExample[];
}

/** Puts evaluations together; pure but for the bootstrap's seeded draws. */
export function webPageResult(
  { config, test }: JudgedWebPages,
  evaluations: Evaluations<WebPageEvaluation>,
): Pick<WebPageResult, "metrics" | "cutAnswers" | "baselines"> {
  const { likelihood, rlvr } = evaluations;
  const last = rlvr ?? likelihood, baseline = unchangedPageBaseline(test);
  const options = { seed: config.seed, groups: test.map((example) => example.group) };
  const metric = (of: (evaluation: WebPageEvaluation) => Float64Array): WebPageMetricResult => ({
    better: "higher",
    base: meanInterval(of(likelihood), options),
    rlvr: meanInterval(of(last), options),
    ...rlvr ? { difference: pairedDifference(of(likelihood), of(rlvr), options) } : {},
    unchangedBaseline: meanInterval(of(baseline), options),
  });
  const metrics: Record<string, WebPageMetricResult> = {};
  for (const name of WEB_PAGE_METRICS) metrics[name] = metric(({ greedy }) => greedy[name]);
  if (likelihood.sampled) {
    for (const name of WEB_PAGE_METRICS) metrics[sampledName(name)] = metric(({ sampled }) => sampled![name]);
  }
  const cut = ({ ended }: WebPageEvaluation) => ended.filter((isEnded) => !isEnded).length / ended.length;
  const waysOf = (name: string, { greedy, sampled, nearest }: WebPageEvaluation, kind: "rlvr" | "baseline") => [
    { name: `${name}, greedy`, kind, values: greedy.f1 },
    { name: `${name}, as it is drawn`, kind, values: sampled!.f1 },
    ...nearest ? [{ name: `${name}, nearest of ${config.evaluation.sampledAnswers}`, kind, values: nearest.f1 }] : [],
  ];
  const baselines = rlvr?.sampled && likelihood.sampled && compareWithBaselines({
    metric: "F1",
    better: "higher",
    ways: [
      ...waysOf("RLVR", rlvr, "rlvr"),
      ...waysOf("likelihood", likelihood, "baseline"),
      { name: "always “nothing changes”", kind: "baseline", values: baseline.greedy.f1 },
    ],
    ...options,
  });
  return {
    metrics,
    ...baselines ? { baselines } : {},
    cutAnswers: { likelihood: cut(likelihood), ...rlvr ? { rlvr: cut(rlvr) } : {} },
  };
}

/** Name of a metric of sampled answers. */
function sampledName(metric: WebPageMetric): string {
  return `${metric}Sampled`;
}

/** What one says of the run: F1 before and after, of greedy and of sampled answers. */
export function webPageHeadline({ metrics, baselines }: WebPageResult): string {
  const n = metrics.f1.base.n;
  const of = (metric: WebPageMetricResult) => {
    const { base, rlvr, difference } = metric;
    if (!difference) return percent(base.mean);
    const { mean, low, high } = difference, sure = low > 0 || high < 0;
    return `${percent(base.mean)} → ${percent(rlvr.mean)} (${mean > 0 ? "+" : ""}${
      percent(mean)
    } points, 95 % interval ` +
      `${percent(low)} … ${percent(high)}${sure ? "" : ", which includes zero"})`;
  };
  const stages = metrics.f1.difference ? "likelihood → GRPO" : "after likelihood training";
  const sampled = metrics.f1Sampled ? `; of sampled answers ${of(metrics.f1Sampled)}` : "";
  return `Held-out F1 of item changes, ${stages}: ${of(metrics.f1)}${sampled}; ${n} transitions.` +
    (baselines ? ` ${baselineSentence(baselines)}` : "");
}

/** What `report.html` of a run shows. */
export function webPageReport(
  judged: JudgedWebPages,
  result: WebPageResult,
  evaluations: Evaluations<WebPageEvaluation>,
): RecipeReport {
  return {
    title: "Web pages: likelihood, then reinforcement learning on the changes",
    curves: CURVES,
    tables: [
      webPageScoreReport(result),
      ...evaluations.likelihood.sampled ? [webPageScoreReport(result, true)] : [],
      ...result.baselines ? [baselineTable(result.baselines, BASELINE_CAPTION)] : [],
      answerTable(judged, evaluations),
    ],
  };
}

const BASELINE_CAPTION =
  "Transitions of one shop or task are drawn together. Greedy: the most likely answer. Nearest: of so many drawn answers the one that " +
  "agrees most with the others by F1.";

/**
 * The paper's Table 2, for this run, beside what always answering "nothing changes" earns.
 *
 * @param isSampled Of drawn answers instead of greedy ones.
 */
export function webPageScoreReport({ metrics }: WebPageResult, isSampled = false): ReportTable {
  const metricOf = (name: WebPageMetric) => metrics[isSampled ? sampledName(name) : name];
  const names = ["precision", "recall", "f1"] as const;
  const row = (label: string, of: (metric: WebPageMetricResult) => Interval) => [
    label,
    ...names.map((name) => intervalText(of(metricOf(name)))),
  ];
  const { difference } = metrics.f1;
  return {
    title: isSampled ? "Item changes, sampled answers" : "Item changes, greedy answers",
    columns: ["Model", "Precision, %", "Recall, %", "F1, %"],
    rows: [
      row("Always “nothing changes”", (metric) => metric.unchangedBaseline),
      row("Likelihood", (metric) => metric.base),
      ...difference
        ? [row("RLVR", (metric) => metric.rlvr), row("RLVR − likelihood", (metric) => metric.difference!)]
        : [],
    ],
    caption:
      `Means of per-transition values over ${metrics.f1.base.n} held-out transitions, 95 % intervals; transitions of one shop ` +
      `or task are drawn together. ${
        isSampled ? "Drawn answers: the expectation that GRPO raises." : "Most likely answers."
      }`,
  };
}

/** Answers before and after with hits and misses marked, those whose F1 GRPO changed most first. */
function answerTable(
  { test, config }: JudgedWebPages,
  { likelihood, rlvr }: Evaluations<WebPageEvaluation>,
): ReportTable {
  const rows = tellingPages(likelihood.greedy, rlvr?.greedy, test.length).slice(0, config.evaluation.samples);
  const answer = (evaluation: WebPageEvaluation, row: number) =>
    `F1 ${percent(evaluation.greedy.f1[row])} %\n${markedAnswer(evaluation.responses[row], test[row].truth)}`;
  return {
    title: "Answers",
    columns: ["Page and action", "Truth", "Likelihood", ...rlvr ? ["RLVR"] : []],
    rows: rows.map((row) => [
      whereAndWhat(test[row]),
      test[row].truth,
      answer(likelihood, row),
      ...rlvr ? [answer(rlvr, row)] : [],
    ]),
    caption:
      "✓ said and true, ✗ said but not true, ○ true but not said. The transitions that GRPO changed most come first.",
  };
}

/** Rows of the held-out transitions: greatest change of F1 first, rises and falls in turn. */
export function tellingPages(before: WebPageScores, after: WebPageScores | undefined, count: number): number[] {
  const rows = Array.from({ length: count }, (_, row) => row);
  if (after === undefined) return rows;
  const change = (row: number) => after.f1[row] - before.f1[row];
  const risen = rows.filter((row) => change(row) > 0).sort((a, b) => change(b) - change(a));
  const fallen = rows.filter((row) => change(row) < 0).sort((a, b) => change(a) - change(b));
  const same = rows.filter((row) => change(row) === 0);
  const inTurn: number[] = [];
  for (let i = 0; i < Math.max(risen.length, fallen.length); i++) {
    inTurn.push(...[risen[i], fallen[i]].filter((row) => row !== undefined));
  }
  return [...inTurn, ...same];
}

/** `/cart: click [12] button 'Remove'`. */
function whereAndWhat({ name, asked }: WebPageExample): string {
  if (asked === undefined) return name;
  const action = parseAction(asked.action);
  const item = "id" in action ? pageItems(asked.observation).find((item) => item.id === action.id) : undefined;
  return `${asked.url.replace(/^https?:\/\/[^/]*/, "") || "/"}\n${asked.action}${item ? ` ${item.text}` : ""}`;
}

const CURVES: readonly CurvePanel[] = [
  LIKELIHOOD_PANEL,
  { stages: ["grpo"], metric: "reward", title: "GRPO: reward", caption: "Mean F1 of a step's answers." },
  {
    stages: ["grpo"],
    metric: "precision",
    title: "GRPO: precision",
    caption: "Mean over a step's answers; no part of the reward.",
  },
  {
    stages: ["grpo"],
    metric: "recall",
    title: "GRPO: recall",
    caption: "Mean over a step's answers; no part of the reward.",
  },
  {
    stages: ["grpo"],
    metric: "cutAnswers",
    title: "GRPO: answers that were cut",
    caption: "Share of a step's answers that did not end by themselves.",
  },
  ...grpoPanels(["grpo"], "lines"),
];
