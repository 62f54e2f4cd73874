/**
 * A predicted answer taken apart into its three sections, as the released agent does for the prompts that follow: as text, by
 * the titles and the empty lines between. `worlds/web_page/f1_reward.ts` reads answers differently (by lines, for the score).
 *
 * Source: RLVR-World's `world_model_agent.py`.
 */

/**
 * Texts of the sections; undefined where there is none, or its text is `None`.
 *
 * @internal
 */
export interface ChangeSectionTexts {
  /** Lines of items that will be there. */
  newItems?: string;
  /** Lines of items that will be gone. */
  deletedItems?: string;
  /** Lines of items that will be different. */
  updatedItems?: string;
}

/**
 * Splits an answer. The new items end at an empty line and the next title, so do the deleted ones; the updated ones end at an
 * empty line or with the text.
 */
export function splitSections(answer: string): ChangeSectionTexts {
  const section = (text: string | undefined) => {
    const trimmed = text?.trim();
    return trimmed === "" || trimmed === "None" ? undefined : trimmed;
  };
  return {
    newItems: section(textBetween("New items:", "Deleted items:", answer)),
    deletedItems: section(textBetween("Deleted items:", "Updated items:", answer)),
    updatedItems: section(textAfter("Updated items:", answer)?.trimStart().split(EMPTY_LINE, 1)[0]),
  };
}

const EMPTY_LINE = /\n[ \t]*\n/;

/** From the first `title` to the first empty line behind it that is followed by `next`, more white space between them or not. */
function textBetween(title: string, next: string, text: string): string | undefined {
  // Not one pattern: that would look through the rest of the text once for each title and each line end.
  const parts = textAfter(title, text)?.split(next) ?? [];
  let before = "";
  for (const part of parts.slice(0, -1)) {
    const kept = part.trimEnd(), empty = EMPTY_LINE.exec(part.slice(kept.length));
    if (empty) return before + kept;
    before += part + next;
  }
  return undefined;
}

function textAfter(title: string, text: string): string | undefined {
  const at = text.indexOf(title);
  return at === -1 ? undefined : text.slice(at + title.length);
}
