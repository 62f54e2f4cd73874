import assert from "node:assert/strict";
import { join } from "node:path";
import { readPth } from "../../lib/io/pth.ts";
import type { HostTensor } from "../../lib/io/safetensors.ts";
import { unpickle } from "../../lib/io/unpickler.ts";
import { writeZip } from "../../lib/io/zip.ts";
import { P } from "./pickler.ts";
import { expected, type ExpectedTensor, fixture, rejectsUserError, withFolder } from "../support/files.ts";

function assertTensors(tensors: Map<string, HostTensor>, wanted: [string, ExpectedTensor][]): void {
  assert.deepEqual([...tensors.keys()], wanted.map(([name]) => name));
  for (const [name, { shape, bytes }] of wanted) {
    assert.deepEqual(tensors.get(name)!.shape, shape, name);
    assert.deepEqual([...tensors.get(name)!.data], bytes, name);
  }
}

for (const file of ["zip.pth", "legacy.pth", "protocol4.pth"]) {
  Deno.test(`pth: a module's state dict in ${file}`, async () => {
    assertTensors(await readPth(fixture(file)), expected.state);
  });
}

for (const file of ["views.pth", "views_legacy.pth"]) {
  Deno.test(`pth: strided views, every element type, nested dicts and a wrapper in ${file}`, async () => {
    const skipped: [string, string][] = [];
    assertTensors(await readPth(fixture(file), { onSkip: (name, what) => skipped.push([name, what]) }), expected.views);
    assert.deepEqual(skipped, [
      ["epoch", "beside 'model'"],
      ["args", "beside 'model'"],
      ["size", "beside 'model'"],
      ["name", "a string"],
    ]);
  });
}

for (const file of ["evil.pth", "evil_legacy.pth"]) {
  Deno.test(`pth: ${file} calls os.system: refused by name, not executed`, async () => {
    await rejectsUserError(
      () => readPth(fixture(file)),
      file,
      /refers to '(posix|nt)\.system'/,
      "nothing was executed",
    );
    await assert.rejects(Deno.stat("/tmp/executed_by_a_pickle"), Deno.errors.NotFound);
  });
}

Deno.test("pth: a pickled module is refused by name and says how to convert", async () => {
  await rejectsUserError(() => readPth(fixture("module.pth")), "torch.nn.modules.container.Sequential", "state_dict()");
});

for (const file of ["zip.pth", "legacy.pth"]) {
  Deno.test(`pth: ${file} cut anywhere is a UserError`, async () => {
    const bytes = await Deno.readFile(fixture(file));
    await withFolder(async (folder) => {
      const path = join(folder, "cut.pth");
      for (let length = 0; length < bytes.length; length += 11) {
        await Deno.writeFile(path, bytes.subarray(0, length));
        await rejectsUserError(() => readPth(path), "cut.pth");
      }
    });
  });

  Deno.test(`pth: a flipped byte in ${file} never ends in anything but tensors or a UserError`, async () => {
    const bytes = await Deno.readFile(fixture(file));
    await withFolder(async (folder) => {
      const path = join(folder, "flip.pth");
      for (let at = 0; at < bytes.length; at += 7) {
        const flipped = bytes.slice();
        flipped[at] ^= 1 << (at % 8);
        await Deno.writeFile(path, flipped);
        try {
          await readPth(path);
        } catch (error) {
          assert.equal((error as Error).name, "UserError", `byte ${at}: ${(error as Error).stack}`);
        }
      }
    });
  });
}

Deno.test("pth: a file that is none", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "x.pth");
    await rejectsUserError(() => readPth(path), "no such file");
    for (const text of ["", "hello", '{"a": 1}']) {
      await Deno.writeTextFile(path, text);
      await rejectsUserError(() => readPth(path), "x.pth cannot be read as a PyTorch checkpoint");
    }
  });
});

const TEN = P.storage("0", 10);
const HOSTILE: [name: string, pickle: string, pattern: RegExp][] = [
  [
    "a view past its storage",
    P.dict(P.text("w"), P.tensor(TEN, 8, [4], [1])),
    /'w' \[4\] needs more than the 10 elements/,
  ],
  [
    "strides past its storage",
    P.dict(P.text("w"), P.tensor(TEN, 0, [2, 2], [9, 9])),
    /needs more than the 10 elements/,
  ],
  [
    "a view that expands a storage without end",
    P.dict(P.text("w"), P.tensor(TEN, 0, [1 << 30], [0])),
    /claim more than/,
  ],
  ["negative strides", P.dict(P.text("w"), P.tensor(TEN, 9, [4], [-1])), /strides in it is malformed/],
  [
    "a storage that is not there",
    P.dict(P.text("w"), P.tensor(P.storage("9", 10), 0, [1], [1])),
    /storage '9' is missing/,
  ],
  [
    "a storage that leads elsewhere",
    P.dict(P.text("w"), P.tensor(P.storage("../x", 10), 0, [1], [1])),
    /'..\/x' is missing/,
  ],
  ["a storage of another size", P.dict(P.text("w"), P.tensor(P.storage("0", 999), 0, [1], [1])), /40 bytes where 3996/],
  ["an unknown storage type", P.dict(P.text("w"), P.storage("0", 1, "QInt8Storage")), /refers to 'torch.QInt8Storage'/],
  ["eval", "c__builtin__\neval\n" + P.tuple(P.text("1")) + "R", /refers to '__builtin__.eval'/],
  ["a name across lines", "cos\x00\nsys\ttem\n", /refers to/],
  ["an instance by INST", "(ios\nsystem\n", /operation 0x69/],
  ["an object by OBJ", "(o", /operation 0x6f/],
  ["calling a storage type", "ctorch\nFloatStorage\n)R", /calls 'torch.FloatStorage', which is no function/],
  ["calling a text", P.text("x") + ")R", /calls x, which is no function/],
  ["attributes of a list", "]}b", /sets attributes of something not a dict/],
  ["an empty stack", "R", /takes a value that is not there/],
  ["no mark", "t", /takes values that are not there/],
  ["a value never stored", "h\x05", /recalls value 5/],
  ["a dict inside itself", "}q\x00" + P.text("a") + "h\x00s", /nest deeper than 8/],
  ["a number at the top", P.int(5), /holds no dict of tensors/],
  ["no tensors", "}", /holds no tensors/],
  [
    "the same name twice",
    P.dict(
      P.text("a.b") + P.tensor(TEN, 0, [1], [1]),
      P.text("a") + P.dict(P.text("b") + P.tensor(TEN, 0, [1], [1])),
    ),
    /two tensors named 'a.b'/,
  ],
  ["a text longer than the file", "X\xff\xff\xff\x7f", /truncated/],
  ["dicts that multiply", manyPaths(), /contain one another more often/],
];

