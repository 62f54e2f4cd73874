/**
 * Derivatives: the value of a function of tensors and its gradients, on any engine.
 *
 * How they are found is the engine's affair (C++ autograd on torch, a tape on tfjs).
 */
import { isFloating, shapeText } from "./dtype.ts";
import type { Engine } from "./engine.ts";
import { tidy } from "./scope.ts";
import { Tensor } from "./tensor.ts";

/**
 * What `valueAndGrad` returns.
 *
 * @internal
 */
export interface ValueAndGradients<A> {
  /** The loss, a scalar. */
  value: Tensor;
  /** One gradient a leaf, in order, of the leaf's shape and type; zeros where the loss does not depend on it. */
  gradients: Tensor[];
  /** What the function returned beside its loss. */
  aux: A;
}

/**
 * Computes a scalar loss and its gradients.
 *
 * Tensors that `fn` makes are freed, but for the loss and those in `aux`, which come back detached from the gradient.
 *
 * @param fn Returns the loss, or `{ loss, aux }`, where aux may hold tensors in arrays, maps and plain objects. Synchronous.
 * @param leaves What to differentiate by: tensors made outside `fn`, or with `detach` when calls are nested.
 * @param options.createGraph The results can be differentiated again by an enclosing `valueAndGrad`.
 * @throws {RangeError} When the loss is not one floating number, or there are no leaves.
 * @throws {TypeError} When a leaf is not floating or lives on another engine, or the function returns something else.
 */
export function valueAndGrad<A = undefined>(
  fn: () => Tensor | { loss: Tensor; aux: A },
  leaves: readonly Tensor[],
  { createGraph = false } = {},
): ValueAndGradients<A> {
  if (leaves.length === 0) throw new RangeError("valueAndGrad: needs at least one leaf: received none");
  const engine: Engine = leaves[0].engine;
  checkLeaves(engine, leaves);
  return tidy(() => {
    let aux: A = undefined as A;
    const auxTensors: Tensor[] = [];
    const shapes: Tensor[] = [];
    const result = engine.gradients(
      () => {
        const out = fn();
        const loss = out instanceof Tensor ? out : out.loss;
        if (!(out instanceof Tensor)) aux = out.aux;
        if (!(loss instanceof Tensor)) {
          throw new TypeError("valueAndGrad: the function must return a tensor or { loss, aux }, and not a promise");
        }
        if (loss.size !== 1 || !isFloating(loss.dtype)) {
          throw new RangeError(
            `valueAndGrad: the loss must be one floating number: received ${loss.dtype} ${shapeText(loss.shape)}`,
          );
        }
        collectTensors(aux, auxTensors);
        shapes.push(loss);
        return { loss, aux: auxTensors };
      },
      leaves,
      createGraph,
    );
    const value = new Tensor(engine, result.loss, shapes[0].shape, shapes[0].dtype);
    const gradients = result.gradients.map((handle, i) => new Tensor(engine, handle, leaves[i].shape, leaves[i].dtype));
    const renewed = new Map(
      auxTensors.map((each, i) => [each, new Tensor(engine, result.aux[i], each.shape, each.dtype)] as const),
    );
    return { value, gradients, aux: replaceTensors(aux, renewed) as A };
  });
}

function checkLeaves(engine: Engine, leaves: readonly Tensor[]): void {
  if (engine.closed) throw new Error(`valueAndGrad: the ${engine.name} engine of this tensor has been closed`);
  leaves.forEach((leaf, i) => {
    if (leaf.engine !== engine) throw new TypeError(`valueAndGrad: leaves 0 and ${i} live on different engines`);
    if (!isFloating(leaf.dtype)) throw new TypeError(`valueAndGrad: leaf ${i} of type ${leaf.dtype} has no gradient`);
    void leaf.handle;
  });
}

function collectTensors(value: unknown, found: Tensor[]): void {
  if (value instanceof Tensor) { if (!found.includes(value)) found.push(value); }
  else if (Array.isArray(value)) { for (const each of value) collectTensors(each, found); }
  else if (value instanceof Map) { for (const each of value.values()) collectTensors(each, found); }
  else if (isPlainObject(value)) { for (const each of Object.values(value)) collectTensors(each, found); }
}

function replaceTensors(value: unknown, by: Map<Tensor, Tensor>): unknown {
  if (value instanceof Tensor) return by.get(value);
  if (Array.isArray(value)) return value.map((each) => replaceTensors(each, by));
  if (value instanceof Map) return new Map([...value].map(([key, each]) => [key, replaceTensors(each, by)]));
  if (isPlainObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, replaceTensors(each, by)]));
  }
  return value;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
