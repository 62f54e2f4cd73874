/**
 * What a policy evaluation says in numbers: success rates of each task, policy and world, and how near each world model comes
 * to the truth. Pure, but for the bootstrap's seeded draws; knows nothing of frames, policies or models.
 *
 * The truth's rates and a model's are compared in two ways: the mean absolute gap in percentage points, and Pearson's r, both
 * over the policies of a task and over all cells. Intervals of a rate are Wilson's. Intervals of gaps and correlations come
 * from resampling the starts of each task: a start is the same in every world and for every policy, so all its roll-outs are
 * drawn together, and the difference of two models' gaps is a paired one.
 *
 * Source: RLVR-World §6.4, Fig. 5, Table 13.
 */
import { correlation, meanAbsoluteGap } from "../../report/correlation.ts";
import { quantile } from "../../report/intervals.ts";
import { wilsonInterval } from "../../report/proportions.ts";
import type { Interval } from "../../report/result.ts";
import { Philox } from "../../tensor/random.ts";
import { STREAM } from "../../base/streams.ts";

/** Name of the world that the others are compared with. */
export const TRUTH = "truth";

/** Whether one roll-out reached its goal. */
export interface TrialOutcome {
  /** `truth`, or a model's name: `base`, `rlvr`. */
  world: string;
  /** Name of the task. */
  task: string;
  /** Name of the policy. */
  policy: string;
  /** Number of the start among the task's; the same start in every world. */
  start: number;
  /** Whether it reached its goal: by the simulator's rule, a judge or people. */
  success: boolean;
}

/** Starts counted by what happened in truth and in the model. */
export interface Confusion {
  /** Success in both. */
  both: number;
  /** Success in truth only: the model is too pessimistic, or its judge. */
  truthOnly: number;
  /** Success in the model only. */
  modelOnly: number;
  /** In neither. */
  neither: number;
}

/** One task and policy. */
export interface PolicyCell {
  /** Name of the task. */
  task: string;
  /** Name of the policy. */
  policy: string;
  /** Success rate by world with Wilson's 95 % interval. */
  rates: Record<string, Interval>;
  /** By model; start by start, where both outcomes are known. */
  confusion: Record<string, Confusion>;
}

/** How near rates of a model are to the truth's. */
export interface RateAgreement {
  /** Mean |model − truth| in percentage points. */
  gap: number;
  /** Pearson's r; absent where one side does not vary, or there are less than two rates. */
  r?: number;
  /** Rates that were compared. */
  n: number;
}

/** How near a model is to the truth. */
export interface ModelAgreement extends RateAgreement {
  /** 95 % interval of the gap, over starts. */
  gapInterval: Interval;
  /** 95 % interval of r, over starts; absent where r is. */
  rInterval?: Interval;
  /** Over the policies of each task. */
  tasks: Record<string, RateAgreement>;
}

/** Everything that is said about some outcomes. */
export interface PolicyTable {
  /** Worlds in order, truth first where it is there. */
  worlds: string[];
  /** Tasks in order. */
  tasks: string[];
  /** Policies in order. */
  policies: string[];
  /** Task by task, policy by policy. */
  cells: PolicyCell[];
  /** By model; empty without a truth. */
  models: Record<string, ModelAgreement>;
  /** rlvr's gap − base's, in percentage points, with its interval; where there are both and a truth. */
  difference?: Interval;
}

/** Options of {@linkcode policyTable}. */
export interface PolicyTableOptions {
  /** Of the resampling. */
  seed: number;
  /** Number of resamples. Default 4000. */
  resamples?: number;
}

/**
 * Gap and correlation of rates in [0, 1].
 *
 * @param truth One rate a cell.
 * @param model The same cells.
 * @throws {RangeError} When the lengths differ or are 0.
 */
export function agreement(truth: readonly number[], model: readonly number[]): RateAgreement {
  const gap = 100 * meanAbsoluteGap(truth, model), n = truth.length;
  const r = n < 2 ? NaN : correlation(truth, model);
  return Number.isNaN(r) ? { gap, n } : { gap, r, n };
}

/**
 * Puts outcomes together.
 *
 * @throws {RangeError} When there is none, or one of the same world, task, policy and start is there twice.
 */
