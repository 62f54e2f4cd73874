/**
 * Scores of text-game models outside a run's report: a plain table with intervals, and answers as lines of JSON.
 */
import { formatNumber } from "../../report/html.ts";
import { meanInterval } from "../../report/intervals.ts";
import { alignedText, intervalText, percent } from "../../report/tables.ts";
import type { Strictness } from "../../worlds/text_game/difference.ts";
import type { ScoreAnswersResult, ScoreSummary } from "../../worlds/text_game/score_answers.ts";
import type { TextGameExample } from "../../worlds/text_game/world.ts";
import { type TextGameEvaluation, unchangedBaseline } from "./evaluation.ts";

/** Column of what always answering "nothing changes" earns. */
const BASELINE = "always unchanged";

/** Which transitions were judged, and how. */
export interface ScoreTableOptions {
  /** What the evaluations are of, in order. */
  examples: readonly TextGameExample[];
  /** Whether answers are read as released, or strictly. */
  scoring: Strictness;
  /** Seed of the intervals' resampling. */
  seed: number;
}

/**
 * A plain-text table: accuracy on changed, unchanged and all transitions and the mean task-specific reward, a column a model,
 * each with its 95 % interval; beside them what always answering "nothing changes" would earn.
 */
export function textGameScoreTable(
  evaluations: Record<string, TextGameEvaluation>,
  { examples, scoring, seed }: ScoreTableOptions,
): string {
  const models = [...Object.entries(evaluations), [BASELINE, unchangedBaseline(examples, scoring)] as const];
  const row = (
    name: string,
    isOf: (example: TextGameExample) => boolean,
    of: (evaluation: TextGameEvaluation) => Float64Array,
    show: (value: number) => string,
  ) => {
    const rows = [...examples.keys()].filter((i) => isOf(examples[i]));
    if (rows.length === 0) return [];
    const cells = models.map(([, evaluation]) =>
      intervalText(meanInterval(rows.map((i) => of(evaluation)[i]), { seed }), show)
    );
    return [[name, String(rows.length), ...cells]];
  };
  const binary = ({ binary }: TextGameEvaluation) => binary;
  const rows = [
    ["", "n", ...models.map(([name]) => name)],
    ...row("changed, % right", (example) => example.isChanged, binary, percent),
    ...row("unchanged, % right", (example) => !example.isChanged, binary, percent),
    ...row("all, % right", () => true, binary, percent),
    ...row("mean task-specific reward", () => true, ({ taskSpecific }) => taskSpecific, formatNumber),
    ["answers cut, %", String(examples.length), ...models.map(([, evaluation]) => percent(cutShare(evaluation)))],
  ];
  return `${alignedText(rows)}\n${examples.length} transitions, ${scoring} scoring; mean [95 % interval]`;
}

/** Likewise for a file of answers that was scored; task-specific rewards without intervals. */
export function scoredFileTable({ changed, unchanged, all }: ScoreAnswersResult, scoring: Strictness): string {
  const row = (name: string, summary: ScoreSummary) => {
    const { count, correct, taskSpecific } = summary;
    if (count === 0) return [];
    const right = meanInterval(Float64Array.from({ length: count }, (_, i) => Number(i < correct)));
    return [[name, String(count), intervalText(right), formatNumber(taskSpecific / count)]];
  };
  const rows = [
    ["", "n", "% right", "mean task-specific reward"],
    ...row("changed", changed),
    ...row("unchanged", unchanged),
    ...row("all", all),
  ];
  return `${alignedText(rows)}\n${all.count} answers, ${scoring} scoring; mean [95 % interval]`;
}

/** Answers with their scores, a line of JSON each, as `evaluate-text-game --answers` reads them. */
export function answerLines(evaluation: TextGameEvaluation, rows: readonly number[], model?: string): string[] {
  return evaluation.responses.map((response, i) =>
    JSON.stringify({
      row: rows[i],
      ...model === undefined ? {} : { model },
      response,
      binary: evaluation.binary[i],
      taskSpecific: evaluation.taskSpecific[i],
      ended: evaluation.ended[i],
    })
  );
}

function cutShare({ ended }: TextGameEvaluation): number {
  return ended.filter((isEnded) => !isEnded).length / ended.length;
}
