/**
 * `deno task evaluate-policy`: how often robot policies succeed in a world model, against the truth where there is a simulator.
 *
 * Policies are rolled out in a run's base and RLVR models and in the built-in simulator, or in given models from start frames of
 * one's own; a classifier judges the models' final frames, or people do.
 */
import { dirname, join } from "node:path";
import { builtInStarts, startsByTask, type TaskStarts } from "../lib/studies/policies/evaluation.ts";
import { plainText } from "../lib/report/tables.ts";
import { agreementTable, judgeTable, policyHeadline, rateTable } from "../lib/studies/policies/report.ts";
import {
  type PolicyEvaluationOptions,
  runLabelledEvaluation,
  runPolicyEvaluation,
} from "../lib/studies/policies/run.ts";
import type { PolicyEvaluationResult } from "../lib/studies/policies/files.ts";
import { predictionSampling } from "../lib/studies/policies/models.ts";
import { RobotVideoExperiment } from "../lib/recipes/robot_video/experiment.ts";
import { type RobotVideoConfig, robotVideoConfig } from "../lib/recipes/robot_video/config.ts";
import { mergeSettings, parseSettings } from "../lib/runs/settings.ts";
import { UserError } from "../lib/base/user_error.ts";
import { CausalTransformer } from "../lib/models/causal_transformer.ts";
import { openEngine } from "../lib/tensor/registry.ts";
import { type Progress, progressFor } from "../lib/runs/progress.ts";
import { RunFolder } from "../lib/runs/run_folder.ts";
import { makePolicy } from "../lib/studies/policies/make_policy.ts";
import type { Policy } from "../lib/worlds/robot_video/policy.ts";
import { SKILL_NAMES } from "../lib/gyms/table_top/policies/scripted_skill.ts";
import { readStartFrames } from "../lib/gyms/table_top/start_frames.ts";
import { START_TASK_STEPS, START_TASKS, type StartTask } from "../lib/gyms/table_top/start_states.ts";
import { type Command, ENGINE_FLAGS, engineChoice, type Flags, readFlags, runCommand } from "./cli.ts";

const DEFAULT_POLICIES = SKILL_NAMES.map((name) => `scripted:${name}`).join();
/** The paper's tasks are to open and to close drawers. */
const DEFAULT_TASKS = "open-drawer,close-drawer";
/** 16 windows of 7 frames, as released. */
const RELEASED_STEPS = 112;

