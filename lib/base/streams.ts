/**
 * Names of the random streams, so that no two uses of one seed share numbers.
 *
 * A stream is `new Philox(seed, purpose, …)`; the rest of its name says which step, prompt and sample it serves. Numbers are
 * part of what a checkpoint means: never renumber.
 */
export const STREAM = {
  /** Initial weights of the transformer. */
  transformer: 1,
  /** Initial weights of the tokenizer. */
  tokenizer: 2,
  /** Frames of a tokenizer step: (step). */
  tokenizerBatch: 3,
  /** Transitions of a likelihood step: (step). */
  likelihoodBatch: 4,
  /** Transitions of a GRPO step: (step). */
  grpoBatch: 5,
  /** Sampling of answers in training: (step, prompt, sample). */
  rollout: 6,
  /** Sampling of answers in evaluation: (attempt, item, sample). */
  evaluation: 7,
  /** Built-in data. */
  simulator: 8,
  /** Resampling for confidence intervals. */
  bootstrap: 9,
  /** Initial weights of the discriminator. */
  discriminator: 10,
  /** A web agent's queries and scripted roles: (site, task, step, …). */
  agent: 11,
  /** Crops and colours of a tokenizer step's frames: (step, item). */
  tokenizerAugmentation: 12,
} as const;
