/** Archives that lie: what they claim must not be believed before it is checked, and nothing of them may vanish. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { encodeNpy } from "../../lib/io/npy.ts";
import { npzKeys, npzShapes, readNpz } from "../../lib/io/npz.ts";
import { ZipFile } from "../../lib/io/zip.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";
import { buildZip, type BuiltEntry, bytesRead, deflated, deflatedZeros } from "./zip_builder.ts";

const ONES = encodeNpy({ dtype: "float32", shape: [4], data: new Float32Array(4).fill(1) });
const TWOS = encodeNpy({ dtype: "float32", shape: [4], data: new Float32Array(4).fill(2) });

/** Runs `use` with a file of these bytes. */
async function withFile(bytes: Uint8Array, use: (path: string) => Promise<unknown>): Promise<void> {
  await withFolder(async (folder) => {
    const path = join(folder, "x.npz");
    await Deno.writeFile(path, bytes);
    await use(path);
  });
}

Deno.test("npz: an entry that is larger than its array's header says is refused before it is expanded", async () => {
  const head = encodeNpy({ dtype: "float32", shape: [3, 64], data: new Float32Array(192) }).subarray(0, 128);
  const mebibytes = 1024;
  const raw = deflatedZeros(head, mebibytes), size = head.length + mebibytes * 2 ** 20;
  assert.ok(raw.length > 2 ** 20 && raw.length < 2 ** 21);
  await withFile(buildZip([{ name: "image.npy", method: 8, raw, size }]), async (path) => {
    const message = [
      /x\.npz: image/,
      /float32 \[3,64\] needs 896 bytes with its header, the archive states 1073741952/,
    ];
    // The beginning that a header may fill is read, and the directory: the entry's megabyte is not, let alone expanded.
    const count = await bytesRead(async () => {
      await rejectsUserError(() => readNpz(path), ...message);
      await rejectsUserError(() => npzShapes(path), ...message);
    });
    assert.ok(count < 200_000, `${count} bytes were read`);
  });
});

Deno.test("zip: an entry whose bytes go on after the size that it states is stopped there", async () => {
  const raw = deflatedZeros(new Uint8Array(), 512);
  await withFile(buildZip([{ name: "x.npy", method: 8, raw, size: 1000 }]), async (path) => {
    using zip = await ZipFile.open(path);
    const count = await bytesRead(() =>
      rejectsUserError(() => zip.read("x.npy"), "more than the 1000 bytes it states")
    );
    // One piece and the next ones that were asked for ahead; all of it would be 2 MB and be expanded to 512.
    assert.ok(raw.length > 500_000 && count <= 3 * 2 ** 18, `${count} of ${raw.length} bytes were read`);
  });
});

Deno.test("zip: entries that share bytes are refused when the archive is opened", async () => {
  const { raw, size } = deflated("x", new Uint8Array(2 ** 22));
  const first: BuiltEntry = { name: "00.npy", method: 8, raw, size };
  const shared = Array.from({ length: 1000 }, (_, i): BuiltEntry => ({ ...first, name: `a${i}.npy`, offset: 0 }));
  // Together they claim 4.2 GB of some 50 KB.
  const claimed = buildZip([first, ...shared]);
  assert.ok(claimed.length < 120_000);
  await withFile(claimed, (path) => rejectsUserError(() => npzKeys(path), "overlaps entry"));

  // One whole entry inside another's bytes, and one whose bytes end behind the next one's header.
  const inner = buildZip([{ name: "in.npy", raw: ONES }]).subarray(0, 36 + ONES.length);
  const nested = buildZip([{ name: "out.npy", raw: inner }, { name: "in.npy", raw: ONES, offset: 37 }]);
  await withFile(nested, (path) => rejectsUserError(() => readNpz(path), "entry 'out.npy'", "overlaps entry 'in.npy'"));
  const long = buildZip([{ name: "a.npy", raw: ONES }, { name: "b.npy", raw: TWOS }]);
  const view = new DataView(long.buffer), directory = view.getUint32(long.length - 6, true);
  for (const field of [20, 24]) view.setUint32(directory + field, ONES.length + 1, true);
  await withFile(long, (path) => rejectsUserError(() => readNpz(path, ["b"]), "overlaps entry 'b.npy'"));
  for (const field of [20, 24]) view.setUint32(directory + field, 1e9, true);
  await withFile(long, (path) => rejectsUserError(() => readNpz(path, ["b"]), "1000000000 bytes overlaps"));
});

