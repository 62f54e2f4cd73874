/**
 * What a finished robot-video run says: `result.json` with intervals over held-out clips, and `report.html`.
 *
 * The base that RLVR is compared with is the control (likelihood training continued for as long as GRPO took) where there
 * is one, else the likelihood model; both are in the result. Clips of one episode are resampled together.
 */
import {
  type BaselineComparison,
  baselineSentence,
  baselineTable,
  compareWithBaselines,
  type PredictionWay,
} from "../../report/baselines.ts";
import { frameClip, type ShownClip } from "../../report/frames.ts";
import { horizonFigure } from "../../report/figures.ts";
import type { ReportFigure, ReportTable } from "../../report/html_report.ts";
import { formatNumber } from "../../report/html.ts";
import { meanInterval, pairedDifference } from "../../report/intervals.ts";
import type { GalleryClip } from "../../report/gallery.ts";
import { alignedText, intervalText, type TextTable } from "../../report/tables.ts";
import {
  type Better,
  type Interval,
  type MetricResult,
  relativeImprovement,
  type RunResult,
} from "../../report/result.ts";
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import { type CurvePanel, grpoPanels, LIKELIHOOD_PANEL } from "../../runs/curves.ts";
import type { Evaluations, RecipeReport } from "../../runs/recipe.ts";
import { STREAM } from "../../base/streams.ts";
import { cutClip, type VideoClip } from "../../worlds/robot_video/clips.ts";
import type { VideoBaselines, VideoEvaluation } from "./evaluation.ts";
import type { RobotVideoConfig } from "./config.ts";
import type { RobotVideoData } from "./data.ts";
import type { VideoPrediction } from "./video_kind.ts";

/** A metric with every model's interval. */
export interface VideoMetricResult extends MetricResult {
  /** After likelihood training, before GRPO. */
  likelihood: Interval;
  /** Best of N samples, when N > 1. */
  bestOfN?: { base: Interval; rlvr: Interval };
  /** At each predicted frame, first to last, where there are several. */
  byFrame?: { base: Interval[]; rlvr: Interval[] };
}

/**
 * `result.json` of a robot-video run.
 *
 * @internal
 */
export interface RobotVideoResult extends RunResult {
  /** By name; `repetition` among them: the share of answers that repeat the frame before (README, "Repetition"). */
  metrics: Record<string, VideoMetricResult>;
  /** Which model the reward-trained one is compared with. */
  base: "likelihood" | "control";
  /** Name of the reward's first metric: the headline. */
  headline: string;
  /** RLVR against what costs nothing, by the headline's metric; absent where it was not measured. */
  baselines?: BaselineComparison;
  /** The share of true answers that repeat the frame before: what a model that repeats as often as the world would have. */
  trueRepetition: Interval;
}

/** Puts evaluations together; pure but for the bootstrap's seeded draws. */
export function robotVideoResult(
  config: RobotVideoConfig,
  evaluations: Evaluations<VideoEvaluation>,
): Pick<RobotVideoResult, "metrics" | "base" | "headline" | "trueRepetition" | "baselines"> {
  const { likelihood, control, rlvr = likelihood } = evaluations;
  const base = control ?? likelihood;
  const options = { seed: config.seed, groups: base.episodes };
  // Clips of one episode are one draw, resampled to itself: an interval of no width, which would exclude zero always.
  const isOneEpisode = new Set(base.episodes).size < 2;
  const difference = (before: Float64Array, after: Float64Array) =>
    isOneEpisode ? {} : { difference: pairedDifference(before, after, options) };
  const directions: Record<string, "lower" | "higher"> = { psnr: "higher", ssim: "higher" };
  const frames = ({ byFrame }: VideoEvaluation, name: string) =>
    (byFrame?.[name] ?? []).map((values) => meanInterval(values, options));
  const metrics: Record<string, VideoMetricResult> = {};
  for (const name of Object.keys(base.values)) {
    metrics[name] = {
      better: directions[name] ?? "lower",
      ...(name === "psnr" ? { unit: "dB" } : {}),
      base: meanInterval(base.values[name], options),
      rlvr: meanInterval(rlvr.values[name], options),
      ...difference(base.values[name], rlvr.values[name]),
      likelihood: meanInterval(likelihood.values[name], options),
      ...(config.evaluation.samples > 1
        ? {
          bestOfN: {
            base: meanInterval(base.best[name], options),
            rlvr: meanInterval(rlvr.best[name], options),
          },
        }
        : {}),
      ...(base.byFrame?.[name] ? { byFrame: { base: frames(base, name), rlvr: frames(rlvr, name) } } : {}),
    };
  }
  metrics.repetition = {
    better: "lower",
    base: meanInterval(base.repetition, options),
    rlvr: meanInterval(rlvr.repetition, options),
    ...difference(base.repetition, rlvr.repetition),
    likelihood: meanInterval(likelihood.repetition, options),
  };
  const headline = config.grpo.reward[0].metric;
  const baselines = compareVideoBaselines(evaluations, directions[headline] ?? "lower", config.seed);
  return {
    base: control ? "control" : "likelihood",
    headline,
    ...baselines ? { baselines } : {},
    trueRepetition: meanInterval(base.trueRepetition, options),
    metrics,
  };
}

