/**
 * The patch discriminator of tokenizer training (Paella's): convolutions of stride 2 with spectral normalization, instance
 * normalization after all but the first, leaky ReLU, and one logit a remaining position; with its hinge losses and the
 * penalty on the length of its gradient.
 *
 * Names follow `torch.nn.utils.spectral_norm` (`weight_orig`, `weight_u`, `weight_v`); files with PyTorch's newer
 * parametrization names load as well. The forward pass changes nothing: the power iteration, which PyTorch hides in the
 * forward pass of training mode, is a call of its own, because in-place changes and gradients do not mix.
 *
 * Sources: D. Rampas et al. 2022 (Paella); T. Miyato et al. 2018 (spectral normalization); J. H. Lim and J. C. Ye 2017 (hinge).
 */
import { STREAM } from "../base/streams.ts";
import type { HostTensor } from "../io/safetensors.ts";
import { uniformInitial } from "../nn/initializers.ts";
import { disposeParameters, loadInto, type Parameters, toHost } from "../nn/parameters.ts";
import type { Engine } from "../tensor/engine.ts";
import { valueAndGrad } from "../tensor/gradient.ts";
import { Philox } from "../tensor/random.ts";
import { keep, tidy } from "../tensor/scope.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/** Sizes of a discriminator. */
export interface DiscriminatorConfig {
  /** Channels that the convolutions double up to; a multiple of 2^max(depth − 3, 3). */
  hiddenChannels: number;
  /** Number of convolutions, each halving the resolution. */
  depth: number;
}

/** The released discriminator (spec of the per-frame tokenizer's training). */
export const RELEASED_DISCRIMINATOR: DiscriminatorConfig = Object.freeze({ hiddenChannels: 512, depth: 6 });

/** Whether images are large enough: their last feature map needs two positions, or its normalization sees a single one. */
export function isSeenByDiscriminator({ depth }: DiscriminatorConfig, height: number, width: number): boolean {
  return Math.ceil(height / 2 ** depth) * Math.ceil(width / 2 ** depth) >= 2;
}

const SLOPE = 0.2;
const INSTANCE_EPSILON = 1e-5, SPECTRAL_EPSILON = 1e-12;

/** Scores patches of images: high for real ones. */
export class Discriminator {
  readonly engine: Engine;
  readonly config: DiscriminatorConfig;
  /** What is trained: kept float32 tensors by PyTorch's names. */
  readonly parameters: Parameters;
  /** Vectors of the power iterations, `…weight_u` and `…weight_v`: state, but not trained. */
  readonly buffers: Parameters;

  private constructor(engine: Engine, config: DiscriminatorConfig, parameters: Parameters, buffers: Parameters) {
    this.engine = engine;
    this.config = config;
    this.parameters = parameters;
    this.buffers = buffers;
  }

  /**
   * A discriminator with first weights as PyTorch draws them.
   *
   * @throws {RangeError} When a size is out of its range.
   */
  static initialize(
    engine: Engine,
    given: Partial<DiscriminatorConfig>,
    { seed }: { seed: number },
  ): Discriminator {
    const config = { ...RELEASED_DISCRIMINATOR, ...given };
    const widths = widthsOf(config);
    const parameters: Parameters = new Map(), buffers: Parameters = new Map();
    let stream = 0;
    const draw = () => new Philox(seed, STREAM.discriminatorWeights, stream++);
    const add = (weight: string, bias: string, output: number, input: number, kernel: number) => {
      const bound = 1 / Math.sqrt(input * kernel * kernel);
      parameters.set(weight, uniformInitial(engine, [output, input, kernel, kernel], draw(), bound));
      parameters.set(bias, uniformInitial(engine, [output], draw(), bound));
    };
    widths.forEach((output, i) => {
      const input = i === 0 ? 3 : widths[i - 1], name = `encoder.${layerIndex(i)}`;
      add(`${name}.weight_orig`, `${name}.bias`, output, input, 3);
      for (const [part, length] of [["u", output], ["v", input * 9]] as const) {
        const start = draw().fillNormal(new Float32Array(length));
        const norm = Math.hypot(...start);
        buffers.set(`${name}.weight_${part}`, keep(tensor(engine, start.map((each) => each / norm), [length])));
      }
    });
    add("shuffle.weight", "shuffle.bias", 1, widths[widths.length - 1], 1);
    return new Discriminator(engine, config, parameters, buffers);
  }

  /**
   * One power iteration of every layer, in place: PyTorch makes one before each forward pass of training.
   */
  powerIterate(): void {
    for (let i = 0; i < this.config.depth; i++) {
      tidy(() => {
        const { matrix, u, v } = this.#layer(i);
        v.assign(unit(u.reshape([1, -1]).matmul(matrix).reshape([-1])));
        u.assign(unit(matrix.matmul(v.reshape([-1, 1])).reshape([-1])));
      });
    }
  }

