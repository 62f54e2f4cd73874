/**
 * The policy's loss on groups of answers: which hidden states predict which tokens, and the objective on them.
 *
 * A group's question is computed once (`sharePrompt`) or with every answer; log-probabilities come chunk by chunk. Nothing is
 * updated here: that is `grpo.ts`.
 */
import type { CausalTransformer } from "../models/causal_transformer.ts";
import { type LogProbabilityOptions, tokenLogProbabilities, tokenLossAndSums } from "../nn/log_probabilities.ts";
import { tidy } from "../tensor/scope.ts";
import { concat, full, type Tensor, tensor } from "../tensor/tensor.ts";
import type { EncodedTransition, Tokens } from "../worlds/world.ts";
import { type ObjectiveOptions, sequenceCoefficients, tokenObjective } from "./objective.ts";

/** One prompt's group, ready for the update. */
export interface AnswerGroup {
  /** q(s, a). */
  question: Tokens;
  /** G answers. */
  answers: Tokens[];
  /** [G]. */
  advantages: Float64Array;
  /** [G, T] under the sampler. */
  sampler: Float32Array;
}

/** What the loss needs of the trainer's choices. */
export interface PolicyLossSettings {
  /** G. */
  groupSize: number;
  /** Compute a group's question once. */
  sharePrompt: boolean;
  /** Clips, divergence, entropy. */
  objective: ObjectiveOptions;
  /** Tokens whose logits exist at once. */
  logitChunk: number;
  /** Of the sampling; logits are divided by it. */
  temperature: number;
}

/**
 * The weighted loss of some groups, differentiable by the model's parameters, and sums for the log: `clipped`, `mismatch` (of the
 * sampler's log-probabilities), and `kl` where there is a reference.
 *
 * @param old, reference [G·spoken] a group, from `frozenLogProbabilities`; all or none.
 * @param weights [P·G, T] from `tokenWeights`.
 */
export function policyLoss(
  model: CausalTransformer,
  groups: readonly AnswerGroup[],
  old: readonly (Tensor | undefined)[],
  reference: readonly (Tensor | undefined)[],
  weights: Float32Array,
  form: EncodedTransition,
  settings: PolicyLossSettings,
): { loss: Tensor; aux: Record<string, Tensor> } {
  const { engine } = model, { objective, groupSize } = settings;
  const spoken = spokenPositions(form.answer.sampled);
  const { hidden, targets } = predictions(model, groups, form, settings);
  const rows = groups.length * groupSize, length = form.answer.sampled.length;
  const flat = (pick: (row: number, t: number) => number) => {
    const out = new Float32Array(rows * spoken.length);
    for (let row = 0, i = 0; row < rows; row++) for (const t of spoken) out[i++] = pick(row, t);
    return tensor(engine, out);
  };
  const group = (row: number) => groups[Math.floor(row / groupSize)];
  const weight = flat((row, t) => weights[row * length + t]);
  const advantage = flat((row) => group(row).advantages[row % groupSize]);
  const sampler = flat((row, t) => group(row).sampler[(row % groupSize) * length + t]);
  const oldLogProbabilities = old[0] ? concat(old as Tensor[]) : undefined;
  const referenceLogProbabilities = reference[0] ? concat(reference as Tensor[]) : undefined;

  let ofSequence: ReturnType<typeof sequenceCoefficients> | undefined;
  if (objective.ratio === "sequence") {
    const form2 = [rows, spoken.length];
    const current = tokenLogProbabilities(hidden.detach(), model.head.detach(), targets, headOptions(model, settings))
      .logProbabilities.reshape(form2);
    ofSequence = sequenceCoefficients(
      current,
      oldLogProbabilities?.reshape(form2) ?? current,
      full(engine, form2, 1, current.dtype),
      advantage.reshape(form2).narrow(1, 0, 1),
      objective,
    );
  }
  const withEntropy = objective.entropyCoefficient !== 0;
  const { loss, sums } = tokenLossAndSums(hidden, model.head, targets, (logProbabilities, start, entropy) => {
    const count = logProbabilities.shape[0];
    const part = (whole: Tensor) => whole.narrow(0, start, count);
    const terms = {
      logProbabilities,
      oldLogProbabilities: oldLogProbabilities && part(oldLogProbabilities),
      referenceLogProbabilities: referenceLogProbabilities && part(referenceLogProbabilities),
      advantages: part(advantage),
      weights: part(weight),
      entropy: withEntropy ? entropy : undefined,
    };
    const own = tokenObjective(terms, objective);
    let chunkLoss = own.loss, clipped = own.clipped;
    if (ofSequence) {
      const coefficients = part(ofSequence.coefficients.reshape([-1]));
      const policy = coefficients.mul(logProbabilities);
      // The value shown is the clipped loss; the gradient is the coefficients'.
      const shown = part(ofSequence.loss.reshape([-1]));
      const extra = tokenObjective({ ...terms, advantages: terms.advantages.mul(0) }, objective).loss;
      chunkLoss = policy.sub(policy.detach()).add(shown).mul(terms.weights).sum().add(extra);
      clipped = part(ofSequence.clipped.reshape([-1])).mul(terms.weights).sum();
    }
    const difference = logProbabilities.detach().sub(part(sampler)).abs().mul(terms.weights).sum();
    const counted: Record<string, Tensor> = { clipped: clipped.detach(), mismatch: difference };
    if (own.kl) counted.kl = own.kl.detach();
    return { loss: chunkLoss, sums: counted };
  }, { ...headOptions(model, settings), withEntropy });
  return { loss, aux: sums };
}

