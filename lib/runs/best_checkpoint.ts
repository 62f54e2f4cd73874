/**
 * The best checkpoint of a stage, by the number that it watches: kept beside the newest ones, however old it is, and named in
 * `best.json` of the checkpoints' folder. A stage goes on from its newest checkpoint; to go on from the best, newer ones must
 * be renamed or removed.
 */
import { join } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";
import { cannotWrite } from "../base/disk_error.ts";
import { readTextFile } from "../io/plain_file.ts";
import type { CheckpointStore } from "./checkpoint.ts";
import type { MetricLog } from "./metric_log.ts";
import { StageHistory, type WatchedMetric } from "./stage_history.ts";

/** What `best.json` says: which checkpoint was the best so far, and by what. */
export interface BestCheckpoint {
  /** Steps that the checkpoint's weights were trained. */
  step: number;
  /** Name of the metric that is watched. */
  metric: string;
  /** Its value: held out, or averaged over steps around the checkpoint, those up to the next one included. */
  value: number;
}

const BEST = "best.json";

/** A stage whose best checkpoint is looked for. */
export interface WatchedStage {
  /** Its name in the log. */
  name: string;
  /** What its checkpoints are compared by. */
  metric: WatchedMetric;
  /** The stage's checkpoints. */
  store: CheckpointStore;
  /** What the stage has logged. */
  log: MetricLog;
  /** Number of steps from one checkpoint to the next. */
  checkpointEvery: number;
}

/**
 * The best checkpoint so far. Where the one that `best.json` names is not what was written, the best of those that are takes its
 * place, by the log.
 *
 * @param note Told that, in one line.
 */
export async function readBest(
  stage: WatchedStage,
  note: (line: string) => void,
): Promise<BestCheckpoint | undefined> {
  const { metric, store } = stage, path = join(store.folder, BEST);
  const marked = await readMarker(path);
  const isComparable = marked?.metric === metric.name && Number.isFinite(marked.value);
  const problem = isComparable ? await store.problemOf(marked.step) : undefined;
  if (isComparable && problem === undefined) return marked;
  const best = await bestByLog(stage);
  if (problem !== undefined) {
    const instead = best ? `step ${best.step} is the best of those that are left` : "no other is known to be good";
    note(`${stage.name}: the best checkpoint, of step ${marked!.step}, is lost (${problem}): ${instead}`);
  }
  if (best) await writeMarker(path, best);
  else if (marked) await Deno.remove(path).catch((error) => Promise.reject(cannotWrite(path, error)));
  return best;
}

/** The better of two checkpoints; the marker's file is written when it is the new one. */
export async function keepBetter(
  { metric, store }: WatchedStage,
  best: BestCheckpoint | undefined,
  { step, value }: { step: number; value: number | undefined },
): Promise<BestCheckpoint | undefined> {
  if (!isBetter(metric, value, best)) return best;
  const next = { step, metric: metric.name, value };
  await writeMarker(join(store.folder, BEST), next);
  return next;
}

/** Compares the checkpoints that are there as they would have been while the log was written. */
async function bestByLog(
  { name, metric, store, log, checkpointEvery }: WatchedStage,
): Promise<BestCheckpoint | undefined> {
  const steps = (await store.list()).map(({ step }) => step);
  /** After how many steps the log tells of which checkpoint. */
  const told = new Map<number, number>();
  steps.forEach((step, i) => {
    const due = (Math.floor(step / checkpointEvery) + 1) * checkpointEvery;
    told.set(metric.heldOut ? step : Math.min(steps[i + 1] > step ? steps[i + 1] : due, due), step);
  });
  let best: BestCheckpoint | undefined;
  const history = new StageHistory(metric);
  for await (const entry of steps.length > 0 ? log.entries() : []) {
    if (entry.stage !== name) continue;
    history.add(entry);
    const step = told.get(entry.step + 1), value = history.watched;
    if (step === undefined || !isBetter(metric, value, best) || await store.problemOf(step) !== undefined) continue;
    best = { step, metric: metric.name, value };
  }
  return best;
}

function isBetter(metric: WatchedMetric, value: number | undefined, best?: BestCheckpoint): value is number {
  if (value === undefined || !Number.isFinite(value)) return false;
  return best === undefined || (metric.better === "lower" ? value < best.value : value > best.value);
}

/** What the file says. It says nothing that training needs: where it cannot be read, it says nothing. */
async function readMarker(path: string): Promise<BestCheckpoint | undefined> {
  try {
    return JSON.parse(await readTextFile(path)) ?? undefined;
  } catch {
    return undefined;
  }
}

async function writeMarker(path: string, best: BestCheckpoint): Promise<void> {
  await writeFileAtomic(path, JSON.stringify(best, null, 2) + "\n");
}
