/**
 * What `deno publish` would upload works where it is used: the files of its dry run are served over HTTP on the loopback, bare
 * specifiers rewritten as it rewrites them, and a program in another folder runs the example at the head of each entry point
 * against them, type-checked. One of them trains a tiny model on WebAssembly, one runs a recipe from data to report.
 */
import assert from "node:assert/strict";
import { join, relative } from "node:path";
import denoJson from "../deno.json" with { type: "json" };

const ROOT = join(import.meta.dirname!, "..");
const ENTRIES = Object.entries(denoJson.exports as Record<string, string>);
/** `name` and `prefix/` of the import map, longest first. */
const IMPORTS = Object.entries(denoJson.imports as Record<string, string>).sort(([a], [b]) => b.length - a.length);

async function deno(args: string[], options: Deno.CommandOptions = {}): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), { args, cwd: ROOT, env: { NO_COLOR: "1" }, ...options });
  const { success, stdout, stderr } = await command.output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.ok(success, `deno ${args[0]} failed:\n${out}\n${err}`);
  return `${out}\n${err}`;
}

/** Paths of the files that `deno publish` would upload. */
async function publishedFiles(): Promise<Set<string>> {
  const said = await deno(["publish", "--dry-run", "--allow-dirty", "--no-check", "--allow-slow-types"]);
  return new Set([...said.matchAll(/file:\/\/(\S+) \(/g)].map(([, path]) => relative(ROOT, path)));
}

/** A module with its bare specifiers replaced by what the import map says, as in an upload. */
function rewritten(source: string): string {
  return source.replace(/((?:from|import)\s*\(?\s*")([^".][^"]*)(")/g, (whole, before, specifier, after) => {
    for (const [name, target] of IMPORTS) {
      if (specifier === name) return before + target + after;
      if (name.endsWith("/") && specifier.startsWith(name)) {
        return before + target + specifier.slice(name.length) + after;
      }
    }
    return whole;
  });
}

/** Serves files of the package, and remembers what was asked for in vain. */
function servePackage(files: ReadonlySet<string>): { port: number; missing: string[]; close(): Promise<void> } {
  const missing: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async ({ url }) => {
    const path = new URL(url).pathname.slice(1);
    if (!files.has(path)) {
      missing.push(path);
      return new Response("not in the package", { status: 404 });
    }
    const text = await Deno.readTextFile(join(ROOT, path)), isModule = path.endsWith(".ts");
    return new Response(isModule ? rewritten(text) : text, {
      headers: { "content-type": isModule ? "application/typescript" : "text/plain" },
    });
  });
  return { port: server.addr.port, missing, close: () => server.shutdown() };
}

/** The example at the head of an entry point. */
async function exampleOf(path: string): Promise<string> {
  const [head] = (await Deno.readTextFile(join(ROOT, path))).split("*/");
  const code = /```ts\n([\s\S]*?)```/.exec(head)?.[1];
  assert.ok(code, `${path}: the head has an example`);
  return code.replace(/^ \* ?/gm, "");
}

Deno.test("package: what is published runs when it is imported over HTTP from another folder", async () => {
  const files = await publishedFiles();
  assert.ok(files.has("mod.ts") && files.has("lib/runs.ts"), `the dry run lists files: ${[...files].slice(0, 5)}`);
  assert.deepEqual([...files].filter((path) => /^(tests|tasks|bench|notebooks)\//.test(path)), []);
  const server = servePackage(files), origin = `http://127.0.0.1:${server.port}`;
  const folder = await Deno.makeTempDir();
  try {
    const urls = ENTRIES.map(([entry, path]) => [join(denoJson.name, entry), new URL(path, origin).href]);
    await Deno.writeTextFile(join(folder, "deno.json"), JSON.stringify({ imports: Object.fromEntries(urls) }));
    for (const [i, [, path]] of ENTRIES.entries()) {
      await Deno.writeTextFile(join(folder, `example_${i}.ts`), await exampleOf(path));
    }
    // One after the other in one process, so that everything is loaded once.
    const all = ENTRIES.map((_, i) => `await import("./example_${i}.ts");`);
    await Deno.writeTextFile(join(folder, "all.ts"), [...all, 'console.log("all ran");'].join("\n"));
    const said = await deno(["run", "--quiet", "--allow-all", "--check", "--no-lock", `--reload=${origin}`, "all.ts"], {
      cwd: folder,
    });
    const learnt = Number(/step 11: (\d+) % of the answers are right/.exec(said)?.[1]);
    assert.ok(learnt > 60, `the clock was trained: ${said.slice(-2000)}`);
    assert.match(said, /report\.html/);
    assert.match(said, /all ran/);
    assert.deepEqual(server.missing, []);
  } finally {
    await server.close();
    await Deno.remove(folder, { recursive: true });
    const { denoDir } = JSON.parse((await deno(["info", "--json"])).split("\n\n")[0]);
    await Deno.remove(join(denoDir, "remote/http", `127.0.0.1_PORT${server.port}`), { recursive: true }).catch(
      () => {},
    );
  }
});
