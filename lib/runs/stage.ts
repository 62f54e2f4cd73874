/**
 * One stage of a run: steps that are counted, logged, saved and resumed, the same for every kind of training.
 *
 * A stage's state is what `save` returns; everything random in a step is named by the step's number, so a stage that is
 * stopped after any step and resumed ends with the same numbers as one that was not, on the same engine. What a step
 * computes is the caller's.
 */
import { join } from "node:path";
import { breather } from "../base/breather.ts";
import { readTextFile } from "../io/plain_file.ts";
import { toFloat32 } from "../io/safetensors.ts";
import { keepBetter, readBest } from "./best_checkpoint.ts";
import type { Checkpoint, CheckpointFiles } from "./checkpoint.ts";
import { TrainingDivergedError } from "../train/diverged.ts";
import { compareLearntFrom, type LearntFrom } from "./fingerprint.ts";
import type { Progress } from "./progress.ts";
import type { RunFolder } from "./run_folder.ts";
import { noteSavedStep, readSavedSteps } from "./saved_steps.ts";
import { type Divergence, StageHistory, type WatchedMetric } from "./stage_history.ts";

/**
 * What a stage needs of the run.
 *
 * @internal
 */
export interface StageContext {
  /** Where checkpoints and logs are written. */
  run: RunFolder;
  /** Where it is said how far the stage is. */
  progress: Progress;
  /** Number of steps from one checkpoint to the next. */
  checkpointEvery: number;
  /** When it is aborted, the stage saves after the current step and throws `RunInterruptedError`. */
  signal?: AbortSignal;
}

/** A stage of training: its steps, its state, what it is judged by. */
export interface Stage extends LearntFrom {
  /** Name of its checkpoints and log lines. */
  name: string;
  /** Number of steps in all. */
  steps: number;
  /** State to save, as files of a checkpoint (without `stage.json`, which is this file's). */
  save(): Promise<CheckpointFiles>;
  /** Puts a checkpoint's state back. @throws {MissingFileError} When it lacks a file; nothing has been changed then. */
  load(checkpoint: Checkpoint): Promise<void>;
  /** Step `step`, counted from 0: returns what is logged. */
  step(step: number): Promise<Record<string, unknown>>;
  /** What of a step's log is shown on the progress line. */
  show(metrics: Record<string, unknown>): Record<string, number | string>;
  /** What says how good the weights are: the best checkpoint by it is kept. None is when left out. */
  watched?: WatchedMetric;
  /** Looks at the log after each step for what cannot be training. */
  divergence?(history: StageHistory): Divergence | undefined;
}

/** What a stage reports when it has ended. */
export interface StageResult {
  /** Seconds of training, all resumed parts added up, without saving. */
  seconds: number;
  /** Steps that this call took; 0 when the stage had been finished before. */
  stepsTaken: number;
}

/** The run was told to stop, and has saved. */
export class RunInterruptedError extends Error {
  override readonly name = "RunInterruptedError";
}

/**
 * For work beside the steps, which has nothing to save.
 *
 * @returns A function to await now and then: it lets events have their turn, and throws {@linkcode RunInterruptedError} once the
 *   user has asked to stop.
 */
export function stopper({ signal }: Pick<StageContext, "signal">, during: string): () => Promise<void> {
  const breathe = breather();
  return async () => {
    await breathe();
    if (signal?.aborted) throw new RunInterruptedError(`stopped during ${during}; all training is saved`);
  };
}

interface StageState extends LearntFrom {
  step: number;
  seconds: number;
}

/**
 * Runs a stage from its newest valid checkpoint, or from the start, to its last step.
 *
 * @throws {RunInterruptedError} When the signal stops it; the state is saved.
 * @throws {UserError} When the newest checkpoint belongs to other data or models, or the run's folder is not this process's any more.
 * @throws {DiskError} When the system does not take what is to be written; the checkpoints before stay.
 * @throws {TrainingDivergedError} When a number to be saved is not finite, a step says so, or the stage's log; checkpoints of the
 *   steps since it went wrong are set aside, so that the newest one is good.
 */
