/**
 * Scores of web-page models outside a run's report: a plain table with intervals, and answers as lines of JSON.
 */
import { meanInterval } from "../../report/intervals.ts";
import { alignedText, intervalText, percent } from "../../report/tables.ts";
import type { F1Score } from "../../worlds/web_page/f1_reward.ts";
import type { WebPageExample } from "../../worlds/web_page/world.ts";
import { unchangedPageBaseline, WEB_PAGE_METRICS, type WebPageEvaluation } from "./evaluation.ts";

/**
 * A plain-text table: precision, recall and F1 of greedy and of drawn answers, a column a model, each with its 95 % interval;
 * beside them what always answering "nothing changes" would earn.
 *
 * @param options.seed Of the intervals' resampling.
 */
export function webPageScoreTable(
  evaluations: Record<string, WebPageEvaluation>,
  { examples, seed }: { examples: readonly WebPageExample[]; seed: number },
): string {
  const groups = examples.map((example) => example.group);
  const models = [...Object.entries(evaluations), ["always unchanged", unchangedPageBaseline(examples)] as const];
  const cell = (values: Float64Array) => intervalText(meanInterval(values, { seed, groups }));
  const isSampled = Object.values(evaluations).every((evaluation) => evaluation.sampled);
  const rows = [
    ["", ...models.map(([name]) => name)],
    ...WEB_PAGE_METRICS.map((metric) => [`${metric}, %`, ...models.map(([, { greedy }]) => cell(greedy[metric]))]),
    ...isSampled
      ? WEB_PAGE_METRICS.map((metric) => [
        `${metric} of drawn answers, %`,
        ...models.map(([, { sampled }]) => cell(sampled![metric])),
      ])
      : [],
    [
      "answers cut, %",
      ...models.map(([, { ended }]) => percent(ended.filter((isEnded) => !isEnded).length / ended.length)),
    ],
  ];
  return `${alignedText(rows)}\n${examples.length} transitions; mean [95 % interval]`;
}

/** Likewise for a file of answers that was scored. */
export function scoredWebFileTable(scores: readonly F1Score[]): string {
  const rows = WEB_PAGE_METRICS.map((metric) => [
    `${metric}, %`,
    intervalText(meanInterval(Float64Array.from(scores, (score) => score[metric]))),
  ]);
  const perfect = scores.filter((score) => score.f1 === 1).length,
    none = scores.filter((score) => score.f1 === 0).length;
  const count = scores.length === 1 ? "1 answer" : `${scores.length} answers`;
  return `${
    alignedText(rows)
  }\n${count}, ${perfect} with F1 1, ${none} with F1 0; mean of per-answer values [95 % interval]`;
}

/** Answers with their scores, a line of JSON each, as `evaluate-web --answers` reads them. */
export function webAnswerLines(
  evaluation: WebPageEvaluation,
  examples: readonly WebPageExample[],
  rows: readonly number[],
  model?: string,
): string[] {
  return evaluation.responses.map((response, i) =>
    JSON.stringify({
      row: rows[i],
      ...model === undefined ? {} : { model },
      truth: examples[i].truth,
      response,
      precision: evaluation.greedy.precision[i],
      recall: evaluation.greedy.recall[i],
      f1: evaluation.greedy.f1[i],
      ended: evaluation.ended[i],
    })
  );
}
