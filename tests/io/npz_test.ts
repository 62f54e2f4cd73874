import assert from "node:assert/strict";
import { deflateRawSync } from "node:zlib";
import { join } from "node:path";
import { encodeNpy, type NdArray } from "../../lib/io/npy.ts";
import { npzKeys, npzShapes, readNpz, writeNpz } from "../../lib/io/npz.ts";
import { writeZip, ZipFile } from "../../lib/io/zip.ts";
import { expected, fixture, python, rejectsUserError, runPython, withFolder } from "../support/files.ts";

/** As `make_fixtures.py` writes values to JSON. */
function plain(a: NdArray): (number | string)[] {
  return Array.from(a.data as ArrayLike<number | bigint>, (x) => {
    if (typeof x === "bigint") return String(x);
    return Number.isFinite(x) ? x : String(x).replace("Infinity", "inf");
  });
}

for (const file of ["arrays.npz", "arrays_compressed.npz"]) {
  Deno.test(`npz: every element type, byte order and array order of NumPy's ${file}`, async () => {
    const arrays = await readNpz(fixture(file));
    assert.deepEqual(Object.keys(arrays), expected.npz.map(([name]) => name));
    for (const [name, { dtype, shape, values }] of expected.npz) {
      assert.equal(arrays[name].dtype, dtype, name);
      assert.deepEqual(arrays[name].shape, shape, name);
      assert.deepEqual(plain(arrays[name]), values, name);
    }
  });

  Deno.test(`npz: keys and shapes of ${file} without its elements`, async () => {
    const shapes = await npzShapes(fixture(file));
    assert.deepEqual(await npzKeys(fixture(file)), expected.npz.map(([name]) => name));
    for (const [name, { dtype, shape }] of expected.npz) assert.deepEqual(shapes[name], { dtype, shape });
  });
}

Deno.test("npz: only the keys asked for are read, so that the others may be unreadable", async () => {
  const path = fixture("refused.npz");
  assert.deepEqual(Object.keys(await readNpz(path, ["fine"])), ["fine"]);
  for (const [key, type] of [["objects", "object"], ["complex", "complex128"], ["text", "str"], ["record", "record"]]) {
    await rejectsUserError(() => readNpz(path, [key]), `refused.npz: ${key}`, `type ${type} `);
  }
});

Deno.test("npz: a missing key says which there are", async () => {
  await rejectsUserError(
    () => readNpz(fixture("refused.npz"), ["imgae"]),
    /has no array 'imgae': it has objects, complex, text, record, uint64, fine/,
  );
});

Deno.test("npz: a round trip of every element type, and equal content gives equal files", async () => {
  const arrays = await readNpz(fixture("arrays.npz"));
  await withFolder(async (folder) => {
    await writeNpz(join(folder, "a.npz"), arrays);
    await writeNpz(join(folder, "b.npz"), arrays);
    assert.deepEqual(await readNpz(join(folder, "a.npz")), arrays);
    assert.deepEqual(await Deno.readFile(join(folder, "a.npz")), await Deno.readFile(join(folder, "b.npz")));
  });
});

Deno.test({
  name: "npz: NumPy reads what we write (needs a Python with numpy: RLVR_PYTHON)",
  ignore: python === undefined,
  fn: async () => {
    const arrays = await readNpz(fixture("arrays.npz"));
    await withFolder(async (folder) => {
      await writeNpz(join(folder, "ours.npz"), arrays);
      const program = "import sys, numpy as np; a, b = np.load(sys.argv[1]), np.load(sys.argv[2]); " +
        "assert set(a) == set(b); " +
        "print(sum(a[k].dtype == b[k].dtype.newbyteorder('=') and a[k].shape == b[k].shape and bool((a[k] == b[k]).all()) for k in b))";
      const equal = await runPython(program, join(folder, "ours.npz"), fixture("arrays.npz"));
      assert.equal(Number(equal), expected.npz.length);
    });
  },
});

Deno.test("npz: missing file, folder, text file and empty file", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "x.npz");
    await rejectsUserError(() => readNpz(path), /x\.npz: no such file/);
    await rejectsUserError(() => readNpz(folder), /not a file/);
    await Deno.writeTextFile(path, "hello");
    await rejectsUserError(() => readNpz(path), /x\.npz .* no ZIP directory/);
    await Deno.writeTextFile(path, "");
    await rejectsUserError(() => readNpz(path), /no ZIP directory/);
  });
});

Deno.test("npz: an archive cut anywhere is a UserError", async () => {
  const bytes = await Deno.readFile(fixture("refused.npz"));
  await withFolder(async (folder) => {
    const path = join(folder, "cut.npz");
    for (let length = 0; length < bytes.length; length += 7) {
      await Deno.writeFile(path, bytes.subarray(0, length));
      await rejectsUserError(() => readNpz(path, ["fine"]), "cut.npz");
    }
  });
});

