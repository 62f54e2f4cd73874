/** Groups as the trainer prepares them for an update. */
import type { AnswerGroup, TrainedGroup } from "../../lib/train/answer_groups.ts";

/**
 * Gives each group its own of a mini-batch's weights, and what `frozen` makes of it.
 *
 * @param weights_Pn Of the spoken tokens of each.
 */
export function trainedGroups(
  groups: readonly AnswerGroup[],
  weights_Pn: readonly Float32Array[],
  frozen: (group: AnswerGroup) => Pick<TrainedGroup, "old_n" | "reference_n"> = () => ({}),
): TrainedGroup[] {
  return groups.map((group, p) => ({ ...group, ...frozen(group), weights_n: weights_Pn[p] }));
}
