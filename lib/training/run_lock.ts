/**
 * Keeps two processes from writing into one run's folder. The system releases the lock when its process ends, however
 * that happens, so a lock is never left behind; within one process a folder may be opened again.
 */
import { join } from "node:path";
import { UserError } from "../files/user_error.ts";

const held = new Map<string, { file: Deno.FsFile; users: number }>();

/**
 * Takes the lock of an existing folder until the result is disposed.
 *
 * @throws {UserError} if another process holds it.
 */
export async function lockRun(folder: string): Promise<Disposable> {
  const key = await Deno.realPath(folder);
  let lock = held.get(key);
  if (lock === undefined) {
    lock = { file: await takeLock(folder), users: 0 };
    held.set(key, lock);
  }
  lock.users++;
  let released = false;
  return {
    [Symbol.dispose]() {
      if (released) return;
      released = true;
      if (--lock.users > 0) return;
      held.delete(key);
      lock.file.close();
    },
  };
}

async function takeLock(folder: string): Promise<Deno.FsFile> {
  const file = await Deno.open(join(folder, ".lock"), { write: true, create: true });
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