/** log p [G·spoken] of a group's sampled tokens under a model, without gradient. */
export function frozenLogProbabilities(
  model: CausalTransformer,
  group: AnswerGroup,
  form: EncodedTransition,
  settings: PolicyLossSettings,
): Tensor {
  return tidy(() => {
    const { hidden, targets } = predictions(model, [group], form, settings);
    return tokenLogProbabilities(hidden, model.head, targets, headOptions(model, settings)).logProbabilities;
  });
}

/** Hidden states [N, D] that predict the sampled tokens of some groups' answers, and those tokens [N]. */
function predictions(
  model: CausalTransformer,
  groups: readonly AnswerGroup[],
  form: EncodedTransition,
  { groupSize, sharePrompt }: PolicyLossSettings,
): { hidden: Tensor; targets: Tensor } {
  const { engine } = model;
  const questionLength = form.question.length, length = form.answer.sampled.length;
  const prompts = groups.length, rows = prompts * groupSize;
  const questions = new Int32Array(prompts * questionLength), answers = new Int32Array(rows * (length - 1));
  const spoken = spokenPositions(form.answer.sampled);
  const targets = new Int32Array(rows * spoken.length);
  groups.forEach((each, p) => {
    questions.set(each.question, p * questionLength);
    each.answers.forEach((answer, g) => {
      const row = p * groupSize + g;
      answers.set(answer.subarray(0, length - 1), row * (length - 1));
      spoken.forEach((t, i) => targets[row * spoken.length + i] = answer[t]);
    });
  });
  let states: Tensor; // [P·G, T, D]: state t predicts token t of the answer
  if (sharePrompt) {
    const { prompt, answers: own } = model.hiddenShared(
      tensor(engine, questions, [prompts, questionLength], "int64"),
      tensor(engine, answers, [rows, length - 1], "int64"),
      { promptHidden: "last" },
    );
    const width = own.shape[2];
    const first = prompt.broadcastTo([prompts, groupSize, width]).reshape([rows, 1, width]);
    states = concat([first, own], 1);
  } else {
    const whole = new Int32Array(rows * (questionLength + length - 1));
    for (let row = 0; row < rows; row++) {
      const at = row * (questionLength + length - 1);
      whole.set(groups[Math.floor(row / groupSize)].question, at);
      whole.set(answers.subarray(row * (length - 1), (row + 1) * (length - 1)), at + questionLength);
    }
    states = model.hidden(tensor(engine, whole, [rows, questionLength + length - 1], "int64"))
      .narrow(1, questionLength - 1, length);
  }
  const flat = states.reshape([rows * length, states.shape[2]]);
  if (spoken.length === length) return { hidden: flat, targets: tensor(engine, targets) };
  const picked = Int32Array.from(
    { length: targets.length },
    (_, i) => Math.floor(i / spoken.length) * length + spoken[i % spoken.length],
  );
  return { hidden: flat.gather(tensor(engine, picked)), targets: tensor(engine, targets) };
}

function headOptions(
  { computeType }: CausalTransformer,
  { logitChunk, temperature }: PolicyLossSettings,
): LogProbabilityOptions {
  return { chunkSize: logitChunk, temperature, computeType };
}

function spokenPositions(sampled: Uint8Array): number[] {
  return [...sampled.keys()].filter((t) => sampled[t] === 1);
}
