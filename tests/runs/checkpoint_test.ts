import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { fromFloat32, fromInt64, type HostTensor } from "../../lib/io/safetensors.ts";
import { type Checkpoint, type CheckpointFiles, CheckpointStore } from "../../lib/runs/checkpoint.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";

/** A checkpoint's content that tells which step it is of. */
function contentOf(step: number): { tensors: Map<string, HostTensor>; state: object; files: CheckpointFiles } {
  const tensors = new Map([
    ["w", fromFloat32(new Float32Array([step, 0.1, -0]), [3])],
    ["n", fromInt64([step], [])],
  ]);
  const state = { step, loss: 0.1 + 0.2, tiny: 5e-324, big: 1.7976931348623157e308, nested: [{ seed: 2 ** 53 - 1 }] };
  return { tensors, state, files: { "model.safetensors": tensors, "state.json": state } };
}

async function assertIsStep(checkpoint: Checkpoint | undefined, step: number): Promise<void> {
  assert.equal(checkpoint?.step, step);
  const { tensors, state } = contentOf(step);
  assert.deepEqual([...(await checkpoint.tensors("model.safetensors"))].sort(), [...tensors].sort());
  assert.deepEqual(await checkpoint.json("state.json"), state);
}

const names = async (folder: string) => (await Array.fromAsync(Deno.readDir(folder))).map((e) => e.name).sort();

Deno.test("checkpoint: what is saved comes back exactly, from a new store too", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "deep", "checkpoints");
    assert.equal(await new CheckpointStore(path).newest(), undefined);
    assert.deepEqual(await new CheckpointStore(path).list(), []);
    await new CheckpointStore(path).save(7, contentOf(7).files);
    const checkpoint = await new CheckpointStore(path).newest(() => assert.fail("nothing to skip"));
    await assertIsStep(checkpoint, 7);
    assert.deepEqual(checkpoint!.files, ["model.safetensors", "state.json"]);
    assert.deepEqual(await names(checkpoint!.folder), ["manifest.json", "model.safetensors", "state.json"]);
    await rejectsUserError(() => checkpoint!.json("x.json"), /has no x.json: it has model.safetensors, state.json/);
  });
});

Deno.test("checkpoint: the manifest states each file's size and SHA-256", async () => {
  await withFolder(async (folder) => {
    await new CheckpointStore(folder).save(3, contentOf(3).files);
    const at = (name: string) => join(folder, "step-00000003", name);
    const manifest = JSON.parse(await Deno.readTextFile(at("manifest.json")));
    assert.deepEqual([manifest.formatVersion, manifest.step], [1, 3]);
    for (const name of ["model.safetensors", "state.json"]) {
      const bytes = await Deno.readFile(at(name));
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      assert.deepEqual(manifest.files[name], { size: bytes.length, sha256 });
    }
  });
});

Deno.test("checkpoint: the newest `keep` stay, and list has them oldest first", async () => {
  await withFolder(async (folder) => {
    const store = new CheckpointStore(folder, { keep: 3 });
    for (const step of [0, 5, 99_999_999, 100_000_000, 100_000_001]) await store.save(step, contentOf(step).files);
    assert.deepEqual((await store.list()).map(({ step }) => step), [99_999_999, 100_000_000, 100_000_001]);
    await assertIsStep(await store.newest(), 100_000_001);
  });
});

Deno.test("checkpoint: one that is named stays, however old, and leaves when another is", async () => {
  await withFolder(async (folder) => {
    const store = new CheckpointStore(folder, { keep: 2 });
    for (const step of [1, 2, 3, 4]) await store.save(step, contentOf(step).files, 1);
    assert.deepEqual((await store.list()).map(({ step }) => step), [1, 3, 4]);
    await store.save(5, contentOf(5).files, 4);
    assert.deepEqual((await store.list()).map(({ step }) => step), [4, 5]);
    await store.save(6, contentOf(6).files, 4);
    await store.save(7, contentOf(7).files, 4);
    assert.deepEqual((await store.list()).map(({ step }) => step), [4, 6, 7]);
  });
});

