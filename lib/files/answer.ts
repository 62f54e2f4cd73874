/** Reading what a server answers, no more of it than is wanted: a short answer can expand without end on the way. */
import { UserError } from "./user_error.ts";

/**
 * All bytes of an answer.
 *
 * @throws {UserError} When there are more than `limit`.
 */
export async function readAnswer(response: Response, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const piece of response.body ?? []) {
    size += piece.length;
    if (size > limit) {
      throw new UserError(`${response.url || "an archive"} has more than the ${limit} bytes that are read`);
    }
    pieces.push(piece);
  }
  return await new Blob(pieces).bytes();
}