export async function runStage(context: StageContext, stage: Stage): Promise<StageResult> {
  const { run, progress, signal } = context;
  if (signal?.aborted) throw new RunInterruptedError(`stopped before ${stage.name}; what was trained before is saved`);
  const store = run.checkpoints(stage.name);
  let state: StageState = { step: 0, seconds: 0, fingerprint: stage.fingerprint, models: stage.models };
  const checkpoint = await store.newest(
    (path, reason) => progress.note(`skipped the checkpoint ${path}: ${reason}`),
    async (checkpoint) => {
      const saved = await checkpoint.json<StageState>("stage.json");
      if (!compareLearntFrom(checkpoint.folder, saved, stage)) progress.note(unknownData(stage.name));
      await stage.load(checkpoint);
      state = { ...saved, fingerprint: stage.fingerprint, models: stage.models };
    },
  );
  const savedLast = (await readSavedSteps(run))[stage.name];
  if (typeof savedLast === "number" && (await store.list()).every(({ step }) => step < savedLast)) {
    progress.note(`${stage.name}: the checkpoint of step ${savedLast}, its newest, is not in ${store.folder} any more`);
  }
  if (checkpoint) {
    if (state.step >= stage.steps) return { seconds: state.seconds, stepsTaken: 0 };
    progress.note(`${stage.name}: resumed after step ${state.step}`);
  }
  await run.metrics.truncateAfter(stage.name, state.step - 1);
  await run.samples.truncateAfter(stage.name, state.step - 1);
  const first = state.step, { watched } = stage;
  const history = new StageHistory(watched);
  for await (const entry of run.metrics.entries()) if (entry.stage === stage.name) history.add(entry);
  const { checkpointEvery } = context;
  const watch = watched && { name: stage.name, metric: watched, store, log: run.metrics, checkpointEvery };
  const findBest = async (note = (line: string) => progress.note(line)) => watch && await readBest(watch, note);
  let best = await findBest(), saved = checkpoint?.step;
  progress.stage(stage.name, stage.steps, { start: first });
  const save = async () => {
    const files = await stage.save();
    checkFinite(files, state.step - 1);
    await run.metrics.sync();
    run.check();
    const label = async (step: number) => {
      if (watch) best = await keepBetter(watch, best, { step, value: history.watched });
    };
    try {
      if (best && await store.problemOf(best.step, { hashes: false }) !== undefined) best = await findBest();
      // What batches say of a checkpoint is known when they have been seen with its weights: at the next one.
      if (!watched?.heldOut && saved !== undefined) await label(saved);
      await store.save(state.step, { ...files, "stage.json": state }, best?.step);
      await noteSavedStep(run, stage.name, state.step);
      saved = state.step;
      if (watched?.heldOut) await label(saved);
    } catch (error) {
      // A folder that went away in the meantime is what went wrong, whatever was noticed first.
      run.check();
      throw error;
    }
  };
  // Steps may never wait for anything: a request to stop is seen between them.
  const breathe = breather();
  const takeStep = async () => {
    const began = performance.now();
    const metrics = await stage.step(state.step);
    const seconds = (performance.now() - began) / 1000;
    run.check();
    const entry = { ...metrics, stage: stage.name, step: state.step, stepSeconds: seconds };
    run.metrics.append(entry);
    history.add(entry);
    state = { ...state, step: state.step + 1, seconds: state.seconds + seconds };
    progress.step(state.step, stage.show(metrics));
    const divergence = stage.divergence?.(history);
    if (divergence) throw new TrainingDivergedError(divergence.what, entry.step, divergence.value, divergence.since);
  };
  try {
    while (state.step < stage.steps) {
      await takeStep();
      await breathe();
      const last = state.step === stage.steps;
      if (last || state.step % checkpointEvery === 0 || signal?.aborted) await save();
      if (signal?.aborted && !last) {
        progress.done();
        throw new RunInterruptedError(`stopped after step ${state.step} of ${stage.steps} of ${stage.name}; saved`);
      }
    }
  } catch (error) {
    if (error instanceof TrainingDivergedError) {
      progress.done();
      await leaveDiverged(context, stage.name, error.since);
      // That the best one so far was set aside has been said.
      best = await findBest(best && best.step >= error.since ? () => {} : undefined);
      if (best) progress.note(`best checkpoint: step ${best.step} of ${stage.name}, ${best.metric} ${best.value}`);
    }
    throw error;
  }
  progress.done();
  return { seconds: state.seconds, stepsTaken: state.step - first };
}

/**
 * Sees that what stages were trained on is what there is now, for stages that are not run and so would not be asked: what follows
 * them, an evaluation too, would be of something else.
 *
 * @throws {UserError} As {@linkcode runStage} does.
 */
export async function checkLearntFrom(
  { run, progress }: Pick<StageContext, "run" | "progress">,
  stages: readonly string[],
  now: LearntFrom,
): Promise<void> {
  for (const stage of stages) {
    const newest = (await run.checkpoints(stage).list()).at(-1);
    const saved = newest && await readState(newest.folder);
    if (saved && !compareLearntFrom(newest.folder, saved, now)) progress.note(unknownData(stage));
  }
}

/** Undefined where the checkpoint is damaged: whoever needs it finds that. */
async function readState(folder: string): Promise<StageState | undefined> {
  try {
    const state = JSON.parse(await readTextFile(join(folder, "stage.json")));
    return typeof state.fingerprint === "string" ? state : undefined;
  } catch {
    return undefined;
  }
}

function unknownData(stage: string): string {
  return `${stage}: begun with another version, which told data apart in another way: whether they are the same is not known`;
}

/** Sees to it that a stage is resumed from before the step since which its weights are no good. */
async function leaveDiverged({ run, progress }: StageContext, name: string, since: number): Promise<void> {
  const store = run.checkpoints(name), aside = await store.setAside(since);
  if (aside.length === 0) return;
  await noteSavedStep(run, name, (await store.list()).at(-1)?.step);
  progress.note(`no longer resumed from: ${aside.join(", ")} of ${store.folder}`);
}

/** Some numbers of a step's log under short names, for a stage's `show`. */
export function pickMetrics(
  metrics: Record<string, unknown>,
  names: Record<string, string>,
): Record<string, number | string> {
  const out: Record<string, number | string> = {};
  for (const [name, short] of Object.entries(names)) {
    const value = metrics[name];
    if (typeof value === "number" || typeof value === "string") out[short] = value;
  }
  return out;
}

/** A checkpoint that training cannot go on from must not become the newest one. */
function checkFinite(files: CheckpointFiles, step: number): void {
  for (const tensors of Object.values(files)) {
    if (!(tensors instanceof Map)) continue;
    for (const [name, tensor] of tensors) {
      const bad = toFloat32(tensor).find((value) => !Number.isFinite(value));
      if (bad !== undefined) throw new TrainingDivergedError(`a number of ${name}`, step, bad, step + 1);
    }
  }
}
