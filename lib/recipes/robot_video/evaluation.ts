/**
 * VideoEvaluation on held-out clips: what follows every clip's question is sampled, decoded and compared by every metric.
 *
 * One answer a clip gives the tables; N answers give the mean, and the best of the N for each metric on its own
 * (best-of-N). Where several frames are predicted, a metric is the mean over them, and its mean at each of them is kept. An
 * answer that repeats (its frame is the last one of its history, or its last two frames are the same) may be rejected: it is
 * drawn again with the next attempt's random stream, and after the last attempt it is kept.
 *
 * Source: RLVR-World §6, and its code's evaluation (sampling at temperature 1 among the 100 likeliest tokens).
 */
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { SamplingOptions } from "../../nn/sampling.ts";
import { rollout } from "../../train/rollout.ts";
import { STREAM } from "../../base/streams.ts";
import type { EvaluationClips, VideoClip } from "../../worlds/robot_video/clips.ts";
import type { VideoPrediction } from "./video_kind.ts";

export interface EvaluationRequest {
  /** The model whose answers are judged. */
  model: CausalTransformer;
  /** The world and its metrics, by which answers are decoded and compared. */
  prediction: VideoPrediction;
  /** Held-out clips. */
  clips: EvaluationClips;
  /** Evaluate items 0 … items − 1. @default {clips.length} */
  items?: number;
  /** N, answers a clip. */
  samples: number;
  /** Temperature and truncation of the answers' distribution. */
  sampling: SamplingOptions;
  /** Whether answers that repeat are drawn again. */
  rejectRepeating: boolean;
  /** Samplings of an answer, rejected ones included, at most. @default {20} */
  maxAttempts?: number;
  /** Names of the metrics to compute. */
  metrics: readonly string[];
  /** Seed of the answers' random streams. */
  seed: number;
  /** Number of answers that are computed at once. */
  rows: number;
  /** Called with the number of clips done. */
  onProgress?: (done: number, total: number) => void;
  /** Awaited now and then, to let events have their turn; it may throw to end the work. @default {breather()} */
  breathe?: () => Promise<void>;
}

/** Numbers of an evaluation, one an item. */
export interface VideoEvaluation {
  /** By metric: the mean over the item's samples. */
  values: Record<string, Float64Array>;
  /** By metric: the best of the item's samples. */
  best: Record<string, Float64Array>;
  /** By metric, where several frames are predicted: the mean over the item's samples at each of them, first to last. */
  byFrame?: Record<string, Float64Array[]>;
  /** Share of the item's answers that repeat the frame before. */
  repetition: Float64Array;
  /** 1 where the true answer does so, which is no fault of a model's. */
  trueRepetition: Float64Array;
  /** Mean number of samplings an answer took: 1 without rejection. */
  attempts: number;
  /** What can be had of the model for nothing, where it was asked for. */
  baselines?: VideoBaselines;
  /** Episode of each item: clips of one episode are not independent. */
  episodes: string[];
}

/**
 * What can be had of a model for nothing: the metric of each clip, by baseline. See `baselines.ts`.
 *
 * @internal
 */
export interface VideoBaselines {
  /** The metric. */
  metric: string;
  /** N. */
  answers: number;
  /** The temperature that was chosen. */
  temperature: number;
  /** Mean of the metric on the selection clips at each temperature that was tried. */
  byTemperature: { temperature: number; mean: number }[];
  /** At the chosen temperature, [C]. */
  atTemperature: Float64Array;
  /** The nearest of N answers to the others, [C]. */
  nearest: Float64Array;
  /** The median of N answers, [C]. */
  median: Float64Array;
  /** The last given frame again, [C]. */
  copy: Float64Array;
  /** The true frames through the tokenizer, [C]. */
  floor: Float64Array;
}

