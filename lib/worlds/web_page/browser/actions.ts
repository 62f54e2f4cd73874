/**
 * Actions on web pages and their text forms: `click [12]`, `type [7] [blue kettle] [1]`, `stop [$24.00]`.
 *
 * Source: WebArena §2.4; grammar as RLVR-World's agent parses it (its `browser_env/actions.py`).
 */

/** An action, parsed. */
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
