/**
 * Rollouts: sampling G answers to each of P questions.
 *
 * The question is read once and its keys and values are shared by its answers; each answer adds its own. Answers have the
 * form that their plan says: where tokens are given (an action between two frames) they are fed, all at once, and not
 * sampled. Every sample has a random stream of its own, named by (seed, purpose, step, prompt, sample), so an answer does
 * not depend on the engine or on which others it was sampled with.
 */
import { breather } from "../base/breather.ts";
import type { CausalTransformer } from "../models/causal_transformer.ts";
import { sampleTokens, type SamplingOptions } from "../nn/sampling.ts";
import { Philox } from "../tensor/random.ts";
import { tidy } from "../tensor/scope.ts";
import { stack, type Tensor, tensor, zeros } from "../tensor/tensor.ts";
import type { AnswerPlan, Tokens } from "../worlds/world.ts";

/**
 * Which answers to sample.
 *
 * @internal
 */
export interface RolloutRequest {
  /** P questions of one length. */
  questions: readonly Tokens[];
  /** P plans of one form: the same length, the same positions sampled. */
  plans: readonly AnswerPlan[];
  /** G, answers a question. */
  groupSize: number;
  /** Temperature and truncation of the distribution. */
  sampling: SamplingOptions;
  /** Leading part of the names of the samples' random streams: (seed, purpose, step). */
  stream: readonly [seed: number, purpose: number, step: number];
  /** Number of each prompt within the step, for its stream's name. @default {0 … P − 1} */
  promptNumbers?: readonly number[];
  /** Number of the first sample of each group, for its stream's name. @default {0} */
  firstSample?: number;
  /** At most so many answers at a time; prompts are never split from their group. @default {Infinity} */
  maxRows?: number;
  /** Awaited now and then, to let events have their turn; it may throw to end the work. @default {breather()} */
  breathe?: () => Promise<void>;
}

/**
 * Sampled answers. Rows are prompt 0's G samples, then prompt 1's, …
 *
 * @internal
 */
export interface Rollout {
  /** [P·G] answers of T tokens, given tokens included. */
  answers: Tokens[];
  /** [P·G, T] row-major: log p of each token under the distribution that it was sampled from; 0 where given. */
  logProbabilities: Float32Array;
}

/**
 * Checks that questions have one length and plans one form, and returns them.
 *
 * @throws {RangeError} When they differ: such prompts belong into different batches.
 */
export function commonForm(
  questions: readonly Tokens[],
  plans: readonly AnswerPlan[],
): { questionLength: number; answerLength: number; sampled: Uint8Array } {
  if (questions.length === 0 || questions.length !== plans.length) {
    throw new RangeError(`a batch needs as many questions as plans: received ${questions.length} and ${plans.length}`);
  }
  const questionLength = questions[0].length, { sampled } = plans[0];
  for (let p = 0; p < questions.length; p++) {
    if (questions[p].length !== questionLength) {
      throw new RangeError(
        `questions of one batch must have one length: number ${p} has ${
          questions[p].length
        } tokens, number 0 ${questionLength}`,
      );
    }
    const form = plans[p].sampled;
    if (
      form.length !== sampled.length || plans[p].tokens.length !== form.length || form.some((x, i) => x !== sampled[i])
    ) {
      throw new RangeError(`answers of one batch must have one form: that of number ${p} differs from number 0`);
    }
  }
  return { questionLength, answerLength: sampled.length, sampled };
}

/** Samples answers; see the file's head. */
export async function rollout(model: CausalTransformer, request: RolloutRequest): Promise<Rollout> {
  const { questions, groupSize, breathe = breather() } = request;
  commonForm(questions, request.plans);
  const promptsAtOnce = Math.max(1, Math.floor((request.maxRows ?? Infinity) / groupSize));
  const answers: Tokens[] = [], parts: Float32Array[] = [];
  for (let from = 0; from < questions.length; from += promptsAtOnce) {
    const to = Math.min(questions.length, from + promptsAtOnce);
    const numbers = Array.from({ length: to - from }, (_, i) => request.promptNumbers?.[from + i] ?? from + i);
    const part = await rolloutChunk(model, request, from, to, numbers);
    answers.push(...part.answers);
    parts.push(part.logProbabilities);
    await breathe();
  }
  const logProbabilities = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    logProbabilities.set(part, at);
    at += part.length;
  }
  return { answers, logProbabilities };
}

