/**
 * Sampling answers from a server that speaks OpenAI's completions interface, such as vLLM: the counterpart of
 * `train/generation.ts` for models that are served elsewhere.
 *
 * Prompts go as token ids, one request a prompt with its G answers, some requests at a time. Answers come back as token ids
 * where the server can say them, else their text is encoded. What log-probabilities mean is stated with
 * {@linkcode CompletionsOptions.logProbabilities}. Every request says all sampling options, since servers otherwise take
 * those of the model's `generation_config.json`. New weights reach the server as LoRA adapters, where it loads them.
 */
import { shownValue } from "../io/shown_value.ts";
import { UserError } from "../base/user_error.ts";
import { checkSamplingOptions, type SamplingOptions } from "../nn/sampling.ts";
import { Philox } from "../tensor/random.ts";
import type { OpenAnswers, Tokens } from "../worlds/world.ts";
import { JsonClient, type JsonClientOptions, RefusedError, withoutVersion } from "./json_client.ts";

/** Options of a {@linkcode CompletionsClient}. */
export interface CompletionsOptions extends JsonClientOptions {
  /** Name of the model; the only one that the server has when left out. */
  model?: string;
  /** Requests at a time; 16 when left out. */
  concurrency?: number;
  /** Text to token ids, without special tokens: for servers that give text only. */
  encode?: (text: string) => Tokens | Promise<Tokens>;
  /**
   * What the server's log-probabilities are of: `raw`, the model's own distribution (vLLM's default), or `processed`, the one
   * that was sampled from (vLLM's `--logprobs-mode processed_logprobs`). Raw ones are given on only where the two are one:
   * temperature 1, nothing cut off, no penalty. `raw` when left out.
   */
  logProbabilities?: "raw" | "processed";
}

/** What to sample; the fields of `GenerationRequest`. */
export interface ServedRequest extends OpenAnswers {
  /** P questions of any lengths. */
  questions: readonly Tokens[];
  /** G. */
  groupSize: number;
  /** Temperature, truncation, penalty. */
  sampling: SamplingOptions;
  /** Names the prompts' seeds: (seed, purpose, step). The server makes of them what it will. */
  stream: readonly [seed: number, purpose: number, step: number];
  /** Number of each prompt within the step, for its seed; 0 … P − 1 when left out. */
  promptNumbers?: readonly number[];
  /** Number of the first sample of each group, for the seed. */
  firstSample?: number;
  /** Called after each prompt with the number of prompts that are done. */
  onProgress?: (done: number) => void;
}

/** Answers of a server. Rows are prompt 0's G samples, then prompt 1's, … */
export interface ServedGeneration {
  /** [P·G] answers, the token that ended each included. */
  answers: Tokens[];
  /** [P·G], one number a token: log p under the distribution that it was drawn from; undefined where the server did not say. */
  logProbabilities: (Float32Array | undefined)[];
  /** [P·G]: whether the model ended the answer, rather than `maxTokens`. */
  ended: boolean[];
  /** [P·G]: the server's words, `stop` or `length`. */
  finishReasons: string[];
  /** Requests that had to be tried again, times they were. */
  retries: number;
}

/** A model of a server. */
export interface ServedModel {
  /** Its name in requests. */
  id: string;
  /** Tokens of the longest sequence, where the server says. */
  maxLength?: number;
}

/** An answer as it came. */
interface Answer {
  tokens: Tokens;
  logProbabilities?: Float32Array;
  ended: boolean;
  finishReason: string;
}

/** A client of one server. */
export class CompletionsClient {
  readonly #server: JsonClient;
  readonly #options: CompletionsOptions;
  #model: string | undefined;
  /** Whether the server has refused fields beyond OpenAI's own. */
  #isPlain = false;

  /**
   * Nothing is sent yet.
   *
   * @param base `http://host:port`, with or without `/v1`.
   * @throws {UserError} When that is no HTTP address.
   * @throws {RangeError} When an option is out of its range.
   */
  constructor(base: string, options: CompletionsOptions = {}) {
    const { concurrency = 16 } = options;
    if (!(Number.isInteger(concurrency) && concurrency >= 1)) {
      throw new RangeError(`concurrency must be at least 1: received ${concurrency}`);
    }
    this.#server = new JsonClient(withoutVersion(base), options);
    this.#options = options;
    this.#model = options.model;
  }

