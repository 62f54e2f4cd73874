/**
 * Which episodes are trained on and which are held out.
 *
 * The rule is RLVR-World's: episodes are sorted by name and every hundredth is a test episode, so that a split needs no
 * file of its own and is the same on every machine. Small data sets hold out a larger share by a smaller `testEvery`.
 */

/**
 * Splits episodes 0 … count − 1: index i is a test episode if i mod `testEvery` is 0 (paper's data: 873 of 87,212).
 *
 * @param count the number of episodes.
 * @param testEvery how many episodes there are to one test episode; at least 2.
 * @throws {RangeError} if either number is not an integer in its range.
 */
export function splitEpisodes(count: number, testEvery = 100): {
  /** Episodes to train on, ascending. */
  train: number[];
  /** Held-out episodes, ascending. */
  test: number[];
} {
  if (!Number.isInteger(count) || count < 0) {
    throw new RangeError(`the number of episodes must be an integer of at least 0: received ${count}`);
  }
  if (!Number.isInteger(testEvery) || testEvery < 2) {
    throw new RangeError(`testEvery must be an integer of at least 2: received ${testEvery}`);
  }
  const train: number[] = [];
  const test: number[] = [];
  for (let index = 0; index < count; index++) (index % testEvery === 0 ? test : train).push(index);
  return { train, test };
}
