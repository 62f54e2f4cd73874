/**
 * Text to token ids and back, with the files that a language model's folder has: `tokenizer.json`,
 * `tokenizer_config.json` and its chat template. Hugging Face's own libraries for JavaScript do the work; this class
 * gives them a folder, typed arrays, and the answers that transformers gives where they differ.
 *
 * Ids are those of transformers, but for one corner: an added token that swallows the white space beside it (`lstrip`,
 * `rstrip`; Qwen's and Llama's have none) takes U+FEFF for white space and U+0085 not, as JavaScript does.
 *
 * Not here: training a vocabulary (`bpe_trainer.ts`), and SentencePiece's `tokenizer.model`, which transformers converts.
 */
import { Template } from "@huggingface/jinja";
import { Tokenizer } from "@huggingface/tokenizers";
import { join } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";
import { readTextFile } from "../io/plain_file.ts";
import { cannotRead } from "../io/random_access.ts";
import { UserError } from "../base/user_error.ts";

/**
 * A token with a role of its own.
 *
 * @internal
 */
export interface SpecialToken {
  /** Its id. */
  id: number;
  /** Its text. */
  text: string;
}

/** One turn of a conversation. */
export interface ChatMessage {
  /** Who speaks: `system`, `user` or `assistant`, or what else the template knows. */
  role: string;
  /** The turn's text. */
  content: string;
}

/** Files of a folder that belong to its tokenizer; the first is the one that must be there. */
const FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "vocab.json",
  "merges.txt",
] as const;

/** What in `tokenizer_config.json` makes transformers take spaces out of a BPE tokenizer's text after all. */
const FORCED_CLEAN_UP = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output";

/** Far more than any vocabulary has. */
const MOST_IDS = 2 ** 24;

type Json = Record<string, unknown>;

/** A language model's tokenizer: text to ids and back, with special tokens and chat template. */
export class TextTokenizer {
  /** One more than the highest id: rows that an embedding must have at least. */
  readonly vocabularySize: number;
  /** Ends a text; absent where the folder names none. */
  readonly eosToken?: SpecialToken;
  /** Begins a text; absent where the folder names none. */
  readonly bosToken?: SpecialToken;
  /** Fills up sequences of a batch; absent where the folder names none. */
  readonly padToken?: SpecialToken;
  /** Where it comes from, for messages. */
  readonly source: string;
  /** The folder's chat template, in Jinja; absent where it has none. */
  readonly chatTemplate?: string;
  readonly #files: ReadonlyMap<string, string>;
  readonly #tokenizer: Tokenizer;
  /**
   * Whether spaces before punctuation are taken out of what was decoded. The library does so where nothing is said;
   * transformers only where it is asked to, and even then not for BPE (version 5.24), whose text would be another one.
   */
  readonly #cleansUp: boolean;
  #template?: Template;

