/**
 * A policy that knows a task's solution and errs: it stands for a language model where none is at hand, so that what a world
 * model is worth can be measured on the built-in site.
 *
 * On each page it has one right action (the solution's next step, or the way back to where that step can be done) and some
 * plausible wrong ones: other links, buttons and fields of the page, likelier the more words they share with the objective. Its
 * samples are drawn among them. In a share of the steps it is confused: a wrong action is then the likeliest, the right one
 * comes second. Which steps these are follows from the seed, task and step alone, so agents that are compared meet the same
 * confusions. It never says `stop` too early, since no world model could keep an agent from that: a proposed stop ends the task.
 *
 * Going wrong can be mended: where a later step can be done already it goes on from there, else it proposes to go back until it
 * is where it was, does again what a form has forgotten, and goes on.
 * What was changed on the site by mistake stays changed.
 */
import { Philox } from "../../../tensor/random.ts";
import { formatAction, type PageNode, type WebAction } from "../../../worlds/web_page/actions.ts";
import type { Observation } from "../../../worlds/web_page/browser.ts";
import type { AgentState, PolicyRole } from "../roles.ts";
import { type Reply, timed } from "../../../serving/usage.ts";
import { contentWords } from "./words.ts";

/**
 * A task's solution, step by step. The last step stops.
 *
 * @internal
 */
export interface Solution {
  /** How many steps, the stop included. */
  readonly length: number;
  /** The step as an action on this page; undefined where it cannot be done there. */
  resolve(step: number, observation: Observation): WebAction | undefined;
  /** Whether the step only leads to another page, and may be left out where a later step can be done already. */
  isNavigation(step: number): boolean;
}

/** How it errs. */
export interface NoisyPolicyOptions {
  /** Share of the steps in which a wrong action is the likeliest; 0.5 when left out. */
  confusion?: number;
}

/** Shares of the samples: the right action and three wrong ones, the likeliest wrong one first. */
const CLEAR = [0.52, 0.2, 0.16, 0.12];
/** The same in a step of confusion. */
const CONFUSED = [0.3, 0.42, 0.16, 0.12];
/** Times that it tries to go back before it opens the address instead. */
const BACKS = 2;

/** See the file's head. One object is for one task. */
export class NoisyPolicy implements PolicyRole {
  readonly #solution: Solution;
  readonly #confusion: number;
  /** The step that comes next. */
  #next = 0;
  /** The step that came next when its page was entered. */
  #entered = 0;
  /** Where the next step is to be done, as it was when the step became the next. */
  #place: Observation | undefined;
  #proposed: WebAction | undefined;
  #backs = 0;

  /** Nothing is done yet. @throws {RangeError} When the confusion is no share. */
  constructor(solution: Solution, { confusion = 0.5 }: NoisyPolicyOptions = {}) {
    if (!(confusion >= 0 && confusion <= 1)) {
      throw new RangeError(`confusion must lie in [0, 1]: received ${confusion}`);
    }
    this.#solution = solution;
    this.#confusion = confusion;
  }

  /** {@inheritDoc PolicyRole.propose} */
  propose(state: AgentState, samples: number): Promise<Reply<string[]>> {
    return timed(samples, () => this.#propose(state, samples));
  }

  #propose({ objective, observation, history, stream }: AgentState, samples: number): string[] {
    this.#follow(observation, history.at(-1)?.action);
    const right = this.#rightAction(observation);
    this.#proposed = right;
    const random = new Philox(...stream);
    const isConfused = random.uniform() < this.#confusion;
    // A finished task is a clear case: the answer is known.
    const wrong = right.kind === "stop" ? [] : wrongActions(observation, objective, right, random);
    const shares = (isConfused ? CONFUSED : CLEAR).slice(0, 1 + wrong.length);
    return Array.from({ length: samples }, () => answer([right, ...wrong][draw(shares, random)]));
  }

