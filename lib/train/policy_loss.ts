/**
 * The policy's loss on groups of answers: which hidden states predict which tokens, and the objective on them.
 *
 * A group's question is computed once (`sharePrompt`) or with every answer; log-probabilities come chunk by chunk. Nothing is
 * updated here: that is `grpo.ts`.
 */
import type { CausalTransformer } from "../models/causal_transformer.ts";
import { type Layerwise, runLayers } from "../models/layerwise.ts";
import { type LogProbabilityOptions, tokenLogProbabilities, tokenLossAndSums } from "../nn/log_probabilities.ts";
import type { Engine } from "../tensor/engine.ts";
import { tidy } from "../tensor/scope.ts";
import { concat, type Tensor, tensor } from "../tensor/tensor.ts";
import type { Tokens } from "../worlds/world.ts";
import {
  type LossDenominator,
  type ObjectiveOptions,
  type ObjectiveSums,
  regularization,
  sequenceCoefficients,
  tokenObjective,
  type TokenTerms,
  tokenWeights,
} from "./objective.ts";

/** One prompt's group, ready for the update. */
export interface AnswerGroup {
  /** q(s, a). */
  question: Tokens;
  /** G answers, or fewer where `counts` says so; of one length where some of their tokens are given. */
  answers: readonly Tokens[];
  /** Of how many equal answers each one stands; 1 when left out. */
  counts?: readonly number[];
  /** 1 where the model spoke, 0 where the token was given; undefined where all of every answer is the model's. */
  sampled?: Uint8Array;
  /** [G], or [G·count] where `parts` says which of so many parts a token belongs to. */
  advantages: Float64Array;
  /** Of each answer: the part of each of its tokens, ascending from 0. */
  parts?: readonly Uint16Array[];
  /** Of each answer's tokens, under the sampler. */
  sampler: readonly Float32Array[];
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

/** Which answer a token belongs to, and its place there, for all tokens that the model spoke in some groups, in order. */
interface Spoken {
  group: AnswerGroup;
  /** Within the group. */
  answer: number;
  /** Within the answer. */
  t: number;
}

function spokenTokens(groups: readonly AnswerGroup[]): Spoken[] {
  const spoken: Spoken[] = [];
  for (const group of groups) {
    group.answers.forEach((tokens, answer) => {
      for (let t = 0; t < tokens.length; t++) {
        if (group.sampled === undefined || group.sampled[t] === 1) spoken.push({ group, answer, t });
      }
    });
  }
  return spoken;
}

function advantageOf({ group: { advantages, parts }, answer, t }: Spoken): number {
  return parts ? advantages[answer * advantages.length / parts.length + parts[answer][t]] : advantages[answer];
}

/** Largest |advantage| of the tokens that the model spoke in some groups. */
export function largestAdvantage(groups: readonly AnswerGroup[]): number {
  return spokenTokens(groups).reduce((most, token) => Math.max(most, Math.abs(advantageOf(token))), 0);
}

/**
 * The same group with each different answer once and how often it was given: the loss and its gradient are the same, the work is
 * that of the different answers. A model that is sure says the same again and again.
 */
export function mergeEqualAnswers(group: AnswerGroup): AnswerGroup {
  const { answers, advantages, parts, sampler } = group, each = advantages.length / answers.length;
  const own = (i: number) => advantages.subarray(i * each, (i + 1) * each);
  const kept: number[] = [], counts: number[] = [], places = new Map<string, number>();
  answers.forEach((answer, i) => {
    // Where equal answers are credited differently, they are different.
    const name = `${answer.join()}/${own(i).join()}`, place = places.get(name);
    if (place !== undefined) {
      counts[place]++;
      return;
    }
    places.set(name, kept.length);
    kept.push(i);
    counts.push(1);
  });
  if (kept.length === answers.length) return group;
  return {
    ...group,
    answers: kept.map((i) => answers[i]),
    counts,
    advantages: Float64Array.from(kept.flatMap((i) => [...own(i)])),
    parts: parts && kept.map((i) => parts[i]),
    sampler: kept.map((i) => sampler[i]),
  };
}

/** Number of tokens that the model spoke in a group. */
export function countSpoken(group: AnswerGroup): number {
  const { sampled, answers } = group;
  const own = (tokens: Tokens) => sampled ? sampled.reduce((sum, each) => sum + each, 0) : tokens.length;
  return answers.reduce((sum, tokens) => sum + own(tokens), 0);
}

/**
 * The weight in the loss of every token that the model spoke, group after group.
 *
 * @param groups The whole mini-batch: what shares a denominator.
 * @param fixedLength Length that the `fixed-length` denominator counts for each answer; the longest one's when left out.
 */
export function spokenWeights(
  groups: readonly AnswerGroup[],
  denominator: LossDenominator,
  fixedLength?: number,
): Float32Array {
  const answers = groups.flatMap(({ answers, sampled, counts }) =>
    answers.map((tokens, i) => ({ tokens, sampled, count: counts?.[i] ?? 1 }))
  );
  const longest = answers.reduce((most, { tokens }) => Math.max(most, tokens.length), fixedLength ?? 0);
  const mask = new Uint8Array(answers.length * longest);
  answers.forEach(({ tokens, sampled }, row) => {
    if (sampled) mask.set(sampled, row * longest);
    else mask.fill(1, row * longest, row * longest + tokens.length);
  });
  const weights = tokenWeights(mask, answers.length, denominator, answers.map(({ count }) => count));
  return weights.filter((_, i) => mask[i] === 1);
}

/**
 * The weighted loss of some groups, differentiable by hidden states and head, and sums for the log: `clipped`, `mismatch` (of the
 * sampler's log-probabilities), and `kl` where there is a reference.
 *
 * @param hidden [N, D] from `predictingStates`.
 * @param old, reference One tensor a group, from `frozenLogProbabilities`; all or none.
 * @param weights [N] from `spokenWeights`.
 */
export function policyLoss(
  model: CausalTransformer,
  hidden: Tensor,
  groups: readonly AnswerGroup[],
  old: readonly (Tensor | undefined)[],
  reference: readonly (Tensor | undefined)[],
  weights: Float32Array,
  settings: PolicyLossSettings,
): { loss: Tensor; aux: Record<string, Tensor> } {
  const { engine } = model, { objective } = settings;
  const targets = spokenTargets(engine, groups);
  const spoken = spokenTokens(groups);
  const flat = (pick: (token: Spoken) => number) => tensor(engine, Float32Array.from(spoken, pick));
  const weight = tensor(engine, weights);
  const advantage = flat(advantageOf);
  const sampler = flat(({ group, answer, t }) => group.sampler[answer][t]);
  const oldLogProbabilities = old[0] ? concat(old as Tensor[]) : undefined;
  const referenceLogProbabilities = reference[0] ? concat(reference as Tensor[]) : undefined;

  let ofSequence: ReturnType<typeof sequenceTerms> | undefined;
  if (objective.ratio === "sequence") {
    const current = tokenLogProbabilities(hidden.detach(), model.head.detach(), targets, headOptions(model, settings))
      .logProbabilities;
    ofSequence = sequenceTerms(engine, spoken, current, oldLogProbabilities ?? current, advantage, objective);
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
    const own = ofSequence ? sequenceObjective(terms, part, ofSequence, objective) : tokenObjective(terms, objective);
    const difference = logProbabilities.detach().sub(part(sampler)).abs().mul(terms.weights).sum();
    const counted: Record<string, Tensor> = { clipped: own.clipped.detach(), mismatch: difference };
    if (own.kl) counted.kl = own.kl.detach();
    return { loss: own.loss, sums: counted };
  }, { ...headOptions(model, settings), withEntropy });
  return { loss, aux: sums };
}

