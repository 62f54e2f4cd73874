/**
 * The folder of a policy evaluation, and labels by people read against it.
 *
 *     result.json       rates, gaps, correlations, the judge's quality, settings, times
 *     report.html       the same for people, with roll-outs
 *     trials.jsonl      every roll-out: world, task, policy, start, steps, success
 *     starts.npz        the first frames and instructions: what others need to repeat it
 *     gifs/             the report's roll-outs
 *     judge/            the classifier, to be used again
 *     items/, key.jsonl final frames of the models for blind labelling, and apart from them what they are of
 */
import { dirname, join } from "node:path";
import { writeFileAtomic } from "../../io/atomic.ts";
import { makeFolder, makeNewFolder } from "../../io/folders.ts";
import { readTextFile } from "../../io/plain_file.ts";
import { cannotRead } from "../../io/random_access.ts";
import { UserError } from "../../base/user_error.ts";
import type { GalleryClip } from "../../report/gallery.ts";
import { galleryGif } from "../../report/gallery.ts";
import type { RunResult } from "../../report/result.ts";
import { lockRun, type RunLock } from "../../runs/run_lock.ts";
import { writeStartFrames } from "../../gyms/table_top/start_frames.ts";
import { readLabelKey, writeLabelItems } from "../labels/items.ts";
import { agreement, type Label, labelProblems, readLabels } from "../labels/labels.ts";
import type { PolicyTrial, TaskStarts } from "./evaluation.ts";
import type { JudgeReport } from "./judge.ts";
import { type PolicyTable, type TrialOutcome, TRUTH } from "./table.ts";

/** Who said what succeeded in the models; a classifier's quality is there where there is a truth. */
export type JudgedBy =
  | { kind: "classifier"; report?: JudgeReport }
  | { kind: "people" | "none"; note: string };

/**
 * `result.json` of a policy evaluation.
 *
 * @internal
 */
export interface PolicyEvaluationResult extends RunResult {
  /** All rates and what follows from them. */
  table: PolicyTable;
  /** Who judged. */
  judge: JudgedBy;
  /** What was evaluated: policies, starts, longest roll-out, sampling. */
  settings: Record<string, unknown>;
}

/** The numbers of a table in the form of other runs' results: gap and r, where there are base and RLVR. */
export function agreementMetrics({ models: { base, rlvr }, difference }: PolicyTable): RunResult["metrics"] {
  if (!base || !rlvr) return {};
  return {
    gap: { better: "lower", unit: "points", base: base.gapInterval, rlvr: rlvr.gapInterval, difference },
    ...base.rInterval && rlvr.rInterval
      ? { r: { better: "higher", base: base.rInterval, rlvr: rlvr.rInterval } as const }
      : {},
  };
}

/**
 * Makes the folder of an evaluation, for this process alone until the result is disposed.
 *
 * @param unique Takes `folder-2`, `folder-3`… where there is such a folder already.
 * @throws {UserError} When it holds an evaluation already, another process writes to it, or it cannot be made.
 */
export async function claimEvaluationFolder(
  folder: string,
  { unique = false }: { unique?: boolean } = {},
): Promise<{ path: string; lock: RunLock }> {
  if (!unique) await makeFolder(folder);
  const path = unique ? await makeNewFolder(folder) : folder, lock = await lockRun(path);
  for (const name of ["result.json", "trials.jsonl"]) {
    if (!await Deno.stat(join(path, name)).then(() => true, () => false)) continue;
    lock[Symbol.dispose]();
    throw new UserError(`${path} already holds an evaluation (${name}): choose another folder with --out`);
  }
  return { path, lock };
}

/** Writes trials, starts, and the models' final frames to be labelled by people. */
export async function writeTrials(
  folder: string,
  trials: readonly PolicyTrial[],
  tasks: readonly TaskStarts[],
  { height, width, seed }: { height: number; width: number; seed: number },
): Promise<void> {
  const lines = trials.map(({ world, task, policy, start, instruction, rollout, success, probability }) => {
    const { steps, terminated } = rollout;
    return JSON.stringify({ world, task, policy, start, instruction, steps, terminated, success, probability }) + "\n";
  });
  await writeFileAtomic(join(folder, TRIALS), lines.join(""));
  const size = height * width * 3, count = tasks.reduce((sum, { frames }) => sum + frames.length, 0);
  const frames = new Uint8Array(count * size);
  tasks.flatMap((task) => task.frames).forEach((frame, i) => frames.set(frame, i * size));
  const states = tasks.map(({ states }) => states);
  await writeStartFrames(join(folder, "starts.npz"), {
    count,
    height,
    width,
    frames,
    instructions: tasks.flatMap(({ instructions }) => instructions),
    starts: states.every((each) => each !== null) ? states.flat() : null,
  });
  const open = trials.filter(({ world }) => world !== TRUTH);
  const candidates = open.map(({ world, task, policy, start, instruction, rollout }) => ({
    instruction,
    pixels: rollout.final,
    height,
    width,
    model: world,
    policy,
    task,
    start,
  }));
  await writeLabelItems(join(folder, "items"), join(folder, "key.jsonl"), candidates, seed);
}

