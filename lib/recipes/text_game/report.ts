/**
 * What a finished text-game run says: `result.json` with intervals over held-out transitions, and `report.html`.
 *
 * Accuracy is told apart for transitions that change something, those that do not, and all; beside every model stands what
 * always answering "nothing changes" would earn.
 */
import { trainingCurve } from "../../report/figures.ts";
import { formatNumber } from "../../report/html.ts";
import { type ReportContent, type ReportFigure, type ReportTable, writeReport } from "../../report/html_report.ts";
import { meanInterval, pairedDifference } from "../../report/intervals.ts";
import type { Interval, MetricResult, RunResult } from "../../report/result.ts";
import type { MetricEntry } from "../../runs/metric_log.ts";
import { ANSWER_MARKER } from "../../worlds/text_game/answer.ts";
import type { TextGameExample } from "../../worlds/text_game/world.ts";
import type { TextGameExperiment } from "./experiment.ts";
import type { TextGameRewardName } from "./config.ts";
import { type TextGameEvaluation, unchangedBaseline } from "./evaluation.ts";
import type { EvaluatedTextModels } from "./run.ts";

/** Which transitions an accuracy is of. */
export const TEXT_GAME_PARTS = ["changed", "unchanged", "all"] as const;
/** See {@linkcode TEXT_GAME_PARTS}. */
export type TextGamePart = typeof TEXT_GAME_PARTS[number];

/** An accuracy with every model's interval; undefined where a part has no transition. */
export interface TextGameMetricResult extends MetricResult {
  /** By reward; `rlvr` is the first one's. */
  byReward: Partial<Record<TextGameRewardName, Interval>>;
  /** Likewise: RLVR − base, transition by transition. */
  differences: Partial<Record<TextGameRewardName, Interval>>;
  /** Always answering "nothing changes". */
  unchangedBaseline: Interval;
}

/** `result.json` of a text-game run. */
export interface TextGameResult extends RunResult {
  /**
   * `changed`, `unchanged`, `all` (accuracies of greedy answers), `changedSampled` and so on (of answers drawn at temperature
   * 1, where they were asked for), and `taskSpecific` (mean reward of greedy answers).
   */
  metrics: Record<string, TextGameMetricResult>;
  /** Rewards that models were trained by, in order. */
  rewards: TextGameRewardName[];
  /** Share of answers that did not end by themselves, by model. */
  cutAnswers: Record<string, number>;
}

/** Puts evaluations together; pure but for the bootstrap's seeded draws. */
export function textGameResult(
  experiment: TextGameExperiment,
  models: EvaluatedTextModels,
  seconds: Record<string, number>,
  peakMemoryBytes: number,
): TextGameResult {
  const { config, engine, test } = experiment;
  const baseline = unchangedBaseline(test, config.grpo.scoring);
  const rewards = config.grpo.rewards.filter((reward) => models.rlvr[reward]);
  const first = rewards.length > 0 ? models.rlvr[rewards[0]]! : models.likelihood;
  const options = { seed: config.seed };
  const metric = (rows: number[], of: (evaluation: TextGameEvaluation) => Float64Array): TextGameMetricResult => {
    const some = (evaluation: TextGameEvaluation) => Float64Array.from(rows, (row) => of(evaluation)[row]);
    const base = some(models.likelihood);
    const byReward: TextGameMetricResult["byReward"] = {}, differences: TextGameMetricResult["differences"] = {};
    for (const reward of rewards) {
      const own = some(models.rlvr[reward]!);
      byReward[reward] = meanInterval(own, options);
      differences[reward] = pairedDifference(base, own, options);
    }
    return {
      better: "higher",
      base: meanInterval(base, options),
      rlvr: meanInterval(some(first), options),
      difference: pairedDifference(base, some(first), options),
      byReward,
      differences,
      unchangedBaseline: meanInterval(some(baseline), options),
    };
  };
  const metrics: Record<string, TextGameMetricResult> = {};
  for (const part of TEXT_GAME_PARTS) {
    const rows = [...test.keys()].filter((row) => part === "all" || test[row].isChanged === (part === "changed"));
    if (rows.length === 0) continue;
    metrics[part] = metric(rows, (evaluation) => evaluation.binary);
    if (!models.likelihood.sampledBinary) continue;
    metrics[sampledName(part)] = metric(rows, (evaluation) => evaluation.sampledBinary!);
  }
  metrics.taskSpecific = metric([...test.keys()], (evaluation) => evaluation.taskSpecific);
  const cut = ({ ended }: TextGameEvaluation) => ended.filter((each) => !each).length / ended.length;
  return {
    task: "train-text-game",
    preset: config.preset,
    engine: `${engine.name} (${engine.backend} ${engine.version})`,
    device: engine.device,
    seed: config.seed,
    metrics,
    rewards,
    cutAnswers: {
      likelihood: cut(models.likelihood),
      ...Object.fromEntries(rewards.map((reward) => [`rlvr-${reward}`, cut(models.rlvr[reward]!)])),
    },
    seconds,
    peakMemoryBytes,
  };
}