/** What `tokenObjective` gives for some tokens, with the ratios of their answers: `part` takes theirs of what all tokens have. */
function sequenceObjective(
  terms: TokenTerms,
  part: (whole: Tensor) => Tensor,
  ofSequence: ReturnType<typeof sequenceTerms>,
  objective: ObjectiveOptions,
): ObjectiveSums {
  const { logProbabilities, weights } = terms, rest = regularization(terms, objective);
  const policy = part(ofSequence.coefficients).mul(logProbabilities);
  // The value shown is the clipped loss; the gradient is the coefficients'.
  const loss = policy.sub(policy.detach()).add(part(ofSequence.loss)).mul(weights).sum();
  return {
    loss: rest.loss ? loss.add(rest.loss) : loss,
    kl: rest.kl,
    clipped: part(ofSequence.clipped).mul(weights).sum(),
  };
}

/** The sequence-level terms of every spoken token [N], from log-probabilities and advantages [N]. */
function sequenceTerms(
  engine: Engine,
  spoken: readonly Spoken[],
  current: Tensor,
  old: Tensor,
  advantage: Tensor,
  objective: ObjectiveOptions,
) {
  const lengths: number[] = [];
  spoken.forEach((each, i) => {
    const isFirst = i === 0 || spoken[i - 1].group !== each.group || spoken[i - 1].answer !== each.answer;
    if (isFirst) lengths.push(0);
    lengths[lengths.length - 1]++;
  });
  // Answers side by side, filled up to the longest; what fills up is masked.
  const longest = Math.max(...lengths), rows = lengths.length;
  const fill = new Int32Array(rows * longest), mask = new Float32Array(rows * longest);
  const back = new Int32Array(spoken.length), firsts = new Int32Array(rows);
  let at = 0;
  lengths.forEach((length, row) => {
    firsts[row] = at;
    for (let i = 0; i < length; i++, at++) {
      fill[row * longest + i] = at;
      mask[row * longest + i] = 1;
      back[at] = row * longest + i;
    }
  });
  const fillRows = tensor(engine, fill), backRows = tensor(engine, back);
  const sides = (x: Tensor) => x.gather(fillRows).reshape([rows, longest]);
  const terms = sequenceCoefficients(
    sides(current),
    sides(old),
    tensor(engine, mask, [rows, longest]),
    advantage.gather(tensor(engine, firsts)).reshape([rows, 1]),
    objective,
  );
  const flat = (x: Tensor) => x.reshape([rows * longest]).gather(backRows);
  return { coefficients: flat(terms.coefficients), loss: flat(terms.loss), clipped: flat(terms.clipped) };
}