Deno.test("npz: a flipped byte is an error or changes nothing that was asked for", async () => {
  const array: NdArray = { dtype: "float32", shape: [50], data: Float32Array.from({ length: 50 }, (_, i) => i * i) };
  await withFolder(async (folder) => {
    const path = join(folder, "flip.npz");
    await writeNpz(path, { x: array });
    const bytes = await Deno.readFile(path);
    let refused = 0;
    for (let at = 0; at < bytes.length; at++) {
      const flipped = bytes.slice();
      flipped[at] ^= 0x10;
      await Deno.writeFile(path, flipped);
      try {
        assert.deepEqual((await readNpz(path, ["x"])).x, array, `byte ${at}`);
      } catch (error) {
        if ((error as Error).name !== "UserError") throw error;
        refused++;
      }
    }
    // The rest are dates, versions and attributes, which mean nothing here.
    assert.ok(refused > bytes.length * 0.7, `${refused} of ${bytes.length} noticed`);
  });
});

Deno.test("zip: a directory that claims more than deflate can hold is refused before anything is allocated", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "bomb.npz");
    await writeZip(path, [["x.npy", new Uint8Array(1000)]], { compress: true });
    const bytes = await Deno.readFile(path);
    const view = new DataView(bytes.buffer);
    const directory = view.getUint32(bytes.length - 6, true);
    view.setUint32(directory + 24, 0xf0000000, true);
    await Deno.writeFile(path, bytes);
    await rejectsUserError(() => readNpz(path), /claims 4026531840 bytes/);
    // Less than there is: expanding stops at the stated size.
    view.setUint32(directory + 24, 500, true);
    await Deno.writeFile(path, bytes);
    using zip = await ZipFile.open(path);
    await rejectsUserError(() => zip.read("x.npy"), /entry 'x.npy' has more than the 500 bytes it states/);
  });
});

Deno.test("zip: encrypted entries, rare methods and duplicate names are refused by name", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "odd.npz");
    const entry = encodeNpy({ dtype: "uint8", shape: [1], data: new Uint8Array(1) });
    const tamper = async (offset: number, value: number) => {
      await writeZip(path, [["a.npy", entry], ["b.npy", entry]]);
      const bytes = await Deno.readFile(path);
      const view = new DataView(bytes.buffer);
      bytes[view.getUint32(bytes.length - 6, true) + offset] = value;
      await Deno.writeFile(path, bytes);
    };
    await tamper(8, 1);
    await rejectsUserError(() => npzKeys(path), /'a.npy' is encrypted/);
    await tamper(10, 93);
    await rejectsUserError(() => npzKeys(path), /'a.npy' uses compression method 93/);
    await tamper(46, "b".charCodeAt(0));
    await rejectsUserError(() => npzKeys(path), /'b.npy' is there twice/);
  });
});

Deno.test("zip: zip64 records, as Python writes them for large archives", async () => {
  const data = new TextEncoder().encode("sixty-four bits");
  const packed = new Uint8Array(deflateRawSync(data));
  await withFolder(async (folder) => {
    const path = join(folder, "zip64.zip");
    await writeZip(path, [["t", data]], { compress: true });
    const plain = await Deno.readFile(path);
    const directory = new DataView(plain.buffer).getUint32(plain.length - 6, true);
    const record = plain.slice(directory, plain.length - 22);
    const extra = new DataView(new ArrayBuffer(28));
    extra.setUint16(0, 1, true);
    extra.setUint16(2, 24, true);
    extra.setBigUint64(4, BigInt(data.length), true);
    extra.setBigUint64(12, BigInt(packed.length), true);
    extra.setBigUint64(20, 0n, true);
    const header = new DataView(record.buffer);
    header.setUint16(30, 28, true);
    for (const field of [20, 24, 42]) header.setUint32(field, 0xffffffff, true);
    const end64 = new DataView(new ArrayBuffer(56));
    end64.setUint32(0, 0x06064b50, true);
    end64.setBigUint64(32, 1n, true);
    end64.setBigUint64(40, BigInt(record.length + 28), true);
    end64.setBigUint64(48, BigInt(directory), true);
    const locator = new DataView(new ArrayBuffer(20));
    locator.setUint32(0, 0x07064b50, true);
    locator.setBigUint64(8, BigInt(directory + record.length + 28), true);
    const end = plain.slice(-22);
    end.fill(0xff, 8, 20);
    const parts = [plain.subarray(0, directory), record, extra, end64, locator, end];
    await Deno.writeFile(path, new Blob(parts as BlobPart[]).stream());
    using zip = await ZipFile.open(path);
    assert.deepEqual(await zip.read("t"), data);
  });
});