  /** Tries beyond the first, of all requests so far. */
  get retries(): number {
    return this.#server.retries;
  }

  /** The models that the server has. @throws {UserError} When it does not say. */
  async models(): Promise<ServedModel[]> {
    const json = await this.#server.json("/v1/models") as { data?: unknown };
    const data = Array.isArray(json?.data) ? json.data as Record<string, unknown>[] : undefined;
    if (!data || data.some((each) => typeof each?.id !== "string")) {
      throw new UserError("/v1/models: the server lists no models: is it one of OpenAI's interface?");
    }
    return data.map((each) => ({
      id: each.id as string,
      ...typeof each.max_model_len === "number" ? { maxLength: each.max_model_len } : {},
    }));
  }

  /**
   * Name of the model that requests ask for.
   *
   * @throws {UserError} When none was named and the server has not exactly one.
   */
  async model(): Promise<string> {
    if (this.#model !== undefined) return this.#model;
    const names = (await this.models()).map((each) => each.id);
    if (names.length !== 1) {
      throw new UserError(
        names.length === 0
          ? "the server has no model"
          : `the server has ${names.length} models: name one of ${names.join(", ")}`,
      );
    }
    return this.#model = names[0];
  }

  /**
   * Samples answers; see the file's head.
   *
   * @throws {RangeError} When an option is out of its range or there is no question.
   * @throws {UserError} When the server refuses, keeps failing, or answers what cannot be used. Other requests are then ended.
   */
  async generate(request: ServedRequest): Promise<ServedGeneration> {
    const { questions, groupSize, maxTokens, endTokens, sampling } = request;
    checkSamplingOptions(sampling);
    if (questions.length === 0) throw new RangeError("generate: needs at least one question: received none");
    for (const [name, value] of Object.entries({ groupSize, maxTokens })) {
      if (!(Number.isInteger(value) && value >= 1)) {
        throw new RangeError(`generate: ${name} must be at least 1: received ${value}`);
      }
    }
    if (endTokens.length === 0) throw new RangeError("generate: endTokens must name the token that ends an answer");
    const before = this.retries, model = await this.model();
    const groups = new Array<Answer[]>(questions.length);
    const stop = new AbortController();
    let next = 0, done = 0;
    const work = async () => {
      while (next < questions.length && !stop.signal.aborted) {
        const prompt = next++;
        try {
          groups[prompt] = await this.#group(model, request, prompt, stop.signal);
        } catch (error) {
          stop.abort(error);
          throw error;
        }
        request.onProgress?.(++done);
      }
    };
    const workers = Math.min(this.#options.concurrency ?? 16, questions.length);
    await Promise.allSettled(Array.from({ length: workers }, work));
    if (stop.signal.aborted) throw stop.signal.reason;
    const flat = groups.flat();
    return {
      answers: flat.map((each) => each.tokens),
      logProbabilities: flat.map((each) => each.logProbabilities),
      ended: flat.map((each) => each.ended),
      finishReasons: flat.map((each) => each.finishReason),
      retries: this.retries - before,
    };
  }

  /**
   * Makes the server load a LoRA adapter (vLLM with `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`) and asks for it from now on. One
   * of the same name is replaced; since servers may keep what they computed by name, a new name for each update is safer.
   *
   * @param path Folder with PEFT's files, as the server sees it.
   * @throws {UserError} When the server does not load it.
   */
  async loadAdapter(name: string, path: string): Promise<void> {
    const load = () =>
      this.#server.text("/v1/load_lora_adapter", {
        body: { lora_name: name, lora_path: path, load_inplace: true },
      });
    try {
      await load();
    } catch (error) {
      // Versions that cannot replace one; or a try whose answer was lost.
      if (!(error instanceof RefusedError && /already.*loaded/i.test(error.words))) throw error;
      await this.unloadAdapter(name);
      await load();
    }
    this.#model = name;
  }

