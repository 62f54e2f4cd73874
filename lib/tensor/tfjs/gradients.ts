/**
 * Gradients: the walk back over tfjs' tape.
 *
 * tfjs records; we walk. Its own walk keeps every intermediate gradient until the end, follows booleans and integers into
 * operators that have no gradient, and throws where the loss does not depend on a leaf; ours does none of these.
 */
import type { Differentiated, Engine, Operand } from "../engine.ts";
import { tidy } from "../scope.ts";
import type { Context } from "./context.ts";
import { alias, internals, type TapeNode, tf, unrecorded } from "./runtime.ts";
import { withinGraph } from "./tape.ts";

export function gradients(c: Context) {
  return {
    gradients(fn, leaves, createGraph) {
      const run = () => differentiate(fn, leaves, createGraph);
      const { loss, aux, gradients } = createGraph ? withinGraph(run) : run();
      return {
        loss: c.own(loss),
        aux: aux.map((each) => c.own(each)),
        gradients: gradients.map((each) => c.own(each)),
      };
    },
  } satisfies Partial<Engine>;
}

/**
 * The tape with every node behind those that make its inputs: tfjs records the copy that it saves of a result before the
 * operator that makes the result.
 */
function inOrder(tape: TapeNode[]): TapeNode[] {
  const madeAt = new Map<number, number>();
  tape.forEach((node, i) => node.outputs.forEach((output) => madeAt.set(output.id, i)));
  const late = new Map<number, TapeNode[]>();
  const ordered: TapeNode[] = [];
  tape.forEach((node, i) => {
    let after = i;
    for (const name in node.inputs) after = Math.max(after, madeAt.get(node.inputs[name].id) ?? i);
    if (after === i) ordered.push(node, ...late.get(i) ?? []);
    else late.set(after, [...late.get(after) ?? [], node]);
  });
  return ordered;
}

/** The nodes on a way from a leaf to the loss, each with the names of the inputs that lie on it. */
function nodesBetween(tape: TapeNode[], leaves: tf.Tensor[], loss: tf.Tensor): [TapeNode, Set<string>][] {
  const reached = new Set<number>(leaves.map((leaf) => leaf.id));
  const forward: [TapeNode, Set<string>][] = [];
  for (const node of inOrder(tape)) {
    const wanted = new Set<string>();
    for (const name in node.inputs) {
      const input = node.inputs[name];
      if (input.dtype === "float32" && reached.has(input.id)) wanted.add(name);
    }
    if (wanted.size === 0) continue;
    let floating = false;
    for (const output of node.outputs) {
      if (output.dtype !== "float32") continue;
      reached.add(output.id);
      floating = true;
    }
    if (floating) forward.push([node, wanted]);
  }
  const leading = new Set<number>([loss.id]);
  const between: [TapeNode, Set<string>][] = [];
  for (let i = forward.length - 1; i >= 0; i--) {
    const [node, wanted] = forward[i];
    if (!node.outputs.some((output) => leading.has(output.id))) continue;
    for (const name of wanted) leading.add(node.inputs[name].id);
    between.push(forward[i]);
  }
  return between;
}

/** Gradients of one node's wanted inputs. */
function deriveNode(node: TapeNode, dys: (tf.Tensor | null)[], wanted: Set<string>): Record<string, tf.Tensor> {
  if (node.derive) return node.derive(dys[0]!, wanted);
  if (!node.gradient) throw new Error(`${node.kernelName}: has no gradient on the tfjs engine`);
  const lazy = node.gradient(dys);
  const found: Record<string, tf.Tensor> = {};
  for (const name of wanted) found[name] = lazy[name]();
  return found;
}

/** Walks back from the loss; returns one gradient a leaf, undefined where the loss does not depend on it. */
function walkBack(tape: TapeNode[], leaves: tf.Tensor[], loss: tf.Tensor, frees: boolean): (tf.Tensor | undefined)[] {
  const isLeaf = new Set(leaves.map((leaf) => leaf.id));
  const gradients = new Map<number, tf.Tensor>([[loss.id, tf.onesLike(loss)]]);
  for (const [node, wanted] of nodesBetween(tape, leaves, loss)) {
    const dys = node.outputs.map((output) => gradients.get(output.id) ?? null);
    if (dys.every((dy) => dy === null)) continue;
    const found = internals.tidy(() => deriveNode(node, dys, wanted));
    const used = new Set<tf.Tensor>();
    for (const name of wanted) {
      let dx = found[name];
      // One tensor must not stand for two gradients: each is freed on its own.
      if (used.has(dx) || dys.includes(dx)) dx = tf.clone(dx);
      used.add(dx);
      const id = node.inputs[name].id;
      const before = gradients.get(id);
      if (!before) gradients.set(id, dx);
      else {
        gradients.set(id, tf.add(before, dx));
        if (frees) {
          before.dispose();
          dx.dispose();
        }
      }
    }
    if (!frees) continue;
    node.saved?.forEach((each) => each.dispose());
    node.outputs.forEach((output, i) => {
      if (isLeaf.has(output.id) || dys[i] === null) return;
      gradients.delete(output.id);
      dys[i]!.dispose();
    });
  }
  return leaves.map((leaf) => gradients.get(leaf.id));
}

/** What `Engine.gradients` promises, on tfjs' tape. All results are new and belong to the caller. */
function differentiate(
  fn: () => Differentiated,
  leaves: readonly Operand[],
  createGraph: boolean,
): { loss: tf.Tensor; aux: tf.Tensor[]; gradients: tf.Tensor[] } {
  const state = internals.state;
  const nested = state.gradientDepth > 0;
  // A recording inside an unrecorded stretch (a rule's forward) must record all the same.
  const kernelDepth = state.kernelDepth;
  state.kernelDepth = 0;
  internals.startScope("gradients");
  internals.startTape();
  const start = state.activeTape!.length;
  const keepsGraph = createGraph && nested;
  let open = true;
  const results: { loss: tf.Tensor; aux: tf.Tensor[]; gradients: tf.Tensor[] } = {
    loss: undefined as unknown as tf.Tensor,
    aux: [],
    gradients: [],
  };
  try {
    // What the tape does not need is freed here, before the walk back.
    const { loss, aux } = tidy(fn);
    internals.endTape();
    open = false;
    const lossHandle = loss.handle as tf.Tensor;
    const handles = leaves.map((leaf) => leaf.handle as tf.Tensor);
    const walk = () => walkBack(state.activeTape!, handles, lossHandle, !nested);
    const found = keepsGraph ? walk() : unrecorded(walk);
    results.gradients = handles.map((handle, i) => found[i] ? own(found[i], keepsGraph) : tf.zerosLike(handle));
    results.loss = own(lossHandle, keepsGraph);
    results.aux = aux.map((each) => own(each.handle as tf.Tensor, keepsGraph));
  } finally {
    if (open) internals.endTape();
    if (!keepsGraph && state.activeTape) {
      for (const node of state.activeTape.splice(start)) node.saved?.forEach((each) => each.dispose());
    }
    if (!nested) state.activeTape = null;
    internals.endScope([results.loss, ...results.aux, ...results.gradients]);
    state.kernelDepth = kernelDepth;
  }
  return results;
}

function own(x: tf.Tensor, connected: boolean): tf.Tensor {
  return connected ? tf.clone(x) : alias(x);
}
