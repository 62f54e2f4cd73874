/**
 * A run of the robot-video experiment from its first stage to its report, in one call: what `deno task train-video` and the
 * notebook do.
 */
import { UserError } from "../../base/user_error.ts";
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import type { Evaluation } from "./evaluation.ts";
import { ROBOT_VIDEO_STAGES, type RobotVideoExperiment, type RobotVideoStage } from "./experiment.ts";
import {
  type EvaluatedModels,
  imaginedClips,
  type RobotVideoResult,
  robotVideoResult,
  writeRobotVideoReport,
} from "./report.ts";
import { peakMemory } from "../../runs/environment.ts";
import type { Progress } from "../../runs/progress.ts";
import { StageSeconds } from "../../runs/stage_seconds.ts";

/** What a run gave. */
export interface RobotVideoOutcome {
  /** Seconds of each stage. */
  seconds: Record<string, number>;
  /** There when the evaluation was among the stages. */
  result?: RobotVideoResult;
  /** Path of report.html, likewise. */
  report?: string;
}

/**
 * Runs stages in order; each resumes where it was, and one that was finished only says how long it took.
 *
 * @param stages All when left out.
 */
export async function runRobotVideo(
  experiment: RobotVideoExperiment,
  progress: Progress,
  stages: readonly RobotVideoStage[] = ROBOT_VIDEO_STAGES,
): Promise<RobotVideoOutcome> {
  await experiment.checkLearntFrom(ROBOT_VIDEO_STAGES.filter((each) => !stages.includes(each)));
  const clock = await StageSeconds.open(experiment.run), seconds = clock.values;
  const record = (stage: string, taken: number) => clock.record(stage, taken);
  const { tokenizer, model, control } = experiment.config;
  const given = { tokenizer: tokenizer.folder, likelihood: model.folder } as const;
  for (const stage of ["tokenizer", "likelihood"] as const) {
    if (stages.includes(stage) && given[stage] !== null) {
      progress.note(`${stage}: nothing to train, ${given[stage]} was given`);
    }
  }
  if (stages.includes("tokenizer")) await record("tokenizer", await experiment.trainTokenizer());
  if (stages.includes("likelihood")) await record("likelihood", await experiment.trainLikelihood());
  if (stages.includes("grpo")) await record("grpo", await experiment.trainGrpo());
  if (stages.includes("control") && control.enabled && model.folder === null) {
    if (!(seconds.grpo && seconds.likelihood)) {
      throw new UserError(
        `the control goes on for as long as GRPO took: run the likelihood and grpo stages of ${experiment.run.path} first`,
      );
    }
    await record("control", await experiment.trainControl(seconds.grpo, seconds.likelihood));
  }
  if (!stages.includes("evaluate")) return { seconds };

  const began = performance.now();
  const evaluated: Record<string, Evaluation> = {}, models: Record<string, CausalTransformer> = {};
  using owned = new DisposableStack();
  for (const stage of ["likelihood", "control", "grpo"] as const) {
    const model = await experiment.trainedModel(stage);
    if (!model) continue;
    models[stage] = owned.adopt(model, (each) => each.dispose());
    progress.stage(`evaluate ${stage === "grpo" ? "rlvr" : stage}`, 1);
    evaluated[stage] = await experiment.evaluate(model, {
      onProgress: (done, total) => progress.step(done / total, { clips: `${done}/${total}` }),
      breathe: () => experiment.stopIfAsked("the evaluation"),
    });
    progress.done();
  }
  const evaluations: EvaluatedModels = {
    likelihood: evaluated.likelihood,
    control: evaluated.control,
    rlvr: evaluated.grpo ?? evaluated.likelihood,
  };
  const shown = { Base: models.control ?? models.likelihood, RLVR: models.grpo ?? models.likelihood };
  const clips = await imaginedClips(experiment, shown);
  await experiment.stopIfAsked("the report");
  await record("evaluate", (performance.now() - began) / 1000);
  const result = robotVideoResult(experiment, evaluations, seconds, peakMemory());
  await experiment.run.writeResult(result);
  return { seconds, result, report: await writeRobotVideoReport(experiment, result, clips) };
}
