/**
 * `deno task test`: all tests, in several processes side by side, which takes half the time of one on two cores. A process has a
 * folder's tests, or one file's where those start processes themselves and mostly wait. What each wrote is shown when it has
 * ended; the last line adds up their counts. Arguments are handed on to one `deno test`: a file, a folder, `--filter`.
 */
import { join, relative } from "node:path";

const ROOT = join(import.meta.dirname!, "..");
/** Processes at a time: engines have threads of their own. */
const AT_ONCE = Math.max(1, Math.min(2, navigator.hardwareConcurrency));
/** Folders whose files are run one by one. */
const BY_FILE = ["tasks", "recipes"];

if (Deno.args.length > 0) Deno.exit((await start(Deno.args, "inherit").output()).code);
// Types are looked at once, for all of them.
const types = await new Deno.Command(Deno.execPath(), { args: ["check", "--quiet", "tests"], cwd: ROOT }).spawn()
  .status;
if (!types.success) Deno.exit(types.code);

const counts = { passed: 0, failed: 0, ignored: 0 }, broken: string[] = [], began = performance.now();
const waiting = await partsOf(join(ROOT, "tests"));
await Promise.all(Array.from({ length: AT_ONCE }, async () => {
  for (let part = waiting.shift(); part !== undefined; part = waiting.shift()) await runPart(part);
}));
const seconds = Math.round((performance.now() - began) / 1000), { passed, failed, ignored } = counts;
if (broken.length > 0) console.log(`\nwithout a result: ${broken.join(", ")}`);
console.log(
  `\n${failed + broken.length === 0 ? "ok" : "FAILED"} | ${passed} passed | ${failed + broken.length} failed` +
    `${ignored > 0 ? ` | ${ignored} ignored` : ""} (${Math.floor(seconds / 60)}m${seconds % 60}s)`,
);
Deno.exit(failed + broken.length === 0 ? 0 : 1);

/** What one process runs, the longest first, as far as the size of its files tells. */
async function partsOf(folder: string): Promise<string[]> {
  const parts: { path: string; bytes: number }[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name), files = isDirectory ? await testFiles(path) : isTest(path) ? [path] : [];
    const sizes = await Promise.all(files.map(async (file) => (await Deno.stat(file)).size));
    if (BY_FILE.includes(name)) parts.push(...files.map((file, i) => ({ path: file, bytes: 10 * sizes[i] })));
    else if (files.length > 0) parts.push({ path, bytes: sizes.reduce((sum, size) => sum + size) });
  }
  return parts.sort((a, b) => b.bytes - a.bytes).map(({ path }) => relative(ROOT, path));
}

async function testFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) files.push(...await testFiles(path));
    else if (isTest(path)) files.push(path);
  }
  return files;
}

function isTest(path: string): boolean {
  return path.endsWith("_test.ts");
}

async function runPart(part: string): Promise<void> {
  const { stdout, stderr } = await start(["--no-check", part], "piped").output();
  const text = new TextDecoder(), output = text.decode(stdout);
  console.log(`\n== ${part}\n${output}${text.decode(stderr)}`);
  // deno-lint-ignore no-control-regex -- colours
  const plain = output.replaceAll(/\x1b\[[0-9;]*m/g, "");
  const line = plain.split("\n").findLast((each) => /^(ok|FAILED) \| /.test(each));
  if (line === undefined) return void broken.push(part);
  for (const name of Object.keys(counts) as (keyof typeof counts)[]) {
    counts[name] += Number(new RegExp(`(\\d+) ${name}`).exec(line)?.[1] ?? 0);
  }
}

function start(args: readonly string[], output: "inherit" | "piped"): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", ...args],
    cwd: ROOT,
    stdout: output,
    stderr: output,
  });
}
