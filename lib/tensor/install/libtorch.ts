/**
 * Putting LibTorch into the project's own folder: from PyTorch's wheel for CPUs, whose SHA-256 its index states; from its LibTorch
 * zip for CUDA, which holds NVIDIA's libraries too and for which PyTorch publishes no checksum; or from an archive of the user's.
 *
 * Only the shared libraries are taken. They are expanded into a folder aside, each checked against its checksum, and that
 * folder is renamed into place when all are there: an installation is whole or absent. Nothing is loaded or run here.
 */
import { basename, join } from "node:path";
import { crc32 } from "node:zlib";
import { cannotRead } from "../../io/random_access.ts";
import { UserError } from "../../base/user_error.ts";
import { ZipFile } from "../../io/zip.ts";
import { download, removeIfThere, sha256OfFile } from "./download.ts";
import { cacheFolder, libraryName, NOT_ON_WINDOWS } from "../torch/location.ts";
import { chooseWheel } from "./wheels.ts";

/** Builds that PyTorch publishes. */
export const BUILDS = ["cpu", "cu126", "cu128", "cu130"] as const;
export type Build = (typeof BUILDS)[number];

/** The version that this project is tested with. */
export const DEFAULT_VERSION = "2.13.0";

/** What to install, and where from. */
export interface LibtorchInstallOptions {
  /** `cpu` when left out. */
  build?: Build;
  /** `DEFAULT_VERSION` when left out. */
  version?: string;
  /** A LibTorch zip or a wheel of torch: a path, or an https address. PyTorch's own when left out. */
  from?: string;
  /** What the archive must be, in hexadecimal digits; also `#sha256=…` at the end of an address in `from`. */
  sha256?: string;
  /** Replace an installation that is there. */
  force?: boolean;
  /** The folder to install into; the project's own when left out. */
  cache?: string;
  /** Called with the folder of libraries before it is moved into place; what it throws ends the installation. */
  check?: (folder: string) => void;
  /** Bytes done and, where it is known, to do. */
  onProgress?: (stage: "download" | "unpack", done: number, total: number | undefined) => void;
  /** Ends the installation; what was downloaded is kept. */
  signal?: AbortSignal;
}

/** What `installLibtorch` did. */
export interface Installed {
  /** The folder with the libraries. */
  folder: string;
  /** Whether it was there already, and has been left alone. */
  already: boolean;
  /** Bytes of the libraries. */
  bytes: number;
  /** `complete`: CUDA's half and NVIDIA's libraries; `partial`: NVIDIA's libraries are to come from elsewhere. */
  cuda: "none" | "complete" | "partial";
  /** SHA-256 of the archive that was taken, and whether it was compared with a stated one; not where nothing was done. */
  archive?: { sha256: string; isVerified: boolean };
}

/** Where an archive is, and what it must be where that is known. */
export interface ArchiveAddress {
  /** The https address. */
  url: string;
  /** In hexadecimal digits. */
  sha256?: string;
}

/** What to do without PyTorch's server. */
const INSTEAD =
  "pip install torch (it is found by itself, or set LIBTORCH to its torch/lib folder), or fetch a LibTorch zip or a " +
  "torch wheel elsewhere and give it with --from";

/**
 * Finds PyTorch's official archive.
 *
 * @throws {UserError} When PyTorch publishes none for this system, or its index cannot be reached.
 */
export async function libtorchArchive(
  build: Build,
  version: string,
  { os = Deno.build.os, arch = Deno.build.arch, server = "https://download.pytorch.org", signal }: {
    os?: typeof Deno.build.os;
    arch?: typeof Deno.build.arch;
    server?: string;
    signal?: AbortSignal;
  } = {},
): Promise<ArchiveAddress> {
  if (!/^\d+\.\d+\.\d+$/.test(version)) {
    throw new UserError(`--version must look like ${DEFAULT_VERSION}: received ${JSON.stringify(version)}`);
  }
  const [major, minor] = version.split(".").map(Number);
  if (major < 2 || (major === 2 && minor < 10)) {
    throw new UserError(`--version must be 2.10.0 or newer, whose C interface is stable: received ${version}`);
  }
  if (os === "windows") throw new UserError(NOT_ON_WINDOWS);
  if (build === "cpu" && (os === "linux" || (os === "darwin" && arch === "aarch64"))) {
    const local = os === "linux" ? `${version}+cpu` : version;
    return await chooseWheel({ index: `${server}/whl/cpu`, name: "torch", version: local, os, arch }, INSTEAD, signal);
  }
  if (os === "linux" && arch === "x86_64") {
    return { url: `${server}/libtorch/${build}/libtorch-shared-with-deps-${version}%2B${build}.zip` };
  }
  throw new UserError(
    `PyTorch publishes no LibTorch of build ${build} for ${os} on ${arch}: pip install torch, which is found by itself`,
  );
}

