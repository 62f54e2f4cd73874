/**
 * How a model reads groups of answers: the pass to the hidden states that predict the tokens it spoke.
 *
 * A group's question is computed once (`sharePrompt`) or with every answer. Where all groups have one form, a batch needs no index
 * tensors and a single call of attention; else sequences are packed.
 */
import type { CausalTransformer } from "../models/causal_transformer.ts";
import { type Layerwise, runLayers } from "../models/layerwise.ts";
import { type LogProbabilityOptions, tokenLogProbabilities } from "../nn/log_probabilities.ts";
import type { Shape } from "../tensor/dtype.ts";
import { tidy } from "../tensor/scope.ts";
import { concat, type Tensor } from "../tensor/tensor.ts";
import { uploadTogether } from "../tensor/upload.ts";
import type { Tokens } from "../worlds/world.ts";
import { type AnswerGroup, countSpoken, spokenTokens } from "./answer_groups.ts";

/** How a model reads groups of answers. */
export interface ReadingOptions {
  /** G, answers a prompt. */
  groupSize: number;
  /** Compute a group's question once. */
  sharePrompt: boolean;
  /** Tokens whose logits exist at once. */
  logitChunk: number;
  /** Of the sampling; logits are divided by it. */
  temperature: number;
}

/** Hidden states that predict the spoken tokens of some groups, and these tokens. */
export interface PredictingStates {
  /** [n, D]. */
  states_nD: Tensor;
  /** int64 [n]. */
  targets_n: Tensor;
}

/** The pass to the hidden states that predict the spoken tokens of some groups. */
export function predictingStates(
  model: CausalTransformer,
  groups: readonly AnswerGroup[],
  options: ReadingOptions,
): Layerwise<PredictingStates> {
  const { question, answers_G: [{ length }], sampled_T } = groups[0];
  const isRegular = length > 1 &&
    groups.every((group) =>
      group.question.length === question.length && group.answers_G.length === options.groupSize &&
      group.answers_G.every((answer) => answer.length === length)
    );
  const { tokens, rowOf, passOf } = isRegular
    ? regularStates(model, groups, options)
    : packedStates(model, groups, options.sharePrompt);
  const spoken = spokenTokens(groups), isWhole = isRegular && !sampled_T?.includes(0);
  const [targets_n, rows_n, ...inputs] = uploadTogether(model.engine, [
    { data: Int32Array.from(spoken, ({ group, g, t }) => group.answers_G[g][t]) },
    { data: isWhole ? new Int32Array(0) : Int32Array.from(spoken, ({ p, g, t }) => rowOf(p, g, t)) },
    ...tokens,
  ]);
  return finishedBy(passOf(inputs), (states) => ({ states_nD: isWhole ? states : states.gather(rows_n), targets_n }));
}

/** log p [n] of each group's spoken tokens under a model, without gradient. Groups are read together. */
export function frozenLogProbabilities(
  model: CausalTransformer,
  groups: readonly AnswerGroup[],
  options: ReadingOptions,
): Tensor[] {
  return tidy(() => {
    const { states_nD, targets_n } = runLayers(predictingStates(model, groups, options));
    const { logProbabilities } = tokenLogProbabilities(states_nD, model.head, targets_n, headOptions(model, options));
    let end = 0;
    return groups.map((group) => {
      const count = countSpoken(group);
      end += count;
      return logProbabilities.narrow(0, end - count, count);
    });
  });
}

/** How the head is computed. */
export function headOptions(
  { computeType }: CausalTransformer,
  { logitChunk, temperature }: ReadingOptions,
): LogProbabilityOptions {
  return { chunkSize: logitChunk, temperature, computeType };
}

/** A pass to hidden states, of tokens that are yet to be uploaded. */
interface States {
  tokens: { data: Int32Array; shape: Shape }[];
  passOf: (tokens: Tensor[]) => Layerwise<Tensor>;
  /** Which row of the states predicts token t of answer g of group p. */
  rowOf: (p: number, g: number, t: number) => number;
}

