/**
 * A model's parameters: kept tensors by name, as in the released state dicts, and their way to and from files.
 *
 * Models own their maps; optimizers, checkpoints and loaders see nothing but names, shapes and numbers. Which names a
 * model has is the model's affair, not this file's.
 */
import { BYTES_PER_ELEMENT } from "../io/host_tensor.ts";
import { fromFloat32, type HostTensor, toFloat32, type WeightsReader } from "../io/safetensors.ts";
import type { TensorStream } from "../io/safetensors_folder.ts";
import { UserError } from "../base/user_error.ts";
import { type DType, isFloating, sameShape, type Shape, shapeText, sizeOf } from "../tensor/dtype.ts";
import type { Engine } from "../tensor/engine.ts";
import { keep, tidy } from "../tensor/scope.ts";
import { type Tensor, tensor, zeros } from "../tensor/tensor.ts";

/**
 * Kept tensors by the names of the released state dict.
 *
 * @internal
 */
export type Parameters = Map<string, Tensor>;

/** Where numbers are looked up by name: a map in memory or an open file. */
export type WeightsSource =
  | ReadonlyMap<string, HostTensor>
  | Pick<WeightsReader, "names" | "info" | "read" | "readRows">;

/** A piece is in memory four times: as read, as float32, as a tensor of that, as a tensor of the parameter's type. */
const PIECE_BYTES = 2 ** 24;

/** Options of {@linkcode loadInto}. */
export interface LoadOptions {
  /** File or folder that the numbers come from, for messages. */
  source: string;
  /** Names of the source that are not wanted and no error (buffers that older files carry). @default {none} */
  ignore?: (name: string) => boolean;
  /** Bytes of a file that are in memory at a time. @default {16 MiB} */
  pieceBytes?: number;
}

/** Number of elements of all parameters, or of all shapes where nothing has been allocated. */
export function parameterCount(parameters: ReadonlyMap<string, Tensor | Shape>): number {
  let count = 0;
  for (const parameter of parameters.values()) count += sizeOf("shape" in parameter ? parameter.shape : parameter);
  return count;
}

/** Gives the numbers of all parameters back. */
export function disposeParameters(parameters: Parameters): void {
  for (const parameter of parameters.values()) parameter.dispose();
  parameters.clear();
}

/** Kept zeros of the given shapes, for {@linkcode loadInto} to fill: float32 unless said. */
export function zeroParameters(
  engine: Engine,
  shapes: ReadonlyMap<string, Shape>,
  dtype: DType = "float32",
): Parameters {
  return new Map([...shapes].map(([name, shape]) => [name, keep(zeros(engine, shape, dtype))]));
}

/** Reads all parameters: F32, or F64 for float64. */
export async function toHost(parameters: ReadonlyMap<string, Tensor>): Promise<Map<string, HostTensor>> {
  const host = new Map<string, HostTensor>();
  for (const [name, parameter] of parameters) {
    const data = await parameter.data();
    if (data instanceof Float64Array) {
      host.set(name, { dtype: "F64", shape: [...parameter.shape], data: new Uint8Array(data.buffer) });
    } else if (data instanceof Float32Array) {
      host.set(name, fromFloat32(data, parameter.shape));
    } else {
      throw new TypeError(`toHost: parameter '${name}' is ${parameter.dtype}: only floating parameters are written`);
    }
  }
  return host;
}

/**
 * Makes parameters of the given shapes and fills them from a file. What the file holds is compared with the shapes before
 * anything is made, so that sizes that only a configuration claims cost nothing.
 *
 * @param dtype Type of the parameters. @default {"float32"}
 * @throws {UserError} As {@linkcode loadInto} does.
 */
export async function loadParameters(
  engine: Engine,
  shapes: ReadonlyMap<string, Shape>,
  source: WeightsSource,
  { dtype, ...options }: LoadOptions & { dtype?: DType },
): Promise<Parameters> {
  checkWeights(shapes, source, options);
  const parameters = zeroParameters(engine, shapes, dtype);
  try {
    await loadInto(parameters, source, options);
    return parameters;
  } catch (error) {
    disposeParameters(parameters);
    throw error;
  }
}

/**
 * Refuses a configuration that states more layers than its folder has tensors: to be asked before the layers' names are made.
 *
 * @param field As the configuration calls it.
 * @throws {UserError} When it does.
 */
export function checkLayerCount(
  { names }: Pick<WeightsReader, "names">,
  field: string,
  layers: number,
  source: string,
): void {
  if (layers <= names.length) return;
  throw new UserError(
    `${source}: config.json states ${field} ${layers}, but its weights are ${names.length} tensors in all: they belong to ` +
      `different models`,
  );
}

/**
 * Compares what a file or memory holds with the parameters that a model has; reads no number.
 *
 * @throws {UserError} When a name is missing or extra, a shape differs (the source is a checkpoint of another shape), or a
 * tensor is not floating.
 */
export function checkWeights(
  shapes: ReadonlyMap<string, Shape>,
  source: WeightsSource,
  { source: place, ignore = () => false }: LoadOptions,
): void {
  const names = new Set("names" in source ? source.names : source.keys());
  const missing = [...shapes.keys()].filter((name) => !names.has(name));
  const extra = [...names].filter((name) => !shapes.has(name) && !ignore(name));
  const another = "it is a checkpoint of another shape than the configuration states";
  if (missing.length > 0) {
    throw new UserError(`${place}: ${listNames(missing)} missing: ${another}`);
  }
  if (extra.length > 0) throw new UserError(`${place}: ${listNames(extra)} unknown: ${another}`);
  for (const [name, wanted] of shapes) {
    const { dtype, shape } = "names" in source ? source.info(name) : source.get(name)!;
    checkShape(place, name, shape, wanted);
    if (!FLOATING.has(dtype)) {
      throw new UserError(
        `${place}: tensor '${name}' is ${dtype}: a parameter must be one of ${[...FLOATING].join(", ")}`,
      );
    }
  }
}

