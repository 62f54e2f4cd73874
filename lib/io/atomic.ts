/**
 * Files that are either the old one or the new one, never something between: written beside their target, synced,
 * renamed over it, and the folder synced. A crash, a full disk or an exception leaves the old file as it was.
 *
 * Not here: several files that must change together. That is what `lib/runs/checkpoint.ts` does with a folder.
 */
import process from "node:process";
import { basename, dirname, join } from "node:path";
import { cannotWrite } from "../base/disk_error.ts";

/** A file being written beside its target. Bytes go to its end; the target appears when the writing function returns. */
export interface AtomicSink {
  /** Appends all of `bytes`. */
  write(bytes: Uint8Array): Promise<void>;
  /** Bytes written so far. */
  readonly size: number;
}

/** Paths that this process is writing right now: a leftover may carry our own process id after a restart. */
const live = new Set<string>();
let counter = 0;

/**
 * Writes `data` to `path` (strings as UTF-8) so that the file is never seen half-written.
 *
 * @throws {Deno.errors.NotFound} When there is no such folder.
 * @throws {DiskError} When the system refuses; the file that was there before is then unchanged.
 */
export async function writeFileAtomic(path: string, data: Uint8Array | string): Promise<void> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  await writeFileAtomicWith(path, (sink) => sink.write(bytes));
}

/** Like {@linkcode writeFileAtomic} for content that is produced piece by piece. */
export async function writeFileAtomicWith(path: string, produce: (sink: AtomicSink) => Promise<void>): Promise<void> {
  const folder = dirname(path);
  using aside = claimAside(path);
  try {
    await removeLeftovers(folder, (target) => target === basename(path));
    await writeFileSynced(aside.path, produce);
    await Deno.rename(aside.path, path);
    await syncFolder(folder);
  } catch (error) {
    await Deno.remove(aside.path).catch(() => {});
    throw cannotWrite(path, error);
  }
}

/**
 * A name beside `path` for a file or folder that is to become `path`. Until it is disposed, {@linkcode removeLeftovers}
 * leaves what has this name alone; afterwards, or when this process has died, it is a leftover.
 */
export function claimAside(path: string): { path: string } & Disposable {
  const aside = join(dirname(path), `.${basename(path)}.${Deno.pid}-${counter++}.partial`);
  live.add(aside);
  return { path: aside, [Symbol.dispose]: () => void live.delete(aside) };
}

/** Removes what dead writers left in `folder` on their way to the targets chosen; writers that still run keep theirs. */
export async function removeLeftovers(folder: string, isTarget: (basename: string) => boolean): Promise<void> {
  for await (const entry of Deno.readDir(folder)) {
    const match = /^\.(.+)\.(\d+)-\d+\.partial$/.exec(entry.name);
    if (match === null || !isTarget(match[1])) continue;
    const leftover = join(folder, entry.name);
    const pid = Number(match[2]);
    const inUse = pid === Deno.pid ? live.has(leftover) : isProcessAlive(pid);
    // What cannot be removed now is harmless and is tried again next time.
    if (!inUse) await Deno.remove(leftover, { recursive: true }).catch(() => {});
  }
}

/**
 * Creates the new file `path`, lets `produce` fill it, and returns when its bytes are on the disk. Not atomic: for files
 * inside a folder that is renamed as a whole.
 *
 * @throws if the file exists already, or whatever the file system reports.
 */
export async function writeFileSynced(path: string, produce: (sink: AtomicSink) => Promise<void>): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  let size = 0;
  await produce({
    async write(bytes) {
      // One system call may take less than it is given.
      for (let done = 0; done < bytes.length;) {
        const n = await file.write(bytes.subarray(done));
        if (n === 0) throw new Error(`cannot write to ${path}: the file system took none of ${bytes.length} bytes`);
        done += n;
      }
      size += bytes.length;
    },
    get size() {
      return size;
    },
  });
  await file.sync();
}

/** Makes renames and removals inside `folder` durable. Windows has no such call and needs none. */
export async function syncFolder(folder: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using handle = await Deno.open(folder, { read: true });
  await handle.sync();
}

/** Whether a process of this id runs on this machine. */
function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, but belongs to someone else.
    return (error as { code?: string }).code === "EPERM";
  }
}
