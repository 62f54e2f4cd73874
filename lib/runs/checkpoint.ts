/**
 * Numbered checkpoints in a folder. Each is a folder of its own (`step-00000200/`) of safetensors and JSON files with a
 * `manifest.json` that states their sizes and hashes. It is written under another name, every file synced, the manifest
 * last, and then renamed: a folder called `step-…` is complete, whenever the process or the machine died.
 *
 * Reading trusts nothing: {@linkcode CheckpointStore.newest} compares sizes and hashes and walks back to the newest
 * checkpoint that is what was written. What is in a checkpoint, and how training resumes from it, is the caller's.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { claimAside, removeLeftovers, syncFolder, writeFileSynced } from "../io/atomic.ts";
import { cannotWrite, DiskError } from "../base/disk_error.ts";
import { makeFolder } from "../io/folders.ts";
import { checkIsFile, readTextFile } from "../io/plain_file.ts";
import { type HostTensor, readSafetensors, safetensorsChunks } from "../io/safetensors.ts";
import { UserError } from "../base/user_error.ts";

/** What {@linkcode CheckpointStore.save} takes by file name: tensors for `*.safetensors`, plain values for `*.json`. */
export type CheckpointFiles = Record<string, Map<string, HostTensor> | object>;

/** A checkpoint whose files are complete. */
export interface Checkpoint {
  /** Of training, as it was saved. */
  step: number;
  /** Path of the folder of its files. */
  folder: string;
  /** Names of its files, without the manifest. */
  files: string[];
  /** Does nothing where all of these files are there. @throws {MissingFileError} if the checkpoint lacks one. */
  require(...names: string[]): void;
  /** The tensors of a `.safetensors` file. @throws {MissingFileError} if the checkpoint has no such file. */
  tensors(name: string): Promise<Map<string, HostTensor>>;
  /** The value of a `.json` file; numbers come back exactly. @throws {MissingFileError} if the checkpoint has no such file. */
  json<T>(name: string): Promise<T>;
}

/** A checkpoint lacks a file that was asked for: what it has may be sound, but nothing can go on from it. */
export class MissingFileError extends UserError {
  /** The class's name, for messages. */
  override readonly name = "MissingFileError";

  /** An error of one line. @param file Name of what is missing. */
  constructor(message: string, readonly file: string) {
    super(message);
  }
}

interface Manifest {
  formatVersion: number;
  step: number;
  files: Record<string, { size: number; sha256: string }>;
}

/** A checkpoint's folder by name; revisions count how often a step was saved anew. */
interface Entry {
  name: string;
  step: number;
  revision: number;
}

const FORMAT_VERSION = 1;
const MANIFEST = "manifest.json";
const FILE_NAME = /^[A-Za-z0-9][\w.-]*$/;
const NAME = /^step-(\d{8,15})(?:-(\d{1,9}))?$/;

/**
 * The checkpoints of one folder. One process writes to a folder at a time.
 *
 * @internal
 */
export class CheckpointStore {
  /** Path of the folder of all checkpoints. */
  readonly folder: string;
  readonly #keep: number;
  /** Names of checkpoints that this store has found to be damaged. */
  readonly #damaged = new Set<string>();

  /**
   * Nothing is read or written yet.
   *
   * @param folder made when the first checkpoint is saved.
   * @param options.keep how many valid checkpoints to keep; older ones are removed.
   * @throws {RangeError} if `keep` is not a whole number of at least 1.
   */
  constructor(folder: string, options: { keep?: number } = {}) {
    const keep = options.keep ?? 2;
    if (!Number.isInteger(keep) || keep < 1) {
      throw new RangeError(`keep must be a whole number, at least 1: received ${keep}`);
    }
    this.folder = folder;
    this.#keep = keep;
  }

