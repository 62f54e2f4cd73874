/**
 * What configurations say of GRPO beside the trainer's own fields (`train/grpo_options.ts`): defaults of another demo, and what
 * belongs to a loss.
 */
import { UserError } from "../base/user_error.ts";
import { LOSSES } from "../train/losses/losses.ts";
import { lossOf } from "../train/objective.ts";

/** Values of a configuration over those that belong to the loss that they name. */
export function completeGrpo(values: Record<string, unknown>): Record<string, unknown> {
  const grpo = values.grpo as Record<string, unknown> | undefined;
  const kind = LOSSES.find(({ name }) => name === grpo?.loss);
  return kind ? { ...values, grpo: { ...kind.fields, ...grpo } } : values;
}

/**
 * Refuses credit by part where an answer has one ratio: before anything is trained, rather than when GRPO begins.
 *
 * @throws {UserError} When `credit` is not `answer` and the loss is one of whole answers.
 */
export function checkCredit({ credit, ...objective }: { credit: string } & Parameters<typeof lossOf>[0]): void {
  const { name, ratioOf } = lossOf(objective);
  if (credit === "answer" || ratioOf === "token") return;
  throw new UserError(
    `grpo.credit "${credit}" has no meaning with grpo.loss "${name}", where an answer is one: set grpo.credit=answer, or ` +
      `take another loss`,
  );
}
