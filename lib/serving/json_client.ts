/**
 * Requests to an HTTP server that speaks JSON, tried again where that can help.
 *
 * Tried again: 408, 429, 5xx, refused and cut connections, time-outs, answers that a check of the caller's refuses; after
 * waits that double, or as long as `Retry-After` says. Everything else is one clear line with the server's own words. What is
 * asked is the callers' affair.
 *
 * A server is not trusted with more than the question: an answer is read as far as its question allows and no further (what
 * is counted is what a compressed one expands to), its time limit holds to the last byte, no redirect leads to another host,
 * and a key that it sends back is not shown.
 */
import { readAnswer } from "../io/answer.ts";
import { UserError, visible } from "../base/user_error.ts";

/** Options of a {@linkcode JsonClient}. */
export interface JsonClientOptions {
  /** Sent as `Authorization: Bearer …`. */
  apiKey?: string;
  /** Sent with each request, such as another way to say who asks; what names say is for that is kept as secret as the key. */
  headers?: Record<string, string>;
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

/** A question to a {@linkcode JsonClient}. */
export interface JsonRequest {
  /** Sent as JSON by POST; without one it is a GET. */
  body?: unknown;
  /** Bytes of the answer at most; 16 MiB when left out. */
  maxBytes?: number;
  /** Ends this request. */
  signal?: AbortSignal;
}

/** Bytes of an answer of which nothing is known. */
const LARGEST_ANSWER = 16 << 20;
/** Bytes of a refusal that are read: enough for its words. */
const LARGEST_REFUSAL = 1 << 20;
/** Levels of an answer's lists and objects. */
const DEEPEST = 100;
/** Redirects that are followed, within the host. */
const MOST_REDIRECTS = 8;
/** Longest wait that the doubling reaches. */
const LONGEST_BACKOFF = 30;
/** Longest wait that a server may ask for. */
const LONGEST_ASKED = 120;
/** Characters of the server's words that a message quotes. */
const QUOTED = 300;
/** Characters of a key at least; what is shorter (`EMPTY`, for servers without keys) is no secret but may be a word. */
const SHORTEST_KEY = 8;

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

/** Asks one server that speaks JSON. */
export class JsonClient {
  /** Tries beyond the first, of all requests so far. */
  retries = 0;
  /** The address that paths are added to. */
  readonly base: string;
  readonly #options: JsonClientOptions;

  /**
   * Nothing is sent yet.
   *
   * @param base `http://host:port/path`; what comes after the path (a query, a fragment) and a name with a password are left out.
   * @throws {UserError} When that is no HTTP address, or the key can be none.
   * @throws {RangeError} When an option is out of its range.
   */
  constructor(base: string, options: JsonClientOptions = {}) {
    const url = URL.parse(base);
    if (!url || !["http:", "https:"].includes(url.protocol)) {
      throw new UserError(`${JSON.stringify(base)} is no server's address: write it like http://localhost:8000`);
    }
    this.base = `${url.origin}${url.pathname}`.replace(/\/+$/, "");
    const { retries = 5, timeoutSeconds = 600, backoffSeconds = 0.5, apiKey = "" } = options;
    if (!/^[!-~]*$/.test(apiKey)) {
      throw new UserError(
        `the key for ${this.base} has characters that a key cannot have: look for spaces and line breaks in it`,
      );
    }
    if (!(Number.isInteger(retries) && retries >= 0)) {
      throw new RangeError(`retries must be a whole number of at least 0: received ${retries}`);
    }
    for (const [name, value] of Object.entries({ timeoutSeconds, backoffSeconds })) {
      if (!(Number.isFinite(value) && value > 0)) throw new RangeError(`${name} must be above 0: received ${value}`);
    }
    this.#options = options;
  }

