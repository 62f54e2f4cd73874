/** A server of OpenAI's chat interface for tests: says what it is told to, and misbehaves when told to. */

/** What goes wrong with one request; taken from the front of a list. Undefined: nothing. */
export type Fault = (closing: Promise<void>) => Response | Promise<Response>;

/** A running server. */
export interface ChatServer extends AsyncDisposable {
  /** `http://127.0.0.1:…`. */
  base: string;
  /** Path, headers and body of each request that is not for the list of models. */
  requests: { path: string; authorization: string | null; body: Record<string, unknown> }[];
  /** What is to go wrong next. */
  faults: (Fault | undefined)[];
  /** Requests that were being answered at most at one time. */
  mostAtOnce: number;
}

/** A request's messages as one text. */
export function said(body: Record<string, unknown>): string {
  const messages = body.messages as { content: string }[] | undefined;
  return messages ? messages.map(({ content }) => content).join("\n\n") : String(body.prompt);
}

/**
 * Starts a server on a free port.
 *
 * @param answer The text of an answer, or a response of one's own.
 */
export function serveChat(
  answer: (body: Record<string, unknown>, path: string) => string | Response | Promise<string | Response>,
  models: readonly string[] = ["tiny"],
): ChatServer {
  const closing = Promise.withResolvers<void>();
  const state = { requests: [] as ChatServer["requests"], faults: [] as ChatServer["faults"], mostAtOnce: 0 };
  let atOnce = 0;
  const http = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/v1/models") return Response.json({ data: models.map((id) => ({ id })) });
    const body = await request.json();
    state.requests.push({ path: pathname, authorization: request.headers.get("authorization"), body });
    state.mostAtOnce = Math.max(state.mostAtOnce, ++atOnce);
    try {
      const wrong = await state.faults.shift()?.(closing.promise);
      if (wrong) return wrong;
      const text = await answer(body, pathname);
      if (text instanceof Response) return text;
      return Response.json({
        choices: [
          pathname === "/v1/completions"
            ? { index: 0, text }
            : { index: 0, message: { role: "assistant", content: text } },
        ],
        usage: { prompt_tokens: said(body).length, completion_tokens: text.length },
      });
    } finally {
      atOnce--;
    }
  });
  return Object.assign(state, {
    base: `http://127.0.0.1:${http.addr.port}`,
    [Symbol.asyncDispose]: () => {
      closing.resolve();
      return http.shutdown();
    },
  });
}
