/**
 * What can be had of a model for nothing: the baselines that reinforcement learning has to beat, and what they leave to be gained.
 *
 *   best temperature   the temperature whose answers are best by the metric, chosen on clips of its own
 *   nearest of N       of N answers the one that is nearest to the others by the metric (minimum Bayes risk)
 *   copy               the last frame that is given, again
 *
 * Two more say where the limits are: the `median` of N answers, pixel by pixel, which no answer of the model may be able to say but
 * which a policy that had learned its reward would come near to; and the tokenizer's `floor`, the true frames through its tokens.
 *
 * Axes: C clips, N answers a clip.
 */
import { STREAM } from "../../base/streams.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { rollout } from "../../train/rollout.ts";
import type { EvaluationClips, VideoClip } from "../../worlds/robot_video/clips.ts";
import type { Tokens } from "../../worlds/world.ts";
import { evaluateRobotVideo, type EvaluationRequest, type VideoBaselines } from "./evaluation.ts";

/** Temperatures that are tried, beside that of the evaluation. */
export const TEMPERATURES: readonly number[] = [0.7, 0.5, 0.35, 0.2, 0.1, 0.05];

/** What is asked. */
export interface BaselineRequest extends Omit<EvaluationRequest, "metrics" | "samples" | "rejectRepeating"> {
  /** The metric by which answers are chosen and judged. */
  metric: string;
  /** N. */
  answers: number;
  /** Other clips, on which the temperature is chosen. */
  selection: EvaluationClips;
}

/** The baselines of one model. See the file's head. */
export async function evaluateBaselines(request: BaselineRequest): Promise<VideoBaselines> {
  const { metric, answers, clips, selection, prediction, sampling, onProgress } = request;
  const items = Math.min(request.items ?? clips.length, clips.length);
  const better = prediction.better(metric), temperatures = [sampling.temperature ?? 1, ...TEMPERATURES];
  const total = baselineAnswers(items, request);
  let done = 0;
  const advance = (count: number) => onProgress?.(done += count, total);
  const at = async (temperature: number, over: Pick<EvaluationRequest, "clips" | "items">) => {
    const evaluation = await evaluateRobotVideo({
      ...request,
      ...over,
      samples: 1,
      rejectRepeating: false,
      metrics: [metric],
      sampling: { ...sampling, temperature },
      onProgress: undefined,
    });
    advance(evaluation.episodes.length);
    return evaluation.values[metric];
  };
  const byTemperature: VideoBaselines["byTemperature"] = [];
  for (const temperature of temperatures) {
    byTemperature.push({ temperature, mean: meanOf(await at(temperature, { clips: selection, items: undefined })) });
  }
  const best = byTemperature.reduce((a, b) => isBetter(b.mean, a.mean, better) ? b : a);
  const atTemperature = await at(best.temperature, { clips, items });
  const values = { nearest: new Float64Array(items), median: new Float64Array(items) };
  const limits = { copy: new Float64Array(items), floor: new Float64Array(items) };
  const atOnce = Math.max(1, Math.floor(request.rows / answers));
  for (let from = 0; from < items; from += atOnce) {
    const chunk: VideoClip[] = [];
    for (let item = from; item < Math.min(items, from + atOnce); item++) chunk.push(await clips.clip(item));
    const found = await ofClips(request, chunk, from);
    values.nearest.set(found.nearest, from);
    values.median.set(found.median, from);
    limits.copy.set(found.copy, from);
    limits.floor.set(found.floor, from);
    advance(chunk.length * answers);
  }
  return { metric, answers, temperature: best.temperature, byTemperature, atTemperature, ...values, ...limits };
}

/** Answers that the baselines draw: to choose a temperature, at the chosen one, and N a clip. */
export function baselineAnswers(
  clips: number,
  { selection, answers }: Pick<BaselineRequest, "selection" | "answers">,
): number {
  return (1 + TEMPERATURES.length) * selection.length + clips * (1 + answers);
}

/** States of robot-video worlds, whatever else they hold: [B, …, H, W, 3] in [0, 1]. */
type Frames = { frames: Tensor };

