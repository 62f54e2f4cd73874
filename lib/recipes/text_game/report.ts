/**
 * What a finished text-game run says: `result.json` with intervals over held-out transitions, and `report.html`.
 *
 * Accuracy is told apart for transitions that change something, those that do not, and all; beside every model stands what
 * always answering "nothing changes" would earn.
 */
import { formatNumber } from "../../report/html.ts";
import {
  type BaselineComparison,
  baselineSentence,
  baselineTable,
  compareWithBaselines,
  type PredictionWay,
} from "../../report/baselines.ts";
import type { ReportTable } from "../../report/html_report.ts";
import { meanInterval, pairedDifference } from "../../report/intervals.ts";
import type { Interval, MetricResult, RunResult } from "../../report/result.ts";
import { intervalText, percent } from "../../report/tables.ts";
import { grpoPanels, LIKELIHOOD_PANEL } from "../../runs/curves.ts";
import type { Evaluations, RecipeReport } from "../../runs/recipe.ts";
import { ANSWER_MARKER } from "../../worlds/text_game/answer.ts";
import type { TextGameExample } from "../../worlds/text_game/world.ts";
import type { TextGameConfig, TextGameRewardName } from "./config.ts";
import { type TextGameEvaluation, unchangedBaseline } from "./evaluation.ts";

/** Which transitions an accuracy is of. */
export const TEXT_GAME_PARTS = ["changed", "unchanged", "all"] as const;
/** Name of a part of the held-out data: {@linkcode TEXT_GAME_PARTS}. */
export type TextGamePart = typeof TEXT_GAME_PARTS[number];

/** An accuracy with every model's interval; undefined where a part has no transition. */
export interface TextGameMetricResult extends MetricResult {
  /** By reward; `rlvr` is the first one's. */
  byReward: Partial<Record<TextGameRewardName, Interval>>;
  /** Likewise: RLVR − base, transition by transition. */
  differences: Partial<Record<TextGameRewardName, Interval>>;
  /** What one gets who always answers that nothing changes. */
  unchangedBaseline: Interval;
}

/**
 * `result.json` of a text-game run.
 *
 * @internal
 */
export interface TextGameResult extends RunResult {
  /**
   * `changed`, `unchanged`, `all` (accuracies of greedy answers), `changedSampled` and so on (of answers drawn at temperature
   * 1, where they were asked for), and `taskSpecific` (mean reward of greedy answers).
   */
  metrics: Record<string, TextGameMetricResult>;
  /** Rewards that models were trained by, in order. */
  rewards: TextGameRewardName[];
  /**
   * Accuracy on changed transitions of each reward's greedy answers against what can be had for nothing; there where answers were
   * drawn.
   */
  baselines: Partial<Record<TextGameRewardName, BaselineComparison>>;
  /** Share of answers that did not end by themselves, by model. */
  cutAnswers: Record<string, number>;
}

/** What a run was judged with. */
export interface JudgedTextGame {
  /** The configuration, every value filled in. */
  config: TextGameConfig;
  /** Held-out transitions that were evaluated. */
  test: readonly TextGameExample[];
}