/** Evaluates a model on held-out clips. */
export async function evaluateRobotVideo(request: EvaluationRequest): Promise<VideoEvaluation> {
  const { prediction, clips, samples } = request, { world } = prediction;
  const metrics = [...new Set([...request.metrics, ...prediction.ownMetrics])];
  const items = Math.min(request.items ?? clips.length, clips.length);
  const empty = () => Object.fromEntries(metrics.map((name) => [name, new Float64Array(items)]));
  const result: VideoEvaluation = {
    values: empty(),
    best: empty(),
    repetition: new Float64Array(items),
    trueRepetition: new Float64Array(items),
    attempts: 0,
    episodes: [],
  };
  const atOnce = Math.max(1, Math.floor(request.rows / samples));
  request.onProgress?.(0, items);
  for (let from = 0; from < items; from += atOnce) {
    const numbers = Array.from({ length: Math.min(atOnce, items - from) }, (_, i) => from + i);
    const drawn: VideoClip[] = [];
    for (const item of numbers) drawn.push(await clips.clip(item));
    result.episodes.push(...drawn.map((clip) => clip.episode));
    const { answers, repeating, truthRepeats, attempts } = await sampleAnswers(request, drawn, numbers);
    result.attempts += attempts;
    numbers.forEach((item, i) => {
      const repeats = repeating.slice(i * samples, (i + 1) * samples);
      result.repetition[item] = repeats.filter(Boolean).length / samples;
      result.trueRepetition[item] = Number(truthRepeats[i]);
    });
    const owners = answers.map((_, row) => Math.floor(row / samples));
    const predicted = await world.decode(answers, owners.map((i) => drawn[i]));
    const once = await world.truth(drawn), truth = world.select(once, owners);
    world.release?.(once);
    for (const name of metrics) {
      const { values, byFrame } = await prediction.measure(name, predicted, truth);
      const best = prediction.better(name) === "lower" ? Math.min : Math.max;
      numbers.forEach((item, i) => {
        const scores = [...values.subarray(i * samples, (i + 1) * samples)];
        result.values[name][item] = scores.reduce((sum, value) => sum + value, 0) / samples;
        result.best[name][item] = best(...scores);
        if (byFrame) keepFrames(result, name, item, items, meanRow(byFrame, values.length, i * samples, samples));
      });
    }
    world.release?.(predicted);
    world.release?.(truth);
    request.onProgress?.(from + numbers.length, items);
  }
  result.attempts /= items * samples;
  return result;
}

/** The mean of some rows of [rows, T]. */
function meanRow(values: Float32Array, rows: number, first: number, count: number): Float64Array {
  const frames = values.length / rows, mean = new Float64Array(frames);
  for (let row = first; row < first + count; row++) {
    for (let t = 0; t < frames; t++) mean[t] += values[row * frames + t] / count;
  }
  return mean;
}

function keepFrames(result: VideoEvaluation, name: string, item: number, items: number, values: Float64Array): void {
  const all = result.byFrame ??= {};
  const byFrame = all[name] ??= Array.from(values, () => new Float64Array(items));
  values.forEach((value, t) => byFrame[t][item] = value);
}

async function sampleAnswers(request: EvaluationRequest, clips: readonly VideoClip[], items: readonly number[]) {
  const { model, prediction, samples, sampling, seed, rows, maxAttempts = 20 } = request;
  const encoded = await prediction.world.encode(clips);
  const repeats = await prediction.repetitionRule(clips);
  const draw = (chosen: readonly number[], attempt: number) =>
    rollout(model, {
      questions: chosen.map((i) => encoded[i].question),
      plans: chosen.map((i) => encoded[i].answer),
      groupSize: samples,
      sampling,
      stream: [seed, STREAM.evaluation, attempt],
      promptNumbers: chosen.map((i) => items[i]),
      maxRows: rows,
      breathe: request.breathe,
    });
  const everyone = clips.map((_, i) => i);
  const { answers } = await draw(everyone, 0);
  let attempts = answers.length;
  const isRepeating = (row: number) => repeats(Math.floor(row / samples), answers[row]);
  const repeating = answers.map((_, row) => isRepeating(row));
  for (let attempt = 1; request.rejectRepeating && attempt < maxAttempts; attempt++) {
    const again = everyone.filter((i) => repeating.slice(i * samples, (i + 1) * samples).some(Boolean));
    if (again.length === 0) break;
    const next = await draw(again, attempt);
    again.forEach((i, at) => {
      for (let g = 0; g < samples; g++) {
        const row = i * samples + g;
        if (!repeating[row]) continue;
        attempts++;
        answers[row] = next.answers[at * samples + g];
        repeating[row] = isRepeating(row);
      }
    });
  }
  const truthRepeats = encoded.map(({ answer }, i) => repeats(i, answer.tokens));
  return { answers, repeating, truthRepeats, attempts };
}
