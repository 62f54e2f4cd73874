import assert from "node:assert/strict";
import { join } from "node:path";
import { claimAside, removeLeftovers, writeFileAtomic, writeFileAtomicWith } from "../../lib/io/atomic.ts";
import { withFolder } from "../support/files.ts";

const names = async (folder: string) => (await Array.fromAsync(Deno.readDir(folder))).map((e) => e.name).sort();

/** A process id that belonged to a process which has ended. */
async function deadPid(): Promise<number> {
  const child = new Deno.Command(Deno.execPath(), { args: ["--version"], stdout: "null" }).spawn();
  await child.status;
  return child.pid;
}

Deno.test("writeFileAtomic: bytes and text, new and over an old file, nothing else left", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "a.json");
    await writeFileAtomic(path, "é");
    assert.equal(await Deno.readTextFile(path), "é");
    await writeFileAtomic(path, new Uint8Array([1, 2]));
    assert.deepEqual([...await Deno.readFile(path)], [1, 2]);
    assert.deepEqual(await names(folder), ["a.json"]);
  });
});

Deno.test("writeFileAtomic: many writers at once leave one whole file", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "a");
    await Promise.all(Array.from({ length: 20 }, (_, i) => writeFileAtomic(path, String(i).repeat(10_000))));
    const text = await Deno.readTextFile(path);
    assert.equal(text, text.slice(0, text.length / 10_000).repeat(10_000));
    assert.deepEqual(await names(folder), ["a"]);
  });
});

Deno.test("writeFileAtomicWith: an error in the middle leaves the old file and nothing else", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "a");
    await writeFileAtomic(path, "old");
    const write = writeFileAtomicWith(path, async (sink) => {
      await sink.write(new Uint8Array(1000));
      assert.equal(sink.size, 1000);
      throw new Error("stop");
    });
    await assert.rejects(write, /stop/);
    assert.equal(await Deno.readTextFile(path), "old");
    assert.deepEqual(await names(folder), ["a"]);
  });
});

Deno.test("writeFileAtomic: a folder that is not there is an error", async () => {
  await withFolder(async (folder) => {
    await assert.rejects(writeFileAtomic(join(folder, "no", "a"), "x"), Deno.errors.NotFound);
  });
});

Deno.test("leftovers of dead processes go with the next write of the same file, others stay", async () => {
  await withFolder(async (folder) => {
    const dead = await deadPid();
    using running = claimAside(join(folder, "a"));
    const own = running.path.slice(folder.length + 1);
    const stays = [`.a.${Deno.ppid}-0.partial`, `.b.${dead}-0.partial`, ".a.partial", "a.1-0.partial", own];
    for (const name of [...stays, `.a.${dead}-0.partial`, `.a.${Deno.pid}-999999.partial`]) {
      await Deno.writeTextFile(join(folder, name), "");
    }
    await writeFileAtomic(join(folder, "a"), "x");
    assert.deepEqual(await names(folder), [...stays, "a"].sort());
    await removeLeftovers(folder, (target) => target === "b");
    assert.ok(!(await names(folder)).includes(`.b.${dead}-0.partial`));
  });
});

Deno.test({
  name: "writeFileAtomic: where no more fits, the old file stays and the part is removed",
  // A limit on file sizes makes the system's write fail halfway, as a full disk does.
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "a");
      await Deno.writeTextFile(path, "old");
      const module = new URL("../../lib/io/atomic.ts", import.meta.url).href;
      const script = join(folder, "write.ts");
      await Deno.writeTextFile(
        script,
        `import { writeFileAtomic } from ${JSON.stringify(module)};
         try { await writeFileAtomic(${JSON.stringify(path)}, new Uint8Array(300_000)); console.log("written"); }
         catch (error) { console.log("failed: " + error.name + ": " + error.message); }`,
      );
      const command = `trap '' XFSZ; ulimit -f 100; exec "$0" run --no-check --no-lock -A "$1"`;
      const args = ["-c", command, Deno.execPath(), script];
      const { stdout } = await new Deno.Command("bash", { args, env: { NO_COLOR: "1" } }).output();
      assert.equal(
        new TextDecoder().decode(stdout),
        `failed: DiskError: cannot write ${path}: file too large\n`,
      );
      assert.equal(await Deno.readTextFile(path), "old");
      assert.deepEqual(await names(folder), ["a", "write.ts"]);
    });
  },
});
