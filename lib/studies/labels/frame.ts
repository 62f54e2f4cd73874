/** Frames that people judge: PNG files below their items' file. What a link leads to elsewhere is nothing that a page may show. */
import { isAbsolute, join, relative, sep } from "node:path";
import { cannotRead, openRandomAccess, type RandomAccessFile } from "../../io/random_access.ts";
import { UserError } from "../../base/user_error.ts";
import { PNG_HEAD_BYTES, pngSize } from "../../report/png.ts";

/** Bytes of a frame at most, and pixels: more than a camera takes, and less than stops a browser. */
const MOST_BYTES = 2 ** 26, MOST_PIXELS = 2 ** 26;

/**
 * Opens a frame.
 *
 * @param folder The items'.
 * @param frame Its path in there.
 * @throws {UserError} When there is none, links lead out of the folder, or it is no PNG that a page can show.
 */
export async function openFrame(folder: string, frame: string): Promise<RandomAccessFile> {
  const path = join(folder, frame);
  let target: string, way: string;
  try {
    target = await Deno.realPath(path);
    way = relative(await Deno.realPath(folder), target);
  } catch (error) {
    throw error instanceof Deno.errors.NotFound ? new UserError(`there is no frame ${path}`) : cannotRead(path, error);
  }
  if (way === ".." || way.startsWith(`..${sep}`) || isAbsolute(way)) {
    throw new UserError(`the frame ${path} leads to ${target}, out of the items' folder: put the picture itself there`);
  }
  const file = await openRandomAccess(target);
  try {
    if (file.size > MOST_BYTES) {
      throw new UserError(`the frame ${path} has ${file.size} bytes, more than the ${MOST_BYTES} that are shown`);
    }
    const size = pngSize(await file.read(0, Math.min(file.size, PNG_HEAD_BYTES)));
    if (!size) throw new UserError(`the frame ${path} is no PNG`);
    if (size.height * size.width > MOST_PIXELS) {
      throw new UserError(
        `the frame ${path} has ${size.height} × ${size.width} pixels, more than the ${MOST_PIXELS} that are shown`,
      );
    }
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}
