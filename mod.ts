/**
 * World models trained by reinforcement learning whose reward is the metric that they are judged by, after *RLVR-World: Training
 * World Models with Reinforcement Learning* (Wu, Yin, Feng, Long; NeurIPS 2025).
 *
 * A transition (state, action, next state) becomes a question and an answer in tokens: that is a {@linkcode World}. A transformer
 * first learns the true answers ({@linkcode LikelihoodTrainer}), then samples groups of answers; each is decoded to a state and
 * scored by the metric, and the better ones of each group are raised ({@linkcode GrpoTrainer}).
 *
 * This entry point has tensors, transformer, tokenizer and both trainers, for a world of one's own. The paper's worlds are
 * `/robot_video`, `/text_game` and `/web_page`; `/runs` trains them from configuration to report, `/report` draws, `/gyms` has
 * simulators, `/studies` the paper's applications. In the repository an entry point is a file of `lib/` beside the folder whose public
 * part it is (`lib/runs.ts` and `lib/runs/`), so that the top level stays short; this one alone stands there.
 *
 * What a signature mentions and no entry point exports is marked `@internal`: it is passed on, or written as a literal, and need not
 * be named.
 *
 * @example A world of one's own: a clock. After likelihood training for a moment, GRPO on "is the predicted hour right?".
 * ```ts
 * import {
 *   CausalTransformer,
 *   GrpoTrainer,
 *   LikelihoodTrainer,
 *   openEngine,
 *   transformerConfig,
 *   type World,
 * } from "@rlvr-world/rlvr-world";
 *
 * const after = (hour: number) => (hour + 1) % 12;
 * const clock: World<number, number[]> = {
 *   name: "clock",
 *   vocabularySize: 12,
 *   encode: (hours) =>
 *     Promise.resolve(hours.map((hour) => ({
 *       question: Int32Array.of(hour),
 *       answer: { tokens: Int32Array.of(after(hour)), sampled: Uint8Array.of(1) },
 *       trainedQuestionTokens: 0,
 *     }))),
 *   decode: (answers) => Promise.resolve(answers.map(([hour]) => hour)),
 *   truth: (hours) => Promise.resolve(hours.map(after)),
 *   select: (hours, places) => places.map((i) => hours[i]),
 *   metrics: {
 *     right: {
 *       better: "higher",
 *       compute: (said, truth) => Promise.resolve(Float32Array.from(said, (hour, i) => Number(hour === truth[i]))),
 *     },
 *   },
 * };
 *
 * const { engine } = await openEngine({ engine: "wasm" }); // without a name: the fastest that is there
 * const config = transformerConfig({
 *   vocabularySize: 12,
 *   hiddenSize: 32,
 *   layers: 1,
 *   heads: 2,
 *   feedForwardSize: 64,
 *   maxPositions: 2,
 * });
 * const model = CausalTransformer.initialize(engine, config, { seed: 0 });
 * const hours = Array.from({ length: 12 }, (_, hour) => hour);
 *
 * const likelihood = new LikelihoodTrainer(model, {
 *   learningRate: 1e-2,
 *   warmupSteps: 0,
 *   weightDecay: 0,
 *   maxGradientNorm: 1,
 *   microBatch: 12,
 *   logitChunk: 64,
 * });
 * const encoded = await clock.encode(hours);
 * for (let step = 0; step < 8; step++) await likelihood.step(step, encoded);
 *
 * const grpo = new GrpoTrainer(model, undefined, clock, { // no reference model: there is no KL term
 *
 *   reward: [{ metric: "right", weight: 1 }],
 *   groupSize: 16,
 *   learningRate: 1e-2,
 *   kl: "none",
 * });
 * for (let step = 0; step < 12; step++) {
 *   const { reward } = await grpo.step(step, hours);
 *   console.log(`step ${step}: ${(100 * reward).toFixed(0)} % of the answers are right`);
 * }
 * model.dispose();
 * engine.close();
 * ```
 *
 * @module
 */

// Tensors and engines
export type { DType, Shape } from "./lib/tensor/dtype.ts";
export type { Engine } from "./lib/tensor/engine.ts";
export { valueAndGrad } from "./lib/tensor/gradient.ts";
export { Philox } from "./lib/tensor/random.ts";
export { openEngine } from "./lib/tensor/registry.ts";
export { keep, tidy } from "./lib/tensor/scope.ts";
export { concat, full, stack, Tensor, tensor, zeros } from "./lib/tensor/tensor.ts";

// Transformers and text
export { AdamW, globalNorm } from "./lib/nn/optimizer.ts";
export { constantSchedule, stableSchedule } from "./lib/nn/schedules.ts";
export { tokenLoss } from "./lib/nn/log_probabilities.ts";
export { CausalTransformer } from "./lib/models/causal_transformer.ts";
export { type TransformerConfig, transformerConfig, type TransformerOptions } from "./lib/models/transformer_config.ts";
export { type ChatMessage, TextTokenizer } from "./lib/models/text_tokenizer.ts";
export { trainBpe } from "./lib/models/bpe_trainer.ts";

// Worlds
export type {
  AnswerParts,
  AnswerPlan,
  EncodedTransition,
  Metric,
  OpenAnswers,
  Tokens,
  World,
} from "./lib/worlds/world.ts";

// Training
export { type LikelihoodOptions, LikelihoodTrainer } from "./lib/train/likelihood.ts";
export { type GrpoMetrics, type GrpoOptions, GrpoTrainer } from "./lib/train/grpo.ts";
export type { GrpoFields } from "./lib/train/grpo_options.ts";
export { groupAdvantages } from "./lib/train/advantage.ts";
export { RELEASED_OBJECTIVE, tokenObjective, tokenWeights } from "./lib/train/objective.ts";
export type { PolicyLoss } from "./lib/train/losses/loss.ts";
export { computeRewards, type RewardTerm } from "./lib/train/reward.ts";
export { rollout } from "./lib/train/rollout.ts";

// Runs
export { STREAM } from "./lib/base/streams.ts";
export { UserError } from "./lib/base/user_error.ts";
export { RunFolder } from "./lib/runs/run_folder.ts";
export { type Progress, silentProgress } from "./lib/runs/progress.ts";