/** Puts evaluations together; pure but for the bootstrap's seeded draws. */
export function textGameResult(
  { config, test }: JudgedTextGame,
  evaluations: Evaluations<TextGameEvaluation>,
): Pick<TextGameResult, "metrics" | "rewards" | "cutAnswers" | "baselines"> {
  const { likelihood } = evaluations, rlvr = (reward: TextGameRewardName) => evaluations[`rlvr-${reward}`];
  const baseline = unchangedBaseline(test, config.grpo.scoring);
  const rewards = config.grpo.rewards.filter(rlvr);
  const first = rewards.length > 0 ? rlvr(rewards[0]) : likelihood;
  const options = { seed: config.seed };
  const metric = (rows: number[], of: (evaluation: TextGameEvaluation) => Float64Array): TextGameMetricResult => {
    const scores = (evaluation: TextGameEvaluation) => Float64Array.from(rows, (row) => of(evaluation)[row]);
    const base = scores(likelihood);
    const byReward: TextGameMetricResult["byReward"] = {}, differences: TextGameMetricResult["differences"] = {};
    for (const reward of rewards) {
      const trained = scores(rlvr(reward));
      byReward[reward] = meanInterval(trained, options);
      differences[reward] = pairedDifference(base, trained, options);
    }
    return {
      better: "higher",
      base: meanInterval(base, options),
      rlvr: meanInterval(scores(first), options),
      difference: pairedDifference(base, scores(first), options),
      byReward,
      differences,
      unchangedBaseline: meanInterval(scores(baseline), options),
    };
  };
  const metrics: Record<string, TextGameMetricResult> = {};
  for (const part of TEXT_GAME_PARTS) {
    const rows = [...test.keys()].filter((row) => part === "all" || test[row].isChanged === (part === "changed"));
    if (rows.length === 0) continue;
    metrics[part] = metric(rows, (evaluation) => evaluation.binary);
    if (!likelihood.sampledBinary) continue;
    metrics[sampledName(part)] = metric(rows, (evaluation) => evaluation.sampledBinary!);
  }
  metrics.taskSpecific = metric([...test.keys()], (evaluation) => evaluation.taskSpecific);
  const cut = ({ ended }: TextGameEvaluation) => ended.filter((isEnded) => !isEnded).length / ended.length;
  return {
    metrics,
    rewards,
    baselines: compareTextGameBaselines({ config, test }, evaluations, rewards),
    cutAnswers: Object.fromEntries(Object.entries(evaluations).map(([name, evaluation]) => [name, cut(evaluation)])),
  };
}

/** Accuracy on changed transitions: each reward's greedy answers against the likelihood model's, however it is asked. */
function compareTextGameBaselines(
  { config, test }: JudgedTextGame,
  evaluations: Evaluations<TextGameEvaluation>,
  rewards: readonly TextGameRewardName[],
): TextGameResult["baselines"] {
  const { likelihood } = evaluations, rows = [...test.keys()].filter((row) => test[row].isChanged);
  if (!likelihood.sampledBinary || rows.length === 0) return {};
  const changed = (values: Float64Array) => Float64Array.from(rows, (row) => values[row]);
  const waysOf = (name: string, evaluation: TextGameEvaluation, kind: "rlvr" | "baseline"): PredictionWay[] => {
    const { binary, sampledBinary, majorityBinary } = evaluation, n = config.evaluation.sampledAnswers;
    return [
      { name: `${name}, greedy`, kind, values: changed(binary) },
      { name: `${name}, as it is drawn`, kind, values: changed(sampledBinary!) },
      ...majorityBinary ? [{ name: `${name}, majority of ${n}`, kind, values: changed(majorityBinary) }] : [],
    ];
  };
  const unchanged = unchangedBaseline(test, config.grpo.scoring);
  return Object.fromEntries(rewards.map((reward) => [
    reward,
    compareWithBaselines({
      metric: "accuracy on changed transitions",
      better: "higher",
      ways: [
        ...waysOf(rewardLabel(reward), evaluations[`rlvr-${reward}`], "rlvr"),
        ...waysOf("likelihood", likelihood, "baseline"),
        { name: "always “nothing changes”", kind: "baseline", values: changed(unchanged.binary) },
      ],
      seed: config.seed,
    }),
  ]));
}

const BASELINE_CAPTION = "Greedy: the most likely answer. Majority: the text that was drawn most often.";

/** Name of a part's accuracy of sampled answers. */
function sampledName(part: TextGamePart): string {
  return `${part}Sampled`;
}

/** One sentence a reward: what GRPO did to the accuracies. */
export function textGameHeadline(result: TextGameResult): string {
  const part = (name: TextGamePart, reward: TextGameRewardName, isSampled: boolean) => {
    const metric = result.metrics[isSampled ? sampledName(name) : name];
    if (!metric) return undefined;
    const { low, high } = metric.differences[reward]!;
    const sure = low > 0 || high < 0 ? "" : ", the interval crosses zero";
    return `${percent(metric.base.mean)} % → ${percent(metric.byReward[reward]!.mean)} % (${name}${sure})`;
  };
  const n = result.metrics.all.base.n;
  if (result.rewards.length === 0) {
    const shown = TEXT_GAME_PARTS.filter((name) => result.metrics[name])
      .map((name) => `${percent(result.metrics[name].base.mean)} % (${name})`);
    return `Held-out accuracy after likelihood training: ${shown.join(", ")}; ${n} transitions.`;
  }
  return result.rewards.map((reward) => {
    const shown = (isSampled: boolean) =>
      TEXT_GAME_PARTS.map((name) => part(name, reward, isSampled)).filter((text) => text !== undefined).join(", ");
    const sampled = shown(true);
    return `Held-out accuracy, likelihood → GRPO on the ${reward === "binary" ? "binary" : "task-specific"} reward: ${
      shown(false)
    }${sampled && `; of sampled answers ${sampled}`}; ${n} transitions.${
      result.baselines[reward] ? ` ${baselineSentence(result.baselines[reward])}` : ""
    }`;
  }).join("\n");
}

