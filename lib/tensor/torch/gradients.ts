/**
 * Gradients by LibTorch's own C++ autograd.
 *
 * Recording is off except inside `gradients`. There the leaves are switched to require gradients for the time of the call,
 * `aten::_backward` leaves each leaf's gradient beside the leaf, and from there it is taken without a copy. The call goes
 * through the dispatcher, so that running out of memory in the backward pass is an error and not the end of the process.
 */
import type { Differentiated, Engine, Operand } from "../engine.ts";
import { tidy } from "../scope.ts";
import { addressOf, type Context, handleOf, lend } from "./context.ts";
import { operator } from "./dispatcher.ts";
import { type Borrowed, implementationOf, type Owned, type TorchHandle } from "./memory.ts";
import { isDense } from "./strides.ts";
import type { Library } from "./symbols.ts";
import { withoutWarnings } from "./warnings.ts";

const BACKWARD = operator("aten::_backward");
const DETACH = operator("aten::detach");
const ZEROS_LIKE = operator("aten::zeros_like");
const CLONE = operator("aten::clone");

/** Tensors that a running call differentiates by: how many calls each. */
const activeLeaves = new WeakMap<TorchHandle, number>();

export function gradients(c: Context) {
  return {
    gradients: (fn, leaves, createGraph) => differentiate(c.open("gradients"), fn, leaves, createGraph),
  } satisfies Partial<Engine>;
}

interface Gradients {
  loss: TorchHandle;
  aux: TorchHandle[];
  gradients: TorchHandle[];
}

function differentiate(
  c: Context,
  fn: () => Differentiated,
  leaves: readonly Operand[],
  createGraph: boolean,
): Gradients {
  checkLeaves(c, leaves);
  const { torch } = c.library;
  // A leaf that `fn` disposes of stays alive until the end.
  const held = new Set<TorchHandle>();
  const order = leaves.map(handleOf);
  let isTaken = false;
  try {
    begin(c, createGraph);
    try {
      for (const leaf of order) {
        if (held.has(leaf)) continue;
        leaf.holds++;
        held.add(leaf);
        activeLeaves.set(leaf, (activeLeaves.get(leaf) ?? 0) + 1);
        c.call.check(torch.torch_set_requires_grad(leaf.address, true), "set_requires_grad");
      }
      // What `fn` made and does not return is freed before the backward pass; autograd keeps what it needs.
      const { loss, aux } = tidy(fn);
      if (c.closed) throw new Error("valueAndGrad: the torch engine was closed by the function");
      if (requiresGrad(c, addressOf(loss))) {
        // An enclosing recording may need what this graph shares with it.
        backward(c, loss, [...held].map((leaf) => lend(leaf.address)), createGraph || c.recording > 1, createGraph);
      }
      const collected = collect(c, loss, aux, leaves, order, createGraph);
      isTaken = true;
      return collected;
    } finally {
      end(c, createGraph);
    }
  } finally {
    for (const leaf of held) release(c, leaf, isTaken);
  }
}

function begin(c: Context, createGraph: boolean): void {
  c.recording++;
  if (createGraph) c.recordingTwice++;
  recordingsOfThread++;
  setMode(c.library);
}

function end(c: Context, createGraph: boolean): void {
  c.recording--;
  if (createGraph) c.recordingTwice--;
  recordingsOfThread--;
  setMode(c.library);
}

/** Whether LibTorch records belongs to the thread, not to an engine: calls of several engines may be nested. */
let recordingsOfThread = 0;

/** Switches LibTorch's recording on inside `gradients`, and off elsewhere: it starts switched on. */
export function setMode(library: Library): void {
  library.torch.aoti_torch_grad_mode_set_enabled(recordingsOfThread > 0);
}

/** Switches a leaf back when no enclosing call differentiates by it, and drops a gradient that was not taken. */
function release(c: Context, leaf: TorchHandle, isTaken: boolean): void {
  const left = (activeLeaves.get(leaf) ?? 1) - 1;
  if (left > 0) {
    activeLeaves.set(leaf, left);
  } else {
    activeLeaves.delete(leaf);
    if (!isTaken) c.library.torch.aoti_torch_assign_tensors(c.nothing, placeOfGradient(c, leaf));
    c.library.torch.torch_set_requires_grad(leaf.address, false);
  }
  c.letGo(leaf);
}

