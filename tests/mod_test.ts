/**
 * The public names: what each entry point of deno.json exports is what tests/mod_exports.txt lists, sorted, an entry point a
 * paragraph: few, each of one entry point, and each with one meaning. RLVR_UPDATE_FIXTURES=1 writes the list anew.
 */
import assert from "node:assert/strict";
import { join, relative } from "node:path";
import denoJson from "../deno.json" with { type: "json" };

const ROOT = join(import.meta.dirname!, "..");
const LIST = join(ROOT, "tests/mod_exports.txt");
const ENTRIES = Object.entries(denoJson.exports as Record<string, string>);

/** A new one takes the place of another. */
const MOST_NAMES = 200;

/** Exported names of a file that only hands on, and which of them are types. */
async function exportedNames(path: string): Promise<{ name: string; isType: boolean }[]> {
  const source = (await Deno.readTextFile(join(ROOT, path))).replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*$/gm, "");
  assert.doesNotMatch(source, /export\s*\*/, `${path}: every export is named`);
  assert.doesNotMatch(
    source,
    /export\s+(default|const|let|function|async|class|interface|enum)\b/,
    `${path} only hands on`,
  );
  return [...source.matchAll(/export\s+(type\s+)?\{([^}]*)\}\s*from/g)].flatMap(([, allTypes, names]) =>
    names.split(",").map((name) => name.trim()).filter((name) => name !== "").map((text) => {
      const isType = allTypes !== undefined || text.startsWith("type ");
      return { name: text.replace(/^type\s+/, "").replace(/^.*\sas\s+/, ""), isType };
    })
  );
}

Deno.test("entry points export exactly the listed names", async () => {
  const paragraphs: string[] = [], all: string[] = [];
  for (const [entry, path] of ENTRIES) {
    const names = (await exportedNames(path)).map(({ name, isType }) => isType ? `${name} (type)` : name).sort();
    all.push(...names);
    paragraphs.push([`${entry}:`, ...names].join("\n"));
  }
  const text = paragraphs.join("\n\n") + "\n";
  if (Deno.env.get("RLVR_UPDATE_FIXTURES")) await Deno.writeTextFile(LIST, text);
  assert.deepEqual(all.filter((name, i) => all.indexOf(name) !== i), [], "no name twice");
  assert.ok(all.length <= MOST_NAMES, `${all.length} names: at most ${MOST_NAMES}`);
  // Changing what users import is a decision: change the list with it.
  assert.deepEqual(text.split("\n"), (await Deno.readTextFile(LIST)).split("\n"));
});

Deno.test("entry points: the names that are values are there", async () => {
  let count = 0;
  for (const [, path] of ENTRIES) {
    const values = (await exportedNames(path)).filter(({ isType }) => !isType).map(({ name }) => name).sort();
    const module = await import(new URL(`../${path}`, import.meta.url).href);
    assert.deepEqual(Object.keys(module).sort(), values);
    count += values.length;
  }
  assert.ok(count > 40, `only ${count} values were found: the test does not see them`);
});

Deno.test("a type's name means one thing in all of lib; the two engines have twins", async () => {
  const places = new Map<string, string[]>();
  for await (const path of sourcesOf(join(ROOT, "lib"))) {
    if (/lib\/tensor\/(torch|tfjs)\//.test(path)) continue;
    for (
      const [, name] of (await Deno.readTextFile(path)).matchAll(
        /^export (?:abstract )?(?:class|interface|type) (\w+)/gm,
      )
    ) {
      places.set(name, [...places.get(name) ?? [], relative(ROOT, path)]);
    }
  }
  assert.ok(places.size > 400, `only ${places.size} types were found: the test does not see them`);
  assert.deepEqual([...places].filter(([, paths]) => paths.length > 1), []);
});

async function* sourcesOf(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) yield* sourcesOf(path);
    else if (name.endsWith(".ts")) yield path;
  }
}
