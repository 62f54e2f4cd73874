import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { hashContent, HASHED_BYTES, HASHED_FILES } from "../../lib/io/content_hash.ts";
import { withFolder } from "../support/files.ts";

async function hashOf(paths: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  await hashContent(hash, paths);
  return hash.digest("hex");
}

Deno.test("a small file is hashed whole", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "a"), bytes = new Uint8Array(HASHED_BYTES).map((_, i) => i * 7);
    await Deno.writeFile(path, bytes);
    assert.equal(await hashOf([path]), createHash("sha256").update(bytes).digest("hex"));
    await Deno.writeFile(path, new Uint8Array(0));
    assert.equal(await hashOf([path]), createHash("sha256").digest("hex"));
  });
});

Deno.test("of a large file 256 KiB are hashed: its first and last bytes, and pieces between", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "a"), size = 10 * HASHED_BYTES + 3;
    await Deno.writeFile(path, new Uint8Array(size));
    const before = await hashOf([path]);
    assert.equal(before, createHash("sha256").update(new Uint8Array(HASHED_BYTES)).digest("hex"));
    // As many bytes as a piece has: one stretch of them is seen in ten, the first and the last always.
    let seen = 0;
    const step = 16384, stretches = Math.floor(size / step);
    for (let i = 0; i < stretches; i++) {
      const bytes = new Uint8Array(size);
      bytes.fill(1, i * step, (i + 1) * step);
      await Deno.writeFile(path, bytes);
      const isSeen = await hashOf([path]) !== before;
      if (i === 0 || i === stretches - 1) assert.ok(isSeen);
      if (isSeen) seen++;
    }
    assert.ok(seen >= 16 && seen <= 32, `${seen} of ${stretches}`);
  });
});

Deno.test("of many files 1000 are looked into, the first and the last among them", async () => {
  await withFolder(async (folder) => {
    const paths = Array.from({ length: 2 * HASHED_FILES }, (_, i) => join(folder, String(i)));
    for (const path of paths) await Deno.writeTextFile(path, "x");
    const before = await hashOf(paths);
    let seen = 0;
    for (const i of [0, 1, 2, 3, 1000, 1001, paths.length - 1]) {
      await Deno.writeTextFile(paths[i], "y");
      const isSeen = await hashOf(paths) !== before;
      if (i === 0 || i === paths.length - 1) assert.ok(isSeen);
      if (isSeen) seen++;
      await Deno.writeTextFile(paths[i], "x");
    }
    assert.ok(seen >= 4 && seen < 7, `${seen}`);
    assert.equal(await hashOf(paths.slice(0, 1000)), createHash("sha256").update("x".repeat(1000)).digest("hex"));
  });
});
