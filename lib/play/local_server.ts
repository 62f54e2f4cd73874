/**
 * A server for one's own browser: on this machine's loopback address only, refusing pages of other sites that would like to talk
 * to it, and ending when it is told to. What it serves is up to `play_server.ts` and `label_server.ts`.
 */
import { UserError } from "../files/user_error.ts";
import style from "./page.css" with { type: "text" };

/** A server that runs. */
export interface LocalServer {
  /** `http://127.0.0.1:8000/`. */
  url: string;
  /** Resolves when the server has ended. */
  finished: Promise<void>;
}

/** How a server is started. */
export interface LocalServerOptions {
  /** 0: any that is free. */
  port: number;
  /** Ends the server. */
  signal?: AbortSignal;
}

const LOOPBACK = "127.0.0.1";
/** Names by which a browser knows this machine. */
const LOCAL_NAMES = new Set([LOOPBACK, "localhost", "[::1]"]);

/**
 * Starts a server.
 *
 * @throws {UserError} When the port is taken or not allowed.
 */
export function serveLocally(
  { port, signal }: LocalServerOptions,
  handler: (request: Request) => Response | Promise<Response>,
): LocalServer {
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve({ hostname: LOOPBACK, port, signal, onListen() {}, onError }, (request) => {
      const refused = refuseStranger(request);
      return refused ?? handler(request);
    });
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      throw new UserError(`port ${port} is taken: name another with --port, or leave it out for any that is free`);
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new UserError(`port ${port} is not allowed: name one above 1023 with --port`);
    }
    throw error;
  }
  return { url: `http://${LOOPBACK}:${server.addr.port}/`, finished: server.finished };
}

/** A page, which may run its own scripts, talk to this server and fetch nothing from anywhere else. */
export function pageResponse(html: string): Response {
  const policy =
    "default-src 'none'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; script-src 'unsafe-inline'; " +
    "connect-src 'self'; frame-ancestors 'none'";
  return new Response(html, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": policy,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    },
  });
}

/** The style that the pages share. */
export function styleResponse(): Response {
  return new Response(style, { headers: { "content-type": "text/css; charset=utf-8", "cache-control": "no-store" } });
}

/** A short answer in words. */
export function textResponse(status: number, text: string): Response {
  return new Response(text, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}

/**
 * Any page that is open in the browser can send requests here, and a name of the internet can be made to point here: only
 * requests to a local name, from no page or from our own, are answered.
 */
function refuseStranger(request: Request): Response | undefined {
  const host = request.headers.get("host") ?? "", origin = request.headers.get("origin");
  if (!LOCAL_NAMES.has(host.replace(/:\d+$/, ""))) {
    return textResponse(403, "this server answers to its own machine only");
  }
  if (origin !== null && origin !== `http://${host}`) {
    return textResponse(403, "this server answers to its own page only");
  }
  return undefined;
}

function onError(error: unknown): Response {
  return textResponse(500, error instanceof Error ? error.message : String(error));
}
