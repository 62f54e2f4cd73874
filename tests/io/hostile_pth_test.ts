/** Checkpoints whose few bytes would cost much memory or time, and those that were damaged. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readPth } from "../../lib/io/pth.ts";
import { unpickle } from "../../lib/io/unpickler.ts";
import { writeZip } from "../../lib/io/zip.ts";
import { P } from "./pickler.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";
import { buildZip, bytesRead } from "./zip_builder.ts";

const put = (index: number) => "r" + P.int(index).slice(1);
const get = (index: number) => (index < 256 ? "h" + String.fromCharCode(index) : "j" + P.int(index).slice(1));

/** `n` tensors of one storage. */
function views(n: number, storage: string, shape: number[], strides: number[]): string {
  const tensor = (i: number) => P.tensor(i === 0 ? storage + put(0) : get(0), 0, shape, strides);
  return P.dict(...Array.from({ length: n }, (_, i) => P.text(`t${i}`) + tensor(i)));
}

Deno.test("pth: a storage is read and expanded once, however many tensors share it", async () => {
  const elements = 4_000_000;
  const data = new Uint8Array(new Float32Array(elements).map((_, i) => i % 7).buffer);
  for (const compress of [false, true]) {
    await withFolder(async (folder) => {
      const path = join(folder, "x.pth");
      const pickle = P.file(views(2000, P.storage("0", elements), [2, 2], [elements / 2, 3]));
      await writeZip(path, [["x/data.pkl", pickle], ["x/data/0", data]], { compress });
      const { size } = await Deno.stat(path);
      const count = await bytesRead(async () => {
        const tensors = await readPth(path);
        assert.equal(tensors.size, 2000);
        const last = new Float32Array(tensors.get("t1999")!.data.buffer);
        assert.deepEqual([...last], [0, 3, 2_000_000 % 7, 2_000_003 % 7]);
      });
      assert.ok(count < 2 * size, `${count} bytes were read of ${size}`);
    });
  }
});

Deno.test("pth: a tensor that is its whole storage shares memory with others that are, parts are copied", async () => {
  const data = new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer), storage = P.storage("0", 4);
  const item = (name: string, offset: number, size: number) => P.text(name) + P.tensor(storage, offset, [size], [1]);
  await withFolder(async (folder) => {
    const path = join(folder, "x.pth");
    const pickle = P.file(P.dict(item("a", 0, 4), item("part", 1, 2), item("b", 0, 4)));
    await writeZip(path, [["x/data.pkl", pickle], ["x/data/0", data]]);
    const tensors = await readPth(path);
    assert.deepEqual([...tensors.keys()], ["a", "part", "b"]);
    assert.equal(tensors.get("a")!.data, tensors.get("b")!.data);
    const part = tensors.get("part")!.data;
    assert.deepEqual([[...new Float32Array(part.buffer)], part.buffer.byteLength], [[2, 3], 8]);
  });
});

Deno.test("pth: weights, pickle and byte order are checked against their checksums", async () => {
  const pickle = P.file(P.dict(P.text("w"), P.tensor(P.storage("0", 4), 0, [2], [1])));
  const files = {
    "x/data.pkl": pickle,
    "x/byteorder": new TextEncoder().encode("little"),
    "x/data/0": new Uint8Array(16),
  };
  const entries = Object.entries(files).map(([name, raw]) => ({ name, raw }));
  await withFolder(async (folder) => {
    const path = join(folder, "x.pth");
    for (const damaged of Object.keys(files)) {
      await Deno.writeFile(path, buildZip(entries.map((e) => e.name === damaged ? { ...e, crc: 7 } : e)));
      // The byte order is too short to be taken for another.
      if (damaged === "x/byteorder") await readPth(path);
      else await rejectsUserError(() => readPth(path), `entry '${damaged}' does not match its checksum`);
    }
    const long = { name: "x/byteorder", raw: new Uint8Array(1e6).fill(0x61) };
    await Deno.writeFile(path, buildZip([entries[0], long, entries[2]]));
    await rejectsUserError(() => readPth(path), 'byte order is "aaaaaaaaaaaaaaaa", not "little"');
  });
});

Deno.test("pth: one storage cannot be of two types or sizes", async () => {
  const item = (name: string, storage: string) => P.text(name) + P.tensor(storage, 0, [2], [1]);
  const pickle = P.file(P.dict(item("a", P.storage("0", 4)), item("b", P.storage("0", 4, "IntStorage"))));
  await withFolder(async (folder) => {
    const path = join(folder, "x.pth");
    await writeZip(path, [["x/data.pkl", pickle], ["x/data/0", new Uint8Array(16)]]);
    await rejectsUserError(() => readPth(path), "storage '0' is of 4 F32 to one tensor and of 4 I32 to another");
  });
});

