/** Archives as npm serves them. */
import assert from "node:assert/strict";
import { unpackTarball } from "../../../lib/tensor/install/archives.ts";
import { UserError } from "../../../lib/base/user_error.ts";

/** A tarball made by the system's `tar`. */
async function tarball(files: Record<string, string>, ...flags: string[]): Promise<Uint8Array<ArrayBuffer>> {
  const folder = await Deno.makeTempDir();
  for (const [name, text] of Object.entries(files)) {
    await Deno.mkdir(`${folder}/${name.replace(/[^/]*$/, "")}`, { recursive: true });
    await Deno.writeTextFile(`${folder}/${name}`, text);
  }
  const { stdout, success } = await new Deno.Command("tar", {
    args: [...flags, "-czf", "-", "-C", folder, ...Object.keys(files)],
  }).output();
  assert.ok(success);
  return stdout as Uint8Array<ArrayBuffer>;
}

Deno.test("an npm tarball is unpacked without its first folder", async () => {
  const deep = `package/${"folder/".repeat(12)}file.txt`;
  const archive = await tarball(
    { "package/package.json": "{}", "package/lib/a.txt": "x".repeat(1000), [deep]: "deep" },
    "--format=ustar",
  );
  const to = await Deno.makeTempDir();
  await unpackTarball(archive, to);
  assert.equal(await Deno.readTextFile(`${to}/package.json`), "{}");
  assert.equal(await Deno.readTextFile(`${to}/lib/a.txt`), "x".repeat(1000));
  assert.equal(await Deno.readTextFile(`${to}/${deep.slice("package/".length)}`), "deep");
});

Deno.test("a tarball that would write outside is refused", async () => {
  const archive = await tarball(
    { "package/a.txt": "x" },
    "--format=ustar",
    "-P",
    "--transform=s,package/a,package/../../a,",
  );
  await assert.rejects(unpackTarball(archive, await Deno.makeTempDir()), UserError);
});

Deno.test("a tarball that is cut off, lies about sizes or expands without end is one line", async () => {
  const good = await tarball({ "package/a.txt": "x".repeat(1000) }, "--format=ustar");
  await assert.rejects(
    unpackTarball(good.slice(0, -30), await Deno.makeTempDir()),
    /UserError: a tarball cannot be expanded/,
  );
  const gzip = async (bytes: Uint8Array<ArrayBuffer>) =>
    await new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"))).bytes();
  const plain = await new Response(new Blob([good]).stream().pipeThrough(new DecompressionStream("gzip"))).bytes();
  for (const size of ["00000777777", "-0000001000", "x0000001000"]) {
    const wrong = plain.slice();
    wrong.set(new TextEncoder().encode(size), 124);
    await assert.rejects(
      unpackTarball(await gzip(wrong), await Deno.makeTempDir()),
      /UserError: a tarball is damaged/,
      size,
    );
  }
  const bomb = await gzip(new Uint8Array(2 ** 27 + 1));
  await assert.rejects(
    unpackTarball(bomb, await Deno.makeTempDir()),
    /has more than the 134217728 bytes that are read/,
  );
});
