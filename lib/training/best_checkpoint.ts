/**
 * The best checkpoint of a stage, by the number that it watches: kept beside the newest ones, however old it is, and named in
 * `best.json` of the checkpoints' folder. A stage goes on from its newest checkpoint; to go on from the best, newer ones must
 * be renamed or removed.
 */
import { join } from "node:path";
import { writeFileAtomic } from "../files/atomic.ts";
import { readTextFile } from "../files/plain_file.ts";
import type { CheckpointStore } from "./checkpoint.ts";
import type { WatchedMetric } from "./stage_history.ts";

/** What `best.json` says. */
export interface BestCheckpoint {
  /** Steps that the checkpoint's weights were trained. */
  step: number;
  /** The watched metric. */
  metric: string;
  /** Its value: held out, or averaged over steps around the checkpoint, those up to the next one included. */
  value: number;
}

const BEST = "best.json";

/** The best checkpoint so far, if the metric is still the same and the checkpoint there. */
export async function readBest(store: CheckpointStore, metric: WatchedMetric): Promise<BestCheckpoint | undefined> {
  let best: BestCheckpoint;
  try {
    best = JSON.parse(await readTextFile(join(store.folder, BEST)));
  } catch {
    // It says nothing that training needs: without it the next checkpoint is the best so far.
    return undefined;
  }
  const isThere = (await store.list()).some(({ step }) => step === best?.step);
  return isThere && best.metric === metric.name && Number.isFinite(best.value) ? best : undefined;
}

/** The better of two checkpoints; the marker's file is written when it is the new one. */
export async function keepBetter(
  store: CheckpointStore,
  metric: WatchedMetric,
  best: BestCheckpoint | undefined,
  { step, value }: { step: number; value: number | undefined },
): Promise<BestCheckpoint | undefined> {
  if (value === undefined || !Number.isFinite(value)) return best;
  if (best && (metric.better === "lower" ? value >= best.value : value <= best.value)) return best;
  const next = { step, metric: metric.name, value };
  await writeFileAtomic(join(store.folder, BEST), JSON.stringify(next, null, 2) + "\n");
  return next;
}
