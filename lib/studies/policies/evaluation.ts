/**
 * Real2Sim evaluation of robot policies: every policy is rolled out from the same starts in the truth (where there is a
 * simulator) and in world models, success is judged, and the rates are compared.
 *
 *     policies × tasks × starts → roll-outs in truth, base, RLVR → success (rule, judge or people) → table
 *
 * Here are the roll-outs and the judging; the numbers are in `table.ts`, files in `files.ts`,
 * the page in `report.ts`.
 *
 * Source: RLVR-World §6.4, App. A.5; X. Li et al. 2024 (SIMPLER) for the comparison.
 */
import { UserError } from "../../base/user_error.ts";
import type { SuccessClassifier } from "../../models/success_classifier.ts";
import type { Progress } from "../../runs/progress.ts";
import { TableTopVectorEnv } from "../../gyms/table_top/table_top_env.ts";
import { WorldModelVectorEnv } from "../../worlds/robot_video/world_model_env.ts";
import type { ActionRanges } from "../../worlds/robot_video/actions.ts";
import type { FramePredictor } from "../../worlds/robot_video/frame_predictor.ts";
import type { Policy } from "../../worlds/robot_video/policy.ts";
import { renderStartFrames, type StartFrames } from "../../gyms/table_top/start_frames.ts";
import { type StartState, startStates, type StartTask } from "../../gyms/table_top/start_states.ts";
import { type PolicyRollout, rollOut } from "./rollouts.ts";
import { type TrialOutcome, TRUTH } from "./table.ts";

/**
 * Where the roll-outs of one task start.
 *
 * @internal
 */
export interface TaskStarts {
  /** Name of the task. */
  task: string;
  /** First frames, RGB bytes [H, W, 3]. */
  frames: Uint8Array[];
  /** What to do, one a start. */
  instructions: string[];
  /** The true scenes; null where the frames come from elsewhere: then there is no truth. */
  states: StartState[] | null;
}

/** One roll-out of an evaluation. */
export interface PolicyTrial extends Omit<TrialOutcome, "success"> {
  /** What was to be done. */
  instruction: string;
  /** What happened. */
  rollout: PolicyRollout;
  /** The rule's or the judge's answer; null while nobody has judged. */
  success: boolean | null;
  /** The judge's probability of success. */
  probability?: number;
}

export interface TrialsRequest {
  /** World models by name: `base`, `rlvr`. */
  models: Readonly<Record<string, FramePredictor>>;
  /** Values that the models know actions within. */
  actionRanges?: ActionRanges;
  policies: readonly Policy[];
  /** At what, from where. */
  tasks: readonly TaskStarts[];
  /** H of the frames. */
  height: number;
  /** W of the frames. */
  width: number;
  /** Longest roll-out. */
  maxSteps: number;
  seed: number;
  /** Bytes of frames that may be kept for GIFs; beyond them only the first starts of each cell are. Default 512 MiB. */
  frameBytes?: number;
  /** Where it is said how far the work is. */
  progress: Progress;
  /** Throws when the user asked to stop. */
  stopIfAsked: () => Promise<void>;
}

/** Built-in start states of some tasks: the same for the same seed, and of more starts the first ones of fewer. */
export function builtInStarts(
  tasks: readonly StartTask[],
  count: number,
  options: { seed: number; objects: number; height: number; width: number },
): TaskStarts[] {
  const { seed, objects, height, width } = options;
  return tasks.map((task) => {
    const states = startStates(task, count, seed, { objects });
    return splitFrames(task, renderStartFrames(states, height, width));
  });
}

/** Start frames of a file by task: by kind in the built-in simulator, else by instruction. At most `count` of each. */
export function startsByTask(starts: StartFrames, count = Infinity): TaskStarts[] {
  const rows = new Map<string, number[]>();
  starts.instructions.forEach((instruction, i) => {
    const name = starts.starts?.[i].task.kind ?? instruction, own = rows.get(name) ?? [];
    if (own.length < count) own.push(i);
    rows.set(name, own);
  });
  const all = splitFrames("", starts);
  return [...rows].map(([task, own]) => ({
    task,
    frames: own.map((i) => all.frames[i]),
    instructions: own.map((i) => all.instructions[i]),
    states: all.states && own.map((i) => all.states![i]),
  }));
}

