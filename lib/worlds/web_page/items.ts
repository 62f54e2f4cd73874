/**
 * Items of a page: the lines of an accessibility tree in WebArena's text form that have an id,
 * `[12] link 'Cart' focused: True`, taken apart.
 *
 * Indentation and the line of tabs are no part of an item. Anything may stand in a line; what has another form than the
 * browser writes keeps its text and has no name.
 */

/**
 * A line with an id.
 *
 * @internal
 */
export interface PageItem {
  /** Number of the node, which actions point at. */
  readonly id: number;
  /** `link`, `button`, `StaticText`, … */
  readonly role: string;
  /** What stands between the quotes, escapes as they are written; empty where nothing is quoted. */
  readonly name: string;
  /** What follows the name: `focused: True required: False`. */
  readonly attributes: string;
  /** The line without indentation. */
  readonly line: string;
  /** The line without its id: what tells whether an item says the same. */
  readonly text: string;
}

const ITEM = /^\[(\d{1,15})\]\s+(\S+)\s*(.*)$/s;

/** An item of a line, or undefined where it has none. */
export function parseItem(line: string): PageItem | undefined {
  const trimmed = line.trim(), match = ITEM.exec(trimmed);
  if (match === null) return undefined;
  const [, id, role, rest] = match, end = endOfQuoted(rest);
  return {
    id: Number(id),
    role,
    name: end === -1 ? "" : rest.slice(1, end),
    attributes: rest.slice(end + 1).trim(),
    line: trimmed,
    text: trimmed.slice(trimmed.indexOf("]") + 1).trim(),
  };
}

/** The items of a tree, in order. */
export function pageItems(tree: string): PageItem[] {
  return tree.split("\n").map(parseItem).filter((each) => each !== undefined);
}

/** Place of the quote that ends the text's leading Python string; −1 where there is none. */
function endOfQuoted(text: string): number {
  const quote = text[0];
  if (quote !== "'" && quote !== '"') return -1;
  for (let at = 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === quote) return at;
  }
  return -1;
}
