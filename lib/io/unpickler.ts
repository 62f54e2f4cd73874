/**
 * Reads the pickles inside PyTorch checkpoints. A pickle is a program that may call any function; this reader knows the
 * few names that a state dict needs, builds plain values for them itself, and refuses every other name. Nothing that a
 * file says is ever executed or looked up.
 *
 * Dicts become Maps, lists and tuples arrays, and tensors {@linkcode PickledTensor}s that say where their bytes are.
 *
 * Work and memory are bounded by the pickle's length: what a few bytes make anew is counted, and so is what a call copies out of
 * a value that may be recalled many times.
 */
import { type HostDtype, isShape } from "./host_tensor.ts";

/** A value out of a pickle. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | PickledStorage
  | PickledTensor
  | PickledGlobal;

/** A block of elements that tensors view. */
export class PickledStorage {
  /** A storage. @param key its name in the archive. @param elements how many it says to have. */
  constructor(readonly dtype: HostDtype, readonly key: string, readonly elements: number) {}
}

/** A strided view of a storage. Offset and strides count elements. */
export class PickledTensor {
  /** A view. @param offset of its first element in the storage. @param strides of its axes, outermost first. */
  constructor(
    readonly storage: PickledStorage,
    readonly offset: number,
    readonly shape: number[],
    readonly strides: number[],
  ) {}
}

/** One of the allowed names; only ever called by {@linkcode callGlobal}. */
export class PickledGlobal {
  /** A name. @param name with its module: `torch._utils._rebuild_tensor_v2`. */
  constructor(readonly name: string) {}
}

/** A pickle names something that a state dict does not need, or is malformed. */
export class PickleError extends Error {
  /** The class's name, for messages. */
  override readonly name: string = "PickleError";
}

/** The bytes end before the pickle does. */
export class PickleTruncated extends PickleError {}

