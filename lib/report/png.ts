/**
 * A small PNG encoder: 8-bit RGB, no metadata. Enough for frames and strips, and without a native
 * module, so that notebooks and reports work wherever Deno does. Of PNG files it reads no more than the size.
 */
import { zlibSync } from "fflate";
import { Buffer } from "node:buffer";

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

/**
 * Encodes an image as PNG.
 *
 * @param pixels uint8 [H, W, 3], channels last.
 * @throws {RangeError} when the number of pixels does not match the size.
 */
export function encodePng(pixels: Uint8Array, height: number, width: number): Uint8Array<ArrayBuffer> {
  if (!(height > 0 && width > 0) || pixels.length !== height * width * 3) {
    throw new RangeError(`pixels must be [${height}, ${width}, 3] bytes: received ${pixels.length}`);
  }
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8); // bits a channel
  header.setUint8(9, 2); // colour type: RGB
  return concatenate([
    SIGNATURE,
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("IDAT", zlibSync(filterRows(pixels, height, width * 3), { level: 6 })),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

/** Bytes in which a PNG says its size. */
export const PNG_HEAD_BYTES = 24;

/** The size that a PNG begins with, in pixels; undefined where it is none, or of no pixels. */
export function pngSize(head: Uint8Array): { height: number; width: number } | undefined {
  if (head.length < PNG_HEAD_BYTES || SIGNATURE.some((byte, i) => head[i] !== byte)) return undefined;
  const view = new DataView(head.buffer, head.byteOffset);
  const isHeader = view.getUint32(8) === 13 && view.getUint32(12) === 0x49484452; // "IHDR"
  const width = view.getUint32(16), height = view.getUint32(20);
  return isHeader && width > 0 && height > 0 ? { height, width } : undefined;
}

/** `data:` address of bytes, for an `<img>` that needs no file beside the page. */
export function dataUri(type: "image/png" | "image/gif", bytes: Uint8Array): string {
  return `data:${type};base64,${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")}`;
}

/** Each row as the difference to its left neighbour (filter 1): photographs compress to about half. */
function filterRows(pixels: Uint8Array, height: number, stride: number): Uint8Array {
  const filtered = new Uint8Array(height * (stride + 1));
  for (let row = 0; row < height; row++) {
    const from = row * stride, to = row * (stride + 1);
    filtered[to] = 1;
    for (let i = 0; i < stride; i++) filtered[to + 1 + i] = pixels[from + i] - (i < 3 ? 0 : pixels[from + i - 3]);
  }
  return filtered;
}

function chunk(type: string, body: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + body.length), view = new DataView(out.buffer);
  view.setUint32(0, body.length);
  out.set(new TextEncoder().encode(type), 4);
  out.set(body, 8);
  view.setUint32(8 + body.length, crc32(out.subarray(4, 8 + body.length)));
  return out;
}

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}