function finishedBy<Hidden, Result>(
  pass: Layerwise<Hidden>,
  last: (hidden: Hidden) => Result,
): Layerwise<Result> {
  return { ...pass, finish: (x) => last(pass.finish(x)) };
}

/** What the model is fed of an answer: nothing is predicted from its last token. */
function fed(answer: Tokens): Tokens {
  return answer.subarray(0, answer.length - 1);
}

/** For questions of one length and answers of one length: rows are all tokens of all answers in order. */
function regularStates(
  model: CausalTransformer,
  groups: readonly AnswerGroup[],
  { groupSize, sharePrompt }: ReadingOptions,
): States {
  const questionLength = groups[0].question.length, length = groups[0].answers_G[0].length;
  const prompts = groups.length, rows = prompts * groupSize, wholeLength = questionLength + length - 1;
  const rowOf = (p: number, g: number, t: number) => (p * groupSize + g) * length + t;
  if (!sharePrompt) {
    const whole = new Int32Array(rows * wholeLength);
    for (const [p, { question, answers_G }] of groups.entries()) {
      for (const [g, answer] of answers_G.entries()) {
        whole.set(question, (p * groupSize + g) * wholeLength);
        whole.set(fed(answer), (p * groupSize + g) * wholeLength + questionLength);
      }
    }
    return {
      tokens: [{ data: whole, shape: [rows, wholeLength] }],
      passOf: ([tokens]) =>
        finishedBy(
          model.hiddenPass(tokens),
          (states) => states.narrow(1, questionLength - 1, length).reshape([rows * length, -1]),
        ),
      rowOf,
    };
  }
  const questions = new Int32Array(prompts * questionLength), answers = new Int32Array(rows * (length - 1));
  for (const [p, group] of groups.entries()) {
    questions.set(group.question, p * questionLength);
    for (const [g, answer] of group.answers_G.entries()) answers.set(fed(answer), (p * groupSize + g) * (length - 1));
  }
  return {
    tokens: [
      { data: questions, shape: [prompts, questionLength] },
      { data: answers, shape: [rows, length - 1] },
    ],
    passOf: ([questions, answers]) =>
      finishedBy(model.hiddenSharedPass(questions, answers, { promptHidden: "last" }), ({ prompt, answers }) => {
        const width = answers.shape[2];
        const first = prompt.broadcastTo([prompts, groupSize, width]).reshape([rows, 1, width]);
        return concat([first, answers], 1).reshape([rows * length, width]);
      }),
    rowOf,
  };
}

/** Packed sequences, for questions and answers of any lengths. */
function packedStates(model: CausalTransformer, groups: readonly AnswerGroup[], sharePrompt: boolean): States {
  // One row a question, then the answers': the first token of an answer is predicted by its question's last state.
  let end = sharePrompt ? groups.length : 0;
  const starts_PG = groups.map(({ question, answers_G }) =>
    answers_G.map((answer) => {
      const start = end;
      end += answer.length - 1 + (sharePrompt ? 0 : question.length);
      return start;
    })
  );
  if (!sharePrompt) {
    const sequences = groups.flatMap(({ question, answers_G }) =>
      answers_G.map((answer) => ({ prompt: Int32Array.of(...question, ...fed(answer)), answers: [] }))
    );
    return {
      tokens: [],
      passOf: () => finishedBy(model.hiddenPackedPass(sequences), ({ prompts }) => prompts),
      rowOf: (p, g, t) => starts_PG[p][g] + groups[p].question.length - 1 + t,
    };
  }
  const packed = groups.map(({ question, answers_G }) => ({ prompt: question, answers: answers_G.map(fed) }));
  return {
    tokens: [],
    passOf: () =>
      finishedBy(
        model.hiddenPackedPass(packed, { promptHidden: "last" }),
        ({ prompts, answers }) => answers ? concat([prompts, answers]) : prompts,
      ),
    rowOf: (p, g, t) => t === 0 ? p : starts_PG[p][g] + t - 1,
  };
}
