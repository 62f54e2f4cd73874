/**
 * The training stages of experiments with a language model, what text games and web pages do alike: likelihood training on
 * examples, GRPO on a reward. Data, worlds and evaluations are each experiment's own.
 */
import type { TextTokenizer } from "../../models/text_tokenizer.ts";
import { grpoDivergence } from "../../runs/grpo_divergence.ts";
import { type GrpoOptions, GrpoTrainer } from "../../train/grpo.ts";
import { needsReference } from "../../train/objective.ts";
import { Philox } from "../../tensor/random.ts";
import type { LearntFrom } from "../../runs/fingerprint.ts";
import { LikelihoodTrainer } from "../../train/likelihood.ts";
import { loadModelState, saveModelState } from "../../runs/model_state.ts";
import { checkLearntFrom, pickMetrics, runStage, type StageContext } from "../../runs/stage.ts";
import { likelihoodDivergence, watchBatches } from "../../runs/stage_history.ts";
import { STREAM } from "../../base/streams.ts";
import type { LanguageExample } from "../../worlds/language_tokens.ts";
import type { World } from "../../worlds/world.ts";
import type { LanguageConfig } from "./fields.ts";
import type { LanguageModels } from "./models.ts";

/** Samples written to samples.jsonl: one prompt's group, every so many steps. */
const SAMPLE_EVERY = 10;

/** What all stages of a run share. */
export interface LanguageStagesOptions<Example, States> {
  /** Every value. */
  config: LanguageConfig;
  /** The run's folder, its progress, how it is stopped. */
  context: StageContext;
  /** The run's models; both stages leave theirs there. */
  models: LanguageModels;
  /** Prompts, answers, scores. */
  world: World<Example, States>;
  /** Writes sampled answers as text. */
  tokenizer: TextTokenizer;
  /** Data and given model: a checkpoint of a run on others is not resumed. */
  learntFrom: LearntFrom;
}

/** One stage of GRPO. */
export interface GrpoStage<Example> {
  /** What its checkpoints, samples and progress are called. */
  name: string;
  /** Folder of the trained model in the run. */
  model: string;
  /** The reward: a metric of the world. */
  metric: string;
  /** What it is called in the progress line. */
  shownAs: string;
  /** Metrics that are measured beside it. */
  alsoMeasured: string[];
  /** Name of the adapters at a server that samples. */
  servedAs: string;
  /** What tokens are credited with. */
  credit: Pick<GrpoOptions, "credit" | "creditDiscount">;
  /** Examples of a step. */
  batch(step: number): Example[];
  /** What samples.jsonl keeps as an example's truth. */
  truth(example: Example): unknown;
}

/** See the file's head. */
export class LanguageStages<Example extends LanguageExample & { name: string }, States> {
  /** Trains nothing yet. @param options What all stages share. */
  constructor(readonly options: LanguageStagesOptions<Example, States>) {}

  /** Sees that stages which are not run were trained on what there is now. @throws {UserError} When they were not. */
  async checkLearntFrom(stages: readonly string[]): Promise<void> {
    await checkLearntFrom(this.options.context, stages, this.options.learntFrom);
  }

  /** Trains the given or a new model to imitate examples. Returns seconds of training. */
  async trainLikelihood(imitated: readonly Example[]): Promise<number> {
    const { config, context, models, world, learntFrom } = this.options;
    const { seed, likelihood, model: { checkpointing }, logitChunk } = config;
    if (likelihood.steps === 0) return 0;
    using owned = new DisposableStack();
    const model = owned.adopt(await models.first(), (each) => each.dispose());
    models.attachNew(model);
    const trainer = new LikelihoodTrainer(model, {
      ...likelihood,
      checkpointing,
      decay: { steps: Math.min(likelihood.decaySteps, likelihood.steps), totalSteps: likelihood.steps },
      logitChunk,
    });
    owned.defer(() => trainer.optimizer.dispose());
    const { seconds } = await runStage(context, {
      name: "likelihood",
      steps: likelihood.steps,
      ...learntFrom,
      save: () => saveModelState(model.trainable, trainer.optimizer),
      load: (checkpoint) => loadModelState(checkpoint, model.trainable, trainer.optimizer),
      step: async (step) => {
        const random = new Philox(seed, STREAM.likelihoodBatch, step);
        const examples = Array.from({ length: likelihood.batch }, () => imitated[random.integer(0, imitated.length)]);
        return { ...await trainer.step(step, await world.encode(examples)) };
      },
      show: (metrics) => pickMetrics(metrics, { loss: "loss", gradientNorm: "grad" }),
      watched: watchBatches("loss", "lower"),
      divergence: likelihoodDivergence,
    });
    await models.save(model, "models/likelihood", models.firstName);
    return seconds;
  }

  /** Trains the likelihood model by GRPO. Returns seconds of training. */
  async trainGrpo(stage: GrpoStage<Example>): Promise<number> {
    const { config, context, models, world, tokenizer, learntFrom } = this.options;
    const { grpo, seed, model: { checkpointing, lora, parameterType }, logitChunk } = config;
    using owned = new DisposableStack();
    // Where all weights are trained, none may be of the type that frozen ones are kept in.
    const trainsAll = lora === null || !grpo.adapters;
    const model = owned.adopt(
      await models.likelihood(trainsAll ? "float32" : parameterType),
      (each) => each.dispose(),
    );
    if (!trainsAll) models.attachNew(model);
    // With adapters the reference is the same model without them.
    const reference = !needsReference(grpo)
      ? undefined
      : model.adapters
      ? "without-adapters" as const
      : owned.adopt(await models.likelihood(), (each) => each.dispose());
    await using served = models.served(model, stage.servedAs, (text) => context.progress.note(text));
    const trainer = new GrpoTrainer(model, reference, world, {
      ...grpo,
      reward: [{ metric: stage.metric, weight: 1 }],
      alsoMeasured: stage.alsoMeasured,
      ...stage.credit,
      checkpointing,
      logitChunk,
      scoreRows: grpo.rolloutRows,
      seed,
    }, served?.sampler);
    owned.defer(() => trainer.optimizer.dispose());
    const { seconds } = await runStage(context, {
      name: stage.name,
      steps: grpo.steps,
      ...learntFrom,
      save: () => saveModelState(model.trainable, trainer.optimizer),
      load: (checkpoint) => loadModelState(checkpoint, model.trainable, trainer.optimizer),
      step: async (step) => {
        const examples = stage.batch(step);
        const { sample, ...metrics } = await trainer.step(step, examples);
        if (step % SAMPLE_EVERY === 0) {
          context.run.samples.append({
            stage: stage.name,
            step,
            example: examples[0].name,
            truth: stage.truth(examples[0]),
            answers: sample.answers.map((answer) => tokenizer.decode(answer, { keepSpecial: true })),
            rewards: sample.rewards,
            advantages: sample.advantages,
          });
        }
        return { ...metrics };
      },
      show: (metrics) =>
        pickMetrics(metrics, {
          reward: stage.shownAs,
          kl: "KL",
          entropy: "H",
          equalGroups: "equal",
          cutAnswers: "cut",
        }),
      watched: watchBatches("reward", "higher"),
      divergence: (history) => grpoDivergence(history, trainer),
    });
    await models.save(model, stage.model, models.grpoBase);
    return seconds;
  }
}
