/**
 * Web agents compared: every task on every site, under every condition and seed, judged by the task's own evaluator.
 *
 * A folder of a comparison:
 *
 *     config.json, environment.json       what was asked for, and on what
 *     results.jsonl                       a line a trial, written as it ends: what resuming goes by
 *     CONDITION/results.json              the released agent's form
 *     CONDITION/trials/TRIAL/steps.jsonl  every step: page, proposals, predictions, scores, choice, costs
 *     CONDITION/trials/TRIAL/step_N.png   what was seen, where the browser can be photographed
 *     result.json, report.html, replay.html
 *
 * A task that cannot go on (a role that fails, a page that does not open) is a failure with a reason, and the next one begins.
 * Where an answer does not depend on who else asks, trials go on side by side and the world model answers them as one batch.
 *
 * Not here: who the roles are (`agent_conditions.ts`) and what the trials are (`agent_tasks.ts`).
 *
 * Source: RLVR-World §5.2.
 */
import { join } from "node:path";
import { PlanningAgent } from "./planning_agent.ts";
import { RoleFailedError } from "./roles.ts";
import { addUsage, usageOf } from "../../serving/usage.ts";
import { runWebTask, type StepRecord } from "./web_task_run.ts";
import { writeFileAtomic } from "../../io/atomic.ts";
import { DiskError } from "../../base/disk_error.ts";
import { UserError } from "../../base/user_error.ts";
import { breather } from "../../base/breather.ts";
import { MetricLog } from "../../runs/metric_log.ts";
import type { Progress } from "../../runs/progress.ts";
import type { RunFolder } from "../../runs/run_folder.ts";
import { RunInterruptedError } from "../../runs/stage.ts";
import { STREAM } from "../../base/streams.ts";
import { WebActionError } from "../../worlds/web_page/browser.ts";
import { evaluateTask, type EvaluationOptions } from "./tasks/evaluators.ts";
import type { AgentCondition } from "./agent_conditions.ts";
import {
  type AgentTrial,
  type AgentTrialResult,
  readTrialResult,
  releasedResults,
  type SuccessTable,
  successTable,
  trialKey,
  trialName,
} from "./agent_results.ts";
import type { AgentTask, SessionOpener } from "./agent_tasks.ts";

/** What is compared. */
export interface WebAgentComparison {
  run: RunFolder;
  /** Who is compared. */
  conditions: readonly AgentCondition[];
  /** What is to be done. */
  tasks: readonly AgentTask[];
  /** Seeds of the agents. */
  seeds: readonly number[];
  /** Opens a browser with its site as new. */
  openSession: SessionOpener;
  /** Trials side by side; 1 where a browser is one's own. */
  workers: number;
  /** How agents work; `maxSteps` comes from the task. */
  agent: { branching: number; samples?: number; valueSamples: number };
  /** Judges and helpers for evaluators that need them. */
  means?: Omit<EvaluationOptions, "browser" | "answer">;
  /** Whether pages are photographed. */
  takesScreenshots: boolean;
  /** How far it is. */
  progress: Progress;
  /** Stops it; trials that have ended are kept. */
  signal?: AbortSignal;
}

/** What came of it. */
export interface ComparisonResult {
  /** Every trial. */
  results: AgentTrialResult[];
  /** Rates and differences. */
  table: SuccessTable;
  /** Seconds by condition, of this call. */
  seconds: Record<string, number>;
}

const RESULTS = "results.jsonl";

/**
 * Runs the trials that have no result yet.
 *
 * @throws {RunInterruptedError} When the signal stops it.
 * @throws {UserError} When the folder's results are damaged.
 */
export async function compareWebAgents(comparison: WebAgentComparison): Promise<ComparisonResult> {
  const { run, conditions, tasks, seeds, progress, signal } = comparison;
  using log = new MetricLog(run.file(RESULTS));
  const done = await readResults(run);
  const results = new Map(done.map((each) => [trialKey(each), each]));
  const seconds: Record<string, number> = {};
  for (const condition of conditions) {
    const trials = tasks.flatMap((task) =>
      seeds.map((seed): PlannedTrial => ({
        task,
        trial: { condition: condition.name, site: task.site, task: task.task.taskId, seed },
      }))
    );
    const own = () => trials.flatMap(({ trial }) => results.get(trialKey(trial)) ?? []);
    const open = trials.filter(({ trial }) => !results.has(trialKey(trial)));
    progress.stage(condition.name, trials.length, { unit: "tasks", start: trials.length - open.length });
    const start = performance.now(), breathe = breather();
    await inParallel(open, comparison.workers, condition, async (planned) => {
      await breathe();
      signal?.throwIfAborted();
      const result = await runTrial(comparison, condition, planned);
      results.set(trialKey(result), result);
      log.append({ stage: condition.name, step: own().length - 1, ...result });
      const finished = own(), successes = finished.filter(({ success }) => success === 1).length;
      const errors = finished.filter(({ error }) => error !== undefined).length;
      progress.step(finished.length, {
        success: `${successes}/${finished.length}`,
        ...errors > 0 ? { errors } : {},
      });
    }).catch((error) => {
      if (error instanceof DiskError) throw new DiskError(`${error.message}; --resume --out ${run.path} goes on`);
      if (!signal?.aborted) throw error;
      throw new RunInterruptedError(`stopped: ${results.size} trials are in ${run.path} (--resume goes on)`);
    });
    seconds[condition.name] = (performance.now() - start) / 1000;
    await Deno.mkdir(run.file(condition.name), { recursive: true });
    await writeFileAtomic(
      join(run.file(condition.name), "results.json"),
      JSON.stringify(releasedResults(own(), trials.length), null, 2) + "\n",
    );
  }
  progress.done();
  const all = [...results.values()];
  return { results: all, table: successTable(all, conditions.map(({ name }) => name)), seconds };
}