/** RLVR as it is drawn against every model's baselines; undefined where none were measured. */
export function compareVideoBaselines(
  { likelihood, control, rlvr = likelihood }: Evaluations<VideoEvaluation>,
  better: Better,
  seed: number,
): BaselineComparison | undefined {
  if (!likelihood.baselines || !rlvr.baselines) return undefined;
  const { metric, copy, floor } = likelihood.baselines;
  const waysOf = (
    name: string,
    { values, baselines }: VideoEvaluation,
    kind: "rlvr" | "baseline",
  ): PredictionWay[] => {
    const { temperature, atTemperature, nearest, median, answers } = baselines!;
    return [
      { name: `${name}, as it is drawn`, kind, values: values[metric] },
      { name: `${name}, at its best temperature ${temperature}`, kind, values: atTemperature },
      { name: `${name}, nearest of ${answers}`, kind, values: nearest },
      { name: `${name}, median of ${answers}`, kind: "limit", values: median },
    ];
  };
  const base = control?.baselines ? control : likelihood;
  return compareWithBaselines({
    metric: metric.toUpperCase(),
    better,
    ways: [
      ...waysOf("RLVR", rlvr, "rlvr"),
      ...base === control ? waysOf("control", control, "baseline") : [],
      ...waysOf("likelihood", likelihood, "baseline"),
      { name: "the last given frame again", kind: "baseline", values: copy },
      { name: "the tokenizer's floor", kind: "limit", values: floor },
    ],
    attainable: { from: base.values[metric], to: base.baselines!.median },
    seed,
    groups: likelihood.episodes,
  });
}

/** The cheap baselines of one model, for a terminal. @param name The model's. */
export function videoBaselineTable(name: string, baselines: VideoBaselines): TextTable {
  const { metric, answers, temperature, atTemperature, nearest, median, copy, floor } = baselines;
  const rows: [string, Float64Array][] = [
    [`at its best temperature ${temperature}`, atTemperature],
    [`nearest of ${answers}`, nearest],
    [`median of ${answers}, pixel by pixel (limit)`, median],
    ["the last given frame again", copy],
    ["the tokenizer's floor (limit)", floor],
  ];
  return {
    columns: [name, metric.toUpperCase()],
    rows: rows.map(([way, values]) => [way, formatNumber(meanInterval(values).mean)]),
  };
}

const BASELINE_CAPTION =
  "Clips of one episode are resampled together. Each temperature was chosen on other clips of the same episodes. Nearest: of so " +
  "many answers the one that is nearest to the others by the metric. Median: pixel by pixel, which no single answer may be able to " +
  "say. Floor: the true frames through the tokenizer.";

/** What clips are imagined with. */
export interface ImaginedClipsOptions {
  /** The configuration, every value filled in. */
  config: RobotVideoConfig;
  /** Episodes and the clips cut from them. */
  data: RobotVideoData;
  /** The frozen tokenizer and the world over it. */
  prediction: VideoPrediction;
  /** Awaited between models; it may throw to end the work. */
  stopIfAsked: () => Promise<void>;
}

