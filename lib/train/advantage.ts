/**
 * Group-relative advantages: how much better an answer is than its siblings.
 *
 * The default is the released code's: (r − μ) / (σ + 10⁻⁶) with the unbiased standard deviation over the answers of one
 * prompt; a group of one has μ = 0 and σ = 1. Left out of it, and available by name: no scaling (Dr. GRPO), one common
 * scale for all groups (the released video code's `uniform_std`), and `best`: G for the best answer of a group, 0 for the others
 * (rejection fine-tuning); equals share, and where all are equal none is the best. Plain numbers on the host, in float64.
 *
 * Where answers have parts, one after the other (the frames of a video, the lines of a text), {@linkcode partAdvantages} credits
 * each part only with what it and the parts after it earn, its return: what was earned before does not depend on it, and is noise
 * in its gradient. The scale of a group is then the largest of the standard deviations of its rewards and of its parts' returns:
 * - one number for all parts of a group, so that its gradient stays that of the reward times a positive number; a scale for each
 *   part would weigh some parts' share of it more than others';
 * - bounded. The deviations e of a part's G returns add up to zero, so e_i² ≤ (G − 1)/G · Σ e², and no advantage is larger than
 *   (G − 1)/√G: what holds for whole answers holds for every part. The rewards' own deviation alone has no bound: answers that
 *   earn the same with their parts in another order differ in their returns and not in their rewards;
 * - where answers differ in reward more than any part does in its return, as groups mostly do, it is the scale of whole answers;
 *   with one part it always is.
 *
 * Source: RLVR-World Eq. 1; Shao et al. 2024 (GRPO); Liu et al. 2025 (Dr. GRPO).
 */

/**
 * How a group's centred rewards are scaled, or that only the best of them counts.
 *
 * @internal
 */
export type AdvantageScale = "group-std" | "uniform-std" | "none" | "best";

/**
 * Advantages of a batch of groups.
 *
 * @internal
 */
export interface GroupAdvantages {
  /** [P·G]: the samples of prompt 0, then of prompt 1, … */
  advantages: Float64Array;
  /** Share of groups whose rewards are all exactly equal: they teach nothing. */
  equalGroups: number;
  /** [P]: whether all rewards of the group are equal. */
  equal: boolean[];
  /** Mean over groups of the standard deviation of rewards. */
  meanStd: number;
}

const STABILITY = 1e-6;

/**
 * Advantages of P groups of G rewards.
 *
 * @param rewards [P·G], the samples of a prompt next to each other.
 * @param groupSize G, at least 1.
 * @throws {RangeError} When the rewards do not divide into groups or one is not finite.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const { advantages } = groupAdvantages([1, 0, 0, 1, 0], 5);
 * assert.equal(advantages[0].toFixed(6), "1.095443");
 * ```
 */
export function groupAdvantages(
  rewards: ArrayLike<number>,
  groupSize: number,
  scale: AdvantageScale = "group-std",
): GroupAdvantages {
  const { means, stds, equal, meanStd } = groupStatistics(rewards, groupSize);
  if (scale === "best") {
    return {
      advantages: bestOfGroups(rewards, groupSize),
      equal,
      equalGroups: equal.filter(Boolean).length / equal.length,
      meanStd,
    };
  }
  const advantages = new Float64Array(rewards.length);
  for (let i = 0; i < rewards.length; i++) {
    const p = Math.floor(i / groupSize), centred = rewards[i] - means[p];
    if (scale === "none") advantages[i] = centred;
    else advantages[i] = centred / ((scale === "uniform-std" ? meanStd : stds[p]) + STABILITY);
  }
  return { advantages, equal, equalGroups: equal.filter(Boolean).length / equal.length, meanStd };
}

