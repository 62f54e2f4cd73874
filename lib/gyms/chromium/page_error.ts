/** What goes wrong with a browser or with a page, told apart from what goes wrong with this program. */

/** A page that is gone or does not answer. */
export class PageError extends Error {
  /** `PageError`. */
  override readonly name = "PageError";
}

/**
 * Whether an error is the browser's or a page's. Errors of the driver begin with the name of the call: `page.goto: net::ERR_FAILED …`.
 */
export function isBrowserError(error: unknown): error is Error {
  return error instanceof PageError || error instanceof Error && /^[a-z]\w*\.\w+: /.test(error.message);
}

/** What such an error says, on one line, without the driver's own words. */
export function reasonOf(error: Error): string {
  const [line] = error.message.replace(/^[a-z]\w*\.\w+: /, "").split("\n");
  return line.replace(/^Protocol error \([\w.]+\): /, "").replace(/^Timeout (\d+)ms exceeded\.?/, "no answer for $1 ms")
    .trim();
}

/** The value of a promise, or what `late` makes of it once so many milliseconds are over; what comes after that is nobody's business. */
export async function within<T>(promise: Promise<T>, milliseconds: number, late: () => Error): Promise<T> {
  const { promise: tooLate, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(late()), milliseconds);
  promise.catch(() => {});
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