const COMMAND: Command = {
  name: "evaluate-policy",
  summary:
    "Rolls robot policies out in a world model and in the built-in simulator, judges success, and compares the rates.",
  flags: {
    run: { value: "FOLDER", description: "A run of train-video: its base (likelihood) and RLVR models" },
    model: {
      value: "NAME=FOLDER",
      description: "A transformer instead of a run's, such as rlvr=FOLDER; with --tokenizer",
      repeated: true,
    },
    tokenizer: { value: "FOLDER", description: "The tokenizer of the models of --model" },
    preset: { value: "NAME", description: "Values to start from when there is no run", default: "demo-multi-step" },
    policies: {
      value: "A,B,…",
      description: `random, scripted:${SKILL_NAMES.join("|")}, http://HOST, rt1:FOLDER`,
      default: "the scripted ones",
    },
    embeddings: { value: "PATH", description: "For rt1: a file of instruction embeddings, or a sentence encoder" },
    tasks: { value: "A,B,…", description: `Of ${START_TASKS.join(", ")}`, default: DEFAULT_TASKS },
    starts: { value: "N", description: "Starts of each task", default: "50" },
    "start-frames": {
      value: "FILE",
      description: "First frames and instructions of one's own (.npz) instead of --tasks",
    },
    "max-steps": {
      value: "N",
      description: "Longest roll-out, in actions",
      default: `${START_TASK_STEPS}; ${RELEASED_STEPS} from frames of one's own`,
    },
    "repetition-penalty": {
      value: "X",
      description: "Divides the logits of tokens that were said; the released script has 1.2",
      default: "1",
    },
    judge: {
      value: "FOLDER|none",
      description: "A judge of an earlier evaluation, or none",
      default: "one is trained",
    },
    "judge-starts": { value: "N", description: "Scenes of each task that it learns from", default: "120" },
    "judge-steps": { value: "N", description: "Updates that it is trained for", default: "600" },
    labels: { value: "FILE", description: "Answers of people instead of roll-outs (deno task label)", repeated: true },
    key: { value: "FILE", description: "The key.jsonl of the evaluation that was labelled" },
    out: { value: "FOLDER", description: "Where everything is written", default: "RUN/policy_evaluation" },
    seed: { value: "N", description: "Seed of starts, policies, sampling and judge", default: "0" },
    ...ENGINE_FLAGS,
    set: { value: "FIELD=VALUE", description: "Any field of the configuration (train-video --help)", repeated: true },
  },
};

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args);
  if (flags.list("labels").length > 0) return await fromLabels(flags);
  if (flags.text("key") !== undefined) throw new UserError("--key has no meaning without --labels: leave it out");
  const runPath = flags.text("run"), named = readModels(flags);
  const seed = flags.integer("seed") ?? 0, maxSteps = flags.integer("max-steps", 1);
  const given = flags.text("out");
  const out = given ?? (runPath === undefined ? undefined : join(runPath, "policy_evaluation"));
  if (out === undefined) throw new UserError("--model needs a folder to write to: --out FOLDER");
  const judge = readJudge(flags), penalty = readPenalty(flags);
  using owned = new DisposableStack();
  const progress = progressFor(Deno.stderr), note = (text: string) => progress.note(text);
  const policies: Policy[] = [];
  for (const word of listOf(flags.text("policies") ?? DEFAULT_POLICIES, "policies")) {
    const policy = await makePolicy(word, { embeddings: flags.text("embeddings"), onRetry: note, signal });
    policies.push(owned.adopt(policy, (each) => each.dispose?.()));
  }
  const config = await readConfig(flags, runPath);
  const { engine, reason } = await openEngine(engineChoice(flags));
  owned.defer(() => engine.close());
  progress.note(reason);
  const scratch = runPath === undefined ? await Deno.makeTempDir() : undefined;
  try {
    using run = runPath === undefined
      ? await RunFolder.create(join(scratch!, "run"), { config })
      : await RunFolder.read(runPath);
    using experiment = await RobotVideoExperiment.open({ engine, config, use: "prediction", run, progress, signal });
    using loaded = new DisposableStack();
    const models: Record<string, CausalTransformer> = {};
    for (const [name, model] of Object.entries(await openModels(experiment, named, progress))) {
      models[name] = loaded.adopt(model, (each) => each.dispose());
    }
    const tasks = await readTasks(flags, experiment, seed, progress);
    const isBuiltIn = tasks.every(({ states }) => states !== null);
    const sampling = predictionSampling(experiment);
    const { result, report } = await runPolicyEvaluation({
      experiment,
      models,
      policies,
      tasks,
      maxSteps: maxSteps ?? (isBuiltIn ? START_TASK_STEPS : RELEASED_STEPS),
      seed,
      sampling: penalty === undefined ? sampling : { ...sampling, repetitionPenalty: penalty },
      out,
      unique: given === undefined,
      // Without a simulator there is nothing to train a judge on.
      judge: judge ?? (isBuiltIn ? { train: {} } : "none"),
      progress,
      signal,
    });
    show(result, report);
    if (result.judge.kind === "none") {
      console.log(`final frames to label: ${join(dirname(report), "items")} (deno task label)`);
    }
  } finally {
    if (scratch) await Deno.remove(scratch, { recursive: true });
  }
}, { stopping: "stopping; nothing of this evaluation is kept" });

function show(result: PolicyEvaluationResult, report: string): void {
  const { table, judge } = result;
  if (table.cells.length > 0) console.log(`success in per cent [95 % interval]\n${plainText(rateTable(table))}\n`);
  if (Object.keys(table.models).length > 0) console.log(`${plainText(agreementTable(table))}\n`);
  if (judge.kind === "classifier" && judge.report) {
    console.log(`the judge against the simulator's rule\n${plainText(judgeTable(judge.report))}\n`);
  }
  console.log(`${policyHeadline(result)}\nreport: ${report}`);
}

async function fromLabels(flags: Flags): Promise<void> {
  const key = flags.text("key");
  if (key === undefined) {
    throw new UserError("--labels needs the key of the evaluation that was labelled: --key FOLDER/key.jsonl");
  }
  for (const name of ["run", "policies", "tasks", "start-frames", "judge", "starts", "max-steps"]) {
    if (flags.text(name) !== undefined) {
      throw new UserError(
        `--${name} has no meaning with --labels, which read an evaluation that was made: leave it out`,
      );
    }
  }
  const out = flags.text("out");
  const { result, report, notes } = await runLabelledEvaluation({
    labels: flags.list("labels"),
    key,
    out: out ?? join(dirname(key), "labelled"),
    unique: out === undefined,
    seed: flags.integer("seed") ?? 0,
  });
  for (const note of notes) console.error(note);
  show(result, report);
}

/** Folders of `--model`, by name; empty with a run. */
function readModels(flags: Flags): Record<string, string> {
  const run = flags.text("run"), given = flags.list("model");
  if ((run === undefined) === (given.length === 0)) {
    throw new UserError(
      run === undefined
        ? "name a run with --run FOLDER (deno task train-video --preset demo-multi-step makes one), or models with --model " +
          "NAME=FOLDER and --tokenizer FOLDER"
        : "--model has no meaning with --run, whose models are taken: leave one of them out",
    );
  }
  for (const name of run === undefined ? [] : ["tokenizer", "preset"]) {
    if (flags.text(name) !== undefined) throw new UserError(`--${name} has no meaning with --run: leave it out`);
  }
  if (run === undefined && flags.text("tokenizer") === undefined) {
    throw new UserError("--model needs the tokenizer that the models were trained with: --tokenizer FOLDER");
  }
  const models: Record<string, string> = {};
  for (const text of given) {
    const [, name, folder] = /^([^=/]+)=(.+)$/.exec(text) ?? [];
    if (name === undefined || name === "truth" || Object.hasOwn(models, name)) {
      throw new UserError(`--model must be NAME=FOLDER, each name once and none "truth": received "${text}"`);
    }
    models[name] = folder;
  }
  return models;
}