  /**
   * Saves a checkpoint, and once it has been read back as written, removes the oldest ones beyond `keep`.
   *
   * Saving a step again replaces it. If saving fails, the checkpoints that were there are untouched.
   *
   * @param step of training, not below that of the newest valid checkpoint.
   * @param keepStep of a valid checkpoint that is not removed, however old it is.
   * @throws {RangeError | TypeError} if the step, a file name or a value cannot be saved; nothing is written then.
   * @throws {DiskError} if the system refuses.
   */
  async save(step: number, files: CheckpointFiles, keepStep?: number): Promise<void> {
    if (!Number.isSafeInteger(step) || step < 0) {
      throw new RangeError(`a checkpoint's step must be a whole number, at least 0: received ${step}`);
    }
    const contents = Object.entries(files).map(([name, value]): [string, Uint8Array[]] => [name, encode(name, value)]);
    if (contents.length === 0) throw new RangeError("a checkpoint must have at least one file");
    await makeFolder(this.folder);
    await removeLeftovers(this.folder, (target) => NAME.test(target));
    const name = await this.#nameFor(step);

    using aside = claimAside(join(this.folder, name));
    try {
      await Deno.mkdir(aside.path);
      const manifest: Manifest = { formatVersion: FORMAT_VERSION, step, files: {} };
      for (const [file, chunks] of contents) manifest.files[file] = await writeHashed(join(aside.path, file), chunks);
      await writeHashed(join(aside.path, MANIFEST), [new TextEncoder().encode(manifestText(manifest))]);
      await syncFolder(aside.path);
      await Deno.rename(aside.path, join(this.folder, name));
      await syncFolder(this.folder);
    } catch (error) {
      await Deno.remove(aside.path, { recursive: true }).catch(() => {});
      throw cannotWrite(join(this.folder, name), error);
    }

    const problem = await this.#problemOf(name);
    if (problem !== undefined) {
      throw new DiskError(
        `checkpoint ${join(this.folder, name)} is not what was written: ${problem}; older ones are kept`,
      );
    }
    await this.#prune(name, keepStep);
  }

  /**
   * The newest valid checkpoint, or undefined if there is none.
   *
   * @param onSkip told of each newer checkpoint that is not valid, and what is wrong with which file.
   * @param load puts the checkpoint's state back. Where it throws {@linkcode MissingFileError}, which it does before it changes
   * anything, the checkpoint is skipped like a damaged one.
   */
  async newest(
    onSkip?: (path: string, reason: string) => void,
    load?: (checkpoint: Checkpoint) => Promise<void>,
  ): Promise<Checkpoint | undefined> {
    // All that lies here is checkpoints' and what is said of them.
    if (await isFolder(this.folder)) await removeLeftovers(this.folder, () => true);
    for (const { name, step } of (await this.#entries()).reverse()) {
      const folder = join(this.folder, name);
      let problem = await this.#problemOf(name);
      if (problem === undefined) {
        const checkpoint = await openCheckpoint(folder, step);
        try {
          await load?.(checkpoint);
          return checkpoint;
        } catch (error) {
          if (!(error instanceof MissingFileError)) throw error;
          this.#damaged.add(name);
          problem = `${MANIFEST} lacks ${error.file}`;
        }
      }
      onSkip?.(folder, problem);
    }
    return undefined;
  }

  /** Step and folder of every checkpoint there is, oldest first, valid or not. */
  async list(): Promise<{ step: number; folder: string }[]> {
    return (await this.#entries()).map(({ name, step }) => ({ step, folder: join(this.folder, name) }));
  }

  /**
   * What is wrong with the checkpoint of a step, or that there is none; undefined where it is as it was written.
   *
   * @param options.hashes whether contents are compared too, not sizes alone. @default {true}
   */
  async problemOf(step: number, options: { hashes: boolean } = { hashes: true }): Promise<string | undefined> {
    let problem: string | undefined = "its folder is not there any more";
    for (const entry of await this.#entries()) {
      if (entry.step === step) problem = await this.#problemOf(entry.name, options);
    }
    return problem;
  }

  /**
   * Renames the checkpoints of a step and all later ones to `diverged-step-…`: they stay to be looked at, and are not resumed
   * from.
   *
   * @returns what they are called now, oldest first.
   * @throws {DiskError} if the system refuses.
   */
  async setAside(from: number): Promise<string[]> {
    const names: string[] = [];
    for (const { name, step } of await this.#entries()) {
      if (step < from) continue;
      const aside = `diverged-${name}`;
      try {
        if (await isFolder(join(this.folder, aside))) await Deno.remove(join(this.folder, aside), { recursive: true });
        await Deno.rename(join(this.folder, name), join(this.folder, aside));
      } catch (error) {
        throw cannotWrite(join(this.folder, aside), error);
      }
      names.push(aside);
    }
    return names;
  }

  async #entries(): Promise<Entry[]> {
    if (!await isFolder(this.folder)) return [];
    const entries: Entry[] = [];
    for await (const { name } of Deno.readDir(this.folder)) {
      const match = NAME.exec(name);
      if (match !== null) entries.push({ name, step: Number(match[1]), revision: Number(match[2] ?? 0) });
    }
    return entries.sort((a, b) => a.step - b.step || a.revision - b.revision);
  }

  /** A name that is free, so that replacing a step never leaves a moment without it. */
  async #nameFor(step: number): Promise<string> {
    const entries = await this.#entries();
    for (const entry of entries) {
      if (entry.step > step && !this.#damaged.has(entry.name) && await this.#problemOf(entry.name) === undefined) {
        throw new RangeError(`cannot save step ${step}: ${this.folder} has the valid, newer checkpoint ${entry.name}`);
      }
    }
    const base = `step-${String(step).padStart(8, "0")}`;
    const last = entries.findLast((entry) => entry.step === step);
    return last === undefined ? base : `${base}-${last.revision + 1}`;
  }

