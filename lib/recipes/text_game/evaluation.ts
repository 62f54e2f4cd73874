/**
 * Evaluation on held-out transitions: greedy answers, scored as changed, unchanged and all; on request sampled ones as well.
 *
 * Greedy decoding is the paper's protocol. What GRPO raises is the expected reward of sampled answers, and what a simulator
 * of the game would show is a sample, so the accuracy of samples stands beside it.
 *
 * A model that always says "nothing changes" is right wherever nothing changes, so the three are never told apart from each
 * other, and that baseline stands beside them.
 *
 * Source: RLVR-World Table 1; spec of the changed/unchanged split: object list or score differs.
 */
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { SamplingOptions } from "../../nn/sampling.ts";
import { generate } from "../../train/generation.ts";
import { STREAM } from "../../base/streams.ts";
import type { Strictness } from "../../worlds/text_game/difference.ts";
import { scoreResponse } from "../../worlds/text_game/reward.ts";
import type { TextGameExample, TextGameWorld } from "../../worlds/text_game/world.ts";
import type { Tokens } from "../../worlds/world.ts";

/** Which model to evaluate, on which transitions, and how. */
export interface TextGameEvaluationRequest {
  /** The model whose answers are judged. */
  model: CausalTransformer;
  /** The world in the model's tokens. */
  world: TextGameWorld;
  /** Held-out transitions. */
  examples: readonly TextGameExample[];
  /** Whether answers are read as released, or strictly. */
  scoring: Strictness;
  /** Names the samples' random streams; greedy answers use nothing of it. */
  seed: number;
  /** Answers to be drawn for each example at temperature 1 beside the greedy one. @default {0} */
  sampledAnswers?: number;
  /** Number of answers that are sampled at once. */
  rows: number;
  /** Called with the number of examples done. */
  onProgress?: (done: number, total: number) => void;
  /** Awaited now and then, to let events have their turn; it may throw to end the work. @default {breather()} */
  breathe?: () => Promise<void>;
}

/**
 * Numbers of an evaluation, one an example.
 *
 * @internal
 */
export interface TextGameEvaluation {
  /** Binary reward: 1 where the predicted state is right. */
  binary: Float64Array;
  /** Task-specific reward of each greedy answer. */
  taskSpecific: Float64Array;
  /** Share of each example's sampled answers that are right; there when samples were asked for. */
  sampledBinary?: Float64Array;
  /** Whether the answer that was sampled most often is right; there when several were asked for. */
  majorityBinary?: Float64Array;
  /** Text of each greedy answer. */
  responses: string[];
  /** Whether each ended by itself. */
  ended: boolean[];
}

/** Evaluates a model on held-out transitions. */
export async function evaluateTextGame(request: TextGameEvaluationRequest): Promise<TextGameEvaluation> {
  const { model, world, examples, scoring, seed, rows, sampledAnswers = 0, onProgress } = request;
  const encoded = await world.encode(examples);
  // Answers to one question are drawn together.
  const total = examples.length * (sampledAnswers > 0 ? 2 : 1);
  onProgress?.(0, total);
  const answer = (groupSize: number, sampling: SamplingOptions, alreadyDone: number) =>
    generate(model, {
      ...world.openAnswers,
      questions: encoded.map((example) => example.question),
      groupSize,
      sampling,
      stream: [seed, STREAM.evaluation, 0],
      maxRows: rows,
      breathe: request.breathe,
      onProgress: (done) => onProgress?.(alreadyDone + done, total),
    });
  const { answers, ended } = await answer(1, { greedy: true }, 0);
  const responses = await world.decode(answers, examples);
  const scores = responses.map((response) => world.score(response, scoring));
  return {
    binary: Float64Array.from(scores, (score) => score.binary),
    taskSpecific: Float64Array.from(scores, (score) => score.taskSpecific),
    responses: responses.map((response) => response.response),
    ended,
    ...sampledAnswers === 0
      ? {}
      : await sampledAccuracies(request, (await answer(sampledAnswers, { temperature: 1 }, examples.length)).answers),
  };
}

/** Accuracies of the sampled answers, and of the most frequent one of each example where there are several. */
async function sampledAccuracies(
  { world, examples, scoring, sampledAnswers = 0 }: TextGameEvaluationRequest,
  answers: readonly Tokens[],
): Promise<Pick<TextGameEvaluation, "sampledBinary" | "majorityBinary">> {
  const states = await world.decode(answers, answers.map((_, row) => examples[Math.floor(row / sampledAnswers)]));
  const sampledBinary = new Float64Array(examples.length), majorityBinary = new Float64Array(examples.length);
  for (let i = 0; i < examples.length; i++) {
    const drawn = states.slice(i * sampledAnswers, (i + 1) * sampledAnswers);
    const right = drawn.map((state) => world.score(state, scoring).binary);
    sampledBinary[i] = right.reduce((sum, each) => sum + each, 0) / sampledAnswers;
    majorityBinary[i] = right[mostFrequent(drawn.map(({ response }) => response))];
  }
  return { sampledBinary, ...sampledAnswers > 1 ? { majorityBinary } : {} };
}

/** Place of the first of the texts that occurs most often. */
export function mostFrequent(texts: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return texts.findIndex((text) => counts.get(text) === most);
}

/** What always answering "nothing changes" would earn. */
export function unchangedBaseline(examples: readonly TextGameExample[], scoring: Strictness): TextGameEvaluation {
  const response = `{"modified": [], "removed": [], "score": {}}`;
  const scores = examples.map(({ current, next }) => scoreResponse(response, current, next, scoring));
  return {
    binary: Float64Array.from(scores, (score) => score.binary),
    taskSpecific: Float64Array.from(scores, (score) => score.taskSpecific),
    sampledBinary: Float64Array.from(scores, (score) => score.binary),
    responses: examples.map(() => response),
    ended: examples.map(() => true),
  };
}
