/**
 * LoRA (Hu et al. 2021): linear layers W of a frozen model become W + s · B · A, and only A and B are trained.
 *
 * This file holds the pairs of a model and gives them in the two forms that the model multiplies with: beside the frozen
 * weight, x·Wᵀ + (x·Aᵀ)·(s·B)ᵀ, which needs no gradient of W's size, and added into a copy of W. It does not know what a
 * block is; layers are names, as PEFT names them. Files are `models/lora_files.ts`.
 *
 * s is alpha / rank, or alpha / √rank with `rsLora` (Kalajdzievski 2023). A and B are float32 whatever type W has.
 *
 * Axis letters: r rank, R ranks of several layers together.
 */
import { STREAM } from "../base/streams.ts";
import type { DType, Shape } from "../tensor/dtype.ts";
import type { Engine } from "../tensor/engine.ts";
import { Philox } from "../tensor/random.ts";
import { tidy } from "../tensor/scope.ts";
import { concat, type Tensor } from "../tensor/tensor.ts";
import { constantInitial, uniformInitial } from "./initializers.ts";
import { disposeParameters, type Parameters } from "./parameters.ts";

/**
 * What to adapt, and how strongly.
 *
 * @internal
 */
export interface LoraOptions {
  /** r, the rank of A and B (PEFT's `r`). */
  rank: number;
  /** α, which sets the scale α/r (PEFT's `lora_alpha`). */
  alpha: number;
  /**
   * PEFT's `target_modules`: ends of layers' names (`q_proj`, `self_attn.q_proj`, `model.layers.0.mlp.up_proj`), or
   * `all-linear`, which is every linear layer but the projection to the vocabulary.
   */
  targets: readonly string[] | "all-linear";
  /** PEFT's `use_rslora`: scale by alpha / √rank. @default {false} */
  rsLora?: boolean;
  /** Of the run; A is drawn from it. */
  seed: number;
}

/** Low-rank part of a linear layer: what x·downᵀ·upᵀ adds to its result. */
export interface LowRank {
  /** A, [R, in]. */
  down: Tensor;
  /** [out, R]; the scale is in it. */
  up: Tensor;
}

/**
 * Names and shapes of the pairs that options ask for: `LAYER.lora_A.weight` [r, in] and `LAYER.lora_B.weight` [out, r].
 *
 * @param linear Shapes [out, in] of the model's linear layers by name; those that may be targets.
 * @throws {RangeError} When the rank is out of its range or a target names no layer.
 */
export function loraShapes(
  linear: ReadonlyMap<string, Shape>,
  { rank, targets }: Pick<LoraOptions, "rank" | "targets">,
): Map<string, Shape> {
  if (!(Number.isInteger(rank) && rank >= 1)) {
    throw new RangeError(`LoRA: rank must be a whole number of at least 1: received ${rank}`);
  }
  return new Map(
    matchTargets([...linear.keys()], targets).flatMap((layer): [string, Shape][] => {
      const [out, width] = linear.get(layer)!;
      return [[`${layer}.lora_A.weight`, [rank, width]], [`${layer}.lora_B.weight`, [out, rank]]];
    }),
  );
}

/**
 * The pairs A, B of a model's adapted layers, and whether they are computed with, merged, or left out.
 *
 * @internal
 */
export class LoraAdapters {
  /** The options that the adapters were made with. */
  readonly options: Readonly<LoraOptions>;
  /** s, what B·A is multiplied by. */
  readonly scale: number;
  /** Names of the adapted layers, in the model's order. */
  readonly layers: readonly string[];
  /** `LAYER.lora_A.weight` [r, in] and `LAYER.lora_B.weight` [out, r]: kept, float32, in the model's order. */
  readonly parameters: Parameters = new Map();
  #isMerged = false;
  /** How many calls of `leftOut` are running. */
  #leftOut = 0;

  /**
   * New pairs: A uniform within 1/√in (PEFT's Kaiming with a = √5), B zero, so that nothing changes at first.
   *
   * @param linear Shapes [out, in] of the model's linear layers by name; those that may be targets.
   * @throws {RangeError} When an option is out of its range or a target names no layer.
   */
  constructor(engine: Engine, linear: ReadonlyMap<string, Shape>, options: LoraOptions) {
    const { rank, alpha, rsLora = false, seed } = options, shapes = loraShapes(linear, options);
    if (!(Number.isFinite(alpha) && alpha > 0)) {
      throw new RangeError(`LoRA: alpha must be above 0: received ${alpha}`);
    }
    this.options = options;
    this.scale = alpha / (rsLora ? Math.sqrt(rank) : rank);
    this.layers = matchTargets([...linear.keys()], options.targets);
    const numbers = new Map([...linear.keys()].map((name, i) => [name, i]));
    for (const layer of this.layers) {
      const [down, up] = [`${layer}.lora_A.weight`, `${layer}.lora_B.weight`];
      // A layer's number does not depend on which others are adapted.
      const random = new Philox(seed, STREAM.adapterWeights, numbers.get(layer)!), width = linear.get(layer)![1];
      this.parameters.set(down, uniformInitial(engine, shapes.get(down)!, random, 1 / Math.sqrt(width)));
      this.parameters.set(up, constantInitial(engine, shapes.get(up)!, 0));
    }
  }

  /** Whether this layer is adapted. */
  has(layer: string): boolean {
    return this.parameters.has(`${layer}.lora_A.weight`);
  }

  /** s · B · A of an adapted layer: [out, in], float32. */
  delta(layer: string): Tensor {
    const [a, b] = this.#pair(layer);
    return tidy(() => b.mul(this.scale).matmul(a));
  }

