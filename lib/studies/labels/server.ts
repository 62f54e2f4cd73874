/**
 * The server of the labelling page. The page learns positions, pictures and task texts; ids, models and policies stay here.
 *
 *     GET  /task            what to show (`LabelTask`)
 *     GET  /frame/POSITION  the picture
 *     POST /answer          {position, success: true | false | null} → the next task
 *     POST /undo            → the task before
 */
import { UserError } from "../../base/user_error.ts";
import type { LabelSession } from "./session.ts";
import {
  type LocalServer,
  type LocalServerOptions,
  pageResponse,
  serveLocally,
  styleResponse,
  textResponse,
} from "../../serving/local_server.ts";
import page from "./page.html" with { type: "text" };

/** Options of {@linkcode serveLabels}. */
export interface LabelServerOptions extends LocalServerOptions {
  /** Whose work it is; stays the caller's. */
  session: LabelSession;
  /** Told why a picture cannot be shown: its path says more than a labeller should see. */
  onProblem?: (message: string) => void;
}

/** Starts the server. @throws {UserError} When the port cannot be had. */
export function serveLabels({ session, onProblem, ...options }: LabelServerOptions): LocalServer {
  // One answer after the other, however fast they come.
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<Response> => {
    const own = turn.then(work).then(() => Response.json(session.task), refusal);
    turn = own;
    return own;
  };
  const picture = async (position: number): Promise<Response> => {
    try {
      return new Response(await session.frame(position), { headers: { "content-type": "image/png" } });
    } catch (error) {
      if (!(error instanceof UserError)) return refusal(error);
      onProblem?.(error.message);
      return textResponse(500, "The picture cannot be shown: skip it. The terminal says why.");
    }
  };
  return serveLocally(options, async (request, body) => {
    const { pathname } = new URL(request.url), { method } = request;
    if (method === "GET") {
      if (pathname === "/") return pageResponse(page);
      if (pathname === "/page.css") return styleResponse();
      if (pathname === "/task") return Response.json(session.task);
      const [, position] = /^\/frame\/(\d{1,9})$/.exec(pathname) ?? [];
      if (position !== undefined) return await picture(Number(position));
    }
    if (method === "POST" && pathname === "/undo") return await inTurn(() => session.undo());
    if (method === "POST" && pathname === "/answer") {
      return await inTurn(async () => {
        const { position, success } = parseAnswer(body);
        await session.answer(position, success);
      });
    }
    return textResponse(404, "there is only the page /");
  });
}

function parseAnswer(text: string): { position: number; success: boolean | null } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch { /* said below */ }
  const { position, success } = (value ?? {}) as Record<string, unknown>;
  if (typeof position !== "number" || (typeof success !== "boolean" && success !== null)) {
    throw new RangeError(
      `an answer must be {position, success: true, false or null}: received ${JSON.stringify(text.slice(0, 80))}`,
    );
  }
  return { position, success };
}

function refusal(error: unknown): Response {
  const message = error instanceof Error ? error.message : String(error);
  return textResponse(error instanceof RangeError ? 400 : 500, message);
}
