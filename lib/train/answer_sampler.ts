/**
 * Who samples answers for GRPO: the policy itself, here, or whatever implements `AnswerSampler` (`served_answers.ts` asks a
 * server). The trainer knows only this.
 */
import type { CausalTransformer } from "../models/causal_transformer.ts";
import type { Tokens } from "../worlds/world.ts";
import { generate, type GenerationRequest } from "./generation.ts";

/** Answers that were sampled somewhere. Rows are prompt 0's G samples, then prompt 1's, … */
export interface SampledAnswers {
  /** [P·G] answers, the token that ended each included; at least one token each. */
  answers: Tokens[];
  /**
   * [P·G], one number a token: log p under the distribution that it was drawn from; undefined where the sampler does not
   * know it.
   */
  logProbabilities: readonly (Float32Array | undefined)[];
  /** [P·G]: whether the model ended the answer, rather than the limit. */
  ended: boolean[];
  /** Requests that had to be tried again, where answers come over a network. */
  retries?: number;
}

/** Samples answers to questions. */
export interface AnswerSampler {
  /**
   * Whether answers are drawn from the policy as it is at each step. Where not, GRPO's ratio is taken to the sampler's
   * log-probabilities rather than to the policy's own before the update.
   */
  readonly followsPolicy: boolean;
  /** Samples; the same request may give other answers where the sampler is not this process. */
  sample(request: GenerationRequest): Promise<SampledAnswers>;
}

/** The policy itself, on its own engine. */
export function ownAnswers(model: CausalTransformer): AnswerSampler {
  return { followsPolicy: true, sample: (request) => generate(model, request) };
}
