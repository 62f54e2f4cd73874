/**
 * Groups of answers, ready for the update: tokens, advantages, and how much each token weighs.
 *
 * Axes: G answers of a prompt, K parts of an answer, T tokens of an answer, n tokens that the model spoke.
 */
import type { Tensor } from "../tensor/tensor.ts";
import type { Tokens } from "../worlds/world.ts";
import type { LossDenominator } from "./losses/loss.ts";
import { tokenWeights } from "./objective.ts";

/** The answers to one prompt. */
export interface AnswerGroup {
  /** The prompt's tokens q(s, a). */
  question: Tokens;
  /** G answers, or fewer where `counts_G` says so; of one length where some of their tokens are given. */
  answers_G: readonly Tokens[];
  /** Of how many equal answers each one stands. @default {1 each} */
  counts_G?: readonly number[];
  /** 1 where the model spoke, 0 where the token was given; undefined where all of every answer is the model's. */
  sampled_T?: Uint8Array;
  /** [G·K]; K is 1 where `parts_GT` is left out. */
  advantages_GK: Float64Array;
  /** Which of K parts each token belongs to, ascending from 0. */
  parts_GT?: readonly Uint16Array[];
  /** log p of every token under the sampler. */
  sampler_GT: readonly Float32Array[];
}

/** A group with what its update needs, one number for each of its spoken tokens in order. */
export interface TrainedGroup extends AnswerGroup {
  /** log p before the update; undefined where that is the policy itself. */
  old_n?: Tensor;
  /** log p under the reference model, where one is needed. */
  reference_n?: Tensor;
  /** Weight in the mini-batch's loss, from `spokenWeights`. */
  weights_n: Float32Array;
}

/** A token that the model spoke: which answer of a group it belongs to, and its place there. */
export interface SpokenToken<Group extends AnswerGroup = AnswerGroup> {
  group: Group;
  /** Place of the group among those that were asked for. */
  p: number;
  /** Place of the answer in its group. */
  g: number;
  /** Place of the token in its answer. */
  t: number;
}

/** All tokens that the model spoke in some groups, in order. */
export function spokenTokens<Group extends AnswerGroup>(groups: readonly Group[]): SpokenToken<Group>[] {
  const spoken: SpokenToken<Group>[] = [];
  for (const [p, group] of groups.entries()) {
    for (const [g, answer] of group.answers_G.entries()) {
      for (let t = 0; t < answer.length; t++) {
        if (group.sampled_T === undefined || group.sampled_T[t] === 1) spoken.push({ group, p, g, t });
      }
    }
  }
  return spoken;
}

/** Number of tokens that the model spoke in a group. */
export function countSpoken({ sampled_T, answers_G }: AnswerGroup): number {
  const count = (answer: Tokens) => sampled_T ? sampled_T.reduce((sum, one) => sum + one, 0) : answer.length;
  return answers_G.reduce((sum, answer) => sum + count(answer), 0);
}

/** A of a token: its answer's, or its part's. */
export function advantageOf({ group: { advantages_GK, parts_GT }, g, t }: SpokenToken): number {
  return parts_GT ? advantages_GK[g * advantages_GK.length / parts_GT.length + parts_GT[g][t]] : advantages_GK[g];
}

/** Largest |advantage| of the tokens that the model spoke in some groups. */
export function largestAdvantage(groups: readonly AnswerGroup[]): number {
  return spokenTokens(groups).reduce((most, token) => Math.max(most, Math.abs(advantageOf(token))), 0);
}

/** Share of answers that are equal to another of their group. */
export function duplicateShare(groups: readonly AnswerGroup[]): number {
  let duplicates = 0, count = 0;
  for (const { answers_G } of groups) {
    duplicates += answers_G.length - new Set(answers_G.map((answer) => answer.join(","))).size;
    count += answers_G.length;
  }
  return duplicates / count;
}

/**
 * The same group with each different answer once and how often it was given: the loss and its gradient are the same, the work is
 * that of the different answers. A model that is sure says the same again and again.
 */
export function mergeEqualAnswers(group: AnswerGroup): AnswerGroup {
  const { answers_G, advantages_GK, parts_GT, sampler_GT } = group, parts = advantages_GK.length / answers_G.length;
  const creditOf = (g: number) => advantages_GK.subarray(g * parts, (g + 1) * parts);
  const kept: number[] = [], counts_G: number[] = [], places = new Map<string, number>();
  for (const [g, answer] of answers_G.entries()) {
    // Where equal answers are credited differently, they are different.
    const name = `${answer.join()}/${creditOf(g).join()}`, place = places.get(name);
    if (place !== undefined) {
      counts_G[place]++;
      continue;
    }
    places.set(name, kept.length);
    kept.push(g);
    counts_G.push(1);
  }
  if (kept.length === answers_G.length) return group;
  return {
    ...group,
    answers_G: kept.map((g) => answers_G[g]),
    counts_G,
    advantages_GK: Float64Array.from(kept.flatMap((g) => [...creditOf(g)])),
    parts_GT: parts_GT && kept.map((g) => parts_GT[g]),
    sampler_GT: kept.map((g) => sampler_GT[g]),
  };
}

/**
 * The weight in the loss of every token that the model spoke, group by group: [P][n].
 *
 * @param groups The whole mini-batch: what shares a denominator.
 * @param fixedLength Length that the `fixed-length` denominator counts for each answer; the longest one's when left out.
 */
export function spokenWeights(
  groups: readonly AnswerGroup[],
  denominator: LossDenominator,
  fixedLength?: number,
): Float32Array[] {
  const rows = groups.flatMap(({ answers_G, sampled_T, counts_G }) =>
    answers_G.map(({ length }, g) => ({ length, sampled_T, count: counts_G?.[g] ?? 1 }))
  );
  const longest = rows.reduce((most, { length }) => Math.max(most, length), fixedLength ?? 0);
  const mask_NT = new Uint8Array(rows.length * longest);
  for (const [n, { length, sampled_T }] of rows.entries()) {
    if (sampled_T) mask_NT.set(sampled_T, n * longest);
    else mask_NT.fill(1, n * longest, n * longest + length);
  }
  const weights_NT = tokenWeights(mask_NT, rows.length, denominator, rows.map(({ count }) => count));
  const spoken = weights_NT.filter((_, i) => mask_NT[i] === 1);
  let end = 0;
  return groups.map((group) => {
    const start = end;
    end += countSpoken(group);
    return spoken.subarray(start, end);
  });
}
