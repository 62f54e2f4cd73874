/**
 * Downloading one large file: with progress, resumed where a connection broke off, also by a later run, and checked against its
 * SHA-256 where that is known.
 *
 * The bytes so far lie in `NAME.part`, and beside it what the server said about the file, so that a file that has changed
 * on the server is not continued from the old one's bytes. What is downloaded is code that will run: it comes by https only,
 * redirects included.
 */
import { createHash } from "node:crypto";
import { UserError } from "../../base/user_error.ts";

/** How far a download is; `total` where the server says it. */
export type DownloadProgress = (received: number, total: number | undefined) => void;

export interface DownloadOptions {
  onProgress?: DownloadProgress;
  signal?: AbortSignal;
  /** What the file must be, in hexadecimal digits. */
  sha256?: string;
  /** Attempts in a row that bring nothing before it is given up. */
  attempts?: number;
  /** Milliseconds before the second attempt; doubled for each one after. */
  delay?: number;
}

/** What is remembered of an unfinished download. */
interface PartNote {
  url: string;
  /** The server's mark of this version of the file. */
  validator: string | null;
  total: number | null;
}

/**
 * Downloads `url` to `path`. A file that is there already is taken, if it is the right one.
 *
 * @throws {UserError} When the address is not https, the server cannot be reached, refuses, or the connection keeps breaking (says
 * what is kept), or the file is not what it must be (nothing is kept).
 */
export async function download(
  url: string,
  path: string,
  { onProgress, signal, sha256, attempts = 5, delay = 500 }: DownloadOptions = {},
): Promise<void> {
  if (await isFile(path)) {
    if (sha256 === undefined || await sha256OfFile(path, signal) === sha256) return;
    await removeIfThere(path);
  }
  const part = `${path}.part`, notePath = `${path}.part.json`;
  let idle = 0;
  for (;;) {
    const before = await sizeOfFile(part);
    try {
      await fetchInto(url, part, notePath, onProgress, signal);
      break;
    } catch (error) {
      if (signal?.aborted || error instanceof UserError) throw error;
      idle = await sizeOfFile(part) > before ? 0 : idle + 1;
      if (idle >= attempts) {
        const kept = await sizeOfFile(part);
        const reason = (error as Error).message.split("\n")[0];
        throw new UserError(
          `cannot download ${url}: ${reason}` + (kept > 0 ? ` (${kept} bytes are kept: run it again to go on)` : ""),
        );
      }
      if (idle > 0) await sleep(delay * 2 ** (idle - 1), signal);
    }
  }
  await removeIfThere(notePath);
  const found = sha256 === undefined ? undefined : await sha256OfFile(part, signal);
  if (found !== sha256) {
    await removeIfThere(part);
    throw new UserError(
      `${url} is not what it should be: its SHA-256 is ${found} where ${sha256} was stated. Nothing of it is kept: try again later`,
    );
  }
  await Deno.rename(part, path);
}

/** SHA-256 of a file, in hexadecimal digits. */
export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  const bytes = new Uint8Array(2 ** 22);
  for (let count; (count = await file.read(bytes)) !== null;) {
    hash.update(bytes.subarray(0, count));
    signal?.throwIfAborted();
  }
  return hash.digest("hex");
}

/** As many redirects as browsers follow at least. */
const MAX_REDIRECTS = 20;

/**
 * Like `fetch`, by https only: plain http is for servers on this machine, and no redirect leads from https to it.
 *
 * @throws {UserError} When the address, or one that it redirects to, is another.
 */
export async function fetchSecurely(url: string, init: RequestInit = {}): Promise<Response> {
  let isFromSecure = false;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const { protocol, hostname } = URL.parse(url) ?? {};
    const isLocal = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname ?? "");
    if (protocol !== "https:" && !(protocol === "http:" && isLocal && !isFromSecure)) {
      throw new UserError(
        `${
          JSON.stringify(url.slice(0, 200))
        } is not downloaded from: anybody on the way could change what comes; use an https address`,
      );
    }
    isFromSecure = protocol === "https:";
    const response = await fetch(url, { ...init, redirect: "manual" });
    const target = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || target === null) return response;
    await response.body?.cancel();
    url = URL.parse(target, url)?.href ?? target;
  }
  throw new UserError(`too many redirects, the last to ${JSON.stringify(url.slice(0, 200))}`);
}

/** One attempt: asks for what is missing and appends it. Throws when the connection ends before the file does. */
async function fetchInto(
  url: string,
  part: string,
  notePath: string,
  onProgress: DownloadProgress | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const note = await readNote(notePath);
  let have = note?.url === url && note.validator !== null ? await sizeOfFile(part) : 0;
  if (note?.total === have && have > 0) return;
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (have > 0) {
    headers.range = `bytes=${have}-`;
    headers["if-range"] = note!.validator!;
  }
  const response = await fetchSecurely(url, { headers, signal });
  if (have > 0 && response.status === 206 && !response.headers.get("content-range")?.startsWith(`bytes ${have}-`)) {
    await response.body?.cancel();
    await removeIfThere(part);
    throw new Error("the server answered with another part of the file than was asked for");
  }
  if (response.status !== 206) have = 0;
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    const reason = `the server answers ${response.status} ${response.statusText}`.trim();
    // A server that is busy may be better soon; everything else stays as it is.
    if (response.status >= 500 || response.status === 429) throw new Error(reason);
    throw new UserError(`cannot download ${url}: ${reason}`);
  }
  const length = response.headers.get("content-length");
  const total = length === null ? undefined : have + Number(length);
  const kept: PartNote = { url, validator: validatorOf(response.headers), total: total ?? null };
  await Deno.writeTextFile(notePath, JSON.stringify(kept));

  const file = await Deno.open(part, { create: true, write: true, append: have > 0, truncate: have === 0 });
  try {
    onProgress?.(have, total);
    for await (const chunk of response.body) {
      for (let done = 0; done < chunk.length;) done += await file.write(chunk.subarray(done));
      have += chunk.length;
      onProgress?.(have, total);
    }
  } finally {
    file.close();
  }
  if (total !== undefined && have !== total) throw new Error(`the connection ended after ${have} of ${total} bytes`);
}

/** A strong ETag, or the date of the last change: what `If-Range` may carry. */
function validatorOf(headers: Headers): string | null {
  const tag = headers.get("etag");
  return tag !== null && !tag.startsWith("W/") ? tag : headers.get("last-modified");
}

async function readNote(path: string): Promise<PartNote | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch {
    return undefined;
  }
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}

async function sizeOfFile(path: string): Promise<number> {
  try {
    return (await Deno.stat(path)).size;
  } catch {
    return 0;
  }
}

/** Removes a file or folder that may not be there. */
export async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
