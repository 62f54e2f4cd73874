/**
 * The cache of the Hugging Face hub on disk, laid out as Python's `huggingface_hub` does, locks included:
 *
 *     models--org--name/blobs/ETAG                 contents; ETAG.incomplete while they arrive
 *     models--org--name/snapshots/COMMIT/PATH      links to them
 *     models--org--name/refs/main                  the commit that a branch was at
 *     .locks/models--org--name/ETAG.lock
 */
import { dirname, join, relative } from "node:path";
import { claimAside, writeFileAtomic } from "./atomic.ts";
import type { RemoteFile } from "./hub_client.ts";
import type { HubName } from "./hub_name.ts";
import { openWeights } from "./safetensors_folder.ts";
import { areWhole } from "./shards.ts";

type Environment = (name: string) => string | undefined;

/** One repository's part of the cache. */
export class HubCache {
  /** Where all repositories are. */
  readonly root: string;
  /** Where this one is. */
  readonly folder: string;
  readonly #home: string;
  readonly #environment: Environment;
  readonly #type: HubName["type"];

  /** The cache that the environment names; nothing is made yet. */
  constructor({ type, repository }: HubName, environment: Environment) {
    const user = environment("HOME") ?? environment("USERPROFILE") ?? ".";
    const expand = (path: string) => path.replace(/^~(?=$|[\\/])/, user);
    const caches = environment("XDG_CACHE_HOME") ?? join(user, ".cache");
    this.#home = expand(environment("HF_HOME") ?? join(caches, "huggingface"));
    this.root = expand(environment("HF_HUB_CACHE") ?? environment("HUGGINGFACE_HUB_CACHE") ?? join(this.#home, "hub"));
    this.folder = join(this.root, [`${type}s`, ...repository.split("/")].join("--"));
    this.#environment = environment;
    this.#type = type;
  }

  /** What to identify with: `HF_TOKEN`, or what `hf auth login` has left. */
  async token(): Promise<string | undefined> {
    const stated = this.#environment("HF_TOKEN")?.trim();
    if (stated) return stated;
    const path = this.#environment("HF_TOKEN_PATH") ?? join(this.#home, "token");
    return (await readIfThere(path))?.trim() || undefined;
  }

  /** The folder of a commit's files. */
  snapshotFolder(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  /** The folder of a branch's, tag's or commit's files, if there is one. */
  async snapshot(revision: string): Promise<string | undefined> {
    const commit = /^[0-9a-f]{40}$/.test(revision)
      ? revision
      : (await readIfThere(join(this.folder, "refs", revision)))?.trim();
    if (commit === undefined || !/^[0-9a-f]{40}$/.test(commit)) return undefined;
    const folder = this.snapshotFolder(commit);
    return await isThere(folder) ? folder : undefined;
  }

  /** Remembers where a branch or tag is. */
  async setRevision(revision: string, commit: string): Promise<void> {
    const path = join(this.folder, "refs", revision);
    await Deno.mkdir(dirname(path), { recursive: true });
    await writeFileAtomic(path, commit);
  }

  /**
   * Whether a snapshot holds what a repository of its kind must: a model's configuration and readable weights, all parts of a
   * data set's numbered files.
   *
   * @param wanted Where other files than these are asked for: there must be one of them.
   */
  async isComplete(folder: string, wanted?: (path: string) => boolean): Promise<boolean> {
    const paths: string[] = [];
    for await (const path of walk(folder)) paths.push(path);
    if (wanted) return paths.some(wanted);
    if (this.#type === "dataset") {
      const tables = paths.filter((path) => path.endsWith(".parquet"));
      return tables.length > 0 && areWhole(tables);
    }
    if (!paths.includes("config.json") && !paths.includes("adapter_config.json")) return false;
    if (paths.includes("adapter_model.safetensors")) return true;
    try {
      (await openWeights(folder)).close();
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Makes a file of a snapshot: fetches its contents if they are not here, and links them.
   *
   * @param fetch Fills the incomplete blob at the path that it is given.
   */
  async store(file: RemoteFile, commit: string, fetch: (incomplete: string) => Promise<void>): Promise<void> {
    const blob = join(this.folder, "blobs", file.etag);
    const link = join(this.snapshotFolder(commit), ...file.path.split("/"));
    await Deno.mkdir(dirname(blob), { recursive: true });
    await Deno.mkdir(dirname(link), { recursive: true });
    if (await sizeOf(blob) !== file.size) {
      const lock = join(this.root, ".locks", this.folder.slice(this.root.length + 1), `${file.etag}.lock`);
      await Deno.mkdir(dirname(lock), { recursive: true });
      using guard = await Deno.open(lock, { create: true, write: true });
      await guard.lock(true);
      // Another process may have fetched it while this one waited.
      if (await sizeOf(blob) !== file.size) {
        await fetch(`${blob}.incomplete`);
        await Deno.rename(`${blob}.incomplete`, blob);
      }
    }
    await this.#link(blob, link);
  }

  async #link(blob: string, link: string): Promise<void> {
    const target = relative(dirname(link), blob);
    try {
      if (await Deno.readLink(link) === target) return;
    } catch {
      // Not there, or not a link.
    }
    // Made aside and renamed: another process may be making the same link.
    using aside = claimAside(link);
    try {
      await Deno.symlink(target, aside.path);
    } catch {
      // Windows allows links to some users only.
      await Deno.copyFile(blob, aside.path);
    }
    await Deno.rename(aside.path, link);
  }
}

/** Paths of all files below a folder whose contents are there, with `/` between their parts. */
async function* walk(folder: string, prefix = ""): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(join(folder, prefix))) {
    const path = prefix + entry.name;
    if (entry.isDirectory) yield* walk(folder, `${path}/`);
    else if (await isThere(join(folder, path))) yield path;
  }
}

async function isThere(path: string): Promise<boolean> {
  return await sizeOf(path) !== undefined;
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}
