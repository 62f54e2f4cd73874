/**
 * Which action an explorer tries next on a page: drawn from what the page offers, so that a walk sees much of a site.
 *
 * Each element weighs by its role. One that was used, or that stood on the pages before, weighs less, so the links of a page's
 * head do not swallow a walk; what did nothing on the very same page is not tried there again.
 */
import type { Philox } from "../../tensor/random.ts";
import { formatAction, type PageNode, type WebAction } from "./actions.ts";
import type { Observation } from "./browser.ts";

/** What an explorer may do. */
export interface ProposalOptions {
  /** What is typed besides words of the page. */
  words?: readonly string[];
  /** Weight of clicking, by role, over {@linkcode CLICK_WEIGHTS}. */
  clickWeights?: Readonly<Record<string, number>>;
  /** Whether tabs are opened and closed. @default {true} */
  usesTabs?: boolean;
}

/** How readily an element of a role is clicked; of any other role: hardly ever, since nothing happens then. */
export const CLICK_WEIGHTS: Readonly<Record<string, number>> = {
  link: 4,
  button: 6,
  option: 1.5,
  menuitem: 2,
  tab: 3,
  checkbox: 2.5,
  radio: 2.5,
  switch: 2.5,
  DisclosureTriangle: 3,
  combobox: 0.5,
};
const OTHER_CLICK = 0.02;

/** How readily one types into an element of a role. */
const TYPE_WEIGHTS: Readonly<Record<string, number>> = { searchbox: 5, textbox: 4, spinbutton: 3 };

/** One way to go on. */
interface Choice {
  weight: number;
  /** What makes uses of it the same from page to page. */
  kind: string;
  action: WebAction;
}

/** Proposes actions, remembering what was tried. */
export class ActionProposals {
  readonly #random: Philox;
  readonly #options: ProposalOptions;
  readonly #uses = new Map<string, number>();
  /** On how many pages before this one a text stood. */
  readonly #seen = new Map<string, number>();
  /** What did nothing, by the page's tree. */
  readonly #idle = new Map<string, Set<string>>();
  #lastUrl: string | undefined;
  #pages = 0;

  /** Has tried nothing yet. @param random Where choices are drawn from. */
  constructor(random: Philox, options: ProposalOptions = {}) {
    this.#random = random;
    this.#options = options;
  }

  /** The next action to try on a page. */
  propose(observation: Observation): WebAction {
    const idle = this.#idle.get(observation.tree);
    const choices = this.#choices(observation).filter(({ action }) => !idle?.has(idleKey(action)));
    // A page on which nothing helps is left.
    if (choices.length === 0) return { kind: "goBack" };
    const weight = (each: Choice) => each.weight / (1 + (this.#uses.get(each.kind) ?? 0));
    let left = this.#random.uniform() * choices.reduce((sum, each) => sum + weight(each), 0);
    const chosen = choices.find((each) => (left -= weight(each)) < 0) ?? choices[choices.length - 1];
    count(this.#uses, chosen.kind);
    return chosen.action;
  }

  /** What came of an action: one that changed nothing is not proposed for that very page again. */
  observe(before: Observation, action: WebAction, after: Observation | undefined): void {
    if (after !== undefined && before.url !== this.#lastUrl) {
      for (const { line } of before.nodes.values()) count(this.#seen, textOf(line));
      this.#lastUrl = before.url;
    }
    if (after === undefined || after.tree === before.tree) {
      const idle = this.#idle.get(before.tree) ?? new Set();
      this.#idle.set(before.tree, idle.add(idleKey(action)));
    }
    if (after !== undefined && after.url !== before.url) this.#pages++;
  }

  #choices(observation: Observation): Choice[] {
    const choices: Choice[] = [];
    const { clickWeights = {}, usesTabs = true } = this.#options, pageWords = wordsOf(observation);
    for (const [id, node] of observation.nodes) {
      const text = textOf(node.line), novelty = 1 / (1 + (this.#seen.get(text) ?? 0)) ** 2;
      const clickWeight = clickWeights[node.role] ?? CLICK_WEIGHTS[node.role] ?? OTHER_CLICK;
      choices.push({ weight: clickWeight * novelty, kind: `click ${text}`, action: { kind: "click", id } });
      const typeWeight = TYPE_WEIGHTS[node.role] ?? 0;
      if (typeWeight === 0) continue;
      choices.push({
        weight: typeWeight * novelty,
        kind: `type ${node.role} ${node.name}`,
        action: {
          kind: "type",
          id,
          text: this.#text(node, pageWords),
          pressEnter: node.role === "searchbox" || this.#random.uniform() < 0.5,
        },
      });
    }
    if (this.#pages > 0) choices.push({ weight: 1, kind: "goBack", action: { kind: "goBack" } });
    if (this.#pages > 1) choices.push({ weight: 0.3, kind: "goForward", action: { kind: "goForward" } });
    const first = observation.nodes.keys().next();
    if (!first.done) choices.push({ weight: 0.1, kind: "hover", action: { kind: "hover", id: first.value } });
    choices.push({ weight: 0.1, kind: "scroll", action: { kind: "scroll", direction: "down" } });
    choices.push({ weight: 0.1, kind: "press", action: { kind: "press", keys: "Tab" } });
    if (usesTabs) {
      const { tabs } = observation, current = tabs.findIndex((each) => each.isCurrent);
      if (tabs.length < 3) choices.push({ weight: 0.1, kind: "newTab", action: { kind: "newTab" } });
      if (tabs.length > 1) {
        const index = (current + 1) % tabs.length;
        choices.push({ weight: 1, kind: "tabFocus", action: { kind: "tabFocus", index } });
        choices.push({ weight: 1, kind: "closeTab", action: { kind: "closeTab" } });
      }
    }
    return choices;
  }

  /** What is typed: a number where one belongs, a given word, or a word of the page. */
  #text(node: PageNode, names: readonly string[]): string {
    if (node.role === "spinbutton") return String(this.#random.integer(1, 6));
    const { words = [] } = this.#options;
    const from = words.length > 0 && (names.length === 0 || this.#random.uniform() < 0.5) ? words : names;
    return from.length === 0 ? "hello" : from[this.#random.integer(0, from.length)];
  }
}

/** Words of what a page says. */
function wordsOf({ nodes }: Observation): string[] {
  return [...nodes.values()].filter((each) => /^(link|heading|StaticText)$/.test(each.role))
    .flatMap((each) => each.name.match(/\p{L}{3,}/gu) ?? []);
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** A line without its id. */
function textOf(line: string): string {
  return line.slice(line.indexOf("]") + 2);
}

function idleKey(action: WebAction): string {
  // What is typed matters little: a field that does nothing with one word does nothing with another.
  return action.kind === "type" ? `type ${action.id} ${action.pressEnter}` : formatAction(action);
}