  /**
   * W + s · B · A, differentiable by A and B; W itself where the layer is not adapted.
   *
   * @param dtype Of the sum; W's own when left out.
   */
  added(layer: string, weight: Tensor, dtype: DType = weight.dtype): Tensor {
    if (!this.has(layer)) return weight;
    return tidy(() => {
      const wide = widened(weight);
      return as(wide.add(as(this.delta(layer), wide.dtype)), dtype);
    });
  }

  /**
   * The low-rank part of linear layers over the same input whose results lie side by side; none where no layer of them is
   * adapted. Differentiable by A and B.
   *
   * @param layers Names and widths (out) of the layers.
   * @param dtype Type of the result.
   */
  beside(layers: readonly (readonly [layer: string, out: number])[], dtype: DType): LowRank | undefined {
    const adapted = layers.filter(([layer]) => this.has(layer));
    if (adapted.length === 0) return undefined;
    return tidy(() => {
      const total = layers.reduce((sum, [, out]) => sum + out, 0);
      const downs: Tensor[] = [], ups: Tensor[] = [];
      let before = 0;
      for (const [layer, out] of layers) {
        if (this.has(layer)) {
          const [a, b] = this.#pair(layer);
          const up = b.mul(this.scale);
          downs.push(a);
          // Each layer's own rows and ranks; zero elsewhere.
          ups.push(out === total ? up : up.pad([[before, total - before - out], [0, 0]]));
        }
        before += out;
      }
      return {
        down: as(downs.length > 1 ? concat(downs) : downs[0], dtype),
        up: as(ups.length > 1 ? concat(ups, 1) : ups[0], dtype),
      };
    });
  }

  /** Whether the model is to add the low-rank parts: neither merged nor left out. */
  get isActive(): boolean {
    return !this.#isMerged && this.#leftOut === 0;
  }

  /** Whether s · B · A is in the model's weights. */
  get isMerged(): boolean {
    return this.#isMerged;
  }

  /**
   * Adds s · B · A into the weights of `parameters`, in place.
   *
   * @throws {Error} When it is there already, or an adapted layer has no weight of its own (a tied `lm_head`).
   */
  merge(parameters: Parameters): void {
    if (this.#isMerged) throw new Error("LoRA: the adapters are merged already");
    const absent = this.layers.find((layer) => !parameters.has(`${layer}.weight`));
    if (absent) {
      throw new Error(`LoRA: ${absent} cannot be merged: its weight is another layer's too (tied embeddings)`);
    }
    this.#addTo(parameters, 1);
    this.#isMerged = true;
  }

  /**
   * Takes s · B · A out of the weights again, which are then as before but for rounding.
   *
   * @throws {Error} When it is not there.
   */
  unmerge(parameters: Parameters): void {
    if (!this.#isMerged) throw new Error("LoRA: the adapters are not merged");
    this.#addTo(parameters, -1);
    this.#isMerged = false;
  }

  /**
   * Runs `fn` while the adapters are not active.
   *
   * @param fn May be asynchronous; until it is done, whoever uses the model gets it without adapters.
   * @throws {Error} When the adapters are merged.
   */
  leftOut<T>(fn: () => T): T {
    if (this.#isMerged) throw new Error("LoRA: merged adapters cannot be left out: unmerge them first");
    this.#leftOut++;
    const done = () => void this.#leftOut--;
    let result: T | undefined;
    try {
      result = fn();
    } finally {
      if (!(result instanceof Promise)) done();
    }
    return result instanceof Promise ? result.finally(done) as T : result;
  }

  #addTo(parameters: Parameters, sign: 1 | -1): void {
    for (const layer of this.layers) {
      const weight = parameters.get(`${layer}.weight`)!;
      tidy(() => {
        const wide = widened(weight), delta = as(this.delta(layer), wide.dtype);
        weight.assign(as(sign === 1 ? wide.add(delta) : wide.sub(delta), weight.dtype));
      });
    }
  }

  /** Gives A and B back. */
  dispose(): void {
    disposeParameters(this.parameters);
  }

  #pair(layer: string): [a: Tensor, b: Tensor] {
    return [this.parameters.get(`${layer}.lora_A.weight`)!, this.parameters.get(`${layer}.lora_B.weight`)!];
  }
}

/**
 * The layers that PEFT's `target_modules` names: those whose name is a target or ends with `.` and a target.
 *
 * @throws {RangeError} When a target names no layer, or there is no target.
 */
export function matchTargets(layers: readonly string[], targets: readonly string[] | "all-linear"): string[] {
  if (targets === "all-linear") return layers.filter((layer) => layer !== "lm_head");
  if (targets.length === 0) throw new RangeError(`LoRA: targets must name at least one layer: received none`);
  const names = (layer: string, target: string) => layer === target || layer.endsWith(`.${target}`);
  for (const target of targets) {
    if (!layers.some((layer) => names(layer, target))) {
      const kinds = [...new Set(layers.map((layer) => layer.slice(layer.lastIndexOf(".") + 1)))];
      throw new RangeError(
        `LoRA: target ${JSON.stringify(target)} names no linear layer of this model: use ${
          kinds.join(", ")
        } or "all-linear"`,
      );
    }
  }
  return layers.filter((layer) => targets.some((target) => names(layer, target)));
}

/** In a type in which a small change is not lost: float32 at least. */
function widened(weight: Tensor): Tensor {
  return as(weight, weight.dtype === "float64" ? "float64" : "float32");
}

function as(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : x.cast(dtype);
}
