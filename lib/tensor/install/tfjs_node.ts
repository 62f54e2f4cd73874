/**
 * Installing `@tensorflow/tfjs-node-gpu` on a current TensorFlow, without npm, Python or the package's own install script.
 *
 * The package brings its addon's sources; TensorFlow's libraries and C headers come from a Python package that is there, or from
 * its wheel. One compiler call joins them. The result lies in the project's folder for downloads and is loaded by
 * `tensor/tfjs/tfjs_node.ts`; `installed.json` in it is written last, so that a broken installation is not taken for one.
 */
import { join, resolve } from "node:path";
import { readAnswer } from "../../io/answer.ts";
import { UserError } from "../../base/user_error.ts";
import { ZipFile } from "../../io/zip.ts";
import { BRIDGE, findInstallation, type Installation, installationFolder } from "../tfjs/location.ts";
import { cacheFolder, pythonPackageFolders } from "../torch/location.ts";
import { unpackTarball } from "./archives.ts";
import { download, fetchSecurely, removeIfThere } from "./download.ts";
import { chooseWheel } from "./wheels.ts";

/** TensorFlow's version that is downloaded when none is on the machine. */
export const TENSORFLOW_VERSION = "2.21.0";

const PACKAGES = {
  addon: {
    url: "https://registry.npmjs.org/@tensorflow/tfjs-node-gpu/-/tfjs-node-gpu-4.22.0.tgz",
    sha512: "p//NN6DGiN4hInUmIkRffaFVMcdTREUMjPyjW04J7OXvB2zBlQimj61eFKSgRrH3f5TnOfKzb0n56he/B6a4bw==",
  },
  headers: {
    url: "https://registry.npmjs.org/node-api-headers/-/node-api-headers-1.5.0.tgz",
    sha512: "Yi/FgnN8IU/Cd6KeLxyHkylBUvDTsSScT0Tna2zTrz8klmc8qF2ppj6Q1LHsmOueJWhigQwR4cO2p0XBGW5IaQ==",
  },
  protobuf: {
    url: "https://registry.npmjs.org/google-protobuf/-/google-protobuf-3.9.2.tgz",
    sha512: "TxK/kqHmVeqTXiuejN9aAy4Y/8bTa9k+F1/WXCOuIXCMheV1ySeSFfYS4ctzM6WZZbUo6rlshoX4/eqEK28Swg==",
  },
};

const LIBRARIES = ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"];
/** What the addon's sources include of TensorFlow's headers. */
const HEADERS = ["tensorflow/c/", "tensorflow/core/platform/", "tsl/platform/", "xla/tsl/c/"];

/** How to install. */
export interface TfjsInstallOptions {
  /** The folder of a `tensorflow` Python package. */
  tensorflow?: string;
  /** A TensorFlow wheel on this machine. */
  wheel?: string;
  /** Which wheel to download. */
  build?: "cpu" | "gpu";
  /** Replace an installation that is there. */
  force?: boolean;
  /** The project's own folder when left out. */
  cache?: string;
  onProgress?: (stage: string, done: number, total: number | undefined) => void;
  signal?: AbortSignal;
}

/**
 * Installs the package; leaves an installation that is there alone.
 *
 * @throws {UserError} When the system is not supported, no compiler is there, or something cannot be fetched.
 */
export async function installTfjsNode(
  options: TfjsInstallOptions = {},
): Promise<{ folder: string; already: boolean; tensorflow: string }> {
  const cache = options.cache ?? cacheFolder(), target = resolve(installationFolder(cache));
  const present = findInstallation(cache);
  if (present && !options.force) return { folder: target, already: true, tensorflow: present.tensorflow };
  if (Deno.build.os !== "linux") {
    throw new UserError(
      `install-tfjs-node: works on Linux only: this is ${Deno.build.os}; use another engine (deno task doctor)`,
    );
  }
  const compiler = await findCompiler();
  const aside = `${target}.new-${Deno.pid}`;
  try {
    await Deno.mkdir(aside, { recursive: true });
    await fetchPackage(PACKAGES.addon, join(aside, "package"), options.signal);
    await fetchPackage(PACKAGES.protobuf, join(aside, "node_modules", "google-protobuf"), options.signal);
    await fetchPackage(PACKAGES.headers, join(aside, "node-api-headers"), options.signal);
    const found = options.wheel === undefined ? findTensorflow(options.tensorflow, options.build) : undefined;
    if (!found) await unpackTensorflow(options, cache, join(aside, "tensorflow"));
    options.onProgress?.("compile", 0, undefined);
    await compile(compiler, aside, found ?? join(aside, "tensorflow"), found ?? "$ORIGIN/../../../tensorflow");
    await writeBridge(aside);
    const installation: Installation = { tensorflow: found ?? join(target, "tensorflow") };
    await Deno.writeTextFile(join(aside, "installed.json"), JSON.stringify(installation));
    await removeIfThere(target);
    await Deno.rename(aside, target);
    return { folder: target, already: false, tensorflow: installation.tensorflow };
  } finally {
    await removeIfThere(aside);
  }
}

