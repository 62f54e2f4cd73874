import assert from "node:assert/strict";
import { join } from "node:path";
import {
  fromFloat32,
  fromInt64,
  type HostTensor,
  readSafetensors,
  SafetensorsFile,
  toFloat32,
  toInt64,
  writeSafetensors,
} from "../../lib/io/safetensors.ts";
import { openWeights } from "../../lib/io/safetensors_folder.ts";
import { expected, fixture, python, rejectsUserError, runPython, withFolder } from "../support/files.ts";

/** A file with this header, without padding, and this many bytes of data. */
function safetensors(header: string | Uint8Array, dataBytes = 0, statedLength?: bigint): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, statedLength ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const entry = (dtype: string, shape: string, begin: number | string, end: number | string) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;

Deno.test("safetensors: every element type of Python's file", async () => {
  const tensors = await readSafetensors(fixture("python.safetensors"));
  assert.deepEqual(new Set(tensors.keys()), new Set(expected.safetensors.map(([name]) => name)));
  for (const [name, { shape, bytes }] of expected.safetensors) {
    assert.deepEqual(tensors.get(name)!.shape, shape, name);
    assert.deepEqual([...tensors.get(name)!.data], bytes, name);
  }
  assert.deepEqual([...toInt64(tensors.get("i64")!)], [-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n + 1n]);
});

Deno.test("safetensors: what we write is what Python writes, byte for byte", async () => {
  const tensors = await readSafetensors(fixture("python.safetensors"));
  await withFolder(async (folder) => {
    const path = join(folder, "ours.safetensors");
    await writeSafetensors(path, [...tensors].reverse(), { format: "pt" });
    assert.deepEqual(await Deno.readFile(path), await Deno.readFile(fixture("python.safetensors")));
  });
});

Deno.test({
  name: "safetensors: Python reads what we write (needs a Python with safetensors: RLVR_PYTHON)",
  ignore: python === undefined,
  fn: async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "ours.safetensors");
      await writeSafetensors(path, [
        ["odd", { dtype: "U8", shape: [3], data: new Uint8Array([1, 2, 3]) }],
        ["x", fromFloat32(new Float32Array([1, 2, 3, 4, 5, 6]), [2, 3])],
        ["h", fromFloat32(new Float32Array([0.1, -2]), [2], "F16")],
        ["n", fromInt64([7, -8], [2])],
      ], { note: 'a "quoted" é' });
      const program = "import sys, json; from safetensors import safe_open\n" +
        "f = safe_open(sys.argv[1], 'np')\n" +
        "print(json.dumps([f.metadata(), {k: [str(f.get_tensor(k).dtype), f.get_tensor(k).tolist()] for k in f.keys()}]))";
      assert.deepEqual(JSON.parse(await runPython(program, path)), [{ note: 'a "quoted" é' }, {
        odd: ["uint8", [1, 2, 3]],
        x: ["float32", [[1, 2, 3], [4, 5, 6]]],
        h: ["float16", [0.0999755859375, -2]],
        n: ["int64", [7, -8]],
      }]);
    });
  },
});

Deno.test("safetensors: conversion to float32 and back agrees with PyTorch, rounding to nearest even", async () => {
  using file = await SafetensorsFile.open(fixture("python.safetensors"));
  for (const [name, values] of Object.entries(expected.as_float32)) {
    const ours = Array.from(toFloat32(await file.read(name)));
    assert.deepEqual(ours, values.map((v) => typeof v === "number" ? v : Number(v.replace("inf", "Infinity"))), name);
  }
  const source = toFloat32(await file.read("f32"));
  // The last element is a NaN, whose bits PyTorch itself sets differently from processor to processor.
  const finite = source.length - 1;
  for (const [dtype, width] of [["F16", 2], ["BF16", 2], ["F32", 4]] as const) {
    const ours = fromFloat32(source, [source.length], dtype);
    const theirs = await file.read(dtype.toLowerCase());
    assert.deepEqual(ours.data.subarray(0, finite * width), theirs.data.subarray(0, finite * width), dtype);
    assert.ok(Number.isNaN(toFloat32(ours)[finite]), dtype);
  }
});

Deno.test("safetensors: bfloat16 rounds ties to even and keeps NaN a NaN", () => {
  // 1 + 2^-8 lies between 1 and 1 + 2^-7 and goes to the even one; so does 1 + 3·2^-8, upwards.
  const bits = new Uint32Array([0x3f808000, 0x3f818000, 0x3f808001, 0x7f7fffff, 0x7f800001, 0xffffffff]);
  const { data } = fromFloat32(new Float32Array(bits.buffer), [6], "BF16");
  assert.deepEqual([...new Uint16Array(data.buffer)], [0x3f80, 0x3f82, 0x3f81, 0x7f80, 0x7fc0, 0xffff]);
});

