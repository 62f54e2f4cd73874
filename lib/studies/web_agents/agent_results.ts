/**
 * What a comparison of web agents has found: one line a trial in `results.jsonl`, the rates and differences computed of them,
 * and the released agent's `results.json`.
 *
 * A trial is a task on a site, done by an agent under a condition (without a world model, with one, with another) and a seed.
 * Trials that are told apart by the condition alone meet the same pages and the same proposals, so conditions are compared
 * trial by trial.
 */
import { addUsage, type Usage, usageOf } from "../../serving/usage.ts";
import type { ChoiceReason, RoleName } from "./planning_agent.ts";
import { UserError } from "../../base/user_error.ts";
import { pairedDifference } from "../../report/intervals.ts";
import { wilsonInterval } from "../../report/proportions.ts";
import type { Interval } from "../../report/result.ts";
import { percent, points } from "../../report/tables.ts";

/** A task to be done once. */
export interface AgentTrial {
  /** `none`, `rlvr`, …: who looks ahead. */
  condition: string;
  /** The built-in site's seed; null on other sites. */
  site: number | null;
  /** The task's number. */
  task: number;
  /** The agent's seed. */
  seed: number;
}

/** How it went. */
export interface AgentTrialResult extends AgentTrial {
  /** What the user wants. */
  objective: string;
  /** Kind of site: `cart`, `forum`, … */
  area: string;
  /** Kind of task: `information`, `navigation`, `change`, or how it is judged. */
  kind: string;
  /** Whether the evaluator is content. */
  success: 0 | 1;
  /** What each evaluator said. */
  parts: { type: string; score: number; why: string }[];
  /** Actions done. */
  steps: number;
  /** The last answer. */
  answer: string;
  /** Why it ended; `error`: it could not go on. */
  reason: ChoiceReason | "error";
  /** Why it could not go on. */
  error?: string;
  /** Costs by role. */
  costs: Partial<Record<RoleName, Usage>>;
  /** Wall-clock seconds, those included in which others that ran beside it computed. */
  seconds: number;
}

/** A name for a trial within its condition, fit for a folder. */
export function trialName({ site, task, seed }: AgentTrial): string {
  return `${site === null ? "" : `site-${site}_`}task-${task}_seed-${seed}`;
}

/** The trial and its condition as one text. */
export function trialKey(trial: AgentTrial): string {
  return `${trial.condition}/${trialName(trial)}`;
}

/** The released agent's `results.json`. */
export interface ReleasedResults {
  /** Share of the successes, over all finished trials. */
  overall: number;
  /** 0 or 1 by trial. */
  info: Record<string, 0 | 1>;
  /** Counts; those with errors are among the finished ones. */
  progress: { total: number; finished: number; error: number; unfinished: number; percentage: number };
}

/** One condition's trials in the released form. @param total Trials that it is to have. */
export function releasedResults(results: readonly AgentTrialResult[], total: number): ReleasedResults {
  const finished = results.length, successes = results.filter(({ success }) => success === 1).length;
  return {
    overall: finished === 0 ? 0 : successes / finished,
    info: Object.fromEntries(results.map((each) => [trialName(each), each.success])),
    progress: {
      total,
      finished,
      error: results.filter(({ error }) => error !== undefined).length,
      unfinished: total - finished,
      percentage: total === 0 ? 0 : 100 * finished / total,
    },
  };
}

/** Rates of one group of trials, by condition. */
export interface SuccessRow {
  /** `all`, a kind of site, a kind of task. */
  group: string;
  /** Share of successes with Wilson's 95 % interval. Conditions of which no trial could go on have none. */
  rates: Record<string, Interval>;
}

/** A difference between two conditions over the trials that both have. */
export interface SuccessDifference {
  /** The lower one of the comparison. */
  from: string;
  /** The other. */
  to: string;
  /** to − from, with the 95 % interval when tasks are drawn anew. */
  difference: Interval;
}

/** All that is computed of the trials. */
export interface SuccessTable {
  /** In the order in which they were asked for. */
  conditions: string[];
  /** Over everything. */
  all: SuccessRow;
  /** By kind of site. */
  byArea: SuccessRow[];
  /** By kind of task. */
  byKind: SuccessRow[];
  /** Every later condition against every earlier one. */
  differences: SuccessDifference[];
  /** Costs of each condition by role. */
  costs: Record<string, Partial<Record<RoleName, Usage>>>;
  /** Trials of each condition that ended in an error. */
  errors: Record<string, number>;
  /** Why, the most frequent reasons first, at most {@linkcode MOST_REASONS}. */
  reasons: Record<string, { reason: string; count: number }[]>;
  /** Conditions of which no trial could go on: what they can do is not known. */
  failed: string[];
  /** Trials of each condition. */
  trials: Record<string, number>;
  /** Mean number of actions. */
  steps: Record<string, number>;
}

/** Reasons of errors that a table names. */
const MOST_REASONS = 3;

