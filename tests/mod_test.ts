/** The public names: what `mod.ts` exports is what tests/mod_exports.txt lists, a name a line, sorted. */
import assert from "node:assert/strict";
import { join } from "node:path";
import * as library from "../mod.ts";

const ROOT = join(import.meta.dirname!, "..");

/** Exported names, and which of them are types only. */
async function exportedNames(): Promise<{ name: string; isType: boolean }[]> {
  const source = (await Deno.readTextFile(join(ROOT, "mod.ts")))
    .replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*$/gm, "");
  assert.doesNotMatch(source, /export\s*\*/, "every export is named");
  assert.doesNotMatch(source, /export\s+(default|const|function|class|interface)/, "mod.ts only hands on");
  return [...source.matchAll(/export\s+(type\s+)?\{([^}]*)\}\s*from/g)].flatMap(([, allTypes, names]) =>
    names.split(",").map((name) => name.trim()).filter((name) => name !== "").map((text) => {
      const isType = allTypes !== undefined || text.startsWith("type ");
      return { name: text.replace(/^type\s+/, "").replace(/^.*\sas\s+/, ""), isType };
    })
  );
}

Deno.test("mod.ts exports exactly the listed names", async () => {
  const names = (await exportedNames()).map(({ name, isType }) => isType ? `${name} (type)` : name).sort();
  assert.equal(new Set(names).size, names.length, "no name twice");
  const listed = (await Deno.readTextFile(join(ROOT, "tests/mod_exports.txt"))).trimEnd().split("\n");
  // Changing what users import is a decision: change the list with it.
  assert.deepEqual(names, listed);
});

Deno.test("mod.ts: the names that are values are there", async () => {
  const values = (await exportedNames()).filter(({ isType }) => !isType).map(({ name }) => name).sort();
  assert.ok(values.length > 40, `only ${values.length} values were found: the test does not see them`);
  assert.deepEqual(Object.keys(library).sort(), values);
});
