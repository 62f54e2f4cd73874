/**
 * What a disk does to a run: full, read-only, a limit on files, a folder that goes away. Each is one line that says where and why
 * and how to go on, and nothing that was saved is lost: the run ends with the numbers of an undisturbed one. The disks are real
 * ones of some kilobytes, which root alone may mount.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { withFolder } from "../support/files.ts";
import { runNumbers, runTask, startTask, type TaskOutcome, tinyFlags } from "../support/tiny_run.ts";
import { TEXT_MODELS, tinyTextFlags } from "../support/tiny_text_run.ts";

const VIDEO = ["--device", "cpu", ...tinyFlags()];
const TEXT = ["--device", "cpu", ...tinyTextFlags()];

function run(command: string, ...args: string[]): boolean {
  try {
    return new Deno.Command(command, { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** A disk in memory; `resize` takes kilobytes or `ro`. */
async function withDisk(use: (path: string, remount: (option: string) => void) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const path = join(folder, "disk");
    await Deno.mkdir(path);
    assert.ok(run("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", path));
    try {
      await use(path, (option) => assert.ok(run("mount", "-o", `remount,${option}`, path)));
    } finally {
      assert.ok(run("umount", "--lazy", path));
    }
  });
}

const canMount = await (async () => {
  const path = await Deno.makeTempDir();
  const mounted = run("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", path) && run("umount", path);
  await Deno.remove(path);
  return mounted;
})();
const ON_A_DISK = canMount ? "" : " (skipped: mounting a small disk needs root)";

/** One line of error, that names a file of the run and how to go on, and no trace. */
function assertSaysHow({ code, stderr }: TaskOutcome, reason: RegExp, task: string, out: string) {
  assert.equal(code, 2, stderr);
  const [line] = stderr.trimEnd().split("\n").slice(-1);
  assert.match(line, /^error: /, stderr);
  assert.ok(line.includes(out), line);
  assert.match(line, reason);
  assert.ok(line.endsWith(`; resume with: deno task ${task} --resume --out ${out}`), line);
  assert.doesNotMatch(stderr, /Uncaught|^ +at /m);
}

const SWEEPS = [
  { task: "train-video", flags: VIDEO, models: undefined, sizes: [100, 300, 500, 800, 1000, 1300, 1900] },
  { task: "train-text-game", flags: TEXT, models: TEXT_MODELS, sizes: [120, 300, 500, 1000] },
];

for (const { task, flags, models, sizes } of SWEEPS) {
  Deno.test({
    name: `${task} on a full disk that is made larger again and again${ON_A_DISK}`,
    ignore: !canMount,
    fn: async () => {
      await withDisk(async (disk, remount) => {
        const command = task.replaceAll("-", "_"), out = join(disk, "run"), whole = `${disk}-whole`;
        const undisturbed = await runTask(command, [...flags, "--out", whole]);
        assert.equal(undisturbed.code, 0, undisturbed.stderr);
        const written = new Set<string>();
        for (const [i, size] of sizes.entries()) {
          remount(`size=${size}k`);
          const outcome = await runTask(command, [...flags, "--out", out, ...i === 0 ? [] : ["--resume"]]);
          assertSaysHow(outcome, /no space left on device/, task, out);
          written.add(/cannot \w+ (?:the folder )?(\S+):/.exec(outcome.stderr)?.[1] ?? assert.fail(outcome.stderr));
        }
        assert.ok(written.size >= 3, `one kind of file alone was struck: ${[...written]}`);
        remount("size=20m");
        const last = await runTask(command, [...flags, "--out", out, "--resume"]);
        assert.equal(last.code, 0, last.stderr);
        assert.deepEqual(await runNumbers(out, models), await runNumbers(whole, models));
        await Deno.remove(whole, { recursive: true });
      });
    },
  });
}

/** A run that has its tokenizer, to go on with. */
async function begin(out: string): Promise<void> {
  const { code, stderr } = await runTask("train_video", [...VIDEO, "--out", out, "--stage", "tokenizer"]);
  assert.equal(code, 0, stderr);
}

/** Root may write everywhere, unless it gives that up. */
const AS_OTHERS = Deno.uid() === 0 ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] : [];
const canGiveUp = Deno.build.os !== "windows" &&
  (AS_OTHERS.length === 0 || run(AS_OTHERS[0], ...AS_OTHERS.slice(1), "true"));

/** What somebody may take the right to write from. */
const READ_ONLY = [["metrics.jsonl", 0o444], ["checkpoints", 0o555], ["", 0o555], [".lock", 0o444]] as const;

Deno.test({
  name: "a run whose folder is read-only says so when it is resumed, and is as it was",
  ignore: !canGiveUp,
  fn: async () => {
    await withFolder(async (folder) => {
      const out = join(folder, "run"), whole = join(folder, "whole");
      await begin(out);
      const resume = () => runTask("train_video", [...VIDEO, "--out", out, "--resume"], { through: AS_OTHERS });
      for (const [place, mode] of READ_ONLY) {
        const path = join(out, place), { mode: before } = await Deno.stat(path);
        await Deno.chmod(path, mode);
        assertSaysHow(await resume(), /: permission denied; /, "train-video", out);
        await Deno.chmod(path, before!);
      }
      const last = await resume();
      assert.equal(last.code, 0, last.stderr);
      assert.equal((await runTask("train_video", [...VIDEO, "--out", whole])).code, 0);
      assert.deepEqual(await runNumbers(out), await runNumbers(whole));
    });
  },
});

