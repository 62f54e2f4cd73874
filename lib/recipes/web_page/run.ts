/**
 * A run of the web-page experiment from its first stage to its report, in one call: what `deno task train-web` and the notebook
 * do.
 */
import type { CausalTransformer } from "../../models/causal_transformer.ts";
import { peakMemory } from "../../runs/environment.ts";
import type { Progress } from "../../runs/progress.ts";
import { StageSeconds } from "../../runs/stage_seconds.ts";
import { evaluateModel } from "../language/evaluation.ts";
import { WEB_PAGE_STAGES, type WebPageExperiment, type WebPageStage } from "./experiment.ts";
import type { WebPageEvaluation } from "./evaluation.ts";
import { type WebPageResult, webPageResult, writeWebPageReport } from "./report.ts";

/** What a run gave. */
export interface WebPageOutcome {
  /** Seconds of each stage. */
  seconds: Record<string, number>;
  /** There when the evaluation was among the stages. */
  result?: WebPageResult;
  /** The evaluations that it sums up, likewise. */
  models?: EvaluatedWebModels;
  /** Path of report.html, likewise. */
  report?: string;
}

/** Models of a run, evaluated on the same transitions. */
export interface EvaluatedWebModels {
  /** The model that GRPO began with. */
  likelihood: WebPageEvaluation;
  /** After GRPO; absent where that stage has not run. */
  rlvr?: WebPageEvaluation;
}

/**
 * Runs stages in order; each resumes where it was, and one that was finished only says how long it took.
 *
 * @param stages All when left out.
 */
export async function runWebPage(
  experiment: WebPageExperiment,
  progress: Progress,
  stages: readonly WebPageStage[] = WEB_PAGE_STAGES,
): Promise<WebPageOutcome> {
  const { config, run } = experiment;
  await experiment.checkLearntFrom(WEB_PAGE_STAGES.filter((each) => !stages.includes(each)));
  const clock = await StageSeconds.open(run), seconds = clock.values;
  const record = (stage: string, taken: number) => clock.record(stage, taken);
  if (stages.includes("likelihood")) {
    if (config.likelihood.steps === 0) {
      progress.note("likelihood: no steps asked for, GRPO begins with the given model");
    }
    await record("likelihood", await experiment.trainLikelihood());
  }
  if (stages.includes("grpo")) await record("grpo", await experiment.trainGrpo());
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
  const rlvr = await evaluate("rlvr", () => experiment.rlvrModel());
  await record("evaluate", (performance.now() - began) / 1000);
  await experiment.stopIfAsked("the report");
  const models = { likelihood: likelihood!, ...rlvr ? { rlvr } : {} };
  const result = webPageResult(experiment, models, seconds, peakMemory());
  await run.writeResult(result);
  return { seconds, result, models, report: await writeWebPageReport(experiment, result, models) };
}
