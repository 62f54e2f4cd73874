/**
 * A predicted answer taken apart into its three sections, as the released agent does for the prompts that follow: as text, by
 * the titles and the empty lines between. `f1_reward.ts` reads answers differently (by lines, for the score).
 *
 * Source: RLVR-World's `world_model_agent.py`.
 */

/** Texts of the sections; undefined where there is none, or its text is `None`. */
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
  const section = (pattern: RegExp) => {
    const text = pattern.exec(answer)?.[1].trim();
    return text === undefined || text === "" || text === "None" ? undefined : text;
  };
  return {
    newItems: section(/New items:(.*?)\n[ \t]*\n\s*Deleted items:/s),
    deletedItems: section(/Deleted items:(.*?)\n[ \t]*\n\s*Updated items:/s),
    updatedItems: section(/Updated items:\s*(.*?)(?:\n[ \t]*\n|$)/s),
  };
}
