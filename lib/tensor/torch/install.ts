/**
 * Putting LibTorch into the project's own folder: from PyTorch's official zip file, or from a wheel of torch.
 *
 * Only the shared libraries are taken. They are expanded into a folder aside, each checked against its checksum, and that
 * folder is renamed into place when all are there: an installation is whole or absent. Nothing is loaded or run here.
 */
import { basename, join } from "node:path";
import { crc32, createInflateRaw } from "node:zlib";
import { UserError } from "../../files/user_error.ts";
import { type ZipEntry, ZipFile } from "../../files/zip.ts";
import { download, type DownloadProgress, removeIfThere } from "./download.ts";
import { cacheFolder, libraryName, NOT_ON_WINDOWS } from "./location.ts";

/** Builds that PyTorch publishes. */
export const BUILDS = ["cpu", "cu126", "cu128", "cu130"] as const;
/** One of them. */
export type Build = (typeof BUILDS)[number];

/** The version that this project is tested with. */
export const DEFAULT_VERSION = "2.13.0";

/** What to install, and where from. */
export interface InstallOptions {
  /** `cpu` when left out. */
  build?: Build;
  /** `DEFAULT_VERSION` when left out. */
  version?: string;
  /** A LibTorch zip or a wheel of torch: a path, or an http(s) address. PyTorch's own when left out. */
  from?: string;
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
}

/**
 * Address of PyTorch's official LibTorch.
 *
 * @throws {UserError} When PyTorch publishes none for this system.
 */
export function libtorchAddress(
  build: Build,
  version: string,
  os: typeof Deno.build.os = Deno.build.os,
  arch: typeof Deno.build.arch = Deno.build.arch,
): string {
  if (!/^\d+\.\d+\.\d+$/.test(version)) {
    throw new UserError(`--version must look like ${DEFAULT_VERSION}: received ${JSON.stringify(version)}`);
  }
  const [major, minor] = version.split(".").map(Number);
  if (major < 2 || (major === 2 && minor < 10)) {
    throw new UserError(`--version must be 2.10.0 or newer, whose C interface is stable: received ${version}`);
  }
  const base = `https://download.pytorch.org/libtorch/${build}`;
  if (os === "linux" && arch === "x86_64") return `${base}/libtorch-shared-with-deps-${version}%2B${build}.zip`;
  if (os === "darwin" && arch === "aarch64" && build === "cpu") return `${base}/libtorch-macos-arm64-${version}.zip`;
  if (os === "windows") throw new UserError(NOT_ON_WINDOWS);
  throw new UserError(
    `PyTorch publishes no LibTorch of build ${build} for ${os} on ${arch}: pip install torch, which is found by itself`,
  );
}

/** Installs LibTorch and says where. @throws {UserError} When it cannot be downloaded or is not what it should be. */
export async function installLibtorch(options: InstallOptions = {}): Promise<Installed> {
  const { build = "cpu", version = DEFAULT_VERSION, force = false, cache = cacheFolder(), onProgress } = options;
  const target = join(cache, "libtorch"), folder = join(target, "lib");
  if (!force && await exists(join(folder, libraryName("torch_cpu")))) {
    return { folder, already: true, bytes: await folderSize(folder), cuda: await cudaOf(folder) };
  }
  const source = options.from ?? libtorchAddress(build, version);
  await Deno.mkdir(cache, { recursive: true });
  const isAddress = /^https?:\/\//.test(source);
  const archive = isAddress ? join(cache, "downloads", fileNameOf(source)) : source;
  if (isAddress) {
    await Deno.mkdir(join(cache, "downloads"), { recursive: true });
    await fetchArchive(source, archive, (done, total) => onProgress?.("download", done, total), options.signal);
  }

  const aside = `${target}.new-${Deno.pid}`;
  try {
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
    return { folder, already: false, bytes, cuda: await cudaOf(folder) };
  } catch (error) {
    // An archive that arrived damaged would only fail again.
    if (isAddress && error instanceof UserError) await removeIfThere(archive);
    throw error;
  } finally {
    await removeIfThere(aside);
  }
}