  /**
   * Asks, and gives the answer's text, in which the key is left out.
   *
   * @throws {RefusedError} When the server refuses.
   * @throws {UserError} When it cannot be reached or keeps failing.
   */
  async text(path: string, request: JsonRequest = {}): Promise<string> {
    const { retries = 5, backoffSeconds = 0.5 } = this.#options;
    const place = `${this.base}${path}`;
    const signals = [this.#options.signal, request.signal].filter((each) => each !== undefined);
    for (let attempt = 0;; attempt++) {
      const tried = await this.#try(path, request, signals);
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
  async json(path: string, request: JsonRequest = {}): Promise<unknown> {
    const text = await this.text(path, request);
    try {
      return parseShallow(text);
    } catch {
      throw new UserError(`${this.base}${path}: the server's answer is not JSON: ${quoted(text)}`);
    }
  }

  async #try(
    path: string,
    { body, maxBytes = LARGEST_ANSWER }: JsonRequest,
    signals: readonly AbortSignal[],
  ): Promise<{ text: string } | { problem: string; wait?: number }> {
    const { timeoutSeconds = 600, check } = this.#options;
    const place = `${this.base}${path}`;
    signals.forEach((each) => each.throwIfAborted());
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), timeoutSeconds * 1000);
    try {
      const response = await this.#send(place, body, AbortSignal.any([deadline.signal, ...signals]));
      const text = this.#withoutKey(await decoded(response, maxBytes));
      if (response.ok) {
        const wrong = check?.(path, text);
        return wrong === undefined ? { text } : { problem: visible(wrong) };
      }
      const { status } = response, words = serverWords(text);
      const isPassing = status === 408 || status === 429 || (status >= 500 && status !== 501);
      if (!isPassing) throw new RefusedError(place, status, words);
      return { problem: `the server answered ${status}: ${words}`, wait: retryAfter(response) };
    } catch (error) {
      if (error instanceof UserError) throw error;
      signals.forEach((each) => each.throwIfAborted());
      if (deadline.signal.aborted) return { problem: `no answer within ${timeoutSeconds} s` };
      return { problem: this.#withoutKey(quoted(messages(error).join(": "))) };
    } finally {
      clearTimeout(timer);
      // What is not read any more is not sent any more.
      deadline.abort();
    }
  }

  /** Sends a request, and again where the same host says that it belongs: the question and the key go nowhere else. */
  async #send(place: string, body: unknown, signal: AbortSignal): Promise<Response> {
    const { apiKey } = this.#options;
    const headers: Record<string, string> = { accept: "application/json", ...this.#options.headers };
    if (apiKey) headers.authorization = `Bearer ${apiKey}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    const init: RequestInit = {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      redirect: "manual",
      signal,
    };
    let url = place;
    for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
      const response = await fetch(url, init);
      const target = response.headers.get("location");
      if (![301, 302, 303, 307, 308].includes(response.status) || target === null) return response;
      await response.body?.cancel();
      const next = URL.parse(target, url), { hostname, port, protocol } = new URL(url);
      // From http to https is the same host on a safer way; any other change is another server.
      const isSame = next?.hostname === hostname &&
        (next.protocol === protocol ? next.port === port : next.protocol === "https:" && next.port === "");
      if (!isSame) {
        throw new UserError(
          `${place}: the server redirects to ${
            quoted(this.#withoutKey(next?.href ?? target))
          }, another host, which is not ` +
            "followed: give that address where it is meant",
        );
      }
      // What browsers and other clients make a GET of: the question would be lost.
      if (body !== undefined && ![307, 308].includes(response.status)) {
        throw new UserError(
          `${place}: the server redirects to ${
            quoted(this.#withoutKey(next.href))
          } (${response.status}): give that address`,
        );
      }
      url = next.href;
    }
    throw new UserError(
      `${place}: more than ${MOST_REDIRECTS} redirects, the last to ${quoted(this.#withoutKey(url))}`,
    );
  }

  #withoutKey(text: string): string {
    const { apiKey = "", headers = {} } = this.#options;
    const named = Object.entries(headers).filter(([name]) => /auth|key|token|cookie|secret/i.test(name));
    const secrets = [apiKey, ...named.map(([, value]) => value)].filter((each) => each.length >= SHORTEST_KEY);
    return secrets.reduce((left, secret) => left.replaceAll(secret, "[key]"), text);
  }
}

/** The text of an answer, or of a refusal as far as that is wanted. @throws {UserError} When an answer has more bytes. */
async function decoded(response: Response, maxBytes: number): Promise<string> {
  try {
    return new TextDecoder().decode(await readAnswer(response, response.ok ? maxBytes : LARGEST_REFUSAL));
  } catch (error) {
    if (error instanceof UserError && !response.ok) return `more than ${LARGEST_REFUSAL} bytes`;
    throw error;
  }
}

/**
 * Parses JSON that is at most {@linkcode DEEPEST} levels deep: a megabyte of brackets would cost a hundred of memory, and stops
 * whatever walks through it.
 *
 * @throws {SyntaxError} When it is deeper, or no JSON.
 */
export function parseShallow(text: string): unknown {
  let depth = 0, isInString = false;
  for (let at = 0; at < text.length; at++) {
    const c = text[at];
    if (isInString) {
      if (c === "\\") at++;
      else if (c === '"') isInString = false;
    } else if (c === '"') isInString = true;
    else if (c === "]" || c === "}") depth--;
    else if ((c === "[" || c === "{") && ++depth > DEEPEST) {
      throw new SyntaxError(`nested deeper than ${DEEPEST} levels`);
    }
  }
  return JSON.parse(text);
}

/** An address of OpenAI's interface without what its paths begin with: `http://host:port` of `http://host:port/v1/`. */
export function withoutVersion(base: string): string {
  return base.replace(/\/+$/, "").replace(/\/v1(\/(chat\/)?completions)?$/, "");
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
    // deno-lint-ignore no-explicit-any
    const json = parseShallow(text) as any;
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

/** One line, not too long, with nothing in it that a terminal obeys. */
function quoted(text: string): string {
  const line = visible(text.replace(/\s+/g, " ").trim());
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
