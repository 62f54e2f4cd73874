/**
 * What can be seen of a robot-video configuration: one stage on tiny models, as the experiment itself runs it, and its numbers.
 *
 * A stage begins from models that were made once, so that a look takes a fraction of a second. Times are no numbers.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { RobotVideoExperiment } from "../../../lib/recipes/robot_video/experiment.ts";
import type { RobotVideoConfig } from "../../../lib/recipes/robot_video/config.ts";
import { run as runRecipe } from "../../../lib/runs/run.ts";
import { trainControl, trainLikelihood, trainPolicy } from "../../../lib/runs/training.ts";
import { mergeSettings } from "../../../lib/runs/settings.ts";
import { writeNpz } from "../../../lib/io/npz.ts";
import { fromFloat32, readSafetensors, toFloat32, writeSafetensors } from "../../../lib/io/safetensors.ts";
import type { Engine } from "../../../lib/tensor/engine.ts";
import { silentProgress } from "../../../lib/runs/progress.ts";
import { RunFolder } from "../../../lib/runs/run_folder.ts";
import { tinyConfig } from "../../support/tiny_run.ts";

/** Nested plain values. */
export type Plain = Record<string, unknown>;

/** Where a field is read. */
export type Stage = "data" | "tokenizer" | "likelihood" | "grpo" | "control" | "evaluation" | "report" | "imagined";

/** What one look gives. */
export interface Sight {
  /** Everything that came out. */
  numbers: unknown;
  /** Calls of the engine's operators: what fields change that decide how much is computed at once, and not what. */
  operators: number;
}

/** The smallest that still has something to see: one step of each kind less than in other tests. */
export const SINGLE: Plain = {
  data: { history: 2, episodes: 6, episodeLength: 8, testEvery: 3 },
  tokenizer: { channels: [4, 8], normGroups: 2, steps: 3, roundingWeight: 0.1 },
  likelihood: { steps: 3, batch: 2, microBatch: 2, warmupSteps: 0, decaySteps: 0 },
  grpo: { steps: 2, promptsPerStep: 2, groupSize: 3, miniBatchPrompts: 2, microBatchPrompts: 2, decaySteps: 0 },
  control: { steps: 1 },
  evaluation: { itemsPerEpisode: 1, gifs: 0 },
  checkpointEvery: 1000,
};

/** A context frame of 16 tokens, three others of one token each with three codes: they often repeat. */
export const MULTI: Plain = mergeSettings(SINGLE, {
  data: { prediction: "multi-step", frames: 4, contextReach: 3, actionBins: 2 },
  tokenizer: { contextLevels: [2], fsqLevels: [3], patchSize: 4, attentionHeads: 2, laterFrames: 2 },
  grpo: { groupSize: 4 },
});

const LPIPS = new URL("../../models/fixtures/lpips.safetensors", import.meta.url).pathname;

/** Looks at configurations on one engine. */
export class Looker {
  /** Files to name: episodes, weights of LPIPS and others of the same shapes. */
  readonly files: { episodes: string; lpips: string; otherLpips: string };
  readonly #engine: Engine;
  readonly #folder: string;
  readonly #made = new Map<string, Promise<{ tokenizer: string; model: string }>>();
  #runs = 0;
  #operators = 0;

  private constructor(engine: Engine, folder: string) {
    this.#engine = engine;
    this.#folder = folder;
    const file = (name: string) => join(folder, name);
    this.files = { episodes: file("episodes"), lpips: LPIPS, otherLpips: file("lpips.safetensors") };
    this.#countOperators();
  }

  /** Makes the files. */
  static async open(engine: Engine): Promise<Looker> {
    const looker = new Looker(engine, await Deno.makeTempDir());
    await Deno.mkdir(looker.files.episodes);
    for (let i = 0; i < 3; i++) {
      // One is shorter than a clip.
      const length = i === 1 ? 2 : 8;
      const image = (seed: number) => ({
        dtype: "uint8" as const,
        shape: [length, 12, 12, 3],
        data: Uint8Array.from({ length: length * 432 }, (_, p) => (p * seed + 31 * i) % 256),
      });
      const action = (most: number) => ({
        dtype: "float32" as const,
        shape: [length, 13],
        data: Float32Array.from({ length: length * 13 }, (_, p) => p % 13 === 3 ? p * (i + 3) % 11 / 11 * most : 0),
      });
      const path = join(looker.files.episodes, `${i}.npz`);
      await writeNpz(path, { image: image(7), camera: image(5), action: action(0.9), other: action(-0.4) });
    }
    const weights = [...await readSafetensors(LPIPS)].map(([name, each]) =>
      [name, fromFloat32(toFloat32(each).map((x) => 0.5 * x), each.shape)] as const
    );
    await writeSafetensors(looker.files.otherLpips, new Map(weights));
    return looker;
  }

