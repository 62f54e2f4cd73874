/** A recipe of another world, to see what one takes: numbers that are shifted, told by a tiny transformer. */
import { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { meanInterval, pairedDifference } from "../../lib/report/intervals.ts";
import type { RunResult } from "../../lib/report/result.ts";
import type { Evaluations, ModelStore, OpenRecipe, PolicyRecipe, RecipeConfig } from "../../lib/runs/recipe.ts";
import type { RunFolder } from "../../lib/runs/run_folder.ts";
import type { StageContext } from "../../lib/runs/stage.ts";
import type { Engine } from "../../lib/tensor/engine.ts";
import { GRPO_SCHEMA } from "../../lib/train/grpo_options.ts";
import { rollout } from "../../lib/train/rollout.ts";
import { toyModel, type ToyTransition, toyTransitions, toyWorld } from "../support/toy_world.ts";

/** Every value. */
export const TOY_CONFIG: RecipeConfig = {
  preset: "toy",
  seed: 0,
  checkpointEvery: 4,
  logitChunk: 256,
  likelihood: {
    ...{ steps: 60, batch: 32, microBatch: 32, learningRate: 3e-3, warmupSteps: 5, decaySteps: 0 },
    ...{ weightDecay: 0, maxGradientNorm: 1 },
  },
  grpo: GRPO_SCHEMA.parse({ steps: 12, promptsPerStep: 8, groupSize: 8, learningRate: 2e-3, klCoefficient: 0 }),
};

/** The share of numbers that are wrong, one a transition. */
type Errors = Float64Array;

/** Models by name, in the run's folder. */
function toyModels(engine: Engine, run: RunFolder): ModelStore {
  const folder = (name: string) => run.file(`models/${name}`);
  const load = (name: string) => CausalTransformer.load(engine, folder(name));
  return {
    beginning: () => Promise.resolve(toyModel(engine)),
    likelihood: () => load("likelihood"),
    policy: () => load("likelihood"),
    trained: async (name) => await Deno.stat(folder(name)).then(() => load(name), () => undefined),
    save: (model, name) => model.save(folder(name)),
  };
}

/** See the file's head. */
export class ToyRecipe implements OpenRecipe<ToyTransition, number[][], Errors, RunResult> {
  readonly task = "train-toy";
  readonly evaluated = "transitions";
  readonly firstStages = [];
  readonly withoutLikelihood = undefined;
  readonly control = { steps: 12 };
  readonly learntFrom = { fingerprint: "1:toy" };
  readonly models: ModelStore;
  readonly policies: PolicyRecipe<ToyTransition>[] = [{
    stage: "grpo",
    name: "rlvr",
    options: { reward: [{ metric: "error", weight: 1 }] },
    shownAs: "reward",
    batch: (step) => toyTransitions(2, step, this.config.grpo.promptsPerStep),
    describe: ({ before, shift }, sample) => ({ before, shift, ...sample }),
  }];

  constructor(readonly engine: Engine, readonly context: StageContext, readonly config = TOY_CONFIG) {
    this.models = toyModels(engine, context.run);
  }

  loadWorld() {
    return Promise.resolve(toyWorld());
  }

  likelihoodBatch(step: number): ToyTransition[] {
    return toyTransitions(1, step, this.config.likelihood.batch);
  }

  async evaluate(model: CausalTransformer): Promise<Errors> {
    const world = toyWorld(), heldOut = toyTransitions(3, 0, 64), encoded = await world.encode(heldOut);
    const { answers } = await rollout(model, {
      questions: encoded.map(({ question }) => question),
      plans: encoded.map(({ answer }) => answer),
      groupSize: 1,
      sampling: { temperature: 1 },
      stream: [this.config.seed, 7, 0],
    });
    const errors = await world.metrics.error.compute(await world.decode(answers, heldOut), await world.truth(heldOut));
    return Float64Array.from(errors);
  }

  result({ control, rlvr }: Evaluations<Errors>): Pick<RunResult, "metrics"> {
    const difference = pairedDifference(control, rlvr);
    return {
      metrics: { error: { better: "lower", base: meanInterval(control), rlvr: meanInterval(rlvr), difference } },
    };
  }

  headline({ metrics: { error: { base, rlvr } } }: RunResult): string {
    return `${(100 * base.mean).toFixed(1)} % of numbers wrong after likelihood, ${
      (100 * rlvr.mean).toFixed(1)
    } % after GRPO`;
  }

  report() {
    const reward = { stages: ["grpo"], metric: "reward", title: "Reward", caption: "Mean over a step's answers." };
    return { title: "Shifted numbers", curves: [reward] };
  }
}
