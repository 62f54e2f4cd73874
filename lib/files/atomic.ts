/**
 * Files that are either the old one or the new one, never something between: written beside their target, synced,
 * renamed over it, and the folder synced. A crash, a full disk or an exception leaves the old file as it was.
 *
 * Not here: several files that must change together. That is what `lib/training/checkpoint.ts` does with a folder.
 */
import process from "node:process";
import { basename, dirname, join } from "node:path";

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
 * @throws whatever the file system reports; the file that was there before is then unchanged.
 */
export async function writeFileAtomic(path: string, data: Uint8Array | string): Promise<void> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  await writeFileAtomicWith(path, (sink) => sink.write(bytes));
}

/** Like {@linkcode writeFileAtomic} for content that is produced piece by piece. */
export async function writeFileAtomicWith(path: string, produce: (sink: AtomicSink) => Promise<void>): Promise<void> {
  const folder = dirname(path);
  await removeLeftovers(path);
  const aside = join(folder, `.${basename(path)}.${Deno.pid}-${counter++}.partial`);
  live.add(aside);
  try {
    await writeFileSynced(aside, produce);
    await Deno.rename(aside, path);
  } catch (error) {
    await Deno.remove(aside).catch(() => {});
    throw error;
  } finally {
    live.delete(aside);
  }
  await syncFolder(folder);
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
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, but belongs to someone else.
    return (error as { code?: string }).code === "EPERM";
  }
}

/** Removes what killed writers of `path` left beside it; a writer that still runs is left alone. */
async function removeLeftovers(path: string): Promise<void> {
  const folder = dirname(path);
  const prefix = `.${basename(path)}.`;
  for await (const entry of Deno.readDir(folder)) {
    if (!entry.isFile || !entry.name.startsWith(prefix)) continue;
    const match = /^(\d+)-\d+\.partial$/.exec(entry.name.slice(prefix.length));
    if (match === null) continue;
    const leftover = join(folder, entry.name);
    const pid = Number(match[1]);
    const inUse = pid === Deno.pid ? live.has(leftover) : isProcessAlive(pid);
    if (!inUse) await Deno.remove(leftover).catch(() => {});
  }
}