  /**
   * Runs a stage of a configuration.
   *
   * @param context Values that the stage's models were made with.
   * @param change Values over those, not seen by the models that the stage begins from.
   */
  async look(stage: Stage, context: Plain, change: Plain = {}): Promise<Sight> {
    const given: Plain = {};
    if (!["data", "tokenizer"].includes(stage)) {
      const { tokenizer, model } = await this.models(context);
      given.tokenizer = { folder: tokenizer };
      if (!["likelihood", "control"].includes(stage)) given.model = { folder: model };
    }
    const config = tinyConfig(mergeSettings(mergeSettings(context, given), change));
    using run = await RunFolder.create(this.#newFolder(), { config });
    using experiment = await this.#open(config, run);
    this.#operators = 0;
    const shown = await this.#show(stage, experiment);
    return { numbers: { ...shown, ...await runNumbers(run) }, operators: this.#operators };
  }

  /** Folders of a tokenizer and a transformer, trained as the values say; made once. */
  async models({ data, tokenizer, seed }: Plain): Promise<{ tokenizer: string; model: string }> {
    const values: Plain = { data, tokenizer, ...seed === undefined ? {} : { seed } }, key = JSON.stringify(values);
    const make = async () => {
      const config = tinyConfig(mergeSettings(SINGLE, values));
      using run = await RunFolder.create(this.#newFolder(), { config });
      using experiment = await this.#open(config, run);
      await experiment.firstStages[0].train();
      await trainLikelihood(experiment);
      return { tokenizer: run.file("models/tokenizer"), model: run.file("models/likelihood") };
    };
    if (!this.#made.has(key)) this.#made.set(key, make());
    return await this.#made.get(key)!;
  }

  #newFolder(): string {
    return join(this.#folder, `run ${this.#runs++}`);
  }

  #open(config: RobotVideoConfig, run: RunFolder): Promise<RobotVideoExperiment> {
    return RobotVideoExperiment.open({ engine: this.#engine, config, run, progress: silentProgress });
  }

  async #show(stage: Stage, experiment: RobotVideoExperiment): Promise<Plain> {
    if (stage === "data") return await dataNumbers(experiment);
    if (stage === "tokenizer") await experiment.firstStages[0].train();
    else if (stage === "likelihood") await trainLikelihood(experiment);
    else if (stage === "grpo") await trainPolicy(experiment, experiment.policies[0]);
    else if (stage === "control") {
      await trainLikelihood(experiment);
      if (experiment.control) {
        await trainControl(experiment, { grpo: 1, likelihood: 1 }, experiment.control.steps);
      }
    } else if (stage === "evaluation") {
      const model = await experiment.models.likelihood();
      try {
        return { ...await experiment.evaluate(model, { baselines: true }) };
      } finally {
        model.dispose();
      }
    } else {
      const { result, report } = await runRecipe(experiment, ["evaluate"]);
      const { seconds: _, peakMemoryBytes: __, ...numbers } = result!;
      const html = await Deno.readTextFile(report!), shown = html.match(/\d+ true frames?, then \d+ imagined/g);
      if (stage === "report") return { ...numbers, shown };
      return { gifs: html.match(/data:image\/gif;base64,[^"]+/g)!.map((gif) => hash(new TextEncoder().encode(gif))) };
    }
    return {};
  }

  #countOperators(): void {
    const engine = this.#engine as unknown as Record<string, unknown>, prototype = Object.getPrototypeOf(engine);
    for (const name of Object.getOwnPropertyNames(prototype)) {
      const { value } = Object.getOwnPropertyDescriptor(prototype, name)!;
      if (typeof value !== "function" || name === "constructor") continue;
      engine[name] = (...args: unknown[]) => {
        this.#operators++;
        return value.apply(engine, args);
      };
    }
  }

  /** Removes all that was made. */
  async close(): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** Sizes, split, bins, and some clips. */
async function dataNumbers({ data }: RobotVideoExperiment): Promise<Plain> {
  const { source, split, training, evaluation, bins } = data;
  const clips = [];
  for (let i = 0; i < 4; i++) clips.push(await training.clip(0, i));
  for (let i = 0; i < Math.min(4, evaluation.length); i++) clips.push(await evaluation.clip(i));
  return {
    sizes: [source.length, source.height, source.width, source.actionWidth, evaluation.length],
    split,
    clips: clips.map(({ frames, actions, contextFrame, ...rest }) => ({
      ...rest,
      frames: hash(frames),
      context: contextFrame && hash(contextFrame),
      bins: [...bins.encode(actions.subarray(0, rest.actionWidth))],
    })),
  };
}

const TIMES = new Set(["stepSeconds", "seconds"]);

/** Hashes of all weights, logs and samples without their times, and how often was saved. */
async function runNumbers({ path }: RunFolder): Promise<Plain> {
  const files: Record<string, string> = {}, saved: string[] = [];
  const visit = async (folder: string) => {
    for await (const { name, isDirectory } of Deno.readDir(join(path, folder))) {
      const file = join(folder, name);
      if (folder.startsWith("checkpoints/")) saved.push(file);
      else if (isDirectory) await visit(file);
      else if (folder.startsWith("models")) files[file] = hash(await Deno.readFile(join(path, file)));
      else if (name.endsWith(".jsonl")) {
        const lines = (await Deno.readTextFile(join(path, file))).trimEnd().split("\n").filter((line) => line !== "");
        files[name] = lines.map((line) =>
          JSON.stringify(JSON.parse(line), (key, value) => TIMES.has(key) ? undefined : value)
        ).join("\n");
      }
    }
  };
  await visit("");
  return { files, saved: saved.sort() };
}

function hash(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, 16);
}
