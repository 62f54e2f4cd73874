/**
 * A model's parameters: kept tensors by name, as in the released state dicts, and their way to and from files.
 *
 * Models own their maps; optimizers, checkpoints and loaders see nothing but names, shapes and numbers. Which names a
 * model has is the model's affair, not this file's.
 */
import { fromFloat32, type HostTensor, toFloat32, type WeightsReader } from "../files/safetensors.ts";
import { UserError } from "../files/user_error.ts";
import { sameShape, type Shape, shapeText, sizeOf } from "../tensor/dtype.ts";
import type { Engine } from "../tensor/engine.ts";
import { keep, tidy } from "../tensor/scope.ts";
import { type Tensor, tensor, zeros } from "../tensor/tensor.ts";

/** Kept tensors by the names of the released state dict. */
export type Parameters = Map<string, Tensor>;

/** Where numbers are looked up by name: a map in memory or an open file. */
export type WeightsSource = ReadonlyMap<string, HostTensor> | Pick<WeightsReader, "names" | "info" | "read">;

/** Options of {@linkcode loadInto}. */
export interface LoadOptions {
  /** File or folder that the numbers come from, for messages. */
  source: string;
  /** Names of the source that are not wanted and no error (buffers that older files carry). None when left out. */
  ignore?: (name: string) => boolean;
}

/** Number of elements of all parameters, or of all shapes where nothing has been allocated. */
export function parameterCount(parameters: ReadonlyMap<string, Tensor | Shape>): number {
  let count = 0;
  for (const each of parameters.values()) count += sizeOf("shape" in each ? each.shape : each);
  return count;
}

/** Gives the numbers of all parameters back. */
export function disposeParameters(parameters: Parameters): void {
  for (const each of parameters.values()) each.dispose();
  parameters.clear();
}

/** Kept float32 zeros of the given shapes, for {@linkcode loadInto} to fill. */
export function zeroParameters(engine: Engine, shapes: ReadonlyMap<string, Shape>): Parameters {
  return new Map([...shapes].map(([name, shape]) => [name, keep(zeros(engine, shape))]));
}

/** Reads all parameters: F32, or F64 for float64. */
export async function toHost(parameters: ReadonlyMap<string, Tensor>): Promise<Map<string, HostTensor>> {
  const host = new Map<string, HostTensor>();
  for (const [name, each] of parameters) {
    const data = await each.data();
    if (data instanceof Float64Array) {
      host.set(name, { dtype: "F64", shape: [...each.shape], data: new Uint8Array(data.buffer) });
    } else if (data instanceof Float32Array) {
      host.set(name, fromFloat32(data, each.shape));
    } else {
      throw new TypeError(`toHost: parameter '${name}' is ${each.dtype}: only floating parameters are written`);
    }
  }
  return host;
}

/**
 * Overwrites all parameters with numbers from a file or from memory. Names and shapes are checked before anything
 * changes.
 *
 * @throws {UserError} When a name is missing or extra, or a shape differs: the source is a checkpoint of another shape.
 */
export async function loadInto(
  parameters: Parameters,
  source: WeightsSource,
  { source: place, ignore = () => false }: LoadOptions,
): Promise<void> {
  const names = new Set("names" in source ? source.names : source.keys());
  const missing = [...parameters.keys()].filter((name) => !names.has(name));
  const extra = [...names].filter((name) => !parameters.has(name) && !ignore(name));
  const another = "it is a checkpoint of another shape than the configuration states";
  if (missing.length > 0) {
    throw new UserError(`${place}: ${listNames(missing)} missing: ${another}`);
  }
  if (extra.length > 0) throw new UserError(`${place}: ${listNames(extra)} unknown: ${another}`);
  for (const [name, each] of parameters) {
    const { dtype, shape } = "names" in source ? source.info(name) : source.get(name)!;
    checkShape(place, name, shape, each.shape);
    if (!FLOATING.has(dtype)) {
      throw new UserError(
        `${place}: tensor '${name}' is ${dtype}: a parameter must be one of ${[...FLOATING].join(", ")}`,
      );
    }
  }
  for (const [name, each] of parameters) {
    const host = "names" in source ? await source.read(name) : source.get(name)!;
    const exact = host.dtype === "F64" && each.dtype === "float64";
    tidy(() => {
      const value = exact
        ? tensor(each.engine, float64Of(host), each.shape, "float64")
        : tensor(each.engine, toFloat32(host), each.shape, "float32");
      each.assign(value.dtype === each.dtype ? value : value.cast(each.dtype));
    });
  }
}

const FLOATING: ReadonlySet<HostTensor["dtype"]> = new Set(["F32", "F16", "BF16", "F64"]);

function float64Of(host: HostTensor): Float64Array {
  return new Float64Array(host.data.slice().buffer);
}

function checkShape(place: string, name: string, found: Shape, wanted: Shape): void {
  if (!sameShape(found, wanted)) {
    throw new UserError(
      `${place}: tensor '${name}' is ${shapeText(found)} where the configuration needs ${shapeText(wanted)}: ` +
        `it is a checkpoint of another shape`,
    );
  }
}

function listNames(names: string[]): string {
  const shown = names.slice(0, 3).map((name) => `'${name}'`).join(", ");
  const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
  return `${names.length === 1 ? "tensor" : "tensors"} ${shown}${more} ${names.length === 1 ? "is" : "are"}`;
}
