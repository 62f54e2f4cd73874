/**
 * Evaluation on held-out clips: every clip's next frame is sampled, decoded and compared by every metric.
 *
 * One answer a clip gives the tables; N answers give the mean, and the best of the N for each metric on its own
 * (best-of-N). An answer that says exactly the tokens of the last history frame is repeating; with rejection it is drawn
 * again with the next attempt's random stream, and after `MAX_ATTEMPTS` it is kept.
 *
 * Source: RLVR-World §6, and its code's evaluation (sampling at temperature 1 among the 100 likeliest tokens).
 */
import type { CausalTransformer } from "../models/causal_transformer.ts";
import type { SamplingOptions } from "../nn/sampling.ts";
import { rollout } from "../rl/rollout.ts";
import { STREAM } from "../training/streams.ts";
import type { Clip, EvaluationClips } from "../worlds/robot_video/clips.ts";
import type { RobotVideoWorld } from "../worlds/robot_video/world.ts";
import { singleStepQuestion } from "../worlds/robot_video/sequences.ts";
import type { Tokens } from "../worlds/world.ts";

/** What to evaluate. */
export interface EvaluationRequest {
  model: CausalTransformer;
  world: RobotVideoWorld;
  clips: EvaluationClips;
  /** Evaluate items 0 … items − 1; all when left out. */
  items?: number;
  /** N answers a clip. */
  samples: number;
  sampling: SamplingOptions;
  rejectRepeating: boolean;
  metrics: readonly string[];
  seed: number;
  /** Answers computed at once. */
  rows: number;
  /** Called with the number of clips done. */
  onProgress?: (done: number, total: number) => void;
}

/** Numbers of an evaluation, one an item. */
export interface Evaluation {
  /** By metric: the mean over the item's samples. */
  values: Record<string, Float64Array>;
  /** By metric: the best of the item's samples. */
  best: Record<string, Float64Array>;
  /** Share of the item's answers that repeat the last history frame. */
  repetition: Float64Array;
  /** Episode of each item: clips of one episode are not independent. */
  episodes: string[];
}

const MAX_ATTEMPTS = 20;

/** See the file's head. */
export async function evaluateRobotVideo(request: EvaluationRequest): Promise<Evaluation> {
  const { world, clips, samples, metrics } = request;
  const items = Math.min(request.items ?? clips.length, clips.length);
  const empty = () => Object.fromEntries(metrics.map((name) => [name, new Float64Array(items)]));
  const result: Evaluation = { values: empty(), best: empty(), repetition: new Float64Array(items), episodes: [] };
  const atOnce = Math.max(1, Math.floor(request.rows / samples));
  for (let from = 0; from < items; from += atOnce) {
    const numbers = Array.from({ length: Math.min(atOnce, items - from) }, (_, i) => from + i);
    const some: Clip[] = [];
    for (const item of numbers) some.push(await clips.clip(item));
    result.episodes.push(...some.map((clip) => clip.episode));
    const { answers, repeating } = await sampleAnswers(request, some, numbers);
    numbers.forEach((item, i) => {
      const own = repeating.slice(i * samples, (i + 1) * samples);
      result.repetition[item] = own.filter(Boolean).length / samples;
    });
    const owners = answers.map((_, row) => some[Math.floor(row / samples)]);
    const predicted = await world.decode(answers), truth = await world.truth(owners);
    for (const name of metrics) {
      const metric = world.metrics[name];
      const values = await metric.compute(predicted, truth);
      numbers.forEach((item, i) => {
        const own = [...values.subarray(i * samples, (i + 1) * samples)];
        result.values[name][item] = own.reduce((sum, value) => sum + value, 0) / samples;
        result.best[name][item] = metric.better === "lower" ? Math.min(...own) : Math.max(...own);
      });
    }
    world.release(predicted);
    world.release(truth);
    request.onProgress?.(from + numbers.length, items);
  }
  return result;
}

async function sampleAnswers(request: EvaluationRequest, clips: readonly Clip[], items: readonly number[]) {
  const { model, world, samples, sampling, seed, rows } = request;
  const encoded = await world.encode(clips);
  const lastFrames = (await world.frameTokens(clips)).map((frames) => frames[frames.length - 2]);
  const draw = (chosen: readonly number[], attempt: number) =>
    rollout(model, {
      questions: chosen.map((i) => encoded[i].question),
      plans: chosen.map((i) => encoded[i].answer),
      groupSize: samples,
      sampling,
      stream: [seed, STREAM.evaluation, attempt],
      promptNumbers: chosen.map((i) => items[i]),
      maxRows: rows,
    });
  const everyone = clips.map((_, i) => i);
  const { answers } = await draw(everyone, 0);
  const repeats = (row: number) => lastFrames[Math.floor(row / samples)].every((token, t) => token === answers[row][t]);
  const repeating = answers.map((_, row) => repeats(row));
  for (let attempt = 1; request.rejectRepeating && attempt < MAX_ATTEMPTS; attempt++) {
    const again = everyone.filter((i) => repeating.slice(i * samples, (i + 1) * samples).some(Boolean));
    if (again.length === 0) break;
    const next = await draw(again, attempt);
    again.forEach((i, at) => {
      for (let g = 0; g < samples; g++) {
        const row = i * samples + g;
        if (!repeating[row]) continue;
        answers[row] = next.answers[at * samples + g];
        repeating[row] = repeats(row);
      }
    });
  }
  return { answers, repeating };
}

/**
 * Lets the model imagine: it predicts frame after frame from its own predictions and the actions that were really taken.
 *
 * @param clip History frames, then the frames that the actions led to; its length decides how many are imagined.
 * @returns bytes [S, H, W, 3]: the history frames as they were, then the imagined ones.
 */
export async function imagine(
  model: CausalTransformer,
  world: RobotVideoWorld,
  bins: { encode(actions: Float32Array): Int32Array },
  clip: Clip,
  history: number,
  options: { sampling: SamplingOptions; stream: readonly [number, number, number] },
): Promise<Uint8Array> {
  const { height, width, actionWidth } = clip, size = height * width * 3;
  const shown = { ...clip, frames: clip.frames.subarray(0, history * size), length: history };
  const [frames]: Tokens[][] = await world.frameTokens([shown]);
  const bin = (t: number) => bins.encode(clip.actions.subarray(t * actionWidth, (t + 1) * actionWidth));
  const answers: Tokens[] = [];
  for (let t = history; t < clip.length; t++) {
    const question = singleStepQuestion(
      world.vocabulary,
      frames.slice(t - history, t),
      Array.from({ length: history }, (_, i) => bin(t - history + i)),
    );
    const length = world.tokenizer.tokensPerFrame + 1;
    const { answers: [answer] } = await rollout(model, {
      questions: [question],
      plans: [{ tokens: new Int32Array(length), sampled: new Uint8Array(length).fill(1) }],
      groupSize: 1,
      sampling: options.sampling,
      stream: options.stream,
      promptNumbers: [t],
    });
    answers.push(answer);
    frames.push(answer.subarray(0, length - 1).map((id) => Math.min(id, world.vocabulary.frameTokens - 1)));
  }
  const out = new Uint8Array(clip.length * size);
  out.set(clip.frames.subarray(0, history * size));
  if (answers.length > 0) {
    const decoded = await world.decode(answers);
    const pixels = await decoded.frames.data();
    for (let i = 0; i < pixels.length; i++) out[history * size + i] = Math.round(255 * pixels[i]);
    world.release(decoded);
  }
  return out;
}