function splitFrames(task: string, { count, height, width, frames, instructions, starts }: StartFrames): TaskStarts {
  const size = height * width * 3;
  return {
    task,
    frames: Array.from({ length: count }, (_, i) => frames.subarray(i * size, (i + 1) * size)),
    instructions,
    states: starts,
  };
}

/**
 * Rolls every policy out at every task, in truth where it is known and in every model.
 *
 * @throws {UserError} When two policies have one name.
 * @throws {RangeError} When an action does not fit the models, naming it.
 */
export async function runTrials(request: TrialsRequest): Promise<PolicyTrial[]> {
  const { models, policies, tasks, height, width, maxSteps, seed, actionRanges, progress, stopIfAsked } = request;
  checkPolicyNames(policies);
  const worlds = (task: TaskStarts) => [...task.states ? [TRUTH] : [], ...Object.keys(models)];
  const total = tasks.reduce((sum, task) => sum + task.frames.length * worlds(task).length, 0) * policies.length;
  const { frameBytes = 512 * 2 ** 20 } = request;
  const keepsAll = total * (maxSteps + 1) * height * width * 3 <= frameBytes;
  const trials: PolicyTrial[] = [];
  progress.stage("roll-outs", total, { unit: "roll-outs" });
  for (const task of tasks) {
    const { frames, instructions, states } = task;
    for (const policy of policies) {
      for (const world of worlds(task)) {
        const before = trials.length;
        const common = {
          policy,
          seed,
          keepFrames: (i: number) => keepsAll || i < KEPT_STARTS,
          onStep: async (_: number, running: number) => {
            progress.step(before + frames.length - running, { world, policy: policy.name, task: task.task });
            await stopIfAsked();
          },
        };
        const rollouts = world === TRUTH
          ? await rollOut({
            ...common,
            env: new TableTopVectorEnv({ height, width, maxSteps }),
            starts: states!.map(tableTopStart),
          })
          : await rollOut({
            ...common,
            env: new WorldModelVectorEnv({ predictor: models[world], actionRanges, maxSteps }),
            starts: frames.map((frame, i) => ({ frame, instruction: instructions[i] })),
          });
        rollouts.forEach((rollout, start) =>
          trials.push({
            world,
            task: task.task,
            policy: policy.name,
            start,
            instruction: instructions[start],
            rollout,
            success: rollout.success,
          })
        );
      }
    }
  }
  progress.done();
  return trials;
}

/** @throws {UserError} When two policies have one name: their roll-outs could not be told apart. */
export function checkPolicyNames(policies: readonly Policy[]): void {
  const twice = policies.find(({ name }, i) => policies.findIndex((each) => each.name === name) !== i);
  if (twice) throw new UserError(`the policy ${twice.name} is there twice: its roll-outs could not be told apart`);
}

/** A start state as the simulator's environment takes it. */
function tableTopStart({ seed, objects, state, task, instruction }: StartState) {
  return { config: { seed, objects, drawer: true, zone: true }, state, task, instruction };
}

/** Starts of each cell whose frames are kept where not all can be. */
const KEPT_STARTS = 2;

/**
 * Judges the trials in world models by their first and final frames; the truth's keep the rule's answer.
 *
 * @throws {RangeError} When the judge does not know a word of an instruction, or frames of this size.
 */
export async function judgeTrials(
  judge: SuccessClassifier,
  trials: readonly PolicyTrial[],
  tasks: readonly TaskStarts[],
): Promise<PolicyTrial[]> {
  const firsts = new Map(tasks.map(({ task, frames }) => [task, frames]));
  const open = trials.filter(({ world }) => world !== TRUTH);
  const probabilities = await judge.judge(open.map(({ task, start, instruction, rollout }) => ({
    first: firsts.get(task)![start],
    final: rollout.final,
    instruction,
  })));
  const judged = new Map(open.map((trial, i) => [trial, probabilities[i]]));
  return trials.map((trial) => {
    const probability = judged.get(trial);
    return probability === undefined ? trial : { ...trial, probability, success: probability >= 0.5 };
  });
}

/** Trials whose success is known. */
export function outcomesOf(trials: readonly PolicyTrial[]): TrialOutcome[] {
  return trials.flatMap(({ world, task, policy, start, success }) =>
    success === null ? [] : [{ world, task, policy, start, success }]
  );
}
