/**
 * The five roles of the planning agent. Each is a model behind an endpoint (`chat_roles.ts`) or something local: a trained world
 * model, a program. They know nothing of each other; `planning_agent.ts` is what passes between them.
 *
 * Roles that look at several candidates get them all at once, so that models can work on them as a batch.
 */
import type { WebAction } from "../../worlds/web_page/actions.ts";
import type { Observation } from "../../worlds/web_page/browser.ts";
import type { ChangeSectionTexts } from "./change_sections.ts";
import type { Reply } from "../../serving/usage.ts";

/**
 * An action that was done.
 *
 * @internal
 */
export interface PastAction {
  /** Parsed. */
  readonly action: WebAction;
  /** As histories tell it: `click [12] where [12] is link 'Cart'`. */
  readonly described: string;
}

/** What the agent knows before it chooses. */
export interface AgentState {
  /** The task in the user's words. */
  readonly objective: string;
  /** The page as it is now: its tree, its nodes, its address. */
  readonly observation: Observation;
  /** The page's address as models are told it: the site's own name instead of where it is hosted. */
  readonly url: string;
  /** What was done so far, in order. */
  readonly history: readonly PastAction[];
  /** Name of the random stream of this step. */
  readonly stream: readonly number[];
  /** Ends what is under way. */
  readonly signal?: AbortSignal;
}

/** An action that is considered. */
export interface Candidate {
  /** As it was proposed: `click [12]`. */
  readonly text: string;
  /** The action that `text` stands for. */
  readonly action: WebAction;
  /** With what stands at its id. */
  readonly described: string;
  /** How many of the policy's samples proposed it. */
  readonly count: number;
  /** Its share of the samples of all candidates. */
  readonly share: number;
}

/** A candidate and what is expected of it. */
export interface PredictedCandidate extends Candidate {
  /** The world model's answer. */
  readonly prediction: string;
  /** That, taken apart. */
  readonly sections: ChangeSectionTexts;
  /** What the changes amount to. */
  readonly salientChanges: string;
  /** The expected state in words. */
  readonly description: string;
}

/**
 * Proposes actions.
 *
 * @internal
 */
export interface PolicyRole {
  /** Answers that each name an action between back-ticks. */
  propose(state: AgentState, samples: number): Promise<Reply<string[]>>;
}

/** Predicts what an action changes. */
export interface WorldModelRole {
  /** For each candidate the three sections as text. */
  predict(state: AgentState, candidates: readonly Candidate[]): Promise<Reply<string[]>>;
}

/**
 * Says what changes amount to.
 *
 * @internal
 */
export interface SummarizerRole {
  /** For each candidate a short list. */
  summarize(
    state: AgentState,
    candidates: readonly Pick<PredictedCandidate, "sections">[],
  ): Promise<Reply<string[]>>;
}

/**
 * Describes the expected state.
 *
 * @internal
 */
export interface TranslatorRole {
  /** For each candidate some sentences. */
  translate(
    state: AgentState,
    candidates: readonly Omit<PredictedCandidate, "description">[],
  ): Promise<Reply<string[]>>;
}

/**
 * Says how good the expected state is for the objective.
 *
 * @internal
 */
export interface ValueRole {
  /** For each candidate its scores, of whatever scale. Their mean is what counts; 0 where there is none. */
  score(state: AgentState, candidates: readonly PredictedCandidate[], samples: number): Promise<Reply<number[][]>>;
}

/**
 * What looking ahead takes.
 *
 * @internal
 */
export interface LookaheadRoles {
  /** Predicts. */
  worldModel: WorldModelRole;
  summarizer: SummarizerRole;
  translator: TranslatorRole;
  /** Judges. */
  value: ValueRole;
}

/** A role that gave no answer at all, after all tries: the task cannot go on. The message is one line. */
export class RoleFailedError extends Error {
  /** `RoleFailedError`. */
  override readonly name = "RoleFailedError";
}
