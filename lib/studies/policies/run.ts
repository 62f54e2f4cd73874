/**
 * A policy evaluation from start to report, in one call: what `deno task evaluate-policy` and the notebook do.
 */
import { breather } from "../../base/breather.ts";
import { join } from "node:path";
import { writeFileAtomic } from "../../io/atomic.ts";
import { UserError } from "../../base/user_error.ts";
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import { SuccessClassifier } from "../../models/success_classifier.ts";
import type { SamplingOptions } from "../../nn/sampling.ts";
import type { GalleryClip } from "../../report/gallery.ts";
import { peakMemory } from "../../runs/run_environment.ts";
import type { Progress } from "../../runs/progress.ts";
import { RunInterruptedError } from "../../runs/stage.ts";
import type { Policy } from "../../worlds/robot_video/policy.ts";
import { START_TASKS, type StartTask } from "../../gyms/table_top/start_states.ts";
import {
  checkPolicyNames,
  judgeTrials,
  outcomesOf,
  type PolicyTrial,
  runTrials,
  type TaskStarts,
} from "./evaluation.ts";
import {
  agreementMetrics,
  claimEvaluationFolder,
  type JudgedBy,
  type PolicyEvaluationResult,
  readLabelledOutcomes,
  writeGifs,
  writeTrials,
} from "./files.ts";
import { type JudgeReport, type JudgeTraining, makeJudge, reportJudge } from "./judge.ts";
import { asModelShows, predictionSampling, predictorOf } from "./models.ts";
import { policyReportHtml, rolloutClips } from "./report.ts";
import { type PolicyTable, policyTable, TRUTH } from "./table.ts";
import type { RobotVideoExperiment } from "../../recipes/robot_video/experiment.ts";

/** What to evaluate, and how. */
export interface PolicyEvaluationOptions {
  /** Whose tokenizer, actions and sizes the models have. */
  experiment: RobotVideoExperiment;
  /** World models by name: `base`, `rlvr`. They stay the caller's. */
  models: Readonly<Record<string, CausalTransformer>>;
  /** Who acts. They stay the caller's. */
  policies: readonly Policy[];
  /** Tasks with their starts: first frames, instructions, and in the simulator the true state. */
  tasks: readonly TaskStarts[];
  /** Actions of a roll-out at most; it ends earlier when the policy terminates. */
  maxSteps: number;
  /** Decides everything random: policies, sampled frames, the judge. */
  seed: number;
  /** How the models' frames are drawn; as the experiment evaluates when left out. */
  sampling?: SamplingOptions;
  /** Folder for everything; it must not hold an evaluation. */
  out: string;
  /** Writes to `out-2`, `out-3`… where there is a folder `out` already; false when left out. */
  unique?: boolean;
  /**
   * Who judges the models' final frames: a classifier that is trained now (the default, with what it takes), one of an earlier
   * evaluation by its folder, or nobody: then the frames are only written for people to label.
   */
  judge?: { train: JudgeTraining } | { folder: string } | "none";
  /** Where it is said how far the work is. */
  progress: Progress;
  /** Stops it; nothing of the evaluation is kept then but what is written already. */
  signal?: AbortSignal;
}

/**
 * What an evaluation gave.
 *
 * @internal
 */
export interface PolicyEvaluationOutcome {
  /** As in `result.json`. */
  result: PolicyEvaluationResult;
  /** Every roll-out, judged. */
  trials: PolicyTrial[];
  /** Those that the report shows. */
  clips: { examples: GalleryClip[]; disagreements: GalleryClip[] };
  /** Path of the report. */
  report: string;
}

/**
 * Runs an evaluation. See the file's head.
 *
 * @throws {UserError} When the folder is taken, frames and models do not fit, a policy does not know an instruction or cannot be
 *   reached, or a judge is wanted for tasks without a simulator.
 * @throws {RunInterruptedError} When the signal stops it.
 */