Deno.test("checkpoint: what is set aside is kept and no longer the newest; twice as well", async () => {
  await withFolder(async (folder) => {
    const store = new CheckpointStore(folder, { keep: 3 });
    for (let round = 0; round < 2; round++) {
      for (const step of [2, 4, 6]) await store.save(step, contentOf(step).files);
      assert.deepEqual(await store.setAside(4), ["diverged-step-00000004", "diverged-step-00000006"]);
      await assertIsStep(await store.newest(), 2);
      assert.deepEqual(await names(folder), ["diverged-step-00000004", "diverged-step-00000006", "step-00000002"]);
      assert.deepEqual(await store.setAside(0), ["diverged-step-00000002"]);
      assert.equal(await store.newest(), undefined);
      await Deno.remove(join(folder, "diverged-step-00000002"), { recursive: true });
    }
    assert.deepEqual(await new CheckpointStore(join(folder, "none")).setAside(0), []);
  });
});

Deno.test("checkpoint: saving a step again replaces it", async () => {
  await withFolder(async (folder) => {
    const store = new CheckpointStore(folder);
    await store.save(1, contentOf(1).files);
    for (let i = 0; i < 3; i++) await store.save(2, { "state.json": { i } });
    assert.deepEqual((await store.list()).map(({ step }) => step), [1, 2]);
    assert.deepEqual(await (await store.newest())!.json("state.json"), { i: 2 });
  });
});

Deno.test("checkpoint: a step below the newest valid one is refused", async () => {
  await withFolder(async (folder) => {
    const store = new CheckpointStore(folder);
    await store.save(20, contentOf(20).files);
    await assert.rejects(store.save(10, contentOf(10).files), /cannot save step 10: .* newer checkpoint step-00000020/);
    await assertIsStep(await store.newest(), 20);
  });
});

Deno.test("checkpoint: what cannot be saved is refused before anything is written", async () => {
  await withFolder(async (folder) => {
    const store = new CheckpointStore(folder);
    const badTensor = new Map([["w", { dtype: "F32", shape: [2], data: new Uint8Array(4) } as HostTensor]]);
    const cases: [CheckpointFiles, RegExp][] = [
      [{}, /at least one file/],
      [{ "manifest.json": {} }, /cannot have a file named 'manifest.json'/],
      [{ "../x.json": {} }, /cannot have a file named '..\/x.json'/],
      [{ "x.txt": {} }, /must end in .safetensors or .json/],
      [{ "x.safetensors": {} }, /must be a Map of tensors/],
      [{ "x.safetensors": badTensor }, /'w' F32 \[2\] needs 8 bytes/],
      [{ "x.json": new Map() }, /x.json is a Map/],
      [{ "x.json": { a: [1, NaN] } }, /x.json.a\[1\] is NaN, which JSON cannot hold/],
      [{ "x.json": { a: -0 } }, /x.json.a is -0/],
      [{ "x.json": { a: new Float32Array(1) } }, /x.json.a is a Float32Array/],
      [{ "x.json": { a: 1n } }, /x.json.a is a bigint/],
    ];
    for (const [files, pattern] of cases) await assert.rejects(store.save(1, files), pattern);
    await assert.rejects(store.save(-1, contentOf(1).files), /step must be a whole number, at least 0: received -1/);
    await assert.rejects(store.save(1.5, contentOf(1).files), /received 1.5/);
    assert.throws(
      () => new CheckpointStore(folder, { keep: 0 }),
      /keep must be a whole number, at least 1: received 0/,
    );
    assert.deepEqual(await names(folder), []);
  });
});

const DAMAGES: [name: string, damage: (path: string, size: number) => Promise<void>][] = [
  ["removed", (path) => Deno.remove(path)],
  ["emptied", (path) => Deno.truncate(path, 0)],
  ["cut by a byte", (path, size) => Deno.truncate(path, size - 1)],
  ["cut in half", (path, size) => Deno.truncate(path, size >> 1)],
  ["a byte longer", (path) => Deno.writeFile(path, new Uint8Array([10]), { append: true })],
  ["a folder", async (path) => {
    await Deno.remove(path);
    await Deno.mkdir(path);
  }],
];

for (const file of ["model.safetensors", "state.json", "manifest.json"]) {
  for (const [name, damage] of DAMAGES) {
    Deno.test(`checkpoint: ${file} ${name}: walks back and names the file`, async () => {
      await withFolder(async (folder) => {
        const store = new CheckpointStore(folder);
        await store.save(1, contentOf(1).files);
        await store.save(2, contentOf(2).files);
        const path = join(folder, "step-00000002", file);
        await damage(path, (await Deno.stat(path)).size);
        const skipped: [string, string][] = [];
        await assertIsStep(await store.newest((path, reason) => skipped.push([path, reason])), 1);
        assert.deepEqual(skipped.map(([path]) => path), [join(folder, "step-00000002")]);
        assert.ok(skipped[0][1].startsWith(file), skipped[0][1]);

        // Training goes on from step 1 and reaches step 2 again.
        await store.save(2, contentOf(2).files);
        await assertIsStep(await new CheckpointStore(folder).newest(() => assert.fail("nothing to skip")), 2);
        assert.deepEqual((await store.list()).map(({ step }) => step), [1, 2]);
      });
    });
  }
}