function readJudge(flags: Flags): PolicyEvaluationOptions["judge"] {
  const judge = flags.text("judge");
  const training = { starts: flags.integer("judge-starts", 1), steps: flags.integer("judge-steps", 2) };
  const isNamed = training.starts !== undefined || training.steps !== undefined;
  if (judge !== undefined && isNamed) {
    throw new UserError("--judge-starts and --judge-steps are for a judge that is trained: leave --judge out, or them");
  }
  if (judge !== undefined) return judge === "none" ? "none" : { folder: judge };
  return isNamed ? { train: training } : undefined;
}

function readPenalty(flags: Flags): number | undefined {
  const text = flags.text("repetition-penalty"), value = Number(text);
  if (text === undefined) return undefined;
  if (!(value > 0 && Number.isFinite(value))) {
    throw new UserError(`--repetition-penalty must be a number above 0: received "${text}"`);
  }
  return value;
}

function listOf(text: string, flag: string): string[] {
  const words = text.split(",").map((word) => word.trim());
  if (words.includes("")) throw new UserError(`--${flag} must be names with commas between: received "${text}"`);
  return words;
}

async function readConfig(flags: Flags, runPath: string | undefined): Promise<RobotVideoConfig> {
  const over = parseSettings(flags.list("set"));
  if (runPath === undefined) {
    const [first] = Object.values(readModels(flags));
    const folders = { model: { folder: first }, tokenizer: { folder: flags.text("tokenizer") } };
    return robotVideoConfig(flags.text("preset") ?? "demo-multi-step", mergeSettings(folders, over), "prediction");
  }
  using run = await RunFolder.read(runPath);
  const { preset, ...stored } = run.config;
  if (!("data" in stored && "tokenizer" in stored)) {
    throw new UserError(`${runPath} is no run of train-video: name one of those`);
  }
  return robotVideoConfig(String(preset), mergeSettings(stored, over), "prediction");
}

/** The named models, or a run's base and RLVR. */
async function openModels(
  experiment: RobotVideoExperiment,
  named: Readonly<Record<string, string>>,
  progress: Progress,
): Promise<Record<string, CausalTransformer>> {
  const { engine, config: { model: { computeType } }, run } = experiment,
    models: Record<string, CausalTransformer> = {};
  for (const [name, folder] of Object.entries(named)) {
    models[name] = await CausalTransformer.load(engine, folder, { computeType });
  }
  if (Object.keys(named).length > 0) return models;
  models.base = await experiment.models.likelihood();
  const rlvr = await experiment.models.trained("rlvr");
  if (rlvr) models.rlvr = rlvr;
  else progress.note(`${run.path} has no RLVR model: the base alone is evaluated (train-video --stage grpo makes one)`);
  return models;
}

async function readTasks(
  flags: Flags,
  { config, data: { source } }: RobotVideoExperiment,
  seed: number,
  progress: Progress,
): Promise<TaskStarts[]> {
  const file = flags.text("start-frames"), count = flags.integer("starts", 1), { height, width } = source;
  if (file !== undefined) {
    if (flags.text("tasks") !== undefined) {
      throw new UserError(
        "--tasks has no meaning with --start-frames, whose instructions are taken: leave one of them out",
      );
    }
    const starts = await readStartFrames(file);
    if (starts.height !== height || starts.width !== width) {
      throw new UserError(
        `${file} has frames of ${starts.height} × ${starts.width}, the models show ${height} × ${width}: resize them`,
      );
    }
    return startsByTask(starts, count);
  }
  const tasks = listOf(flags.text("tasks") ?? DEFAULT_TASKS, "tasks");
  const strange = tasks.find((task, i) =>
    !(START_TASKS as readonly string[]).includes(task) || tasks.indexOf(task) !== i
  );
  if (strange !== undefined) {
    throw new UserError(`--tasks must be of ${START_TASKS.join(", ")}, each once: received "${strange}"`);
  }
  if (config.data.folder !== null) {
    throw new UserError(
      `the run was trained on ${config.data.folder}, not on the built-in simulator: give first frames of it (--start-frames FILE)`,
    );
  }
  const { behaviour, drawer, zone } = config.data;
  if (behaviour !== "tasks" && !(drawer && zone)) {
    progress.note(
      "the run was trained on scenes without drawer and zone, which the tasks are about: expect nothing of it " +
        "(train-video --preset demo-multi-step has both)",
    );
  }
  return builtInStarts(tasks as StartTask[], count ?? 50, { seed, objects: config.data.objects, height, width });
}