/** What needs N answers to each of some clips, and what needs none. @param first Number of the first clip. */
async function ofClips(
  { model, prediction, metric, answers: count, sampling, seed, rows, breathe }: BaselineRequest,
  clips: readonly VideoClip[],
  first: number,
) {
  const { world } = prediction, encoded = await world.encode(clips);
  const { answers } = await rollout(model, {
    questions: encoded.map(({ question }) => question),
    plans: encoded.map(({ answer }) => answer),
    groupSize: count,
    sampling,
    stream: [seed, STREAM.evaluation, BASELINE_ATTEMPT],
    promptNumbers: clips.map((_, i) => first + i),
    maxRows: rows,
    breathe,
  });
  const measure = async (predicted: Frames, truth: Frames) =>
    (await prediction.measure(metric, { tokens: [], ...predicted }, { tokens: [], ...truth })).values;
  const decode = async (tokens: readonly Tokens[], owners: readonly VideoClip[]) =>
    await world.decode(tokens, owners) as Frames;
  const owners = answers.map((_, row) => Math.floor(row / count));
  const predicted = await decode(answers, owners.map((i) => clips[i]));
  const truth = await world.truth(clips) as Frames, truths = world.select(truth, owners) as Frames;
  const floors = await decode(encoded.map(({ answer }) => answer.tokens), clips);
  const { shape, engine } = truth.frames;
  const medians = { frames: tensor(engine, medianOf(await predicted.frames.data(), clips.length, count), shape) };
  const copies = { frames: tensor(engine, lastGiven(clips, prediction.shown.givenFrames), shape) };
  try {
    const errors = await measure(predicted, truths), distances = new Float64Array(answers.length);
    // Metrics are symmetric: the answer d places further on, for d up to N / 2, is every other answer once.
    for (let d = 1; d <= count / 2; d++) {
      const places = answers.map((_, row) => row - row % count + (row % count + d) % count);
      const others = world.select(predicted, places) as Frames;
      const between = await measure(predicted, others);
      world.release?.(others);
      between.forEach((value, row) => {
        distances[row] += value;
        if (2 * d !== count) distances[places[row]] += value;
      });
      await breathe?.();
    }
    const better = prediction.better(metric);
    const nearest = clips.map((_, i) => {
      let chosen = i * count;
      for (let row = chosen + 1; row < (i + 1) * count; row++) {
        if (isBetter(distances[row], distances[chosen], better)) chosen = row;
      }
      return errors[chosen];
    });
    return {
      nearest,
      median: await measure(medians, truth),
      copy: await measure(copies, truth),
      floor: await measure(floors, truth),
    };
  } finally {
    for (const states of [predicted, truth, truths, floors]) world.release?.(states);
    medians.frames.dispose();
    copies.frames.dispose();
  }
}

/** Third number of the answers' stream: none of an evaluation's attempts. */
const BASELINE_ATTEMPT = 2_000_000;

/** Number by number the median of N answers: [C·N, …] → [C, …]; of an even N the mean of the middle two. */
function medianOf(values: ArrayLike<number>, clips: number, answers: number): Float32Array {
  const size = values.length / (clips * answers), medians = new Float32Array(clips * size);
  const sorted = new Float32Array(answers), high = Math.floor(answers / 2), low = Math.floor((answers - 1) / 2);
  for (let clip = 0; clip < clips; clip++) {
    for (let i = 0; i < size; i++) {
      for (let n = 0; n < answers; n++) sorted[n] = values[(clip * answers + n) * size + i];
      sorted.sort();
      medians[clip * size + i] = (sorted[low] + sorted[high]) / 2;
    }
  }
  return medians;
}

/** The last given frame of each clip in the place of every predicted one, in [0, 1]. */
function lastGiven(clips: readonly VideoClip[], given: number): Float32Array {
  const { height, width, length } = clips[0], size = height * width * 3, predicted = length - given;
  const copies = new Float32Array(clips.length * predicted * size);
  clips.forEach(({ frames }, i) => {
    const last = Float32Array.from(frames.subarray((given - 1) * size, given * size), (byte) => byte / 255);
    for (let t = 0; t < predicted; t++) copies.set(last, (i * predicted + t) * size);
  });
  return copies;
}

function isBetter(a: number, b: number, better: "lower" | "higher"): boolean {
  return better === "lower" ? a < b : a > b;
}

function meanOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
