/**
 * What a `saved_model.pb` says of itself: its tags and the signatures of its functions. Only these few fields of the
 * protocol buffer are read; the graph is TensorFlow's business, and is passed over without being made anything of.
 */
import { UserError } from "../../base/user_error.ts";

/** An input or output of a signature. */
export interface SavedTensor {
  /** The operation that it stands for. */
  operation: string;
  /** TensorFlow's name of its type: `float32`, `uint8`, `string`. */
  dtype: string;
  /** Extents, −1 where any will do; null if the model does not say. */
  shape: number[] | null;
}

/** A function of a SavedModel. */
export interface SavedSignature {
  inputs: Record<string, SavedTensor>;
  outputs: Record<string, SavedTensor>;
}

/** The graph that is made for serving. */
export interface SavedGraph {
  /** What it is found by: `serve`. */
  tags: string[];
  /** Its functions by name. */
  signatures: Record<string, SavedSignature>;
}

/** TensorFlow's numbers for types, as far as tfjs-node's addon knows them. */
export const SAVED_DTYPES: Readonly<Record<number, string>> = {
  1: "float32",
  3: "int32",
  4: "uint8",
  7: "string",
  9: "int64",
  10: "bool",
};

/** Numbers of the fields, from TensorFlow's `saved_model.proto`, `meta_graph.proto` and `tensor_shape.proto`. */
const FIELD = {
  savedModel: { graphs: 2 },
  graph: { info: 1, signatures: 5 },
  info: { tags: 4 },
  mapEntry: { key: 1, value: 2 },
  signature: { inputs: 1, outputs: 2 },
  tensor: { name: 1, dtype: 2, shape: 3 },
  shape: { dims: 2, unknownRank: 3 },
  dim: { size: 1 },
} as const;

/** Fields of one message that were asked for, by their number, in order: bytes of what has a length, numbers of the rest. */
type Fields = Map<number, (Uint8Array | bigint)[]>;

/** Of one kind in one message; the functions of a model are few, and so are their inputs and the axes of these. */
const MAX_FIELDS = 10_000;

/**
 * Reads the graph that is tagged `serve`.
 *
 * @param path of the file, for messages.
 * @throws {UserError} if the bytes are no SavedModel, or it has no such graph.
 */
export function readSavedGraph(bytes: Uint8Array, path: string): SavedGraph {
  const graphs = messages(parse(bytes, path, FIELD.savedModel), FIELD.savedModel.graphs).map((graph) => {
    const fields = parse(graph, path, FIELD.graph);
    const tags = messages(fields, FIELD.graph.info).flatMap((info) =>
      messages(parse(info, path, FIELD.info), FIELD.info.tags).map((tag) => text(tag))
    );
    return { fields, tags };
  });
  const graph = graphs.find(({ tags }) => tags.includes("serve"));
  if (graph === undefined) {
    const tags = graphs.map((one) => one.tags.join("+")).join(", ") || "none";
    throw new UserError(`${path} has no graph tagged serve: its tags are ${tags}`);
  }
  const signatures = record(graph.fields, FIELD.graph.signatures, path, (signature) => {
    const fields = parse(signature, path, FIELD.signature);
    return {
      inputs: record(fields, FIELD.signature.inputs, path, (bytes) => tensor(bytes, path)),
      outputs: record(fields, FIELD.signature.outputs, path, (bytes) => tensor(bytes, path)),
    };
  });
  // TensorFlow's own, for what runs at loading.
  delete signatures.__saved_model_init_op;
  return { tags: graph.tags, signatures };
}

function tensor(bytes: Uint8Array, path: string): SavedTensor {
  const fields = parse(bytes, path, FIELD.tensor);
  const dtype = Number(fields.get(FIELD.tensor.dtype)?.[0] ?? 0);
  const [name] = messages(fields, FIELD.tensor.name);
  const [shapeBytes] = messages(fields, FIELD.tensor.shape);
  let shape: number[] | null = null;
  if (shapeBytes !== undefined) {
    const shapeFields = parse(shapeBytes, path, FIELD.shape);
    if (!shapeFields.get(FIELD.shape.unknownRank)?.[0]) {
      shape = messages(shapeFields, FIELD.shape.dims).map((dim) => {
        const size = parse(dim, path, FIELD.dim).get(FIELD.dim.size)?.[0] ?? 0n;
        return typeof size === "bigint" ? Number(BigInt.asIntN(64, size)) : 0;
      });
    }
  }
  return {
    operation: name === undefined ? "" : text(name),
    dtype: SAVED_DTYPES[dtype] ?? `TensorFlow's type ${dtype}`,
    shape,
  };
}

/** A map field as a record without a prototype. */
function record<T>(fields: Fields, number: number, path: string, read: (value: Uint8Array) => T): Record<string, T> {
  const entries: Record<string, T> = Object.create(null);
  for (const entry of messages(fields, number)) {
    const parts = parse(entry, path, FIELD.mapEntry);
    const [key] = messages(parts, FIELD.mapEntry.key), [value] = messages(parts, FIELD.mapEntry.value);
    entries[key === undefined ? "" : text(key)] = read(value ?? new Uint8Array());
  }
  return entries;
}

function messages(fields: Fields, number: number): Uint8Array[] {
  return (fields.get(number) ?? []).filter((value) => value instanceof Uint8Array);
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Cuts a message into its fields, and keeps those that are wanted. */
function parse(bytes: Uint8Array, path: string, wanted: Readonly<Record<string, number>>): Fields {
  const fields: Fields = new Map(Object.values(wanted).map((number) => [number, []]));
  let at = 0;
  const damaged = () => new UserError(`${path} cannot be read as a SavedModel: it is damaged or something else`);
  /** Moves past a number of at most ten bytes of seven bits; exact as long as it is below 2^53. */
  const varint = (): number => {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      if (at >= bytes.length) throw damaged();
      const byte = bytes[at++];
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    throw damaged();
  };
  while (at < bytes.length) {
    const key = varint(), start = at;
    const number = Math.floor(key / 8), kind = key % 8;
    let value: Uint8Array | bigint | undefined;
    const kept = fields.get(number);
    if (kind === 0) {
      varint();
      if (kept) value = bytes.subarray(start, at).reduceRight((sum, byte) => (sum << 7n) | BigInt(byte & 0x7f), 0n);
    } else {
      const length = kind === 2 ? varint() : kind === 1 ? 8 : kind === 5 ? 4 : NaN;
      if (!(at + length <= bytes.length) || number === 0) throw damaged();
      if (kept) value = bytes.subarray(at, at + length);
      at += length;
    }
    if (value === undefined) continue;
    if (kept!.push(value) > MAX_FIELDS) throw damaged();
  }
  return fields;
}
