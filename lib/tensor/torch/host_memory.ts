/**
 * Keeps glibc from giving large blocks back to the operating system each time a tensor on the CPU is freed.
 *
 * By default glibc maps large allocations one by one and unmaps them when they are freed, or trims its heap: a chain of
 * operators over tensors of some megabytes then spends more time on page faults (the kernel clears every page anew) than on
 * arithmetic. PyTorch's own processes escape this only by chance. With higher bounds what was freed is used again; a process
 * never holds more than at its peak, plus what the heap's gaps cost.
 */

/** `mallopt` parameters of glibc's malloc.h. */
const M_TRIM_THRESHOLD = -1, M_MMAP_THRESHOLD = -3;
/** Blocks from this size on are still mapped and unmapped one by one. */
const LARGEST_REUSED = 256 * 2 ** 20;
/** What older glibc accepts at most. */
const LARGEST_REUSED_BEFORE = 32 * 2 ** 20;
/** Free bytes at the end of the heap that are kept. */
const KEPT = 1024 * 2 ** 20;

let isDone = false;

/** Raises glibc's bounds, once a process; does nothing where the C library is another, or the user has set them. */
export function reuseFreedMemory(): void {
  if (isDone) return;
  isDone = true;
  if (Deno.build.os !== "linux") return;
  const isSetByUser = ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"]
    .some((name) => Deno.env.get(name) !== undefined);
  if (isSetByUser) return;
  try {
    const { mallopt } = Deno.dlopen("libc.so.6", {
      mallopt: { parameters: ["i32", "i32"], result: "i32" },
    }).symbols;
    if (mallopt(M_MMAP_THRESHOLD, LARGEST_REUSED) === 0) mallopt(M_MMAP_THRESHOLD, LARGEST_REUSED_BEFORE);
    mallopt(M_TRIM_THRESHOLD, KEPT);
  } catch { /* Another C library: its own ways are left alone. */ }
}