/** Pickles that make much of little; each would take minutes or gigabytes. */
const AMPLIFIERS: [name: string, pickle: () => string, pattern: RegExp][] = [
  ["sizes copied again and again", () => {
    const shape = P.tuple(...Array(60).fill("K\x01")) + put(0);
    return "ctorch\nSize\n" + put(1) + shape + "\x85" + put(2) + "R" + (get(1) + get(2) + "R").repeat(80_000);
  }, /copies the same values again and again/],
  ["more axes than a tensor has", () => {
    return "ctorch\nSize\n" + P.tuple(...Array(100_000).fill("K\x01")) + "\x85R";
  }, /torch\.Size in it is malformed/],
  ["shapes of many tensors copied", () => {
    const tensor = P.tensor(P.storage("0", 1), 0, Array(64).fill(1), Array(64).fill(1));
    const args = tensor.slice("ctorch._utils\n_rebuild_tensor_v2\n".length, -1);
    const call = "ctorch._utils\n_rebuild_tensor_v2\n" + put(0) + args + put(1) + "R";
    return call + (get(0) + get(1) + "R").repeat(80_000);
  }, /copies the same values again and again/],
  ["a dict made of one list again and again", () => {
    const pairs = "](" + (P.tuple("K\x01", "N") + put(1) + get(1).repeat(20_000)) + "e" + put(2) + "\x85" + put(3);
    return "ccollections\nOrderedDict\n" + put(0) + pairs + "R" + (get(0) + get(3) + "R").repeat(20_000);
  }, /copies the same values again and again/],
  ["millions of dicts", () => ("(" + "}".repeat(900_000) + "t").repeat(3), /makes more than 2000000 objects/],
  ["a stack of millions of values", () => "N".repeat(1_100_000), /stacks more than 1000000 values/],
  ["millions of remembered values", () => "N" + "\x94".repeat(2_100_000), /remembers more than 2000000 values/],
  ["one long name below many dicts", () => {
    const inner = P.dict(...Array.from({ length: 4000 }, (_, i) => P.text(`k${i}`) + "N"));
    const long = P.text("n".repeat(100_000)) + put(0);
    return P.dict(long, inner + put(1), ...Array.from({ length: 400 }, (_, i) => P.text(`d${i}`) + get(1)));
  }, /contain one another more often/],
];

for (const [name, pickle, pattern] of AMPLIFIERS) {
  Deno.test(`pth: ${name}: refused`, async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "bad.pth");
      const body = P.file(pickle());
      assert.ok(body.length < 6e6);
      await writeZip(path, [["bad/data.pkl", body], ["bad/data/0", new Uint8Array(4)]], { compress: true });
      const start = performance.now();
      await rejectsUserError(() => readPth(path), "bad.pth", pattern);
      // Generous: what is guarded against is work that grows with the square.
      assert.ok(performance.now() - start < 20_000);
    });
  });
}

Deno.test("pth: a pickle of more than 64 MiB is refused before it is expanded, and a plain one without an end too", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "x.pth");
    await Deno.writeFile(
      path,
      buildZip([{ name: "x/data.pkl", method: 8, raw: new Uint8Array(70_000), size: 2 ** 26 + 1 }]),
    );
    await rejectsUserError(() => readPth(path), "its pickle has more than the 67108864 bytes that are read");
    // A text that claims to fill a file of 16 GB, which is a hole.
    const file = await Deno.open(path, { write: true, truncate: true });
    await file.write(Uint8Array.from("\x80\x02X\xff\xff\xff\xff", (c) => c.charCodeAt(0)));
    await file.truncate(2 ** 34);
    file.close();
    const count = await bytesRead(() =>
      rejectsUserError(() => readPth(path), "its pickle has more than the 67108864 bytes")
    );
    assert.ok(count < 100e6, `${count} bytes were read`);
  });
});

Deno.test("unpickle: what state dicts hold stays below every bound", () => {
  // 20,000 tensors of five axes whose names and shapes are recalled where a pickler would recall them.
  const n = 20_000, shape = P.tuple(...Array(5).fill("K\x01")) + put(2);
  const tensor = (i: number) =>
    (i === 0 ? "ctorch._utils\n_rebuild_tensor_v2\n" + put(0) : get(0)) +
    P.tuple(i === 0 ? P.storage("0", 1) + put(1) : get(1), "K\x00", i === 0 ? shape : get(2), get(2), "\x89", "}") +
    "R";
  const items = Array.from({ length: n }, (_, i) => P.text(`layer.${i}.weight`) + tensor(i));
  const batches = Array.from(
    { length: n / 1000 },
    (_, i) => "(" + items.slice(i * 1000, i * 1000 + 1000).join("") + "u",
  );
  const { value } = unpickle(P.file("}" + batches.join("")));
  assert.equal((value as Map<unknown, unknown>).size, n);
});
