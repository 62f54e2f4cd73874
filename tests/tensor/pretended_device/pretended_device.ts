/**
 * The pretended accelerator of `device.cpp`, which is a library for LibTorch: compiled once a source and LibTorch, and kept in the
 * project's cache folder. Loading it is enough for `openTorchEngine({ device: "privateuse1" })`; what it counts is read here.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { cacheFolder, chooseLibrary, missingLibraryText, searchLibrary } from "../../../lib/tensor/torch/location.ts";
import { type Library, loadLibrary } from "../../../lib/tensor/torch/symbols.ts";

/** What the engine calls the device. */
export const PRETENDED = "privateuse1:0";

const SOURCE = join(import.meta.dirname!, "device.cpp");
const COMPILERS = ["g++", "clang++"];
// Once unloaded it would leave LibTorch with addresses of nothing. Unoptimized it compiles in a third of the time.
const FLAGS = ["-std=c++20", "-O0", "-shared", "-fPIC", "-DAT_PER_OPERATOR_HEADERS", "-Wl,-z,nodelete"];

const SYMBOLS = {
  pretended_reset: { parameters: [], result: "void" },
  pretended_counts: { parameters: ["buffer", "usize"], result: "usize" },
} as const satisfies Deno.ForeignLibraryInterface;

/** What went through the device since the last `reset`. */
export interface DeviceCounts {
  /**
   * Operators that the device ran, those of the backward pass too, and no views: about the kernels of CUDA. Attention is counted
   * as LibTorch composes it where a device has no kernel for it.
   */
  kernels: number;
  /** Copies from the host. */
  uploads: number;
  /** Copies to the host, each of which waits for the device. */
  reads: number;
  /** Kernels by LibTorch's names, the most frequent first. */
  byName: [name: string, count: number][];
}

/** The loaded device's counters. */
export interface PretendedDevice {
  /** LibTorch, which it belongs to. */
  library: Library;
  reset(): void;
  counts(): DeviceCounts;
}

/**
 * Loads the device, after compiling it where that has not been done. Before the first backward pass: LibTorch then has asked
 * which devices there are.
 *
 * @throws {Error} When there is no LibTorch, no header of it or no compiler: says which.
 */
export async function loadPretendedDevice(): Promise<PretendedDevice> {
  if (Deno.build.os !== "linux") throw new Error("the pretended device is compiled on Linux only");
  const places = searchLibrary(), folder = chooseLibrary(places);
  if (folder === undefined) throw new Error(missingLibraryText(places));
  const library = loadLibrary(folder);
  const { symbols } = Deno.dlopen(await compiled(folder.path, library.version), SYMBOLS);
  return {
    library,
    reset: () => symbols.pretended_reset(),
    counts: () => parseCounts(readText(symbols.pretended_counts)),
  };
}

async function compiled(libraries: string, version: string): Promise<string> {
  const source = await Deno.readTextFile(SOURCE);
  const key = createHash("sha256").update([source, ...FLAGS].join("\n")).digest("hex").slice(0, 16);
  const folder = join(cacheFolder(), "pretended-device"), path = join(folder, `${version}-${key}.so`);
  if (await isFile(path)) return path;
  const headers = join(libraries, "..", "include");
  if (!await isFile(join(headers, "ATen", "native", "CPUFallback.h"))) {
    throw new Error(`no headers of LibTorch in ${headers}`);
  }
  await Deno.mkdir(folder, { recursive: true });
  // Several test processes may compile at once: each its own file, and whoever is last wins.
  const made = await Deno.makeTempFile({ dir: folder, suffix: ".so" });
  try {
    const includes = [headers, join(headers, "torch", "csrc", "api", "include")].map((each) => `-I${each}`);
    await compile([...FLAGS, SOURCE, "-o", made, ...includes, `-L${libraries}`, "-ltorch_cpu", "-lc10"]);
    await Deno.rename(made, path);
  } catch (error) {
    await Deno.remove(made);
    throw error;
  }
  return path;
}

async function compile(args: readonly string[]): Promise<void> {
  for (const compiler of COMPILERS) {
    let output: Deno.CommandOutput;
    try {
      output = await new Deno.Command(compiler, { args: [...args], stdout: "null", stderr: "piped" }).output();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) continue;
      throw error;
    }
    if (output.success) return;
    const errors = new TextDecoder().decode(output.stderr).split("\n").filter((line) => line.includes("error"));
    throw new Error(`${compiler} cannot compile the pretended device: ${errors[0] ?? `exit code ${output.code}`}`);
  }
  throw new Error(`no C++ compiler (${COMPILERS.join(", ")})`);
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then((info) => info.isFile, () => false);
}

function readText(write: (out: Uint8Array<ArrayBuffer>, room: bigint) => bigint): string {
  const out = new Uint8Array(1 << 16);
  const bytes = Number(write(out, BigInt(out.length)));
  if (bytes > out.length) throw new Error(`the pretended device has ${bytes} bytes of counts: more than ${out.length}`);
  return new TextDecoder().decode(out.subarray(0, bytes));
}

function parseCounts(text: string): DeviceCounts {
  const counts = new Map(
    text.trimEnd().split("\n").filter(Boolean).map((line) => {
      const [name, number] = line.split("\t");
      return [name, Number(number)];
    }),
  );
  const byName = [...counts].filter(([name]) => name.startsWith("kernel "))
    .map(([name, number]): [string, number] => [name.slice("kernel ".length), number])
    .sort(([, a], [, b]) => b - a);
  return {
    kernels: byName.reduce((sum, [, number]) => sum + number, 0),
    uploads: counts.get("upload") ?? 0,
    reads: counts.get("read") ?? 0,
    byName,
  };
}