/** Installs LibTorch and says where. @throws {UserError} When it cannot be downloaded or is not what it should be. */
export async function installLibtorch(options: LibtorchInstallOptions = {}): Promise<Installed> {
  const { build = "cpu", version = DEFAULT_VERSION, force = false, cache = cacheFolder(), onProgress } = options;
  const target = join(cache, "libtorch"), folder = join(target, "lib");
  if (!force && await exists(join(folder, libraryName("torch_cpu")))) {
    return { folder, already: true, bytes: await folderSize(folder), cuda: await cudaOf(folder) };
  }
  const { url, sha256 } = options.from === undefined
    ? await libtorchArchive(build, version, { signal: options.signal })
    : addressOf(options.from);
  const stated = options.sha256?.toLowerCase() ?? sha256;
  if (stated !== undefined && !/^[0-9a-f]{64}$/.test(stated)) {
    throw new UserError(`a SHA-256 must have 64 hexadecimal digits: received ${JSON.stringify(stated)}`);
  }
  await Deno.mkdir(cache, { recursive: true });
  const isAddress = /^https?:\/\//i.test(url);
  const archive = isAddress ? join(cache, "downloads", fileNameOf(url)) : url;
  if (isAddress) {
    await Deno.mkdir(join(cache, "downloads"), { recursive: true });
    await fetchArchive(url, archive, stated, options);
  }

  const aside = `${target}.new-${Deno.pid}`;
  try {
    const found = await checkArchive(archive, stated, options.signal);
    await Deno.mkdir(join(aside, "lib"), { recursive: true });
    const bytes = await unpackLibraries(archive, join(aside, "lib"), (done, total) => {
      options.signal?.throwIfAborted();
      onProgress?.("unpack", done, total);
    });
    options.check?.(join(aside, "lib"));
    const old = `${target}.old-${Deno.pid}`;
    if (await exists(target)) await Deno.rename(target, old);
    await Deno.rename(aside, target);
    await removeIfThere(old);
    if (isAddress) await removeIfThere(archive);
    const checked = { sha256: found, isVerified: stated !== undefined };
    return { folder, already: false, bytes, cuda: await cudaOf(folder), archive: checked };
  } catch (error) {
    // An archive that arrived damaged would only fail again.
    if (isAddress && error instanceof UserError) await removeIfThere(archive);
    throw error;
  } finally {
    await removeIfThere(aside);
  }
}

/** A path as it is; of an address, `#sha256=…` is taken off. */
function addressOf(from: string): ArchiveAddress {
  const [, url, sha256] = /^(https?:\/\/.*?)(?:#sha256=(.*))?$/i.exec(from) ?? [from, from];
  return { url, sha256: sha256?.toLowerCase() };
}

/** A finished download that could not be unpacked (a full disk, say) is used. */
async function fetchArchive(
  url: string,
  archive: string,
  sha256: string | undefined,
  { onProgress, signal }: LibtorchInstallOptions,
): Promise<void> {
  try {
    await download(url, archive, {
      sha256,
      signal,
      onProgress: (done, total) => onProgress?.("download", done, total),
    });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${error.message}. Without that server: ${INSTEAD}`);
  }
}

/** The archive's SHA-256, which must be the one that is stated. */
async function checkArchive(path: string, stated: string | undefined, signal?: AbortSignal): Promise<string> {
  let found: string;
  try {
    found = await sha256OfFile(path, signal);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw cannotRead(path, error);
  }
  if (stated !== undefined && found !== stated) {
    throw new UserError(`${path} is not what it should be: its SHA-256 is ${found} where ${stated} was stated`);
  }
  return found;
}

/** Name of the archive's own file, the same for the same address. */
function fileNameOf(address: string): string {
  const name = decodeURIComponent(basename(new URL(address).pathname)) || "libtorch.zip";
  return `${crc32(address).toString(16).padStart(8, "0")}-${name.replaceAll(/[^\w.+-]/g, "_")}`;
}

/** Expands the shared libraries of an archive; returns their bytes. */
async function unpackLibraries(
  path: string,
  folder: string,
  onProgress: (done: number, total: number) => void,
): Promise<number> {
  using zip = await ZipFile.open(path);
  const libraries = [...zip.entries.values()].filter(({ name }) => isLibrary(name));
  for (const stem of ["c10", "torch_cpu"]) {
    if (!libraries.some(({ name }) => basename(name) === libraryName(stem))) {
      throw new UserError(
        `${path} holds no ${libraryName(stem)}: give a LibTorch zip (shared, for this system) or a torch wheel`,
      );
    }
  }
  const total = libraries.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  for (const { name } of libraries) {
    const onBytes = (count: number) => onProgress(done += count, total);
    await zip.extract(name, join(folder, basename(name)), { mode: 0o755, onBytes });
  }
  return total;
}

/** The libraries of `libtorch/lib` (zip) or `torch/lib` (wheel), but for the one that needs Python. */
function isLibrary(name: string): boolean {
  return /^(lib)?torch\/lib\/[^/]+$/.test(name) && /\.(so(\.[\w.]+)?|dylib|dll)$/.test(name) &&
    !basename(name).includes("torch_python");
}

async function cudaOf(folder: string): Promise<Installed["cuda"]> {
  if (!await exists(join(folder, libraryName("torch_cuda")))) return "none";
  const names: string[] = [];
  for await (const entry of Deno.readDir(folder)) names.push(entry.name);
  return names.some((name) => /cublasLt/i.test(name)) ? "complete" : "partial";
}

async function folderSize(folder: string): Promise<number> {
  let bytes = 0;
  for await (const entry of Deno.readDir(folder)) bytes += (await Deno.stat(join(folder, entry.name))).size;
  return bytes;
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch {
    return false;
  }
}
