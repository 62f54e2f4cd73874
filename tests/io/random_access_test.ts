/** Reading ranges of a file, on this thread but never for long without a turn of the event loop. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openRandomAccess } from "../../lib/io/random_access.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";

Deno.test("random access: the bytes of a range, pieces larger than one request, and what lies beyond the end", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "file"), bytes = new Uint8Array(10_000_000).map((_, i) => i * 31 % 251);
    await Deno.writeFile(path, bytes);
    using file = await openRandomAccess(path);
    assert.equal(file.size, bytes.length);
    // Calls at once take turns.
    const [whole, part] = await Promise.all([file.read(1, 9_999_998), file.read(5, 3)]);
    assert.deepEqual(whole, bytes.slice(1, 9_999_999));
    assert.deepEqual(part, bytes.slice(5, 8));
    await rejectsUserError(() => file.read(9_999_999, 2), "truncated", "10000000 bytes");
  });
});

Deno.test("random access: timers have their turn while a large file is read", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "large");
    await Deno.writeFile(path, new Uint8Array());
    await Deno.truncate(path, 2 ** 26);
    using file = await openRandomAccess(path);
    const memory = new Uint8Array(2 ** 26);
    let turned = false;
    const timer = setTimeout(() => turned = true);
    const start = performance.now();
    while (!turned && performance.now() - start < 5000) await file.readInto(0, memory);
    clearTimeout(timer);
    assert.ok(turned, "no timer ran for 5 seconds");
  });
});
