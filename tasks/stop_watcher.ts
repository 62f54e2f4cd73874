/// <reference lib="deno.worker" />
/**
 * A worker that hears the signals which ask a command to stop. Training computes on the main thread, inside LibTorch for seconds
 * on end, where no signal is heard; here it is, at once: the first is answered on the terminal and passed on, the second ends
 * the process.
 */
import type { StopWatcherStart } from "./cli.ts";
import { freshLine } from "./fresh_line.ts";

/** One press may arrive twice: from the terminal, and from a program in between that passes it on. */
const SAME_PRESS_MS = 200;

self.onmessage = ({ data: { signals, text } }: MessageEvent<StopWatcherStart>) => {
  let askedAt: number | undefined;
  const listeners = signals.map((signal) => ({ signal, listener: () => onSignal(signal) }));
  const onSignal = (signal: Deno.Signal) => {
    const now = performance.now();
    if (askedAt === undefined) {
      askedAt = now;
      self.postMessage("stop");
      try {
        console.error(freshLine(`\n${text}; press Ctrl-C again to stop at once`));
      } catch { /* nobody is there to read it */ }
    } else if (now - askedAt > SAME_PRESS_MS) {
      // Without a listener the system does with the signal what it does with every program's.
      for (const each of listeners) Deno.removeSignalListener(each.signal, each.listener);
      Deno.kill(Deno.pid, signal);
    }
  };
  for (const { signal, listener } of listeners) Deno.addSignalListener(signal, listener);
  self.postMessage("listening");
};
