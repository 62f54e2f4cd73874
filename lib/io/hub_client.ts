/**
 * What is said over HTTP with the Hugging Face hub: which files a repository has, what they are, and their bytes, resumed
 * by range where a connection broke off. Where they go on disk is `hub_cache.ts`.
 */
import { createHash } from "node:crypto";
import { readAnswer } from "./answer.ts";
import type { HubName } from "./hub_name.ts";
import { UserError } from "../base/user_error.ts";

/** A file as the hub describes it. */
export interface RemoteFile {
  /** Within the repository. */
  path: string;
  /** Name of its contents: SHA-256 of large files, git's SHA-1 of others. */
  etag: string;
  /** Bytes. */
  size: number;
}

/** The hub does not answer, or only with errors of its own. */
export class HubUnavailable extends Error {
  /** The class's name, for messages. */
  override readonly name = "HubUnavailable";
}

/** An attempt that may succeed when it is repeated. */
class Interrupted extends Error {}

/** Bytes of the list of a repository's files: enough for half a million. */
const MAX_LIST_BYTES = 2 ** 26;

/** Milliseconds without a byte after which a connection counts as broken. */
const STALL = 60_000;

/** Options of {@linkcode HubClient}. */
interface HubClientOptions {
  /** Looks up environment variables. */
  environment: (name: string) => string | undefined;
  /** Sent to the hub itself, never to the servers that it redirects to. */
  token?: string;
  /** Ends requests and pauses. */
  signal?: AbortSignal;
  /** Attempts in a row that bring nothing before it is given up: 5 when left out. */
  attempts?: number;
  /** Milliseconds before the second attempt, doubled for each one after: 500 when left out. */
  delay?: number;
}

/** Requests about one repository. */
export class HubClient {
  readonly #name: string;
  readonly #what: HubName;
  readonly #endpoint: string;
  readonly #token?: string;
  readonly #signal?: AbortSignal;
  readonly #attempts: number;
  readonly #delay: number;

