/**
 * Starting tfjs' backends: which one is active in this process, and what people are told when one is missing.
 *
 * tfjs has one active backend a process. Engines of the same backend may coexist; another backend must wait until the last of
 * them has been closed.
 */
import { UserError } from "../../base/user_error.ts";
import { startKernels } from "./kernels.ts";
import { wrongKernels } from "./self_check.ts";
import { registerSlices } from "./slices.ts";
import { tf } from "./runtime.ts";
import { loadTfjsNode } from "./tfjs_node.ts";

/** Where tfjs computes. `cpu` is plain JavaScript, for tests. */
export type TfjsBackend = "wasm" | "tensorflow" | "webgpu" | "cpu";

/** What was found when a backend was started. */
export interface StartedBackend {
  device: string;
  version: string;
  description: string;
}

let active: TfjsBackend | undefined;
let users = 0;

/**
 * Makes a backend the active one.
 *
 * @throws {UserError} When another backend is in use, or this one cannot run here.
 */
export async function acquireBackend(backend: TfjsBackend): Promise<StartedBackend> {
  if (users > 0 && active !== backend) {
    throw new UserError(
      `tfjs: cannot open the ${backend} backend while an engine on ${active} is open (tfjs has one active backend a ` +
        `process): close that engine first`,
    );
  }
  users++;
  active = backend;
  try {
    const started = await start(backend);
    await tf.ready();
    return started;
  } catch (error) {
    users--;
    throw error;
  }
}

/** Says that an engine no longer uses the active backend. */
export function releaseBackend(): void {
  users--;
}

async function start(backend: TfjsBackend): Promise<StartedBackend> {
  const version = tf.version_core;
  switch (backend) {
    case "wasm": {
      await import("@tensorflow/tfjs-backend-wasm");
      shareIdentity("wasm");
      if (!await tf.setBackend("wasm")) throw new UserError("tfjs: the WASM backend did not start");
      registerSlices();
      startKernels();
      return { device: "cpu", version, description: `tfjs ${version} on WASM (CPU, one thread)` };
    }
    case "cpu":
      await tf.setBackend("cpu");
      // It would advise on the console to install another backend.
      (tf.backend() as unknown as { firstUse: boolean }).firstUse = false;
      return { device: "cpu", version, description: `tfjs ${version} in plain JavaScript (CPU, one thread)` };
    case "tensorflow": {
      const library = await loadTfjsNode();
      if (!await tf.setBackend("tensorflow")) throw new UserError("tfjs: the TensorFlow backend did not start");
      const device = library.usesGpu ? "gpu:0" : "cpu";
      return {
        device,
        version: library.tensorflow,
        description: `tfjs-node ${version} on TensorFlow ${library.tensorflow} (${library.usesGpu ? "GPU" : "CPU"})`,
      };
    }
    case "webgpu": {
      const adapter = await navigator.gpu?.requestAdapter();
      if (!adapter) {
        throw new UserError("tfjs: WebGPU finds no adapter on this machine: use another engine (deno task doctor)");
      }
      await import("@tensorflow/tfjs-backend-webgpu");
      if (!await tf.setBackend("webgpu")) throw new UserError("tfjs: the WebGPU backend did not start");
      const wrong = await wrongKernels();
      if (wrong.length > 0) {
        throw new UserError(
          `tfjs ${version} computes wrong numbers on WebGPU (${
            wrong.join(", ")
          }): use --engine wasm or another (deno task doctor)`,
        );
      }
      const name = adapter.info?.description || adapter.info?.vendor || "unnamed adapter";
      return { device: "webgpu", version, description: `tfjs ${version} on WebGPU (${name})` };
    }
  }
}

/** tfjs copies numbers whenever it saves a tensor for a gradient on this backend: lets it share them instead. */
function shareIdentity(backendName: string): void {
  tf.unregisterKernel("Identity", backendName);
  tf.registerKernel({
    kernelName: "Identity",
    backendName,
    kernelFunc: ({ inputs, backend }) => {
      const { x } = inputs as { x: tf.TensorInfo };
      (backend as unknown as { incRef(id: object): void }).incRef(x.dataId);
      return { dataId: x.dataId, shape: x.shape, dtype: x.dtype };
    },
  });
}
