/**
 * The tfjs engine: every operator of the contract on tfjs' WASM, TensorFlow, WebGPU or plain JavaScript backend.
 *
 * This file opens it and says what it is; the operators are in the files beside it, which have the names of those of the torch
 * engine. What a backend lacks or gets wrong is composed there.
 */
import type { Engine } from "../engine.ts";
import { acquireBackend, type StartedBackend, type TfjsBackend } from "./backend.ts";
import { Context, KIND } from "./context.ts";
import { convolution } from "./convolution.ts";
import { elementwise } from "./elementwise.ts";
import { gradients } from "./gradients.ts";
import { host } from "./host.ts";
import { inPlace } from "./in_place.ts";
import { indexing } from "./indexing.ts";
import { normalization } from "./normalization.ts";
import { products } from "./products.ts";
import { reduction } from "./reduction.ts";
import { tf } from "./runtime.ts";
import { shapes } from "./shapes.ts";

/** An operator that none of the modules has is an error of type here. */
function composeEngine(backend: TfjsBackend, started: StartedBackend): Engine {
  const c = new Context();
  const engine: Engine = {
    name: "tfjs",
    backend,
    ...started,
    get closed() {
      return c.closed;
    },
    supports: (dtype) => KIND[dtype] !== undefined,
    release: (handle) => c.release(handle),
    async synchronize() {
      // Kernels of the other backends have finished when they return.
      if (backend !== "webgpu") return;
      const probe = tf.scalar(0);
      await probe.data();
      probe.dispose();
    },
    memory: () => c.memory(),
    resetPeak: () => c.resetPeak(),
    close: () => c.close(),
    ...host(c),
    ...elementwise(c),
    ...reduction(c),
    ...shapes(c),
    ...indexing(c),
    ...products(c),
    ...convolution(c),
    ...normalization(c),
    ...inPlace(c),
    ...gradients(c),
  };
  // A prototype's methods are found as fast as those of a class; those of a large object by hashing their names.
  return Object.create(engine);
}

/**
 * Opens tfjs on a backend: `wasm` runs everywhere; `tensorflow` needs `deno task install-tfjs-node`; `webgpu` needs an adapter.
 *
 * @throws {UserError} When the backend cannot run here, or an engine on another backend is open.
 */
export async function openTfjsEngine({ backend }: { backend: TfjsBackend }): Promise<Engine> {
  return composeEngine(backend, await acquireBackend(backend));
}