/** Computes the table. @param conditions In the order in which they are compared. */
export function successTable(results: readonly AgentTrialResult[], conditions: readonly string[]): SuccessTable {
  const present = conditions.filter((name) => results.some(({ condition }) => condition === name));
  const of = (name: string) => results.filter(({ condition }) => condition === name);
  const failed = present.filter((name) => of(name).every(({ error }) => error !== undefined));
  const compared = present.filter((name) => !failed.includes(name));
  const groups = (key: "area" | "kind") =>
    [...new Set(results.map((each) => each[key]))].sort()
      .map((group) => rowOf(group, results.filter((each) => each[key] === group), compared));
  const byCondition = <T>(value: (own: AgentTrialResult[]) => T): Record<string, T> =>
    Object.fromEntries(present.map((name) => [name, value(of(name))]));
  return {
    conditions: present,
    all: rowOf("all", results, compared),
    byArea: groups("area"),
    byKind: groups("kind"),
    differences: compared.flatMap((to, i) =>
      compared.slice(0, i).flatMap((from) => {
        const difference = differenceOf(of(from), of(to));
        return difference ? [{ from, to, difference }] : [];
      })
    ),
    costs: byCondition(costsOf),
    errors: byCondition((own) => own.filter(({ error }) => error !== undefined).length),
    reasons: byCondition(reasonsOf),
    failed,
    trials: byCondition((own) => own.length),
    steps: byCondition((own) => own.reduce((sum, { steps }) => sum + steps, 0) / own.length),
  };
}

function rowOf(group: string, results: readonly AgentTrialResult[], conditions: readonly string[]): SuccessRow {
  const rates: Record<string, Interval> = {};
  for (const name of conditions) {
    const own = results.filter(({ condition }) => condition === name);
    if (own.length > 0) rates[name] = wilsonInterval(own.filter(({ success }) => success === 1).length, own.length);
  }
  return { group, rates };
}

/** Trials of one task, its seeds, are drawn together: they are not independent. */
function differenceOf(from: readonly AgentTrialResult[], to: readonly AgentTrialResult[]): Interval | undefined {
  const others = new Map(from.map((each) => [trialName(each), each.success]));
  const pairs = to.filter((each) => others.has(trialName(each)));
  if (pairs.length === 0) return undefined;
  return pairedDifference(
    pairs.map((each) => others.get(trialName(each))!),
    pairs.map(({ success }) => success),
    { groups: pairs.map(({ site, task }) => `${site} ${task}`) },
  );
}

function costsOf(results: readonly AgentTrialResult[]): SuccessTable["costs"][string] {
  const costs: SuccessTable["costs"][string] = {};
  for (const result of results) {
    for (const [role, usage] of Object.entries(result.costs) as [RoleName, Usage][]) {
      costs[role] = addUsage(costs[role] ?? usageOf(), usage);
    }
  }
  return costs;
}

function reasonsOf(results: readonly AgentTrialResult[]): { reason: string; count: number }[] {
  const byReason = Map.groupBy(results.filter(({ error }) => error !== undefined), ({ error }) => error!);
  return [...byReason].map(([reason, { length }]) => ({ reason, count: length }))
    .sort((a, b) => b.count - a.count).slice(0, MOST_REASONS);
}

/** What went wrong, a line a condition; none where nothing did. */
export function errorLines({ conditions, errors, reasons, failed, trials }: SuccessTable): string[] {
  return conditions.filter((name) => errors[name] > 0).map((name) => {
    const told = reasons[name].map(({ reason, count }) => `${count} × ${reason}`).join("; ");
    const count = failed.includes(name)
      ? `none of ${trials[name]} trials could go on, so there is no rate`
      : `${errors[name]} of ${trials[name]} trials could not go on and count as failures`;
    return `${conditionName(name)}: ${count}: ${told}`;
  });
}

/** Reads a line of `results.jsonl`. @throws {UserError} When it is none. */
export function readTrialResult(entry: Record<string, unknown>, place: string): AgentTrialResult {
  const { condition, site, task, seed, success, area, kind } = entry;
  const isSound = [condition, area, kind].every((each) => typeof each === "string") &&
    [0, 1].includes(success as number) &&
    Number.isInteger(task) && Number.isInteger(seed) && (site === null || Number.isInteger(site));
  if (!isSound) throw new UserError(`${place} is no trial's result: mend or remove it`);
  const { stage: _stage, step: _step, ...rest } = entry;
  return rest as unknown as AgentTrialResult;
}

/** Sums and rates in one sentence. */
export function agentHeadline({ conditions, all, differences, failed }: SuccessTable): string {
  const compared = conditions.filter((name) => !failed.includes(name));
  if (compared.length === 0) return "No trial could go on, so it is not known how many tasks succeed.";
  const rates = compared.map((name) => `${conditionName(name)} ${percent(all.rates[name].mean, 0)} %`).join(", ");
  const told = compared.slice(1).flatMap((to, i) => {
    const found = differences.find((each) => each.from === compared[i] && each.to === to);
    if (!found) return [];
    const { mean, low, high } = found.difference;
    return [
      `${conditionName(found.from)} to ${conditionName(to)} ${points(mean)} points [${points(low)}, ${points(high)}]`,
    ];
  });
  const n = all.rates[compared[0]]?.n ?? 0;
  return `Tasks that succeed: ${rates} (${n} trials each).${
    told.length > 0 ? ` AgentTrial by trial: ${told.join("; ")}.` : ""
  }`;
}

/** What a condition is called on a page. */
export function conditionName(condition: string): string {
  return {
    none: "no world model",
    likelihood: "likelihood model",
    rlvr: "RLVR model",
    oracle: "the site itself",
    served: "served model",
  }[condition] ?? condition;
}
