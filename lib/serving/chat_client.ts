/**
 * Questions to a model behind an OpenAI-compatible endpoint: chat completions, or the older completions for base models.
 *
 * n samples of one question are n requests, some at a time: servers differ in whether they take `n`. A request is tried again
 * as `json_client.ts` says, and also where the answer is not JSON, has no choices or no text. A query that still fails is an
 * empty answer, counted with its reason, and the others go on; what that means for a task is the agent's affair
 * (`studies/web_agents/planning_agent.ts`). The key is read by the caller, sent as a header, and stands in no message and no log.
 */
import { UserError } from "../base/user_error.ts";
import { JsonClient, type JsonClientOptions, parseShallow, RefusedError, withoutVersion } from "./json_client.ts";
import { Philox } from "../tensor/random.ts";
import { type Reply, usageOf } from "./usage.ts";

/** A part of a message: a text or a picture. */
export type ContentPart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image_url"; readonly image_url: { readonly url: string } };

/** A message of a conversation. */
export interface ChatRequestMessage {
  /** Who speaks. */
  role: "system" | "user" | "assistant";
  /** What is said, as a text or in parts. */
  content: string | readonly ContentPart[];
}

/** A message that is a text. */
export interface TextMessage extends ChatRequestMessage {
  /** What is said. */
  content: string;
}

/** Options of a {@linkcode ChatClient}. */
export interface ChatClientOptions extends Omit<JsonClientOptions, "check"> {
  /** Name of the model; the only one that the server has when left out. */
  model?: string;
  /** `chat`, or `completions` for models without a chat template: messages are then joined by empty lines. `chat` when left out. */
  kind?: "chat" | "completions";
  /** Requests at a time, over all questions; 16 when left out. */
  concurrency?: number;
  /** 1 when left out, as the paper's client. */
  temperature?: number;
  /** 0.95 when left out, as the paper's client. */
  topP?: number;
  /** Tokens of the longest answer; 1,024 when left out. */
  maxTokens?: number;
}

/** A model of a server. */
export class ChatClient {
  readonly #server: JsonClient;
  readonly #options: ChatClientOptions;
  readonly #slots: Slots;
  #model: string | undefined;
  /** What this server does not take, by what it said. */
  readonly #dialect = { seed: true, maxTokens: "max_tokens" };

