/**
 * A server of OpenAI's completions interface over a tiny model of ours, for tests: it answers as vLLM does, or as a plainer
 * server, and misbehaves when told to.
 */
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { generate } from "../../lib/train/generation.ts";

/**
 * What goes wrong with one request; taken from the front of a list, one a request to /v1/completions. Gets a promise of the
 * server's end. Without a response the request is answered as it should be.
 */
export type Fault = (closing: Promise<void>) => Response | undefined | Promise<Response | undefined>;

/** How a server speaks. */
export interface ServerStyle {
  /** vLLM's `return_token_ids` and `return_tokens_as_token_ids`; only the second; or text alone, other fields refused. */
  ids: "token_ids" | "names" | "text";
  /** Whether the token that ended an answer is left out. */
  hidesEnd?: boolean;
  /** Names of the models. */
  models?: string[];
  /** Whether adapters of a known name are refused, as older versions do. */
  refusesKnownAdapters?: boolean;
  /** What loading an adapter does. */
  onAdapter?: (path: string) => Promise<void>;
}

/** A running server. */
export interface TestServer extends AsyncDisposable {
  /** `http://localhost:…`. */
  base: string;
  /** Bodies of the requests to /v1/completions. */
  bodies: Record<string, unknown>[];
  /** Paths and bodies of the requests about adapters. */
  adapters: [path: string, body: Record<string, unknown>][];
  /** Requests that were being answered at most at one time. */
  mostAtOnce: number;
  /** What is to go wrong next. */
  faults: (Fault | undefined)[];
}

/** Token ids as text, which `encodeNumbers` reads. */
const text = (tokens: ArrayLike<number>) => Array.from(tokens, (each) => `<${each}>`).join("");

/** The text of a plain server as token ids. */
export function encodeNumbers(text: string): Int32Array {
  return Int32Array.from(text.matchAll(/<(\d+)>/g), (each) => Number(each[1]));
}

/** Starts a server on a free port. */
export function serve(model: CausalTransformer, style: ServerStyle): TestServer {
  const known = new Set<string>();
  const closing = Promise.withResolvers<void>();
  let atOnce = 0;
  let turn: Promise<unknown> = Promise.resolve();
  const refuse = (message: string, status = 400) =>
    Response.json({ error: { message, type: "BadRequestError", code: status } }, { status });

  async function complete(body: Record<string, unknown>): Promise<Response> {
    const beyond = ["top_k", "ignore_eos", "return_token_ids", "stop_token_ids"].filter((each) => each in body);
    if (style.ids === "text" && beyond.length > 0) {
      return refuse(`Unrecognized request argument supplied: ${beyond[0]}`);
    }
    const { temperature, n } = body as { temperature: number; n: number };
    if (temperature === 0 && n > 1) return refuse("n must be 1 when using greedy sampling");
    const names = style.models ?? ["tiny"];
    if (!names.includes(body.model as string) && !known.has(body.model as string)) {
      return refuse(`The model \`${body.model}\` does not exist.`, 404);
    }
    const { answers, logProbabilities, ended } = await generate(model, {
      questions: [Int32Array.from(body.prompt as number[])],
      groupSize: n,
      maxTokens: body.max_tokens as number,
      endTokens: (body.stop_token_ids as number[] | undefined) ?? [0],
      sampling: { temperature, topP: body.top_p as number, topK: body.top_k as number | undefined },
      stream: [body.seed as number, 0, 0],
    });
    const choices = answers.map((all, index) => {
      const tokens = ended[index] && style.hidesEnd ? all.subarray(0, -1) : all;
      return {
        index,
        text: text(ended[index] ? all.subarray(0, -1) : all),
        finish_reason: ended[index] ? "stop" : "length",
        stop_reason: ended[index] ? all[all.length - 1] : null,
        ...style.ids === "token_ids" ? { token_ids: [...tokens] } : {},
        logprobs: {
          tokens: Array.from(tokens, (each) => style.ids === "text" ? `<${each}>` : `token_id:${each}`),
          token_logprobs: [...logProbabilities[index].subarray(0, tokens.length)],
        },
      };
    });
    // Order is the index's affair.
    return Response.json({ object: "text_completion", choices: choices.reverse() });
  }

  const state: Omit<TestServer, typeof Symbol.asyncDispose | "base"> = {
    bodies: [],
    adapters: [],
    mostAtOnce: 0,
    faults: [],
  };
  const http = Deno.serve({
    port: 0,
    hostname: "127.0.0.1",
    onListen: () => {},
    onError: () => new Response(null, { status: 500 }),
  }, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/v1/models") {
      return Response.json({
        data: (style.models ?? ["tiny"]).map((id) => ({ id, object: "model", max_model_len: 64 })),
      });
    }
    const body = request.method === "POST" ? await request.json() : {};
    if (pathname === "/v1/load_lora_adapter" || pathname === "/v1/unload_lora_adapter") {
      state.adapters.push([pathname, body]);
      const isLoad = pathname === "/v1/load_lora_adapter";
      if (isLoad && known.has(body.lora_name) && style.refusesKnownAdapters) {
        return refuse(`The lora adapter '${body.lora_name}' has already been loaded.`);
      }
      if (isLoad && body.lora_path === "/nowhere") return refuse(`No adapter found for ${body.lora_path}`, 404);
      if (isLoad) await style.onAdapter?.(body.lora_path);
      if (isLoad) known.add(body.lora_name);
      else known.delete(body.lora_name);
      return new Response("Success: done.");
    }
    if (pathname !== "/v1/completions") return refuse("Not Found", 404);
    state.bodies.push(body);
    state.mostAtOnce = Math.max(state.mostAtOnce, ++atOnce);
    try {
      const wrong = await state.faults.shift()?.(closing.promise);
      if (wrong) return wrong;
      // The engine computes one request at a time; the others wait, as requests do.
      const own = turn.then(() => complete(body));
      turn = own.catch(() => {});
      return await own;
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
