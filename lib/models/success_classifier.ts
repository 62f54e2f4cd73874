/**
 * A judge of robot episodes: did the final frame reach what the instruction asked, given the first frame. A small
 * convolutional network, for success in worlds that have no rule to ask: what a world model imagined.
 *
 * Both frames and the two coordinates of each pixel go in side by side; three convolutions look at them, each of whose channels
 * the instruction's words scale and shift (FiLM), so that one network judges every task and colour that it was trained on. What
 * they find is read as its strength (maximum and mean over the image) and as its place (spatial softmax): goals are mostly about
 * where things are. An instruction is the set of its words; their order is not read.
 *
 * Not here: where labelled frames come from, and how it is trained (`lib/studies/policies/success_classifier_trainer.ts`).
 *
 * Axis legend: B episodes, H height, W width, V words.
 *
 * Sources: E. Perez et al. 2018 (FiLM); C. Finn et al. 2016 (spatial softmax).
 */
import { STREAM } from "../base/streams.ts";
import { join } from "node:path";
import { readTextFile } from "../io/plain_file.ts";
import { openWeights, writeWeights } from "../io/safetensors_folder.ts";
import { UserError } from "../base/user_error.ts";
import { constantInitial, kaimingUniform } from "../nn/initializers.ts";
import { disposeParameters, loadParameters, type Parameters, parameterStreams } from "../nn/parameters.ts";
import type { Shape } from "../tensor/dtype.ts";
import type { Engine } from "../tensor/engine.ts";
import { Philox } from "../tensor/random.ts";
import { tidy } from "../tensor/scope.ts";
import { concat, type Tensor, tensor } from "../tensor/tensor.ts";

/** What a judge is made of. */
export interface SuccessClassifierConfig {
  /** H of its frames, in pixels; at least 8. */
  height: number;
  /** W of its frames, in pixels; at least 8. */
  width: number;
  /** The words that it knows, in order. */
  words: readonly string[];
  /** Channels of the convolutions; all but the first halve the resolution. Default [24, 48, 64]. */
  channels?: readonly number[];
  /** Width of the two layers between features and the logit. @default {64} */
  hiddenSize?: number;
}

/** An episode to be judged. */
export interface JudgedEpisode {
  /** The first frame: RGB bytes [H, W, 3]. */
  first: Uint8Array;
  /** The final frame: RGB bytes [H, W, 3]. */
  final: Uint8Array;
  /** What was to be done. */
  instruction: string;
}

const CHANNELS = [24, 48, 64], HIDDEN = 64;
/** K, maps of which the place is read. */
const KEYPOINTS = 16;
/** The convolution whose features they are made of: deep enough to know things apart, fine enough to place them. */
const KEYPOINT_LAYER = 1;
/** Places are from −0.5 to 0.5: this brings them to the size of the other features. */
const PLACE_SCALE = 4;
/** Two frames of three colours, and the two coordinates of a pixel. */
const INPUT_CHANNELS = 8;
/** Episodes that are judged at once. */
const BATCH = 64;

/** The words of an instruction, in lower case. */
export function instructionWords(instruction: string): string[] {
  return instruction.toLowerCase().match(/[\p{L}\p{N}-]+/gu) ?? [];
}

export class SuccessClassifier {
  readonly engine: Engine;
  readonly config: Required<SuccessClassifierConfig>;
  /** What is trained: kept float32 tensors. */
  readonly parameters: Parameters;
  readonly #wordIndex: ReadonlyMap<string, number>;

  private constructor(engine: Engine, config: Required<SuccessClassifierConfig>, parameters: Parameters) {
    this.engine = engine;
    this.config = config;
    this.parameters = parameters;
    this.#wordIndex = new Map(config.words.map((word, i) => [word, i]));
  }

  /**
   * A judge that has learned nothing yet.
   *
   * @throws {RangeError} When a size is out of its range, or a word is there twice.
   */
  static initialize(engine: Engine, given: SuccessClassifierConfig, { seed }: { seed: number }): SuccessClassifier {
    const config = checkedConfig(given);
    const parameters: Parameters = new Map();
    let stream = 0;
    for (const [name, shape] of shapesOf(config)) {
      if (!name.endsWith(".weight")) continue;
      const bias = name.replace(".weight", ".bias");
      const initial = kaimingUniform(engine, shape, new Philox(seed, STREAM.judgeWeights, stream++));
      // At first the words change nothing.
      const isFilm = name.startsWith("film");
      if (isFilm) {
        initial.weight.dispose();
        initial.bias.dispose();
      }
      parameters.set(name, isFilm ? constantInitial(engine, shape, 0) : initial.weight);
      parameters.set(bias, isFilm ? constantInitial(engine, [shape[0]], 0) : initial.bias);
    }
    return new SuccessClassifier(engine, config, parameters);
  }

