import assert from "node:assert/strict";
import { decodeNpy, encodeNpy } from "../../lib/io/npy.ts";
import { fixture, rejectsUserError } from "../support/files.ts";

const text = (s: string) => new TextEncoder().encode(s);

/** A version-1 file with this header and data. */
function npy(header: string, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(10 + header.length + data.length);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8]);
  bytes.set(text(header), 10);
  bytes.set(data, 10 + header.length);
  return bytes;
}

const dict = (descr: string, shape: string, order = "False") =>
  `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }\n`;

for (const version of [1, 2, 3]) {
  Deno.test(`npy: header version ${version}`, () => {
    const a = decodeNpy(Deno.readFileSync(fixture(`version_${version}.npy`)), "x.npy");
    assert.equal(a.dtype, "int32");
    assert.deepEqual(a.shape, [2, 3]);
    assert.deepEqual([...a.data as Int32Array], [0, 1, 2, 3, 4, 5]);
  });
}

Deno.test("npy: our encoding is NumPy's, byte for byte", () => {
  const theirs = Deno.readFileSync(fixture("version_1.npy"));
  assert.deepEqual(encodeNpy({ dtype: "int32", shape: [2, 3], data: new Int32Array([0, 1, 2, 3, 4, 5]) }), theirs);
});

Deno.test("npy: an array that does not start at a multiple of its width", () => {
  const bytes = encodeNpy({ dtype: "float64", shape: [2], data: new Float64Array([1.5, -2]) });
  const shifted = new Uint8Array(bytes.length + 3);
  shifted.set(bytes, 3);
  assert.deepEqual([...decodeNpy(shifted.subarray(3), "x").data as Float64Array], [1.5, -2]);
});

Deno.test("npy: big-endian data is converted without changing the caller's bytes", () => {
  const bytes = npy(dict("'>i2'", "(2,)"), new Uint8Array([1, 2, 0, 5]));
  const before = bytes.slice();
  assert.deepEqual([...decodeNpy(bytes, "x").data as Int16Array], [258, 5]);
  assert.deepEqual(bytes, before);
});

Deno.test("npy: encodeNpy refuses a wrong count and a wrong typed array", () => {
  assert.throws(
    () => encodeNpy({ dtype: "int32", shape: [3], data: new Int32Array(2) }),
    /needs 3 elements: received 2/,
  );
  assert.throws(() => encodeNpy({ dtype: "int32", shape: [2], data: new Float32Array(2) }), /needs a Int32Array/);
});

Deno.test("npy: a file cut anywhere is an error that names it", async () => {
  const bytes = encodeNpy({ dtype: "float32", shape: [4], data: new Float32Array(4) });
  for (let length = 0; length < bytes.length; length++) {
    await rejectsUserError(() => decodeNpy(bytes.subarray(0, length), "cut.npy"), "cut.npy");
  }
  await rejectsUserError(() => decodeNpy(bytes.subarray(0, -4), "cut.npy"), "truncated: 16 bytes of float32 [4]", "12");
  await rejectsUserError(() => decodeNpy(new Uint8Array([...bytes, 0]), "long.npy"), "1 bytes follow");
});

const HOSTILE: [name: string, bytes: Uint8Array, pattern: RegExp][] = [
  ["not npy", text("PK\x03\x04 nothing here"), /magic bytes/],
  ["version 9", Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 9, 0, 0, 0), /version 9 is unknown/],
  ["a shape beyond the data", npy(dict("'<f8'", "(1000000000, 1000)")), /truncated: 8000000000000 bytes/],
  ["a shape beyond 2^53", npy(dict("'<f8'", "(99999999999999999999,)")), /shape must be a tuple of sizes/],
  ["a shape whose product overflows", npy(dict("'<f8'", "(4294967296, 4294967296)")), /shape must be a tuple/],
  ["a negative size", npy(dict("'<f8'", "(-1,)")), /shape must be a tuple of sizes/],
  ["code in the shape", npy(dict("'<f8'", "(exit,)")), /shape must be a tuple of sizes/],
  ["code in the header", npy("__import__('os').system('x')\n"), /not a dictionary/],
  ["an extra key", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (), 'x': 1}"), /malformed at " 'x': 1}"/],
  ["a key twice", npy("{'descr': '<f8', 'descr': '<f4', 'fortran_order': False, 'shape': ()}"), /'descr' twice/],
  ["a missing key", npy("{'descr': '<f8', 'shape': ()}"), /no 'fortran_order'/],
  ["object", npy(dict("'|O'", "(1,)")), /type object .* not supported/],
  ["uint64", npy(dict("'<u8'", "(1,)")), /type uint64/],
  ["complex128", npy(dict("'<c16'", "(1,)")), /type complex128/],
  ["an order that is no bool", npy(dict("'<f8'", "()", "'True'")), /True or False/],
];

for (const [name, bytes, pattern] of HOSTILE) {
  Deno.test(`npy: ${name} is refused`, async () => {
    await rejectsUserError(() => decodeNpy(bytes, "bad.npy"), /^bad\.npy /, pattern);
  });
}

/** Headers on which a search that goes back and forth takes the square of their length. */
const TANGLED: [name: string, header: string][] = [
  ["brackets", `{'descr': [${"],".repeat(30_000)}`],
  ["braces", "{" + "} ".repeat(30_000)],
  ["blanks in a shape", dict("'<f8'", `(1${" ".repeat(60_000)}x)`)],
  ["sizes", dict("'<f8'", `(${"1,".repeat(30_000)}x)`)],
  ["quotes", `{${"'".repeat(60_000)}`],
];

for (const [name, header] of TANGLED) {
  Deno.test(`npy: a header of 60 kB of ${name} is refused for its length, and is no work`, async () => {
    for (const length of [9_000, header.length]) {
      const bytes = npy(header.slice(0, length));
      const start = performance.now();
      for (let i = 0; i < 100; i++) await rejectsUserError(() => decodeNpy(bytes, "bad.npy"), "bad.npy");
      assert.ok(performance.now() - start < 10_000);
    }
    await rejectsUserError(() => decodeNpy(npy(header), "bad.npy"), /states \d+ bytes, more than the 10000 that NumPy/);
  });
}

Deno.test("npy: what else NumPy's own parser takes for a shape", async () => {
  const read = (shape: string, n: number) => decodeNpy(npy(dict("'|u1'", shape), new Uint8Array(n)), "x.npy").shape;
  assert.deepEqual(read("( 2 , 3 , )", 6), [2, 3]);
  assert.deepEqual(read("(2L, 3L)", 6), [2, 3]);
  assert.deepEqual(read("()", 1), []);
  for (const shape of ["(2 3)", "(,)", "(2,,3)", "((2,),)", "(2", "2", "(0x2,)", "(1_0,)", `(${"1,".repeat(65)})`]) {
    await rejectsUserError(() => read(shape, 6), "x.npy");
  }
});
