/**
 * Evaluation on held-out transitions: precision, recall and F1 of greedy answers; on request of sampled ones as well.
 *
 * Greedy decoding is the paper's protocol. What GRPO raises is the expected reward of sampled answers, and what an agent asks
 * for is a sample, so the scores of samples stand beside it. A page on which little happens is predicted well by "nothing
 * changes", so that baseline stands beside them too.
 *
 * Source: RLVR-World Table 2; its columns are means of per-sample values.
 */
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { SamplingOptions } from "../../nn/sampling.ts";
import { generate } from "../../train/generation.ts";
import { STREAM } from "../../base/streams.ts";
import { type F1Score, scoreChanges } from "../../worlds/web_page/f1_reward.ts";
import { formatChanges } from "../../worlds/web_page/item_changes.ts";
import type { WebPageExample, WebPageResponse, WebPageWorld } from "../../worlds/web_page/world.ts";

/** Metrics of an answer, in the order in which they are shown. */
export const WEB_PAGE_METRICS = ["f1", "precision", "recall"] as const;
/** Name of a metric of web pages. */
export type WebPageMetric = typeof WEB_PAGE_METRICS[number];

/** Which model to evaluate, on which transitions, and how. */
export interface WebPageEvaluationRequest {
  /** The model whose answers are judged. */
  model: CausalTransformer;
  /** The world in the model's tokens. */
  world: WebPageWorld;
  /** Held-out transitions. */
  examples: readonly WebPageExample[];
  /** Names the samples' random streams; greedy answers use nothing of it. */
  seed: number;
  /** Answers to be drawn for each example beside the greedy one. @default {0} */
  sampledAnswers?: number;
  /** Temperature and truncation of the drawn answers. */
  sampling?: SamplingOptions;
  /** Number of answers that are sampled at once. */
  rows: number;
  /** Called with the number of examples done. */
  onProgress?: (done: number, total: number) => void;
  /** Awaited now and then, to let events have their turn; it may throw to end the work. @default {breather()} */
  breathe?: () => Promise<void>;
}

/**
 * One number an example for each metric.
 *
 * @internal
 */
export type WebPageScores = Readonly<Record<WebPageMetric, Float64Array>>;

/**
 * What {@linkcode evaluateWebPage} found.
 *
 * @internal
 */
export interface WebPageEvaluation {
  /** Scores of the greedy answers. */
  greedy: WebPageScores;
  /** Means over each example's sampled answers; there when samples were asked for. */
  sampled?: WebPageScores;
  /** Scores of the sampled answer that is nearest to the others by F1 (minimum Bayes risk); there when several were asked for. */
  nearest?: WebPageScores;
  /** Text of each greedy answer. */
  responses: string[];
  /** Whether each ended by itself. */
  ended: boolean[];
}

/** Evaluates a model on held-out transitions. */
export async function evaluateWebPage(request: WebPageEvaluationRequest): Promise<WebPageEvaluation> {
  const { model, world, examples, seed, rows, sampledAnswers = 0, sampling = {}, onProgress } = request;
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
  const greedy = scoresOf(responses.map((response) => [world.score(response)]));
  if (sampledAnswers === 0) return { greedy, responses: responses.map((response) => response.response), ended };
  const drawn = (await answer(sampledAnswers, sampling, examples.length)).answers;
  const states = await world.decode(drawn, drawn.map((_, row) => examples[Math.floor(row / sampledAnswers)]));
  const scores = states.map((state) => world.score(state));
  const ofExample = <T>(all: readonly T[], i: number) => all.slice(i * sampledAnswers, (i + 1) * sampledAnswers);
  const nearest = sampledAnswers > 1 && scoresOf(examples.map((_, i) => {
    return [ofExample(scores, i)[nearestAnswer(world, ofExample(states, i))]];
  }));
  return {
    greedy,
    sampled: scoresOf(examples.map((_, i) => ofExample(scores, i))),
    ...nearest ? { nearest } : {},
    responses: responses.map((response) => response.response),
    ended,
  };
}

/** Place of the answer to one question that agrees most with the others, by F1; of equal ones the first. */
export function nearestAnswer(world: WebPageWorld, answers: readonly WebPageResponse[]): number {
  const agreement = answers.map(({ example, response }, i) =>
    answers.reduce((sum, other, j) => {
      return i === j ? sum : sum + world.score({ response, example: { ...example, truth: other.response } }).f1;
    }, 0)
  );
  return agreement.indexOf(Math.max(...agreement));
}

/** Means over each example's answers. */
function scoresOf(scores: readonly (readonly F1Score[])[]): WebPageScores {
  const part = (name: WebPageMetric) =>
    Float64Array.from(scores, (ofExample) => ofExample.reduce((sum, score) => sum + score[name], 0) / ofExample.length);
  return { f1: part("f1"), precision: part("precision"), recall: part("recall") };
}

/** What always answering "nothing changes" would earn. */
export function unchangedPageBaseline(examples: readonly WebPageExample[]): WebPageEvaluation {
  const response = formatChanges({ newItems: [], deletedItems: [], updatedItems: [] });
  const scores = scoresOf(examples.map(({ truth }) => [scoreChanges(response, truth)]));
  return {
    greedy: scores,
    sampled: scores,
    responses: examples.map(() => response),
    ended: examples.map(() => true),
  };
}