  /** Where the last action has led. */
  #follow(observation: Observation, last: WebAction | undefined): void {
    const wasRight = last !== undefined && this.#proposed !== undefined &&
      formatAction(last) === formatAction(this.#proposed);
    const isOnTheWay = this.#place !== undefined && last?.kind === "goBack";
    if (this.#place === undefined || (wasRight && !isOnTheWay && last.kind !== "goto")) {
      const hasMoved = this.#place?.url !== observation.url;
      if (wasRight) this.#next++;
      if (hasMoved) this.#entered = this.#next;
      this.#place = observation;
    }
    if (observation.url !== this.#place.url) return;
    this.#backs = 0;
    // A form that has forgotten what was filled in, or was changed, is filled in again.
    if (withoutFocus(observation.tree) !== withoutFocus(this.#place.tree)) this.#next = this.#entered;
  }

  #rightAction(observation: Observation): WebAction {
    if (observation.url !== this.#place!.url) {
      const short = this.#shortCut(observation);
      if (short) return short;
      return this.#backs++ < BACKS ? { kind: "goBack" } : { kind: "goto", url: this.#place!.url };
    }
    return this.#solution.resolve(this.#next, observation) ?? { kind: "goBack" };
  }

  /** A later step that this page allows, if all before it only lead to pages; that is then where it goes on. */
  #shortCut(observation: Observation): WebAction | undefined {
    let last = this.#next;
    while (last + 1 < this.#solution.length && this.#solution.isNavigation(last)) last++;
    for (let step = last; step > this.#next; step--) {
      const action = this.#solution.isNavigation(step) ? this.#solution.resolve(step, observation) : undefined;
      if (!action) continue;
      this.#next = this.#entered = step;
      this.#place = observation;
      return action;
    }
    return undefined;
  }
}

/** How likely a wrong action on an element is, by role, before words are looked at. */
const PLAUSIBLE: Readonly<Record<string, number>> = { link: 1, button: 1.5, searchbox: 0.5, DisclosureTriangle: 0.5 };

/** Up to three, the likeliest first. */
function wrongActions(observation: Observation, objective: string, right: WebAction, random: Philox): WebAction[] {
  const wanted = contentWords(objective);
  const choices = [...observation.nodes].flatMap(([id, node]) => {
    const weight = isSearch(node) ? PLAUSIBLE.searchbox : PLAUSIBLE[node.role] ?? 0,
      action = wrongAction(id, node, objective, random);
    if (weight === 0 || formatAction(action) === formatAction(right)) return [];
    const shared = [...contentWords(node.name)].filter((word) => wanted.has(word)).length;
    return [{ action, weight: weight * (1 + 2 * shared) }];
  });
  const drawn: WebAction[] = [];
  while (drawn.length < CLEAR.length - 1 && choices.length > 0) {
    const [{ action }] = choices.splice(draw(choices.map(({ weight }) => weight), random), 1);
    drawn.push(action);
  }
  return drawn;
}

/** Types a word of the objective into a search field; clicks on all else. */
function wrongAction(id: number, node: PageNode, objective: string, random: Philox): WebAction {
  if (!isSearch(node)) return { kind: "click", id };
  const words = [...contentWords(objective)];
  return { kind: "type", id, text: words[random.integer(0, words.length || 1)] ?? "sale", pressEnter: true };
}

function isSearch({ role, name }: PageNode): boolean {
  return role === "searchbox" || (role === "textbox" && /search/i.test(name));
}

/** A place in the list, drawn by weights that need not sum to 1. */
function draw(weights: readonly number[], random: Philox): number {
  let left = random.uniform() * weights.reduce((sum, each) => sum + each, 0);
  const place = weights.findIndex((each) => (left -= each) < 0);
  return place === -1 ? weights.length - 1 : place;
}

function answer(action: WebAction): string {
  return `In summary, the next action I will perform is \`\`\`${formatAction(action)}\`\`\``;
}

function withoutFocus(tree: string): string {
  return tree.replaceAll(" focused: True", "");
}