async function findCompiler(): Promise<string> {
  for (const name of [Deno.env.get("CXX"), "g++", "clang++", "c++"]) {
    if (!name) continue;
    try {
      if ((await new Deno.Command(name, { args: ["--version"], stdout: "null", stderr: "null" }).output()).success) {
        return name;
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  throw new UserError("install-tfjs-node: needs a C++ compiler: install g++ (Debian: apt install g++), or set CXX");
}

/** The folder of a TensorFlow package on this machine: the one given, or one of the Pythons on the path. */
function findTensorflow(given: string | undefined, build: "cpu" | "gpu" | undefined): string | undefined {
  const holds = (folder: string) => LIBRARIES.every((name) => isFile(join(folder, name)));
  if (given !== undefined) {
    const folder = [given, join(given, "tensorflow")].find(holds);
    if (folder) return resolve(folder);
    throw new UserError(
      `--tensorflow ${JSON.stringify(given)} holds no ${LIBRARIES[0]}: give the folder of the package`,
    );
  }
  // Which build was asked for cannot be seen from a folder.
  if (build !== undefined) return undefined;
  return pythonPackageFolders().map((folder) => resolve(folder, "tensorflow")).find(holds);
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** Bytes of a package as npm serves it; the largest of ours has 400 thousand. */
const MAX_PACKAGE_BYTES = 2 ** 24;

async function fetchPackage({ url, sha512 }: { url: string; sha512: string }, folder: string, signal?: AbortSignal) {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    const response = await fetchSecurely(url, { signal });
    if (!response.ok) {
      await response.body?.cancel();
      throw new UserError(`${url} answered ${response.status}: try again later`);
    }
    bytes = await readAnswer(response, MAX_PACKAGE_BYTES);
  } catch (error) {
    if (signal?.aborted || error instanceof UserError) throw error;
    throw new UserError(`cannot reach ${new URL(url).host} (${(error as Error).message}): try again later`);
  }
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-512", bytes)).toBase64();
  if (sum !== sha512) throw new UserError(`${url} is not what it should be (its SHA-512 is ${sum}): try again later`);
  await unpackTarball(bytes, folder);
}

/** Takes libraries and headers out of a wheel, the one given or one that is downloaded. */
async function unpackTensorflow(options: TfjsInstallOptions, cache: string, folder: string): Promise<void> {
  let path = options.wheel;
  if (path === undefined) {
    const name = options.build === "gpu" ? "tensorflow" : "tensorflow-cpu";
    const { os, arch } = Deno.build;
    const wanted = { index: "https://pypi.org/simple", name, version: TENSORFLOW_VERSION, os, arch };
    const wheel = await chooseWheel(wanted, "give a wheel that you fetched elsewhere with --wheel", options.signal);
    await Deno.mkdir(join(cache, "downloads"), { recursive: true });
    path = join(cache, "downloads", wheel.name);
    await download(wheel.url, path, {
      sha256: wheel.sha256,
      signal: options.signal,
      onProgress: (done, total) => options.onProgress?.("download", done, total),
    });
  }
  using zip = await ZipFile.open(path);
  const wanted = [...zip.entries.values()].filter(({ name }) =>
    LIBRARIES.includes(name.replace(/^tensorflow\//, "")) ||
    HEADERS.some((prefix) => name.startsWith(`tensorflow/include/${prefix}`) && name.endsWith(".h"))
  );
  const missing = LIBRARIES.find((library) => !wanted.some(({ name }) => name === `tensorflow/${library}`));
  if (missing) throw new UserError(`${path} holds no tensorflow/${missing}: give a wheel of TensorFlow 2 for Linux`);
  const total = wanted.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  for (const { name, size } of wanted) {
    options.signal?.throwIfAborted();
    const file = join(folder, name.replace(/^tensorflow\//, ""));
    await Deno.mkdir(join(file, ".."), { recursive: true });
    await zip.extract(name, file);
    options.onProgress?.("unpack", done += size, total);
  }
  if (options.wheel === undefined) await removeIfThere(path);
}

async function compile(compiler: string, folder: string, tensorflow: string, runPath: string): Promise<void> {
  const source = join(folder, "package"), output = join(source, "lib", "napi-v8");
  await Deno.mkdir(output, { recursive: true });
  const { success, stderr } = await new Deno.Command(compiler, {
    cwd: source,
    args: [
      ...["-std=c++17", "-O2", "-fPIC", "-shared", "-DNAPI_VERSION=8", "-Ibinding", "-I.."],
      ...[`-I${join(folder, "node-api-headers", "include")}`, `-I${join(tensorflow, "include")}`],
      ...["binding/tfjs_backend.cc", "binding/tfjs_binding.cc", "-o", join(output, "tfjs_binding.node")],
      ...[`-L${tensorflow}`, ...LIBRARIES.map((name) => `-l:${name}`), `-Wl,-rpath,${runPath}`],
    ],
  }).output();
  if (success) return;
  const [line] = new TextDecoder().decode(stderr).split("\n").filter((text) => text.includes("error"));
  throw new UserError(
    `${compiler} could not build the addon against ${tensorflow}: ${line ?? "no message"}; TensorFlow ` +
      `${TENSORFLOW_VERSION} is known to work`,
  );
}

/** Lets the package's `require` of tfjs find the one that is already running. */
async function writeBridge(folder: string): Promise<void> {
  for (const name of ["tfjs", "tfjs-core"]) {
    const at = join(folder, "node_modules", "@tensorflow", name);
    await Deno.mkdir(at, { recursive: true });
    await Deno.writeTextFile(join(at, "package.json"), JSON.stringify({ name, main: "index.js", type: "commonjs" }));
    await Deno.writeTextFile(join(at, "index.js"), `module.exports = globalThis[Symbol.for("${BRIDGE}")];\n`);
  }
}
