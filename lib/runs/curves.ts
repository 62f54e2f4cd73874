/** Curves of a run's log, for its report. */
import { trainingCurve } from "../report/figures.ts";
import type { ReportFigure } from "../report/html_report.ts";
import type { MetricEntry } from "./metric_log.ts";

/** One metric of one stage or of several, as a figure. */
export interface CurvePanel {
  /** Stages that are drawn, a curve each. */
  readonly stages: readonly string[];
  /** Name in the log, or among the log's `metrics`. */
  readonly metric: string;
  /** Heading of the figure. */
  readonly title: string;
  /** What the numbers are, with their unit. */
  readonly caption: string;
}

/** The panel that the log of every recipe's likelihood training has. */
export const LIKELIHOOD_PANEL: CurvePanel = {
  stages: ["likelihood"],
  metric: "loss",
  title: "Likelihood: negative log-likelihood",
  caption: "Nats a trained token.",
};

/** Panels that the log of every recipe's GRPO has. @param stages Of GRPO. @param parts What answers are credited by: `frames`. */
export function grpoPanels(stages: readonly string[], parts: string | undefined): CurvePanel[] {
  const credited = parts === undefined ? "Of a step's answers" : `Of a step's answers, or of their ${parts}`;
  return [
    {
      stages,
      metric: "kl",
      title: "GRPO: divergence from the likelihood model",
      caption: "Estimate in nats a token.",
    },
    {
      stages,
      metric: "entropy",
      title: "GRPO: entropy of the samples",
      caption: "−log p of the sampled tokens, nats a token.",
    },
    { stages, metric: "largestAdvantage", title: "GRPO: largest advantage", caption: `${credited}; absolute.` },
  ];
}

/** Panels as figures; those of which nothing was logged are left out. */
export function curveFigures(records: readonly MetricEntry[], panels: readonly CurvePanel[]): ReportFigure[] {
  const flat = records.map((record) => ({ ...record, ...record.metrics as Record<string, number> | undefined }));
  return panels.flatMap(({ stages, metric, title, caption }) => {
    const curves = stages.map((name) => ({
      name,
      records: flat.filter((record) => record.stage === name && typeof record[metric] === "number"),
    })).filter(({ records }) => records.length > 0);
    return curves.length === 0 ? [] : [{ title, caption, figure: trainingCurve(curves, metric, { title: "" }) }];
  });
}
