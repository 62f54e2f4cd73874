/**
 * Where LibTorch is: the places that are looked in, in order, and what was there.
 *
 * 1. the environment variable `LIBTORCH`; 2. the `torch` package of the Python on the path (no Python is run);
 * 3. the folder that `deno task install-libtorch` fills; 4. the system's library path. Only file names are looked at: nothing
 * is loaded here.
 */
import { join } from "node:path";

/** A folder that holds LibTorch's libraries. */
export interface LibraryFolder {
  /** Full path. */
  path: string;
  /** How it was found, for people: `LIBTORCH`, `the project's folder`, … */
  place: string;
}

/** One place that was looked in. */
export interface SearchedPlace {
  /** For people: `LIBTORCH`, `Python's torch package`, … */
  place: string;
  /** What was looked at there, or why there was nothing to look at. */
  finding: string;
  /** The folder with the libraries, when there is one. */
  folder?: string;
}

/** What the search reads of the machine; replaced in tests. */
export interface Machine {
  /** Decides the names of libraries. */
  os: typeof Deno.build.os;
  /** An environment variable. */
  env(name: string): string | undefined;
  /** Whether there is such a file. */
  isFile(path: string): boolean;
  /** Names in a folder; empty where there is no such folder. */
  list(path: string): string[];
  /** Where links lead. */
  realPath(path: string): string | undefined;
  /** A file's text. */
  readText(path: string): string | undefined;
}

/** The machine that this process runs on. */
export const thisMachine: Machine = {
  os: Deno.build.os,
  env: (name) => Deno.env.get(name),
  isFile: (path) => attempt(() => Deno.statSync(path).isFile) ?? false,
  list: (path) => attempt(() => [...Deno.readDirSync(path)].map((entry) => entry.name).sort()) ?? [],
  realPath: (path) => attempt(() => Deno.realPathSync(path)),
  readText: (path) => attempt(() => Deno.readTextFileSync(path)),
};

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** File name of a library on a system: `libtorch_cpu.so`, `torch_cpu.dll`, … */
export function libraryName(stem: string, os: typeof Deno.build.os = Deno.build.os): string {
  return os === "windows" ? `${stem}.dll` : os === "darwin" ? `lib${stem}.dylib` : `lib${stem}.so`;
}

/** C++ names its functions differently there. */
export const NOT_ON_WINDOWS = "the torch engine runs on Linux and macOS: on Windows use WSL, or --engine wasm";

/** The project's own folder for downloads: `RLVR_WORLD_CACHE`, or `~/.cache/rlvr-world`. */
export function cacheFolder(machine: Machine = thisMachine): string {
  const own = machine.env("RLVR_WORLD_CACHE");
  if (own) return own;
  const home = machine.env("HOME") ?? machine.env("USERPROFILE") ?? ".";

  return join(home, ".cache", "rlvr-world");
}

/** Looks in all places and returns what was found, in order of preference. */
export function searchLibrary(machine: Machine = thisMachine): SearchedPlace[] {
  const file = libraryName("torch_cpu", machine.os);
  const holds = (folder: string) => machine.isFile(join(folder, file));
  const places: SearchedPlace[] = [];
  const look = (place: string, folders: string[], nothing: string) => {
    const folder = folders.find(holds);
    const finding = folder !== undefined
      ? `${file} in ${folder}`
      : folders.length > 0
      ? `no ${file} in ${folders.join(", ")}`
      : nothing;
    places.push({ place, finding, folder });
  };

  const given = machine.env("LIBTORCH");
  look(
    "LIBTORCH",
    given ? [given, join(given, "lib"), join(given, "torch", "lib"), join(given, "libtorch", "lib")] : [],
    "not set",
  );
  look("Python's torch package", pythonFolders(machine), "no Python on the path has a torch package");
  look("the project's folder", [join(cacheFolder(machine), "libtorch", "lib")], "");
  look("the system's library path", systemFolders(machine), "empty");
  return places;
}

/**
 * The folder to load LibTorch from. A `LIBTORCH` that is set but holds no library ends the search: what the user asked for
 * is not replaced by something else.
 */
