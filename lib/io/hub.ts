/**
 * Models and data sets of the Hugging Face hub, by their names (`hub_name.ts`). They are fetched into the cache that Hugging
 * Face's own tools use (`hub_cache.ts`), so that neither fetches twice.
 *
 * Only what this project reads is fetched: configuration, tokenizer and safetensors of a model, parquet of a data set.
 * `HF_TOKEN`, `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE` and `HF_HUB_OFFLINE` mean what they mean there.
 */
import { HubCache } from "./hub_cache.ts";
import { HubClient, HubUnavailable, type RemoteFile } from "./hub_client.ts";
import { isHubName, parseHubName } from "./hub_name.ts";
import { UserError } from "../base/user_error.ts";

/** How far a download is. */
export interface HubProgress {
  /** The file that is being fetched. */
  file: string;
  /** Bytes of all wanted files that are here. */
  received: number;
  /** Bytes of all wanted files. */
  total: number;
}

/** Options of {@linkcode fetchFromHub}. */
export interface HubOptions {
  /** Told after each piece. */
  onProgress?: (progress: HubProgress) => void;
  /** Ends the download; what has been received is kept. */
  signal?: AbortSignal;
  /** Which files of the repository are wanted: what this project reads when left out. */
  wanted?: (path: string) => boolean;
  /** Looks up environment variables: those of the process when left out. */
  environment?: (name: string) => string | undefined;
  /** Attempts in a row that bring nothing before it is given up: 5 when left out. */
  attempts?: number;
  /** Milliseconds before the second attempt, doubled for each one after: 500 when left out. */
  delay?: number;
}

/**
 * The folder of a model or data set: a path as it is, a `hub:` name fetched.
 *
 * @throws {UserError} As {@linkcode fetchFromHub} does.
 */
export async function resolveFolder(pathOrName: string, options: HubOptions = {}): Promise<string> {
  return isHubName(pathOrName) ? await fetchFromHub(pathOrName, options) : pathOrName;
}

/**
 * Fetches what is missing of a repository and gives the folder that holds its files. A download that broke off goes on
 * where it ended; without connection (or with `HF_HUB_OFFLINE=1`) a complete copy in the cache is taken.
 *
 * @throws {UserError} When there is no such repository or revision, access is refused, the hub cannot be reached and the
 * cache has no complete copy, or a file arrives damaged: one line.
 */
export async function fetchFromHub(name: string, options: HubOptions = {}): Promise<string> {
  const { environment = (variable: string) => Deno.env.get(variable), signal, onProgress } = options;
  const what = parseHubName(name);
  const cache = new HubCache(what, environment);
  const wanted = options.wanted ?? (what.type === "model" ? isModelFile : isParquet);
  const cached = async () => {
    const folder = await cache.snapshot(what.revision);
    return folder !== undefined && await cache.isComplete(folder, options.wanted) ? folder : undefined;
  };
  const isOffline = /^(1|on|yes|true)$/i.test(environment("HF_HUB_OFFLINE") ?? "");
  if (isOffline || (isCommit(what.revision) && what.type === "model" && !options.wanted)) {
    const folder = await cached();
    if (folder !== undefined) return folder;
    if (isOffline) {
      throw new UserError(
        `${name} is not complete in the cache ${cache.folder}, and HF_HUB_OFFLINE forbids to fetch it: unset it, or ` +
          `copy the folder from another machine`,
      );
    }
  }
  const client = new HubClient(name, what, { ...options, environment, token: await cache.token() });
  try {
    const { commit, files } = await client.list();
    const chosen = choose(files.filter(wanted));
    if (chosen.length === 0) {
      const others = files.filter((path) => /\.(bin|pth?|ckpt|gguf|h5|jsonl?|csv|zip|tar|gz)$/.test(path)).slice(0, 3);
      throw new UserError(
        `${name} has none of the files that are read (${
          what.type === "model" ? "config.json, tokenizer.json, safetensors" : "parquet"
        })${others.length > 0 ? `: it has ${others.join(", ")}` : ""}`,
      );
    }
    const remote: RemoteFile[] = [];
    for (const path of chosen) remote.push(await client.describe(path, commit));
    const total = remote.reduce((sum, file) => sum + file.size, 0);
    let before = 0;
    for (const file of remote) {
      const report = (received: number) => onProgress?.({ file: file.path, received: before + received, total });
      await cache.store(file, commit, (incomplete) => client.download(file, commit, incomplete, report));
      before += file.size;
      report(0);
      signal?.throwIfAborted();
    }
    // Last, so that whoever follows the name finds all files.
    if (!isCommit(what.revision)) await cache.setRevision(what.revision, commit);
    return cache.snapshotFolder(commit);
  } catch (error) {
    if (!(error instanceof HubUnavailable)) throw error;
    const folder = await cached();
    if (folder !== undefined) return folder;
    throw new UserError(`${error.message}; the cache ${cache.folder} has no complete copy (what it has is kept)`);
  }
}

function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

const MODEL_FILES = new RegExp(
  "^(" + [
    "config\\.json",
    "generation_config\\.json",
    "tokenizer\\.json",
    "tokenizer_config\\.json",
    "special_tokens_map\\.json",
    "added_tokens\\.json",
    "vocab\\.json",
    "merges\\.txt",
    "chat_template\\.jinja",
    "adapter_config\\.json",
    "(model|diffusion_pytorch_model|adapter_model)(-\\d{5}-of-\\d{5})?\\.safetensors",
    "(model|diffusion_pytorch_model)\\.safetensors\\.index\\.json",
  ].join("|") + ")$",
);

function isModelFile(path: string): boolean {
  return MODEL_FILES.test(path);
}

function isParquet(path: string): boolean {
  return path.endsWith(".parquet");
}

/** Without shards where one file has all; small files first, so that a folder with its weights has all the rest. */
function choose(paths: string[]): string[] {
  const isWeights = (path: string) => path.endsWith(".safetensors");
  return paths
    .filter((path) => {
      const base = /^(.+?)(-\d{5}-of-\d{5}\.safetensors|\.safetensors\.index\.json)$/.exec(path)?.[1];
      return base === undefined || !paths.includes(`${base}.safetensors`);
    })
    .sort((a, b) => Number(isWeights(a)) - Number(isWeights(b)) || (a < b ? -1 : 1));
}
