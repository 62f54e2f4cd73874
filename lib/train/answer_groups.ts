/**
 * Groups of answers, ready for the update: tokens, advantages, and how much each token weighs.
 */
import type { Tensor } from "../tensor/tensor.ts";
import type { Tokens } from "../worlds/world.ts";
import type { LossDenominator } from "./losses/loss.ts";
import { tokenWeights } from "./objective.ts";

/** The answers to one prompt. */
export interface AnswerGroup {
  /** q(s, a). */
  question: Tokens;
  /** G answers, or fewer where `counts` says so; of one length where some of their tokens are given. */
  answers: readonly Tokens[];
  /** Of how many equal answers each one stands; 1 when left out. */
  counts?: readonly number[];
  /** 1 where the model spoke, 0 where the token was given; undefined where all of every answer is the model's. */
  sampled?: Uint8Array;
  /** [G], or [G·K] where `parts` says which of K parts a token belongs to. */
  advantages: Float64Array;
  /** Of each answer: the part of each of its tokens, ascending from 0. */
  parts?: readonly Uint16Array[];
  /** Of each answer: log p of its tokens under the sampler. */
  sampler: readonly Float32Array[];
}

/** A group with what its update needs; tensors are [n], of its spoken tokens in order. */
export interface TrainedGroup extends AnswerGroup {
  /** log p before the update; undefined where that is the policy itself. */
  old?: Tensor;
  /** log p under the reference model, where one is needed. */
  reference?: Tensor;
  /** [n]: each spoken token's weight in the loss. */
  weights: Float32Array;
}

/** A token that the model spoke: which answer of a group it belongs to, and its place there. */
export interface SpokenToken<Group extends AnswerGroup = AnswerGroup> {
  group: Group;
  /** Place of the group among those that were asked for. */
  p: number;
  /** Of the answer in its group. */
  g: number;
  /** Of the token in its answer. */
  t: number;
}

/** All tokens that the model spoke in some groups, in order. */
export function spokenTokens<Group extends AnswerGroup>(groups: readonly Group[]): SpokenToken<Group>[] {
  const spoken: SpokenToken<Group>[] = [];
  for (const [p, group] of groups.entries()) {
    for (const [g, tokens] of group.answers.entries()) {
      for (let t = 0; t < tokens.length; t++) {
        if (group.sampled === undefined || group.sampled[t] === 1) spoken.push({ group, p, g, t });
      }
    }
  }
  return spoken;
}

/** Number of tokens that the model spoke in a group. */
export function countSpoken({ sampled, answers }: AnswerGroup): number {
  const count = (tokens: Tokens) => sampled ? sampled.reduce((sum, one) => sum + one, 0) : tokens.length;
  return answers.reduce((sum, tokens) => sum + count(tokens), 0);
}

/** A of a token: its answer's, or its part's. */
export function advantageOf({ group: { advantages, parts }, g, t }: SpokenToken): number {
  return parts ? advantages[g * advantages.length / parts.length + parts[g][t]] : advantages[g];
}

/** Largest |advantage| of the tokens that the model spoke in some groups. */
export function largestAdvantage(groups: readonly AnswerGroup[]): number {
  return spokenTokens(groups).reduce((most, token) => Math.max(most, Math.abs(advantageOf(token))), 0);
}

/** Share of answers that are equal to another of their group. */
export function duplicateShare(groups: readonly AnswerGroup[]): number {
  let duplicates = 0, count = 0;
  for (const { answers } of groups) {
    duplicates += answers.length - new Set(answers.map((answer) => answer.join(","))).size;
    count += answers.length;
  }
  return duplicates / count;
}

/**
 * The same group with each different answer once and how often it was given: the loss and its gradient are the same, the work is
 * that of the different answers. A model that is sure says the same again and again.
 */
export function mergeEqualAnswers(group: AnswerGroup): AnswerGroup {
  const { answers, advantages, parts, sampler } = group, perAnswer = advantages.length / answers.length;
  const creditOf = (g: number) => advantages.subarray(g * perAnswer, (g + 1) * perAnswer);
  const kept: number[] = [], counts: number[] = [], places = new Map<string, number>();
  for (const [g, answer] of answers.entries()) {
    // Where equal answers are credited differently, they are different.
    const name = `${answer.join()}/${creditOf(g).join()}`, place = places.get(name);
    if (place !== undefined) {
      counts[place]++;
      continue;
    }
    places.set(name, kept.length);
    kept.push(g);
    counts.push(1);
  }
  if (kept.length === answers.length) return group;
  return {
    ...group,
    answers: kept.map((g) => answers[g]),
    counts,
    advantages: Float64Array.from(kept.flatMap((g) => [...creditOf(g)])),
    parts: parts && kept.map((g) => parts[g]),
    sampler: kept.map((g) => sampler[g]),
  };
}

/**
 * The weight in the loss of every token that the model spoke, group after group.
 *
 * @param groups The whole mini-batch: what shares a denominator.
 * @param fixedLength Length that the `fixed-length` denominator counts for each answer. Default: the longest one's.
 */
export function spokenWeights(
  groups: readonly AnswerGroup[],
  denominator: LossDenominator,
  fixedLength?: number,
): Float32Array {
  const rows = groups.flatMap(({ answers, sampled, counts }) =>
    answers.map((tokens, g) => ({ length: tokens.length, sampled, count: counts?.[g] ?? 1 }))
  );
  const longest = rows.reduce((most, { length }) => Math.max(most, length), fixedLength ?? 0);
  const mask_NT = new Uint8Array(rows.length * longest);
  for (const [n, { length, sampled }] of rows.entries()) {
    if (sampled) mask_NT.set(sampled, n * longest);
    else mask_NT.fill(1, n * longest, n * longest + length);
  }
  const weights_NT = tokenWeights(mask_NT, rows.length, denominator, rows.map(({ count }) => count));
  return weights_NT.filter((_, i) => mask_NT[i] === 1);
}