  /**
   * Reads what {@linkcode SuccessClassifier.save} wrote.
   *
   * @throws {UserError} When the folder holds no judge, or a damaged one.
   */
  static async load(engine: Engine, folder: string): Promise<SuccessClassifier> {
    const path = join(folder, "config.json");
    let config: Required<SuccessClassifierConfig>;
    try {
      const { model_type, ...rest } = JSON.parse(await readTextFile(path));
      if (model_type !== MODEL_TYPE) throw new RangeError(`model_type is ${JSON.stringify(model_type)}`);
      config = checkedConfig(rest);
    } catch (error) {
      const reason = error instanceof Deno.errors.NotFound ? "there is no such file" : (error as Error).message;
      throw new UserError(`${path} is not a success classifier's (${reason}): name the judge folder of an evaluation`);
    }
    using weights = await openWeights(folder);
    const parameters = await loadParameters(engine, shapesOf(config), weights, { source: folder });
    return new SuccessClassifier(engine, config, parameters);
  }

  /** Writes `config.json` and `model.safetensors`; makes the folder where it does not exist. */
  async save(folder: string): Promise<void> {
    const text = JSON.stringify({ model_type: MODEL_TYPE, ...this.config }, null, 2) + "\n";
    await writeWeights(folder, parameterStreams(this.parameters), { texts: [["config.json", text]] });
  }

