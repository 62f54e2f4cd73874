/** Archives as npm and PyPI serve them. */
import assert from "node:assert/strict";
import { unpackTarball, wheelOf } from "../../../lib/tensor/tfjs/archives.ts";
import { UserError } from "../../../lib/files/user_error.ts";

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

Deno.test("the wheel for this version, system and the newest Python is chosen", () => {
  const page = ["2.20.0-cp312", "2.21.0-cp39", "2.21.0-cp311", "2.21.0-cp310"].map((each) => {
    const [version, python] = each.split("-");
    const name = `tensorflow_cpu-${version}-${python}-${python}-manylinux_2_27_x86_64.whl`;
    return `<a href="../../packages/${name}#sha256=00">${name}</a>`;
  }).join("\n") + '<a href="tensorflow_cpu-2.21.0-cp313-cp313-win_amd64.whl">w</a>';
  assert.deepEqual(wheelOf(page, "https://pypi.org/simple/tensorflow-cpu/", "2.21.0", "x86_64"), {
    name: "tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl",
    url: "https://pypi.org/packages/tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl",
  });
  assert.equal(wheelOf(page, "https://pypi.org/simple/tensorflow-cpu/", "2.21.0", "aarch64"), undefined);
  assert.equal(wheelOf(page, "https://pypi.org/simple/tensorflow-cpu/", "9.9.9", "x86_64"), undefined);
});
