/** Groups as the trainer prepares them for an update. */
import { type AnswerGroup, countSpoken, type TrainedGroup } from "../../lib/train/answer_groups.ts";

/**
 * Gives each group its own of a mini-batch's weights, and what `frozen` makes of it.
 *
 * @param weights Of all spoken tokens, in order.
 */
export function trainedGroups(
  groups: readonly AnswerGroup[],
  weights: Float32Array,
  frozen: (group: AnswerGroup) => Pick<TrainedGroup, "old" | "reference"> = () => ({}),
): TrainedGroup[] {
  let end = 0;
  return groups.map((group) => {
    end += countSpoken(group);
    return { ...group, ...frozen(group), weights: weights.subarray(end - countSpoken(group), end) };
  });
}
