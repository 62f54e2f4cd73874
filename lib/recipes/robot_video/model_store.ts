/** The transformers of a robot-video run. */
import { UserError } from "../../base/user_error.ts";
import { CausalTransformer } from "../../models/causal_transformer.ts";
import { transformerConfig } from "../../models/transformer_config.ts";
import type { ModelStore } from "../../runs/recipe.ts";
import type { RunFolder } from "../../runs/run_folder.ts";
import type { Engine } from "../../tensor/engine.ts";
import type { RobotVideoConfig } from "./config.ts";
import { type RobotVideoData, writeActionRanges } from "./data.ts";
import { loadFittingModel } from "./given_models.ts";
import type { VideoPrediction } from "./video_kind.ts";

/**
 * See the file's head.
 *
 * @internal
 */
export class VideoModels implements ModelStore {
  /** Loads nothing yet. @param prediction The frozen tokenizer and the world over it, whose sizes models must have. */
  constructor(
    private readonly engine: Engine,
    private readonly config: RobotVideoConfig,
    private readonly data: RobotVideoData,
    private readonly run: RunFolder,
    private readonly prediction: () => Promise<VideoPrediction>,
  ) {}

  async beginning(): Promise<CausalTransformer> {
    const { model, seed } = this.config, { world: { vocabulary } } = await this.prediction();
    const config = transformerConfig({
      vocabularySize: vocabulary.size,
      hiddenSize: model.hiddenSize,
      layers: model.layers,
      heads: model.heads,
      feedForwardSize: model.intermediateSize,
      initializerRange: model.initializerRange,
      bosToken: vocabulary.bos,
      eosToken: vocabulary.eos,
      padToken: vocabulary.eos,
    });
    return CausalTransformer.initialize(this.engine, config, { seed, computeType: model.computeType });
  }

  async likelihood(): Promise<CausalTransformer> {
    const { folder } = this.config.model;
    if (folder !== null) return await this.#load(folder);
    const trained = await this.trained("likelihood");
    if (trained) return trained;
    const path = this.run.file("models/likelihood");
    throw new UserError(`${path} does not exist: run the likelihood stage first (--stage likelihood)`);
  }

  policy(): Promise<CausalTransformer> {
    return this.likelihood();
  }

  async trained(name: string): Promise<CausalTransformer | undefined> {
    const folder = this.run.file(`models/${name}`);
    return await isThere(folder) ? await this.#load(folder) : undefined;
  }

  /** Keeps a model in the run, with the ranges that its action tokens mean. */
  async save(model: CausalTransformer, name: string): Promise<void> {
    const folder = this.run.file(`models/${name}`);
    await model.save(folder);
    await writeActionRanges(folder, this.data.bins.ranges);
  }

  async #load(folder: string): Promise<CausalTransformer> {
    return await loadFittingModel(this.engine, folder, this.config, await this.prediction());
  }
}

/** Whether there is something at a path. */
export async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