/** The frames that models imagine on held-out episodes, truth first: for the report's GIFs. */
export async function imaginedClips(
  { config, data, prediction, stopIfAsked }: ImaginedClipsOptions,
  models: Record<string, CausalTransformer>,
): Promise<GalleryClip[]> {
  const { evaluation, data: { frameStep } } = config, { shown } = prediction;
  const chosen: { label: string; truth: VideoClip }[] = [];
  const count = Math.min(evaluation.gifs, data.split.test.length);
  for (let i = 0; i < count; i++) {
    const episode = await data.source.load(data.split.test[Math.floor(i * data.split.test.length / count)]);
    const length = Math.min(shown.frames, Math.ceil(episode.length / frameStep));
    // Somewhere in the middle, where things move.
    const start = Math.floor((episode.length - 1 - (length - 1) * frameStep) / 3);
    const context = shown.contextBefore === undefined ? undefined : Math.max(0, start - shown.contextBefore);
    const truth = cutClip(episode, start, length, frameStep, context);
    chosen.push({ label: `${episode.id}, from frame ${start}`, truth });
  }
  if (chosen.length === 0) return [];
  const imagined: Record<string, Uint8Array[]> = {};
  for (const [label, model] of Object.entries(models)) {
    await stopIfAsked();
    const clips = chosen.map(({ truth }) => truth);
    imagined[label] = await prediction.imagine(model, clips, {
      sampling: { temperature: evaluation.temperature, topK: evaluation.topK, topP: evaluation.topP },
      stream: [config.seed, STREAM.evaluation, 1_000_000],
    });
  }
  const clips = chosen.map(({ label, truth }, i): GalleryClip => {
    const shape = (frames: Uint8Array): ShownClip => frameClip(frames, truth.length, truth.height, truth.width);
    return {
      label,
      note: `${shown.givenFrames} true frame${shown.givenFrames === 1 ? "" : "s"}, then ${
        truth.length - shown.givenFrames
      } imagined from the actions alone`,
      panels: {
        Truth: shape(truth.frames),
        ...Object.fromEntries(Object.entries(imagined).map(([name, all]) => [name, shape(all[i])])),
      },
    };
  });
  return clips;
}

/** What `report.html` of a run shows. */
export function robotVideoReport(
  config: RobotVideoConfig,
  result: RobotVideoResult,
  clips: readonly GalleryClip[],
): RecipeReport {
  return {
    title: config.data.prediction === "multi-step"
      ? "Robot video, several frames ahead: likelihood, then reinforcement learning on the metric"
      : "Robot video: likelihood, then reinforcement learning on the metric",
    curves: CURVES,
    horizon: horizonFigures(result),
    clips,
    tables: [modelTable(result), ...result.baselines ? [baselineTable(result.baselines, BASELINE_CAPTION)] : []],
  };
}

/** One sentence: what GRPO did to the metric that it was rewarded by. */
export function robotVideoHeadline(result: RobotVideoResult): string {
  const name = result.headline, metric = result.metrics[name];
  const share = 100 * relativeImprovement(metric), { difference } = metric;
  const against = result.base === "control"
    ? "likelihood training continued for the same time"
    : "likelihood training alone";
  const judged = difference
    ? `the 95 % interval of the difference ${
      difference.high < 0 || difference.low > 0 ? "does not cross" : "crosses"
    } zero`
    : "clips of one episode only, too few for an interval of the difference";
  return `Held-out ${name.toUpperCase()} is ${formatNumber(metric.rlvr.mean)} after GRPO and ` +
    `${formatNumber(metric.base.mean)} after ${against}: ${formatNumber(Math.abs(share), 3)} % ` +
    `${share >= 0 ? "better" : "worse"}; ${judged} ` +
    `(${metric.rlvr.n} held-out clips).${result.baselines ? ` ${baselineSentence(result.baselines)}` : ""}` +
    (metric.byFrame ? repetitionSentence(result) : "");
}

function repetitionSentence({ metrics: { repetition: { base, rlvr } }, trueRepetition }: RobotVideoResult): string {
  const percent = ({ mean }: Interval) => `${formatNumber(100 * mean, 3)} %`;
  return ` Its predictions stand still at their end in ${percent(rlvr)} of the clips, the base's in ${
    percent(base)
  }, ` +
    `true ones in ${percent(trueRepetition)}.`;
}

function horizonFigures({ metrics }: RobotVideoResult): ReportFigure[] {
  return Object.entries(metrics).flatMap(([name, { byFrame, better }]) =>
    byFrame
      ? [{
        title: `${name.toUpperCase()} at each predicted frame`,
        caption: `Mean and 95 % interval over held-out clips; ${better} is better.`,
        figure: horizonFigure(byFrame, name.toUpperCase(), better),
      }]
      : []
  );
}

