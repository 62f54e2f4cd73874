/**
 * LPIPS: how far two images look from each other, as the distance of a VGG16's features, weighted per channel.
 *
 * Weights are the user's: torchvision's VGG16 (its classifier is skipped), and the linear layers that either
 * taming-transformers (`vgg.pth`, the one that released tokenizers and rewards use) or the `lpips` package publishes. Widths
 * are taken from the weights. Not trained here.
 *
 * Source: R. Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018.
 */
import { readPth } from "../io/pth.ts";
import { type HostTensor, toFloat32 } from "../io/safetensors.ts";
import { openWeights } from "../io/safetensors_folder.ts";
import { UserError } from "../base/user_error.ts";
import { plainName } from "../io/weight_names.ts";
import { disposeParameters, type Parameters } from "../nn/parameters.ts";
import type { Engine } from "../tensor/engine.ts";
import { keep, tidy } from "../tensor/scope.ts";
import { concat, type Tensor, tensor } from "../tensor/tensor.ts";

/** Convolutions of VGG16 by torchvision's index, one list a stage; a stage ends where its features are compared. */
const STAGES = [[0, 2], [5, 7], [10, 12, 14], [17, 19, 21], [24, 26, 28]] as const;
const SHIFT = [-0.030, -0.088, -0.188], SCALE = [0.458, 0.448, 0.450];
const EPSILON = 1e-10;

/** Where the weights lie. */
export interface LpipsPaths {
  /** VGG16's convolutions, `features.{i}.weight` and `.bias`: a `.pth` or `.safetensors` file. */
  vgg: string;
  /** The linear layers, `lin{k}.model.1.weight`: a `.pth` or `.safetensors` file; may be the same file. */
  linear: string;
}

/** The perceptual distance with one set of weights. */
export class Lpips {
  /** The engine that holds the weights and computes. */
  readonly engine: Engine;
  readonly #weights: Parameters;

  private constructor(engine: Engine, weights: Parameters) {
    this.engine = engine;
    this.#weights = weights;
  }

  /**
   * Reads the two weight files, `.pth` or safetensors.
   *
   * @throws {UserError} When a file is missing, or is not what it should be: says which tensor is missing or misshapen.
   */
  static async load(engine: Engine, { vgg, linear }: LpipsPaths): Promise<Lpips> {
    const features = await readWeights(vgg);
    const lines = linear === vgg ? features : await readWeights(linear);
    return Lpips.fromHost(engine, features, lines, { vgg, linear });
  }

  /**
   * Makes it of weights in memory, by the names of the two files.
   *
   * @param vgg Names as torchvision's (`features.0.weight`) or the `lpips` package's (`net.slice1.0.weight`).
   * @param linear Names as taming-transformers' and the `lpips` package's (`lin0.model.1.weight`).
   * @param paths For messages.
   * @throws {UserError} When a tensor is missing or misshapen.
   */
  static fromHost(
    engine: Engine,
    vgg: ReadonlyMap<string, HostTensor>,
    linear: ReadonlyMap<string, HostTensor>,
    paths: LpipsPaths = { vgg: "the VGG16 weights", linear: "the LPIPS weights" },
  ): Lpips {
    const found = new Map<string, HostTensor>();
    for (const [name, each] of vgg) {
      const convolution = /^(?:features|net\.slice\d)\.(\d+)\.(weight|bias)$/.exec(plainName(name));
      if (convolution) found.set(`features.${convolution[1]}.${convolution[2]}`, each);
    }
    for (const [name, each] of linear) {
      const line = /^lin(\d)\.model\.1\.weight$/.exec(plainName(name));
      if (line) found.set(`lin${line[1]}`, each);
    }
    const take = (path: string, name: string, wanted: string, fits: (shape: number[]) => boolean): HostTensor => {
      const each = found.get(name);
      const shown = name.startsWith("lin") ? `${name}.model.1.weight` : name;
      if (!each) throw new UserError(`${path}: tensor '${shown}' is missing: ${sourceOf(name)}`);
      if (!fits(each.shape)) {
        throw new UserError(`${path}: tensor '${shown}' must be ${wanted}: received [${each.shape.join(", ")}]`);
      }
      return each;
    };
    const checked = new Map<string, HostTensor>();
    let input = 3;
    STAGES.forEach((stage, k) => {
      for (const index of stage) {
        const name = `features.${index}.weight`, channels = input;
        const weight = take(
          paths.vgg,
          name,
          `[O, ${channels}, 3, 3]`,
          ([, i, h, w, more]) => i === channels && h === 3 && w === 3 && more === undefined,
        );
        input = weight.shape[0];
        const output = input;
        checked.set(name, weight);
        const bias = `features.${index}.bias`;
        checked.set(bias, take(paths.vgg, bias, `[${output}]`, (shape) => shape.length === 1 && shape[0] === output));
      }
      const output = input;
      checked.set(
        `lin${k}`,
        take(
          paths.linear,
          `lin${k}`,
          `[1, ${output}, 1, 1]`,
          (shape) => shape.length === 4 && shape[1] === output && shape[0] * shape[2] * shape[3] === 1,
        ),
      );
    });
    const weights: Parameters = new Map(
      [...checked].map(([name, host]) => {
        const shape = name.startsWith("lin") ? [host.shape[1]] : host.shape;
        return [name, keep(tensor(engine, toFloat32(host), shape))];
      }),
    );
    return new Lpips(engine, weights);
  }

