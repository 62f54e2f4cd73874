/**
 * Compiles `lib/tensor/tfjs/kernels/*.c` into `lib/tensor/tfjs/kernels/binary.json`, for contributors who change a kernel: as JSON it can be
 * imported from wherever the module comes, over http too.
 *
 * Needs clang 19 or newer with its WebAssembly linker (Debian: `apt install clang-19 lld-19`). CLANG names another compiler.
 */
import { UserError } from "../lib/base/user_error.ts";

const folder = new URL("../lib/tensor/tfjs/kernels/", import.meta.url).pathname;
const compiler = Deno.env.get("CLANG") ?? "clang-19";
const sources = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name.endsWith(".c")).sort();

/** Of names and contents, headers included. */
export async function sourcesHash(): Promise<string> {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => /\.[ch]$/.test(name)).sort();
  const text = names.map((name) => `${name}\n${Deno.readTextFileSync(folder + name)}`).join("\n");
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}

async function build(): Promise<void> {
  const output = await Deno.makeTempFile({ suffix: ".wasm" });

  try {
    const { success, stderr } = await new Deno.Command(compiler, {
      cwd: folder,
      args: [
        "--target=wasm32",
        "-O3",
        "-msimd128",
        "-mrelaxed-simd",
        "-mbulk-memory",
        "-fno-builtin",
        "-ffp-contract=off",
        "-Wall",
        "-Werror",
        "-nostdlib",
        "-Wl,--no-entry,--import-memory,--export-dynamic,--strip-all,--export=__stack_pointer",
        "-fvisibility=default",
        "-o",
        output,
        ...sources,
      ],
    }).output().catch((error) => {
      throw new UserError(`${compiler} does not run (${error.message}): install clang 19 and lld 19, or set CLANG`);
    });
    if (!success) {
      Deno.stderr.writeSync(stderr);
      throw new UserError(`${compiler} failed: its own messages are above`);
    }
    const binary = Deno.readFileSync(output);
    const contents = { sources: await sourcesHash(), wasm: binary.toBase64() };
    Deno.writeTextFileSync(`${folder}binary.json`, JSON.stringify(contents, undefined, 2) + "\n");
    console.log(`${sources.length} files → ${binary.length} bytes of WebAssembly`);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    console.error(error.message);
    Deno.exitCode = 2;
  } finally {
    Deno.removeSync(output);
  }
}

if (import.meta.main) await build();