Deno.test({
  name: `a run on a disk that became read-only says so when it is resumed${ON_A_DISK}`,
  ignore: !canMount,
  fn: async () => {
    await withDisk(async (disk, remount) => {
      remount("size=20m");
      const out = join(disk, "run");
      await begin(out);
      remount("ro");
      const outcome = await runTask("train_video", [...VIDEO, "--out", out, "--resume"]);
      assertSaysHow(outcome, /: read-only file system; /, "train-video", out);
      const other = await runTask("train_video", [...VIDEO, "--out", join(disk, "new")]);
      assert.equal(other.code, 2);
      assert.match(other.stderr, /^error: cannot make the run folder \S+\/new: read-only file system$/m);
    });
  },
});

Deno.test({
  name: "a limit on the size of files, as a full disk: the run goes on without it",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await withFolder(async (folder) => {
      const out = join(folder, "run");
      const limited = ["bash", "-c", `trap '' XFSZ; ulimit -f 30; exec "$@"`, "limited"];
      const outcome = await runTask("train_video", [...VIDEO, "--out", out], { through: limited });
      assertSaysHow(outcome, /: file too large; /, "train-video", out);
      const { code, stderr } = await runTask("train_video", [
        ...VIDEO,
        "--out",
        out,
        "--resume",
        "--stage",
        "tokenizer",
      ]);
      assert.equal(code, 0, stderr);
    });
  },
});

Deno.test({
  name: "a run whose output cannot be written to trains on; what it has to say at the end is an error of one line",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await withFolder(async (folder) => {
      const full = (redirect: string) => ["bash", "-c", `exec "$@" ${redirect}`, "full"];
      const run = (out: string, redirect: string) =>
        runTask("train_video", [...VIDEO, "--out", out, "--stage", "tokenizer"], { through: full(redirect) });
      const silent = join(folder, "silent");
      assert.equal((await run(silent, "2>/dev/full")).code, 0);
      assert.ok((await Deno.stat(join(silent, "models/tokenizer"))).isDirectory);
      const { code, stderr } = await run(join(folder, "mute"), ">/dev/full");
      assert.equal(code, 2);
      assert.match(stderr, /^error: No space left on device .*resume with/m);
      assert.ok((await Deno.stat(join(folder, "mute/models/tokenizer"))).isDirectory);
    });
  },
});

Deno.test("a run whose folder is renamed in the meantime stops, and goes on under its new name", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "run"), moved = join(folder, "moved"), whole = join(folder, "whole");
    assert.equal((await runTask("train_video", [...VIDEO, "--out", whole])).code, 0);
    const child = startTask("train_video", [...VIDEO, "--out", out]);
    const output = child.output();
    while (!await Deno.stat(join(out, "checkpoints/tokenizer/step-00000002")).then(() => true, () => false)) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await Deno.rename(out, moved);
    const { code, stderr } = await output, text = new TextDecoder().decode(stderr);
    assert.equal(code, 2, text);
    assert.match(text, /\nerror: the folder \S+ is not there any more: it was removed or renamed.*--out NEW-NAME\)\n$/);
    assert.equal(await Deno.stat(out).then(() => true, () => false), false, "made anew");
    const resumed = await runTask("train_video", ["--device", "cpu", "--out", moved, "--resume"]);
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.deepEqual(await runNumbers(moved), await runNumbers(whole));
  });
});

Deno.test("runs that begin in the same second without --out have folders of their own", async () => {
  await withFolder(async (folder) => {
    const flags = [...VIDEO, "--stage", "tokenizer"];
    const outcomes = await Promise.all([0, 1, 2].map(() => runTask("train_video", flags, { cwd: folder })));
    for (const { code, stderr } of outcomes) assert.equal(code, 0, stderr);
    const names = (await Array.fromAsync(Deno.readDir(join(folder, "runs")))).map(({ name }) => name);
    assert.equal(names.length, 3, names.join());
    const resumed = await runTask("train_video", ["--device", "cpu", "--resume", "--stage", "likelihood"], {
      cwd: folder,
    });
    assert.equal(resumed.code, 0, resumed.stderr);
  });
});

Deno.test({
  name: `web-agent on a full disk: it is the disk's fault, not the agent's, and the comparison goes on${ON_A_DISK}`,
  ignore: !canMount,
  fn: async () => {
    await withDisk(async (disk, remount) => {
      const out = join(disk, "run"), flags = ["--site-seeds", "0", "--world-model", "none", "--out", out];
      remount("size=200k");
      const { code, stderr } = await runTask("web_agent", flags);
      assert.equal(code, 2, stderr);
      const line = stderr.trimEnd().split("\n").at(-1)!;
      assert.match(line, /^error: cannot write \S+: no space left on device; --resume --out \S+ goes on$/);
      remount("size=50m");
      const resumed = await runTask("web_agent", [...flags, "--resume"]);
      assert.equal(resumed.code, 0, resumed.stderr);
      const results = (await Deno.readTextFile(join(out, "results.jsonl"))).trimEnd().split("\n");
      assert.ok(results.every((each) => JSON.parse(each).error === undefined), "no trial failed");
    });
  },
});