  /**
   * A tokenizer of the given files.
   *
   * @param files Texts by name, `tokenizer.json` among them.
   * @param source Where they come from, for messages.
   * @throws {UserError} When one is not JSON or asks for what the library lacks.
   */
  constructor(files: ReadonlyMap<string, string>, source: string) {
    this.source = source;
    this.#files = files;
    const config = parse(files, "tokenizer_config.json", source) ?? {};
    const json = parse(files, "tokenizer.json", source);
    if (!json) throw new UserError(`${source} has no tokenizer.json`);
    checkIds(json, source);
    try {
      this.#tokenizer = new Tokenizer(json, config);
    } catch (error) {
      throw new UserError(
        `${join(source, "tokenizer.json")} cannot be used: ${(error as Error).message.replace(/\s+/g, " ")}`,
      );
    }
    let highest = -1;
    for (const id of this.#tokenizer.get_vocab().values()) highest = Math.max(highest, id);
    this.vocabularySize = highest + 1;
    this.#cleansUp = config.clean_up_tokenization_spaces === true && (!isBpe(json) || config[FORCED_CLEAN_UP] === true);
    this.chatTemplate = files.get("chat_template.jinja") ?? templateOf(config);
    const map = parse(files, "special_tokens_map.json", source) ?? {};
    const special = (role: string): SpecialToken | undefined => {
      const value = config[role] ?? map[role];
      const text = typeof value === "string" ? value : (value as { content?: unknown } | null | undefined)?.content;
      const id = typeof text === "string" ? this.#tokenizer.token_to_id(text) : undefined;
      return id === undefined ? undefined : { id, text: text as string };
    };
    this.eosToken = special("eos_token");
    this.bosToken = special("bos_token");
    this.padToken = special("pad_token");
  }

  /**
   * Reads a model folder's tokenizer.
   *
   * @throws {UserError} When the folder has none, or its files are damaged.
   */
  static async load(folder: string): Promise<TextTokenizer> {
    const files = new Map<string, string>();
    let found: string[];
    try {
      found = (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
    } catch (error) {
      throw cannotRead(folder, error);
    }
    for (const name of FILES.filter((each) => found.includes(each))) {
      try {
        files.set(name, await readTextFile(join(folder, name)));
      } catch (error) {
        throw cannotRead(join(folder, name), error);
      }
    }
    if (!files.has(FILES[0])) {
      const others = found.filter((name) =>
        /^(tokenizer\.model|vocab\.(json|txt)|merges\.txt|spiece\.model)$/.test(name)
      );
      throw new UserError(
        `${folder} has no tokenizer.json, so no text can be read or written` +
          (others.length > 0
            ? `: found ${
              others.sort().join(", ")
            }; transformers converts it (AutoTokenizer.from_pretrained, save_pretrained)`
            : ": copy it from the model that this one was trained from"),
      );
    }
    return new TextTokenizer(files, folder);
  }

  /**
   * Token ids of a text.
   *
   * @param options.addSpecialTokens Whether the tokenizer adds what it puts around a text (a beginning, mostly): true when
   * left out. Special tokens that the text itself spells out are always read as such.
   */
  encode(text: string, { addSpecialTokens = true }: { addSpecialTokens?: boolean } = {}): Int32Array {
    return Int32Array.from(this.#tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids);
  }

  /**
   * The text of token ids. Ids that the vocabulary does not have (an embedding often has more rows) give nothing.
   *
   * @param options.keepSpecial Whether special tokens are spelled out: false when left out.
   */
  decode(tokens: ArrayLike<number>, { keepSpecial = false }: { keepSpecial?: boolean } = {}): string {
    const ids = Array.from(tokens).filter((id) => this.#tokenizer.id_to_token(id) !== undefined);
    // The library refuses an empty list.
    if (ids.length === 0) return "";
    return this.#tokenizer.decode(ids, {
      skip_special_tokens: !keepSpecial,
      clean_up_tokenization_spaces: this.#cleansUp,
    });
  }

  /** The id of a token's text, if it is a token. */
  idOf(token: string): number | undefined {
    return this.#tokenizer.token_to_id(token);
  }

  /**
   * The text of a conversation, by the folder's chat template. Encode it without adding special tokens: the template has
   * written them.
   *
   * @throws {UserError} When there is no template (unless `withoutTemplate` allows it), or the template refuses.
   */
  chat(
    messages: readonly ChatMessage[],
    { addGenerationPrompt = true, withoutTemplate = "refuse" }: {
      /** Whether the text ends where the assistant's answer begins: true when left out. */
      addGenerationPrompt?: boolean;
      /** What a folder without template does: refuse (when left out), or put the contents one after the other, a line break after each. */
      withoutTemplate?: "refuse" | "concatenate";
    } = {},
  ): string {
    if (this.chatTemplate === undefined) {
      if (withoutTemplate === "concatenate") return messages.map(({ content }) => `${content}\n`).join("");
      throw new UserError(
        `${this.source} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json): ` +
          `bring one, or give plain prompts`,
      );
    }
    try {
      this.#template ??= new Template(this.chatTemplate);
      return this.#template.render({
        // Templates may change what they are given.
        messages: messages.map((message) => ({ ...message })),
        add_generation_prompt: addGenerationPrompt,
        tools: null,
        documents: null,
        ...(this.bosToken ? { bos_token: this.bosToken.text } : {}),
        ...(this.eosToken ? { eos_token: this.eosToken.text } : {}),
        ...(this.padToken ? { pad_token: this.padToken.text } : {}),
      });
    } catch (error) {
      throw new UserError(
        `${this.source}: the chat template failed: ${(error as Error).message.replace(/\s+/g, " ")}`,
      );
    }
  }

  /** Checks that an embedding of so many rows holds all ids. @throws {UserError} When it does not. */
  checkFits(rows: number): void {
    if (this.vocabularySize > rows) {
      throw new UserError(
        `${this.source}: the tokenizer has ids up to ${this.vocabularySize - 1}, the model's embedding only ${rows} ` +
          `rows: they belong to different models`,
      );
    }
  }

  /** Writes the same files that it was read from. */
  async save(folder: string): Promise<void> {
    await Deno.mkdir(folder, { recursive: true });
    for (const [name, text] of this.#files) await writeFileAtomic(join(folder, name), text);
  }
}

function parse(files: ReadonlyMap<string, string>, name: string, source: string): Json | undefined {
  const text = files.get(name);
  if (text === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${join(source, name)} is not JSON: ${(error as Error).message.replace(/\s+/g, " ")}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new UserError(`${join(source, name)} must hold a JSON object`);
  }
  return json as Json;
}

/** The library walks through all numbers up to the highest id: one that no vocabulary has would keep it for hours. */
function checkIds({ model, added_tokens: added }: Json, source: string): void {
  const { vocab } = (model ?? {}) as Json;
  const ids = typeof vocab === "object" && vocab !== null && !Array.isArray(vocab) ? Object.entries(vocab) : [];
  for (const token of Array.isArray(added) ? added as { content?: unknown; id?: unknown }[] : []) {
    ids.push([String(token?.content), token?.id]);
  }
  for (const [text, id] of ids) {
    if (Number.isInteger(id) && id as number >= 0 && id as number < MOST_IDS) continue;
    throw new UserError(
      `${join(source, "tokenizer.json")} cannot be used: token ${
        JSON.stringify(text.slice(0, 40))
      } must have a whole number ` +
        `below ${MOST_IDS} as its id: received ${JSON.stringify(id) ?? "none"}`,
    );
  }
}

function isBpe({ model }: Json): boolean {
  const { type, merges } = (model ?? {}) as Json;
  // Older files do not name the type.
  return type === "BPE" || (type === undefined && Array.isArray(merges));
}

/** The template in a `tokenizer_config.json`: a text, or a list of named ones. */
function templateOf(config: Json): string | undefined {
  const value = config.chat_template;
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  const named = value as { name?: unknown; template?: unknown }[];
  const template = (named.find(({ name }) => name === "default") ?? named[0])?.template;
  return typeof template === "string" ? template : undefined;
}
