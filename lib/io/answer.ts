/**
 * Reading what a server answers or is sent, no more of it than is wanted: a short answer can expand without end on the way, and
 * nobody keeps a request from being long.
 */
import { UserError } from "../base/user_error.ts";

/**
 * All bytes of an answer.
 *
 * @throws {UserError} When there are more than `limit`.
 */
export async function readAnswer(response: Response, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await readAtMost(response.body, limit);
  if (bytes) return bytes;
  throw new UserError(`${response.url || "an archive"} has more than the ${limit} bytes that are read`);
}

/** All bytes of a request's body; undefined where it has more than `limit`, or says so. */
export async function readRequest(request: Request, limit: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (Number(request.headers.get("content-length")) > limit) return undefined;
  return await readAtMost(request.body, limit);
}

async function readAtMost(
  stream: ReadableStream<Uint8Array<ArrayBuffer>> | null,
  limit: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const piece of stream ?? []) {
    size += piece.length;
    if (size > limit) return undefined;
    pieces.push(piece);
  }
  return await new Blob(pieces).bytes();
}
