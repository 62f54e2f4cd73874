/**
 * TensorFlow SavedModels, run by the addon of `@tensorflow/tfjs-node-gpu`. Only the addon takes part: no tfjs backend has
 * to be active, so a SavedModel runs beside an engine of any kind. Numbers go in and come out as arrays of this process;
 * nothing here is differentiable.
 */
import { cannotRead } from "../../io/random_access.ts";
import { UserError } from "../../base/user_error.ts";
import { readSavedGraph, SAVED_DTYPES, type SavedSignature, type SavedTensor } from "./saved_model_file.ts";
import { type TfjsNodeAddon, tfjsNodeAddon } from "./tfjs_node.ts";

/** Numbers or texts with a shape; int64 comes out as BigInt64Array and goes in as Int32Array. */
export interface SavedValue {
  /** Extents. */
  shape: number[];
  /** In C order. */
  data: Float32Array | Int32Array | Uint8Array | BigInt64Array | string[];
}

/** An output that TensorFlow holds, to be given to a model again. Call {@linkcode KeptValue.dispose} when done. */
export class KeptValue {
  /** The addon's number of it. */
  readonly id: number;
  readonly #addon: TfjsNodeAddon;
  #disposed = false;

  /** Takes over an output. */
  constructor(id: number, addon: TfjsNodeAddon) {
    this.id = id;
    this.#addon = addon;
  }

  /** Frees it; once is enough. */
  dispose(): void {
    if (!this.#disposed) this.#addon.deleteTensor(this.id);
    this.#disposed = true;
  }
}

/** The limit of protocol buffers. */
const MAX_GRAPH_BYTES = 2 ** 31;

/** A loaded SavedModel. Call {@linkcode SavedModel.dispose} when done. */
export class SavedModel implements Disposable {
  /** Its folder. */
  readonly folder: string;
  /** Its functions by name, such as `serving_default`. */
  readonly signatures: Readonly<Record<string, SavedSignature>>;
  readonly #addon: TfjsNodeAddon;
  #id: number | null;

  private constructor(folder: string, signatures: Record<string, SavedSignature>, addon: TfjsNodeAddon, id: number) {
    this.folder = folder;
    this.signatures = signatures;
    this.#addon = addon;
    this.#id = id;
  }

  /**
   * Loads the model in a folder (`saved_model.pb` and `variables/`).
   *
   * @throws {UserError} if tfjs-node is not installed, or the folder holds no SavedModel that TensorFlow loads.
   */
  static open(folder: string): SavedModel {
    const path = `${folder}/saved_model.pb`;
    let bytes: Uint8Array;
    try {
      const { isFile, size } = Deno.statSync(path);
      if (!isFile) throw new UserError(`cannot read ${path}: it is not a file`);
      if (size > MAX_GRAPH_BYTES) {
        throw new UserError(`${path} is no SavedModel: it has ${size} bytes, more than 2 GiB`);
      }
      bytes = Deno.readFileSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
        throw new UserError(`${folder} holds no SavedModel: there is no saved_model.pb in it`);
      }
      throw error instanceof UserError ? error : cannotRead(path, error);
    }
    const { tags, signatures } = readSavedGraph(bytes, path);
    const addon = tfjsNodeAddon();
    try {
      return new SavedModel(folder, signatures, addon, addon.loadSavedModel(folder, tags.join(",")));
    } catch (error) {
      throw new UserError(`${folder}: TensorFlow cannot load the SavedModel (${firstLine(error)})`);
    }
  }

  /**
   * Runs a function.
   *
   * @param inputs one value for each input of the signature.
   * @param outputs the names of the outputs wanted; all without it.
   * @throws {UserError} if there is no such function, an input or output is missing or of another type, or it fails.
   */
  run(
    signature: string,
    inputs: Record<string, SavedValue | KeptValue>,
    outputs?: readonly string[],
  ): Record<string, SavedValue> {
    return this.runKeeping(signature, inputs, outputs, []).values;
  }

