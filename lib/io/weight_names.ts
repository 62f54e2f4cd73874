/**
 * Names of weights as the model has them, whatever it was wrapped in when it was saved: compiling and parallel training put
 * parts of their own into every name.
 */
import type { WeightsReader } from "./safetensors.ts";
import { UserError } from "../base/user_error.ts";

/** Parts of names that are PyTorch's: of torch.compile, of DataParallel and its like, of FSDP, of activation checkpointing. */
const WRAPPERS: ReadonlySet<string> = new Set([
  "_orig_mod",
  "module",
  "_fsdp_wrapped_module",
  "_checkpoint_wrapped_module",
]);

/** A tensor's name without what wrappers have put into it: `_orig_mod.model.norm.weight` is `model.norm.weight`. */
export function plainName(name: string): string {
  return name.split(".").filter((part) => !WRAPPERS.has(part)).join(".");
}

/**
 * An open file's tensors by other names.
 *
 * @param source File or folder, for messages.
 * @throws {UserError} When two tensors would have one name.
 */
export function renamed(reader: WeightsReader, rename: (name: string) => string, source: string): WeightsReader {
  const names = renamedMap(new Map(reader.names.map((name) => [name, name])), rename, source);
  if ([...names].every(([ours, theirs]) => ours === theirs)) return reader;
  // A name that is not there stays as it is, and the reader says that it is not there.
  const theirs = (name: string) => names.get(name) ?? name;
  return {
    names: [...names.keys()],
    metadata: reader.metadata,
    info: (name) => reader.info(theirs(name)),
    read: (name) => reader.read(theirs(name)),
    readRows: (name, start, count, memory) => reader.readRows(theirs(name), start, count, memory),
    close: () => reader.close(),
    [Symbol.dispose]: () => reader.close(),
  };
}

/** Tensors in memory by other names. @throws {UserError} As {@linkcode renamed} does. */
export function renamedMap<Value>(
  tensors: ReadonlyMap<string, Value>,
  rename: (name: string) => string,
  source: string,
): Map<string, Value> {
  const result = new Map<string, Value>();
  for (const [name, value] of tensors) {
    const ours = rename(name);
    if (result.has(ours)) {
      throw new UserError(`${source}: '${name}' and another tensor both stand for '${ours}': leave one of them out`);
    }
    result.set(ours, value);
  }
  return result;
}
