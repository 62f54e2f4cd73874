/**
 * A run's model to be played: started from scenes of the built-in simulator, which then runs beside it, or from first frames of
 * held-out episodes.
 */
import { UserError } from "../base/user_error.ts";
import { type RobotVideoConfig, robotVideoConfig } from "../recipes/robot_video/config.ts";
import { RobotVideoExperiment } from "../recipes/robot_video/experiment.ts";
import { predictorOf } from "../studies/policies/models.ts";
import type { Engine } from "../tensor/engine.ts";
import type { Progress } from "../runs/progress.ts";
import { RunFolder } from "../runs/run_folder.ts";
import { quantile } from "../report/intervals.ts";
import { type ActionRanges, RT1_ACTION_WIDTH } from "../worlds/robot_video/actions.ts";
import { TableTopEnv } from "../gyms/table_top/table_top_env.ts";
import { WorldModelEnv } from "../worlds/robot_video/world_model_env.ts";
import { TableTop } from "../gyms/table_top/table_top.ts";
import { controlsFor } from "./controls.ts";
import type { Playground, PlayStart } from "./game.ts";
import { taskStart } from "./simulator_playground.ts";

/** Stages whose models can be played. */
export const PLAY_STAGES = ["likelihood", "grpo"] as const;
export type PlayStage = typeof PLAY_STAGES[number];

/** Episodes that tell how a robot is usually driven. */
const USUAL_EPISODES = 16;

/** What is to be played. */
export interface RunPlaygroundOptions {
  engine: Engine;
  /** The run's folder. */
  run: string;
  /** `grpo`'s model when left out, or `likelihood`'s where that stage has not run. */
  stage?: PlayStage;
  /** Of the scenes. */
  seed: number;
  /** Where it is said what the data are like. */
  progress: Progress;
}

/**
 * Opens a run's model. Dispose of the playground when its server has ended.
 *
 * @throws {UserError} When the folder holds no run of robot video, or the stage has not run.
 */
export async function openRunPlayground(options: RunPlaygroundOptions): Promise<Playground & Disposable> {
  const { engine, progress, seed } = options;
  using owned = new DisposableStack();
  const run = owned.use(await RunFolder.read(options.run));
  const experiment = owned.use(
    await RobotVideoExperiment.open({ engine, config: storedConfig(run), use: "prediction", run, progress }),
  );
  const { model, stage } = await trainedModel(experiment, options.stage);
  owned.defer(() => model.dispose());
  const { config, data: { source, bins, split } } = experiment, { height, width, actionWidth } = source;
  const isTableTop = config.data.folder === null;
  const newEnv = async () => {
    const predictor = await predictorOf(experiment, model);
    return { predictor, env: new WorldModelEnv({ predictor, actionRanges: bins.ranges }) };
  };
  // Also says now, not to the first player, whether model and tokenizer fit.
  const { predictor, env } = await newEnv();
  predictor.dispose();
  const robot = isTableTop ? "table-top" : actionWidth === RT1_ACTION_WIDTH ? "rt1" : "other";
  const usual = robot === "other" ? await usualActions(experiment) : undefined;
  const playground: Playground = {
    title: "Driving in a world model",
    facts: [
      `${config.preset}, ${config.data.prediction}`,
      engine.description,
      `${width} × ${height} pixels`,
      ...env.notes,
    ],
    modelName: stage === "grpo" ? "RLVR model" : "Base model",
    height,
    width,
    controls: controlsFor(robot, actionWidth, bins.ranges, usual),
    starts: isTableTop ? null : split.test.length,
    start: (number) =>
      isTableTop
        ? Promise.resolve(sceneStart(config, number, seed, height, width))
        : episodeStart(experiment, split.test[number]),
    async open() {
      const { predictor, env } = await newEnv();
      return {
        model: env,
        simulator: isTableTop ? new TableTopEnv({ height, width }) : undefined,
        [Symbol.dispose]: () => predictor.dispose(),
      };
    },
  };
  const kept = owned.move();
  return { ...playground, [Symbol.dispose]: () => kept.dispose() };
}

/** @throws {UserError} When it is another experiment's, or of fields that are not known here. */
function storedConfig({ config, path }: RunFolder): RobotVideoConfig {
  const { preset, ...stored } = config;
  if (!("data" in stored && "tokenizer" in stored)) {
    throw new UserError(`${path} is no run of train-video: name one of those`);
  }
  return robotVideoConfig(String(preset), stored, "prediction");
}

async function trainedModel(experiment: RobotVideoExperiment, asked: PlayStage | undefined) {
  for (const stage of asked === undefined ? ["grpo", "likelihood"] as const : [asked]) {
    const model = stage === "grpo" ? await experiment.models.trained("rlvr") : await experiment.models.likelihood();
    if (model) return { model, stage };
  }
  throw new UserError(`${experiment.run.path} has no model of the ${asked} stage: run it first (--stage ${asked})`);
}

/** A scene like those of the training data; with a task where they have what tasks are about. */
function sceneStart(
  { data }: RobotVideoConfig,
  number: number,
  seed: number,
  height: number,
  width: number,
): PlayStart {
  const { objects, drawer, zone, slip } = data;
  if (drawer && zone) return taskStart(number, seed, height, width, objects);
  const config = { seed: seed * 1_000_003 + number, objects, drawer, zone, slip };
  return { frame: new TableTop(config).render(height, width), scene: { config } };
}

/** Between what the actions of some training episodes lie, outliers left out. */
async function usualActions({ data: { source, split } }: RobotVideoExperiment): Promise<ActionRanges> {
  const values: number[][] = Array.from({ length: source.actionWidth }, () => []);
  for (const index of split.train.slice(0, USUAL_EPISODES)) {
    const { actions } = await source.load(index);
    actions.forEach((value, i) => values[i % source.actionWidth].push(value));
  }
  const at = (share: number) => Float32Array.from(values, (each) => quantile(each.sort((a, b) => a - b), share));
  return { min: at(0.05), max: at(0.95) };
}

async function episodeStart({ data: { source } }: RobotVideoExperiment, index: number): Promise<PlayStart> {
  const { frames, height, width } = await source.load(index);
  return { frame: frames.slice(0, height * width * 3) };
}
