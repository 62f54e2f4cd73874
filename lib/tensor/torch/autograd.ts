/**
 * Gradients by LibTorch's own C++ autograd.
 *
 * Recording is off except inside `gradients`. There the leaves are switched to require gradients for the time of the call,
 * `aten::_backward` leaves each leaf's gradient beside the leaf, and from there it is taken without a copy. The call goes
 * through the dispatcher, so that running out of memory in the backward pass is an error and not the end of the process.
 */
import type { Differentiated } from "../engine.ts";
import { tidy } from "../scope.ts";
import type { Tensor } from "../tensor.ts";
import { addressOf, type Context, handleOf, lend } from "./context.ts";
import { type Borrowed, operator, type Owned } from "./dispatcher.ts";
import type { TorchHandle } from "./memory.ts";
import { withoutWarnings } from "./warnings.ts";

const BACKWARD = operator("aten::_backward");
const DETACH = operator("aten::detach");
const ZEROS_LIKE = operator("aten::zeros_like");

export interface Gradients {
  loss: TorchHandle;
  aux: TorchHandle[];
  gradients: TorchHandle[];
}

/** Tensors that a running call differentiates by: how many calls each. */
const activeLeaves = new WeakMap<TorchHandle, number>();

export function gradients(
  c: Context,
  fn: () => Differentiated,
  leaves: readonly Tensor[],
  createGraph: boolean,
): Gradients {
  checkLeaves(c, leaves);
  const unique = [...new Set(leaves.map(handleOf))];
  const { torch } = c.library;
  const switched: TorchHandle[] = [];
  try {
    begin(c, createGraph);
    try {
      for (const leaf of unique) {
        activeLeaves.set(leaf, (activeLeaves.get(leaf) ?? 0) + 1);
        switched.push(leaf);
        if (activeLeaves.get(leaf) === 1) {
          c.call.check(torch.torch_set_requires_grad(leaf.address, true), "set_requires_grad");
        }
      }
      // What `fn` made and does not return is freed before the backward pass; autograd keeps what it needs.
      const { loss, aux } = tidy(fn);
      if (requiresGrad(c, addressOf(loss))) {
        // An enclosing recording may need what this graph shares with it.
        backward(c, loss, unique, createGraph || c.recording > 1, createGraph);
      }
      return collect(c, loss, aux, leaves, createGraph);
    } finally {
      end(c, createGraph);
    }
  } finally {
    for (const leaf of switched) release(c, leaf);
  }
}

function begin(c: Context, createGraph: boolean): void {
  c.recording++;
  if (createGraph) c.recordingTwice++;
  if (c.recording === 1) c.library.torch.aoti_torch_grad_mode_set_enabled(true);
}

function end(c: Context, createGraph: boolean): void {
  c.recording--;
  if (createGraph) c.recordingTwice--;
  if (c.recording === 0) c.library.torch.aoti_torch_grad_mode_set_enabled(false);
}

/** Switches a leaf back when no enclosing call differentiates by it, and drops a gradient that was not taken. */
function release(c: Context, leaf: TorchHandle): void {
  const left = (activeLeaves.get(leaf) ?? 1) - 1;
  if (left > 0) {
    activeLeaves.set(leaf, left);
    return;
  }
  activeLeaves.delete(leaf);
  clearGradient(c, leaf);
  c.library.torch.torch_set_requires_grad(leaf.address, false);
}

/** `valueAndGrad` has checked types. A tensor that a running call computed is no leaf. */
function checkLeaves(c: Context, leaves: readonly Tensor[]): void {
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

function backward(c: Context, loss: Tensor, leaves: TorchHandle[], retainGraph: boolean, createGraph: boolean): void {
  const inputs = leaves.map((leaf) => lend(leaf.address));
  const call = c.call.tensor(loss).borrowAll(inputs).none();
  call.bool(retainGraph).some().bool(createGraph);
  if (createGraph) withoutWarnings(c.library, () => call.runVoid(BACKWARD));
  else call.runVoid(BACKWARD);
}

function collect(
  c: Context,
  loss: Tensor,
  aux: Tensor[],
  leaves: readonly Tensor[],
  createGraph: boolean,
): Gradients {
  const made: Owned[] = [];
  const take = <T extends Owned>(x: T): T => (made.push(x), x);
  try {
    const result = (x: Tensor) => take(createGraph ? c.another(addressOf(x)) : c.call.tensor(x).run(DETACH));
    const lossOut = result(loss), auxOut = aux.map(result);
    const found = new Map<TorchHandle, Owned>();
    const gradients = leaves.map((leaf) => {
      const handle = handleOf(leaf);
      const known = found.get(handle);
      const gradient = take(known === undefined ? takeGradient(c, handle) : c.another(lend(known)));
      if (known === undefined) found.set(handle, gradient);
      return gradient;
    });
    return {
      loss: c.view(lossOut, loss),
      aux: auxOut.map((each, i) => c.view(each, aux[i])),
      gradients: gradients.map((each) => c.own(each)),
    };
  } catch (error) {
    made.forEach((each) => c.free(each));
    throw error;
  }
}

/** The gradient that lies beside a leaf, taken away; zeros where there is none. */
function takeGradient(c: Context, leaf: TorchHandle): Owned {
  const beside = c.library.c10._ZNK3c1010TensorImpl4gradEv(implementation(lend(leaf.address))) as Borrowed;
  if (!c.isDefined(beside)) return c.call.borrow(lend(leaf.address)).nones(5).run(ZEROS_LIKE);
  const gradient = c.another(beside);
  clearGradient(c, leaf);
  if (!c.isWithoutMemory(lend(gradient))) return gradient;
  // A derivative that is zero everywhere may come as a tensor without memory.
  c.free(gradient);
  return c.call.borrow(lend(leaf.address)).nones(5).run(ZEROS_LIKE);
}

function clearGradient(c: Context, leaf: TorchHandle): void {
  const beside = c.library.c10._ZNK3c1010TensorImpl4gradEv(implementation(lend(leaf.address))) as Borrowed;
  if (!c.isDefined(beside)) return;
  const place = c.library.c10._ZN3c1010TensorImpl12mutable_gradEv(implementation(lend(leaf.address)));
  const nothing = c.undefinedTensor();
  c.library.torch.aoti_torch_assign_tensors(nothing, place);
  c.free(nothing);
}

function requiresGrad(c: Context, x: Borrowed): boolean {
  return c.library.c10._ZNK3c1010TensorImpl13requires_gradEv(implementation(x));
}

/** A reference is the address of an `at::Tensor`, which is one pointer: to its `c10::TensorImpl`. */
function implementation(x: Borrowed): bigint {
  return new Deno.UnsafePointerView(Deno.UnsafePointer.create(x)!).getBigUint64();
}