/** Reads the results of a folder; none where it has none yet. @throws {UserError} When they are damaged. */
export async function readResults(run: RunFolder): Promise<AgentTrialResult[]> {
  const results = new Map<string, AgentTrialResult>();
  let line = 0;
  for await (const entry of new MetricLog(run.file(RESULTS)).entries()) {
    const result = readTrialResult(entry, `${run.file(RESULTS)}, line ${++line}`);
    results.set(trialKey(result), result);
  }
  return [...results.values()];
}

/** Folder of a trial within its run. */
export function trialFolder(trial: AgentTrial): string {
  return join(trial.condition, "trials", trialName(trial));
}

interface PlannedTrial {
  task: AgentTask;
  trial: AgentTrial;
}

/** Workers that take one trial after the other. Each counts as one that asks the condition's model, until it has no more. */
async function inParallel(
  trials: readonly PlannedTrial[],
  workers: number,
  { lockStep }: AgentCondition,
  work: (trial: PlannedTrial) => Promise<void>,
): Promise<void> {
  let next = 0, failed = false;
  // All join before the first asks.
  const places = Array.from({ length: Math.min(workers, trials.length) }, () => lockStep?.join());
  await Promise.all(places.map(async (place) => {
    using _place = place;
    try {
      while (next < trials.length && !failed) await work(trials[next++]);
    } catch (error) {
      failed = true;
      throw error;
    }
  }));
}

async function runTrial(
  comparison: WebAgentComparison,
  condition: AgentCondition,
  { task: planned, trial }: PlannedTrial,
): Promise<AgentTrialResult> {
  const { run, openSession, means, signal, takesScreenshots, agent: options } = comparison;
  const { task, maxSteps, area, kind } = planned;
  const folder = run.file(trialFolder(trial)), start = performance.now();
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Deno.mkdir(folder, { recursive: true });
  const steps: StepRecord[] = [];
  const told = {
    ...trial,
    objective: task.intent,
    area,
    kind,
  };
  const finish = (
    result: Pick<AgentTrialResult, "success" | "parts" | "answer" | "reason"> & { error?: string },
  ): AgentTrialResult => {
    const costs: AgentTrialResult["costs"] = {};
    for (const step of steps) {
      for (const [role, usage] of Object.entries(step.costs) as [keyof typeof costs, ReturnType<typeof usageOf>][]) {
        costs[role] = addUsage(costs[role] ?? usageOf(), usage);
      }
    }
    const actions = steps.filter(({ action }) => !action.startsWith("stop")).length;
    return { ...told, ...result, steps: actions, costs, seconds: (performance.now() - start) / 1000 };
  };
  // That there is no browser is not the task's fault, and would be the same with the next.
  await using session = await openSession(planned);
  try {
    const agent = new PlanningAgent(condition.rolesFor(planned), { ...options, maxSteps });
    const log = new MetricLog(join(folder, "steps.jsonl"));
    using _closing = log;
    const trace = await runWebTask({
      browser: session.browser,
      agent,
      objective: task.intent,
      startUrls: task.startUrls,
      stream: [trial.seed, STREAM.agent, trial.site ?? 0, trial.task],
      addresses: planned.addresses,
      takesScreenshots,
      signal,
      onStep: async (record, screenshot) => {
        steps.push(record);
        log.append({ stage: condition.name, ...record });
        if (screenshot) await writeFileAtomic(join(folder, `step_${record.step}.png`), screenshot);
      },
    });
    const { success, parts } = await evaluateTask(task, { ...means, browser: session.browser, answer: trace.answer });
    return finish({ success, parts: [...parts], answer: trace.answer, reason: trace.reason });
  } catch (error) {
    signal?.throwIfAborted();
    if (!isOfTheTask(error)) throw error;
    return finish({ success: 0, parts: [], answer: "", reason: "error", error: oneLine((error as Error).message) });
  }
}

/** What goes wrong with a task rather than with the program: roles, pages, the browser. */
function isOfTheTask(error: unknown): boolean {
  if (error instanceof DiskError) return false;
  return error instanceof RoleFailedError || error instanceof WebActionError || error instanceof UserError;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim().slice(0, 500);
}
