/**
 * The middle roles as programs, for runs without a language model: the changes listed, a sentence around them. What follows
 * (`change_value.ts`) reads the prediction itself; these texts are for people who look at the run.
 */
import type { AgentState, SummarizerRole, TranslatorRole } from "../roles.ts";
import { type Reply, timed } from "../../../serving/usage.ts";

/** Points of a list at most, as the summarizer's prompt asks. */
const POINTS = 10;

/** Sums predicted changes up by listing them: a program in place of a model. */
export class ListSummarizer implements SummarizerRole {
  /** {@inheritDoc SummarizerRole.summarize} */
  summarize(
    _state: AgentState,
    candidates: Parameters<SummarizerRole["summarize"]>[1],
  ): Promise<Reply<string[]>> {
    return timed(candidates.length, () =>
      candidates.map(({ sections }) =>
        [
          ...lines(sections.newItems, "new"),
          ...lines(sections.updatedItems, "changed"),
          ...lines(sections.deletedItems, "gone"),
        ].slice(0, POINTS).map((line, i) => `${i + 1}. ${line}`).join("\n")
      ));
  }
}

/** Puts the list into a sentence. */
export class ListTranslator implements TranslatorRole {
  /** {@inheritDoc TranslatorRole.translate} */
  translate(
    _state: AgentState,
    candidates: Parameters<TranslatorRole["translate"]>[1],
  ): Promise<Reply<string[]>> {
    return timed(
      candidates.length,
      () =>
        candidates.map(({ described, salientChanges }) =>
          salientChanges === ""
            ? `[Next State] The expected effect is that ${described} changes nothing.`
            : `[Next State] The expected effect is that ${described} changes this:\n${salientChanges}`
        ),
    );
  }
}

function lines(section: string | undefined, word: string): string[] {
  return (section ?? "").split("\n").map((line) => line.trim().replace(/^\[\d+\]\s*/, "")).filter((line) => line !== "")
    .map((line) => `${word}: ${line}`);
}