  /**
   * Asks about one repository.
   *
   * @param name As the user wrote it, for messages.
   */
  constructor(
    name: string,
    what: HubName,
    { environment, token, signal, attempts = 5, delay = 500 }: HubClientOptions,
  ) {
    this.#name = name;
    this.#what = what;
    this.#endpoint = (environment("HF_ENDPOINT") || "https://huggingface.co").replace(/\/+$/, "");
    if (!URL.canParse(this.#endpoint) || !/^https?:/.test(this.#endpoint)) {
      throw new UserError(
        `HF_ENDPOINT must be an address such as https://huggingface.co: received "${this.#endpoint}"`,
      );
    }
    this.#token = token;
    this.#signal = signal;
    this.#attempts = attempts;
    this.#delay = delay;
  }

  /** The commit that the revision is at, and its files. */
  async list(): Promise<{ commit: string; files: string[] }> {
    const { type, repository, revision } = this.#what;
    const url = `${this.#endpoint}/api/${type}s/${repository}/revision/${encodeURIComponent(revision)}`;
    const json = await this.#retry(async () => {
      const { response } = await this.#send(url, "GET");
      try {
        return JSON.parse(new TextDecoder().decode(await readAnswer(response, MAX_LIST_BYTES)));
      } catch (error) {
        if (error instanceof UserError) throw error;
        throw new Interrupted(`the answer of ${url} breaks off (${(error as Error).message})`);
      }
    }, false);
    const files = (json?.siblings as { rfilename?: unknown }[] | undefined)?.map(({ rfilename }) => rfilename);
    if (typeof json?.sha !== "string" || !/^[0-9a-f]{40}$/.test(json.sha) || !Array.isArray(files)) {
      throw new UserError(`${this.#name}: ${url} does not answer as the hub does: check HF_ENDPOINT`);
    }
    // A path that leads out of its folder would overwrite what the user did not point at.
    const isSafe = (path: unknown): path is string =>
      typeof path === "string" && !/^[/\\]|\\|^[a-z]:/i.test(path) &&
      path.split("/").every((part) => !/^\.{0,2}$/.test(part));
    return { commit: json.sha, files: files.filter(isSafe) };
  }

  /** Asks what a file is. */
  async describe(path: string, commit: string): Promise<RemoteFile> {
    const { file } = await this.#retry(() => this.#head(path, commit), false);
    return file;
  }

  /**
   * Fetches a file's bytes; what is there already is kept.
   *
   * @param report Told how many bytes are there.
   */
  async download(
    file: RemoteFile,
    commit: string,
    incomplete: string,
    report: (received: number) => void,
  ): Promise<void> {
    let isSecondTry = false;
    for (;;) {
      await this.#retry(async (progress) => {
        const have = await sizeOf(incomplete);
        if (have === file.size && have > 0) return;
        // Addresses that the hub redirects to are valid for some time only: asked anew for each attempt.
        const { location } = await this.#head(file.path, commit);
        await this.#append(file, location, incomplete, have > file.size ? 0 : have, report, progress);
      }, true);
      if (await isIntact(file, incomplete, this.#signal)) return;
      await Deno.remove(incomplete);
      if (isSecondTry) {
        throw new UserError(
          `${this.#name}: ${file.path} arrives damaged (its SHA-${
            file.etag.length === 64 ? 256 : 1
          } is not ${file.etag}): try again later`,
        );
      }
      isSecondTry = true;
    }
  }

  async #head(path: string, commit: string): Promise<{ file: RemoteFile; location: string }> {
    const prefix = this.#what.type === "dataset" ? "datasets/" : "";
    const name = path.split("/").map(encodeURIComponent).join("/");
    const url = `${this.#endpoint}/${prefix}${this.#what.repository}/resolve/${commit}/${name}`;
    const { response, location } = await this.#send(url, "HEAD");
    const { headers } = response;
    const etag = (headers.get("x-linked-etag") ?? headers.get("etag"))?.replace(/^W\//, "").replace(/^"|"$/g, "");
    const size = Number(headers.get("x-linked-size") ?? headers.get("content-length") ?? NaN);
    const found = headers.get("x-repo-commit");
    if (found !== null && found !== commit) {
      throw new UserError(`${this.#name}: ${path} is of commit ${found} where ${commit} was asked for: try again`);
    }
    if (etag === undefined || !/^[\w-][\w.-]*$/.test(etag) || !Number.isSafeInteger(size)) {
      throw new UserError(`${this.#name}: ${url} states no ETag or no size: check HF_ENDPOINT`);
    }
    return { file: { path, etag, size }, location };
  }

  /** One attempt: asks for what is missing and appends it. */
  async #append(
    file: RemoteFile,
    location: string,
    incomplete: string,
    have: number,
    report: (received: number) => void,
    progress: () => void,
  ): Promise<void> {
    using stall = new Stall(this.#signal);
    const { response } = await this.#send(location, "GET", have > 0 ? { range: `bytes=${have}-` } : {}, stall.signal);
    if (response.status === 206 && !response.headers.get("content-range")?.startsWith(`bytes ${have}-`)) {
      await response.body?.cancel();
      await Deno.remove(incomplete);
      throw new Interrupted("the server answered with another part of the file than was asked for");
    }
    if (response.status !== 206) have = 0;
    using out = await Deno.open(incomplete, { create: true, write: true });
    await out.truncate(have);
    await out.seek(have, Deno.SeekMode.Start);
    report(have);
    const reader = response.body!.getReader();
    for (;;) {
      let value: Uint8Array | undefined;
      try {
        value = (await reader.read()).value;
      } catch (error) {
        this.#signal?.throwIfAborted();
        throw new Interrupted(`the connection broke off after ${have} of ${file.size} bytes (${oneLine(error)})`);
      }
      if (value === undefined) break;
      if (have + value.length > file.size) {
        await reader.cancel();
        await Deno.remove(incomplete);
        throw new Interrupted(`the server sent more than the ${file.size} bytes that it had announced`);
      }
      for (let done = 0; done < value.length;) done += await out.write(value.subarray(done));
      have += value.length;
      if (value.length > 0) progress();
      stall.reset();
      report(have);
    }
    if (have !== file.size) throw new Interrupted(`the connection ended after ${have} of ${file.size} bytes`);
    await out.sync();
  }

  /**
   * Sends a request and follows redirects by hand: the token goes to the hub only, and a HEAD stops where the hub points to
   * another server, since it is the hub's answer that says what the file is.
   */
  async #send(
    url: string,
    method: "GET" | "HEAD",
    headers: Record<string, string> = {},
    signal = this.#signal,
  ): Promise<{ response: Response; location: string }> {
    const home = new URL(this.#endpoint).host;
    for (let hops = 0; hops < 8; hops++) {
      const isHome = new URL(url).host === home;
      let response: Response;
      try {
        response = await fetch(url, {
          method,
          redirect: "manual",
          signal,
          headers: {
            // Compressed on the way, a file would have another size than announced.
            "accept-encoding": "identity",
            ...headers,
            ...(this.#token && isHome ? { authorization: `Bearer ${this.#token}` } : {}),
          },
        });
      } catch (error) {
        this.#signal?.throwIfAborted();
        throw new Interrupted(`${new URL(url).origin} cannot be reached (${oneLine(error)})`);
      }
      const target = response.headers.get("location");
      if (response.status < 300 || response.status >= 400 || target === null) {
        if (response.ok) return { response, location: url };
        await response.body?.cancel();
        throw this.#refusal(response, url);
      }
      await response.body?.cancel();
      url = this.#redirect(url, target);
      if (method === "HEAD" && new URL(url).host !== home) return { response, location: url };
    }
    throw new UserError(`${this.#name}: too many redirects, the last to ${url}`);
  }

  /** Where a redirect leads: to http or https, and never from https to a way on which others could change what comes. */
  #redirect(from: string, target: string): string {
    const { href, protocol } = URL.parse(target, from) ?? { href: target };
    if (protocol === "https:" || (protocol === "http:" && new URL(from).protocol === "http:")) return href;
    throw new UserError(`${this.#name}: ${from} redirects to ${JSON.stringify(href)}, which is not downloaded from`);
  }

  /** The error that a status means. */
  #refusal({ status, headers }: Response, url: string): Error {
    const code = headers.get("x-error-code"), { repository, revision } = this.#what;
    if (status >= 500 || status === 429 || status === 408) {
      return new Interrupted(`${new URL(url).origin} answers ${status}`);
    }
    // An address for a limited time that has run out is asked for again.
    if (new URL(url).host !== new URL(this.#endpoint).host) {
      return new Interrupted(`a server of the hub answers ${status}`);
    }
    if (status === 416) return new Interrupted("the server does not have the part of the file that was asked for");
    const access = this.#token ? "the token (HF_TOKEN) has no access" : "set HF_TOKEN if it is private";
    const reason = code === "RevisionNotFound"
      ? `it has no revision '${revision}'`
      : code === "EntryNotFound"
      ? `it has no file ${decodeURIComponent(new URL(url).pathname)}`
      : code === "GatedRepo" || status === 403
      ? `access must be asked for at ${this.#endpoint}/${repository}, and HF_TOKEN be set`
      : code === "RepoNotFound" || status === 401 || status === 404
      ? `there is no such repository, or ${access}`
      : `the hub refuses it`;
    return new UserError(`${this.#name}: ${reason} (${this.#endpoint} answers ${status})`);
  }

  /**
   * Repeats what was interrupted, with growing pauses.
   *
   * @param run Calls its argument when it has got on: then the pauses begin anew.
   * @param isDownload Whether what has come so far is kept and worth a word.
   */
  async #retry<T>(run: (progress: () => void) => Promise<T>, isDownload: boolean): Promise<T> {
    for (let idle = 0;;) {
      let hasProgress = false;
      try {
        return await run(() => hasProgress = true);
      } catch (error) {
        if (!(error instanceof Interrupted)) throw error;
        idle = hasProgress ? 0 : idle + 1;
        if (idle >= this.#attempts) {
          throw new HubUnavailable(`${this.#name}: ${error.message}${isDownload ? ": run it again to go on" : ""}`);
        }
        if (idle > 0) await sleep(this.#delay * 2 ** (idle - 1), this.#signal);
      }
    }
  }
}