/** Six levels of 20 references to the level below: 64 million paths from 1 kB. */
function manyPaths(): string {
  let level = "}";
  for (let depth = 0; depth < 6; depth++) {
    const memo = `q${String.fromCharCode(depth)}`;
    const again = `h${String.fromCharCode(depth)}`;
    const items = Array.from({ length: 20 }, (_, i) => P.text(`k${i}`) + (i === 0 ? level + memo : again));
    level = P.dict(...items);
  }
  return level;
}

for (const [name, pickle, pattern] of HOSTILE) {
  Deno.test(`pth: ${name} is refused`, async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "bad.pth");
      await writeZip(path, [["bad/data.pkl", P.file(pickle)], ["bad/data/0", new Uint8Array(40)]]);
      await rejectsUserError(() => readPth(path), "bad.pth", pattern);
    });
  });
}

Deno.test("pth: a compressed archive, a big-endian one and TorchScript", async () => {
  const pickle = P.file(P.dict(P.text("w"), P.tensor(TEN, 1, [2], [3])));
  const data = new Uint8Array(new Float32Array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).buffer);
  await withFolder(async (folder) => {
    const path = join(folder, "x.pth");
    await writeZip(path, [["x/data.pkl", pickle], ["x/data/0", data]], { compress: true });
    assert.deepEqual([...new Float32Array((await readPth(path)).get("w")!.data.buffer)], [1, 4]);
    await writeZip(path, [["x/data.pkl", pickle], ["x/data/0", data], [
      "x/byteorder",
      new TextEncoder().encode("big"),
    ]]);
    await rejectsUserError(() => readPth(path), /byte order is "big"/);
    await writeZip(path, [["x/data.pkl", pickle], ["x/constants.pkl", pickle]]);
    await rejectsUserError(() => readPth(path), /TorchScript/);
  });
});

Deno.test("pth: tensors that share a storage may not add up to many times the file", async () => {
  const storage = P.storage("0", 10_000);
  const views = (n: number) => {
    const items = Array.from({ length: n }, (_, i) => P.text(`t${i}`) + P.tensor(storage, i, [9000], [1]));
    return P.file(P.dict(...items));
  };
  await withFolder(async (folder) => {
    const path = join(folder, "shared.pth");
    await writeZip(path, [["x/data.pkl", views(99)], ["x/data/0", new Uint8Array(40_000)]]);
    await rejectsUserError(() => readPth(path), /claim more than \d+ bytes of a much smaller file/);
    await writeZip(path, [["x/data.pkl", views(5)], ["x/data/0", new Uint8Array(40_000)]]);
    assert.equal((await readPth(path)).size, 5);
  });
});

Deno.test("pth: state dicts as the PyTorch of Python 2 pickled them", async () => {
  // Byte strings, an OrderedDict with its items as argument, _rebuild_tensor and a storage on a GPU.
  const old = (s: string) => "U" + String.fromCharCode(s.length) + s;
  const id = P.tuple(old("storage"), "ctorch.cuda\nFloatStorage\n", old("0"), old("cuda:0"), P.int(10), "N");
  const view = P.tuple(id + "Q", P.int(2), P.tuple(P.int(3)), P.tuple(P.int(1)));
  const item = "](" + old("w") + "ctorch._utils\n_rebuild_tensor\n" + view + "Re";
  const pickle = P.file("ccollections\nOrderedDict\n](" + item + "e\x85R");
  await withFolder(async (folder) => {
    const path = join(folder, "old.pth");
    const data = new Uint8Array(Float32Array.from({ length: 10 }, (_, i) => i).buffer);
    await writeZip(path, [["x/data.pkl", pickle], ["x/data/0", data]]);
    assert.deepEqual([...new Float32Array((await readPth(path)).get("w")!.data.buffer)], [2, 3, 4]);
  });
});

Deno.test("unpickle: numbers", () => {
  const run = (body: string) => unpickle(P.file(body)).value;
  assert.equal(run("J\xff\xff\xff\xff"), -1);
  assert.equal(run("\x8a\x00"), 0);
  assert.equal(run("\x8a\x01\xff"), -1);
  assert.equal(run("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80"), -(2n ** 63n));
  assert.equal(run("G\x40\x09\x21\xfb\x54\x44\x2d\x18"), Math.PI);
});