export async function runPolicyEvaluation(options: PolicyEvaluationOptions): Promise<PolicyEvaluationOutcome> {
  const { experiment, models, policies, tasks, maxSteps, seed, progress, signal } = options;
  const { engine, config, data: { source, bins } } = experiment, { height, width } = source;
  for (const { frames, task } of tasks) {
    const other = frames.find((frame) => frame.length !== height * width * 3);
    if (other) {
      throw new UserError(
        `the start frames of "${task}" have ${other.length} bytes each, the models' have ${height} × ${width} × 3: ` +
          `resize them to the models' size`,
      );
    }
  }
  const breathe = breather();
  const stopIfAsked = async () => {
    await breathe();
    if (signal?.aborted) throw new RunInterruptedError("stopped; nothing of this evaluation is kept");
  };
  const sampling = options.sampling ?? predictionSampling(experiment);
  using owned = new DisposableStack();
  const predictors: Record<string, Awaited<ReturnType<typeof predictorOf>>> = {};
  for (const [name, model] of Object.entries(models)) {
    predictors[name] = owned.adopt(await predictorOf(experiment, model, { sampling }), (each) => each.dispose());
  }
  // Before the work: what cannot be judged or written should not be rolled out.
  checkPolicyNames(policies);
  const instructions = [...new Set(tasks.flatMap((task) => task.instructions))];
  for (const policy of policies) await policy.reset(instructions, instructions.map((_, i) => i));
  const given = await givenJudge(options);
  if (given) owned.defer(() => given.dispose());
  const { path: out, lock } = await claimEvaluationFolder(options.out, options);
  owned.use(lock);
  const seconds: Record<string, number> = {};
  let began = performance.now();
  const judge = given ?? await newJudge(options, stopIfAsked);
  if (judge && !given) {
    owned.defer(() => judge.dispose());
    seconds.judge = (performance.now() - began) / 1000;
  }
  began = performance.now();
  const rolled = await runTrials({
    models: predictors,
    actionRanges: bins.ranges,
    policies,
    tasks,
    height,
    width,
    maxSteps,
    seed,
    progress,
    stopIfAsked,
  });
  seconds["roll-outs"] = (performance.now() - began) / 1000;
  began = performance.now();
  const trials = judge ? await judgeTrials(judge, rolled, tasks) : rolled;
  const report = judge && await qualityInTruth(judge, options, trials);
  const outcomes = outcomesOf(trials);
  const table = outcomes.length > 0 ? policyTable(outcomes, { seed }) : emptyTable(tasks, policies);
  const clips = rolloutClips(trials, { height, width });
  lock.check();
  await judge?.save(join(out, "judge"));
  await writeTrials(out, trials, tasks, { height, width, seed });
  await writeGifs(join(out, "gifs"), clips);
  seconds["judging and writing"] = (performance.now() - began) / 1000;
  const result: PolicyEvaluationResult = {
    task: "evaluate-policy",
    preset: config.preset,
    engine: `${engine.name} (${engine.backend} ${engine.version})`,
    device: engine.device,
    seed,
    metrics: agreementMetrics(table),
    seconds,
    peakMemoryBytes: peakMemory(),
    table,
    judge: judge ? { kind: "classifier", report } : { kind: "none", note: UNJUDGED },
    settings: {
      prediction: config.data.prediction,
      models: Object.keys(models).join(", "),
      policies: policies.map(({ name }) => name).join(", "),
      tasks: tasks.map(({ task }) => task).join(", "),
      startsEach: Math.max(...tasks.map(({ frames }) => frames.length)),
      maxSteps,
      ...Object.fromEntries(Object.entries(sampling).map(([name, value]) => [`sampling.${name}`, value])),
    },
  };
  return { result, trials, clips, report: await writeResult(out, result, clips) };
}

const UNJUDGED =
  "Nobody has judged the models' final frames. Label them with deno task label, then read the labels with " +
  "deno task evaluate-policy --labels FILE --key FILE.";

/** Rates by people's labels, from an evaluation's key and the labels alone. */
export async function runLabelledEvaluation(
  options: { labels: readonly string[]; key: string; out: string; unique?: boolean; seed: number },
): Promise<{ result: PolicyEvaluationResult; report: string; notes: string[] }> {
  const { labels, key, seed } = options;
  const began = performance.now();
  const { outcomes, notes, labellers } = await readLabelledOutcomes(labels, key);
  const { path: out, lock } = await claimEvaluationFolder(options.out, options);
  using _ = lock;
  const table = policyTable(outcomes, { seed });
  const judge: JudgedBy = { kind: "people", note: `Judged by ${labellers.join(", ")}. ${notes.join(". ")}.` };
  const result: PolicyEvaluationResult = {
    task: "evaluate-policy",
    preset: "labels",
    engine: "people",
    device: "none",
    seed,
    metrics: agreementMetrics(table),
    seconds: { labels: (performance.now() - began) / 1000 },
    peakMemoryBytes: peakMemory(),
    table,
    judge,
    settings: { labels: labels.join(", "), key },
  };
  return { result, report: await writeResult(out, result, { examples: [], disagreements: [] }), notes };
}