Deno.test("safetensors: helpers refuse what does not fit", () => {
  assert.throws(() => fromFloat32(new Float32Array(5), [2, 3]), /needs 24 bytes: received 20/);
  assert.throws(() => fromInt64([1.5], [1]), RangeError);
  assert.throws(() => toFloat32(fromInt64([1], [1])), /I64 is not floating-point/);
  assert.throws(() => toInt64(fromFloat32(new Float32Array(1), [1])), /F32 is not I64/);
  const shifted: HostTensor = { dtype: "F32", shape: [1], data: new Uint8Array([9, 0, 0, 128, 63]).subarray(1) };
  assert.deepEqual([...toFloat32(shifted)], [1]);
});

Deno.test("safetensors: info, names and metadata without reading; a name that is not there", async () => {
  using file = await SafetensorsFile.open(fixture("python.safetensors"));
  assert.deepEqual(file.info("f64"), { dtype: "F64", shape: [2, 3] });
  assert.deepEqual({ ...file.metadata }, { format: "pt" });
  await rejectsUserError(() => file.info("nope"), /python.safetensors has no tensor 'nope': it has 14 \(/);
  await rejectsUserError(() => file.read("constructor"), /no tensor 'constructor'/);
  file.close();
  await assert.rejects(file.read("f64"), /has been closed/);
});

Deno.test("safetensors: reads that overlap in time do not mix", async () => {
  using file = await SafetensorsFile.open(fixture("python.safetensors"));
  const all = await Promise.all(file.names.map((name) => file.read(name)));
  const bytes = new Map(expected.safetensors.map(([name, t]) => [name, t.bytes]));
  file.names.forEach((name, i) => assert.deepEqual([...all[i].data], bytes.get(name), name));
});

Deno.test("safetensors: writing refuses bad tensors and leaves the old file", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "w.safetensors");
    const good = fromFloat32(new Float32Array([1]), [1]);
    await writeSafetensors(path, [["a", good]]);
    const before = await Deno.readFile(path);
    await assert.rejects(writeSafetensors(path, [["a", good], ["a", good]]), /'a' is there twice/);
    await assert.rejects(writeSafetensors(path, [["__metadata__", good]]), /cannot be named/);
    await assert.rejects(
      writeSafetensors(path, [["a", { ...good, shape: [2] }]]),
      /'a' F32 \[2\] needs 8 bytes: received 4/,
    );
    await assert.rejects(writeSafetensors(path, [["a", { ...good, dtype: "F8" as "F16" }]]), /unknown dtype F8/);
    assert.deepEqual(await Deno.readFile(path), before);
    assert.deepEqual((await Array.fromAsync(Deno.readDir(folder))).map((e) => e.name), ["w.safetensors"]);
  });
});

Deno.test("safetensors: a file cut anywhere, or with a byte too many, is an error that names it", async () => {
  const bytes = await Deno.readFile(fixture("python.safetensors"));
  await withFolder(async (folder) => {
    const path = join(folder, "cut.safetensors");
    for (let length = 0; length < bytes.length; length += length < 20 ? 1 : 13) {
      await Deno.writeFile(path, bytes.subarray(0, length));
      await rejectsUserError(() => SafetensorsFile.open(path), "cut.safetensors", "truncated");
    }
    await Deno.writeFile(path, new Uint8Array([...bytes, 0]));
    await rejectsUserError(() => SafetensorsFile.open(path), "1 bytes at its end belong to no tensor");
  });
});