/** `valueAndGrad` has checked types. A tensor that a running call computed is no leaf. */
function checkLeaves(c: Context, leaves: readonly Operand[]): void {
  if (recordingsOfThread === 0) return;
  leaves.forEach((leaf, i) => {
    if (!activeLeaves.has(handleOf(leaf)) && requiresGrad(c, addressOf(leaf))) {
      throw new TypeError(
        `valueAndGrad: leaf ${i} of shape [${
          leaf.shape.join(", ")
        }] was computed inside a valueAndGrad: detach() it first`,
      );
    }
  });
}

function backward(
  c: Context,
  loss: Operand,
  leaves: readonly Borrowed[],
  retainGraph: boolean,
  createGraph: boolean,
): void {
  const call = c.call.tensor(loss).borrowAll(leaves).none();
  call.bool(retainGraph).some().bool(createGraph);
  if (createGraph) withoutWarnings(c.library, () => call.runVoid(BACKWARD));
  else call.runVoid(BACKWARD);
}

function collect(
  c: Context,
  loss: Operand,
  aux: Operand[],
  operands: readonly Operand[],
  handles: readonly TorchHandle[],
  createGraph: boolean,
): Gradients {
  const made: Owned[] = [];
  const take = <T extends Owned>(x: T): T => (made.push(x), x);
  try {
    const result = (x: Operand) => take(createGraph ? c.another(addressOf(x)) : c.call.tensor(x).run(DETACH));
    const lossOut = result(loss), auxOut = aux.map(result);
    const found = new Map<TorchHandle, Owned>();
    const gradients = handles.map((leaf) => {
      const known = found.get(leaf);
      const gradient = take(known === undefined ? takeGradient(c, leaf) : copyOf(c, lend(known)));
      found.set(leaf, gradient);
      return gradient;
    });
    return {
      loss: c.view(lossOut, loss),
      aux: auxOut.map((each, i) => c.view(each, aux[i])),
      gradients: gradients.map((each, i) => {
        if (createGraph) return c.own(each);
        // Of a first derivative LibTorch gives each leaf numbers of its own, laid out as the leaf's.
        const { shape, dtype } = operands[i], { strides } = handles[i];
        return c.ownDense(each, shape, dtype, strides && isDense(shape, strides) ? strides : undefined);
      }),
    };
  } catch (error) {
    made.forEach((each) => c.free(each));
    throw error;
  }
}

function copyOf(c: Context, x: Borrowed): Owned {
  return c.call.borrow(x).none().run(CLONE);
}

/** The gradient that lies beside a leaf, taken away; zeros where there is none. */
function takeGradient(c: Context, leaf: TorchHandle): Owned {
  const place = placeOfGradient(c, leaf);
  if (implementationOf(place) === implementationOf(c.nothing)) return zerosLike(c, lend(leaf.address));
  const gradient = c.another(place);
  c.library.torch.aoti_torch_assign_tensors(c.nothing, place);
  if (!c.isWithoutMemory(lend(gradient))) return gradient;
  // A derivative that is zero everywhere may come as a tensor without memory.
  c.free(gradient);
  return zerosLike(c, lend(leaf.address));
}

function zerosLike(c: Context, x: Borrowed): Owned {
  return c.call.borrow(x).nones(5).run(ZEROS_LIKE);
}

/** Where C++ autograd leaves a leaf's gradient. */
function placeOfGradient(c: Context, leaf: TorchHandle): Borrowed {
  return c.library.c10._ZN3c1010TensorImpl12mutable_gradEv(
    leaf.implementation ??= implementationOf(leaf.address),
  ) as Borrowed;
}

function requiresGrad(c: Context, x: Borrowed): boolean {
  return c.library.c10._ZNK3c1010TensorImpl13requires_gradEv(implementationOf(x));
}