/** Writes report and result, the result last: it says that the evaluation is complete. */
async function writeResult(
  out: string,
  result: PolicyEvaluationResult,
  clips: { examples: readonly GalleryClip[]; disagreements: readonly GalleryClip[] },
): Promise<string> {
  const report = join(out, "report.html");
  await writeFileAtomic(report, await policyReportHtml(result, clips));
  await writeFileAtomic(join(out, "result.json"), JSON.stringify(result, null, 1) + "\n");
  return report;
}

/**
 * The judge of an earlier evaluation, where one is named.
 *
 * @throws {UserError} When it does not fit, or a judge is to be trained for tasks that the simulator does not have.
 */
async function givenJudge(
  { experiment, tasks, judge }: PolicyEvaluationOptions,
): Promise<SuccessClassifier | undefined> {
  if (judge === "none") return undefined;
  if (judge === undefined || "train" in judge) {
    const strange = tasks.find(({ task, states }) => states === null || !isStartTask(task));
    if (strange === undefined) return undefined;
    throw new UserError(
      `a judge learns from the built-in simulator, which has no task "${strange.task}": leave the judging to people ` +
        `(--judge none), or name a judge (--judge FOLDER)`,
    );
  }
  const { engine, data: { source: { height, width } } } = experiment;
  const loaded = await SuccessClassifier.load(engine, judge.folder), { height: h, width: w } = loaded.config;
  try {
    if (h !== height || w !== width) {
      throw new RangeError(`it sees frames of ${h} × ${w}, the models show ${height} × ${width}`);
    }
    for (const instruction of new Set(tasks.flatMap(({ instructions }) => instructions))) {
      loaded.wordVector(instruction);
    }
    return loaded;
  } catch (error) {
    loaded.dispose();
    throw new UserError(`the judge ${judge.folder} does not fit: ${(error as Error).message}`);
  }
}

/** A judge that is trained now, where one is to be. */
async function newJudge(
  { experiment, tasks, judge = { train: {} }, seed, maxSteps, progress }: PolicyEvaluationOptions,
  stopIfAsked: () => Promise<void>,
): Promise<SuccessClassifier | undefined> {
  if (judge === "none" || !("train" in judge)) return undefined;
  const { engine, data: { source: { height, width } } } = experiment;
  return await makeJudge({
    engine,
    height,
    width,
    tasks: tasks.map(({ task }) => task as StartTask),
    objects: Math.max(...tasks.flatMap(({ states }) => states!.map(({ objects }) => objects))),
    maxSteps,
    seed,
    ...judge.train,
    asModelShows: (pairs) => asModelShows(experiment, pairs),
    progress,
    stopIfAsked,
  });
}

/** The judge's quality on the roll-outs in truth; undefined without any. */
async function qualityInTruth(
  judge: SuccessClassifier,
  { experiment, tasks }: PolicyEvaluationOptions,
  trials: readonly PolicyTrial[],
): Promise<JudgeReport | undefined> {
  const firsts = new Map(tasks.map(({ task, frames }) => [task, frames]));
  const episodes = trials.filter(({ world }) => world === TRUTH).map((trial) => ({
    first: firsts.get(trial.task)![trial.start],
    final: trial.rollout.final,
    instruction: trial.instruction,
    task: trial.task,
    success: trial.success === true,
  }));
  if (episodes.length === 0) return undefined;
  return await reportJudge(judge, episodes, (pairs) => asModelShows(experiment, pairs));
}

function isStartTask(task: string): task is StartTask {
  return (START_TASKS as readonly string[]).includes(task);
}

function emptyTable(tasks: readonly TaskStarts[], policies: readonly Policy[]): PolicyTable {
  return {
    worlds: [],
    tasks: tasks.map(({ task }) => task),
    policies: policies.map(({ name }) => name),
    cells: [],
    models: {},
  };
}
