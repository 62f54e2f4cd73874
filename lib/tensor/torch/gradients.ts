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
import type { Borrowed, Owned, TorchHandle } from "./memory.ts";
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
  // References of this call's own: a leaf that `fn` disposes of stays alive until the end.
  const held = new Map<TorchHandle, Owned>();
  const order = leaves.map(handleOf);
  try {
    begin(c, createGraph);
    try {
      for (const leaf of order) {
        if (held.has(leaf)) continue;
        const reference = c.another(lend(leaf.address));
        held.set(leaf, reference);
        activeLeaves.set(leaf, (activeLeaves.get(leaf) ?? 0) + 1);
        c.call.check(torch.torch_set_requires_grad(reference, true), "set_requires_grad");
      }
      // What `fn` made and does not return is freed before the backward pass; autograd keeps what it needs.
      const { loss, aux } = tidy(fn);
      if (c.closed) throw new Error("valueAndGrad: the torch engine was closed by the function");
      if (requiresGrad(c, addressOf(loss))) {
        // An enclosing recording may need what this graph shares with it.
        backward(c, loss, [...held.values()], createGraph || c.recording > 1, createGraph);
      }
      return collect(c, loss, aux, order.map((leaf) => held.get(leaf)!), createGraph);
    } finally {
      end(c, createGraph);
    }
  } finally {
    for (const [leaf, reference] of held) release(c, leaf, reference);
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
function release(c: Context, leaf: TorchHandle, reference: Owned): void {
  const left = (activeLeaves.get(leaf) ?? 1) - 1;
  if (left > 0) {
    activeLeaves.set(leaf, left);
  } else {
    activeLeaves.delete(leaf);
    if (gradientBeside(c, lend(reference)) !== undefined) clearGradient(c, lend(reference));
    c.library.torch.torch_set_requires_grad(reference, false);
  }
  c.free(reference);
}

/** `valueAndGrad` has checked types. A tensor that a running call computed is no leaf. */
function checkLeaves(c: Context, leaves: readonly Operand[]): void {
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

function backward(c: Context, loss: Operand, leaves: Owned[], retainGraph: boolean, createGraph: boolean): void {
  const call = c.call.tensor(loss).borrowAll(leaves.map(lend)).none();
  call.bool(retainGraph).some().bool(createGraph);
  if (createGraph) withoutWarnings(c.library, () => call.runVoid(BACKWARD));
  else call.runVoid(BACKWARD);
}

function collect(
  c: Context,
  loss: Operand,
  aux: Operand[],
  leaves: readonly Owned[],
  createGraph: boolean,
): Gradients {
  const made: Owned[] = [];
  const take = <T extends Owned>(x: T): T => (made.push(x), x);
  try {
    const result = (x: Operand) => take(createGraph ? c.another(addressOf(x)) : c.call.tensor(x).run(DETACH));
    const lossOut = result(loss), auxOut = aux.map(result);
    const found = new Map<Owned, Owned>();
    const gradients = leaves.map((leaf) => {
      const known = found.get(leaf);
      const gradient = take(known === undefined ? takeGradient(c, lend(leaf)) : copyOf(c, lend(known)));
      found.set(leaf, gradient);
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

function copyOf(c: Context, x: Borrowed): Owned {
  return c.call.borrow(x).none().run(CLONE);
}

/** The gradient that lies beside a leaf, taken away; zeros where there is none. */
function takeGradient(c: Context, leaf: Borrowed): Owned {
  const beside = gradientBeside(c, leaf);
  if (beside === undefined) return zerosLike(c, leaf);
  const gradient = c.another(beside);
  clearGradient(c, leaf);
  if (!c.isWithoutMemory(lend(gradient))) return gradient;
  // A derivative that is zero everywhere may come as a tensor without memory.
  c.free(gradient);
  return zerosLike(c, leaf);
}

function zerosLike(c: Context, x: Borrowed): Owned {
  return c.call.borrow(x).nones(5).run(ZEROS_LIKE);
}

function gradientBeside(c: Context, leaf: Borrowed): Borrowed | undefined {
  const beside = c.library.c10._ZNK3c1010TensorImpl4gradEv(implementation(leaf)) as Borrowed;
  return c.isDefined(beside) ? beside : undefined;
}

function clearGradient(c: Context, leaf: Borrowed): void {
  const place = c.library.c10._ZN3c1010TensorImpl12mutable_gradEv(implementation(leaf));
  c.library.torch.aoti_torch_assign_tensors(c.nothing, place);
}

function requiresGrad(c: Context, x: Borrowed): boolean {
  return c.library.c10._ZNK3c1010TensorImpl13requires_gradEv(implementation(x));
}

/** A reference is the address of an `at::Tensor`, which is one pointer: to its `c10::TensorImpl`. */
function implementation(x: Borrowed): bigint {
  return new Deno.UnsafePointerView(Deno.UnsafePointer.create(x)!).getBigUint64();
}