Deno.test("checkpoint: a flipped byte of any file is noticed, and the file is named", async () => {
  await withFolder(async (folder) => {
    const store = new CheckpointStore(folder);
    await store.save(1, contentOf(1).files);
    for (const file of ["model.safetensors", "state.json", "manifest.json"]) {
      const path = join(folder, "step-00000001", file);
      const bytes = await Deno.readFile(path);
      for (let at = 0; at < bytes.length; at += file === "manifest.json" ? 1 : 5) {
        const flipped = bytes.slice();
        flipped[at] ^= 1 << (at % 8);
        await Deno.writeFile(path, flipped);
        const reasons: string[] = [];
        assert.equal(await store.newest((_, reason) => reasons.push(reason)), undefined, `${file}, byte ${at}`);
        // A flip in the manifest can also look like damage of the file that it is about.
        if (file !== "manifest.json") assert.deepEqual(reasons, [`${file} does not match its SHA-256`]);
        else assert.match(reasons[0], /^(manifest\.json|\S+) (is|has|does|cannot)/);
      }
      await Deno.writeFile(path, bytes);
    }
    await assertIsStep(await store.newest(), 1);
  });
});

Deno.test("checkpoint: walks back over several, and says so for each; none valid is undefined", async () => {
  await withFolder(async (folder) => {
    const store = new CheckpointStore(folder, { keep: 3 });
    for (const step of [1, 2, 3]) await store.save(step, contentOf(step).files);
    await Deno.truncate(join(folder, "step-00000003", "state.json"), 2);
    await Deno.remove(join(folder, "step-00000002", "manifest.json"));
    const reasons: string[] = [];
    await assertIsStep(await store.newest((_, reason) => reasons.push(reason)), 1);
    assert.match(reasons[0], /^state\.json has 2 bytes instead of \d+$/);
    assert.equal(reasons[1], "manifest.json is missing");
    await Deno.remove(join(folder, "step-00000001", "state.json"));
    reasons.length = 0;
    assert.equal(await store.newest((_, reason) => reasons.push(reason)), undefined);
    assert.equal(reasons.length, 3);
  });
});

Deno.test("checkpoint: a manifest from elsewhere cannot reach outside of the folder or crash the walk", async () => {
  await withFolder(async (folder) => {
    const store = new CheckpointStore(folder);
    await store.save(1, contentOf(1).files);
    const path = join(folder, "step-00000001", "manifest.json");
    const manifests = [
      null,
      [],
      5,
      { formatVersion: 1, step: 1, files: null },
      { formatVersion: 1, step: 1, files: {} },
      { formatVersion: 1, step: 1, files: { "a.json": null } },
      { formatVersion: 1, step: 1, files: { "../../x.json": { size: 1, sha256: "" } } },
    ];
    for (const manifest of manifests) {
      await Deno.writeTextFile(path, JSON.stringify(manifest, null, 2) + "\n");
      const reasons: string[] = [];
      assert.equal(await store.newest((_, reason) => reasons.push(reason)), undefined);
      assert.deepEqual(reasons, ["manifest.json is damaged"], JSON.stringify(manifest));
    }
    await Deno.writeTextFile(path, JSON.stringify({ formatVersion: 2, step: 1, files: {} }, null, 2) + "\n");
    await store.newest((_, reason) => assert.match(reason, /format version 2; this version reads 1/));
  });
});

Deno.test("checkpoint: damaged checkpoints do not count as kept ones", async () => {
  await withFolder(async (folder) => {
    const store = new CheckpointStore(folder, { keep: 2 });
    for (const step of [1, 2]) await store.save(step, contentOf(step).files);
    await Deno.truncate(join(folder, "step-00000002", "model.safetensors"), 9);
    await store.save(3, contentOf(3).files);
    assert.deepEqual((await store.list()).map(({ step }) => step), [1, 3]);
  });
});

/**
 * Makes the n-th operation on the file system from now on call `stop` instead, after half of its bytes where it is a
 * write. Everything that a save does to the disk goes through these functions.
 */
