/** Every random stream of the library is in one register, and no two have one number. */
import assert from "node:assert/strict";
import { SHOP_STREAM, STREAM } from "../../lib/base/streams.ts";

const LIB = new URL("../../lib", import.meta.url).pathname;

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* sources(`${folder}/${name}`);
    else if (name.endsWith(".ts")) yield `${folder}/${name}`;
  }
}

Deno.test("streams: no two purposes have one number", () => {
  for (const register of [STREAM, SHOP_STREAM]) {
    const numbers = Object.values(register);
    assert.equal(new Set<number>(numbers).size, numbers.length);
  }
});

Deno.test("streams: whoever draws with a seed names a purpose of the register, and every purpose has a user", async () => {
  const used = new Set<string>();
  for await (const path of sources(LIB)) {
    const text = (await Deno.readTextFile(path)).replaceAll(/^ *(\*|\/\/).*$/gm, "");
    for (const [, name] of text.matchAll(/\b(?:SHOP_)?STREAM\.(\w+)/g)) used.add(name);
    for (const [call, purpose] of text.matchAll(/new Philox\([\w.#]*seed\w*(?:\[\w\])?, ([^,)]+)/gi)) {
      assert.match(purpose, /^(?:SHOP_)?STREAM\.\w+$/, `${path}: ${call}`);
    }
    if (!path.endsWith("base/streams.ts")) assert.doesNotMatch(text, /const \w*STREAM\w* = /, path);
  }
  const purposes = [...Object.keys(STREAM), ...Object.keys(SHOP_STREAM)];
  assert.deepEqual(purposes.filter((name) => !used.has(name)), [], "purposes that no one uses");
});
