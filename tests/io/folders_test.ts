import assert from "node:assert/strict";
import { join } from "node:path";
import { makeFolder, makeNewFolder } from "../../lib/io/folders.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";

Deno.test("makeNewFolder: those that ask at the same time get folders of their own", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "runs", "a");
    const made = await Promise.all(Array.from({ length: 12 }, () => makeNewFolder(path)));
    assert.deepEqual(new Set(made), new Set([path, ...Array.from({ length: 11 }, (_, i) => `${path}-${i + 2}`)]));
    assert.equal(await makeNewFolder(`${path}-3`), `${path}-3-2`);
  });
});

Deno.test("makeFolder, makeNewFolder: what the system refuses is one line with the path", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "file"), "");
    for (const make of [makeFolder, makeNewFolder]) {
      await rejectsUserError(() => make(join(folder, "file", "a")), /^cannot make the folder .*file(\/a)?: /);
    }
    await makeFolder(join(folder, "a", "b"));
    await makeFolder(join(folder, "a", "b"));
  });
});
