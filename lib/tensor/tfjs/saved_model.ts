/**
 * TensorFlow SavedModels, run by the addon of `@tensorflow/tfjs-node-gpu`. Only the addon takes part: no tfjs backend has
 * to be active, so a SavedModel runs beside an engine of any kind. Numbers go in and come out as arrays of this process;
 * nothing here is differentiable.
 */
import { UserError } from "../../files/user_error.ts";
import { readSavedGraph, SAVED_DTYPES, type SavedSignature, type SavedTensor } from "./saved_model_file.ts";
import { type TfjsNodeAddon, tfjsNodeAddon } from "./tfjs_node.ts";

/** Numbers or texts with a shape; int64 comes out as BigInt64Array and goes in as Int32Array. */
export interface SavedValue {
  /** Extents. */
  shape: number[];
  /** In C order. */
  data: Float32Array | Int32Array | Uint8Array | BigInt64Array | string[];
}

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
    let bytes: Uint8Array;
    try {
      bytes = Deno.readFileSync(`${folder}/saved_model.pb`);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
        throw new UserError(`${folder} holds no SavedModel: there is no saved_model.pb in it`);
      }
      throw error;
    }
    const { tags, signatures } = readSavedGraph(bytes, `${folder}/saved_model.pb`);
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
  run(signature: string, inputs: Record<string, SavedValue>, outputs?: readonly string[]): Record<string, SavedValue> {
    if (this.#id === null) throw new Error(`the SavedModel of ${this.folder} has been disposed`);
    const wanted = this.signatures[signature];
    if (wanted === undefined) {
      const there = Object.keys(this.signatures).join(", ") || "none";
      throw new UserError(`${this.folder} has no signature ${signature}: it has ${there}`);
    }
    const inputNames = Object.keys(wanted.inputs), outputNames = outputs ?? Object.keys(wanted.outputs);
    const missing = inputNames.find((name) => inputs[name] === undefined) ??
      outputNames.find((name) => wanted.outputs[name] === undefined);
    if (missing !== undefined) throw new UserError(`${this.folder}: ${signature} has or needs another ${missing}`);
    const ids: number[] = [];
    try {
      for (const name of inputNames) ids.push(this.#create(name, wanted.inputs[name], inputs[name]));
      const results = this.#addon.runSavedModel(
        this.#id,
        ids,
        inputNames.map((name) => wanted.inputs[name].operation).join(","),
        outputNames.map((name) => wanted.outputs[name].operation).join(","),
      );
      return Object.fromEntries(results.map(({ id, shape }, i) => [outputNames[i], this.#take(id, shape)]));
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(`${this.folder}: ${signature} failed (${firstLine(error)})`);
    } finally {
      for (const id of ids) this.#addon.deleteTensor(id);
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

  #take(id: number, shape: number[]): SavedValue {
    const data = this.#addon.tensorDataSync(id);
    this.#addon.deleteTensor(id);
    const texts = Array.isArray(data) ? data.map((bytes) => new TextDecoder().decode(bytes)) : null;
    return { shape, data: texts ?? data as Float32Array };
  }
}

function firstLine(error: unknown): string {
  return String((error as Error)?.message ?? error).split("\n")[0];
}
