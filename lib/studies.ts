/**
 * The paper's applications of world models: robot policies that are judged in a model instead of the world, and web agents that look
 * before they act.
 *
 * {@linkcode runPolicyEvaluation} rolls policies out from the same starts in models and in truth, lets a judge decide, and compares the
 * rates: {@linkcode policySummary}. A {@linkcode PlanningAgent} proposes actions, has a world model predict what each changes, values the
 * predictions and does the best; {@linkcode runWebAgents} compares agents with and without models: {@linkcode agentSummary}. Its roles are
 * interfaces: a model behind an endpoint, a local model, or a program.
 *
 * @example An agent in the built-in shop that knows the way but errs, with the shop itself as its world model.
 * ```ts
 * import { ShopSite, SimulatedBrowser } from "@rlvr-world/rlvr-world/gyms";
 * import {
 *   builtInTasks,
 *   ChangeValue,
 *   evaluateTask,
 *   ListSummarizer,
 *   ListTranslator,
 *   NoisyPolicy,
 *   OracleWorldModel,
 *   PlanningAgent,
 *   runWebTask,
 * } from "@rlvr-world/rlvr-world/studies";
 *
 * const { task, site, solution, maxSteps } = builtInTasks([0], { slack: 3 })[0];
 * const browser = new SimulatedBrowser(new ShopSite({ seed: site! }));
 * const agent = new PlanningAgent({
 *   policy: new NoisyPolicy(solution!, { confusion: 0.3 }),
 *   lookahead: {
 *     worldModel: new OracleWorldModel(site!, task.startUrls),
 *     summarizer: new ListSummarizer(),
 *     translator: new ListTranslator(),
 *     value: new ChangeValue(),
 *   },
 * }, { branching: 3, maxSteps });
 * const { answer } = await runWebTask({
 *   browser,
 *   agent,
 *   objective: task.intent,
 *   startUrls: task.startUrls,
 *   stream: [0],
 *   onStep: ({ described, reason }) => console.log(`${described} (${reason})`),
 * });
 * const { success } = await evaluateTask(task, { browser, answer });
 * console.log(`${task.intent}: ${success ? "success" : "failure"}`);
 * ```
 *
 * @module
 */

// Robot policies, judged in a model
export { makePolicy } from "./studies/policies/make_policy.ts";
export { builtInStarts } from "./studies/policies/evaluation.ts";
export { predictorOf } from "./studies/policies/models.ts";
export { type PolicyEvaluationOptions, runPolicyEvaluation } from "./studies/policies/run.ts";
export { policySummary } from "./studies/policies/report.ts";

// Web agents that plan in a model
export { type AgentRoles, PlanningAgent } from "./studies/web_agents/planning_agent.ts";
export type { AgentState, Candidate, WorldModelRole } from "./studies/web_agents/roles.ts";
export { countProposals } from "./studies/web_agents/action_proposals.ts";
export { splitSections } from "./studies/web_agents/change_sections.ts";
export { runWebTask, type StepRecord } from "./studies/web_agents/web_task_run.ts";
export { evaluateTask } from "./studies/web_agents/tasks/evaluators.ts";
export { NoisyPolicy } from "./studies/web_agents/built_in/noisy_policy.ts";
export { ChangeValue } from "./studies/web_agents/built_in/change_value.ts";
export { ListSummarizer, ListTranslator } from "./studies/web_agents/built_in/program_roles.ts";
export { OracleWorldModel } from "./studies/web_agents/built_in/oracle_world_model.ts";
export { type AgentTask, builtInTasks } from "./studies/web_agents/agent_tasks.ts";
export { taskJson } from "./worlds/web_page/web_task.ts";
export { runWebAgents, type WebAgentSettings } from "./studies/web_agents/agent_run.ts";
export { agentSummary } from "./studies/web_agents/agent_report.ts";
