/**
 * AdamW over named parameters, and what goes with gradients: their norm and their accumulation.
 *
 * The update itself is one engine operator for all parameters. Learning rate and gradient scale are arguments of each
 * step: schedules and clipping live with the caller, who reads the norm once and decides what to do when it is not finite.
 */
import type { HostTensor } from "../io/safetensors.ts";
import { keep, tidy } from "../tensor/scope.ts";
import { adamW, squaredNorm, type Tensor, zeros } from "../tensor/tensor.ts";
import { loadInto, type Parameters, toHost } from "./parameters.ts";

/** Hyper-parameters of AdamW; PyTorch's defaults where there are any. */
export interface AdamWSettings {
  /** Step length where a step names no other. */
  learningRate: number;
  /** Decay of the first moment. @default {0.9} */
  beta1?: number;
  /** Decay of the second moment. @default {0.999} */
  beta2?: number;
  /** Added to the root of the second moment. @default {1e-8} */
  epsilon?: number;
  /** Decoupled: parameters shrink by learningRate · weightDecay each step, whatever their gradient. */
  weightDecay: number;
}

/**
 * What must be saved to go on with an optimizer.
 *
 * @internal
 */
export interface OptimizerState {
  /** Number of updates made. */
  stepCount: number;
  /** First moments `exp_avg.NAME` and second moments `exp_avg_sq.NAME`. */
  tensors: Map<string, HostTensor>;
}

/**
 * Gradients by parameter name, or in the order of the parameters.
 *
 * @internal
 */
export type Gradients = ReadonlyMap<string, Tensor> | readonly Tensor[];

/** Adam with decoupled weight decay (Loshchilov & Hutter 2019), as `torch.optim.AdamW`. */
export class AdamW {
  readonly #parameters: Parameters;
  readonly #settings: Required<AdamWSettings>;
  readonly #first: Parameters;
  readonly #second: Parameters;
  #stepCount = 0;

  /**
   * An optimizer that has made no update: moments are zero.
   *
   * @param parameters float32; the optimizer changes their numbers in place and does not own them.
   * @throws {RangeError} When a setting is out of its range or there are no parameters.
   * @throws {TypeError} When a parameter is not float32.
   */
  constructor(parameters: Parameters, settings: AdamWSettings) {
    const { learningRate, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay } = settings;
    checkAtLeast("learningRate", learningRate, 0);
    checkBeta("beta1", beta1);
    checkBeta("beta2", beta2);
    checkAtLeast("epsilon", epsilon, 0);
    checkAtLeast("weightDecay", weightDecay, 0);
    if (parameters.size === 0) throw new RangeError("AdamW needs at least one parameter: received none");
    for (const [name, parameter] of parameters) {
      if (parameter.dtype !== "float32") {
        throw new TypeError(`AdamW keeps float32 master parameters: received ${parameter.dtype} for '${name}'`);
      }
    }
    this.#parameters = parameters;
    this.#settings = { learningRate, beta1, beta2, epsilon, weightDecay };
    const moments = () =>
      new Map(
        [...parameters].map(([name, parameter]) => [name, keep(zeros(parameter.engine, parameter.shape))] as const),
      );
    this.#first = moments();
    this.#second = moments();
  }

  /** Updates made so far, those before a resumed checkpoint included. */
  get stepCount(): number {
    return this.#stepCount;
  }

  /**
   * One update of every parameter, in place.
   *
   * @param gradients One for each parameter. Not disposed of; with a scale other than 1, what is left in them is undefined.
   * @throws {RangeError} When a gradient is missing or of another shape.
   */
  step(gradients: Gradients, { learningRate, gradientScale = 1 }: {
    /** Instead of the settings' rate. */
    learningRate?: number;
    /** Every gradient is multiplied by this first: {@linkcode clipScale} bounds their norm. Default: 1. */
    gradientScale?: number;
  } = {}): void {
    const names = [...this.#parameters.keys()];
    const ordered = gradients instanceof Map
      ? names.map((name) => gradients.get(name))
      : names.map((_, i) => (gradients as readonly Tensor[])[i]);
    const absent = ordered.findIndex((gradient) => gradient === undefined);
    const count = gradients instanceof Map ? gradients.size : (gradients as readonly Tensor[]).length;
    if (absent >= 0 || count !== names.length) {
      throw new RangeError(
        `AdamW.step needs one gradient for each of ${names.length} parameters: received ${count}` +
          (absent >= 0 ? `, none for '${names[absent]}'` : ""),
      );
    }
    const { learningRate: rate, beta1, beta2, epsilon, weightDecay } = this.#settings;
    adamW(
      [...this.#parameters.values()],
      ordered as Tensor[],
      [...this.#first.values()],
      [...this.#second.values()],
      {
        learningRate: learningRate ?? rate,
        beta1,
        beta2,
        epsilon,
        weightDecay,
        step: this.#stepCount + 1,
        gradientScale,
      },
    );
    this.#stepCount++;
  }

  /** Reads the moments and the count of updates. */
  async stateToHost(): Promise<OptimizerState> {
    return { stepCount: this.#stepCount, tensors: await toHost(this.#moments()) };
  }

  /**
   * Goes on where a saved optimizer stopped.
   *
   * @param source What the state was read from, for messages.
   * @throws {UserError} When the state belongs to other parameters.
   */
  async loadState(state: OptimizerState, source = "the optimizer's state"): Promise<void> {
    if (!(Number.isSafeInteger(state.stepCount) && state.stepCount >= 0)) {
      throw new RangeError(`${source}: stepCount must be a whole number of at least 0: received ${state.stepCount}`);
    }
    await loadInto(this.#moments(), state.tensors, { source });
    this.#stepCount = state.stepCount;
  }

  /** Gives the moments back. The parameters stay. */
  dispose(): void {
    for (const moment of [...this.#first.values(), ...this.#second.values()]) moment.dispose();
  }

  #moments(): Parameters {
    return new Map([
      ...[...this.#first].map(([name, moment]) => [`exp_avg.${name}`, moment] as const),
      ...[...this.#second].map(([name, moment]) => [`exp_avg_sq.${name}`, moment] as const),
    ]);
  }
}

/** The L2 norm of all gradients together: a scalar tensor, so that reading it is the only wait. */
export function globalNorm(gradients: Gradients): Tensor {
  return tidy(() => squaredNorm(tensorsOf(gradients)).sqrt());
}

/** What gradients of a norm are multiplied by so that it is at most `maxNorm`, as PyTorch's `clip_grad_norm_` does. */
export function clipScale(norm: number, maxNorm: number): number {
  return Math.min(1, maxNorm / (norm + 1e-6));
}

function tensorsOf(gradients: Gradients): readonly Tensor[] {
  return gradients instanceof Map ? [...gradients.values()] : gradients as readonly Tensor[];
}

function checkAtLeast(name: string, value: number, least: number): void {
  if (!(Number.isFinite(value) && value >= least)) {
    throw new RangeError(`${name} must be at least ${least}: received ${value}`);
  }
}

function checkBeta(name: string, value: number): void {
  if (!(value >= 0 && value < 1)) throw new RangeError(`${name} must be from 0 to below 1: received ${value}`);
}
