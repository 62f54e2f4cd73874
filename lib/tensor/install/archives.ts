/**
 * What `tfjs_node.ts` takes from npm: a tarball, unpacked.
 */
import { dirname, join, normalize } from "node:path";
import { readAnswer } from "../../io/answer.ts";
import { UserError } from "../../base/user_error.ts";

/** What an npm package may be when it is unpacked; the largest wanted has 4 MB. */
const MAX_BYTES = 2 ** 27;

/**
 * Unpacks a gzipped npm tarball; the archive's first folder is left away.
 *
 * @throws {UserError} When it is damaged, holds a path that leads out of the folder, or expands to more than 128 MiB.
 */
export async function unpackTarball(archive: Uint8Array<ArrayBuffer>, folder: string): Promise<void> {
  const stream = new Blob([archive]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = await readAnswer(new Response(stream), MAX_BYTES).catch((error) => {
    throw error instanceof UserError ? error : new UserError(`a tarball cannot be expanded: ${error.message}`);
  });
  const text = (at: number, length: number) =>
    new TextDecoder().decode(bytes.subarray(at, at + length)).replace(/\0.*$/s, "");
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0;) {
    const size = parseInt(text(at + 124, 12).trim() || "0", 8);
    if (!(size >= 0 && at + 512 + size <= bytes.length)) throw new UserError("a tarball is damaged or cut off");
    const prefix = text(at + 345, 155), name = (prefix ? `${prefix}/` : "") + text(at, 100);
    const type = text(at + 156, 1);
    const path = normalize(name.split("/").slice(1).join("/"));
    if (path.startsWith("..") || path.startsWith("/")) {
      throw new UserError(`an archive holds the path ${JSON.stringify(name)}`);
    }
    if (type === "0" || type === "") {
      await Deno.mkdir(dirname(join(folder, path)), { recursive: true });
      await Deno.writeFile(join(folder, path), bytes.subarray(at + 512, at + 512 + size));
    }
    at += 512 + 512 * Math.ceil(size / 512);
  }
}
