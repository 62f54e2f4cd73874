/**
 * The built-in site behind HTTP, on this machine's own address only, for real browsers.
 *
 * Browsers call it by its name, `http://shop.test`, when they are told that the name is this server (Chromium's
 * `--host-resolver-rules`), and by the address that `serveSite` returns when a person looks at it.
 */
import { readRequest } from "../../io/answer.ts";
import { UserError } from "../../base/user_error.ts";
import { pageHtml } from "./page_html.ts";
import { SHOP_ORIGIN, type ShopSite } from "./shop_site.ts";

/**
 * How the site is served.
 *
 * @internal
 */
export interface ServeSiteOptions {
  /** 0, the default: any that is free. */
  readonly port?: number;
  /** Whether `POST /reset` undoes everything that was done. Default false. */
  readonly allowsReset?: boolean;
}

/**
 * A site that is served.
 *
 * @internal
 */
export interface ServedSite extends AsyncDisposable {
  /** `http://127.0.0.1:8000`. */
  readonly origin: string;
  /** Where it listens. */
  readonly port: number;
  /** Ends the server. */
  close(): Promise<void>;
}

const LOOPBACK = "127.0.0.1";
/** Bytes of a form that are read; a form of the site's has a few hundred. */
const MOST_FORM_BYTES = 16_384;
const COOKIE = "shop_session";

/**
 * Serves a shop over HTTP on the loopback, for a real browser.
 *
 * @throws {UserError} When the port is taken or not allowed.
 */
export function serveSite(site: ShopSite, { port = 0, allowsReset = false }: ServeSiteOptions = {}): ServedSite {
  let server: Deno.HttpServer<Deno.NetAddr>;
  const stop = new AbortController();
  try {
    server = Deno.serve(
      {
        hostname: LOOPBACK,
        port,
        signal: stop.signal,
        onListen() {},
        onError: () => plain(500, "the site has failed"),
      },
      (request) => respond(site, request, allowsReset),
    );
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      throw new UserError(`port ${port} is taken: name another, or leave it out for any that is free`);
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new UserError(`port ${port} is not allowed: name one above 1023`);
    }
    throw error;
  }
  const close = async () => {
    stop.abort();
    await server.finished;
  };
  return {
    origin: `http://${LOOPBACK}:${server.addr.port}`,
    port: server.addr.port,
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function respond(site: ShopSite, request: Request, allowsReset: boolean): Promise<Response> {
  const url = new URL(request.url);
  if (!isOwnHost(url)) return plain(403, "this server answers to its own machine only");
  if (request.method !== "GET" && request.method !== "POST") return plain(405, "GET and POST only");
  const origin = request.headers.get("origin");
  // A page of another site may not send forms here.
  if (request.method === "POST" && origin !== null && origin !== url.origin) return plain(403, "own forms only");
  if (allowsReset && request.method === "POST" && url.pathname === "/reset") {
    site.reset();
    return plain(200, "reset");
  }
  const body = await readRequest(request, MOST_FORM_BYTES);
  if (!body) return plain(413, `a form has at most ${MOST_FORM_BYTES} bytes`);
  const type = request.headers.get("content-type")?.split(";")[0];
  if (body.length > 0 && type !== "application/x-www-form-urlencoded") return plain(400, "the form cannot be read");
  const response = site.handle({
    method: request.method,
    path: url.pathname + url.search,
    form: Object.fromEntries(new URLSearchParams(new TextDecoder().decode(body))),
    session: cookieOf(request),
  });
  const headers = new Headers(HEADERS);
  headers.set("set-cookie", `${COOKIE}=${response.session}; Path=/; HttpOnly; SameSite=Lax`);
  if (response.redirect !== undefined) headers.set("location", response.redirect);
  else headers.set("content-type", "text/html; charset=utf-8");
  return new Response(response.page ? pageHtml(response.page) : null, { status: response.status, headers });
}

/** Nothing is kept, so that going back loads anew; nothing is fetched from anywhere else, and nothing runs. */
const HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy":
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
};

/** Names that lead here; any other was made to point here by somebody else. */
function isOwnHost({ hostname }: URL): boolean {
  return hostname === LOOPBACK || hostname === "localhost" || hostname === new URL(SHOP_ORIGIN).hostname;
}

function cookieOf(request: Request): string | undefined {
  const cookies = (request.headers.get("cookie") ?? "").split(/;\s*/);
  return cookies.find((cookie) => cookie.startsWith(`${COOKIE}=`))?.slice(COOKIE.length + 1);
}

function plain(status: number, message: string): Response {
  return new Response(message, { status, headers: { ...HEADERS, "content-type": "text/plain; charset=utf-8" } });
}
