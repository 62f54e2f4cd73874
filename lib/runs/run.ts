/**
 * A run of a recipe from its first stage to its report: what the training commands and the notebooks do.
 */
import { UserError } from "../base/user_error.ts";
import type { CausalTransformer } from "../models/causal_transformer.ts";
import { writeReport } from "../report/html_report.ts";
import type { RunResult } from "../report/result.ts";
import { curveFigures } from "./curves.ts";
import { peakMemory } from "./run_environment.ts";
import { evaluateModel } from "./evaluate.ts";
import type { Evaluations, OpenRecipe } from "./recipe.ts";
import { checkLearntFrom, stopper } from "./stage.ts";
import { StageSeconds } from "./stage_seconds.ts";
import { trainControl, trainLikelihood, trainPolicy } from "./training.ts";

/**
 * What a run gave.
 *
 * @internal
 */
export interface RunOutcome<Evaluation, Result extends RunResult> {
  /** Seconds of each stage. */
  seconds: Record<string, number>;
  /** There when the evaluation was among the stages. */
  result?: Result;
  /** The evaluations that it sums up, likewise. */
  evaluations?: Evaluations<Evaluation>;
  /** Path of report.html, likewise there when the evaluation was. */
  report?: string;
}

/**
 * Runs stages in order; each resumes where it was, and one that was finished only says how long it took.
 *
 * @param stages Names of stages: those before the model's own, `likelihood`, `grpo`, `control`, `evaluate`. @default {all}
 */
export async function run<Example, States, Evaluation, Result extends RunResult>(
  recipe: OpenRecipe<Example, States, Evaluation, Result>,
  stages?: readonly string[],
): Promise<RunOutcome<Evaluation, Result>> {
  const { config, context: { run, progress }, control } = recipe;
  const asks = (stage: string) => stages === undefined || stages.includes(stage);
  const trained = [
    ...recipe.firstStages.map(({ name }) => ({ name, asked: name })),
    { name: "likelihood", asked: "likelihood" },
    ...recipe.policies.map(({ stage }) => ({ name: stage, asked: "grpo" })),
    { name: "control", asked: "control" },
  ];
  const others = trained.filter(({ asked }) => !asks(asked)).map(({ name }) => name);
  await checkLearntFrom(recipe.context, others, recipe.learntFrom);
  const clock = await StageSeconds.open(run), seconds = clock.values;
  for (const stage of recipe.firstStages.filter(({ name }) => asks(name))) {
    if (stage.replacement !== null) progress.note(`${stage.name}: nothing to train, ${stage.replacement} was given`);
    await clock.record(stage.name, stage.replacement === null ? await stage.train() : 0);
  }
  if (asks("likelihood")) {
    if (recipe.withoutLikelihood !== undefined) progress.note(`likelihood: ${recipe.withoutLikelihood}`);
    await clock.record("likelihood", await trainLikelihood(recipe));
  }
  if (asks("grpo")) {
    for (const policy of recipe.policies) await clock.record(policy.stage, await trainPolicy(recipe, policy));
  }
  if (asks("control") && control) {
    const { grpo, likelihood } = seconds;
    if (!(grpo && likelihood)) {
      throw new UserError(
        `the control goes on for as long as GRPO took: run the likelihood and grpo stages of ${run.path} first`,
      );
    }
    await clock.record("control", await trainControl(recipe, { grpo, likelihood }, control.steps));
  }
  if (!asks("evaluate")) return { seconds };

  const began = performance.now(), stopIfAsked = stopper(recipe.context, "the report");
  const evaluations = await evaluateModels(recipe);
  const { name, backend, version, device } = recipe.engine;
  const result = {
    task: recipe.task,
    preset: config.preset,
    engine: `${name} (${backend} ${version})`,
    device,
    seed: config.seed,
    ...recipe.result(evaluations),
    seconds,
    peakMemoryBytes: peakMemory(),
  } as unknown as Result;
  // Nothing is written before all is there: pictures take time, in which the user may ask to stop.
  const { curves, ...content } = await recipe.report(result, evaluations);
  await stopIfAsked();
  await clock.record("evaluate", (performance.now() - began) / 1000);
  await run.writeResult(result);
  const report = run.file("report.html");
  await writeReport(report, {
    ...content,
    summary: recipe.headline(result),
    result,
    curves: curveFigures(await run.metrics.read(), curves),
    config,
    environment: await run.readEnvironment(),
  });
  return { seconds, result, evaluations, report };
}

/** Evaluations of the models that the run has, by name. */
async function evaluateModels<Example, States, Evaluation, Result extends RunResult>(
  recipe: OpenRecipe<Example, States, Evaluation, Result>,
): Promise<Evaluations<Evaluation>> {
  const { models, context } = recipe;
  const loaders: [name: string, load: () => Promise<CausalTransformer | undefined>][] = [
    ["likelihood", () => models.likelihood()],
    ...["control", ...recipe.policies.map((policy) => policy.name)].map((name) =>
      [name, () => models.trained(name)] as [string, () => Promise<CausalTransformer | undefined>]
    ),
  ];
  const evaluations: Record<string, Evaluation> = {}, breathe = stopper(context, "the evaluation");
  for (const [name, load] of loaders) {
    const evaluation = await evaluateModel({
      name,
      progress: context.progress,
      counted: recipe.evaluated,
      load,
      evaluate: (model, onProgress) => recipe.evaluate(model, { onProgress, breathe, baselines: true }),
    });
    if (evaluation !== undefined) evaluations[name] = evaluation;
  }
  return evaluations;
}