/** Name of a part's accuracy of sampled answers. */
function sampledName(part: TextGamePart): string {
  return `${part}Sampled`;
}

/** One sentence a reward: what GRPO did to the accuracies. */
export function textGameHeadline(result: TextGameResult): string {
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const part = (name: TextGamePart, reward: TextGameRewardName, isSampled: boolean) => {
    const metric = result.metrics[isSampled ? sampledName(name) : name];
    if (!metric) return undefined;
    const { low, high } = metric.differences[reward]!;
    const sure = low > 0 || high < 0 ? "" : ", the interval crosses zero";
    return `${percent(metric.base.mean)} → ${percent(metric.byReward[reward]!.mean)} (${name}${sure})`;
  };
  const n = result.metrics.all.base.n;
  if (result.rewards.length === 0) {
    const shown = TEXT_GAME_PARTS.filter((name) => result.metrics[name])
      .map((name) => `${percent(result.metrics[name].base.mean)} (${name})`);
    return `Held-out accuracy after likelihood training: ${shown.join(", ")}; ${n} transitions.`;
  }
  return result.rewards.map((reward) => {
    const shown = (isSampled: boolean) =>
      TEXT_GAME_PARTS.map((name) => part(name, reward, isSampled)).filter((each) => each !== undefined).join(", ");
    const sampled = shown(true);
    return `Held-out accuracy, likelihood → GRPO on the ${reward === "binary" ? "binary" : "task-specific"} reward: ${
      shown(false)
    }${sampled && `; of sampled answers ${sampled}`}; ${n} transitions.`;
  }).join("\n");
}

/** Writes `report.html` of a run. */
export async function writeTextGameReport(
  experiment: TextGameExperiment,
  result: TextGameResult,
  models: EvaluatedTextModels,
): Promise<string> {
  const { run, config } = experiment;
  const path = run.file("report.html");
  const content: ReportContent = {
    title: "Text games: likelihood, then reinforcement learning on the state",
    summary: textGameHeadline(result),
    result,
    comparison: result.rewards.length > 0
      ? `Base: after likelihood training. RLVR: after GRPO on the ${
        result.rewards[0] === "binary" ? "binary" : "task-specific"
      } reward. Further below: all rewards.`
      : undefined,
    curves: curvesOf(await run.metrics.read()),
    clips: [],
    tables: [
      accuracyTable(result),
      ...models.likelihood.sampledBinary ? [accuracyTable(result, true)] : [],
      answerTable(experiment, models),
    ],
    config,
    environment: await run.readEnvironment(),
  };
  await writeReport(path, content);
  return path;
}

/**
 * The paper's Table 1, for this run, beside what always answering "nothing changes" earns.
 *
 * @param isSampled Of answers drawn at temperature 1 instead of greedy ones; these have no mean reward.
 */
