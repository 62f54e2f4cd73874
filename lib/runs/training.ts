/**
 * The training stages of a recipe: likelihood, GRPO, and the control, which is likelihood training that goes on for as long as GRPO
 * took. Each resumes from its newest valid checkpoint and needs the ones before it.
 *
 * Source: RLVR-World §4 and App. B; the control is this project's own.
 */
import { UserError } from "../base/user_error.ts";
import type { CausalTransformer } from "../models/causal_transformer.ts";
import { GrpoTrainer } from "../train/grpo.ts";
import { LikelihoodTrainer } from "../train/likelihood.ts";
import { needsReference } from "../train/objective.ts";
import { grpoDivergence } from "./grpo_divergence.ts";
import { loadModelState, saveModelState } from "./model_state.ts";
import type { OpenRecipe, PolicyRecipe } from "./recipe.ts";
import { pickMetrics, runStage } from "./stage.ts";
import { likelihoodDivergence, watchBatches } from "./stage_history.ts";

/** The part of a recipe that training needs. */
export type TrainedRecipe<Example, States> = Pick<
  // deno-lint-ignore no-explicit-any -- of evaluations and results training knows nothing
  OpenRecipe<Example, States, any, any>,
  | "config"
  | "context"
  | "learntFrom"
  | "models"
  | "loadWorld"
  | "likelihoodBatch"
  | "checkpointing"
  | "withoutLikelihood"
>;

/** Steps from one line of `samples.jsonl` to the next. */
const SAMPLE_EVERY = 10;

/** Trains the model to imitate, unless there is nothing to train. @returns Seconds of training. */
export async function trainLikelihood<Example, States>(recipe: TrainedRecipe<Example, States>): Promise<number> {
  if (recipe.withoutLikelihood !== undefined) return 0;
  return await likelihoodStage(recipe, "likelihood", 0, recipe.config.likelihood.steps);
}

/**
 * Trains the likelihood model on by likelihood, for as many steps as fit into GRPO's time at the speed of the likelihood stage.
 *
 * @param steps So many instead; null: as many as fit.
 * @returns Seconds of training.
 * @throws {UserError} When the likelihood stage's last checkpoint is not there.
 */
export async function trainControl<Example, States>(
  recipe: TrainedRecipe<Example, States>,
  seconds: { grpo: number; likelihood: number },
  steps: number | null,
): Promise<number> {
  const { likelihood } = recipe.config;
  const fitting = Math.round(seconds.grpo / (seconds.likelihood / likelihood.steps));
  return await likelihoodStage(recipe, "control", likelihood.steps, steps ?? Math.max(1, fitting));
}

/** @param from Steps that were taken before. @param count Steps to take. */
async function likelihoodStage<Example, States>(
  recipe: TrainedRecipe<Example, States>,
  name: "likelihood" | "control",
  from: number,
  count: number,
): Promise<number> {
  const { config: { likelihood, logitChunk }, context, models, learntFrom, checkpointing } = recipe;
  const world = await recipe.loadWorld();
  using owned = new DisposableStack();
  const model = owned.adopt(await models.beginning(), (model) => model.dispose());
  const trainer = new LikelihoodTrainer(model, {
    ...likelihood,
    checkpointing,
    decay: { steps: Math.min(likelihood.decaySteps, count), totalSteps: from + count },
    logitChunk,
  });
  owned.defer(() => trainer.optimizer.dispose());
  if (from > 0) await loadEndOfLikelihood(recipe, model, trainer, from);
  const { seconds } = await runStage(context, {
    name,
    steps: count,
    ...learntFrom,
    save: () => saveModelState(model.trainable, trainer.optimizer),
    load: (checkpoint) => loadModelState(checkpoint, model.trainable, trainer.optimizer),
    step: async (step) => {
      // The control's steps go on where likelihood's ended: other batches, the full rate again, and its own fall.
      const number = from + step;
      return { ...await trainer.step(number, await world.encode(await recipe.likelihoodBatch(number))) };
    },
    show: (metrics) => pickMetrics(metrics, { loss: "loss", gradientNorm: "grad" }),
    watched: watchBatches("loss", "lower"),
    divergence: likelihoodDivergence,
  });
  await models.save(model, name);
  return seconds;
}

async function loadEndOfLikelihood<Example, States>(
  { context: { run } }: TrainedRecipe<Example, States>,
  model: CausalTransformer,
  trainer: LikelihoodTrainer,
  steps: number,
): Promise<void> {
  const checkpoint = await run.checkpoints("likelihood").newest();
  if (checkpoint?.step !== steps) {
    throw new UserError(
      `${run.path} has no sound checkpoint of the end of the likelihood stage (step ${steps}; the newest is ` +
        `${checkpoint ? `of step ${checkpoint.step}` : "missing"}): run it again with --resume --stage likelihood`,
    );
  }
  await loadModelState(checkpoint, model.trainable, trainer.optimizer);
}

/** Trains the likelihood model by GRPO. @returns Seconds of training. */
export async function trainPolicy<Example, States>(
  recipe: TrainedRecipe<Example, States>,
  policy: PolicyRecipe<Example>,
): Promise<number> {
  const { config: { grpo, seed, logitChunk }, context, models, learntFrom } = recipe, { watch } = policy;
  const world = await recipe.loadWorld();
  using owned = new DisposableStack();
  const model = owned.adopt(await models.policy(), (model) => model.dispose());
  // With adapters the reference is the same model without them.
  const reference = !needsReference(grpo)
    ? undefined
    : model.adapters
    ? "without-adapters"
    : owned.adopt(await models.likelihood(), (model) => model.dispose());
  await using served = policy.sampler?.(model);
  const options = { ...grpo, ...policy.options, logitChunk, seed };
  const trainer = new GrpoTrainer(model, reference, world, options, served?.sampler);
  owned.defer(() => trainer.optimizer.dispose());
  const { seconds } = await runStage(context, {
    name: policy.stage,
    steps: grpo.steps,
    ...learntFrom,
    save: () => saveModelState(model.trainable, trainer.optimizer),
    load: (checkpoint) => loadModelState(checkpoint, model.trainable, trainer.optimizer),
    step: async (step) => {
      const examples = await policy.batch(step);
      const { sample, ...metrics } = await trainer.step(step, examples);
      if (step % SAMPLE_EVERY === 0) {
        context.run.samples.append({ stage: policy.stage, step, ...policy.describe(examples[0], sample) });
      }
      const isWatched = watch !== undefined && (step + 1) % watch.every === 0;
      return { ...metrics, ...isWatched ? await watch.measure(model) : {} };
    },
    show: (metrics) =>
      pickMetrics(metrics, {
        reward: policy.shownAs,
        kl: "KL",
        clipShare: "clip",
        entropy: "H",
        equalGroups: "equal",
        cutAnswers: "cut",
      }),
    watched: watch?.metric(world) ?? watchBatches("reward", "higher"),
    divergence: (history) => grpoDivergence(history, trainer),
  });
  await models.save(model, policy.name);
  return seconds;
}
