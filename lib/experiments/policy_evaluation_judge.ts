/**
 * The judge of a policy evaluation: made from roll-outs in the true simulator, where success is known, for frames that a world
 * model shows, where it is not.
 *
 * Policies of every skill are rolled out from starts that the evaluation does not use. Every frame of these roll-outs is an
 * example, labelled by the simulator's rule on the true state at that moment: once as it is, and once as the model's tokenizer
 * leaves it, since model frames are what will be judged. The quality is measured on the final frames of roll-outs from further
 * starts, which is the very question that is asked of the judge later.
 */
import { instructionWords, SuccessClassifier } from "../models/success_classifier.ts";
import { OBJECT_COLOURS, OBJECT_SHAPES } from "../worlds/robot_video/table_top/state.ts";
import type { Engine } from "../tensor/engine.ts";
import type { Progress } from "../training/progress.ts";
import {
  type JudgeQuality,
  judgeQuality,
  type LabelledEpisode,
  trainSuccessClassifier,
} from "../training/success_classifier.ts";
import { TableTopVectorEnv } from "../worlds/robot_video/environments/table_top_env.ts";
import type { Policy } from "../worlds/robot_video/policies/policy.ts";
import { type StartState, startStates, type StartTask } from "../worlds/robot_video/table_top/start_states.ts";
import type { FramePair } from "./policy_evaluation_models.ts";
import { rollOut } from "./policy_evaluation_rollouts.ts";

/** How a judge is made. */
export interface JudgeRequest {
  /** Who computes. */
  engine: Engine;
  /** H of the frames. */
  height: number;
  /** W of the frames. */
  width: number;
  /** What is judged. */
  tasks: readonly StartTask[];
  /** Objects of each scene. */
  objects: number;
  /** Who acts in the roll-outs; of several skills, so that there are successes and failures. */
  policies: readonly Policy[];
  /** Roll-outs of each task and policy to learn from. Default 32. */
  starts?: number;
  /** Roll-outs of each task and policy to measure the quality on. Default 16. */
  heldOut?: number;
  /** Longest roll-out. */
  maxSteps: number;
  /** Updates. Default 600. */
  steps?: number;
  /** Of everything random. */
  seed: number;
  /** What a model shows of frames. */
  asModelShows: (pairs: readonly FramePair[]) => Promise<Uint8Array[]>;
  /** Where it is said how far the work is. */
  progress: Progress;
  /** Throws when the user asked to stop. */
  stopIfAsked: () => void;
}

/** A judge, and how good it is on held-out roll-outs of the true simulator. */
export interface TrainedJudge {
  /** To be disposed of. */
  judge: SuccessClassifier;
  /** See {@linkcode JudgeReport}. */
  report: JudgeReport;
}

/** How good a judge is. */
export interface JudgeReport {
  /** On final frames as the model's tokenizer leaves them, all tasks: what the judge is for. */
  quality: JudgeQuality;
  /** The same by task. */
  tasks: Record<string, JudgeQuality>;
  /** On the frames as the simulator draws them. */
  trueFrames: JudgeQuality;
  /** Examples that it learned from. */
  examples: number;
}

/** Starts for judges: none of them is an evaluation's, whatever the seed. */
const JUDGE_SEEDS = 1_000_000_000;

/** Makes a judge. See the file's head. */
export async function makeJudge(request: JudgeRequest): Promise<TrainedJudge> {
  const { engine, height, width, tasks, seed, steps = 600, starts = 32, heldOut = 16, progress } = request;
  const learn: LabelledEpisode[] = [], test: LabelledEpisode[] = [];
  const words = new Set<string>([...OBJECT_COLOURS, ...OBJECT_SHAPES]);
  const rollouts = tasks.length * request.policies.length * (starts + heldOut);
  progress.stage("judge: roll-outs", rollouts, { unit: "roll-outs" });
  let done = 0;
  for (const task of tasks) {
    const states = startStates(task, starts + heldOut, JUDGE_SEEDS + seed, { objects: request.objects });
    for (const { instruction } of states) for (const word of instructionWords(instruction)) words.add(word);
    for (const policy of request.policies) {
      await collect(request, task, policy, states, starts, learn, test);
      progress.step(done += states.length, { frames: learn.length });
    }
  }
  const shown = async (episodes: readonly LabelledEpisode[]): Promise<LabelledEpisode[]> => {
    const finals = await request.asModelShows(episodes);
    return episodes.map((episode, i) => ({ ...episode, final: finals[i] }));
  };
  const judge = SuccessClassifier.initialize(engine, { height, width, words: [...words].sort() }, { seed });
  try {
    const examples = [...learn, ...await shown(learn)];
    progress.stage("judge: training", steps);
    await trainSuccessClassifier(judge, examples, {
      steps,
      seed,
      onStep: (step, loss) => {
        progress.step(step, { loss });
        request.stopIfAsked();
      },
    });
    progress.done();
    const seen = await shown(test);
    const byTask = tasks.map(async (task) =>
      [task, await judgeQuality(judge, seen.filter((each) => each.task === task))] as const
    );
    const report = {
      quality: await judgeQuality(judge, seen),
      tasks: Object.fromEntries(await Promise.all(byTask)),
      trueFrames: await judgeQuality(judge, test),
      examples: examples.length,
    };
    return { judge, report };
  } catch (error) {
    judge.dispose();
    throw error;
  }
}

/** Rolls a policy out and sorts what it gives: frames to learn from, final frames to test on. */
async function collect(
  request: JudgeRequest,
  task: string,
  policy: Policy,
  states: readonly StartState[],
  learnStarts: number,
  learn: LabelledEpisode[],
  test: LabelledEpisode[],
): Promise<void> {
  const { height, width, maxSteps, seed } = request;
  const rollouts = await rollOut({
    env: new TableTopVectorEnv({ height, width, maxSteps }),
    policy,
    starts: states.map(tableTopStart),
    seed: JUDGE_SEEDS + seed,
    keepFrames: () => true,
    onStep: request.stopIfAsked,
  });
  rollouts.forEach(({ frames, successes, final, success }, i) => {
    const { instruction } = states[i], first = frames![0];
    if (i >= learnStarts) test.push({ first, final, instruction, task, success: success === true });
    else {
      for (let t = 1; t < frames!.length; t++) {
        learn.push({ first, final: frames![t], instruction, task, success: successes![t] === true });
      }
    }
  });
}

/** A start state as the simulator's environment takes it. */
export function tableTopStart({ seed, objects, state, task, instruction }: StartState) {
  return { config: { seed, objects, drawer: true, zone: true }, state, task, instruction };
}