/** What `report.html` of a run shows. */
export function textGameReport(
  judged: JudgedTextGame,
  result: TextGameResult,
  evaluations: Evaluations<TextGameEvaluation>,
): RecipeReport {
  const [first] = result.rewards, stages = ["grpo-binary", "grpo-taskSpecific"];
  return {
    title: "Text games: likelihood, then reinforcement learning on the state",
    comparison: first &&
      `Base: after likelihood training. RLVR: after GRPO on the ${
        first === "binary" ? "binary" : "task-specific"
      } reward. Further below: all rewards.`,
    curves: [
      LIKELIHOOD_PANEL,
      {
        stages,
        metric: "reward",
        title: "GRPO: reward",
        caption: "Mean over a step's answers; each model's own reward.",
      },
      ...grpoPanels(stages, undefined),
    ],
    tables: [
      accuracyTable(result),
      ...evaluations.likelihood.sampledBinary ? [accuracyTable(result, true)] : [],
      ...Object.values(result.baselines).map((comparison) => baselineTable(comparison, BASELINE_CAPTION)),
      answerTable(judged, evaluations),
    ],
  };
}

/**
 * The paper's Table 1, for this run, beside what always answering "nothing changes" earns.
 *
 * @param isSampled Of answers drawn at temperature 1 instead of greedy ones; these have no mean reward.
 */
export function accuracyTable(result: TextGameResult, isSampled = false): ReportTable {
  const parts = (["unchanged", "changed", "all"] as const).filter((name) => result.metrics[name]);
  const metricOf = (part: TextGamePart) => result.metrics[isSampled ? sampledName(part) : part];
  const row = (label: string, of: (metric: TextGameMetricResult) => Interval) => [
    label,
    ...parts.map((name) => intervalText(of(metricOf(name)))),
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
function answerTable({ test, config }: JudgedTextGame, evaluations: Evaluations<TextGameEvaluation>): ReportTable {
  const rewards = config.grpo.rewards.filter((reward) => evaluations[`rlvr-${reward}`]);
  const answers: [name: string, evaluation: TextGameEvaluation][] = [
    ["Likelihood", evaluations.likelihood],
    ...rewards.map((reward): [string, TextGameEvaluation] => [rewardLabel(reward, ""), evaluations[`rlvr-${reward}`]]),
  ];
  return {
    title: "Answers",
    columns: ["Transition", "Said by", "Answer"],
    rows: tellingRows(evaluations, test.length).slice(0, config.evaluation.samples).flatMap((row) => [
      [`${test[row].name}: ${actionOf(test[row])}`, "Truth", shortAnswer(test[row].target)],
      ...answers.map(([name, { binary, responses }]) => [
        "",
        `${name} ${binary[row] === 1 ? "✓" : "✗"}`.replaceAll(
          /[ -]/g,
          (character) => character === " " ? "\u00a0" : "\u2011",
        ),
        shortAnswer(responses[row]),
      ]),
    ]),
    caption: "Held-out transitions whose verdict GRPO changed come first. ✓: the predicted state is right.",
  };
}

/** Rows of the held-out transitions: those whose verdict differs between models first, otherwise as they come. */
export function tellingRows(
  { likelihood, ...others }: Evaluations<Pick<TextGameEvaluation, "binary">>,
  count: number,
): number[] {
  const verdicts = (row: number) =>
    Object.values(others).filter((evaluation) => evaluation.binary[row] !== likelihood.binary[row]);
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
  const text = typeof question === "string" ? question : question.map((message) => message.content).join("\n");
  return /action:\s*(.+)/.exec(text)?.[1] ?? "";
}
