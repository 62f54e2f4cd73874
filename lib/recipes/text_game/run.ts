/**
 * A run of the text-game experiment from its first stage to its report, in one call: what `deno task train-text-game` and
 * the notebook do.
 */
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import { peakMemory } from "../../runs/environment.ts";
import type { Progress } from "../../runs/progress.ts";
import { StageSeconds } from "../../runs/stage_seconds.ts";
import { evaluateModel } from "../language/evaluation.ts";
import { TEXT_GAME_STAGES, type TextGameExperiment, type TextGameStage } from "./experiment.ts";
import type { TextGameRewardName } from "./config.ts";
import type { TextGameEvaluation } from "./evaluation.ts";
import { type TextGameResult, textGameResult, writeTextGameReport } from "./report.ts";

/** What a run gave. */
export interface TextGameOutcome {
  /** Seconds of each stage. */
  seconds: Record<string, number>;
  /** There when the evaluation was among the stages. */
  result?: TextGameResult;
  /** The evaluations that it sums up, likewise. */
  models?: EvaluatedTextModels;
  /** Path of report.html, likewise. */
  report?: string;
}

/** Models of a run, evaluated on the same transitions. */
export interface EvaluatedTextModels {
  /** The model that GRPO began with. */
  likelihood: TextGameEvaluation;
  /** By reward; absent where that stage has not run. */
  rlvr: Partial<Record<TextGameRewardName, TextGameEvaluation>>;
}

/**
 * Runs stages in order; each resumes where it was, and one that was finished only says how long it took.
 *
 * @param stages All when left out.
 */
export async function runTextGame(
  experiment: TextGameExperiment,
  progress: Progress,
  stages: readonly TextGameStage[] = TEXT_GAME_STAGES,
): Promise<TextGameOutcome> {
  const { config, run } = experiment;
  const isRun = (stage: TextGameStage) => stages.includes(stage);
  await experiment.checkLearntFrom([
    ...isRun("likelihood") ? [] : ["likelihood"],
    ...isRun("grpo") ? [] : config.grpo.rewards.map((reward) => `grpo-${reward}`),
  ]);
  const clock = await StageSeconds.open(run), seconds = clock.values;
  const record = (stage: string, taken: number) => clock.record(stage, taken);
  if (stages.includes("likelihood")) {
    if (config.likelihood.steps === 0) {
      progress.note("likelihood: no steps asked for, GRPO begins with the given model");
    }
    await record("likelihood", await experiment.trainLikelihood());
  }
  if (stages.includes("grpo")) {
    for (const reward of config.grpo.rewards) await record(`grpo-${reward}`, await experiment.trainGrpo(reward));
  }
  if (!stages.includes("evaluate")) return { seconds };

  const began = performance.now(), breathe = () => experiment.stopIfAsked("the evaluation");
  const evaluate = (name: string, load: () => Promise<CausalTransformer | undefined>) =>
    evaluateModel({
      name,
      progress,
      load,
      evaluate: (model, onProgress) => experiment.evaluate(model, { onProgress, breathe }),
    });
  const likelihood = await evaluate("likelihood", () => experiment.likelihoodModel());
  const rlvr: EvaluatedTextModels["rlvr"] = {};
  for (const reward of config.grpo.rewards) {
    const evaluated = await evaluate(`rlvr-${reward}`, () => experiment.rlvrModel(reward));
    if (evaluated) rlvr[reward] = evaluated;
  }
  await record("evaluate", (performance.now() - began) / 1000);
  await experiment.stopIfAsked("the report");
  const models = { likelihood: likelihood!, rlvr };
  const result = textGameResult(experiment, models, seconds, peakMemory());
  await run.writeResult(result);
  return { seconds, result, models, report: await writeTextGameReport(experiment, result, models) };
}
