import assert from "node:assert/strict";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { joinLines, type Notebook } from "../../lib/notebooks/notebook_file.ts";
import { type NotebookRun, runNotebook, type RunNotebookOptions } from "../../lib/notebooks/notebook_runner.ts";

const here = dirname(fileURLToPath(import.meta.url));

function notebook(...sources: string[]): Notebook {
  const cells = sources.map((source) => ({ cell_type: "code" as const, source, metadata: {} }));
  return { nbformat: 4, nbformat_minor: 5, metadata: {}, cells };
}

function run(sources: string[], options: Partial<RunNotebookOptions> = {}): Promise<NotebookRun> {
  return runNotebook(notebook(...sources), { cwd: here, timeoutSeconds: 30, ...options });
}

/** Text of a cell's outputs, one string an output, without terminal colours. */
function texts(result: NotebookRun, cell: number): string[] {
  return result.notebook.cells[cell].outputs!.map((output) =>
    output.output_type === "stream"
      ? `${output.name}: ${joinLines(output.text)}`
      : output.output_type === "error"
      ? `${output.ename}: ${output.evalue}`
      // deno-lint-ignore no-control-regex
      : joinLines(output.data["text/plain"]).replaceAll(/\x1b\[\d*m/g, "")
  );
}

Deno.test("values, displays, prints, imports and the environment", async () => {
  const seen: number[][] = [], printed: string[] = [];
  const result = await run([
    "const x: number = 20;\nconsole.log('hello');\nconsole.log('again');\nconsole.error('oh');\nx + 1",
    "   \n",
    `await Deno.jupyter.display({ "text/plain": "first", "text/html": "<b>first</b>" }, { raw: true });\n` +
    `await Deno.jupyter.display({ "text/plain": "second" }, { raw: true });`,
    'import { UserError } from "../../lib/base/user_error.ts";\nnew UserError("x").name + x + Deno.env.get("REPORT_TEST")',
  ], { env: { REPORT_TEST: "!" }, onCell: (...at) => seen.push(at), onText: (text) => printed.push(text) });
  assert.equal(result.failure, undefined);
  assert.deepEqual(texts(result, 0), ["stdout: hello\nagain\n", "stderr: oh\n", "21"]);
  assert.deepEqual(texts(result, 1), []);
  assert.deepEqual(texts(result, 2), ["first", "second"]);
  assert.deepEqual(texts(result, 3), ['"UserError20!"']);
  assert.deepEqual(result.notebook.cells.map((cell) => cell.execution_count), [1, null, 2, 3]);
  assert.deepEqual(seen, [[1, 3], [2, 3], [3, 3]]);
  assert.equal(printed.join(""), "hello\nagain\noh\n");
});

Deno.test("what a cell sends as an output and is none is said in its place, and ends nothing", async () => {
  const deep = "{ let deep: unknown = 0; for (let i = 0; i < 110; i++) deep = [deep];";
  const result = await run([
    `for (const content of [{}, { data: 5 }, { data: null, metadata: null, transient: null }, []]) await Deno.jupyter.broadcast("display_data", content);`,
    `await Deno.jupyter.broadcast("stream", { name: "stdout", text: { a: 1 } }); await Deno.jupyter.broadcast("stream", {});`,
    `await Deno.jupyter.broadcast("error", { ename: 1 });`,
    `${deep} await Deno.jupyter.broadcast("display_data", { data: { "application/json": deep } }); }`,
    `await Deno.jupyter.broadcast("display_data", { data: { "text/plain": "shown" }, transient: { display_id: "d" } });
     await Deno.jupyter.broadcast("update_display_data", { data: 3, transient: { display_id: "d" } });
     await Deno.jupyter.broadcast("update_display_data", {});`,
    "1 + 1",
  ]);
  assert.equal(result.failure, undefined);
  const left = (what: string) => `stderr: ${`(left out: an output that ${what})\n`}`;
  const all = (what: string, n: number) => [`stderr: ${`(left out: an output that ${what})\n`.repeat(n)}`];
  assert.deepEqual(texts(result, 0), all("has no data by type", 4));
  assert.deepEqual(texts(result, 1), all("has no text", 2));
  assert.deepEqual(texts(result, 2), [left("has no name or message of its error")]);
  assert.deepEqual(texts(result, 3), [left("nests deeper than 100 levels")]);
  assert.deepEqual(texts(result, 4), ["shown", ...all("has no data by type", 2)]);
  assert.deepEqual(texts(result, 5), ["2"]);
});

Deno.test("every output is filed under its own cell, however late the kernel sends it", async () => {
  const sources = Array.from({ length: 60 }, (_, i) =>
    [
      `${i}`,
      `await new Promise((resolve) => setTimeout(resolve, 15)); ${i}`,
      `await Deno.jupyter.display({ "text/plain": "${i}" }, { raw: true })`,
      `for (let k = 0; k < 20; k++) console.log(${i})`,
    ][i % 4]);
  const result = await run(sources);
  assert.equal(result.failure, undefined);
  sources.forEach((_, i) => {
    assert.deepEqual(texts(result, i), [i % 4 === 3 ? `stdout: ${`${i}\n`.repeat(20)}` : `${i}`], `cell ${i}`);
  });
});

Deno.test("an update replaces what was shown, also from a later cell; clearing empties the cell", async () => {
  const show = (text: string, update: boolean) =>
    `await Deno.jupyter.display({ "text/plain": "${text}" }, { raw: true, display_id: "p", update: ${update} } as never);`;
  const result = await run([
    show("0 %", false) + show("50 %", true),
    show("100 %", true),
    'console.log("gone"); await Deno.jupyter.broadcast("clear_output", { wait: true }); console.log("stays")',
  ]);
  assert.deepEqual(texts(result, 0), ["100 %"]);
  assert.deepEqual(texts(result, 1), []);
  assert.deepEqual(texts(result, 2), ["stdout: stays\n"]);
});

Deno.test("large outputs below the limit arrive whole", async () => {
  const result = await run([
    'for (let i = 0; i < 6; i++) await Deno.jupyter.display({ "text/plain": String(i).repeat(900_000) }, { raw: true })',
    "1",
  ]);
  assert.equal(result.failure, undefined);
  assert.deepEqual(
    texts(result, 0).map((text) => [text[0], text.length]),
    [0, 1, 2, 3, 4, 5].map((i) => [`${i}`, 900_000]),
  );
});

Deno.test("an error ends the run with the cell's number, source and traceback", async () => {
  const result = await run([
    "const a = 1",
    'console.log("before");\nthrow new RangeError(`bad ${a}`)',
    'console.log("never")',
  ]);
  const { cell, source, ename, evalue, traceback } = result.failure!;
  assert.deepEqual([cell, ename, evalue], [2, "RangeError", "bad 1"]);
  assert.match(source, /throw new RangeError/);
  assert.match(traceback.join("\n"), /RangeError: bad 1\n\s+at <anonymous>:2/);
  assert.deepEqual(texts(result, 1), ["stdout: before\n", "RangeError: bad 1"]);
  assert.deepEqual(texts(result, 2), []);
});

Deno.test("a syntax error says where", async () => {
  const { failure, notebook } = await run(["const a = 1;\nconst b = ;"]);
  assert.deepEqual([failure!.ename, failure!.evalue], ["SyntaxError", "Expression expected (line 2, column 11)"]);
  assert.equal(notebook.cells[0].outputs![0].output_type, "error");
});

Deno.test("a cell without end is stopped, and the kernel with it", async () => {
  const started = performance.now();
  const result = await run(["console.log(Deno.pid)", 'console.log("in"); await 0; for (;;);', "1"], {
    timeoutSeconds: 1,
  });
  assert.equal(result.failure!.cell, 2);
  assert.match(result.failure!.evalue, /did not finish within 1 s/);
  assert.ok(performance.now() - started < 10_000);
  assert.deepEqual(texts(result, 2), []);
  const pid = Number(texts(result, 0)[0].slice("stdout: ".length));
  assert.ok(pid > 0);
  assert.throws(() => Deno.kill(pid, "SIGCONT"), Deno.errors.NotFound);
});

Deno.test("a kernel that ends is reported with its exit code", async () => {
  const result = await run(["Deno.exit(3)"]);
  assert.match(result.failure!.evalue, /the kernel ended with exit code 3/);
});

Deno.test("aborting stops the kernel and throws the reason", async () => {
  const control = new AbortController();
  const reason = new Error("enough");
  setTimeout(() => control.abort(reason), 700);
  await assert.rejects(
    run(["await new Promise(() => setInterval(() => {}, 1000))"], { signal: control.signal }),
    reason,
  );
});

Deno.test("the given notebook is not changed, and old outputs do not survive", async () => {
  const source = notebook("throw new Error('x')", "2");
  source.cells[1].outputs = [{ output_type: "stream", name: "stdout", text: "old" }];
  const before = structuredClone(source);
  const result = await runNotebook(source, { cwd: here });
  assert.deepEqual(source, before);
  assert.deepEqual(result.notebook.cells[1].outputs, []);
  await assert.rejects(runNotebook(source, { cwd: here, timeoutSeconds: 0 }), /timeoutSeconds must be positive/);
});
