/**
 * A server for one's own browser: on this machine's loopback address only, refusing pages of other sites that would like to talk
 * to it, and ending when it is told to. What it serves is up to `play/play_server.ts` and `studies/labels/server.ts`.
 */
import { readRequest } from "../io/answer.ts";
import { UserError } from "../base/user_error.ts";
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
/** Bytes of what is sent here at most. */
const MOST_BYTES = 4096;

/**
 * Starts a server.
 *
 * @param handler Answers a request; `body` is what came with it.
 * @throws {UserError} When the port is taken or not allowed.
 */
export function serveLocally(
  { port, signal }: LocalServerOptions,
  handler: (request: Request, body: string) => Response | Promise<Response>,
): LocalServer {
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve(
      { hostname: LOOPBACK, port, signal, onListen() {}, onError },
      async (request) => ours(refuseStranger(request) ?? await answer(request, handler)),
    );
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
    headers: { "content-type": "text/html; charset=utf-8", "content-security-policy": policy },
  });
}

/** The style that the pages share. */
export function styleResponse(): Response {
  return new Response(style, { headers: { "content-type": "text/css; charset=utf-8" } });
}

/** A short answer in words. */
export function textResponse(status: number, text: string): Response {
  return new Response(text, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}

/** Reads what came with a request, which only our own page can send as JSON, and has it answered. */
async function answer(
  request: Request,
  handler: (request: Request, body: string) => Response | Promise<Response>,
): Promise<Response> {
  if (request.method === "GET") return await handler(request, "");
  if (request.method !== "POST") return textResponse(405, "GET and POST only");
  // Any page may send forms and plain text anywhere; before JSON the browser asks, and is refused.
  if (request.headers.get("content-type")?.split(";")[0].trim().toLowerCase() !== "application/json") {
    return textResponse(415, "a request must say that it is JSON (content-type: application/json)");
  }
  const body = await readRequest(request, MOST_BYTES);
  if (!body) return textResponse(413, `a request has at most ${MOST_BYTES} bytes`);
  return await handler(request, new TextDecoder().decode(body));
}

/**
 * Any page that is open in the browser can send requests here, and a name of the internet can be made to point here: only
 * requests to a local name, from no page or from our own, are answered. The port may be another, as at the near end of a tunnel:
 * no page can choose what its browser says of it.
 */
function refuseStranger({ method, headers }: Request): Response | undefined {
  const host = headers.get("host") ?? "", origin = headers.get("origin"), site = headers.get("sec-fetch-site");
  if (!LOCAL_NAMES.has(host.replace(/:\d+$/, ""))) {
    return textResponse(403, "this server answers to its own machine only");
  }
  // Pictures and scripts are asked for without an origin. A link may lead here from anywhere.
  const isLink = method === "GET" && headers.get("sec-fetch-dest") === "document";
  const isOther = site !== null && site !== "same-origin" && site !== "none" && !isLink;
  if (isOther || (origin !== null && origin !== `http://${host}`)) {
    return textResponse(403, "this server answers to its own page only");
  }
  return undefined;
}

/** An answer that is kept nowhere, taken for nothing else than it says, and shown in no other page. */
function ours(response: Response): Response {
  if (response.status === 101) return response;
  response.headers.set("cache-control", "no-store");
  response.headers.set("x-content-type-options", "nosniff");
  response.headers.set("cross-origin-resource-policy", "same-origin");
  return response;
}

function onError(error: unknown): Response {
  return ours(textResponse(500, error instanceof Error ? error.message : String(error)));
}