export function accuracyTable(result: TextGameResult, isSampled = false): ReportTable {
  const show = ({ mean, low, high }: Interval) =>
    `${(100 * mean).toFixed(1)} [${(100 * low).toFixed(1)}, ${(100 * high).toFixed(1)}]`;
  const parts = (["unchanged", "changed", "all"] as const).filter((name) => result.metrics[name]);
  const metricOf = (part: TextGamePart) => result.metrics[isSampled ? sampledName(part) : part];
  const row = (label: string, of: (metric: TextGameMetricResult) => Interval) => [
    label,
    ...parts.map((name) => show(of(metricOf(name)))),
    ...isSampled ? [] : [formatNumber(of(result.metrics.taskSpecific).mean)],
  ];
  return {
    title: isSampled ? "Accuracy of sampled answers" : "Accuracy",
    columns: [
      "Model",
      ...parts.map((name) => `${name} (n = ${metricOf(name).base.n}), %`),
      ...isSampled ? [] : ["mean task-specific reward"],
    ],
    rows: [
      row("Always “nothing changes”", (metric) => metric.unchangedBaseline),
      row("Likelihood", (metric) => metric.base),
      ...result.rewards.map((reward) => row(rewardLabel(reward), (metric) => metric.byReward[reward]!)),
    ],
    caption: isSampled
      ? "Share of answers drawn at temperature 1 that predict the next state exactly: the expectation that GRPO raises; " +
        "95 % intervals over transitions."
      : "Share of held-out transitions whose next state was predicted exactly, greedy decoding; 95 % intervals.",
  };
}

/** Answers before and after, word by word, those whose verdict GRPO changed first. */
function answerTable(experiment: TextGameExperiment, models: EvaluatedTextModels): ReportTable {
  const { test, config } = experiment;
  const rewards = config.grpo.rewards.filter((reward) => models.rlvr[reward]);
  const answers: [name: string, evaluation: TextGameEvaluation][] = [
    ["Likelihood", models.likelihood],
    ...rewards.map((reward): [string, TextGameEvaluation] => [rewardLabel(reward, ""), models.rlvr[reward]!]),
  ];
  return {
    title: "Answers",
    columns: ["Transition", "Said by", "Answer"],
    rows: tellingRows(models, test.length).slice(0, config.evaluation.samples).flatMap((row) => [
      [`${test[row].name}: ${actionOf(test[row])}`, "Truth", shortAnswer(test[row].target)],
      ...answers.map(([name, { binary, responses }]) => [
        "",
        `${name} ${binary[row] === 1 ? "✓" : "✗"}`.replaceAll(/[ -]/g, (each) => each === " " ? "\u00a0" : "\u2011"),
        shortAnswer(responses[row]),
      ]),
    ]),
    caption: "Held-out transitions whose verdict GRPO changed come first. ✓: the predicted state is right.",
  };
}

/** Rows of the held-out transitions: those whose verdict differs between models first, otherwise as they come. */
export function tellingRows({ likelihood, rlvr }: EvaluatedTextModels, count: number): number[] {
  const verdicts = (row: number) => Object.values(rlvr).filter((each) => each.binary[row] !== likelihood.binary[row]);
  return Array.from({ length: count }, (_, row) => row)
    .sort((a, b) => verdicts(b).length - verdicts(a).length || a - b);
}

function rewardLabel(reward: TextGameRewardName, ending = " reward"): string {
  return `RLVR, ${reward === "binary" ? "binary" : "task-specific"}${ending}`;
}

function shortAnswer(response: string): string {
  return response.replace(`${ANSWER_MARKER} `, "");
}

/** The player's command, where the prompt names it as ours do. */
function actionOf({ question }: TextGameExample): string {
  const text = typeof question === "string" ? question : question.map((each) => each.content).join("\n");
  return /action:\s*(.+)/.exec(text)?.[1] ?? "";
}

function curvesOf(records: readonly MetricEntry[]): ReportFigure[] {
  const own = (stage: string, metric: string) =>
    records.filter((record) => record.stage === stage && typeof record[metric] === "number");
  const panel = (title: string, caption: string, metric: string, stages: string[]): ReportFigure[] => {
    const runs = stages.map((stage) => ({ name: stage, records: own(stage, metric) })).filter((each) =>
      each.records.length > 0
    );
    return runs.length === 0 ? [] : [{ title, caption, figure: trainingCurve(runs, metric, { title: "" }) }];
  };
  const grpo = ["grpo-binary", "grpo-taskSpecific"];
  return [
    ...panel("Likelihood: negative log-likelihood", "Nats a trained token.", "loss", ["likelihood"]),
    ...panel("GRPO: reward", "Mean over a step's answers; each model's own reward.", "reward", grpo),
    ...panel("GRPO: divergence from the likelihood model", "Estimate in nats a token.", "kl", grpo),
    ...panel("GRPO: entropy of the samples", "−log p of the sampled tokens, nats a token.", "entropy", grpo),
    ...panel("GRPO: largest advantage", "Of a step's answers; absolute.", "largestAdvantage", grpo),
  ];
}
