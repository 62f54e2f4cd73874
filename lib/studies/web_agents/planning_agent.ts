/**
 * The agent that looks before it acts: it samples proposals, lets a world model say what each of the most frequent ones would
 * change, lets the expected states be judged, and takes the best. Without a world model it takes the most frequent one; that is
 * the agent to compare with.
 *
 * One step, as released (queries with the paper's numbers):
 *
 *   1  an early stop, if a limit is reached                                          early_stop.ts
 *   2  n samples of the policy                                             20        PolicyRole
 *   3  the k most frequent actions, the first seen first among equals      3         action_proposals.ts
 *   4  if one of them says `stop`, the first that does is taken, unjudged
 *   5  what each would change                                              3         WorldModelRole
 *   6  that, split into sections                                                     change_sections.ts
 *   7  what the changes amount to                                          3         SummarizerRole
 *   8  the expected state in words                                         3         TranslatorRole
 *   9  m scores each, their mean                                           60        ValueRole
 *  10  the highest mean, the first among equals
 *
 * Faults of the released code that are not kept: it stores with the chosen action another sample's reasoning (it takes an index
 * among the top actions for one among all samples); its script names a prompt file that does not exist; two of its switches do
 * nothing; any action whose text contains the word is taken for a stop, typing "bus stop" too. Here a failed query is an empty answer, counted, and a role of which every query fails ends the task.
 *
 * Not here: acting (`web_task_run.ts`), prompts and endpoints.
 *
 * Source: RLVR-World §5.2, App. A.3.
 */
import { describeAction, parseAction, type WebAction } from "../../worlds/web_page/actions.ts";
import { countProposals, type Proposal } from "./action_proposals.ts";
import { splitSections } from "./change_sections.ts";
import { earlyStop, type EarlyStopOptions } from "./early_stop.ts";
import {
  type AgentState,
  type Candidate,
  type LookaheadRoles,
  type PolicyRole,
  type PredictedCandidate,
  RoleFailedError,
} from "./roles.ts";
import type { Reply, Usage } from "../../serving/usage.ts";

/** The roles of an agent, each a model behind an endpoint, a local model, or a program. */
export interface AgentRoles {
  /** Proposes actions; the most frequent ones are looked at. */
  policy: PolicyRole;
  /** Looks ahead; left out, the most frequent proposal is taken. */
  lookahead?: LookaheadRoles;
}

/** How the agent works; the paper's numbers when left out. */
export interface AgentOptions extends EarlyStopOptions {
  /** Samples of the policy; max(20, 2 · branching). */
  samples?: number;
  /** Actions that are looked at, k; 3. */
  branching?: number;
  /** Scores of each, m; 20. */
  valueSamples?: number;
}

/**
 * A candidate with what became of it.
 *
 * @internal
 */
export interface JudgedCandidate extends Candidate, Partial<Omit<PredictedCandidate, keyof Candidate>> {
  /** Its scores. */
  readonly scores?: readonly number[];
  /** Their mean. */
  readonly value?: number;
}

/** Why an action was taken. */
export type ChoiceReason = "early stop" | "stop proposed" | "highest value" | "most frequent";

/**
 * What was chosen, and all that led to it.
 *
 * @internal
 */
export interface Decision {
  /** What to do. */
  action: WebAction;
  /** As it is told in histories. */
  described: string;
  reason: ChoiceReason;
  /** Its place among the candidates; −1 for an early stop. */
  chosen: number;
  /** All that was proposed, the most frequent first. */
  proposals: Proposal[];
  /** The most frequent ones. */
  candidates: JudgedCandidate[];
  /** Costs by role. */
  costs: Partial<Record<RoleName, Usage>>;
  /** Queries that failed, a line a reason. */
  problems: string[];
}

/** Names of roles, as costs are filed. */
export type RoleName = "policy" | keyof LookaheadRoles;

/** An agent that looks before it acts: proposes, predicts what each action changes, values that, and does the best. */
export class PlanningAgent {
  readonly #roles: AgentRoles;
  readonly #options: AgentOptions;

