/**
 * Who looks for an operator's twin on the other engine finds it in the file of the same name. That no engine lacks an operator
 * is a matter of types: each is composed of its modules as an `Engine`.
 */
import assert from "node:assert/strict";

/** Modules of operators in `lib/tensor/torch` and `lib/tensor/tfjs`, each with one function that makes them. */
const MODULES: Readonly<Record<string, string>> = {
  host: "host",
  elementwise: "elementwise",
  reduction: "reduction",
  shapes: "shapes",
  indexing: "indexing",
  products: "products",
  convolution: "convolution",
  normalization: "normalization",
  in_place: "inPlace",
  gradients: "gradients",
};

async function operatorsOf(engine: string, file: string): Promise<string[]> {
  const module = await import(`../../lib/tensor/${engine}/${file}.ts`);
  return Object.keys(module[MODULES[file]]({})).sort();
}

Deno.test("both engines have the same operators in the files of the same names", async () => {
  const seen: string[] = [];
  for (const file of Object.keys(MODULES)) {
    const operators = await operatorsOf("torch", file);
    assert.deepEqual(await operatorsOf("tfjs", file), operators, `${file}.ts`);
    seen.push(...operators);
  }
  assert.ok(seen.length > 40, `only ${seen.length} operators were found`);
  assert.equal(
    new Set(seen).size,
    seen.length,
    "an operator stands in two files: the later one would replace the other",
  );
});
