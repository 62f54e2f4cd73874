/**
 * Files with one bit flipped, 1,500 times each with a fixed seed. Formats with checksums give the same numbers or an error that
 * names the file; formats without give at most another number where the bit was, or another name where it was in one.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { decodeNpy, encodeNpy, type NdArray } from "../../lib/io/npy.ts";
import { readNpz } from "../../lib/io/npz.ts";
import { readPth } from "../../lib/io/pth.ts";
import { fromFloat32, fromInt64, readSafetensors, writeSafetensors } from "../../lib/io/safetensors.ts";
import { writeZip } from "../../lib/io/zip.ts";
import { fixture, withFolder } from "../support/files.ts";

const FLIPS = 1500;

const ARRAYS: Record<string, NdArray> = {
  image: { dtype: "uint8", shape: [6, 4], data: Uint8Array.from({ length: 24 }, (_, i) => i * i) },
  action: { dtype: "float32", shape: [5], data: Float32Array.of(0.5, -1, 3e8, 0, 7) },
  step: { dtype: "int64", shape: [2], data: BigInt64Array.of(-5n, 2n ** 40n) },
};

/** What a reader gives, as bytes by name: `name dtype shape`. */
type Content = Map<string, Uint8Array>;

const ofArrays = (arrays: Record<string, NdArray>): Content =>
  new Map(
    Object.entries(arrays).map(([name, { dtype, shape, data }]) => [
      `${name} ${dtype} ${shape}`,
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice(),
    ]),
  );

const ofTensors = async (tensors: ReturnType<typeof readPth>): Promise<Content> =>
  new Map([...await tensors].map(([name, { dtype, shape, data }]) => [`${name} ${dtype} ${shape}`, data.slice()]));

/** Numerical Recipes' generator: the same flips on every machine. */
function randomInts(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}

/** Reads the file with each of the flips; those that gave other content than the whole file are handed to `check`. */
async function flip(
  bytes: Uint8Array,
  name: string,
  read: (path: string) => Promise<Content>,
  check: (content: Content, whole: Content, at: number) => void,
): Promise<void> {
  await withFolder(async (folder) => {
    const path = join(folder, name), random = randomInts(bytes.length);
    await Deno.writeFile(path, bytes);
    const whole = await read(path);
    for (let i = 0; i < FLIPS; i++) {
      const at = random(bytes.length), flipped = bytes.slice();
      flipped[at] ^= 1 << random(8);
      await Deno.writeFile(path, flipped);
      let content: Content;
      try {
        content = await read(path);
      } catch (error) {
        const { name: kind, message, stack } = error as Error;
        assert.equal(kind, "UserError", `byte ${at}: ${stack}`);
        assert.ok(message.includes(path), `byte ${at}: ${message}`);
        continue;
      }
      if (JSON.stringify([...content]) !== JSON.stringify([...whole])) check(content, whole, at);
    }
  });
}

const nothingElse = (content: Content, _: Content, at: number) =>
  assert.fail(`byte ${at} gave other content: ${[...content.keys()]}`);

/** The same but for one name, type or shape of the same bytes, or one byte of the elements. */
function oneDifference(content: Content, whole: Content, at: number): void {
  const [now, before] = [[...content], [...whole]];
  const names = now.filter(([name], i) => name !== before[i]?.[0]).length;
  const bytes = now.map(([, data], i) => {
    assert.equal(data.length, before[i][1].length, `byte ${at}`);
    return data.filter((byte, j) => byte !== before[i][1][j]).length;
  });
  assert.equal(now.length, before.length, `byte ${at}`);
  assert.ok(names + bytes.reduce((a, b) => a + b, 0) <= 1, `byte ${at}: ${names} names, ${bytes} bytes`);
}

for (const compress of [false, true]) {
  Deno.test(`flipped bytes: an npz, ${compress ? "deflated" : "stored"}`, async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "whole.npz");
      await writeZip(path, Object.entries(ARRAYS).map(([key, array]) => [`${key}.npy`, encodeNpy(array)]), {
        compress,
      });
      await flip(await Deno.readFile(path), "x.npz", async (path) => ofArrays(await readNpz(path)), nothingElse);
    });
  });
}

Deno.test("flipped bytes: an npz as NumPy writes it, asked for one array", async () => {
  const read = async (path: string) => ofArrays(await readNpz(path, ["fine"]));
  await flip(await Deno.readFile(fixture("refused.npz")), "x.npz", read, nothingElse);
});

Deno.test("flipped bytes: a checkpoint of PyTorch's", async () => {
  await flip(await Deno.readFile(fixture("zip.pth")), "x.pth", (path) => ofTensors(readPth(path)), nothingElse);
});

Deno.test("flipped bytes: a checkpoint in the plain format has no checksums, but no other errors", async () => {
  const check = (content: Content) => assert.ok(content.size > 0);
  await flip(await Deno.readFile(fixture("legacy.pth")), "x.pth", (path) => ofTensors(readPth(path)), check);
});

Deno.test("flipped bytes: safetensors have no checksums: one name or one byte at most", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "whole.safetensors");
    const weight = fromFloat32(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]);
    await writeSafetensors(path, [["a.weight", weight], ["a.steps", fromInt64([3, -4], [2])], [
      "b",
      fromFloat32(new Float32Array(1), []),
    ]]);
    const read = (path: string) => ofTensors(readSafetensors(path));
    await flip(await Deno.readFile(path), "x.safetensors", read, oneDifference);
  });
});

Deno.test("flipped bytes: a bare npy has no checksum: one byte at most, or the byte order", async () => {
  const bytes = encodeNpy(ARRAYS.action), order = bytes.indexOf("<".charCodeAt(0));
  const read = async (path: string) => ofArrays({ x: decodeNpy(await Deno.readFile(path), path) });
  await flip(bytes, "x.npy", read, (content, whole, at) => at === order || oneDifference(content, whole, at));
});
