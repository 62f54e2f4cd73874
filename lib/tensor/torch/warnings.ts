/**
 * Keeping LibTorch from printing a warning that does not apply.
 *
 * A backward pass that records itself warns of a cycle between a parameter and its gradient, once a process, on standard
 * error. Here gradients are taken away from their parameters at once, so that no cycle stays.
 */
import { permanent } from "./dispatcher.ts";
import type { Library } from "./symbols.ts";

/** Address of a `c10::WarningHandler` whose every method does nothing; made once. */
let silent: bigint | undefined;

function silentHandler(library: Library): bigint {
  if (silent === undefined) {
    // An object with virtual functions is a pointer to their table: two destructors and `process`, by the C++ ABI of Linux and macOS.
    const nothing = BigInt(Deno.UnsafePointer.value(library.torch.doesNothing));
    const table = permanent(new Uint8Array(new BigUint64Array(new Array<bigint>(8).fill(nothing)).buffer));
    silent = permanent(new Uint8Array(new BigUint64Array([table, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]).buffer));
  }
  return silent;
}

/** Runs `run` without warnings from LibTorch on this thread, where that can be arranged. */
export function withoutWarnings(library: Library, run: () => void): void {
  const { c10 } = library;
  const get = c10._ZN3c1012WarningUtils19get_warning_handlerEv;
  const set = c10._ZN3c1012WarningUtils19set_warning_handlerEPNS_14WarningHandlerE;
  if (!get || !set) return run();
  const before = get();
  set(silentHandler(library));
  try {
    run();
  } finally {
    set(before);
  }
}