async function fetchArchive(
  address: string,
  archive: string,
  onProgress: DownloadProgress,
  signal: AbortSignal | undefined,
): Promise<void> {
  // A finished download that could not be unpacked (a full disk, say) is used.
  if (await exists(archive)) return;
  try {
    await download(address, archive, { onProgress, signal });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(
      `${error.message}. Without that server: pip install torch (it is found by itself, or set LIBTORCH to its torch/lib ` +
        `folder), or fetch a LibTorch zip or a torch wheel elsewhere and give it with --from`,
    );
  }
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
  for (const entry of libraries) {
    await expand(path, entry, join(folder, basename(entry.name)), (bytes) => onProgress(done += bytes, total));
  }
  return total;
}

/** The libraries of `libtorch/lib` (zip) or `torch/lib` (wheel), but for the one that needs Python. */
function isLibrary(name: string): boolean {
  return /^(lib)?torch\/lib\/[^/]+$/.test(name) && /\.(so(\.[\w.]+)?|dylib|dll)$/.test(name) &&
    !basename(name).includes("torch_python");
}

/** Streams one entry into a file; its size and checksum must be what the directory says. */
async function expand(archive: string, entry: ZipEntry, path: string, onBytes: (n: number) => void): Promise<void> {
  const damaged = (why: string) => new UserError(`${archive} is damaged: ${entry.name} ${why}: fetch it again`);
  using file = await Deno.open(archive);
  await file.seek(entry.headerOffset, Deno.SeekMode.Start);
  const header = new Uint8Array(30);
  await readFully(file, header);
  const view = new DataView(header.buffer);
  if (view.getUint32(0, true) !== 0x04034b50) throw damaged("has no header");
  await file.seek(view.getUint16(26, true) + view.getUint16(28, true), Deno.SeekMode.Current);

  using out = await Deno.open(path, { create: true, write: true, truncate: true, mode: 0o755 });
  let size = 0, checksum = 0;
  const take = async (bytes: Uint8Array) => {
    size += bytes.length;
    if (size > entry.size) throw damaged(`expands to more than ${entry.size} bytes`);
    checksum = crc32(bytes, checksum);
    for (let done = 0; done < bytes.length;) done += await out.write(bytes.subarray(done));
    onBytes(bytes.length);
  };
  try {
    if (entry.method === 0) { for await (const bytes of slices(file, entry.compressedSize)) await take(bytes); }
    else {
      const inflate = createInflateRaw({ chunkSize: 1 << 20 });
      const feed = (async () => {
        for await (const bytes of slices(file, entry.compressedSize)) {
          if (!inflate.write(bytes)) await new Promise((resolve) => inflate.once("drain", resolve));
          if (inflate.destroyed) return;
        }
        inflate.end();
      })();
      for await (const bytes of inflate) await take(bytes);
      await feed;
    }
  } catch (error) {
    throw error instanceof UserError || !isInflateError(error) ? error : damaged((error as Error).message);
  }
  if (size !== entry.size) throw damaged(`has ${size} bytes instead of ${entry.size}`);
  if (checksum >>> 0 !== entry.crc32 >>> 0) throw damaged("does not match its checksum");
  await out.sync();
}

function isInflateError(error: unknown): boolean {
  return String((error as { code?: string }).code ?? "").startsWith("Z_");
}

async function* slices(file: Deno.FsFile, length: number): AsyncGenerator<Uint8Array> {
  for (let left = length; left > 0;) {
    const bytes = new Uint8Array(Math.min(left, 1 << 20));
    await readFully(file, bytes);
    left -= bytes.length;
    yield bytes;
  }
}

async function readFully(file: Deno.FsFile, into: Uint8Array): Promise<void> {
  for (let done = 0; done < into.length;) {
    const n = await file.read(into.subarray(done));
    if (n === null) throw new UserError("the archive became shorter while it was read");
    done += n;
  }
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