  /** Asks nobody yet. @throws {RangeError} When an option is out of its range. */
  constructor(roles: AgentRoles, options: AgentOptions = {}) {
    for (const [name, value] of Object.entries(options)) {
      if (value !== undefined && !(Number.isInteger(value) && value >= 1)) {
        throw new RangeError(`${name} must be at least 1: received ${value}`);
      }
    }
    this.#roles = roles;
    this.#options = options;
  }

  /**
   * Chooses the next action on a page, and says what it looked at.
   *
   * @throws {RoleFailedError} When every query of a role failed.
   */
  async decide(state: AgentState): Promise<Decision> {
    const { branching = 3, samples = Math.max(20, 2 * branching) } = this.#options;
    const { policy, lookahead } = this.#roles;
    const giveUp = earlyStop(state.history.map(({ action }) => action), this.#options);
    if (giveUp !== undefined) return stopNow(giveUp);
    const costs: Decision["costs"] = {}, problems: string[] = [];
    const take = <T>(role: RoleName, { value, usage, problems: own = [] }: Reply<T>): T => {
      costs[role] = usage;
      problems.push(...own.map((each) => `${ROLE_WORDS[role]}: ${each}`));
      if (usage.queries > 0 && usage.failed === usage.queries) {
        throw new RoleFailedError(
          `the ${ROLE_WORDS[role]} answered none of ${usage.queries} queries: ${own[0] ?? "no reason is known"}`,
        );
      }
      return value;
    };

    const proposals = countProposals(take("policy", await policy.propose(state, samples)));
    const candidates = topCandidates(proposals, branching, state);
    const choose = (chosen: number, reason: ChoiceReason, judged: JudgedCandidate[] = candidates): Decision => {
      const { action, described } = judged[chosen];
      return { action, described, reason, chosen, proposals, candidates: judged, costs, problems };
    };
    const stop = candidates.findIndex(({ action }) => action.kind === "stop");
    if (stop !== -1) return choose(stop, "stop proposed");
    if (!lookahead) return choose(0, "most frequent");

    const predictions = take("worldModel", await lookahead.worldModel.predict(state, candidates));
    const split = candidates.map((each, i) => ({
      ...each,
      prediction: predictions[i],
      sections: splitSections(predictions[i]),
    }));
    const summaries = take("summarizer", await lookahead.summarizer.summarize(state, split));
    const summed = split.map((each, i) => ({ ...each, salientChanges: summaries[i] }));
    const descriptions = take("translator", await lookahead.translator.translate(state, summed));
    const predicted = summed.map((each, i) => ({ ...each, description: descriptions[i] }));
    const scores = take(
      "value",
      await lookahead.value.score(state, predicted, this.#options.valueSamples ?? 20),
    );
    const judged = predicted.map((each, i) => ({ ...each, scores: scores[i], value: mean(scores[i]) }));
    const best = Math.max(...judged.map(({ value }) => value));
    return choose(judged.findIndex(({ value }) => value === best), "highest value", judged);
  }
}

const ROLE_WORDS: Record<RoleName, string> = {
  policy: "policy",
  worldModel: "world model",
  summarizer: "summarizer",
  translator: "translator",
  value: "value model",
};

function stopNow(answer: string): Decision {
  return {
    action: { kind: "stop", answer },
    described: `stop [${answer}]`,
    reason: "early stop",
    chosen: -1,
    proposals: [],
    candidates: [],
    costs: {},
    problems: [],
  };
}

function topCandidates(proposals: readonly Proposal[], branching: number, state: AgentState): Candidate[] {
  const top = proposals.slice(0, branching), all = top.reduce((sum, { count }) => sum + count, 0);
  return top.map(({ text, count }) => {
    const action = parseAction(text);
    return {
      text,
      action,
      described: describeAction(action, state.observation.nodes),
      count,
      share: all === 0 ? 0 : count / all,
    };
  });
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, each) => sum + each, 0) / values.length;
}