  /**
   * Logits float32 [B] of success. Differentiable.
   *
   * @param first float32 [B, H, W, 3] in [0, 1].
   * @param final float32 [B, H, W, 3] in [0, 1].
   * @param words float32 [B, V]: 1 for each word of the instruction; see {@linkcode SuccessClassifier.wordVector}.
   * @throws {RangeError} When the shapes do not fit.
   */
  logits(first: Tensor, final: Tensor, words: Tensor): Tensor {
    const { height, width, channels } = this.config, batch = first.shape[0];
    for (const frames of [first, final]) {
      if (frames.shape.join() !== [batch, height, width, 3].join()) {
        throw new RangeError(
          `the judge needs frames [B, ${height}, ${width}, 3]: received [${frames.shape.join(", ")}]`,
        );
      }
    }
    const places = coordinates(this.engine, height, width).broadcastTo([batch, height, width, 2]);
    let keypoints: Tensor | undefined;
    let h = concat([first.sub(0.5), final.sub(0.5), places], 3);
    channels.forEach((count, i) => {
      h = h.conv2d(this.#of(`conv.${i}.weight`), this.#of(`conv.${i}.bias`), {
        stride: i === 0 ? 1 : 2,
        padding: [1, 1, 1, 1],
      });
      const film = words.linear(this.#of(`film.${i}.weight`), this.#of(`film.${i}.bias`)).reshape([batch, 1, 1, -1]);
      h = h.mul(film.narrow(3, 0, count).add(1)).add(film.narrow(3, count, count)).relu();
      if (i === KEYPOINT_LAYER) keypoints = this.#keypoints(h);
    });
    const positions = h.reshape([batch, -1, channels[channels.length - 1]]);
    const pooled = concat([keypoints!, positions.max(1), positions.mean(1)], 1);
    return pooled.linear(this.#of("hidden.weight"), this.#of("hidden.bias")).relu()
      .linear(this.#of("hidden2.weight"), this.#of("hidden2.bias")).relu()
      .linear(this.#of("out.weight"), this.#of("out.bias")).reshape([batch]);
  }

  /**
   * The words of an instruction as numbers [V], 1 where a word occurs.
   *
   * @throws {RangeError} When the judge does not know a word: it was not trained on such a task.
   */
  wordVector(instruction: string): Float32Array {
    const vector = new Float32Array(this.config.words.length);
    for (const word of instructionWords(instruction)) {
      const index = this.#wordIndex.get(word);
      if (index === undefined) {
        throw new RangeError(
          `the judge was not trained on the word "${word}" of "${instruction}": it knows ${
            this.config.words.join(", ")
          }`,
        );
      }
      vector[index] = 1;
    }
    return vector;
  }

  /**
   * Probability of success of each episode.
   *
   * @throws {RangeError} When a frame has another size, or an instruction a word that the judge does not know.
   */
  async judge(episodes: readonly JudgedEpisode[]): Promise<Float32Array> {
    const out = new Float32Array(episodes.length);
    for (let from = 0; from < episodes.length; from += BATCH) {
      const some = episodes.slice(from, from + BATCH);
      const probabilities = tidy(() => {
        const { first, final, words } = this.batch(some);
        return this.logits(first, final, words).sigmoid();
      });
      out.set(await probabilities.data() as Float32Array, from);
      probabilities.dispose();
    }
    return out;
  }

  /** Episodes as the tensors that {@linkcode SuccessClassifier.logits} takes. @throws {RangeError} As `judge` does. */
  batch(episodes: readonly JudgedEpisode[]): { first: Tensor; final: Tensor; words: Tensor } {
    const { height, width, words } = this.config, size = height * width * 3, count = episodes.length;
    const first = new Float32Array(count * size), final = new Float32Array(count * size);
    const vectors = new Float32Array(count * words.length);
    episodes.forEach((episode, i) => {
      for (const [bytes, target] of [[episode.first, first], [episode.final, final]] as const) {
        if (bytes.length !== size) {
          throw new RangeError(`the judge needs frames of ${height} × ${width} × 3 bytes: received ${bytes.length}`);
        }
        for (let p = 0; p < size; p++) target[i * size + p] = bytes[p] / 255;
      }
      vectors.set(this.wordVector(episode.instruction), i * words.length);
    });
    const { engine } = this;
    return {
      first: tensor(engine, first, [count, height, width, 3]),
      final: tensor(engine, final, [count, height, width, 3]),
      words: tensor(engine, vectors, [count, words.length]),
    };
  }

  /** Gives the parameters back. */
  dispose(): void {
    disposeParameters(this.parameters);
  }

  /** [B, 2K]: where each of K learned maps of some features [B, H, W, C] has its weight, as column and row. */
  #keypoints(features: Tensor): Tensor {
    const [batch, rows, columns] = features.shape, positions = rows * columns;
    const maps = features.linear(this.#of("attend.weight"), this.#of("attend.bias"));
    const weights = maps.reshape([batch, positions, KEYPOINTS]).permute([0, 2, 1]).softmax();
    const places = coordinates(this.engine, rows, columns).reshape([1, positions, 2]);
    return weights.matmul(places.broadcastTo([batch, positions, 2])).mul(PLACE_SCALE).reshape([batch, 2 * KEYPOINTS]);
  }

  #of(name: string): Tensor {
    return this.parameters.get(name)!;
  }
}

const MODEL_TYPE = "success_classifier";

/** Names and shapes of all parameters, weights before their biases. */
function shapesOf({ words, channels, hiddenSize }: Required<SuccessClassifierConfig>): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  const add = (name: string, shape: number[]) => {
    shapes.set(`${name}.weight`, shape);
    shapes.set(`${name}.bias`, [shape[0]]);
  };
  channels.forEach((count, i) => {
    add(`conv.${i}`, [count, i === 0 ? INPUT_CHANNELS : channels[i - 1], 3, 3]);
    add(`film.${i}`, [2 * count, words.length]);
  });
  add("attend", [KEYPOINTS, channels[KEYPOINT_LAYER]]);
  add("hidden", [hiddenSize, 2 * KEYPOINTS + 2 * channels[channels.length - 1]]);
  add("hidden2", [hiddenSize, hiddenSize]);
  add("out", [1, hiddenSize]);
  return shapes;
}

/** [1, H, W, 2]: column and row of each pixel, each from −0.5 to 0.5. */
function coordinates(engine: Engine, height: number, width: number): Tensor {
  const places = new Float32Array(height * width * 2);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      places.set([(column + 0.5) / width - 0.5, (row + 0.5) / height - 0.5], (row * width + column) * 2);
    }
  }
  return tensor(engine, places, [1, height, width, 2]);
}

function checkedConfig(given: SuccessClassifierConfig): Required<SuccessClassifierConfig> {
  const { height, width, words, channels = CHANNELS, hiddenSize = HIDDEN } = given;
  for (
    const [name, size, least] of [["height", height, 8], ["width", width, 8], ["hiddenSize", hiddenSize, 1]] as const
  ) {
    if (!Number.isInteger(size) || size < least) {
      throw new RangeError(`${name} must be a whole number of at least ${least}: received ${size}`);
    }
  }
  if (
    !Array.isArray(channels) || channels.length <= KEYPOINT_LAYER ||
    channels.some((each) => !Number.isInteger(each) || each < 1)
  ) {
    throw new RangeError(`channels must be at least two positive whole numbers: received ${JSON.stringify(channels)}`);
  }
  if (!Array.isArray(words) || words.length === 0 || words.some((word) => typeof word !== "string")) {
    throw new RangeError(`words must be a list of at least one word: received ${JSON.stringify(words)}`);
  }
  const twice = words.find((word, i) => words.indexOf(word) !== i);
  if (twice !== undefined) throw new RangeError(`words must differ: received "${twice}" twice`);
  return { height, width, words: [...words], channels: [...channels], hiddenSize };
}