  /**
   * Runs a function; some outputs stay where they are, to go in again. They may be of any type that TensorFlow knows, and
   * nothing is copied.
   *
   * @param keep the names of the outputs to keep; each is the caller's to dispose of.
   * @throws {UserError} as {@linkcode SavedModel.run} does.
   */
  runKeeping(
    signature: string,
    inputs: Record<string, SavedValue | KeptValue>,
    outputs: readonly string[] | undefined,
    keep: readonly string[],
  ): { values: Record<string, SavedValue>; kept: Record<string, KeptValue> } {
    if (this.#id === null) throw new Error(`the SavedModel of ${this.folder} has been disposed`);
    const wanted = this.signatures[signature];
    if (wanted === undefined) {
      const there = Object.keys(this.signatures).join(", ") || "none";
      throw new UserError(`${this.folder} has no signature ${signature}: it has ${there}`);
    }
    const inputNames = Object.keys(wanted.inputs);
    const outputNames = [...outputs ?? Object.keys(wanted.outputs), ...keep],
      readCount = outputNames.length - keep.length;
    const missing = inputNames.find((name) => inputs[name] === undefined);
    if (missing !== undefined) throw new UserError(`${this.folder}: ${signature} needs a value for ${missing}`);
    const unknown = outputNames.find((name) => wanted.outputs[name] === undefined);
    if (unknown !== undefined) throw new UserError(`${this.folder}: ${signature} has no output ${unknown}`);
    const made: number[] = [];
    let results: { id: number; shape: number[] }[] = [];
    try {
      const ids = inputNames.map((name) => {
        const value = inputs[name];
        if (value instanceof KeptValue) return value.id;
        made.push(this.#create(name, wanted.inputs[name], value));
        return made.at(-1)!;
      });
      results = this.#addon.runSavedModel(
        this.#id,
        ids,
        inputNames.map((name) => wanted.inputs[name].operation).join(","),
        outputNames.map((name) => wanted.outputs[name].operation).join(","),
      );
      made.push(...results.slice(0, readCount).map(({ id }) => id));
      const read = results.slice(0, readCount).map(({ id, shape }, i) => [outputNames[i], this.#read(id, shape)]);
      const kept = results.slice(readCount).map(({ id }, i) => [keep[i], new KeptValue(id, this.#addon)]);
      return { values: Object.fromEntries(read), kept: Object.fromEntries(kept) };
    } catch (error) {
      made.push(...results.slice(readCount).map(({ id }) => id));
      if (error instanceof UserError) throw error;
      throw new UserError(`${this.folder}: ${signature} failed (${firstLine(error)})`);
    } finally {
      for (const id of made) this.#addon.deleteTensor(id);
    }
  }

  /** Frees the model. */
  dispose(): void {
    if (this.#id !== null) this.#addon.deleteSavedModel(this.#id);
    this.#id = null;
  }

  /** Same as {@linkcode SavedModel.dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #create(name: string, { dtype }: SavedTensor, { shape, data }: SavedValue): number {
    const code = Object.entries(SAVED_DTYPES).find(([, known]) => known === dtype)?.[0];
    const fits = dtype === "float32"
      ? data instanceof Float32Array
      : dtype === "uint8" || dtype === "bool"
      ? data instanceof Uint8Array
      : dtype === "string"
      ? Array.isArray(data)
      : data instanceof Int32Array;
    if (code === undefined || !fits) {
      const given = Array.isArray(data) ? "texts" : data.constructor.name;
      throw new UserError(`${this.folder}: the input ${name} is of type ${dtype}: received ${given}`);
    }
    const values = Array.isArray(data) ? data.map((text) => new TextEncoder().encode(text)) : data;
    return this.#addon.createTensor(shape, Number(code), values as ArrayBufferView);
  }

  #read(id: number, shape: number[]): SavedValue {
    const data = this.#addon.tensorDataSync(id);
    const texts = Array.isArray(data) ? data.map((bytes) => new TextDecoder().decode(bytes)) : null;
    return { shape, data: texts ?? data as Float32Array };
  }
}

function firstLine(error: unknown): string {
  return String((error as Error)?.message ?? error).split("\n")[0];
}
