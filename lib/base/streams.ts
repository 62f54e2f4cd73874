/**
 * Names of the random streams, all of them here, so that no two uses of one seed share numbers.
 *
 * A stream is `new Philox(seed, purpose, …)`; the rest of its name says which step, prompt and sample it serves, and stands behind
 * each purpose. Numbers are part of what checkpoints and built-in data mean: never renumber. The larger ones were letters once.
 */
export const STREAM = {
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
  /** A web agent's queries and scripted roles: (site, task, step, …). */
  agent: 11,
  /** Crops and colours of a tokenizer step's frames: (step, item). */
  tokenizerAugmentation: 12,
  /** Tokens that a compressive tokenizer's trainer drops: (step). */
  dropout: 0xd201,
  /** First weights of a transformer: (parameter). */
  transformerWeights: 0x1417,
  /** A of a transformer's adapters: (layer). */
  adapterWeights: 0x10ba,
  /** First weights of an image tokenizer: (parameter). */
  tokenizerWeights: 0x70c,
  /** First weights of the discriminator: (parameter). */
  discriminatorWeights: 0xd15,
  /** First weights of the judge of success: (parameter). */
  judgeWeights: 0x6a756467,
  /** Images of a step of the judge: (step). */
  judgeBatch: 0x6a626174,
  /** Attempts that the judge learns from: (task, attempt, level). */
  judgeAttempt: 0x6a617474,
  /** Clips of robot video: (purpose, step, …), as who draws them says. */
  clip: 0x636c6970,
  /** Frames that a world model predicts: (frame, rollout, 0). */
  predictedFrame: 0x70726564,
  /** Actions of the random policy. */
  randomPolicy: 0x72616e64,
  /** Movements of a scripted policy. */
  scriptedPolicy: 0x736b696c,
  /** How a table is laid out. */
  tableTopScene: 0x7363656e,
  /** Whether objects slip: (time). */
  tableTopSlip: 0x736c6970,
  /** An episode at the table: (episode). */
  tableTopEpisode: 0x65706973,
  /** Start states to evaluate policies from: (task). */
  tableTopStart: 0x73746172,
  /** How a text game is laid out: (its name). */
  gameScene: 4241,
  /** Walks through text games: (its name, held out, walk). */
  gameWalk: 4242,
  /** Which items are labelled. */
  labelItems: 0x626c6e64,
  /** The order in which a labeller sees them. */
  labelOrder: 0x6f726472,
} as const;

/** Streams of the built-in shop, whose seed is its own: it says which shop, not which run. */
export const SHOP_STREAM = { catalogue: 1, reviews: 2, people: 3, orders: 4, forum: 5, help: 6, tasks: 7 } as const;
