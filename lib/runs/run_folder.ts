/**
 * The folder of a run: `config.json`, `environment.json`, `metrics.jsonl`, `samples.jsonl`, `checkpoints/STAGE/`,
 * `result.json` and `report.html`. A run never writes into another's folder, and resumes only with the configuration that
 * it was started with, apart from fields that may change.
 *
 * Not here: what a configuration means (the experiment's schema), and what is in a checkpoint (its stage).
 */
import { join } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";
import { isSystemError, systemReason } from "../base/disk_error.ts";
import { makeNewFolder } from "../io/folders.ts";
import { readTextFile } from "../io/plain_file.ts";
import { cannotRead } from "../io/random_access.ts";
import { inTodaysWords } from "./old_config.ts";
import { UserError } from "../base/user_error.ts";
import { CheckpointStore } from "./checkpoint.ts";
import { describeEnvironment } from "./run_environment.ts";
import { MetricLog } from "./metric_log.ts";
import { lockRun, type RunLock } from "./run_lock.ts";

/** What a run is made with. */
export interface RunOptions {
  /** All values of the configuration, defaults too. Plain JSON. */
  config: object;
  /** What the caller knows of the environment (engine, device, versions); the machine is described without it. */
  environment?: Record<string, unknown>;
}

/** What a run is begun with. */
export interface CreateOptions extends RunOptions {
  /** Begins in `path-2`, `path-3`… where there is a folder `path` already; else it must hold no run. @default {false} */
  unique?: boolean;
}

/** What a run is resumed with. */
export interface ResumeOptions extends RunOptions {
  /**
   * Fields whose values may differ from the stored ones, as dotted paths: `grpo.steps`. A path stands for everything
   * below it. Without it: steps, engine and device at the top level.
   */
  mayChange?: string[];
}

/** One field of which two configurations hold different values; undefined where it is absent. */
export interface ConfigDifference {
  /** The field as a dotted path, such as `grpo.steps`. */
  field: string;
  /** Its value in the run's folder. */
  stored: unknown;
  /** The value that is asked for now. */
  requested: unknown;
}

const CONFIG = "config.json";
const ENVIRONMENT = "environment.json";
const RESULT = "result.json";
const RUN_FILES = [CONFIG, ENVIRONMENT, "metrics.jsonl", "samples.jsonl", "checkpoints", RESULT, "report.html"];
const MAY_CHANGE = ["steps", "engine", "device"];

/** A run's folder. While it is open to be written to, other processes cannot write to it: close it, or hold it with `using`. */
export class RunFolder implements Disposable {
  /** The folder's path; with `unique`, the one that was free. */
  readonly path: string;
  /** The configuration as it was stored when the run was created. */
  readonly config: Record<string, unknown>;
  /** What is measured, line by line. */
  readonly metrics: MetricLog;
  /** Samples that are kept to look at. */
  readonly samples: MetricLog;
  readonly #lock: RunLock | undefined;

  private constructor(path: string, config: Record<string, unknown>, lock?: RunLock) {
    this.#lock = lock;
    this.path = path;
    this.config = config;
    this.metrics = new MetricLog(join(path, "metrics.jsonl"));
    this.samples = new MetricLog(join(path, "samples.jsonl"));
  }

  /**
   * Makes a new run's folder and writes its configuration and environment.
   *
   * @throws {UserError} if the folder holds a run already, or cannot be made; nothing is overwritten.
   */
  static async create(path: string, options: CreateOptions): Promise<RunFolder> {
    const config = toPlain(options.config);
    let lock: RunLock | undefined;
    try {
      if (options.unique) path = await makeNewFolder(path);
      else await Deno.mkdir(path, { recursive: true });
      await refuseOtherRun(path);
      lock = await lockRun(path);
      // Another process may have started here before the lock was ours.
      await refuseOtherRun(path);
      await writeFileAtomic(join(path, CONFIG), toText(config));
      await writeFileAtomic(join(path, ENVIRONMENT), toText(await describeEnvironment(options.environment)));
      return new RunFolder(path, config, lock);
    } catch (error) {
      lock?.[Symbol.dispose]();
      if (error instanceof UserError) throw error;
      if (!isSystemError(error)) throw error;
      throw new UserError(`cannot make the run folder ${path}: ${systemReason(error)}`);
    }
  }