function modelTable(result: RobotVideoResult): ReportTable {
  const hasControl = result.base === "control";
  const show = (interval: Interval) => intervalText(interval, (value) => formatNumber(value));
  const n = Object.values(result.metrics).some((metric) => metric.bestOfN);
  return {
    title: "Every model",
    columns: [
      "Metric",
      "Likelihood",
      ...(hasControl ? ["Likelihood, continued as long as GRPO took"] : []),
      "RLVR",
      ...(n ? ["Base, best of N", "RLVR, best of N"] : []),
    ],
    rows: Object.entries(result.metrics).map(([name, metric]) => [
      `${name} ${metric.better === "lower" ? "↓" : "↑"}`,
      show(metric.likelihood),
      ...(hasControl ? [show(metric.base)] : []),
      show(metric.rlvr),
      ...(n ? (metric.bestOfN ? [show(metric.bestOfN.base), show(metric.bestOfN.rlvr)] : ["", ""]) : []),
    ]),
    caption: "Mean and 95 % interval over held-out clips; clips of one episode are resampled together. " +
      `Of the true clips, ${formatNumber(100 * result.trueRepetition.mean, 3)} % repeat in the same sense.`,
  };
}

const CURVES: readonly CurvePanel[] = [
  {
    stages: ["tokenizer"],
    metric: "absoluteError",
    title: "Tokenizer: absolute error of pixels",
    caption: "Mean over the batch; pixels in [0, 1].",
  },
  LIKELIHOOD_PANEL,
  {
    stages: ["grpo"],
    metric: "reward",
    title: "GRPO: reward",
    caption: "Mean over a step's answers; the metric itself, signed so that more is better.",
  },
  ...grpoPanels(["grpo"], "parts"),
  {
    stages: ["control"],
    metric: "loss",
    title: "Control: negative log-likelihood",
    caption: "Likelihood training continued for as long as GRPO took.",
  },
];

/**
 * A plain-text table: a row a metric, a column a model, each with its 95 % interval; the best of N beside it where N > 1.
 */
export function scoreTable(evaluations: Record<string, VideoEvaluation>, seed: number): string {
  const models = Object.entries(evaluations);
  const [, first] = models[0];
  const show = (values: Float64Array, groups: string[]) =>
    intervalText(meanInterval(values, { seed, groups }), (value) => formatNumber(value));
  const isBestOfN = models.some(([, each]) =>
    Object.keys(each.values).some((name) => each.values[name].some((value, i) => value !== each.best[name][i]))
  );
  const header = ["", ...models.flatMap(([name]) => isBestOfN ? [name, `${name}, best of N`] : [name])];
  const rows = Object.keys(first.values).map((metric) => [
    metric,
    ...models.flatMap(([, evaluation]) => {
      const mean = show(evaluation.values[metric], evaluation.episodes);
      return isBestOfN ? [mean, show(evaluation.best[metric], evaluation.episodes)] : [mean];
    }),
  ]);
  const addRow = (name: string, values: (each: VideoEvaluation) => Float64Array) =>
    void rows.push([
      name,
      ...models.flatMap(([, evaluation]) => {
        const cell = show(values(evaluation), evaluation.episodes);
        return isBestOfN ? [cell, ""] : [cell];
      }),
    ]);
  addRow("repetition", (evaluation) => evaluation.repetition);
  const [headline] = Object.keys(first.values);
  first.byFrame?.[headline]?.forEach((_, t) =>
    addRow(`${headline}, frame ${t + 1}`, (evaluation) => evaluation.byFrame![headline][t])
  );
  return `${alignedText([header, ...rows])}\n${first.episodes.length} held-out clips of ${
    new Set(first.episodes).size
  } episodes; mean [95 % interval]` +
    rejectionLine(models);
}

/** How much rejection cost; nothing where nothing was drawn again. */
function rejectionLine(models: readonly (readonly [name: string, evaluation: VideoEvaluation])[]): string {
  if (models.every(([, { attempts }]) => attempts === 1)) return "";
  const list = models.map(([name, { attempts }]) => `${name} ${formatNumber(attempts)}`).join(", ");
  return `\nanswers that repeat were drawn again; samplings an answer: ${list}`;
}
