/**
 * Operators with rules of our own for their gradients, on tfjs' tape. `gradients.ts` walks back over it.
 */
import { alias, internals, type tf, unrecorded } from "./runtime.ts";

/** An operator with a gradient of its own. */
export interface Rule {
  name: string;
  /** What is differentiated. */
  inputs: Record<string, tf.Tensor>;
  /** Computes the result, and what else `save` wants; not recorded. */
  forward: () => tf.Tensor | [out: tf.Tensor, ...rest: tf.Tensor[]];
  /** What `gradient` needs beside dy, given what `forward` returned. */
  save?: (out: tf.Tensor, ...rest: tf.Tensor[]) => tf.Tensor[];
  /** The gradients of the wanted inputs (more do no harm). */
  gradient: (dy: tf.Tensor, saved: tf.Tensor[], wanted: ReadonlySet<string>) => Record<string, tf.Tensor>;
  /** The gradient is not made of recorded operators: it cannot be differentiated again. */
  onceOnly?: boolean;
}

let graphDepth = 0;

/** Whether gradients that are being recorded may be differentiated again (`createGraph` of an enclosing call). */
export function inGraph(): boolean {
  return graphDepth > 0;
}

/** Runs `fn`, whose gradients may be differentiated again. */
export function withinGraph<T>(fn: () => T): T {
  graphDepth++;
  try {
    return fn();
  } finally {
    graphDepth--;
  }
}

/** Runs an operator and records its rule. */
export function operator(rule: Rule): tf.Tensor {
  const recording = internals.isTapeOn();
  const made = unrecorded(() => internals.tidy(rule.forward));
  const [out, ...rest] = Array.isArray(made) ? made : [made];
  if (!recording) return out;
  const sources = rule.save?.(out, ...rest) ?? [];
  // A clone on the tape lets second derivatives flow back through what was saved.
  const saved = unrecorded(() =>
    sources.map((each) => internals.keep(rule.onceOnly ? alias(each) : internals.clone(each)))
  );
  internals.state.activeTape!.push({
    id: internals.state.nextTapeNodeId++,
    kernelName: rule.name,
    inputs: rule.inputs,
    outputs: [out],
    saved,
    derive: (dy, wanted) => {
      if (rule.onceOnly && internals.isTapeOn()) {
        throw new Error(`${rule.name}: was computed outside the createGraph call that differentiates it twice`);
      }
      return rule.gradient(dy, saved, wanted);
    },
  });
  return out;
}
