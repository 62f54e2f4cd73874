/**
 * Keeps two processes from writing into one run's folder. The system releases the lock when its process ends, however
 * that happens, so a lock is never left behind; within one process a folder may be opened again.
 *
 * A lock is a file that is held open, and its name can be taken from it: the folder is removed or renamed, or the file is
 * removed and another process makes a new one. {@linkcode RunLock.check} notices.
 */
import { join, resolve } from "node:path";
import { cannotWrite } from "../base/disk_error.ts";
import { isNameOf } from "../io/plain_file.ts";
import { UserError } from "../base/user_error.ts";

/** Holds a folder until it is disposed. */
export interface RunLock extends Disposable {
  /** @throws {UserError} If the folder is gone, or others may write to it. */
  check(): void;
}

const FILE = ".lock";
const held = new Map<string, { file: Deno.FsFile; users: number }>();

/**
 * Takes the lock of an existing folder until the result is disposed.
 *
 * @throws {UserError} if another process holds it, or the folder cannot be written to.
 */
export async function lockRun(folder: string): Promise<RunLock> {
  const key = await Deno.realPath(folder), path = resolve(folder, FILE);
  let lock = held.get(key);
  if (lock === undefined || !isNameOf(path, lock.file)) {
    lock = { file: await takeLock(folder), users: 0 };
    held.set(key, lock);
  }
  const { file } = lock;
  lock.users++;
  let released = false;
  return {
    check() {
      if (isNameOf(path, file)) return;
      throw new UserError(
        isFolder(folder)
          ? `${
            join(folder, FILE)
          } was removed or replaced, so that others may write to this folder: nothing more is written`
          : `the folder ${folder} is not there any more: it was removed or renamed, and nothing more is written (a renamed ` +
            `run goes on from its last checkpoint with --resume --out NEW-NAME)`,
      );
    },
    [Symbol.dispose]() {
      if (released) return;
      released = true;
      if (--lock.users > 0) return;
      if (held.get(key) === lock) held.delete(key);
      file.close();
    },
  };
}

async function takeLock(folder: string): Promise<Deno.FsFile> {
  const path = join(folder, FILE);
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path, { write: true, create: true });
  } catch (error) {
    throw cannotWrite(path, error);
  }
  let taken: boolean;
  try {
    taken = await file.tryLock(true);
  } catch {
    // A file system without locks: better an unguarded run than none.
    taken = true;
  }
  if (!taken) {
    file.close();
    throw new UserError(`${folder} is in use by another process: wait for it or stop it, or choose another --out`);
  }
  return file;
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
