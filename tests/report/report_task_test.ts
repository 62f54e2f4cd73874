import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const cell = (source: string) => ({
  cell_type: "code",
  execution_count: null,
  metadata: {},
  outputs: [],
  source: [source],
});
const file = (...cells: unknown[]) => JSON.stringify({ cells, metadata: {}, nbformat: 4, nbformat_minor: 5 });

/** Runs the command in a folder that holds good.ipynb, bad.ipynb and broken.ipynb. */
async function inFolder(
  check: (folder: string, report: (...args: string[]) => ReturnType<typeof command>) => Promise<void>,
) {
  const folder = await Deno.makeTempDir();
  try {
    const title = { cell_type: "markdown", metadata: {}, source: ["# Hello"] };
    await Deno.writeTextFile(
      join(folder, "good.ipynb"),
      file(title, cell("console.log('value', Deno.env.get('KEY'))")),
    );
    await Deno.writeTextFile(
      join(folder, "bad.ipynb"),
      file(cell("1"), cell("throw new TypeError('broken on purpose')")),
    );
    await Deno.writeTextFile(join(folder, "broken.ipynb"), "{");
    await check(folder, (...args) => command(folder, args));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function command(cwd: string, args: string[]) {
  const config = ["run", "-A", "-q", "-c", join(root, "deno.json"), join(root, "tasks/report.ts")];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...config, ...args],
    cwd,
    env: { NO_COLOR: "1" },
  }).output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

Deno.test("a notebook is run and rendered; it is changed only with --in-place", async () => {
  await inFolder(async (folder, report) => {
    const before = await Deno.readTextFile(join(folder, "good.ipynb"));
    const first = await report("good.ipynb", "--out", "pages", "--set", "KEY=a=b");
    assert.deepEqual([first.code, first.stderr], [0, ""]);
    assert.match(await Deno.readTextFile(join(folder, "pages/good.html")), /<title>Hello<\/title>[\s\S]*value a=b/);
    assert.equal(await Deno.readTextFile(join(folder, "good.ipynb")), before);

    assert.equal((await report("good.ipynb", "--out", "pages", "--set", "KEY=kept", "--in-place")).code, 0);
    assert.match(await Deno.readTextFile(join(folder, "good.ipynb")), /"value kept\\n"/);
    assert.equal((await report("good.ipynb", "--out", "pages", "--no-run")).code, 0);
    assert.match(await Deno.readTextFile(join(folder, "pages/good.html")), /value kept/);
  });
});

Deno.test("a failing cell: exit code 1, its number, source and traceback; the page shows it, the notebook stays", async () => {
  await inFolder(async (folder, report) => {
    const before = await Deno.readTextFile(join(folder, "bad.ipynb"));
    const { code, stdout, stderr } = await report("bad.ipynb", "good.ipynb", "--out", "pages", "--in-place");
    assert.equal(code, 1);
    assert.match(
      stderr,
      /bad\.ipynb: cell 2 failed\n +1 \| throw new TypeError\('broken on purpose'\)\n\n +TypeError: broken on purpose\n +at /,
    );
    assert.match(stdout, /good\.ipynb: all cells passed/);
    assert.match(await Deno.readTextFile(join(folder, "pages/bad.html")), /class="error">TypeError: broken on purpose/);
    assert.equal(await Deno.readTextFile(join(folder, "bad.ipynb")), before);
  });
});

Deno.test("what a user gets wrong is one line and exit code 2, and nothing is run", async () => {
  await inFolder(async (folder, report) => {
    const cases: [string[], RegExp][] = [
      [[], /no notebook was named/],
      [["good.ipynb", "nowhere.ipynb"], /cannot read the notebook "nowhere\.ipynb": there is no such file/],
      [["broken.ipynb"], /"broken\.ipynb" is not valid JSON/],
      [["good.ipynb", "--fast"], /unknown flag --fast/],
      [["good.ipynb", "--timeout", "soon"], /--timeout must be a number of seconds .*received "soon"/],
      [["good.ipynb", "--set", "KEY"], /--set must be KEY=VALUE: received "KEY"/],
      [["good.ipynb", "--no-run", "--in-place"], /--in-place saves the outputs of a run/],
      [["good.ipynb", "./good.ipynb"], /two notebooks would be written to "good\.html"/],
      [["good.ipynb", "--out", "broken.ipynb"], /cannot create the folder "broken\.ipynb" \(--out\)/],
    ];
    const results = await Promise.all(cases.map(([args]) => report(...args)));
    results.forEach(({ code, stdout, stderr }, i) => {
      assert.deepEqual([code, stdout], [2, ""], cases[i][0].join(" "));
      assert.match(stderr, cases[i][1]);
      assert.match(stderr, /^error: [^\n]*\n$/);
    });
    assert.deepEqual([...Deno.readDirSync(folder)].length, 3);
  });
});

for (const name of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`Ctrl-C stops the kernel and writes nothing (${name})`, async () => {
    await inFolder(async (folder) => {
      await Deno.writeTextFile(
        join(folder, "long.ipynb"),
        file(cell("await Deno.writeTextFile('pid', `${Deno.pid}`);\nfor (;;) await 0;")),
      );
      const process = new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "-A",
          "-q",
          "-c",
          join(root, "deno.json"),
          join(root, "tasks/report.ts"),
          "long.ipynb",
          "--out",
          "pages",
        ],
        cwd: folder,
        stdout: "null",
        stderr: "piped",
      }).spawn();
      let pid = "";
      while (pid === "") {
        await new Promise((resolve) => setTimeout(resolve, 50));
        pid = await Deno.readTextFile(join(folder, "pid")).catch(() => "");
      }
      process.kill(name);
      const { code, stderr } = await process.output();
      assert.equal(code, 130);
      assert.match(new TextDecoder().decode(stderr), /interrupted: the kernel was stopped/);
      assert.throws(() => Deno.kill(Number(pid), "SIGCONT"), Deno.errors.NotFound);
      assert.deepEqual([...Deno.readDirSync(join(folder, "pages"))], []);
    });
  });
}

Deno.test("help names every flag", async () => {
  const { code, stdout } = await command(root, ["--help"]);
  assert.equal(code, 0);
  for (const flag of ["--out", "--timeout", "--in-place", "--no-run", "--set"]) {
    assert.ok(stdout.includes(`  ${flag} `), flag);
  }
});
