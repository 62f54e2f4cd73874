/** Reading ranges of a file: the one place where files are opened for reading, so that all say the same when they cannot. */
import { breather } from "../base/breather.ts";
import { checkIsFile } from "./plain_file.ts";
import { UserError } from "../base/user_error.ts";

/** Bytes asked of the system at once: after that much at most, Ctrl-C and timers may have their turn. */
const READ_BYTES = 2 ** 22;

/** An open file of known size. */
export interface RandomAccessFile extends Disposable {
  /** As it was opened, for error messages. */
  readonly path: string;
  /** Bytes, when it was opened. */
  readonly size: number;
  /** Bytes [offset, offset + length), in a buffer of their own. One read at a time goes to the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Fills `bytes` with the file's from `offset` on: memory that can be used again for the next piece. */
  readInto(offset: number, bytes: Uint8Array): Promise<void>;
  /** Closes the file; doing so again does nothing. */
  close(): void;
}

/**
 * Opens a file for reading.
 *
 * @throws {UserError} if there is no such file or it may not be read.
 */
export async function openRandomAccess(path: string): Promise<RandomAccessFile> {
  let file: Deno.FsFile;
  let size: number;
  try {
    await checkIsFile(path);
    file = await Deno.open(path, { read: true });
    try {
      size = (await file.stat()).size;
    } catch (error) {
      file.close();
      throw error;
    }
  } catch (error) {
    throw cannotRead(path, error);
  }
  let closed = false;
  // A seek and the reads after it belong together: calls queue up behind one another.
  let queue: Promise<unknown> = Promise.resolve();
  const breathe = breather();

  async function readNow(offset: number, length: number, bytes?: Uint8Array): Promise<Uint8Array> {
    if (offset < 0 || length < 0 || offset + length > size) {
      throw new UserError(
        `${path} is truncated: it has ${size} bytes where ${length} are needed from byte ${offset} on`,
      );
    }
    bytes ??= allocate(path, length);
    // On this thread: Deno's asynchronous reads go to threads of its own, which keep memory that large files add up in (0.3 to
    // 0.6 GB when 3 GB of weights were loaded).
    file.seekSync(offset, Deno.SeekMode.Start);
    for (let done = 0; done < length;) {
      const n = file.readSync(bytes.subarray(done, done + READ_BYTES));
      if (n === null) throw new UserError(`${path} became shorter while it was read`);
      done += n;
      await breathe();
    }
    return bytes;
  }

  function close(): void {
    if (!closed) file.close();
    closed = true;
  }

  function enqueue(offset: number, length: number, bytes?: Uint8Array): Promise<Uint8Array> {
    if (closed) return Promise.reject(new Error(`cannot read ${path}: it has been closed`));
    const result = queue.then(() => readNow(offset, length, bytes));
    queue = result.catch(() => {});
    return result;
  }

  return {
    path,
    size,
    read: (offset, length) => enqueue(offset, length),
    readInto: async (offset, bytes) => void await enqueue(offset, bytes.length, bytes),
    close,
    [Symbol.dispose]: close,
  };
}

/**
 * Memory for what a file holds.
 *
 * @throws {UserError} if the machine does not have that much.
 */
export function allocate(path: string, length: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UserError(`cannot read ${path}: ${length} bytes at once do not fit into this machine's memory`);
  }
}

/** The one-line error for a file or folder that the system will not give us. */
export function cannotRead(path: string, error: unknown): UserError {
  if (error instanceof Deno.errors.NotFound) return new UserError(`cannot read ${path}: no such file`);
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return new UserError(`cannot read ${path}: permission denied`);
  }
  return new UserError(`cannot read ${path}: ${(error as Error).message}`);
}
