import assert from "node:assert/strict";
import {
  cacheFolder,
  chooseLibrary,
  libraryName,
  type Machine,
  missingLibraryText,
  searchLibrary,
} from "../../../lib/tensor/torch/location.ts";

/** A machine of which only these files and variables exist. */
function machine(
  files: string[],
  env: Record<string, string> = {},
  { links = {}, texts = {}, os = "linux" }: {
    links?: Record<string, string>;
    texts?: Record<string, string>;
    os?: typeof Deno.build.os;
  } = {},
): Machine {
  const all = [...files, ...Object.keys(texts)];
  return {
    os,
    env: (name) => env[name],
    isFile: (path) => all.includes(path) || path in links,
    list: (folder) => [
      ...new Set(
        all.filter((path) => path.startsWith(`${folder}/`)).map((path) => path.slice(folder.length + 1).split("/")[0]),
      ),
    ],
    realPath: (path) => links[path] ?? (all.includes(path) ? path : undefined),
    readText: (path) => texts[path],
  };
}

function found(on: Machine): string | undefined {
  return chooseLibrary(searchLibrary(on), on)?.path;
}

const CPU = "libtorch_cpu.so";

Deno.test("LIBTORCH may name the folder of the libraries, its parent, or a torch package's parent", () => {
  for (const inside of ["", "/lib", "/torch/lib", "/libtorch/lib"]) {
    assert.equal(found(machine([`/t${inside}/${CPU}`], { LIBTORCH: "/t" })), `/t${inside}`);
  }
});

Deno.test("a LIBTORCH without a library is an error, not a reason to take another", () => {
  const here = machine([`/home/me/.cache/rlvr-world/libtorch/lib/${CPU}`], { HOME: "/home/me", LIBTORCH: "/wrong" });
  assert.equal(found(here), undefined);
  const text = missingLibraryText(searchLibrary(here), here);
  assert.match(text, /^LIBTORCH is "\/wrong", and there is no libtorch_cpu\.so in \/wrong, \/wrong\/lib/);
  assert.ok(!text.includes("\n"));
});

Deno.test("the torch package of the Python on the path, an active environment first", () => {
  const inVenv = `/venv/lib/python3.11/site-packages/torch/lib/${CPU}`;
  const inUsr = `/usr/lib/python3/dist-packages/torch/lib/${CPU}`;
  const files = ["/usr/bin/python3", inUsr, inVenv];
  assert.equal(
    found(machine(files, { PATH: "/nothing:/usr/bin", VIRTUAL_ENV: "/venv" })),
    inVenv.replace(`/${CPU}`, ""),
  );
  assert.equal(found(machine(files, { PATH: "/nothing:/usr/bin" })), inUsr.replace(`/${CPU}`, ""));
  assert.equal(found(machine(files, { PATH: "/nothing" })), undefined);
});

Deno.test("a Python that is a link, and one behind pyenv's shims", () => {
  const real = `/opt/py/lib/python3.12/site-packages/torch/lib/${CPU}`;
  const linked = machine([real], { PATH: "/bin" }, { links: { "/bin/python3": "/opt/py/bin/python3.12" } });
  assert.equal(found(linked), real.replace(`/${CPU}`, ""));
  const version = `/p/versions/3.11.9/lib/python3.11/site-packages/torch/lib/${CPU}`;
  const shims = { texts: { "/p/version": "3.11.9\n" } };
  assert.equal(
    found(machine([version, "/p/shims/python3"], { PATH: "/p/shims" }, shims)),
    version.replace(`/${CPU}`, ""),
  );
});

Deno.test("then the project's folder, then the system's library path", () => {
  const own = `/c/libtorch/lib/${CPU}`, system = `/usr/local/lib/${CPU}`;
  assert.equal(found(machine([own, system], { RLVR_WORLD_CACHE: "/c" })), "/c/libtorch/lib");
  assert.equal(found(machine([system])), "/usr/local/lib");
  assert.equal(found(machine([`/l/${CPU}`], { LD_LIBRARY_PATH: "/k:/l" })), "/l");
  assert.equal(cacheFolder(machine([], { HOME: "/home/me" })), "/home/me/.cache/rlvr-world");
});

Deno.test("when there is none, the message says where was looked and what to do, in one line", () => {
  const text = missingLibraryText(searchLibrary(machine([])), machine([]));
  assert.match(
    text,
    /^no LibTorch found \(LIBTORCH: not set; .*\): run deno task install-libtorch, or pip install torch/,
  );
  assert.ok(!text.includes("\n"));
});

Deno.test("libraries have each system's name", () => {
  assert.deepEqual(
    (["linux", "darwin", "windows"] as const).map((os) => libraryName("torch_cpu", os)),
    ["libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll"],
  );
  assert.equal(found(machine(["/t/libtorch_cpu.dylib"], { LIBTORCH: "/t" }, { os: "darwin" })), "/t");
});