export function chooseLibrary(places: SearchedPlace[], machine: Machine = thisMachine): LibraryFolder | undefined {
  const asked = places[0].place === "LIBTORCH" && machine.env("LIBTORCH");
  const chosen = asked ? places[0] : places.find((each) => each.folder !== undefined);
  return chosen?.folder === undefined ? undefined : { path: chosen.folder, place: chosen.place };
}

/** One line: why there is no LibTorch, and what to do. */
export function missingLibraryText(places: SearchedPlace[], machine: Machine = thisMachine): string {
  const given = machine.env("LIBTORCH");
  if (given) {
    return `LIBTORCH is ${JSON.stringify(given)}, and there is ${places[0].finding}: set it to the folder that holds ` +
      `${libraryName("torch_cpu", machine.os)}, or unset it`;
  }
  const looked = places.map((each) => `${each.place}: ${each.finding}`).join("; ");
  return `no LibTorch found (${looked}): run deno task install-libtorch, or pip install torch, or set LIBTORCH to the ` +
    `folder that holds ${libraryName("torch_cpu", machine.os)}`;
}

/** `torch/lib` folders of the Pythons on the path, in the path's order. */
function pythonFolders(machine: Machine): string[] {
  return pythonPackageFolders(machine).map((each) => join(each, "torch", "lib"))
    .filter((folder) => machine.list(folder).length > 0);
}

/** `site-packages` of the Pythons on the path, in the path's order; a virtual environment that is active comes first. */
export function pythonPackageFolders(machine: Machine = thisMachine): string[] {
  const separator = machine.os === "windows" ? ";" : ":";
  const prefixes: string[] = [];
  const environment = machine.env("VIRTUAL_ENV");
  if (environment) prefixes.push(environment);
  for (const folder of (machine.env("PATH") ?? "").split(separator).filter((each) => each !== "")) {
    const names = machine.os === "windows" ? ["python.exe"] : ["python3", "python"];
    const name = names.find((each) => machine.isFile(join(folder, each)));
    if (name === undefined) continue;
    if (machine.os === "windows") prefixes.push(folder);
    prefixes.push(join(folder, ".."));
    // A link leads to the installation that really holds the packages.
    const real = machine.realPath(join(folder, name));
    if (real !== undefined) prefixes.push(join(real, "..", ".."));
    // pyenv puts small scripts on the path; the Python is the version that its file names.
    if (folder.endsWith("shims")) {
      const root = join(folder, "..");
      const version = machine.env("PYENV_VERSION") ?? machine.readText(join(root, "version"));
      for (const each of (version ?? "").split(/[\s:]+/)) {
        if (each !== "") prefixes.push(join(root, "versions", each));
      }
    }
  }
  const home = machine.env("HOME");
  if (home && prefixes.length > 0) prefixes.push(join(home, ".local"));
  return [...new Set(prefixes)].flatMap((prefix) =>
    machine.os === "windows"
      ? [join(prefix, "Lib", "site-packages"), join(prefix, "..", "Lib", "site-packages")]
      : machine.list(join(prefix, "lib")).filter((name) => /^python3(\.\d+)?$/.test(name))
        .flatMap((name) => ["site-packages", "dist-packages"].map((kind) => join(prefix, "lib", name, kind)))
  ).filter((folder, i, all) => machine.list(folder).length > 0 && all.indexOf(folder) === i);
}

function systemFolders(machine: Machine): string[] {
  if (machine.os === "windows") return (machine.env("PATH") ?? "").split(";").filter((each) => each !== "");
  const variable = machine.os === "darwin" ? "DYLD_LIBRARY_PATH" : "LD_LIBRARY_PATH";
  return [
    ...(machine.env(variable) ?? "").split(":").filter((each) => each !== ""),
    "/usr/local/lib",
    "/usr/lib",
    `/usr/lib/${Deno.build.arch}-linux-gnu`,
    "/usr/local/libtorch/lib",
    "/opt/libtorch/lib",
  ];
}
