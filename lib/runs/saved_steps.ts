/**
 * Which step of each stage was saved last: `checkpoints/saved.json` in the run's folder. Without it a checkpoint whose folder was
 * removed would not be missed, and the run would go on from an older one without a word.
 */
import { basename, dirname } from "node:path";
import { removeLeftovers, writeFileAtomic } from "../io/atomic.ts";
import { readTextFile } from "../io/plain_file.ts";
import type { RunFolder } from "./run_folder.ts";

const FILE = "checkpoints/saved.json";

/** Notes that a stage has a checkpoint of this step, or undefined that it has none: to be called when it is so. */
export async function noteSavedStep(run: RunFolder, stage: string, step: number | undefined): Promise<void> {
  await writeFileAtomic(run.file(FILE), JSON.stringify({ ...await readSavedSteps(run), [stage]: step }) + "\n");
}

/** The steps by stage; without those of runs of earlier versions. */
export async function readSavedSteps(run: RunFolder): Promise<Record<string, unknown>> {
  const path = run.file(FILE);
  try {
    // A process that was killed at its last save leaves what it was writing, and a finished stage writes no more.
    await removeLeftovers(dirname(path), (target) => target === basename(path));
    return { ...JSON.parse(await readTextFile(path)) };
  } catch {
    return {}; // nothing has been saved, or by an earlier version
  }
}
