/**
 * Judges the pictures on a page (`page_image_query`): whether one of them shows what is asked, and whether one is the same as a given
 * picture.
 *
 * Pictures of the page come through the browser, which reaches its own hosts and no others; a given picture is a file or an address that
 * the task names. Two pictures are the same when their structural similarity, in grey and at the larger of the two sizes, is above the
 * task's threshold.
 *
 * Source: VisualWebArena (Koh et al., 2024); Wang et al., "Image quality assessment: from error visibility to structural similarity"
 * (2004), with scikit-image's defaults: windows of 7 × 7 pixels, sample covariance.
 */
import { checkIsFile } from "../../../io/plain_file.ts";
import { UserError } from "../../../base/user_error.ts";
import { WebActionError, type WebBrowser } from "../../../worlds/web_page/browser.ts";
import { quote } from "./text_matches.ts";
import type { ImageCheck } from "../../../worlds/web_page/web_task.ts";

/** A picture as a file holds it, and what kind of file: `image/png`. */
export interface Picture {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Its kind. */
  readonly type: string;
}

/** Answers a question about a picture. */
export type PictureJudge = (picture: Picture, question: string) => Promise<string>;

/** Pictures of a page that are looked at; a page may have more without end. */
const MOST_PICTURES = 100;
/** Largest file of a picture, in bytes. */
const LARGEST = 16 << 20;
/** Seconds that an address has to give a picture. */
const DOWNLOAD_SECONDS = 60;

/** Whether a condition on pictures holds, and why, in words. */
export interface PictureFinding {
  /** Whether it holds. */
  readonly holds: boolean;
  /** What was looked for, where, and whether it was there. */
  readonly why: string;
}

/**
 * Judges the pictures that a check names: a finding for each question, and one for the given pictures.
 *
 * @throws {UserError} When a given picture cannot be read, or a question has no judge.
 * @throws {WebActionError} When the browser cannot look.
 */
export async function matchPictures(
  { url, selector, questions, sameAs, threshold }: ImageCheck,
  browser: WebBrowser,
  judge: PictureJudge | undefined,
): Promise<PictureFinding[]> {
  const place = `${selector || "pictures"} of ${url === "last" ? "the last page" : url}`;
  const finding = (holds: boolean, why: string): PictureFinding => ({ holds, why: `${place}: ${why}` });
  const pictures = await picturesOf(browser, selector, url);
  if (pictures.length === 0) return [finding(false, "there is no picture")];
  const findings: PictureFinding[] = [];
  for (const { question, answer } of questions) {
    if (!judge) throw new UserError("eval_vqa needs a judge that sees");
    const answers = await Promise.all(pictures.map((picture) => judge(picture, question)));
    const holds = answers.some((each) => each.toLowerCase().includes(answer.toLowerCase()));
    findings.push(finding(holds, `${quote(question)} ${holds ? "is" : "is not"} answered ${quote(answer)}`));
  }
  if (sameAs.length > 0) {
    const found = await pixelsOf(pictures);
    const wanted = await Promise.all(sameAs.map(givenPicture));
    const similarities = await Promise.all(
      found.flatMap((a) => wanted.map(async (b) => await structuralSimilarity(a, b))),
    );
    const highest = Math.max(-1, ...similarities), holds = highest > threshold;
    findings.push(
      finding(holds, `${sameAs.map(quote).join(" or ")} ${holds ? "is" : "is not"} there (${highest.toFixed(3)})`),
    );
  }
  return findings;
}

/** The pictures below a class of elements, or all; those that cannot be read are passed over. */
async function picturesOf(browser: WebBrowser, selector: string, url: string): Promise<Picture[]> {
  const elements = selector === ""
    ? `document.querySelectorAll("img, [role=img]")`
    : `[...document.querySelectorAll(${JSON.stringify(selector)})].flatMap((each) => ` +
      `each.matches("img") ? [each] : [...each.querySelectorAll("img")])`;
  const addresses = await browser.locate(
    `[...${elements}].filter((each) => each.hasAttribute("src"))` +
      `.map((each) => new URL(each.getAttribute("src"), document.baseURI).href)`,
    url === "last" ? undefined : url,
  );
  const pictures: Picture[] = [];
  for (const address of new Set(readAddresses(addresses).slice(0, MOST_PICTURES))) {
    const data = address.startsWith("data:") ? address : await browser.locate(READ_DOCUMENT, address).catch((error) => {
      // A host that is not allowed, an address that gives nothing.
      if (error instanceof WebActionError) return "";
      throw error;
    });
    const [, type, base64] = /^data:(image\/[\w.+-]+);base64,([A-Za-z0-9+/=]+)$/.exec(data) ?? [];
    if (type !== undefined) pictures.push({ bytes: Uint8Array.fromBase64(base64), type });
  }
  return pictures;
}

/** A document's own file as a `data:` address; empty where it is too large. */
const READ_DOCUMENT = `fetch(location.href).then((response) => response.blob()).then((file) => file.size > ${LARGEST}
  ? "" : new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(file);
  }))`;

