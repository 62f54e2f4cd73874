/**
 * Requests to an HTTP server that speaks JSON, tried again where that can help.
 *
 * Tried again: 408, 429, 5xx, refused and cut connections, time-outs, answers that a check of the caller's refuses; after
 * waits that double, or as long as `Retry-After` says. Everything else is one clear line with the server's own words. What is asked is `completions_client.ts`' affair.
 */
import { UserError } from "../files/user_error.ts";

/** Options of a {@linkcode JsonServer}. */
export interface JsonServerOptions {
  /** Sent as `Authorization: Bearer …`. */
  apiKey?: string;
  /** Seconds that one try may take, to the last byte of the answer; 600 when left out. */
  timeoutSeconds?: number;
  /** Tries after the first; 5 when left out. */
  retries?: number;
  /** Seconds before the second try; doubled for each that follows, at most 30. 0.5 when left out. */
  backoffSeconds?: number;
  /** Told why something is tried again, in one line. */
  onRetry?: (note: string) => void;
  /** Says in a few words what is wrong with an answer of status 200, which is then tried again; undefined: nothing. */
  check?: (path: string, text: string) => string | undefined;
  /** Ends all requests. */
  signal?: AbortSignal;
}

/** Longest wait that the doubling reaches. */
const LONGEST_BACKOFF = 30;
/** Longest wait that a server may ask for. */
const LONGEST_ASKED = 120;
/** Characters of the server's words that a message quotes. */
const QUOTED = 300;

/** An answer that says no, and will say so again. */
export class RefusedError extends UserError {
  /**
   * An error of one line.
   *
   * @param status Of HTTP.
   * @param words The server's own.
   */
  constructor(place: string, readonly status: number, readonly words: string) {
    super(`${place}: the server answered ${status}: ${words}`);
  }
}

/** A server of JSON. */
export class JsonServer {
  /** Tries beyond the first, of all requests so far. */
  retries = 0;
  readonly #base: string;
  readonly #options: JsonServerOptions;

  /**
   * Nothing is sent yet.
   *
   * @param base `http://host:port`, with or without `/v1`.
   * @throws {UserError} When that is no HTTP address.
   * @throws {RangeError} When an option is out of its range.
   */
  constructor(base: string, options: JsonServerOptions = {}) {
    const url = URL.canParse(base) ? new URL(base) : undefined;
    if (!url || !["http:", "https:"].includes(url.protocol)) {
      throw new UserError(`${JSON.stringify(base)} is no server's address: write it like http://localhost:8000`);
    }
    this.#base = `${url.origin}${url.pathname}`.replace(/\/+$/, "").replace(/\/v1(\/completions)?$/, "");
    const { retries = 5, timeoutSeconds = 600, backoffSeconds = 0.5 } = options;
    if (!(Number.isInteger(retries) && retries >= 0)) {
      throw new RangeError(`retries must be a whole number of at least 0: received ${retries}`);
    }
    for (const [name, value] of Object.entries({ timeoutSeconds, backoffSeconds })) {
      if (!(Number.isFinite(value) && value > 0)) throw new RangeError(`${name} must be above 0: received ${value}`);
    }
    this.#options = options;
  }

  /**
   * Asks, and gives the answer's text.
   *
   * @param body Sent as JSON by POST; without one it is a GET.
   * @param signal Ends this request.
   * @throws {RefusedError} When the server refuses.
   * @throws {UserError} When it cannot be reached or keeps failing.
   */
  async text(path: string, body?: unknown, signal?: AbortSignal): Promise<string> {
    const { retries = 5, backoffSeconds = 0.5 } = this.#options;
    const place = `${this.#base}${path}`;
    const signals = [this.#options.signal, signal].filter((each) => each !== undefined);
    for (let attempt = 0;; attempt++) {
      const tried = await this.#try(path, body, signals);
      if ("text" in tried) return tried.text;
      if (attempt === retries) {
        throw new UserError(
          `${place}: gave up after ${attempt + 1} ${attempt === 0 ? "try" : "tries"}: ${tried.problem}`,
        );
      }
      const wait = tried.wait === undefined
        ? Math.min(backoffSeconds * 2 ** attempt, LONGEST_BACKOFF)
        : Math.min(tried.wait, LONGEST_ASKED);
      this.retries++;
      this.#options.onRetry?.(`${place}: ${tried.problem}; trying again in ${wait} s`);
      await delay(wait * 1000, signals);
    }
  }

  /** Like {@linkcode text}, read as JSON. @throws {UserError} Also when the answer is something else. */
  async json(path: string, body?: unknown, signal?: AbortSignal): Promise<unknown> {
    const text = await this.text(path, body, signal);
    try {
      return JSON.parse(text);
    } catch {
      throw new UserError(`${this.#base}${path}: the server's answer is not JSON: ${quoted(text)}`);
    }
  }

  async #try(
    path: string,
    body: unknown,
    signals: readonly AbortSignal[],
  ): Promise<{ text: string } | { problem: string; wait?: number }> {
    const { apiKey, timeoutSeconds = 600, check } = this.#options;
    const place = `${this.#base}${path}`;
    signals.forEach((each) => each.throwIfAborted());
    const headers: Record<string, string> = { accept: "application/json" };
    if (apiKey) headers.authorization = `Bearer ${apiKey}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), timeoutSeconds * 1000);
    try {
      const response = await fetch(place, {
        method: body === undefined ? "GET" : "POST",
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.any([deadline.signal, ...signals]),
      });
      const text = await response.text();
      if (response.ok) {
        const wrong = check?.(path, text);
        return wrong === undefined ? { text } : { problem: wrong };
      }
      const { status } = response, words = serverWords(text);
      const isPassing = status === 408 || status === 429 || (status >= 500 && status !== 501);
      if (!isPassing) throw new RefusedError(place, status, words);
      return { problem: `the server answered ${status}: ${words}`, wait: retryAfter(response) };
    } catch (error) {
      if (error instanceof RefusedError) throw error;
      signals.forEach((each) => each.throwIfAborted());
      if (deadline.signal.aborted) return { problem: `no answer within ${timeoutSeconds} s` };
      return { problem: quoted(messages(error).join(": ")) };
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Seconds that the server asks to wait: a number of them, or a date. */
function retryAfter(response: Response): number | undefined {
  const text = response.headers.get("retry-after");
  if (text === null) return undefined;
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}

/** What an error's body says: the message where it is JSON as servers write it, or the text. */
function serverWords(text: string): string {
  try {
    const json = JSON.parse(text);
    const said = json?.error?.message ?? json?.message ?? json?.detail ?? json?.error;
    if (said !== undefined && said !== null) return quoted(typeof said === "string" ? said : JSON.stringify(said));
  } catch {
    // Not JSON: the text itself.
  }
  return quoted(text);
}

/** An error's message and those of its causes: the last says what happened to the connection. */
function messages(error: unknown): string[] {
  return error instanceof Error ? [error.message, ...messages(error.cause)] : [];
}

/** One line, not too long. */
function quoted(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line === "" ? "(nothing)" : line.length > QUOTED ? `${line.slice(0, QUOTED)}…` : line;
}

function delay(milliseconds: number, signals: readonly AbortSignal[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const signal = AbortSignal.any([...signals]);
  const timer = setTimeout(done, milliseconds);
  function done() {
    signal.removeEventListener("abort", stop);
    resolve();
  }
  function stop() {
    clearTimeout(timer);
    reject(signal.reason);
  }
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  return promise;
}