  /** What is wrong with a checkpoint, or undefined if it is valid. */
  async #problemOf(name: string, options?: { hashes: boolean }): Promise<string | undefined> {
    const problem = await findProblem(join(this.folder, name), Number(NAME.exec(name)![1]), options);
    if (problem !== undefined) this.#damaged.add(name);
    return problem;
  }

  /** Removes what is older than the newest `keep` checkpoints that are not known to be damaged. */
  async #prune(saved: string, keepStep: number | undefined): Promise<void> {
    const steps = new Set<number>();
    for (const { name, step } of (await this.#entries()).reverse()) {
      // Beyond the one just saved, files of the right sizes count as valid: hashing all of them at every save is dear.
      const valid = name === saved ||
        !this.#damaged.has(name) && await this.#problemOf(name, { hashes: false }) === undefined;
      if (valid && step === keepStep && steps.size >= this.#keep) continue;
      const isDamagedAndNewer = !valid && step > Number(NAME.exec(saved)![1]);
      if (isDamagedAndNewer || valid && !steps.has(step) && steps.size < this.#keep) {
        if (valid) steps.add(step);
        continue;
      }
      // A half-removed checkpoint must not look like a damaged one: it gets a leftover's name first.
      using aside = claimAside(join(this.folder, name));
      await Deno.rename(join(this.folder, name), aside.path);
      await Deno.remove(aside.path, { recursive: true });
    }
  }
}

function encode(name: string, value: Map<string, HostTensor> | object): Uint8Array[] {
  if (!FILE_NAME.test(name) || name === MANIFEST) {
    throw new RangeError(`a checkpoint cannot have a file named '${name}'`);
  }
  if (name.endsWith(".safetensors")) {
    if (!(value instanceof Map)) throw new TypeError(`'${name}' must be a Map of tensors`);
    return safetensorsChunks(value);
  }
  if (!name.endsWith(".json")) throw new RangeError(`'${name}' must end in .safetensors or .json`);
  checkJson(value, name);
  return [new TextEncoder().encode(JSON.stringify(value, null, 2) + "\n")];
}