/** A signal that ends a request when nothing comes any more, or when the caller's does. */
class Stall implements Disposable {
  readonly #controller = new AbortController();
  readonly signal: AbortSignal;
  #timer?: ReturnType<typeof setTimeout>;

  constructor(outer?: AbortSignal) {
    this.signal = outer ? AbortSignal.any([outer, this.#controller.signal]) : this.#controller.signal;
    this.reset();
  }

  reset(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#controller.abort(new Error(`nothing came for ${STALL / 1000} s`)), STALL);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/**
 * Whether a file's bytes are those that its name is made of: SHA-256 for large files; else git's SHA-1 of a blob, or the bytes'
 * own, as mirrors have it. Names of other kinds say nothing of the contents.
 */
async function isIntact({ etag, size }: RemoteFile, path: string, signal?: AbortSignal): Promise<boolean> {
  const hashes = /^[0-9a-f]{64}$/.test(etag)
    ? [createHash("sha256")]
    : /^[0-9a-f]{40}$/.test(etag)
    ? [createHash("sha1").update(`blob ${size}\0`), createHash("sha1")]
    : [];
  if (hashes.length === 0) return true;
  using file = await Deno.open(path);
  const bytes = new Uint8Array(2 ** 22);
  for (;;) {
    const count = await file.read(bytes);
    if (count === null) return hashes.some((hash) => hash.digest("hex") === etag);
    for (const hash of hashes) hash.update(bytes.subarray(0, count));
    signal?.throwIfAborted();
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await Deno.stat(path)).size;
  } catch {
    return 0;
  }
}

function oneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ");
}

function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
