/**
 * Loading `@tensorflow/tfjs-node-gpu` from the folder that `deno task install-tfjs-node` fills.
 *
 * Only the addon, its kernels and its backend are taken from the package; the tfjs that they register with is the one that
 * already runs here. SavedModels are run by the addon alone, beside any backend: `saved_model.ts`.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import nodeUtil from "node:util";
import { UserError } from "../../base/user_error.ts";
import { BRIDGE, findInstallation, installationFolder, NOT_INSTALLED } from "./location.ts";
import { tf } from "./runtime.ts";

/** What was loaded. */
export interface TfjsNode {
  /** TensorFlow's version. */
  tensorflow: string;
  /** Whether TensorFlow computes on a GPU. */
  usesGpu: boolean;
}

/** What is used of the addon. Tensors and models are named by numbers that it gives. */
export interface TfjsNodeAddon {
  /** TensorFlow's version. */
  TF_Version: string;
  /** Whether TensorFlow computes on a GPU. */
  isUsingGpuDevice(): boolean;
  /** A tensor of the caller's, by TensorFlow's number of its type. */
  createTensor(shape: number[], dtype: number, values: ArrayBufferView | Uint8Array[]): number;
  /** A tensor's elements; texts as bytes. */
  tensorDataSync(id: number): ArrayBufferView | Uint8Array[];
  /** Frees a tensor. */
  deleteTensor(id: number): void;
  /** Loads the graph with the given tags. */
  loadSavedModel(folder: string, tags: string): number;
  /** Operations by name, separated by commas; each output is a tensor of the caller's. */
  runSavedModel(
    id: number,
    inputs: number[],
    inputNames: string,
    outputNames: string,
  ): { id: number; shape: number[]; dtype: number }[];
  /** Frees a model. */
  deleteSavedModel(id: number): void;
}

let loaded: TfjsNode | undefined;
let loadedAddon: TfjsNodeAddon | undefined;

/**
 * Registers the `tensorflow` backend with tfjs, once a process.
 *
 * @throws {UserError} When it has not been installed, or does not load.
 */
export function loadTfjsNode(): TfjsNode {
  if (loaded) return loaded;
  const installation = findInstallation();
  if (!installation) throw new UserError(NOT_INSTALLED);
  const folder = join(installationFolder(), "package");
  const load = createRequire(join(folder, "package.json"));
  // TensorFlow greets on the console otherwise.
  if (Deno.env.get("TF_CPP_MIN_LOG_LEVEL") === undefined) Deno.env.set("TF_CPP_MIN_LOG_LEVEL", "2");
  let addon: TfjsNodeAddon;
  try {
    addon = load("./lib/napi-v8/tfjs_binding.node");
  } catch (error) {
    throw new UserError(
      `tfjs: TensorFlow in ${installation.tensorflow} does not load (${(error as Error).message.split("\n")[0]}): ` +
        "run deno task install-tfjs-node --force",
    );
  }
  (globalThis as unknown as Record<symbol, unknown>)[Symbol.for(BRIDGE)] = tf;
  // The package calls two functions that newer runtimes dropped.
  const util = nodeUtil as unknown as Record<string, unknown>;
  util.isNullOrUndefined ??= (x: unknown) => x === null || x === undefined;
  util.isArray ??= Array.isArray;
  load("./dist/register_all_kernels.js");
  loadedAddon = addon;
  const { NodeJSKernelBackend } = load("./dist/nodejs_kernel_backend.js");
  tf.registerBackend("tensorflow", () => new NodeJSKernelBackend(addon, "tfjs-node-gpu"), 3);
  loaded = { tensorflow: addon.TF_Version, usesGpu: addon.isUsingGpuDevice() };
  return loaded;
}

/**
 * The addon itself, for what needs no backend.
 *
 * @throws {UserError} As {@linkcode loadTfjsNode} does.
 */
export function tfjsNodeAddon(): TfjsNodeAddon {
  loadTfjsNode();
  return loadedAddon!;
}