/** log p of a group's spoken tokens under a model, without gradient. */
export function frozenLogProbabilities(
  model: CausalTransformer,
  group: AnswerGroup,
  settings: PolicyLossSettings,
): Tensor {
  return tidy(() => {
    const hidden = runLayers(predictingStates(model, [group], settings));
    const targets = spokenTargets(model.engine, [group]);
    return tokenLogProbabilities(hidden, model.head, targets, headOptions(model, settings)).logProbabilities;
  });
}

function spokenTargets(engine: Engine, groups: readonly AnswerGroup[]): Tensor {
  return tensor(engine, Int32Array.from(spokenTokens(groups), ({ group, answer, t }) => group.answers[answer][t]));
}

/** The pass whose result are the hidden states [N, D] that predict the spoken tokens of some groups. */
export function predictingStates(
  model: CausalTransformer,
  groups: readonly AnswerGroup[],
  settings: PolicyLossSettings,
): Layerwise<Tensor> {
  const { question, answers: [{ length }], sampled } = groups[0];
  const isRegular = length > 1 &&
    groups.every((each) =>
      each.question.length === question.length && each.answers.length === settings.groupSize &&
      each.answers.every((answer) => answer.length === length)
    );
  // Where all have one form, a batch needs no index tensors and a single call of attention.
  const { pass, rowOf } = isRegular
    ? regularStates(model, groups, settings)
    : packedStates(model, groups, settings.sharePrompt);
  if (isRegular && (sampled === undefined || !sampled.includes(0))) return pass;
  const rows = Int32Array.from(spokenTokens(groups), ({ group, answer, t }) => rowOf(groups.indexOf(group), answer, t));
  const picked = tensor(model.engine, rows);
  return finishedBy(pass, (states) => states.gather(picked));
}

/** A pass to hidden states, and which row of them predicts token t of an answer of a group. */
interface States {
  pass: Layerwise<Tensor>;
  rowOf: (group: number, answer: number, t: number) => number;
}

