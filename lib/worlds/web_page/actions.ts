/**
 * Actions on web pages, what they point at, and their text forms: `click [12]`, `type [7] [blue kettle] [1]`, `stop [$24.00]`.
 *
 * Source: WebArena §2.4; grammar as RLVR-World's agent parses it (its `browser_env/actions.py`).
 */

/**
 * A node that an action may point at.
 *
 * @internal
 */
export interface PageNode {
  readonly role: string;
  readonly name: string;
  /** Its line of the tree without indentation: `[12] link 'Cart'`. */
  readonly line: string;
}

/** An action of WebArena's kinds: click, type, hover, press, scroll, tabs, addresses, stop. */
export type WebAction =
  | { readonly kind: "click" | "hover"; readonly id: number }
  | { readonly kind: "type"; readonly id: number; readonly text: string; readonly pressEnter: boolean }
  | { readonly kind: "press"; readonly keys: string }
  | { readonly kind: "scroll"; readonly direction: "up" | "down" }
  | { readonly kind: "newTab" | "closeTab" | "goBack" | "goForward" }
  | { readonly kind: "tabFocus"; readonly index: number }
  | { readonly kind: "goto"; readonly url: string }
  | { readonly kind: "stop"; readonly answer: string }
  /** What could not be parsed, with what was said. */
  | { readonly kind: "none"; readonly text: string };

/** Keys that are named in any case; all others are passed on as they are. */
const KEY_NAMES: ReadonlyMap<string, string> = new Map(
  [
    ...["Backquote", "Minus", "Equal", "Backslash", "Backspace", "Tab", "Delete", "Escape", "Enter", "Space", "End"],
    ...["Home", "Insert", "PageDown", "PageUp", "ArrowDown", "ArrowLeft", "ArrowRight", "ArrowUp", "ContextMenu"],
    ...["Alt", "Control", "Meta", "Shift", "CapsLock"],
    ...Array.from({ length: 12 }, (_, index) => `F${index + 1}`),
  ].map((key) => [key.toLowerCase(), key]),
);

/** What models and people call keys besides. */
const OTHER_KEY_NAMES: Readonly<Record<string, string>> = {
  ...{
    esc: "Escape",
    return: "Enter",
    del: "Delete",
    ins: "Insert",
    spacebar: "Space",
    pgup: "PageUp",
    pgdn: "PageDown",
  },
  ...{ left: "ArrowLeft", right: "ArrowRight", up: "ArrowUp", down: "ArrowDown", plus: "+" },
  ...{ ctrl: "Control", cmd: "Meta", command: "Meta", win: "Meta", windows: "Meta", opt: "Alt", option: "Alt" },
};

// `type ?\[(\d+)\] ?\[(.+)\] ?\[(\d+)\]` and so on, but tried at a line's first place only: what ends an action stands behind its
// later places too, or behind none. What a lookahead has found is not looked for again.
const TYPE = /^(?=(.*?type ?\[(\d+)\] ?\[))\1(.+)\] ?\[(\d+)\]/m;
const PRESS = /^(?=(.*?press ?\[))\1(.+)\]/m;
const GOTO = /^(?=(.*?goto ?\[))\1(.+)\]/m;
const STOP = /^(?=(.*?stop ?\[))\1(.+)\]/m;

/**
 * Reads an action as WebArena does: its name is what stands before the first `[` (or the first word), its arguments stand in
 * brackets. `type` presses Enter unless it ends in `[0]`; a `stop` without an answer stops with an empty one. Keys of `press` get
 * their usual names (`enter` → `Enter`, `esc` → `Escape`, `ctrl+K` → `Control+k`).
 *
 * @returns The action; kind `none` with the text for whatever is not one. Never throws.
 */
export function parseAction(text: string): WebAction {
  const trimmed = text.trim();
  const name = (trimmed.includes("[") ? trimmed.slice(0, trimmed.indexOf("[")) : trimmed.split(/\s/, 1)[0]).trim();
  return parseNamed(name, trimmed) ?? { kind: "none", text };
}