function readAddresses(json: string): string[] {
  try {
    const list: unknown = JSON.parse(json);
    return Array.isArray(list) ? list.filter((each) => typeof each === "string") : [];
  } catch {
    return [];
  }
}

/** Whether a picture that a task names is a file that is not there. */
export function isMissingFile(place: string): boolean {
  if (isAddress(place)) return false;
  try {
    return !Deno.statSync(place).isFile;
  } catch {
    return true;
  }
}

function isAddress(place: string): boolean {
  return /^https?:/.test(place);
}

/** A file or an address that a task names. @throws {UserError} When it cannot be read. */
async function givenPicture(place: string): Promise<GreyPicture> {
  try {
    if (isAddress(place)) return await greyPixels(await download(place));
    await checkIsFile(place, LARGEST);
    return await greyPixels(await Deno.readFile(place));
  } catch (error) {
    throw new UserError(`picture ${place} cannot be read: ${(error as Error).message}`);
  }
}

async function download(address: string): Promise<Uint8Array> {
  const response = await fetch(address, { signal: AbortSignal.timeout(DOWNLOAD_SECONDS * 1000) });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    if ((size += chunk.length) > LARGEST) throw new Error(`it is larger than ${LARGEST} bytes`);
    chunks.push(chunk);
  }
  return await new Blob(chunks).bytes();
}

/** A picture in grey, row by row. */
export interface GreyPicture {
  /** 0 to 255. */
  readonly pixels: Uint8Array;
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** The same at another size. */
  resized(width: number, height: number): Promise<GreyPicture>;
}

/** Those that are pictures. */
async function pixelsOf(pictures: readonly Picture[]): Promise<GreyPicture[]> {
  const read = await Promise.all(pictures.map(({ bytes }) => greyPixels(bytes).catch(() => undefined)));
  return read.filter((each) => each !== undefined);
}

/** Decodes a picture. @throws When the bytes are none. */
export async function greyPixels(bytes: Uint8Array): Promise<GreyPicture> {
  const { default: sharp } = await import("sharp");
  const read = async (size?: { width: number; height: number }): Promise<GreyPicture> => {
    const opened = sharp(bytes);
    const sized = size ? opened.resize({ ...size, fit: "fill", kernel: "lanczos3" }) : opened;
    const { data, info: { width, height, channels } } = await sized.toColourspace("srgb").removeAlpha().raw()
      .toBuffer({ resolveWithObject: true });
    const pixels = new Uint8Array(width * height);
    // ITU-R 601 in whole numbers, as Pillow's.
    for (let i = 0; i < pixels.length; i++) {
      const at = i * channels;
      const [red, green, blue] = channels < 3 ? [data[at], data[at], data[at]] : [data[at], data[at + 1], data[at + 2]];
      pixels[i] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    }
    return { pixels, width, height, resized: (width, height) => read({ width, height }) };
  };
  return await read();
}

/** Pixels of a window's side. */
const WINDOW = 7;

/** Structural similarity of two pictures at the larger of their sizes; −1 where they are smaller than a window. */
export async function structuralSimilarity(first: GreyPicture, second: GreyPicture): Promise<number> {
  const width = Math.max(first.width, second.width), height = Math.max(first.height, second.height);
  if (width < WINDOW || height < WINDOW) return -1;
  const fitted = async (picture: GreyPicture) =>
    picture.width === width && picture.height === height ? picture : await picture.resized(width, height);
  const { pixels: x } = await fitted(first), { pixels: y } = await fitted(second);
  const count = WINDOW * WINDOW, c1 = (0.01 * 255) ** 2, c2 = (0.03 * 255) ** 2;
  // Sums over the columns of a row of windows: x, y, x², y², xy.
  const columns = Array.from({ length: 5 }, () => new Float64Array(width));
  const add = (row: number, sign: 1 | -1) => {
    for (let i = 0, at = row * width; i < width; i++, at++) {
      const a = x[at], b = y[at];
      columns[0][i] += sign * a;
      columns[1][i] += sign * b;
      columns[2][i] += sign * a * a;
      columns[3][i] += sign * b * b;
      columns[4][i] += sign * a * b;
    }
  };
  let total = 0;
  for (let row = 0; row < height; row++) {
    add(row, 1);
    if (row >= WINDOW) add(row - WINDOW, -1);
    if (row < WINDOW - 1) continue;
    const sums = [0, 0, 0, 0, 0];
    for (let i = 0; i < width; i++) {
      for (let k = 0; k < 5; k++) sums[k] += columns[k][i] - (i >= WINDOW ? columns[k][i - WINDOW] : 0);
      if (i < WINDOW - 1) continue;
      const [mx, my] = [sums[0] / count, sums[1] / count];
      const sample = count / (count - 1);
      const vx = sample * (sums[2] / count - mx * mx), vy = sample * (sums[3] / count - my * my);
      const covariance = sample * (sums[4] / count - mx * my);
      total += ((2 * mx * my + c1) * (2 * covariance + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2));
    }
  }
  return total / ((width - WINDOW + 1) * (height - WINDOW + 1));
}
