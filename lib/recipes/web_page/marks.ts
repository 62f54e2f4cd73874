/** A predicted answer with its hits and misses marked, for people. */
import { type ChangeSection, parseChanges } from "../../worlds/web_page/f1_reward.ts";

const TITLES: Record<ChangeSection, string> = { new: "New items", deleted: "Deleted items", updated: "Updated items" };

/** The answer's items by section: `✓` said and true, `✗` said but not true, `○` true but not said. */
export function markedAnswer(answer: string, truth: string): string {
  const predicted = parseChanges(answer), actual = parseChanges(truth);
  return (Object.keys(TITLES) as ChangeSection[]).map((section) => {
    const said = predicted[section], is = actual[section];
    return [
      `${TITLES[section]}:`,
      ...[...said].map((item) => `${is.has(item) ? "✓" : "✗"} ${item}`),
      ...[...is].filter((item) => !said.has(item)).map((item) => `○ ${item}`),
    ].join("\n");
  }).join("\n\n");
}