  /** Makes the server forget a LoRA adapter. */
  async unloadAdapter(name: string): Promise<void> {
    await this.#server.text("/v1/unload_lora_adapter", { body: { lora_name: name } });
    if (this.#model === name) this.#model = this.#options.model;
  }

  /** All answers to one prompt. */
  async #group(model: string, request: ServedRequest, prompt: number, signal: AbortSignal): Promise<Answer[]> {
    const { groupSize, sampling } = request;
    // Servers refuse several samples where all would be the same.
    const isGreedy = sampling.greedy === true || sampling.temperature === 0;
    const count = isGreedy ? 1 : groupSize;
    const maxBytes = (1 << 20) + count * (BYTES_PER_TOKEN * request.maxTokens + 32 * request.questions[prompt].length);
    const ask = () =>
      this.#server.json("/v1/completions", { body: this.#body(model, request, prompt, count), maxBytes, signal });
    const wasPlain = this.#isPlain;
    let json: unknown;
    try {
      json = await ask();
    } catch (error) {
      if (wasPlain || !(error instanceof RefusedError && BEYOND_OPENAI.test(error.words))) throw error;
      this.#isPlain = true;
      json = await ask();
    }
    const choices = (json as { choices?: unknown })?.choices;
    if (!Array.isArray(choices) || choices.length !== count) {
      throw new UserError(
        `/v1/completions: ${count} answers were asked for: received ${
          Array.isArray(choices) ? choices.length : "no list of choices"
        }`,
      );
    }
    const ordered = [...choices].sort((a, b) => (a?.index ?? 0) - (b?.index ?? 0));
    const answers = await Promise.all(ordered.map((each) => this.#read(each, request)));
    return isGreedy ? Array.from({ length: groupSize }, () => answers[0]) : answers;
  }

  #body(model: string, request: ServedRequest, prompt: number, count: number): Record<string, unknown> {
    const { temperature = 1, topP = 1, topK = 0, repetitionPenalty = 1, greedy = false } = request.sampling;
    const number = request.promptNumbers?.[prompt] ?? prompt;
    const seed = new Philox(...request.stream, number, request.firstSample ?? 0).uint32() >>> 1;
    const body: Record<string, unknown> = {
      model,
      prompt: [...request.questions[prompt]],
      n: count,
      max_tokens: request.maxTokens,
      temperature: greedy ? 0 : temperature,
      top_p: topP,
      seed,
      logprobs: 1,
    };
    if (topK > 0 || !this.#isPlain) body.top_k = topK > 0 ? topK : -1;
    if (repetitionPenalty !== 1 || !this.#isPlain) body.repetition_penalty = repetitionPenalty;
    if (!this.#isPlain) {
      Object.assign(body, {
        min_p: 0,
        // The answer ends where the world says, not where the server's model would.
        stop_token_ids: [...request.endTokens],
        ignore_eos: true,
        skip_special_tokens: false,
        return_token_ids: true,
        return_tokens_as_token_ids: true,
      });
    }
    return body;
  }

  /** One answer, up to the token that ends it. */
  async #read(choice: unknown, { endTokens, maxTokens, sampling }: ServedRequest): Promise<Answer> {
    const { text, token_ids: ids, logprobs, finish_reason: finishReason, stop_reason: stopReason } =
      (choice ?? {}) as Record<string, unknown>;
    if (finishReason !== "stop" && finishReason !== "length") {
      throw new UserError(
        `/v1/completions: an answer ended with finish_reason ${
          shownValue(finishReason)
        }: only "stop" and "length" are known`,
      );
    }
    const { tokens: names, token_logprobs: numbers } = (logprobs ?? {}) as Record<string, unknown>;
    const said = readIds(ids) ?? readNames(names);
    if (!said && typeof text !== "string") {
      throw new UserError("/v1/completions: an answer has neither token ids nor text");
    }
    if (said && said.length > maxTokens) {
      throw new UserError(`/v1/completions: at most ${maxTokens} tokens were asked for: an answer has ${said.length}`);
    }
    let tokens = said ?? await this.#encode(text as string);
    let logProbabilities = said && this.#meaning(sampling, numbers, tokens.length);
    const end = tokens.findIndex((token) => endTokens.includes(token));
    let ended = end >= 0 || finishReason === "stop";
    if (end >= 0) {
      tokens = tokens.slice(0, end + 1);
      logProbabilities = logProbabilities?.slice(0, end + 1);
    } else if (ended) {
      // The server keeps the token that ended the answer to itself.
      const own = typeof stopReason === "number" && endTokens.includes(stopReason) ? stopReason : endTokens[0];
      tokens = Int32Array.from([...tokens, own]);
      logProbabilities = undefined;
    }
    if (tokens.length > maxTokens) {
      // Its text has more tokens in our writing than in the server's: cut off, as ours are.
      tokens = tokens.slice(0, maxTokens);
      ended = false;
    }
    return { tokens, logProbabilities, ended, finishReason };
  }

  async #encode(text: string): Promise<Tokens> {
    if (!this.#options.encode) {
      throw new UserError(
        "/v1/completions: the server gives text without token ids, which needs a tokenizer: pass encode",
      );
    }
    return Int32Array.from(await this.#options.encode(text));
  }

  /** Log-probabilities under the distribution that was sampled from, as far as the server's numbers say. */
  #meaning(sampling: SamplingOptions, numbers: unknown, length: number): Float32Array | undefined {
    const { temperature = 1, topK = 0, topP = 1, repetitionPenalty = 1, greedy = false } = sampling;
    if (greedy || temperature === 0) return new Float32Array(length);
    const isUnchanged = temperature === 1 && topK <= 0 && topP === 1 && repetitionPenalty === 1;
    if (!isUnchanged && this.#options.logProbabilities !== "processed") return undefined;
    if (!Array.isArray(numbers) || numbers.length !== length) return undefined;
    if (!numbers.every((each) => typeof each === "number")) return undefined;
    const strange = numbers.find((each) => !(each >= LEAST_LOG_PROBABILITY && each <= LARGEST_LOG_PROBABILITY));
    if (strange !== undefined) {
      throw new UserError(
        `/v1/completions: a token's log-probability is ${strange}: that of a token that was drawn lies in ` +
          `${LEAST_LOG_PROBABILITY}..0`,
      );
    }
    return Float32Array.from(numbers, (each) => Math.min(each, 0));
  }
}

/** Fields that servers other than OpenAI's understand, by what an error says of them. */
const BEYOND_OPENAI =
  /return_token|ignore_eos|skip_special_tokens|stop_token_ids|top_k|min_p|repetition_penalty|unrecognized|extra (fields|inputs)/i;

/** Bytes that servers need for a token: as an id, in text, and in each list of `logprobs`. */
const BYTES_PER_TOKEN = 1024;
/** ln of float32's smallest number, about: a token of less cannot have been drawn (servers write -9999 for 0). */
const LEAST_LOG_PROBABILITY = -104;
/** Above 0 only by rounding. */
const LARGEST_LOG_PROBABILITY = 0.01;

function readIds(ids: unknown): Tokens | undefined {
  return Array.isArray(ids) ? checkedIds(ids) : undefined;
}

/** Tokens that are written as `token_id:123`. */
function readNames(names: unknown): Tokens | undefined {
  if (!Array.isArray(names)) return undefined;
  const ids = names.map((each) => /^token_id:(\d+)$/.exec(String(each))?.[1]);
  return ids.every((each) => each !== undefined) ? checkedIds(ids.map(Number)) : undefined;
}

/** @throws {UserError} When one is no number that can name a token. */
function checkedIds(ids: readonly unknown[]): Tokens {
  const isId = (each: unknown): each is number =>
    Number.isInteger(each) && each as number >= 0 && each as number < 2 ** 31;
  if (ids.every(isId)) return Int32Array.from(ids);
  const strange = ids.find((each) => !isId(each));
  throw new UserError(
    `/v1/completions: an answer's token ids must be whole numbers of at least 0: received ${
      typeof strange === "number" ? strange : typeof strange
    }`,
  );
}