function finishedBy<Hidden, Result>(
  pass: Layerwise<Hidden>,
  last: (hidden: Hidden) => Result,
): Layerwise<Result> {
  return { ...pass, finish: (x) => last(pass.finish(x)) };
}

/** For questions of one length and answers of one length: rows are all tokens of all answers in order. */
function regularStates(
  model: CausalTransformer,
  groups: readonly AnswerGroup[],
  { groupSize, sharePrompt }: PolicyLossSettings,
): States {
  const { engine } = model;
  const questionLength = groups[0].question.length, length = groups[0].answers[0].length;
  const prompts = groups.length, rows = prompts * groupSize, wholeLength = questionLength + length - 1;
  const rowOf = (group: number, answer: number, t: number) => (group * groupSize + answer) * length + t;
  const inputs = (answer: Tokens) => answer.subarray(0, length - 1);
  if (!sharePrompt) {
    const whole = new Int32Array(rows * wholeLength);
    groups.forEach(({ question, answers }, p) =>
      answers.forEach((answer, g) => {
        whole.set(question, (p * groupSize + g) * wholeLength);
        whole.set(inputs(answer), (p * groupSize + g) * wholeLength + questionLength);
      })
    );
    const pass = model.hiddenPass(tensor(engine, whole, [rows, wholeLength], "int64"));
    return {
      pass: finishedBy(pass, (states) => states.narrow(1, questionLength - 1, length).reshape([rows * length, -1])),
      rowOf,
    };
  }
  const questions = new Int32Array(prompts * questionLength), answers = new Int32Array(rows * (length - 1));
  groups.forEach((each, p) => {
    questions.set(each.question, p * questionLength);
    each.answers.forEach((answer, g) => answers.set(inputs(answer), (p * groupSize + g) * (length - 1)));
  });
  const pass = model.hiddenSharedPass(
    tensor(engine, questions, [prompts, questionLength], "int64"),
    tensor(engine, answers, [rows, length - 1], "int64"),
    { promptHidden: "last" },
  );
  return {
    pass: finishedBy(pass, ({ prompt, answers: own }) => {
      const width = own.shape[2];
      const first = prompt.broadcastTo([prompts, groupSize, width]).reshape([rows, 1, width]);
      return concat([first, own], 1).reshape([rows * length, width]);
    }),
    rowOf,
  };
}

/** For any lengths. */
function packedStates(model: CausalTransformer, groups: readonly AnswerGroup[], sharePrompt: boolean): States {
  const starts: number[][] = [];
  let at = 0;
  const place = (length: (group: AnswerGroup, answer: Tokens) => number) => {
    for (const group of groups) {
      starts.push(group.answers.map((answer) => {
        const start = at;
        at += length(group, answer);
        return start;
      }));
    }
  };
  const inputs = (answer: Tokens) => answer.subarray(0, answer.length - 1);
  if (!sharePrompt) {
    place((group, answer) => group.question.length + answer.length - 1);
    const sequences = groups.flatMap(({ question, answers }) =>
      answers.map((answer) => ({ prompt: Int32Array.of(...question, ...inputs(answer)), answers: [] }))
    );
    return {
      pass: finishedBy(model.hiddenPackedPass(sequences), ({ prompts }) => prompts),
      rowOf: (group, answer, t) => starts[group][answer] + groups[group].question.length - 1 + t,
    };
  }
  // One row a question, then the answers': the first token of an answer is predicted by its question's last state.
  at = groups.length;
  place((_, answer) => answer.length - 1);
  const pass = model.hiddenPackedPass(
    groups.map(({ question, answers }) => ({ prompt: question, answers: answers.map(inputs) })),
    { promptHidden: "last" },
  );
  return {
    pass: finishedBy(pass, ({ prompts, answers }) => answers ? concat([prompts, answers]) : prompts),
    rowOf: (group, answer, t) => t === 0 ? group : starts[group][answer] + t - 1,
  };
}

function headOptions(
  { computeType }: CausalTransformer,
  { logitChunk, temperature }: PolicyLossSettings,
): LogProbabilityOptions {
  return { chunkSize: logitChunk, temperature, computeType };
}
