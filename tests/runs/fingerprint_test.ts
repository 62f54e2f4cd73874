import assert from "node:assert/strict";
import { join } from "node:path";
import { HASHED_BYTES } from "../../lib/io/content_hash.ts";
import { fingerprintOfModel } from "../../lib/runs/fingerprint.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";

Deno.test("the fingerprint of a model is of what its files hold, of large ones at places all over them", async () => {
  await withFolder(async (folder) => {
    const weights = join(folder, "model.safetensors"), size = 3 * HASHED_BYTES;
    const write = (name: string, text: string) => Deno.writeTextFile(join(folder, name), text);
    await Deno.writeFile(weights, new Uint8Array(size));
    await write("config.json", "{}");
    await write("tokenizer.json", "{}");
    const before = await fingerprintOfModel([folder]);
    assert.match(before, /^1:[0-9a-f]{16}$/);
    const changes: Record<string, () => Promise<void>> = {
      "first byte": () => Deno.writeFile(weights, new Uint8Array(size).fill(1, 0, 1)),
      "last byte": () => Deno.writeFile(weights, new Uint8Array(size).fill(1, size - 1)),
      "every byte": () => Deno.writeFile(weights, new Uint8Array(size).fill(1)),
      "a stretch within": () => Deno.writeFile(weights, new Uint8Array(size).fill(1, size / 2, size / 2 + 65536)),
      "one byte more": () => Deno.writeFile(weights, new Uint8Array(size + 1)),
      "configuration": () => write("config.json", "{ }"),
      "tokenizer": () => write("tokenizer.json", "[]"),
      "one more file": () => write("generation_config.json", "{}"),
    };
    for (const [what, change] of Object.entries(changes)) {
      await change();
      assert.notEqual(await fingerprintOfModel([folder]), before, what);
      await Deno.writeFile(weights, new Uint8Array(size));
      await write("config.json", "{}");
      await write("tokenizer.json", "{}");
    }
    await Deno.remove(join(folder, "generation_config.json"));
    // What says nothing of the model, and times, do not count; a single file can be a model.
    await write("README.md", "");
    await Deno.mkdir(join(folder, "logs.json"));
    assert.equal(await fingerprintOfModel([folder, folder]), before);
    assert.notEqual(await fingerprintOfModel([weights]), before);
    await rejectsUserError(() => fingerprintOfModel([join(folder, "none")]), join(folder, "none"));
  });
});