async function rolloutChunk(
  model: CausalTransformer,
  request: RolloutRequest,
  from: number,
  to: number,
  promptNumbers: readonly number[],
): Promise<Rollout> {
  const { groupSize, sampling } = request, { engine } = model;
  const questions = request.questions.slice(from, to), plans = request.plans.slice(from, to);
  const { questionLength, answerLength, sampled } = commonForm(questions, plans);
  const prompts = questions.length, rows = prompts * groupSize;
  const uniforms_TN = uniformNumbers(request, promptNumbers, answerLength, sampled);
  const given_TN = givenTokens(plans, groupSize);
  const drawn = tidy(() => {
    // Uploaded once, not with every token.
    const uniforms = tensor(engine, uniforms_TN, [answerLength, rows]);
    const given = tensor(engine, given_TN, [answerLength, rows], "int64");
    const at = (x_TN: Tensor, t: number) => x_TN.narrow(0, t, 1).reshape([rows]);
    const flat = new Int32Array(prompts * questionLength);
    questions.forEach((question, p) => flat.set(question, p * questionLength));
    const { cache, hidden } = model.prefill(tensor(engine, flat, [prompts, questionLength], "int64"), {
      group: groupSize,
      maxNewTokens: answerLength,
    });
    try {
      // [P, D] → [P·G, D]: every sample starts from its question's last position.
      const width = hidden.shape[1];
      let state: Tensor | undefined = hidden.reshape([prompts, 1, width]).broadcastTo([prompts, groupSize, width])
        .reshape([rows, width]);
      const tokens: Tensor[] = [], logProbabilities: Tensor[] = [];
      // Tokens up to here have been fed: those that are given wait for the one that is sampled after them.
      let fed = 0;
      for (let t = 0; t < answerLength; t++) {
        const next: { token: Tensor; logProbability: Tensor; state?: Tensor } = tidy(() => {
          let token: Tensor, logProbability: Tensor;
          if (sampled[t] === 1) {
            const chosen = sampleTokens(model.logits(state!, cache), at(uniforms, t), sampling);
            token = chosen.tokens;
            logProbability = chosen.logProbabilities;
          } else {
            token = at(given, t);
            logProbability = zeros(engine, [rows]);
          }
          // What the next token is not drawn from waits; what follows the last one drawn would be read by nobody.
          if (sampled[t + 1] !== 1) return { token, logProbability };
          const waiting = [...tokens.slice(fed), token];
          return {
            token,
            logProbability,
            state: model.decode(cache, waiting.length === 1 ? token : stack(waiting, 1)),
          };
        });
        tokens.push(next.token);
        logProbabilities.push(next.logProbability);
        if (!next.state) continue;
        state?.dispose();
        state = next.state;
        fed = t + 1;
      }
      return { tokens: stack(tokens, 1), logProbabilities: stack(logProbabilities, 1) };
    } finally {
      cache.dispose();
    }
  });
  const tokens = await drawn.tokens.data() as Int32Array;
  const logProbabilities = await drawn.logProbabilities.data() as Float32Array;
  drawn.tokens.dispose();
  drawn.logProbabilities.dispose();
  const answers = Array.from(
    { length: rows },
    (_, row) => Int32Array.from(tokens.subarray(row * answerLength, (row + 1) * answerLength)),
  );
  return { answers, logProbabilities };
}

/** The plans' tokens, those of P·G samples at each place: [T, P·G]. */
function givenTokens(plans: readonly AnswerPlan[], groupSize: number): Int32Array {
  const rows = plans.length * groupSize;
  return Int32Array.from(
    { length: plans[0].tokens.length * rows },
    (_, i) => plans[Math.floor(i % rows / groupSize)].tokens[Math.floor(i / rows)],
  );
}

/** Uniform numbers [T, P·G]; each sample's come from its own stream, in the order of its sampled tokens. */
function uniformNumbers(
  request: RolloutRequest,
  promptNumbers: readonly number[],
  answerLength: number,
  sampled: Uint8Array,
): Float32Array {
  const rows = promptNumbers.length * request.groupSize;
  const numbers = new Float32Array(answerLength * rows);
  promptNumbers.forEach((prompt, p) => {
    for (let g = 0; g < request.groupSize; g++) {
      const stream = new Philox(...request.stream, prompt, (request.firstSample ?? 0) + g);
      for (let t = 0; t < answerLength; t++) {
        if (sampled[t] === 1) numbers[t * rows + p * request.groupSize + g] = stream.uniform();
      }
    }
  });
  return numbers;
}