Deno.test("zip: a damaged name, a lost record or a wrong count makes no array vanish", async () => {
  const good: BuiltEntry[] = [{ name: "image.npy", raw: ONES }, { name: "mask.npy", raw: TWOS }];
  await withFile(buildZip(good), async (path) => assert.deepEqual(await npzKeys(path), ["image", "mask"]));
  const other = { name: "image.nqy", raw: ONES, localName: "image.npy" };
  await withFile(buildZip([other, good[1]]), (path) => {
    return rejectsUserError(() => readNpz(path), "'image.nqy' of its directory has another name in its own header");
  });
  await withFile(buildZip([{ name: "image.npy", raw: ONES, localName: "image.npyx" }, good[1]]), (path) => {
    return rejectsUserError(() => npzKeys(path), "another name");
  });
  await withFile(buildZip(good, 1), (path) => rejectsUserError(() => npzKeys(path), "goes on after the 1 entries"));
  await withFile(buildZip(good, 3), (path) => rejectsUserError(() => npzKeys(path), "ends after 2 of 3 entries"));
});

Deno.test("zip: a checksum that does not match is an error, stored or deflated", async () => {
  for (const entry of [{ name: "x.npy", raw: ONES }, deflated("x.npy", ONES)]) {
    await withFile(buildZip([{ ...entry, crc: 1 }]), (path) => {
      return rejectsUserError(() => readNpz(path), "entry 'x.npy' does not match its checksum");
    });
  }
});

Deno.test("zip: sizes after the bytes and in 64 bits, as pipes and large archives have them", async () => {
  for (const descriptor of [32, 64, undefined] as const) {
    for (const zip64 of [false, true]) {
      const entries = [deflated("a.npy", ONES), { name: "b.npy", raw: TWOS }].map((e) => ({ ...e, descriptor, zip64 }));
      await withFile(buildZip(entries), async (path) => {
        const { a, b } = await readNpz(path);
        assert.deepEqual([[...a.data], [...b.data]], [[1, 1, 1, 1], [2, 2, 2, 2]]);
      });
    }
  }
});

Deno.test("zip: names of control characters and of endless length stay out of messages", async () => {
  const name = "\x1b[2J\n" + "n".repeat(50_000) + ".npy";
  await withFile(buildZip([{ name, raw: ONES }, { name, raw: ONES }]), async (path) => {
    await assert.rejects(npzKeys(path), (error: Error) => {
      assert.equal(error.name, "UserError");
      assert.ok(error.message.length < 3000, `${error.message.length} characters`);
      // deno-lint-ignore no-control-regex
      assert.doesNotMatch(error.message, /[\x00-\x1f\x7f-\x9f]/);
      assert.match(error.message, /is there twice$/);
      return true;
    });
  });
});

Deno.test("zip: an archive that claims terabytes, and has them as a hole in the file, is one line", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "x.npz"), size = 2 ** 43;
    const end = buildZip([{ name: "x.npy", raw: ONES, size, zip64: true }]);
    const file = await Deno.open(path, { create: true, write: true });
    const directory = new DataView(end.buffer).getUint32(end.length - 6, true);
    const record = end.slice(directory), view = new DataView(record.buffer);
    view.setBigUint64(46 + 5 + 4 + 8, BigInt(size), true);
    view.setUint32(record.length - 6, 0xffffffff, true);
    const locator = new Uint8Array(76), fields = new DataView(locator.buffer);
    const start = size + 36 + ONES.length;
    fields.setUint32(0, 0x06064b50, true);
    fields.setBigUint64(32, 1n, true);
    fields.setBigUint64(40, BigInt(record.length - 22), true);
    fields.setBigUint64(48, BigInt(start), true);
    fields.setUint32(56, 0x07064b50, true);
    fields.setBigUint64(64, BigInt(start + record.length - 22), true);
    try {
      await file.write(end.subarray(0, directory));
      await file.seek(start, Deno.SeekMode.Start);
      await file.write(new Uint8Array([...record.subarray(0, -22), ...locator, ...record.subarray(-22)]));
    } catch {
      return; // a file system without such large files
    } finally {
      file.close();
    }
    using zip = await ZipFile.open(path);
    await rejectsUserError(() => zip.read("x.npy"), "x.npz", "8796093022208 bytes at once do not fit");
  });
});