const TRIALS = "trials.jsonl";

/** Writes clips as GIFs, named by what they show. */
export async function writeGifs(
  folder: string,
  clips: Readonly<Record<string, readonly GalleryClip[]>>,
): Promise<void> {
  await makeFolder(folder);
  for (const [kind, some] of Object.entries(clips)) {
    for (const [i, each] of some.entries()) {
      const name = `${kind}_${String(i + 1).padStart(2, "0")}_${each.label.replaceAll(/[^\p{L}\p{N}]+/gu, "_")}.gif`;
      await writeFileAtomic(join(folder, name), galleryGif(each));
    }
  }
}

/** The truth's outcomes of an evaluation's folder; none where it had no simulator. @throws {UserError} When the file is damaged. */
export async function readTrueOutcomes(folder: string): Promise<TrialOutcome[]> {
  const path = join(folder, TRIALS);
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw cannotRead(path, error);
  }
  return text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return [];
    try {
      const { world, task, policy, start, success } = JSON.parse(line) as TrialOutcome;
      const isSound = [world, task, policy].every((each) => typeof each === "string") && Number.isInteger(start);
      if (!isSound) throw new SyntaxError("no trial");
      return world === TRUTH && typeof success === "boolean" ? [{ world, task, policy, start, success }] : [];
    } catch {
      throw new UserError(`${path}, line ${i + 1} is not a trial: ${JSON.stringify(line.slice(0, 60))}`);
    }
  });
}

/** Outcomes by people's labels, with what one should know of them. */
export interface LabelledOutcomes {
  /** Of the models by label, and of the truth as it was recorded beside the key. */
  outcomes: TrialOutcome[];
  /** A line each: what is missing or double, and how far labellers agree. */
  notes: string[];
  /** Names of the labellers. */
  labellers: string[];
}

/**
 * Reads labels against the key of an evaluation. Where several people judged an item the majority counts; an even split leaves it
 * out, as does an item that nobody judged.
 *
 * @throws {UserError} When a file cannot be read or is damaged, or no item has an answer.
 */
export async function readLabelledOutcomes(labels: readonly string[], keyPath: string): Promise<LabelledOutcomes> {
  const key = await readLabelKey(keyPath);
  const reading = await readLabels(labels, key.keys());
  const votes = new Map<string, number>();
  for (const { id, success } of reading.labels) votes.set(id, (votes.get(id) ?? 0) + (success ? 1 : -1));
  const judged = [...votes].filter(([, vote]) => vote !== 0);
  if (judged.length === 0) {
    throw new UserError(`${labels.join(", ")} answers none of the ${key.size} items of ${keyPath}: label them first`);
  }
  const outcomes = judged.map(([id, vote]): TrialOutcome => {
    const { model, task, policy, start } = key.get(id)!;
    return { world: model, task, policy, start, success: vote > 0 };
  });
  const ties = votes.size - judged.length;
  return {
    outcomes: [...await readTrueOutcomes(dirname(keyPath)), ...outcomes],
    notes: [
      `${judged.length} of ${key.size} items are judged`,
      ...labelProblems(reading),
      ...ties > 0 ? [`${ties} items are left out: the labellers are evenly split`] : [],
      ...agreementNotes(reading.labels),
    ],
    labellers: [...new Set(reading.labels.map(({ labeller }) => labeller))],
  };
}

function agreementNotes(labels: readonly Label[]): string[] {
  return agreement(labels).map(({ labellers: [a, b], items, share, kappa }) =>
    items === 0
      ? `${a} and ${b} have no item in common`
      : `${a} and ${b} agree on ${(100 * share).toFixed(1)} % of ${items} items` +
        (Number.isNaN(kappa) ? "" : `, Cohen's kappa ${kappa.toFixed(2)}`)
  );
}
