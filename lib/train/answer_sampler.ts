/**
 * Who samples answers for GRPO: the policy itself, here, or whatever implements `AnswerSampler` (`serving/served_answers.ts` asks a
 * server). The trainer knows only this, whether answers have a fixed form or end when the model says so.
 */
import type { CausalTransformer } from "../models/causal_transformer.ts";
import type { AnswerPlan, OpenAnswers, Tokens } from "../worlds/world.ts";
import { generate, type GenerationRequest } from "./generation.ts";
import { rollout } from "./rollout.ts";

/** What to sample: answers to P questions of one step. */
export interface SampleRequest extends Omit<GenerationRequest, keyof OpenAnswers> {
  /** P forms of answers; read where they do not end themselves. */
  plans: readonly AnswerPlan[];
  /** How answers end, where the model says when. */
  openAnswers?: OpenAnswers;
}

/** Answers that were sampled somewhere. Rows are prompt 0's G samples, then prompt 1's, … */
export interface SampledAnswers {
  /** [P·G] answers, the token that ended each included; at least one token each. */
  answers: Tokens[];
  /**
   * [P·G], one number a token: log p under the distribution that it was drawn from (0 where the token was given); undefined where
   * the sampler does not know it.
   */
  logProbabilities: readonly (Float32Array | undefined)[];
  /** Where answers have a fixed form: 1 where the model spoke, 0 where a token was given; of each answer. */
  sampled?: Uint8Array;
  /** [P·G], where answers end themselves: whether the model ended the answer, rather than the limit. */
  ended?: boolean[];
  /** Requests that had to be tried again, where answers come over a network. */
  retries?: number;
}

/**
 * Samples answers to questions.
 *
 * @internal
 */
export interface AnswerSampler {
  /**
   * Whether answers are drawn from the policy as it is at each step. Where not, GRPO's ratio is taken to the sampler's
   * log-probabilities rather than to the policy's own before the update.
   */
  readonly followsPolicy: boolean;
  /** Samples; the same request may give other answers where the sampler is not this process. */
  sample(request: SampleRequest): Promise<SampledAnswers>;
}

/** The policy itself, on its own engine. */
export function policySampler(model: CausalTransformer): AnswerSampler {
  return {
    followsPolicy: true,
    async sample({ plans, openAnswers, ...request }) {
      if (openAnswers) return await generate(model, { ...request, ...openAnswers });
      const { answers, logProbabilities } = await rollout(model, { ...request, plans });
      const { length } = answers[0];
      return {
        answers,
        logProbabilities: answers.map((_, row) => logProbabilities.subarray(row * length, (row + 1) * length)),
        sampled: plans[0].sampled,
      };
    },
  };
}