/** G divided by how many are the best of a group, for each of them; 0 for the others, and for all of a group of equals. */
function bestOfGroups(rewards: ArrayLike<number>, groupSize: number): Float64Array {
  const advantages = new Float64Array(rewards.length);
  for (let first = 0; first < rewards.length; first += groupSize) {
    const group = Array.from({ length: groupSize }, (_, g) => rewards[first + g]), best = Math.max(...group);
    const count = group.filter((reward) => reward === best).length;
    if (count === groupSize) continue;
    group.forEach((reward, g) => advantages[first + g] = reward === best ? groupSize / count : 0);
  }
  return advantages;
}

function groupStatistics(rewards: ArrayLike<number>, groupSize: number) {
  if (!Number.isInteger(groupSize) || groupSize < 1) {
    throw new RangeError(`groupSize must be at least 1: received ${groupSize}`);
  }
  const groups = rewards.length / groupSize;
  if (!Number.isInteger(groups) || groups === 0) {
    throw new RangeError(`rewards: ${rewards.length} of them do not divide into groups of ${groupSize}`);
  }
  for (let i = 0; i < rewards.length; i++) {
    if (!Number.isFinite(rewards[i])) {
      throw new RangeError(`rewards: number ${i} is not finite: received ${rewards[i]}`);
    }
  }
  const means = new Float64Array(groups), stds = new Float64Array(groups), equal: boolean[] = [];
  for (let p = 0; p < groups; p++) {
    const group = Array.from({ length: groupSize }, (_, g) => rewards[p * groupSize + g]);
    equal.push(group.every((reward) => reward === group[0]));
    if (groupSize === 1) {
      stds[p] = 1;
      continue;
    }
    means[p] = average(group);
    // A group of equal rewards is exactly zero, whatever the rounding of its mean.
    if (equal[p]) means[p] = group[0];
    stds[p] = Math.sqrt(group.reduce((sum, reward) => sum + (reward - means[p]) ** 2, 0) / (groupSize - 1));
  }
  return { means, stds, equal, meanStd: average(stds) };
}

function average(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/**
 * Advantages of every part of P·G answers: the sum of what the part and those after it earn, its return, less the group's mean of
 * that, in one scale a group; see the file's head. The expected gradient is that of {@linkcode groupAdvantages} but for the
 * groups' scales, with less variance.
 *
 * @param contributions [P·G·parts]: what each part earns; an answer's sum is its reward.
 * @param groupSize G, at least 1.
 * @param scale With `group-std` no advantage is larger than (G − 1)/√G; with `uniform-std`, than P times that. With `best` each part's
 *   best return counts, whatever the other parts of that answer earn.
 * @param discount What later parts earn counts so much less for each part between: below 1 there is still less variance, and a
 *   gradient that is not quite that of the reward.
 * @returns [P·G·parts].
 * @throws {RangeError} As `groupAdvantages`.
 */
export function partAdvantages(
  contributions: Float64Array,
  groupSize: number,
  parts: number,
  scale: AdvantageScale = "group-std",
  discount = 1,
): Float64Array {
  const answers = contributions.length / parts;
  const rewards = new Float64Array(answers), returns = contributions.slice();
  for (let i = returns.length - 1; i >= 0; i--) {
    rewards[Math.floor(i / parts)] += contributions[i];
    if (i % parts < parts - 1) returns[i] += discount * returns[i + 1];
  }
  const ofPart = (part: number) => Float64Array.from({ length: answers }, (_, i) => returns[i * parts + part]);
  if (scale === "best") {
    const best = Array.from({ length: parts }, (_, part) => bestOfGroups(ofPart(part), groupSize));
    return returns.map((_, i) => best[i % parts][Math.floor(i / parts)]);
  }
  const deviations = groupStatistics(rewards, groupSize).stds;
  const means = Array.from({ length: parts }, (_, part) => {
    const { stds, means } = groupStatistics(ofPart(part), groupSize);
    stds.forEach((std, p) => deviations[p] = Math.max(deviations[p], std));
    return means;
  });
  const uniform = average(deviations);
  return returns.map((earned, i) => {
    const p = Math.floor(i / (parts * groupSize)), centred = earned - means[i % parts][p];
    return scale === "none" ? centred : centred / ((scale === "uniform-std" ? uniform : deviations[p]) + STABILITY);
  });
}