const SABOTAGE = `
function sabotage(n, stop) {
  let calls = 0;
  const original = {};
  const wrap = (owner, name) => {
    const inner = owner[name];
    original[name] = () => owner[name] = inner;
    owner[name] = async function (...args) {
      if (++calls === n) {
        if (name === "write") await inner.call(this, args[0].subarray(0, args[0].length >> 1));
        stop();
      }
      return await inner.apply(this, args);
    };
  };
  for (const name of ["mkdir", "rename", "remove"]) wrap(Deno, name);
  for (const name of ["write", "sync"]) wrap(Deno.FsFile.prototype, name);
  return () => { for (const restore of Object.values(original)) restore(); return calls; };
}`;

const sabotage: (n: number, stop: () => void) => () => number = new Function(`${SABOTAGE}; return sabotage;`)();

Deno.test("checkpoint: a failure at any operation of a save leaves the previous or the new one, and no rest", async () => {
  let total = Infinity;
  for (let n = 1; n <= total; n++) {
    await withFolder(async (folder) => {
      const store = new CheckpointStore(folder);
      await store.save(1, contentOf(1).files);
      await store.save(2, contentOf(2).files);
      const restore = sabotage(n, () => {
        throw new Error("no space left");
      });
      let failed = false;
      try {
        await store.save(3, contentOf(3).files);
      } catch (error) {
        assert.match((error as Error).message, /no space left/);
        failed = true;
      }
      const calls = restore();
      if (!failed) total = Math.min(total, calls);
      const checkpoint = await new CheckpointStore(folder).newest(() => assert.fail("nothing to skip"));
      await assertIsStep(checkpoint, (await store.list()).at(-1)!.step);
      assert.ok(checkpoint!.step === 3 || failed && checkpoint!.step === 2, `operation ${n}: ${checkpoint!.step}`);
      await new CheckpointStore(folder).save(4, contentOf(4).files);
      assert.deepEqual((await names(folder)).length, 2, `operation ${n}: ${await names(folder)}`);
    });
  }
  assert.ok(total >= 15 && total < 100, `${total} operations`);
});

Deno.test("checkpoint: SIGKILL at any operation of a save: the next process resumes from a valid one", async () => {
  const module = new URL("../../lib/runs/checkpoint.ts", import.meta.url).href;
  const program = `${SABOTAGE}
    const { CheckpointStore } = await import(${JSON.stringify(module)});
    const [folder, n] = Deno.args;
    const tensor = (step) => ({ dtype: "I32", shape: [1000], data: new Uint8Array(new Int32Array(1000).fill(step).buffer) });
    const store = new CheckpointStore(folder);
    const save = (step) => store.save(step, { "model.safetensors": new Map([["w", tensor(step)]]), "state.json": { step } });
    await save(1);
    await save(2);
    console.log("ready");
    sabotage(Number(n), () => { Deno.kill(Deno.pid, "SIGKILL"); while (true); });
    await save(3);
    console.log("saved");`;
  await withFolder(async (folder) => {
    const script = join(folder, "save.js");
    await Deno.writeTextFile(script, program);
    const killAt = async (n: number): Promise<boolean> => {
      const path = join(folder, `run${n}`);
      const args = ["run", "--no-check", "--no-lock", "-A", script, path, String(n)];
      const { stdout, signal } = await new Deno.Command(Deno.execPath(), { args, stderr: "null" }).output();
      const output = new TextDecoder().decode(stdout);
      assert.ok(output.startsWith("ready"), output);
      const killed = signal === "SIGKILL";
      assert.equal(killed, !output.includes("saved"));
      const store = new CheckpointStore(path);
      const checkpoint = await store.newest((path, reason) => assert.fail(`${path}: ${reason}`));
      assert.ok(checkpoint!.step === 3 || killed && checkpoint!.step === 2, `operation ${n}`);
      const { step } = await checkpoint!.json<{ step: number }>("state.json");
      const w = (await checkpoint!.tensors("model.safetensors")).get("w")!;
      assert.equal(step, checkpoint!.step);
      assert.deepEqual(new Int32Array(w.data.buffer), new Int32Array(1000).fill(step));
      assert.deepEqual((await names(path)).filter((name) => name.endsWith(".partial")), []);
      return killed;
    };
    let n = 1;
    while (await killAt(n)) n++;
    assert.ok(n >= 14, `${n} operations`);
  });
});