const STORAGES: Record<string, HostDtype> = {
  DoubleStorage: "F64",
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

const REBUILD = ["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"];
const ALLOWED = new Set([
  "collections.OrderedDict",
  "torch.Size",
  ...REBUILD.map((name) => `torch._utils.${name}`),
  ...Object.keys(STORAGES).flatMap((name) => [`torch.${name}`, `torch.cuda.${name}`]),
]);

const MARK = Symbol("mark");

/** An empty dict is one byte of a pickle and some 200 of memory: dicts, lists, tuples and objects that one may make. */
const MAX_OBJECTS = 2_000_000;
/** Values that wait for being put together; Python's pickler puts them into lists and dicts by the thousand. */
const MAX_WAITING = 1_000_000;

/**
 * Runs one pickle.
 *
 * @returns its value, and where it ends in `bytes`.
 * @throws {PickleTruncated} if the bytes end before it does.
 * @throws {PickleError} if it is malformed or names anything that is not allowed, quoting the name.
 */
export function unpickle(bytes: Uint8Array, start = 0): { value: PickleValue; end: number } {
  const machine = new Machine(bytes, start);
  const value = machine.run();
  return { value, end: machine.at };
}

class Machine {
  at: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #stack: (PickleValue | typeof MARK)[] = [];
  readonly #memo = new Map<number, PickleValue>();
  readonly #decoder = new TextDecoder();
  #objects = 0;
  #copied = 0;

  constructor(bytes: Uint8Array, start: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = start;
  }

  run(): PickleValue {
    for (;;) {
      const opcode = this.#u8();
      if (opcode === 0x2e) return this.#pop(); // STOP
      if (!this.#pushLiteral(opcode) && !this.#build(opcode) && !this.#useMemo(opcode)) {
        throw new PickleError(
          `its pickle uses the operation 0x${opcode.toString(16)}, which a state dict does not need`,
        );
      }
    }
  }

  /** Operations that push a value of their own. */
  #pushLiteral(opcode: number): boolean {
    switch (opcode) {
      case 0x4e: // NONE
        return this.#push(null);
      case 0x88: // NEWTRUE
        return this.#push(true);
      case 0x89: // NEWFALSE
        return this.#push(false);
      case 0x4b: // BININT1
        return this.#push(this.#u8());
      case 0x4d: // BININT2
        return this.#push(this.#view.getUint16(this.#take(2), true));
      case 0x4a: // BININT
        return this.#push(this.#view.getInt32(this.#take(4), true));
      case 0x8a: // LONG1
        return this.#push(this.#long(this.#u8()));
      case 0x47: // BINFLOAT
        return this.#push(this.#view.getFloat64(this.#take(8), false));
      case 0x55: // SHORT_BINSTRING, Python 2's text
      case 0x8c: // SHORT_BINUNICODE
        return this.#push(this.#text(this.#u8()));
      case 0x54: // BINSTRING
      case 0x58: // BINUNICODE
        return this.#push(this.#text(this.#u32()));
      case 0x8d: // BINUNICODE8
        return this.#push(this.#text(this.#u64()));
      case 0x43: // SHORT_BINBYTES
        return this.#make(this.#slice(this.#u8()));
      case 0x42: // BINBYTES
        return this.#make(this.#slice(this.#u32()));
      case 0x7d: // EMPTY_DICT
        return this.#make(new Map());
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        return this.#make([]);
      case 0x28: // MARK
        return this.#push(MARK);
      case 0x63: // GLOBAL
        return this.#make(findGlobal(`${this.#line()}.${this.#line()}`));
      case 0x80: // PROTO
        this.#u8();
        return true;
      case 0x95: // FRAME
        this.#take(8);
        return true;
      default:
        return false;
    }
  }

  /** Operations that make a value out of others, or change one. */
  #build(opcode: number): boolean {
    switch (opcode) {
      case 0x74: // TUPLE
        return this.#make(this.#popToMark());
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return this.#make(Array.from({ length: opcode - 0x84 }, () => this.#pop()).reverse());
      case 0x61: // APPEND
        this.#appendAll([this.#pop()]);
        return true;
      case 0x65: // APPENDS
        this.#appendAll(this.#popToMark());
        return true;
      case 0x73: // SETITEM
        this.#setAll([this.#pop(), this.#pop()].reverse());
        return true;
      case 0x75: // SETITEMS
        this.#setAll(this.#popToMark());
        return true;
      case 0x93: { // STACK_GLOBAL
        const name = this.#pop();
        return this.#make(findGlobal(`${describe(this.#pop())}.${describe(name)}`));
      }
      case 0x52: { // REDUCE
        const args = this.#pop();
        this.#countCopied(args);
        return this.#make(callGlobal(this.#pop(), args));
      }
      case 0x62: { // BUILD: attributes of a state dict (its _metadata), of no use here
        this.#pop();
        if (!(this.#peek() instanceof Map)) throw new PickleError("its pickle sets attributes of something not a dict");
        return true;
      }
      case 0x51: // BINPERSID
        return this.#make(toStorage(this.#pop()));
      default:
        return false;
    }
  }

  #useMemo(opcode: number): boolean {
    switch (opcode) {
      case 0x71: // BINPUT
        return this.#remember(this.#u8());
      case 0x72: // LONG_BINPUT
        return this.#remember(this.#u32());
      case 0x94: // MEMOIZE
        return this.#remember(this.#memo.size);
      case 0x68: // BINGET
        return this.#recall(this.#u8());
      case 0x6a: // LONG_BINGET
        return this.#recall(this.#u32());
      default:
        return false;
    }
  }

  #push(value: PickleValue | typeof MARK): true {
    if (this.#stack.length === MAX_WAITING) throw new PickleError(`its pickle stacks more than ${MAX_WAITING} values`);
    this.#stack.push(value);
    return true;
  }

  /** Pushes what is new. */
  #make(value: PickleValue): true {
    if (++this.#objects > MAX_OBJECTS) throw new PickleError(`its pickle makes more than ${MAX_OBJECTS} objects`);
    return this.#push(value);
  }

  /** A call copies its arguments' items at most once: in a state dict they are fewer than the bytes that say them. */
  #countCopied(args: PickleValue): void {
    for (const arg of Array.isArray(args) ? args.slice(0, 4) : []) this.#copied += Array.isArray(arg) ? arg.length : 0;
    if (this.#copied > this.#bytes.length) throw new PickleError("its pickle copies the same values again and again");
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined || value === MARK) throw new PickleError("its pickle takes a value that is not there");
    return value as PickleValue;
  }

  #peek(): PickleValue {
    const value = this.#pop();
    this.#stack.push(value);
    return value;
  }

  #popToMark(): PickleValue[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) throw new PickleError("its pickle takes values that are not there");
    return this.#stack.splice(mark).slice(1) as PickleValue[];
  }

  #appendAll(values: PickleValue[]): void {
    const list = this.#peek();
    if (!Array.isArray(list)) throw new PickleError("its pickle appends to something that is not a list");
    for (const value of values) list.push(value);
  }

  #setAll(items: PickleValue[]): void {
    const dict = this.#peek();
    if (!(dict instanceof Map) || items.length % 2 !== 0) {
      throw new PickleError("its pickle sets items of something that is not a dict");
    }
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
  }

  #remember(index: number): true {
    if (this.#memo.size === MAX_OBJECTS) throw new PickleError(`its pickle remembers more than ${MAX_OBJECTS} values`);
    this.#memo.set(index, this.#peek());
    return true;
  }

  #recall(index: number): true {
    const value = this.#memo.get(index);
    if (value === undefined) throw new PickleError(`its pickle recalls value ${index}, which it never stored`);
    return this.#push(value);
  }

  /** Moves past `length` bytes and returns where they start. */
  #take(length: number): number {
    const start = this.at;
    if (start + length > this.#bytes.length) throw new PickleTruncated("its pickle is truncated");
    this.at += length;
    return start;
  }

  #u8(): number {
    return this.#bytes[this.#take(1)];
  }

  #u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #u64(): number {
    return Number(this.#view.getBigUint64(this.#take(8), true));
  }

  #slice(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  #text(length: number): string {
    return this.#decoder.decode(this.#slice(length));
  }

  /** Text up to a line break, which is dropped. */
  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at);
    if (end < 0) throw new PickleTruncated("its pickle is truncated");
    const text = this.#text(end - this.at);
    this.at++;
    return text;
  }

  /** Little-endian two's complement; a number where it is exact. */
  #long(length: number): number | bigint {
    if (length === 0) return 0;
    let value = 0n;
    this.#slice(length).forEach((byte, i) => value |= BigInt(byte) << BigInt(8 * i));
    value = BigInt.asIntN(8 * length, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }
}