const a4 = entry("F32", "[1]", 0, 4);
const HOSTILE: [name: string, bytes: Uint8Array, pattern: RegExp][] = [
  [
    "a header of 2^63 bytes",
    safetensors("{}", 0, 2n ** 63n),
    /states 9223372036854775808 bytes, more than the allowed/,
  ],
  ["a header just above the limit", safetensors("{}", 0, 100_000_001n), /states 100000001 bytes, more than/],
  ["a header longer than the file", safetensors("{}", 0, 99_000_000n), /truncated inside its header/],
  ["an empty header", safetensors(""), /does not start with '\{'/],
  ["a header that starts with a space", safetensors(` {"a":${a4}}`, 4), /does not start with '\{'/],
  ["a byte order mark", safetensors(`\ufeff{"a":${a4}}`, 4), /does not start with '\{'/],
  ["bytes that are not UTF-8", safetensors(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /not valid UTF-8/],
  ["broken JSON", safetensors(`{"a":${a4}`, 4), /header is not valid: /],
  ["broken JSON of several lines", safetensors(`{"a":\n\n x}`), /header is not valid: /],
  ["duplicate names", safetensors(`{"a":${a4},"a":${a4}}`, 4), /key "a" twice/],
  ["duplicate names, one escaped", safetensors(`{"a":${a4},"\\u0061":${a4}}`, 4), /key "a" twice/],
  ["duplicate names after a quote", safetensors(`{"a\\"":${a4},"a\\"":${a4}}`, 4), /key "a\\"" twice/],
  [
    "a duplicate field",
    safetensors(`{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4),
    /"dtype" twice/,
  ],
  ["__proto__ twice", safetensors(`{"__proto__":${a4},"__proto__":${a4}}`, 4), /"__proto__" twice/],
  [
    "a hole at the start",
    safetensors(`{"a":${entry("F32", "[1]", 4, 8)}}`, 8),
    /4 bytes before tensor 'a' belong to no tensor/,
  ],
  ["a hole between", safetensors(`{"a":${a4},"b":${entry("F32", "[1]", 8, 12)}}`, 12), /4 bytes before tensor 'b'/],
  ["an overlap", safetensors(`{"a":${entry("F32", "[2]", 0, 8)},"b":${entry("F32", "[1]", 4, 8)}}`, 8), /'b' overlaps/],
  ["the same bytes twice", safetensors(`{"a":${a4},"b":${a4}}`, 4), /'b' overlaps/],
  [
    "a size unlike its shape",
    safetensors(`{"a":${entry("F32", "[3]", 0, 4)}}`, 4),
    /F32 \[3\] needs 12 bytes, its offsets give it 4/,
  ],
  [
    "a shape of 2^40 elements",
    safetensors(`{"a":${entry("F32", "[1048576,1048576]", 0, 4398046511104)}}`, 4),
    /truncated: its header describes/,
  ],
  [
    "a shape whose product overflows",
    safetensors(`{"a":${entry("F32", "[4294967296,4294967296,4294967296]", 0, 4)}}`, 4),
    /'a' has no valid shape/,
  ],
  [
    "offsets past 2^53",
    safetensors(`{"a":${entry("F32", "[1]", "9007199254740993", "9007199254740997")}}`, 4),
    /9007199254740993, which is past 2\^53/,
  ],
  [
    "offsets past 2^64",
    safetensors(`{"a":${entry("F32", "[1]", "36893488147419103232", "36893488147419103236")}}`, 4),
    /past 2\^53/,
  ],
  ["negative offsets", safetensors(`{"a":${entry("F32", "[1]", -4, 0)}}`, 4), /no valid data_offsets/],
  ["reversed offsets", safetensors(`{"a":${entry("F32", "[1]", 4, 0)}}`, 4), /no valid data_offsets/],
  ["a fractional size", safetensors(`{"a":${entry("F32", "[1.5]", 0, 6)}}`, 6), /no valid shape/],
  ["a size in e-notation past 2^53", safetensors(`{"a":${entry("U8", "[1e300]", 0, 4)}}`, 4), /no valid shape/],
  ["no dtype", safetensors(`{"a":{"shape":[1],"data_offsets":[0,4]}}`, 4), /unsupported dtype \(none\)/],
  [
    "an unknown dtype",
    safetensors(`{"a":${entry("F8_E4M3", "[4]", 0, 4)}}`, 4),
    /'a' has the unsupported dtype "F8_E4M3"/,
  ],
  ["a dtype of Object", safetensors(`{"a":${entry("toString", "[4]", 0, 4)}}`, 4), /unsupported dtype "toString"/],
  ["a tensor that is no object", safetensors(`{"a":[1]}`), /entry 'a' is not an object/],
  ["metadata that is no text", safetensors(`{"__metadata__":{"n":1}}`), /metadata 'n' is not a string/],
  ["metadata twice", safetensors(`{"__metadata__":{},"__metadata__":{}}`), /"__metadata__" twice/],
  [
    "a shape of 65 axes",
    safetensors(`{"a":${entry("F32", `[${Array(65).fill(1)}]`, 0, 4)}}`, 4),
    /'a' has no valid shape/,
  ],
  [
    "a shape whose product overflows before a zero",
    safetensors(`{"a":${entry("F32", "[4294967296,4294967296,0]", 0, 0)}}`),
    /'a' has no valid shape/,
  ],
  ["something after the end", safetensors(`{"a":${a4}}}`, 4), /"\}" at character \d+ is not JSON/],
  ["a comma too many", safetensors(`{"a":${a4},}`, 4), /is not JSON/],
  ["a comma too few", safetensors(`{"a":${a4}"b":${a4}}`, 4), /is not JSON/],
  ["a text without an end", safetensors(`{"a":${a4},"b`, 4), /it ends inside a text/],
  ["a line break in a name", safetensors(`{"a\nb":${a4}}`, 4), /is no value of JSON/],
  ["a number of another spelling", safetensors(`{"a":${entry("F32", "[01]", 0, 4)}}`, 4), /"01" is no value of JSON/],
  ["deep nesting", safetensors(`{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`), /nests deeper than 2 levels/],
];

/** Headers of 40 MB that are refused where they go wrong: to read them first would take a minute and gigabytes. */
const LARGE: [name: string, unit: string, pattern: RegExp][] = [
  ["brackets", "[", /nests deeper than 2 levels/],
  ["sizes", "1,", /a list or an object of more than 10000 items/],
];
for (const [name, unit, pattern] of LARGE) {
  Deno.test(`safetensors: a header of 40 MB of ${name} is refused where it goes wrong`, async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "bad.safetensors");
      await Deno.writeFile(path, safetensors(`{"a":{"shape":[${unit.repeat(4e7 / unit.length)}`));
      const start = performance.now();
      await rejectsUserError(() => SafetensorsFile.open(path), "bad.safetensors", pattern);
      assert.ok(performance.now() - start < 10_000);
    });
  });
}

