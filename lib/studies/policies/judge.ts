/**
 * The judge of a policy evaluation: made from roll-outs in the true simulator, where success is known, for frames that a world
 * model shows, where it is not.
 *
 * Attempts of every skill, and random motion, start from scenes that the evaluation does not use. Some frames of each are
 * examples, the final one among them, labelled by the simulator's rule on the true state at that moment: once as it is, and once
 * as the model's tokenizer leaves it, since model frames are what will be judged. The attempts see the true state, which is
 * faster than looking at frames and moves the same way.
 *
 * The quality is measured on the evaluation's own roll-outs in truth, of which the judge has seen none: their final frames as the
 * tokenizer leaves them, against the simulator's rule. What a model gets wrong beyond its tokenizer is not in that number.
 */
import { STREAM } from "../../base/streams.ts";
import { instructionWords, SuccessClassifier } from "../../models/success_classifier.ts";
import type { Engine } from "../../tensor/engine.ts";
import { Philox } from "../../tensor/random.ts";
import type { Progress } from "../../runs/progress.ts";
import {
  type JudgeQuality,
  judgeQuality,
  type LabelledEpisode,
  trainSuccessClassifier,
} from "./success_classifier_trainer.ts";
import { isTerminal } from "../../worlds/robot_video/policy.ts";
import { RandomMotion } from "../../worlds/robot_video/random_policy.ts";
import { ScriptedEpisode } from "../../gyms/table_top/policies/scripted_policy.ts";
import { SKILL_NAMES, SKILLS } from "../../gyms/table_top/policies/scripted_skill.ts";
import { type StartState, startStates, type StartTask, startWorld } from "../../gyms/table_top/start_states.ts";
import { OBJECT_COLOURS, OBJECT_SHAPES } from "../../gyms/table_top/state.ts";
import { taskSucceeded } from "../../gyms/table_top/tasks.ts";
import type { FramePair } from "./models.ts";

/**
 * How much goes into a judge.
 *
 * @internal
 */
export interface JudgeTraining {
  /** Scenes of each task; every skill attempts each. Default 120. */
  starts?: number;
  /** Updates. Default 600. */
  steps?: number;
}

/** How a judge is made. */
export interface JudgeRequest extends JudgeTraining {
  engine: Engine;
  /** H of the frames. */
  height: number;
  /** W of the frames. */
  width: number;
  /** What is judged. */
  tasks: readonly StartTask[];
  /** Objects of each scene. */
  objects: number;
  /** Longest attempt. */
  maxSteps: number;
  seed: number;
  /** What a model shows of frames. */
  asModelShows: (pairs: readonly FramePair[]) => Promise<Uint8Array[]>;
  /** Where it is said how far the work is. */
  progress: Progress;
  /** Throws when the user asked to stop. */
  stopIfAsked: () => Promise<void>;
}

/** How good a judge is on roll-outs of the true simulator that it has not seen. */
export interface JudgeReport {
  /** On final frames as the model's tokenizer leaves them, all tasks: what the judge is for. */
  quality: JudgeQuality;
  /** The same by task. */
  tasks: Record<string, JudgeQuality>;
  /** On the frames as the simulator draws them. */
  trueFrames: JudgeQuality;
}

/** Scenes for judges: none of them is an evaluation's, whatever the seed. */
const JUDGE_SEEDS = 1_000_000_000;
/** Frames of an attempt that are examples beside the final one: neighbours differ too little to teach more. */
const EARLIER_FRAMES = 5;

/** Makes a judge; the caller disposes of it. See the file's head. */
export async function makeJudge(request: JudgeRequest): Promise<SuccessClassifier> {
  const { engine, height, width, tasks, seed, starts = 120, steps = 600, progress, stopIfAsked } = request;
  const words = new Set<string>([...OBJECT_COLOURS, ...OBJECT_SHAPES]), examples: LabelledEpisode[] = [];
  progress.stage("judge: attempts", tasks.length * starts, { unit: "scenes" });
  for (const [t, task] of tasks.entries()) {
    const states = startStates(task, starts, JUDGE_SEEDS + seed, { objects: request.objects });
    for (const [i, start] of states.entries()) {
      for (const word of instructionWords(start.instruction)) words.add(word);
      ["random", ...SKILL_NAMES].forEach((_, level) => {
        const random = new Philox(seed, STREAM.judgeAttempt, t, i, level);
        examples.push(...attempt(start, task, SKILL_NAMES[level - 1], random, request));
      });
      progress.step(t * starts + i + 1, { frames: examples.length });
      await stopIfAsked();
    }
  }
  const finals = await request.asModelShows(examples);
  const shown = examples.map((example, i) => ({ ...example, final: finals[i] }));
  const judge = SuccessClassifier.initialize(engine, { height, width, words: [...words].sort() }, { seed });
  try {
    progress.stage("judge: training", steps);
    await trainSuccessClassifier(judge, [...examples, ...shown], {
      steps,
      seed,
      onStep: async (step, loss) => {
        progress.step(step, { loss });
        await stopIfAsked();
      },
    });
    progress.done();
    return judge;
  } catch (error) {
    judge.dispose();
    throw error;
  }
}

/** An attempt at a task from its start by a level of skill (random motion without one): some of its frames with their success. */
function attempt(
  start: StartState,
  task: string,
  skill: keyof typeof SKILLS | undefined,
  random: Philox,
  { height, width, maxSteps }: JudgeRequest,
): LabelledEpisode[] {
  const { instruction } = start, world = startWorld(start), examples: LabelledEpisode[] = [];
  world.setState(start.state);
  const first = world.render(height, width);
  const scripted = skill && new ScriptedEpisode(SKILLS[skill], instruction, random), motion = new RandomMotion(random);
  const choice = random.permutation(maxSteps).slice(0, EARLIER_FRAMES);
  for (let step = 0; step < maxSteps; step++) {
    const state = world.state;
    const action = scripted ? scripted.actIn(state) : motion.action();
    world.step(action);
    const isLast = isTerminal(action) || step === maxSteps - 1;
    if (isLast || choice.includes(step)) {
      const success = taskSucceeded(world.state, start.task);
      examples.push({ first, final: world.render(height, width), instruction, task, success });
    }
    if (isLast) break;
  }
  return examples;
}

/**
 * How good a judge is on final frames of true roll-outs.
 *
 * @param episodes What happened in truth, with the rule's answer.
 * @throws {RangeError} When there is none.
 */
export async function reportJudge(
  judge: SuccessClassifier,
  episodes: readonly LabelledEpisode[],
  asModelShows: JudgeRequest["asModelShows"],
): Promise<JudgeReport> {
  const finals = await asModelShows(episodes);
  const shown = episodes.map((episode, i) => ({ ...episode, final: finals[i] }));
  const tasks: Record<string, JudgeQuality> = {};
  for (const task of new Set(episodes.map(({ task }) => task))) {
    tasks[task] = await judgeQuality(judge, shown.filter((each) => each.task === task));
  }
  return { quality: await judgeQuality(judge, shown), tasks, trueFrames: await judgeQuality(judge, episodes) };
}