function parseNamed(name: string, text: string): WebAction | undefined {
  switch (name) {
    case "click":
    case "hover": {
      const match = text.match(name === "click" ? /click ?\[(\d+)\]/ : /hover ?\[(\d+)\]/);
      return match ? { kind: name, id: Number(match[1]) } : undefined;
    }
    case "type": {
      const flagged = /\[[01]\]$/.test(text) ? text : `${text} [1]`;
      const match = flagged.match(TYPE);
      return match ? { kind: "type", id: Number(match[2]), text: match[3], pressEnter: match[4] === "1" } : undefined;
    }
    case "press": {
      const keys = text.match(PRESS)?.[2];
      return keys === undefined ? undefined : { kind: "press", keys: keyNames(keys) };
    }
    case "scroll": {
      const direction = text.match(/scroll ?\[?(up|down)\]?/)?.[1];
      return direction === undefined ? undefined : { kind: "scroll", direction: direction === "up" ? "up" : "down" };
    }
    case "goto": {
      const url = text.match(GOTO)?.[2];
      return url === undefined ? undefined : { kind: "goto", url };
    }
    case "tab_focus": {
      const index = text.match(/tab_focus ?\[(\d+)\]/)?.[1];
      return index === undefined ? undefined : { kind: "tabFocus", index: Number(index) };
    }
    case "stop":
      return { kind: "stop", answer: text.match(STOP)?.[2] ?? "" };
    case "new_tab":
      return { kind: "newTab" };
    case "close_tab":
      return { kind: "closeTab" };
    case "go_back":
      return { kind: "goBack" };
    case "go_forward":
      return { kind: "goForward" };
    default:
      return undefined;
  }
}

/** Keys that are pressed together, by their usual names: `ctrl+K` → `Control+k`. */
function keyNames(keys: string): string {
  const isPlus = keys.endsWith("+"), parts = (isPlus ? keys.slice(0, -1) : keys).split("+");
  const names = [...parts.filter((part) => !isPlus || part !== ""), ...isPlus ? ["+"] : []].map(keyName);
  // A letter is a capital with Shift alone: shortcuts are looked for in small letters.
  const letter = names.length > 1 && !names.includes("Shift") ? names.pop()! : undefined;
  return [...names, ...letter === undefined ? [] : [letter.length === 1 ? letter.toLowerCase() : letter]].join("+");
}

function keyName(key: string): string {
  const known = key.toLowerCase().replaceAll(/[\s_]/g, "");
  return KEY_NAMES.get(known) ?? (Object.hasOwn(OTHER_KEY_NAMES, known) ? OTHER_KEY_NAMES[known] : key.trim() || key);
}

/** An action in the grammar, Enter said outright: `type [7] [kettle] [1]`. What is not an action is given back as it was said. */
export function formatAction(action: WebAction): string {
  switch (action.kind) {
    case "click":
    case "hover":
      return `${action.kind} [${action.id}]`;
    case "type":
      return `type [${action.id}] [${action.text}] [${action.pressEnter ? 1 : 0}]`;
    case "press":
      return `press [${action.keys}]`;
    case "scroll":
      return `scroll [${action.direction}]`;
    case "newTab":
      return "new_tab";
    case "closeTab":
      return "close_tab";
    case "goBack":
      return "go_back";
    case "goForward":
      return "go_forward";
    case "tabFocus":
      return `tab_focus [${action.index}]`;
    case "goto":
      return `goto [${action.url}]`;
    case "stop":
      return `stop [${action.answer}]`;
    case "none":
      return action.text;
  }
}

/**
 * An action as a history tells it: `click [12] where [12] is link 'Cart'`, `type [7] [kettle] where [7] is searchbox 'Search'`,
 * `page_focus [1]`, `none`; all others as {@linkcode formatAction} writes them.
 *
 * One action is one line here: WebArena's own form has the line break of a pressed Enter inside the typed text.
 *
 * @param nodes The page's nodes before the action. Of a node that is not there nothing is said.
 */
export function describeAction(action: WebAction, nodes: ReadonlyMap<number, PageNode>): string {
  switch (action.kind) {
    case "click":
    case "hover":
      return `${action.kind} [${action.id}]${whereIs(action.id, nodes)}`;
    case "type":
      return `type [${action.id}] [${action.text}]${whereIs(action.id, nodes)}`;
    case "tabFocus":
      return `page_focus [${action.index}]`;
    case "none":
      return "none";
    default:
      return formatAction(action);
  }
}

function whereIs(id: number, nodes: ReadonlyMap<number, PageNode>): string {
  const node = nodes.get(id);
  // The line without its id; a run of spaces in a name is one space, as in WebArena's histories.
  return node ? ` where [${id}] is ${node.line.split(/\s+/).slice(1).join(" ")}` : "";
}

/**
 * Whether two actions are the same to a rule that stops an agent which repeats itself: same kind, same node (whatever is typed
 * into it), same address, keys, direction, tab, answer. Two texts that were no actions are the same.
 */
export function isEquivalent(a: WebAction, b: WebAction): boolean {
  if (a.kind === "type" && b.kind === "type") return a.id === b.id;
  if (a.kind === "none" && b.kind === "none") return true;
  return a.kind === b.kind && formatAction(a) === formatAction(b);
}