for (const [name, bytes, pattern] of HOSTILE) {
  Deno.test(`safetensors: ${name} is refused`, async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "bad.safetensors");
      await Deno.writeFile(path, bytes);
      await rejectsUserError(() => SafetensorsFile.open(path), "bad.safetensors", pattern);
    });
  });
}

Deno.test("safetensors: no tensors, white space at the header's end, and an empty tensor beside others are fine", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "ok.safetensors");
    await Deno.writeFile(path, safetensors("{}"));
    assert.equal((await readSafetensors(path)).size, 0);
    const header = `{ "e" : ${entry("F32", "[0]", 0, 0)} , "a":${a4}, "f":${entry("I64", "[2,0]", 4, 4)}}  `;
    await Deno.writeFile(path, safetensors(header, 4));
    assert.deepEqual([...(await readSafetensors(path)).keys()], ["e", "a", "f"]);
  });
});

Deno.test("openWeights: shards behind an index read as one", async () => {
  using weights = await openWeights(fixture("sharded"));
  assert.deepEqual(weights.names, ["a.weight", "b.weight", "c.weight"]);
  assert.deepEqual([...toFloat32(await weights.read("a.weight"))], [0, 1, 2, 3]);
  assert.deepEqual([...toFloat32(await weights.read("c.weight"))], [1, 1, 1, 1]);
  assert.deepEqual(weights.info("b.weight"), { dtype: "I64", shape: [3] });
  await rejectsUserError(() => weights.read("d"), /sharded has no tensor 'd'/);
});

Deno.test("openWeights: one file, diffusers' name, a name of choice, a path to a file", async () => {
  const one = fromFloat32(new Float32Array([1]), [1]);
  await withFolder(async (folder) => {
    for (const base of ["diffusion_pytorch_model", "model", "other"]) {
      await writeSafetensors(join(folder, `${base}.safetensors`), [[base, one]]);
    }
    const namesOf = async (path: string, base?: string) => {
      using weights = await openWeights(path, base);
      return weights.names;
    };
    assert.deepEqual(await namesOf(folder), ["model"]);
    assert.deepEqual(await namesOf(folder, "other"), ["other"]);
    assert.deepEqual(await namesOf(join(folder, "other.safetensors")), ["other"]);
    await Deno.remove(join(folder, "model.safetensors"));
    assert.deepEqual(await namesOf(folder), ["diffusion_pytorch_model"]);
  });
});

Deno.test("openWeights: no folder, no weights, other weights, missing shards, a lying index", async () => {
  await withFolder(async (folder) => {
    await rejectsUserError(() => openWeights(join(folder, "nope")), /nope: no such file/);
    await rejectsUserError(() => openWeights(folder), /holds no weights: model.safetensors or diffusion_pytorch_model/);
    await Deno.writeTextFile(join(folder, "pytorch_model.bin"), "");
    await rejectsUserError(() => openWeights(folder), /found pytorch_model.bin/);

    const index = join(folder, "model.safetensors.index.json");
    await Deno.copyFile(fixture("sharded/model.safetensors.index.json"), index);
    const [one, two] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    await Deno.copyFile(fixture(`sharded/${one}`), join(folder, one));
    await rejectsUserError(() => openWeights(folder), `lacks 1 of 2 shards`, two);

    await Deno.copyFile(fixture(`sharded/${one}`), join(folder, two));
    await rejectsUserError(() => openWeights(folder), two, /holds tensor '[ab].weight', which/, "does not list there");
    await writeSafetensors(join(folder, two), []);
    await rejectsUserError(() => openWeights(folder), two, "no tensor 'c.weight'");

    for (
      const [text, pattern] of [
        ["{", /is not a valid index/],
        ["[]", /no 'weight_map'/],
        ['{"weight_map":{"a":"../x.safetensors"}}', /tensor 'a' is in "..\/x.safetensors"/],
        ['{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}', /key "a" twice/],
      ] as const
    ) {
      await Deno.writeTextFile(index, text);
      await rejectsUserError(() => openWeights(folder), "index.json", pattern);
    }
  });
});