/**
 * Overwrites all parameters with numbers from a file or from memory. Names and shapes are checked before anything
 * changes.
 *
 * @throws {UserError} As {@linkcode checkWeights} does.
 */
export async function loadInto(parameters: Parameters, source: WeightsSource, options: LoadOptions): Promise<void> {
  checkWeights(new Map([...parameters].map(([name, { shape }]) => [name, shape])), source, options);
  if ("names" in source) return await loadPieces(parameters, source, options.pieceBytes ?? PIECE_BYTES);
  for (const [name, parameter] of parameters) put(parameter, source.get(name)!);
}

/** Loads tensor by tensor, large ones some rows at a time, through memory that is used again for each piece. */
async function loadPieces(
  parameters: Parameters,
  source: Pick<WeightsReader, "info" | "readRows" | "read">,
  pieceBytes: number,
): Promise<void> {
  const bytesOf = (name: string, parameter: Tensor) => {
    const width = BYTES_PER_ELEMENT[source.info(name).dtype];
    return { total: parameter.size * width, row: parameter.size / (parameter.shape[0] ?? 1) * width };
  };
  let largest = 0;
  for (const [name, parameter] of parameters) {
    const { total, row } = bytesOf(name, parameter);
    largest = Math.max(largest, Math.min(total, Math.max(pieceBytes, row)));
  }
  const memory = { bytes: new Uint8Array(largest), floats: new Float32Array(Math.ceil(largest / 2)) };
  for (const [name, parameter] of parameters) {
    const { total, row } = bytesOf(name, parameter);
    if (parameter.rank === 0 || parameter.size === 0) {
      put(parameter, await source.read(name));
      continue;
    }
    const rows = total <= largest ? parameter.shape[0] : Math.max(1, Math.floor(pieceBytes / row));
    for (let start = 0; start < parameter.shape[0]; start += rows) {
      const count = Math.min(rows, parameter.shape[0] - start);
      put(parameter, await source.readRows(name, start, count, memory.bytes), start, memory.floats);
    }
  }
}

/** Overwrites the rows from `start` on. */
function put(parameter: Tensor, host: HostTensor, start = 0, memory?: Float32Array): void {
  tidy(() => {
    const exact = host.dtype === "F64" && parameter.dtype === "float64";
    const read = exact
      ? tensor(parameter.engine, float64Of(host), host.shape, "float64")
      : tensor(parameter.engine, toFloat32(host, memory), host.shape, "float32");
    const value = read.dtype === parameter.dtype ? read : read.cast(parameter.dtype);
    if (sameShape(value.shape, parameter.shape)) parameter.assign(value);
    else parameter.assignSlice(value, 0, start);
  });
}

/**
 * Parameters as streams for `writeWeights`: read from the engine some rows at a time and rounded to the given type.
 *
 * @param dtype Their own type when left out (float64 as float32).
 * @param pieceBytes Of float32 numbers that are in memory at a time.
 * @throws {TypeError} For a parameter that is not floating.
 */
export function parameterStreams(
  parameters: ReadonlyMap<string, Tensor>,
  dtype?: "float32" | "bfloat16",
  pieceBytes: number = PIECE_BYTES,
): Map<string, TensorStream> {
  const streams = new Map<string, TensorStream>();
  for (const [name, parameter] of parameters) {
    if (!isFloating(parameter.dtype)) {
      throw new TypeError(`parameterStreams: '${name}' is ${parameter.dtype}: only floating parameters are written`);
    }
    const host = (dtype ?? parameter.dtype) === "bfloat16" ? "BF16" : "F32";
    streams.set(name, { dtype: host, shape: [...parameter.shape], pieces: () => pieces(parameter, host, pieceBytes) });
  }
  return streams;
}

async function* pieces(parameter: Tensor, dtype: "F32" | "BF16", pieceBytes: number): AsyncGenerator<Uint8Array> {
  const length = parameter.shape[0] ?? 1;
  const rows = Math.max(1, Math.floor(pieceBytes / (4 * parameter.size / length)));
  for (let start = 0; start < length; start += rows) {
    const part = tidy(() => {
      const piece = rows >= length ? parameter : parameter.narrow(0, start, Math.min(rows, length - start));
      return piece.dtype === "float64" ? piece.cast("float32") : piece === parameter ? parameter.detach() : piece;
    });
    const data = await part.data() as Float32Array;
    yield fromFloat32(data, part.shape, dtype).data;
    part.dispose();
  }
}

const FLOATING: ReadonlySet<HostTensor["dtype"]> = new Set(["F32", "F16", "BF16", "F64"]);

function float64Of(host: HostTensor): Float64Array {
  return new Float64Array(host.data.slice().buffer);
}

function checkShape(place: string, name: string, stored: Shape, wanted: Shape): void {
  if (!sameShape(stored, wanted)) {
    throw new UserError(
      `${place}: tensor '${name}' is ${shapeText(stored)} where the configuration needs ${shapeText(wanted)}: ` +
        `it is a checkpoint of another shape`,
    );
  }
}

function listNames(names: string[]): string {
  const shown = names.slice(0, 3).map((name) => `'${name}'`).join(", ");
  const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
  return `${names.length === 1 ? "tensor" : "tensors"} ${shown}${more} ${names.length === 1 ? "is" : "are"}`;
}