export function policyTable(outcomes: readonly TrialOutcome[], options: PolicyTableOptions): PolicyTable {
  if (outcomes.length === 0) throw new RangeError("policyTable needs at least one outcome: received none");
  const distinct = (of: (outcome: TrialOutcome) => string) => [...new Set(outcomes.map(of))];
  const worlds = distinct((each) => each.world).sort((a, b) => Number(b === TRUTH) - Number(a === TRUTH));
  const tasks = distinct((each) => each.task), policies = distinct((each) => each.policy);
  const found = new Map<string, Map<number, boolean>>();
  for (const { world, task, policy, start, success } of outcomes) {
    const key = cellKey(world, task, policy), cell = found.get(key) ?? new Map<number, boolean>();
    if (cell.has(start)) throw new RangeError(`outcome of ${world}, ${task}, ${policy}, start ${start} is there twice`);
    found.set(key, cell.set(start, success));
  }
  const models = worlds.filter((world) => world !== TRUTH);
  const cells: PolicyCell[] = [];
  for (const task of tasks) {
    for (const policy of policies) {
      const rates: PolicyCell["rates"] = {}, confusion: PolicyCell["confusion"] = {};
      for (const world of worlds) {
        const own = found.get(cellKey(world, task, policy));
        if (own) rates[world] = wilsonInterval([...own.values()].filter(Boolean).length, own.size);
      }
      const truth = found.get(cellKey(TRUTH, task, policy));
      for (const model of models) {
        const own = found.get(cellKey(model, task, policy));
        if (truth && own) confusion[model] = confusionOf(truth, own);
      }
      if (Object.keys(rates).length > 0) cells.push({ task, policy, rates, confusion });
    }
  }
  const table: PolicyTable = { worlds, tasks, policies, cells, models: {} };
  if (!worlds.includes(TRUTH)) return table;
  const resampled = resampledRates(found, cells, worlds, tasks, options);
  const gaps: Record<string, Float64Array> = {};
  for (const model of models) {
    const compared = cells.filter(({ rates }) => rates[TRUTH] && rates[model]);
    if (compared.length === 0) continue;
    const of = (world: string, some: readonly PolicyCell[]) => some.map(({ rates }) => rates[world].mean);
    const whole = agreement(of(TRUTH, compared), of(model, compared));
    const draws = resampled.map((draw) => agreementOf(draw, compared, model));
    gaps[model] = Float64Array.from(draws, ({ gap }) => gap);
    const correlations = draws.flatMap(({ r }) => r === undefined ? [] : [r]);
    const perTask = tasks.flatMap((task) => {
      const some = compared.filter((cell) => cell.task === task);
      return some.length === 0 ? [] : [[task, agreement(of(TRUTH, some), of(model, some))] as const];
    });
    table.models[model] = {
      ...whole,
      gapInterval: percentiles(whole.gap, gaps[model], whole.n),
      ...whole.r === undefined || correlations.length === 0
        ? {}
        : { rInterval: percentiles(whole.r, Float64Array.from(correlations), whole.n) },
      tasks: Object.fromEntries(perTask),
    };
  }
  const { base, rlvr } = table.models;
  if (base && rlvr) {
    table.difference = percentiles(rlvr.gap - base.gap, gaps.rlvr.map((gap, i) => gap - gaps.base[i]), base.n);
  }
  return table;
}

/** A resample: the rate of each world by the cell's key. */
type Draw = Map<string, number>;

/** Rates when the starts of each task are drawn anew, all worlds and policies alike. */
function resampledRates(
  found: ReadonlyMap<string, ReadonlyMap<number, boolean>>,
  cells: readonly PolicyCell[],
  worlds: readonly string[],
  tasks: readonly string[],
  { seed, resamples = 4000 }: PolicyTableOptions,
): Draw[] {
  const random = new Philox(seed, STREAM.bootstrap);
  const byTask = tasks.map((task) => {
    const own = cells.filter((cell) => cell.task === task)
      .flatMap(({ policy }) => worlds.map((world) => cellKey(world, task, policy)))
      .filter((key) => found.has(key));
    const starts = [...new Set(own.flatMap((key) => [...found.get(key)!.keys()]))];
    // One row a start: 1 success, 0 failure, −1 not known (a label that nobody gave).
    const rows = starts.map((start) =>
      Int8Array.from(own, (key) => {
        const success = found.get(key)!.get(start);
        return success === undefined ? -1 : Number(success);
      })
    );
    return { own, rows };
  });
  return Array.from({ length: resamples }, () => {
    const draw: Draw = new Map();
    for (const { own, rows } of byTask) {
      const successes = new Int32Array(own.length), known = new Int32Array(own.length);
      for (let i = 0; i < rows.length; i++) {
        const row = rows[random.integer(0, rows.length)];
        for (let c = 0; c < row.length; c++) {
          if (row[c] < 0) continue;
          successes[c] += row[c];
          known[c]++;
        }
      }
      own.forEach((key, c) => known[c] > 0 && draw.set(key, successes[c] / known[c]));
    }
    return draw;
  });
}

function agreementOf(draw: Draw, cells: readonly PolicyCell[], model: string): RateAgreement {
  const truth: number[] = [], rates: number[] = [];
  for (const { task, policy } of cells) {
    const a = draw.get(cellKey(TRUTH, task, policy)), b = draw.get(cellKey(model, task, policy));
    // A cell of few labels may be drawn empty.
    if (a === undefined || b === undefined) continue;
    truth.push(a);
    rates.push(b);
  }
  return truth.length === 0 ? { gap: NaN, n: 0 } : agreement(truth, rates);
}

function percentiles(mean: number, draws: Float64Array, n: number): Interval {
  const sorted = draws.filter((value) => Number.isFinite(value)).sort();
  return sorted.length === 0
    ? { mean, low: mean, high: mean, n }
    : { mean, low: quantile(sorted, 0.025), high: quantile(sorted, 0.975), n };
}

function confusionOf(truth: ReadonlyMap<number, boolean>, model: ReadonlyMap<number, boolean>): Confusion {
  const counts = { both: 0, truthOnly: 0, modelOnly: 0, neither: 0 };
  for (const [start, success] of truth) {
    const said = model.get(start);
    if (said === undefined) continue;
    counts[success ? (said ? "both" : "truthOnly") : (said ? "modelOnly" : "neither")]++;
  }
  return counts;
}

function cellKey(world: string, task: string, policy: string): string {
  return JSON.stringify([world, task, policy]);
}
