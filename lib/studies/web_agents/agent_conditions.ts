/**
 * Who is compared: agents that differ in who looks ahead, and in nothing else. `none` looks at nothing, `likelihood` and `rlvr` ask
 * a trained world model, `served` one behind an endpoint, `oracle` the built-in site itself.
 */
import type { AgentRoles } from "./planning_agent.ts";
import { OracleWorldModel } from "./built_in/oracle_world_model.ts";
import { LocalWorldModel, type WorldModelRequest } from "./local_world_model.ts";
import { LockStep } from "./lock_step.ts";
import type { LookaheadRoles, PolicyRole, SummarizerRole, TranslatorRole, ValueRole, WorldModelRole } from "./roles.ts";
import { UserError } from "../../base/user_error.ts";
import type { AgentTask } from "./agent_tasks.ts";

/** Names of conditions, in the order in which they are compared. */
export const CONDITION_NAMES = ["none", "likelihood", "rlvr", "served", "oracle"] as const;
/**
 * One of them.
 *
 * @internal
 */
export type ConditionName = typeof CONDITION_NAMES[number];

/** An agent under comparison. */
export interface AgentCondition {
  /** Its name: the folder's, too. */
  readonly name: ConditionName;
  /** The roles for a task; made anew for each, since some remember. */
  rolesFor(task: AgentTask): AgentRoles;
  /** Where tasks side by side meet. */
  readonly lockStep?: LockStep<WorldModelRequest, string>;
}

/** The roles that all conditions share. */
export interface SharedRoles {
  /** Proposes. */
  policyFor(task: AgentTask): PolicyRole;
  summarizer: SummarizerRole;
  translator: TranslatorRole;
  /** Judges; undefined where none is known, which only `none` can do without. */
  value?: ValueRole;
}

/** A trained model that answers a batch of questions. */
export type WorldModelAnswers = (requests: readonly WorldModelRequest[]) => Promise<readonly string[]>;

/** The agent that takes the most frequent proposal. */
export function withoutWorldModel(shared: SharedRoles): AgentCondition {
  return { name: "none", rolesFor: (task) => ({ policy: shared.policyFor(task) }) };
}

/** An agent that asks a trained model. */
export function withLocalModel(name: ConditionName, shared: SharedRoles, answer: WorldModelAnswers): AgentCondition {
  const lockStep = new LockStep<WorldModelRequest, string>(answer), worldModel = new LocalWorldModel(lockStep);
  return { name, lockStep, rolesFor: (task) => roles(shared, task, worldModel) };
}

/** An agent that asks a model behind an endpoint. */
export function withServedModel(shared: SharedRoles, worldModel: WorldModelRole): AgentCondition {
  return { name: "served", rolesFor: (task) => roles(shared, task, worldModel) };
}

/** An agent that tries things out on a copy of the built-in site. */
export function withOracle(shared: SharedRoles): AgentCondition {
  return {
    name: "oracle",
    rolesFor(task) {
      if (task.site === null) throw new UserError("the oracle is the built-in site itself: it knows no other");
      return roles(shared, task, new OracleWorldModel(task.site, task.task.startUrls));
    },
  };
}

function roles(shared: SharedRoles, task: AgentTask, worldModel: WorldModelRole): AgentRoles {
  const { value, summarizer, translator } = shared;
  if (!value) {
    throw new UserError("an agent with a world model needs a value model: name its endpoint with --value URL");
  }
  const lookahead: LookaheadRoles = { worldModel, summarizer, translator, value };
  return { policy: shared.policyFor(task), lookahead };
}
