/**
 * What a domain must be for the same two loops (likelihood, GRPO) to train a model of it.
 *
 * A transition (state, action, next state) becomes a question q(s, a) and an answer o(s') in tokens; a model samples
 * answers; `decode` turns them back into states; metrics compare those with the truth. Work is done in batches, because a
 * video's decoder is a network. The loops know nothing else of a world.
 *
 * Source: RLVR-World, §4.1–§4.3.
 */

/** Token ids of one sequence, [T]. */
export type Tokens = Int32Array;

/**
 * The true answer, and which of its tokens are the model's to say.
 *
 * Where `sampled` is 0 the token is given: it is fed to the model, never sampled or trained (the actions between the frames
 * of a multi-step rollout).
 */
export interface AnswerPlan {
  /** The true answer o(s'), given tokens included. */
  tokens: Tokens;
  /** 1 where the model speaks, 0 where the token is given; as long as `tokens`. */
  sampled: Uint8Array;
  /** Number of the part that each token belongs to (a frame, a patch of it), where answers have parts; ascending from 0. */
  parts?: Uint16Array;
}

/** A transition in tokens: what the model reads, and what it is to say. */
export interface EncodedTransition {
  /** q(s, a): state and action. */
  question: Tokens;
  /** o(s'): the next state, and which of its tokens the model says. */
  answer: AnswerPlan;
  /** How many tokens at the end of the question are trained by likelihood as well (RT-1's sequences train the BOS). */
  trainedQuestionTokens: number;
}

/** A distance or a score of predicted states, named and directed. */
export interface Metric<States> {
  /** Whether a lower or a higher number is better: the sign of the reward. */
  readonly better: "lower" | "higher";
  /** One number an item; the two batches are parallel. Never throws on what a model may say. */
  compute(predicted: States, truth: States): Promise<Float32Array>;
  /**
   * Where answers have K parts: the numbers that `compute` gives, and what each part adds to them, [B·K] row-major; an item's
   * contributions add up to its number.
   */
  computeParts?(predicted: States, truth: States): Promise<{ values: Float32Array; contributions: Float32Array }>;
}

/** How answers end where the model itself says when (text). */
export interface OpenAnswers {
  /** Any of these tokens ends an answer, and belongs to it. */
  readonly endTokens: readonly number[];
  /** An answer that has not ended after so many tokens is cut. */
  readonly maxTokens: number;
}

/** How answers without a fixed form fall into parts, one after the other (the lines of a text). */
export interface AnswerParts {
  /** Most parts of an answer; what follows belongs to the last one. */
  readonly count: number;
  /** Number of the part that each of an answer's tokens belongs to, ascending from 0, below `count`. */
  of(answer: Tokens): Uint16Array;
}

/** A domain: its tokens, its decoder, its metrics. */
export interface World<Transition, States> {
  /** What logs and messages call it: `robot-video`, `text-game`. */
  readonly name: string;
  /** Number of token ids; ids are 0 … vocabularySize − 1. */
  readonly vocabularySize: number;
  /** Set where answers have no fixed form: the model speaks until it ends them. Their plans are then sampled throughout. */
  readonly openAnswers?: OpenAnswers;
  /** Parts of such answers, where metrics tell what each part adds. */
  readonly answerParts?: AnswerParts;
  /** The metrics that rewards and evaluations are made of. */
  readonly metrics: Readonly<Record<string, Metric<States>>>;
  /** Questions and true answers, in order. */
  encode(transitions: readonly Transition[]): Promise<EncodedTransition[]>;
  /** States that answers stand for; `transitions[i]` belongs to `answers[i]`. Never throws on what a model may say. */
  decode(answers: readonly Tokens[], transitions: readonly Transition[]): Promise<States>;
  /** The true next states, in the order of the transitions. */
  truth(transitions: readonly Transition[]): Promise<States>;
  /** States by their places in a batch, in the order asked for, as often as asked for; released by themselves. */
  select(states: States, places: readonly number[]): States;
  /** Gives back what a batch of states holds on an engine, where it holds anything. */
  release?(states: States): void;
}