  /**
   * Nothing is sent yet.
   *
   * @param base `http://host:port`, with or without `/v1` or `/v1/chat/completions`.
   * @throws {UserError} When that is no HTTP address.
   * @throws {RangeError} When an option is out of its range.
   */
  constructor(base: string, options: ChatClientOptions = {}) {
    const { concurrency = 16, temperature = 1, topP = 0.95, maxTokens = 1024 } = options;
    for (const [name, value] of Object.entries({ concurrency, maxTokens })) {
      if (!(Number.isInteger(value) && value >= 1)) {
        throw new RangeError(`${name} must be at least 1: received ${value}`);
      }
    }
    if (!(temperature >= 0 && Number.isFinite(temperature))) {
      throw new RangeError(`temperature must be at least 0: received ${temperature}`);
    }
    if (!(topP > 0 && topP <= 1)) throw new RangeError(`topP must lie in (0, 1]: received ${topP}`);
    this.#server = new JsonClient(withoutVersion(base), {
      timeoutSeconds: 120,
      ...options,
      check: (path, text) => path === this.#path ? whatIsWrong(text) : undefined,
    });
    this.#options = options;
    this.#model = options.model;
    this.#slots = new Slots(concurrency);
  }

  /** Tries beyond the first, of all queries so far. */
  get retries(): number {
    return this.#server.retries;
  }

  /**
   * Asks the server for its models, so that a wrong address, key or name ends a run before it begins.
   *
   * @throws {UserError} When it cannot be reached, refuses the key, or does not have the model.
   */
  async check(): Promise<void> {
    let names: string[];
    try {
      names = await this.#names();
    } catch (error) {
      // Servers need not list their models: a named one is then taken on trust.
      const isUnlisted = error instanceof RefusedError && ![401, 403].includes(error.status);
      if (!isUnlisted || this.#model === undefined) throw error;
      return;
    }
    if (this.#model === undefined) {
      if (names.length !== 1) {
        throw new UserError(
          names.length === 0
            ? "the server has no model"
            : `the server has ${names.length} models: name one of ${names.slice(0, 20).join(", ")}`,
        );
      }
      this.#model = names[0];
    } else if (!names.includes(this.#model)) {
      throw new UserError(
        `the server has no model ${JSON.stringify(this.#model)}: it has ${names.slice(0, 20).join(", ") || "none"}`,
      );
    }
  }

  /**
   * Answers to one question: n texts, empty where a query failed.
   *
   * @param samples n.
   * @param stream Names the requests' seeds, which servers may heed or not.
   * @throws Only the signal's reason.
   */
  async ask(
    messages: readonly ChatRequestMessage[],
    samples: number,
    stream: readonly number[],
    signal?: AbortSignal,
  ): Promise<Reply<string[]>> {
    const start = performance.now(), usage = usageOf({ queries: samples });
    const reasons = new Set<string>();
    const texts = await Promise.all(Array.from({ length: samples }, async (_, sample) => {
      using _slot = await this.#slots.take();
      signal?.throwIfAborted();
      try {
        const { text, promptTokens, answerTokens } = await this.#query(messages, [...stream, sample], signal);
        usage.promptTokens += promptTokens;
        usage.answerTokens += answerTokens;
        return text;
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        usage.failed++;
        reasons.add(error.message);
        return "";
      }
    }));
    usage.seconds = (performance.now() - start) / 1000;
    return { value: texts, usage, problems: [...reasons] };
  }

  get #path(): string {
    return this.#options.kind === "completions" ? "/v1/completions" : "/v1/chat/completions";
  }

  async #names(): Promise<string[]> {
    const json = await this.#server.json("/v1/models") as { data?: unknown };
    const data = Array.isArray(json?.data) ? json.data as { id?: unknown }[] : [];
    return data.map(({ id }) => id).filter((id) => typeof id === "string");
  }

  async #query(
    messages: readonly ChatRequestMessage[],
    stream: readonly number[],
    signal?: AbortSignal,
  ): Promise<Answer> {
    // A request for a second dialect, and a third, at most.
    for (let attempt = 0;; attempt++) {
      try {
        const body = await this.#body(messages, stream), maxBytes = bytesOf(this.#options.maxTokens ?? 1024);
        return readAnswer(await this.#server.text(this.#path, { body, maxBytes, signal }));
      } catch (error) {
        if (!(error instanceof RefusedError && attempt < 2 && this.#learn(error.words))) throw error;
      }
    }
  }

  async #body(messages: readonly ChatRequestMessage[], stream: readonly number[]): Promise<Record<string, unknown>> {
    const { temperature = 1, topP = 0.95, maxTokens = 1024, kind = "chat" } = this.#options;
    if (this.#model === undefined) await this.check();
    return {
      model: this.#model,
      ...kind === "chat"
        ? { messages }
        : { prompt: messages.map(({ content }) => contentText(content)).filter((each) => each !== "").join("\n\n") },
      temperature,
      top_p: topP,
      [this.#dialect.maxTokens]: maxTokens,
      ...this.#dialect.seed ? { seed: new Philox(...stream).uint32() >>> 1 } : {},
    };
  }

  /** Notes a field that the server does not take. @returns whether a request without it may do better. */
  #learn(words: string): boolean {
    if (/max_completion_tokens/.test(words) && this.#dialect.maxTokens === "max_tokens") {
      this.#dialect.maxTokens = "max_completion_tokens";
      return true;
    }
    const refusesSeed = /\bseed\b/i.test(words) && this.#dialect.seed;
    if (refusesSeed) this.#dialect.seed = false;
    return refusesSeed;
  }
}

/** Bytes that an answer of so many tokens can have: escaped as they may be, with what servers say of each, and the rest. */
function bytesOf(tokens: number): number {
  return (1 << 20) + 1024 * tokens;
}

interface Answer {
  text: string;
  promptTokens: number;
  answerTokens: number;
}

/** Of an answer with status 200: why it cannot be used. */
function whatIsWrong(text: string): string | undefined {
  let json: unknown;
  try {
    json = parseShallow(text);
  } catch {
    return `the answer is not JSON: ${JSON.stringify(text.slice(0, 60))}`;
  }
  const { choices } = (json ?? {}) as { choices?: unknown };
  if (!Array.isArray(choices) || choices.length === 0) return "the answer has no choices";
  return textOf(choices[0]) === undefined ? "the answer has no text" : undefined;
}

function textOf(choice: unknown): string | undefined {
  const { message, text } = (choice ?? {}) as { message?: { content?: unknown }; text?: unknown };
  return contentText(message?.content ?? text);
}

/** The text of a message's content, which may be a list of parts; undefined where there is none. */
function contentText(content: unknown): string | undefined {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return undefined;
  const texts = content.flatMap((part) => typeof part?.text === "string" ? [part.text] : []);
  return texts.length === 0 ? undefined : texts.join("");
}

/** Reads what {@linkcode whatIsWrong} let pass. */
function readAnswer(body: string): Answer {
  const { choices, usage } = JSON.parse(body) as { choices: unknown[]; usage?: Record<string, unknown> };
  const count = (value: unknown) => typeof value === "number" && Number.isFinite(value) ? value : 0;
  return {
    text: textOf(choices[0])!,
    promptTokens: count(usage?.prompt_tokens),
    answerTokens: count(usage?.completion_tokens),
  };
}

/** So many at a time, first come, first served. */
class Slots {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(count: number) {
    this.#free = count;
  }

  async take(): Promise<Disposable> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return {
      [Symbol.dispose]: () => {
        const next = this.#waiting.shift();
        if (next) next();
        else this.#free++;
      },
    };
  }
}