  /**
   * Distance of each pair of images: float32 [B], 0 for equal images. Differentiable in both.
   *
   * @param a float32 [B, H, W, 3] in [0, 1], H and W at least 16.
   * @param b Of the same shape.
   * @throws {RangeError} When shapes differ or images are too small.
   */
  distance(a: Tensor, b: Tensor, { imagesPerChunk }: {
    /** Most pairs computed at once; all when left out. Memory for 256 × 320 pixels is about 0.25 GB a pair. */
    imagesPerChunk?: number;
  } = {}): Tensor {
    const [count, height, width, channels] = a.shape;
    if (a.rank !== 4 || channels !== 3 || `${a.shape}` !== `${b.shape}` || height < 16 || width < 16) {
      throw new RangeError(
        `lpips: needs two images [B, H, W, 3] of one shape, at least 16 pixels wide and high: received ` +
          `[${a.shape.join(", ")}] and [${b.shape.join(", ")}]`,
      );
    }
    const size = imagesPerChunk ?? count;
    if (!(Number.isInteger(size) && size >= 1)) {
      throw new RangeError(`imagesPerChunk must be a positive integer: received ${imagesPerChunk}`);
    }
    return tidy(() => {
      const parts: Tensor[] = [];
      for (let start = 0; start < count; start += size) {
        const length = Math.min(size, count - start);
        parts.push(tidy(() => this.#distance(a.narrow(0, start, length), b.narrow(0, start, length))));
      }
      return concat(parts);
    });
  }

  /** Frees the weights. */
  dispose(): void {
    disposeParameters(this.#weights);
  }

  #distance(a: Tensor, b: Tensor): Tensor {
    let x = this.#normalizeInput(a), y = this.#normalizeInput(b), total: Tensor | undefined;
    for (let stage = 0; stage < STAGES.length; stage++) {
      x = this.#stage(x, stage);
      y = this.#stage(y, stage);
      const difference = unitChannels(x).sub(unitChannels(y)).square();
      const distance = difference.mul(this.#weights.get(`lin${stage}`)!).sum(-1).mean([1, 2]);
      total = total === undefined ? distance : total.add(distance);
    }
    return total!;
  }

  #stage(x: Tensor, stage: number): Tensor {
    let h = stage === 0 ? x : x.maxPool2x2();
    for (const index of STAGES[stage]) {
      const weight = this.#weights.get(`features.${index}.weight`)!,
        bias = this.#weights.get(`features.${index}.bias`)!;
      h = h.conv2d(weight, bias, { stride: 1, padding: [1, 1, 1, 1] }).relu();
    }
    return h;
  }

  /** [0, 1] → [−1, 1] → the ImageNet statistics that VGG16 was trained with. */
  #normalizeInput(x: Tensor): Tensor {
    const shift = tensor(this.engine, SHIFT, [3], "float32"), scale = tensor(this.engine, SCALE, [3], "float32");
    return x.mul(2).sub(1).sub(shift).div(scale);
  }
}

/**
 * Each position's features divided by their length. Where all are zero the tiny number under the root keeps the gradient
 * zero instead of undefined; it changes no value.
 */
function unitChannels(x: Tensor): Tensor {
  return x.div(x.square().sum(-1, true).add(EPSILON * EPSILON).sqrt().add(EPSILON));
}

async function readWeights(path: string): Promise<ReadonlyMap<string, HostTensor>> {
  if (!/\.safetensors$/.test(path)) return await readPth(path);
  using reader = await openWeights(path);
  const tensors = new Map<string, HostTensor>();
  for (const name of reader.names) {
    // VGG16's classifier is 90 % of the file.
    if (!name.startsWith("classifier.")) tensors.set(name, await reader.read(name));
  }
  return tensors;
}

function sourceOf(name: string): string {
  return name.startsWith("lin")
    ? "use vgg.pth of taming-transformers or of the lpips package"
    : "use torchvision's VGG16 (vgg16-397923af.pth), not a VGG16 with batch normalization";
}