  /**
   * Logits float32 [B, H / 2^depth, W / 2^depth, 1] (rounded up) of images float32 [B, H, W, 3]. Differentiable, twice.
   *
   * @throws {RangeError} When the image is so small that an instance normalization would see a single position.
   */
  logits(images: Tensor): Tensor {
    const [, height, width, channels] = images.shape;
    if (images.rank !== 4 || channels !== 3 || !isSeenByDiscriminator(this.config, height, width)) {
      throw new RangeError(
        `discriminator: needs images [B, H, W, 3] that ${this.config.depth} halvings leave more than one position: ` +
          `received [${images.shape.join(", ")}]: lower depth`,
      );
    }
    let h = images;
    for (let i = 0; i < this.config.depth; i++) {
      const { weight, matrix, u, v, bias } = this.#layer(i);
      const spectralNorm = matrix.matmul(v.reshape([-1, 1])).reshape([-1]).mul(u).sum();
      h = h.conv2d(weight.div(spectralNorm), bias, { stride: 2, padding: [1, 1, 1, 1] });
      h = (i === 0 ? h : instanceNormalization(h)).leakyRelu(SLOPE);
    }
    const weight = this.parameters.get("shuffle.weight")!, bias = this.parameters.get("shuffle.bias")!;
    return h.conv2d(weight, bias, { stride: 1, padding: [0, 0, 0, 0] });
  }

  /** Parameters and buffers for a file. */
  async toHost(): Promise<Map<string, HostTensor>> {
    return await toHost(new Map([...this.parameters, ...this.buffers]));
  }

  /**
   * Overwrites parameters and buffers.
   *
   * @param source Where the numbers come from, for messages.
   * @throws {UserError} When they belong to a discriminator of another shape.
   */
  async loadHost(host: ReadonlyMap<string, HostTensor>, source: string): Promise<void> {
    const renamed = new Map([...host].map(([name, each]) => [oldStyleName(name), each]));
    await loadInto(new Map([...this.parameters, ...this.buffers]), renamed, { source });
  }

  /** Gives parameters and buffers back. */
  dispose(): void {
    disposeParameters(this.parameters);
    disposeParameters(this.buffers);
  }

  #layer(i: number): { weight: Tensor; matrix: Tensor; u: Tensor; v: Tensor; bias: Tensor } {
    const name = `encoder.${layerIndex(i)}`;
    const weight = this.parameters.get(`${name}.weight_orig`)!;
    return {
      weight,
      matrix: weight.reshape([weight.shape[0], -1]),
      u: this.buffers.get(`${name}.weight_u`)!,
      v: this.buffers.get(`${name}.weight_v`)!,
      bias: this.parameters.get(`${name}.bias`)!,
    };
  }
}

/** mean(relu(1 + D(fake)) + relu(1 − D(real))) of logits of one shape. */
export function hingeLoss(fake: Tensor, real: Tensor): Tensor {
  return fake.add(1).relu().add(real.neg().add(1).relu()).mean();
}

/** −mean D(fake): what the generator lowers. */
export function generatorLoss(fake: Tensor): Tensor {
  return fake.mean().neg();
}

/**
 * mean((‖∂ΣD(images)/∂pixels‖₂ − 1)²), the length taken per image. Differentiable by the discriminator's parameters.
 *
 * @param images float32 [B, H, W, 3].
 */
export function gradientPenalty(discriminator: Discriminator, images: Tensor): Tensor {
  const pixels = images.detach();
  const { gradients: [slope] } = valueAndGrad(() => discriminator.logits(pixels).sum(), [pixels], {
    createGraph: true,
  });
  // The tiny number keeps the root's own gradient finite where the slope is zero.
  return slope.square().sum([1, 2, 3]).add(1e-20).sqrt().sub(1).square().mean();
}

/** Channels after each convolution. */
function widthsOf({ hiddenChannels, depth }: DiscriminatorConfig): number[] {
  if (!Number.isInteger(depth) || depth < 1) {
    throw new RangeError(`discriminator depth must be a positive integer: received ${depth}`);
  }
  const doublings = Math.max(depth - 3, 3);
  if (!Number.isInteger(hiddenChannels / 2 ** doublings) || hiddenChannels < 1) {
    throw new RangeError(`hiddenChannels must be a multiple of ${2 ** doublings}: received ${hiddenChannels}`);
  }
  return Array.from({ length: depth }, (_, i) => hiddenChannels / 2 ** Math.max(doublings - i, 0));
}

/** Place of convolution i in PyTorch's `Sequential`: the first is followed by an activation, the others by two layers. */
function layerIndex(i: number): number {
  return i === 0 ? 0 : 3 * i - 1;
}

/** Over each image's and channel's positions, biased variance, nothing learned. */
function instanceNormalization(x: Tensor): Tensor {
  const centred = x.sub(x.mean([1, 2], true));
  return centred.div(centred.square().mean([1, 2], true).add(INSTANCE_EPSILON).sqrt());
}

function unit(x: Tensor): Tensor {
  return x.div(x.square().sum().sqrt().maximum(SPECTRAL_EPSILON));
}

function oldStyleName(name: string): string {
  return name
    .replace(".parametrizations.weight.original", ".weight_orig")
    .replace(".parametrizations.weight.0._", ".weight_");
}