  /**
   * Opens a run's folder to resume it: compares the configuration and adds to `environment.json` what it is resumed on.
   *
   * @throws {UserError} if the folder holds no run, or the configuration differs in fields that may not change, listing
   * them with both values.
   */
  static async open(path: string, options: ResumeOptions): Promise<RunFolder> {
    const { config } = await RunFolder.read(path);
    const differences = configDifferences(config, toPlain(options.config));
    refuseDifferences(path, differences, options.mayChange ?? MAY_CHANGE);
    const lock = await lockRun(path);
    try {
      const changed = Object.fromEntries(differences.map(({ field, requested }) => [field, requested ?? null]));
      const entry = { ...await describeEnvironment(options.environment), changed };
      const first = await readJson(join(path, ENVIRONMENT)) ?? {};
      const resumed = Array.isArray(first.resumed) ? first.resumed : [];
      await writeFileAtomic(join(path, ENVIRONMENT), toText({ ...first, resumed: [...resumed, entry] }));
      return new RunFolder(path, config, lock);
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  }

  /** Opens a run's folder to look at it; nothing is written. @throws {UserError} if it holds no run. */
  static async read(path: string): Promise<RunFolder> {
    const config = await readJson(join(path, CONFIG));
    if (config === undefined) {
      throw new UserError(
        `${path} holds no run (it has no ${CONFIG}): name a run's folder, or start one without --resume`,
      );
    }
    return new RunFolder(path, inTodaysWords(config));
  }

  /**
   * Does nothing while this process may write here: nothing is ever written to a folder that was removed, and made again by
   * that, or that another process has taken over.
   *
   * @throws {UserError} if the folder is gone, or its lock is not this process's any more.
   */
  check(): void {
    this.#lock?.check();
  }

  /** Path of a file in this folder, to read or to write. @throws {UserError} as {@linkcode RunFolder.check} does. */
  file(name: string): string {
    this.check();
    return join(this.path, name);
  }

  /**
   * The checkpoints of one stage.
   *
   * @throws {RangeError} if the stage's name is not fit for a folder.
   * @throws {UserError} as {@linkcode RunFolder.check} does.
   */
  checkpoints(stage: string, options: { keep?: number } = {}): CheckpointStore {
    this.check();
    if (!/^[a-z0-9][a-z0-9_-]*$/i.test(stage)) throw new RangeError(`a stage cannot be named '${stage}'`);
    return new CheckpointStore(join(this.path, "checkpoints", stage), options);
  }

  /** Writes `result.json` at once or not at all: an interrupted write leaves the old one. */
  async writeResult(result: object): Promise<void> {
    await writeFileAtomic(this.file(RESULT), toText(result));
  }

  /** The content of `result.json`, or undefined if the run has none yet. @throws {UserError} if it is damaged. */
  async readResult(): Promise<Record<string, unknown> | undefined> {
    return await readJson(this.file(RESULT));
  }

  /** The content of `environment.json`, or undefined if there is none. @throws {UserError} if it is damaged. */
  async readEnvironment(): Promise<Record<string, unknown> | undefined> {
    return await readJson(this.file(ENVIRONMENT));
  }

  /** Closes the logs and lets other processes write to the folder. */
  close(): void {
    this.metrics.close();
    this.samples.close();
    this.#lock?.[Symbol.dispose]();
  }

  /** Same as {@linkcode RunFolder.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}

async function refuseOtherRun(path: string): Promise<void> {
  for await (const { name } of Deno.readDir(path)) {
    if (!RUN_FILES.includes(name)) continue;
    throw new UserError(
      `${path} already holds a run (${name}): continue it with --resume, or choose another folder with --out`,
    );
  }
}

function refuseDifferences(path: string, differences: ConfigDifference[], mayChange: string[]): void {
  const isAllowed = (field: string) => mayChange.some((path) => field === path || field.startsWith(`${path}.`));
  const refused = differences.filter(({ field }) => !isAllowed(field));
  if (refused.length === 0) return;
  const list = refused.map(({ field, stored, requested }) => `${field} was ${show(stored)}, now ${show(requested)}`);
  throw new UserError(
    `${path} was started with another configuration: ${list.join("; ")}. ` +
      `Resume with the values it was started with, or start a new run with another --out`,
  );
}

/** The fields in which two plain configurations differ, as dotted paths in order. Arrays are compared as a whole. */
export function configDifferences(stored: object, requested: object, prefix = ""): ConfigDifference[] {
  const differences: ConfigDifference[] = [];
  for (const key of new Set([...Object.keys(stored), ...Object.keys(requested)])) {
    const field = prefix + key;
    const a = Object.hasOwn(stored, key) ? (stored as Record<string, unknown>)[key] : undefined;
    const b = Object.hasOwn(requested, key) ? (requested as Record<string, unknown>)[key] : undefined;
    if (isObject(a) && isObject(b)) differences.push(...configDifferences(a, b, `${field}.`));
    else if (show(a) !== show(b)) differences.push({ field, stored: a, requested: b });
  }
  return differences;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** As it will be after a round trip through the file, so that the stored and the given compare alike. */
function toPlain(config: object): Record<string, unknown> {
  return JSON.parse(toText(config));
}

/** Numbers that JSON lacks are written as texts, as in the logs. */
function toText(value: object): string {
  const readable = (_: string, v: unknown) => typeof v === "number" && !Number.isFinite(v) ? String(v) : v;
  return JSON.stringify(value, readable, 2) + "\n";
}

function show(value: unknown): string {
  return value === undefined ? "absent" : JSON.stringify(value);
}

async function readJson(path: string): Promise<Record<string, unknown> | undefined> {
  let value: unknown;
  try {
    value = JSON.parse(await readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (error instanceof SyntaxError) throw new UserError(`${path} is damaged: it is not valid JSON`);
    throw cannotRead(path, error);
  }
  if (!isObject(value)) throw new UserError(`${path} is damaged: it does not hold an object`);
  return value as Record<string, unknown>;
}
