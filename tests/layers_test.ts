/** Imports go downwards only; see the layers below, lowest first. */
import assert from "node:assert/strict";
import { dirname, join, relative, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname!, "..");

/** A file may import from layers below its own, and from its own. */
const LAYERS: readonly (readonly string[])[] = [
  ["lib/io"],
  ["lib/tensor"],
  ["lib/nn"],
  ["lib/models", "lib/worlds"],
  ["lib/train", "lib/runs", "lib/report"],
  ["lib/studies/web_agents"],
  ["lib/experiments"],
  ["lib/play"],
  ["mod.ts", "tasks", "bench", "notebooks"],
];

function layerOf(path: string): number {
  return LAYERS.findIndex((layer) => layer.some((place) => path === place || path.startsWith(`${place}/`)));
}

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) yield* sources(path);
    else if (entry.name.endsWith(".ts")) yield path;
  }
}

async function imports(): Promise<{ from: string; to: string }[]> {
  const found: { from: string; to: string }[] = [];
  for (const folder of ["lib", "tasks"]) {
    for await (const path of sources(join(ROOT, folder))) {
      const text = await Deno.readTextFile(path);
      for (const [, target] of text.matchAll(/(?:from\s+|import\s+|import\()"(\.{1,2}\/[^"]+)"/g)) {
        found.push({ from: relative(ROOT, path), to: relative(ROOT, resolve(dirname(path), target)) });
      }
    }
  }
  return found;
}

Deno.test("layers: imports go downwards only", async () => {
  const all = await imports();
  assert.ok(all.length > 100, `only ${all.length} imports were found: the test does not see the code`);
  const wrong = all.filter(({ from, to }) => layerOf(to) > layerOf(from) || layerOf(to) === -1 || layerOf(from) === -1);
  assert.deepEqual(wrong.map(({ from, to }) => `${from} imports ${to}`), []);
});

Deno.test("layers: reinforcement learning knows nothing of video, tensors nothing of models", async () => {
  const wrong = (await imports()).filter(({ from, to }) =>
    (from.startsWith("lib/train/") && /^lib\/worlds\/[^/]+\//.test(to)) ||
    (from.startsWith("lib/tensor/torch/") && to.startsWith("lib/tensor/tfjs/"))
  );
  assert.deepEqual(wrong.map(({ from, to }) => `${from} imports ${to}`), []);
});

Deno.test("layers: the torch engine needs no npm package", async () => {
  for await (const path of sources(join(ROOT, "lib/tensor/torch"))) {
    const text = await Deno.readTextFile(path);
    const packages = [...text.matchAll(/from\s+"([^".][^"]*)"/g)].map(([, name]) => name)
      .filter((name) => !name.startsWith("node:"));
    assert.deepEqual(packages, [], `${relative(ROOT, path)} imports ${packages.join(", ")}`);
  }
});