/** Refuses what JSON would change without a word. */
function checkJson(value: unknown, path: string): void {
  if (value === null || ["string", "boolean", "undefined"].includes(typeof value)) return;
  if (typeof value === "number") {
    if (Number.isFinite(value) && !Object.is(value, -0)) return;
    throw new TypeError(
      `${path} is ${Object.is(value, -0) ? "-0" : value}, which JSON cannot hold: save it as a tensor`,
    );
  }
  if (Array.isArray(value)) {
    value.forEach((item, i) => {
      if (item === undefined) throw new TypeError(`${path}[${i}] is undefined, which JSON cannot hold`);
      checkJson(item, `${path}[${i}]`);
    });
    return;
  }
  const prototype = typeof value === "object" ? Object.getPrototypeOf(value) : undefined;
  if (prototype !== Object.prototype && prototype !== null) {
    const kind = typeof value === "object" ? value.constructor?.name ?? "object" : typeof value;
    throw new TypeError(`${path} is a ${kind}, which JSON cannot hold: use plain objects, arrays, numbers and text`);
  }
  for (const [key, item] of Object.entries(value as object)) checkJson(item, `${path}.${key}`);
}

async function writeHashed(path: string, chunks: Uint8Array[]): Promise<{ size: number; sha256: string }> {
  const hash = createHash("sha256");
  let size = 0;
  await writeFileSynced(path, async (sink) => {
    for (const chunk of chunks) {
      hash.update(chunk);
      await sink.write(chunk);
    }
    size = sink.size;
  });
  return { size, sha256: hash.digest("hex") };
}

/** The one text of a manifest: any byte that differs from it is damage. */
function manifestText(manifest: Manifest): string {
  return JSON.stringify(manifest, null, 2) + "\n";
}

/** Checks a checkpoint's folder against its manifest. Says which file is wrong and how, or undefined if none is. */
async function findProblem(folder: string, step: number, options = { hashes: true }): Promise<string | undefined> {
  let manifest: Manifest;
  try {
    const text = await readTextFile(join(folder, MANIFEST));
    manifest = JSON.parse(text);
    if (Number.isInteger(manifest.formatVersion) && manifest.formatVersion > FORMAT_VERSION) {
      return `${MANIFEST} has format version ${manifest.formatVersion}; this version reads ${FORMAT_VERSION}`;
    }
    if (manifest.formatVersion !== FORMAT_VERSION || manifestText(manifest) !== text) return `${MANIFEST} is damaged`;
    if (manifest.step !== step) return `${MANIFEST} is for step ${manifest.step}`;
    const files = Object.entries(manifest.files);
    const isSound = files.every(([name, file]) => FILE_NAME.test(name) && Number.isSafeInteger(file.size));
    if (files.length === 0 || !isSound) return `${MANIFEST} is damaged`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `${MANIFEST} is missing`;
    if (error instanceof SyntaxError || error instanceof TypeError) return `${MANIFEST} is damaged`;
    return `${MANIFEST} cannot be read: ${(error as Error).message}`;
  }
  for (const [name, { size, sha256 }] of Object.entries(manifest.files)) {
    try {
      await checkIsFile(join(folder, name));
      const written = (await Deno.stat(join(folder, name))).size;
      if (written !== size) return `${name} has ${written} bytes instead of ${size}`;
      if (options.hashes && await sha256Of(join(folder, name)) !== sha256) return `${name} does not match its SHA-256`;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return `${name} is missing`;
      return `${name} cannot be read: ${(error as Error).message}`;
    }
  }
  return undefined;
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  using file = await Deno.open(path, { read: true });
  const buffer = new Uint8Array(1 << 20);
  for (let n = await file.read(buffer); n !== null; n = await file.read(buffer)) hash.update(buffer.subarray(0, n));
  return hash.digest("hex");
}

async function openCheckpoint(folder: string, step: number): Promise<Checkpoint> {
  const manifest: Manifest = JSON.parse(await readTextFile(join(folder, MANIFEST)));
  const files = Object.keys(manifest.files);
  const pathOf = (name: string): string => {
    if (!files.includes(name)) {
      throw new MissingFileError(`checkpoint ${folder} has no ${name}: it has ${files.join(", ")}`, name);
    }
    return join(folder, name);
  };
  return {
    step,
    folder,
    files,
    require: (...names) => void names.map(pathOf),
    tensors: async (name) => await readSafetensors(pathOf(name)),
    json: async <T>(name: string): Promise<T> => JSON.parse(await readTextFile(pathOf(name))),
  };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