function findGlobal(name: string): PickledGlobal {
  if (!ALLOWED.has(name)) {
    throw new PickleError(
      `it refers to '${name.slice(0, 100)}', which is not part of a state dict; nothing was executed`,
    );
  }
  return new PickledGlobal(name);
}

function callGlobal(global: PickleValue, args: PickleValue): PickleValue {
  if (!(global instanceof PickledGlobal) || !Array.isArray(args)) {
    throw new PickleError(`its pickle calls ${describe(global)}, which is no function`);
  }
  switch (global.name) {
    case "collections.OrderedDict":
      return toDict(args);
    case "torch.Size":
      return shapeOf(args[0], "torch.Size");
    case "torch._utils._rebuild_tensor":
    case "torch._utils._rebuild_tensor_v2":
      return toTensor(args);
    case "torch._utils._rebuild_parameter":
      if (!(args[0] instanceof PickledTensor)) throw new PickleError("a parameter in it has no tensor");
      return args[0];
    default:
      throw new PickleError(`its pickle calls '${global.name}', which is no function of a state dict`);
  }
}

/** Python 2 pickled an OrderedDict with its items as an argument: a list of pairs. */
function toDict(args: PickleValue[]): Map<PickleValue, PickleValue> {
  const dict = new Map<PickleValue, PickleValue>();
  const items = args[0] ?? [];
  if (!Array.isArray(items)) throw new PickleError("an OrderedDict in it is malformed");
  for (const item of items) {
    if (!Array.isArray(item) || item.length !== 2) throw new PickleError("an OrderedDict in it is malformed");
    dict.set(item[0], item[1]);
  }
  return dict;
}

function toTensor([storage, offset, shape, strides]: PickleValue[]): PickledTensor {
  if (!(storage instanceof PickledStorage)) throw new PickleError("a tensor in it has no storage");
  const tensor = new PickledTensor(
    storage,
    sizeOf(offset, "a tensor's offset"),
    shapeOf(shape, "a tensor's shape"),
    Array.isArray(strides) ? strides.map((stride) => sizeOf(stride, "a tensor's strides")) : [],
  );
  if (tensor.shape.length !== tensor.strides.length) throw new PickleError("a tensor in it has a malformed shape");
  return tensor;
}

/** ('storage', type, key, location, elements), and in the old format a view, which PyTorch itself stopped writing. */
function toStorage(id: PickleValue): PickledStorage {
  if (!Array.isArray(id) || id[0] !== "storage") {
    throw new PickleError(`it refers to an object outside of its pickle: ${describe(Array.isArray(id) ? id[0] : id)}`);
  }
  const [, type, key, , elements, view] = id;
  const dtype = type instanceof PickledGlobal ? STORAGES[type.name.split(".").at(-1)!] : undefined;
  if (dtype === undefined || typeof key !== "string" || (view ?? null) !== null) {
    throw new PickleError(`a storage in it is malformed: ${describe(type)}`);
  }
  return new PickledStorage(dtype, key, sizeOf(elements, "a storage's size"));
}

function sizeOf(value: PickleValue, what: string): number {
  if (typeof value !== "number" || !isShape([value])) throw new PickleError(`${what} in it is malformed`);
  return value;
}

function shapeOf(value: PickleValue, what: string): number[] {
  if (!Array.isArray(value) || !isShape(value)) throw new PickleError(`${what} in it is malformed`);
  return [...value];
}

function describe(value: PickleValue): string {
  if (typeof value === "string") return value.slice(0, 100);
  if (value instanceof PickledGlobal) return value.name;
  return value === null ? "None" : typeof value === "object" ? value.constructor.name : String(value);
}
