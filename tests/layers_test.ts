/**
 * Who may import whom in lib: rooms stand in one order, a file imports from its own room and from those before it, and no files
 * import each other in a circle. Imports of types count. Comments that send the reader to another file name one that is there.
 */
import assert from "node:assert/strict";
import { dirname, join, relative, resolve } from "node:path";
import denoJson from "../deno.json" with { type: "json" };

const ROOT = resolve(import.meta.dirname!, "..");

/** Lowest first. */
const ROOMS = [
  "base",
  "io",
  "json_repair_0_61_7",
  "tensor",
  "nn",
  "models",
  "worlds",
  "train",
  "report",
  "runs",
  "notebooks",
  "serving",
  "gyms",
  "recipes",
  "studies",
  "play",
];

/** What one must know to carry on with training; simulators and the paper's applications are given to it. */
const CORE = ["base", "io", "json_repair_0_61_7", "tensor", "nn", "models", "worlds", "train", "report", "runs"];

/** Entry points and commands: they import from everywhere, and nothing in a room imports them. */
const TOP = [
  ...Object.values(denoJson.exports as Record<string, string>).map((path) => path.slice("./".length)),
  "tasks",
  "bench",
];

interface Import {
  readonly from: string;
  readonly to: string;
}

function isWithin(path: string, place: string): boolean {
  return path === place || path.startsWith(`${place}/`);
}

/** The place of a file's room in the order, the top's above all; −1 of a file that has no place. */
function layerOf(path: string): number {
  return TOP.some((place) => isWithin(path, place))
    ? ROOMS.length
    : ROOMS.findIndex((room) => isWithin(path, `lib/${room}`));
}

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) yield* sources(path);
    else if (entry.name.endsWith(".ts")) yield path;
  }
}

async function findImports(): Promise<Import[]> {
  const paths = [join(ROOT, "mod.ts")];
  for (const folder of ["lib", "tasks", "bench"]) paths.push(...await Array.fromAsync(sources(join(ROOT, folder))));
  const found: Import[] = [];
  for (const path of paths) {
    const text = await Deno.readTextFile(path);
    for (const [, target] of text.matchAll(/(?:from\s+|import\s+|import\()"(\.{1,2}\/[^"]+)"/g)) {
      found.push({ from: relative(ROOT, path), to: relative(ROOT, resolve(dirname(path), target)) });
    }
  }
  return found;
}

const imports = await findImports();

function assertNone(wrong: readonly Import[]): void {
  assert.deepEqual(wrong.map(({ from, to }) => `${from} imports ${to}`), []);
}

/** The files that import each other in circles: strongly connected components of more than one file (Tarjan 1972). */
function findCircles(imports: readonly Import[]): string[][] {
  const importsOf = Map.groupBy(imports, ({ from }) => from);
  /** When a file was first met, and the earliest met file on the path that it leads back to. */
  const met = new Map<string, number>(), earliest = new Map<string, number>();
  const path: string[] = [], circles: string[][] = [];
  const visit = (file: string): void => {
    met.set(file, met.size);
    earliest.set(file, met.get(file)!);
    path.push(file);
    for (const { to } of importsOf.get(file) ?? []) {
      if (!met.has(to)) visit(to);
      if (path.includes(to)) earliest.set(file, Math.min(earliest.get(file)!, earliest.get(to)!));
    }
    if (earliest.get(file) !== met.get(file)) return;
    const component = path.splice(path.indexOf(file));
    if (component.length > 1) circles.push(component.sort());
  };
  for (const file of importsOf.keys()) if (!met.has(file)) visit(file);
  return circles.sort();
}

Deno.test("layers: all imports are seen, and every file has its place", () => {
  assert.ok(imports.length > 2000, `only ${imports.length} imports were found: the test does not see the code`);
  const places = new Set(imports.flatMap(({ from, to }) => [from, to]));
  assert.deepEqual([...places].filter((path) => layerOf(path) === -1), []);
});

Deno.test("layers: a room imports from the rooms before it only", () => {
  assertNone(imports.filter(({ from, to }) => layerOf(to) > layerOf(from)));
});

Deno.test("layers: no files import each other in a circle", () => {
  assert.deepEqual(
    findCircles([{ from: "a", to: "b" }, { from: "b", to: "c" }, { from: "c", to: "b" }, { from: "c", to: "d" }]),
    [["b", "c"]],
  );
  assert.deepEqual(findCircles(imports), []);
});

Deno.test("layers: the core knows no simulator and no study", () => {
  const isCore = (path: string) => CORE.some((room) => isWithin(path, `lib/${room}`));
  assertNone(imports.filter(({ from, to }) => isCore(from) && /^lib\/(gyms|studies)\//.test(to)));
});

Deno.test("layers: training knows no world by name, the torch engine nothing of the other", () => {
  assertNone(imports.filter(({ from, to }) =>
    (isWithin(from, "lib/train") && /^lib\/worlds\/[^/]+\//.test(to)) ||
    (isWithin(from, "lib/tensor/torch") && isWithin(to, "lib/tensor/tfjs"))
  ));
});

Deno.test("layers: neither the torch engine nor finding or installing an engine needs an npm package", async () => {
  const paths = ["entry", "location"].map((name) => join(ROOT, `lib/tensor/tfjs/${name}.ts`));
  for (const folder of ["torch", "install"]) {
    paths.push(...await Array.fromAsync(sources(join(ROOT, "lib/tensor", folder))));
  }
  for (const path of paths) {
    const text = await Deno.readTextFile(path);
    const packages = [...text.matchAll(/from\s+"([^".][^"]*)"/g)].map(([, name]) => name)
      .filter((name) => !name.startsWith("node:"));
    assert.deepEqual(packages, [], `${relative(ROOT, path)} imports ${packages.join(", ")}`);
  }
});

Deno.test("a file of lib is read in one sitting: at most 500 lines, but for the tensor with its operators", async () => {
  const long: string[] = [];
  for await (const path of sources(join(ROOT, "lib"))) {
    const lines = (await Deno.readTextFile(path)).split("\n").length - 1;
    if (lines > 500) long.push(relative(ROOT, path));
  }
  assert.deepEqual(long, ["lib/tensor/tensor.ts"]);
});

Deno.test("comments: `file.ts` lies beside the comment, `room/file.ts` in lib or in the project's folder", async () => {
  const isFile = (path: string) => Deno.stat(path).then((stat) => stat.isFile, () => false);
  const lost: string[] = [];
  let count = 0;
  for (const top of ["lib", "tasks", "bench", "tests"]) {
    for await (const path of sources(join(ROOT, top))) {
      const comments = (await Deno.readTextFile(path)).match(/^\s*\/?\*.*$|\/\/.*$/gm) ?? [];
      for (const [, name] of comments.join("\n").matchAll(/`([\w./-]+\.ts)`/g)) {
        count++;
        const places = [dirname(path), join(ROOT, "lib"), ROOT].map((folder) => join(folder, name));
        if (!(await Promise.all(places.map(isFile))).includes(true)) lost.push(`${relative(ROOT, path)}: ${name}`);
      }
    }
  }
  assert.ok(count > 100, `only ${count} names were found: the test does not see the comments`);
  assert.deepEqual(lost, []);
});
