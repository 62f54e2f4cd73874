/**
 * Evaluation on held-out transitions: greedy answers, scored as changed, unchanged and all.
 *
 * A model that always says "nothing changes" is right wherever nothing changes, so the three are never told apart from each
 * other, and that baseline stands beside them.
 *
 * Source: RLVR-World Table 1; spec of the changed/unchanged split: object list or score differs.
 */
import type { CausalTransformer } from "../models/causal_transformer.ts";
import { generate } from "../rl/generation.ts";
import { STREAM } from "../training/streams.ts";
import type { Strictness } from "../worlds/text_game/difference.ts";
import { scoreResponse } from "../worlds/text_game/reward.ts";
import type { TextGameExample, TextGameWorld } from "../worlds/text_game/world.ts";

/** What to evaluate. */
export interface TextGameEvaluationRequest {
  /** Whose answers are judged. */
  model: CausalTransformer;
  /** In its tokens. */
  world: TextGameWorld;
  /** On what. */
  examples: readonly TextGameExample[];
  /** Of the rewards. */
  scoring: Strictness;
  /** Names the random streams, of which greedy answers use nothing. */
  seed: number;
  /** Answers sampled at once. */
  rows: number;
  /** Called with the number of examples done. */
  onProgress?: (done: number, total: number) => void;
}

/** Numbers of an evaluation, one an example. */
export interface TextGameEvaluation {
  /** Binary reward: 1 where the predicted state is right. */
  binary: Float64Array;
  /** Task-specific reward. */
  taskSpecific: Float64Array;
  /** The answers. */
  responses: string[];
  /** Whether each ended by itself. */
  ended: boolean[];
}

/** See the file's head. */
export async function evaluateTextGame(request: TextGameEvaluationRequest): Promise<TextGameEvaluation> {
  const { model, world, examples, scoring, seed, rows, onProgress } = request;
  const encoded = await world.encode(examples);
  const { answers, ended } = await generate(model, {
    ...world.openAnswers,
    questions: encoded.map((each) => each.question),
    groupSize: 1,
    sampling: { greedy: true },
    stream: [seed, STREAM.evaluation, 0],
    maxRows: rows,
    onProgress: (done) => onProgress?.(done, examples.length),
  });
  const responses = await world.decode(answers, examples);
  const scores = responses.map((each) => world.score(each, scoring));
  return {
    binary: Float64Array.from(scores, (each) => each.binary),
    taskSpecific: Float64Array.from(scores, (each) => each.taskSpecific),
    responses: responses.map((each) => each.response),
    ended,
  };
}

/** What always answering "nothing changes" would earn. */
export function unchangedBaseline(examples: readonly TextGameExample[], scoring: Strictness): TextGameEvaluation {
  const response = `{"modified": [], "removed": [], "score": {}}`;
  const scores = examples.map(({ current, next }) => scoreResponse(response, current, next, scoring));
  return {
    binary: Float64Array.from(scores, (each) => each.binary),
    taskSpecific: Float64Array.from(scores, (each) => each.taskSpecific),
    responses: examples.map(() => response),
    ended: examples.map(() => true),
  };
}
