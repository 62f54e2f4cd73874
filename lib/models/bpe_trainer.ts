/**
 * Training a byte-level byte-pair vocabulary (Sennrich et al. 2016; bytes as in GPT-2) on text, for language models that
 * start from nothing. What comes out is a tokenizer in Hugging Face's form.
 *
 * Text is first cut into pieces by a pattern, and merges never cross their borders; which pattern decides what can become
 * one token. Ties of counts go to the pair of lower ids, so that one text always gives one vocabulary.
 */
import { workAtOnce } from "../base/breather.ts";
import { PriorityQueue } from "./priority_queue.ts";
import { TextTokenizer } from "./text_tokenizer.ts";

/**
 * How text is cut. `words`: as Qwen2 does, a word with the space before it, digits one by one, runs of punctuation, white
 * space. `long`: only at digits, line breaks and behind `}`, so that text which repeats over and over, such as
 * `', 'properties': {'isContainer': ` in the states of a game, becomes a token; digits again one by one, since numbers
 * are to be computed with. `code`: words, digits one by one, and runs of everything else, spaces among them, so that a name is
 * the same tokens wherever it stands: what has to be copied is easy to copy. A quoted key is one piece
 * with what stands around it, `', 'uuid': `, and a word with an abbreviation behind it, `bowl (ID: `: what comes next can then be
 * found by the one token before it. `items`: for lines of an accessibility tree: an id in brackets with the space behind it, `[12] `,
 * a role with the quote that opens its name, `link '`, words with the space behind them, two digits, a line's end with the quote
 * before it: so an id is one token, which the line it stands for can be found by.
 */
export type BpePattern = "words" | "long" | "code" | "items";

/**
 * Options of {@linkcode trainBpe}.
 *
 * @internal
 */
export interface BpeOptions {
  /** Tokens in all: 256 bytes, merges, special tokens. Fewer come out when the text has no more pairs to merge. */
  vocabularySize: number;
  /** How text is cut before merging: `words` when left out. */
  pattern?: BpePattern;
  /** Texts that are tokens whatever stands around them, and no part of merges: `<|endoftext|>` when left out. Their ids come last. */
  specialTokens?: readonly string[];
  /** Which special token ends a text: the first when left out. */
  eosToken?: string;
  /** Which special token begins a text, if one does. It is not added by `encode`. */
  bosToken?: string;
  /** Which special token fills up: the one that ends a text when left out. */
  padToken?: string;
  /** Pairs seen less often are not merged: 2 when left out. */
  minimumCount?: number;
  /** Bytes of the longest token: without limit when left out. */
  maxTokenBytes?: number;
  /** Chat template (Jinja) of the tokenizer, if it is to have one. */
  chatTemplate?: string;
}

const PATTERNS: Record<BpePattern, string> = {
  words:
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" +
    "\\s+(?!\\S)|\\s+",
  long: "\\p{N}|[\\r\\n]+|[^\\p{N}\\r\\n}]+\\}?|\\}",
  code:
    "(?:[^\\p{L}\\p{N}]*'[\\p{L}_]+': ?)+[^\\p{L}\\p{N}]*|\\p{L}+[^\\p{L}\\p{N}]+\\p{Lu}{2,}[^\\p{L}\\p{N}]+|\\p{L}+|\\p{N}|" +
    "[^\\p{L}\\p{N}]+",
  items: "\\[\\p{N}+\\] |\\p{L}+ ['\"]|\\p{L}+ ?|\\p{N}{1,2}|['\"]?[\\r\\n]+|[^\\p{L}\\p{N}\\r\\n]+",
};

/**
 * Trains a byte-pair vocabulary on texts; the tokenizer is in Hugging Face's form.
 *
 * @param texts What it is trained on: about five megabytes and 4,096 merges take seconds.
 * @throws {RangeError} When an option is out of its range: names it.
 */
export function trainBpe(texts: Iterable<string>, options: BpeOptions): TextTokenizer {
  return workAtOnce(bpeTraining(texts, options));
}

/** {@linkcode trainBpe}, to be done bit by bit: it pauses after each text, some pieces, each merge. */
export function* bpeTraining(texts: Iterable<string>, options: BpeOptions): Generator<void, TextTokenizer> {
  const { vocabularySize, pattern = "words", minimumCount = 2, maxTokenBytes = Infinity } = options;
  const special = options.specialTokens ?? ["<|endoftext|>"];
  const least = 256 + special.length;
  if (!(Number.isSafeInteger(vocabularySize) && vocabularySize >= least && vocabularySize < MAX_TOKENS)) {
    throw new RangeError(
      `vocabularySize must be a whole number from ${least} (256 bytes, ${special.length} special tokens) to ` +
        `${MAX_TOKENS - 1}: received ${vocabularySize}`,
    );
  }
  if (new Set(special).size < special.length || special.includes("")) {
    throw new RangeError(`specialTokens must be different and not empty: received ${JSON.stringify(special)}`);
  }
  if (!Object.hasOwn(PATTERNS, pattern)) {
    throw new RangeError(`pattern must be one of ${Object.keys(PATTERNS).join(", ")}: received '${pattern}'`);
  }
  for (const [name, value] of Object.entries({ minimumCount, maxTokenBytes })) {
    if (!(value >= 1)) throw new RangeError(`${name} must be at least 1: received ${value}`);
  }
  const roles = rolesOf(options, special);
  const merger = new Merger(maxTokenBytes);
  yield* merger.fill(yield* countPieces(texts, pattern, special));
  const merges = yield* merger.run(vocabularySize - least, minimumCount);
  const files = new Map([
    ["tokenizer.json", tokenizerJson(merges, PATTERNS[pattern], special)],
    ["tokenizer_config.json", configJson(roles, special)],
  ]);
  if (options.chatTemplate !== undefined) files.set("chat_template.jinja", options.chatTemplate);
  return new TextTokenizer(files, "the trained tokenizer");
}

/** How often each piece occurs. */
function* countPieces(
  texts: Iterable<string>,
  pattern: BpePattern,
  special: readonly string[],
): Generator<void, Map<string, number>> {
  const cut = new RegExp(PATTERNS[pattern], "gu");
  const escaped = special.map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  const borders = escaped.length > 0 ? new RegExp(escaped.join("|")) : undefined;
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const section of borders ? text.split(borders) : [text]) {
      for (const [piece] of section.matchAll(cut)) counts.set(piece, (counts.get(piece) ?? 0) + 1);
    }
    yield;
  }
  return counts;
}

/** Ids must fit twice into an exact integer. */
const MAX_TOKENS = 2 ** 24;

/** Pieces that are taken in without a pause. */
const PIECES_AT_ONCE = 1024;

/** A pair of ids as one number; lower pairs are lower numbers. */
const keyOf = (left: number, right: number) => left * MAX_TOKENS + right;

/**
 * The merging itself. All different pieces lie one after the other in flat arrays, each symbol linked to its neighbours
 * within its piece; a merge visits only the places where its pair was seen.
 */
class Merger {
  /** Id at each place, −1 where a symbol has been merged into the one before it. */
  #symbols = new Int32Array();
  /** Place of the next and the previous symbol of the piece, or −1. */
  #next = new Int32Array();
  #previous = new Int32Array();
  /** How often the piece of each place occurs. */
  #weights = new Float64Array();
  /** How often each pair occurs, and where (or once did). */
  readonly #counts = new Map<number, number>();
  readonly #places = new Map<number, number[]>();
  readonly #lengths: number[] = new Array(256).fill(1);
  readonly #maxTokenBytes: number;

  constructor(maxTokenBytes: number) {
    this.#maxTokenBytes = maxTokenBytes;
  }

  /** Takes the pieces in, once. */
  *fill(pieces: ReadonlyMap<string, number>): Generator<void, void> {
    const encoder = new TextEncoder();
    let size = 0;
    const encoded: [Uint8Array, number][] = [];
    for (const [piece, count] of pieces) {
      const bytes = encoder.encode(piece);
      encoded.push([bytes, count]);
      size += bytes.length;
    }
    this.#symbols = new Int32Array(size);
    this.#next = new Int32Array(size);
    this.#previous = new Int32Array(size);
    this.#weights = new Float64Array(size);
    let at = 0;
    for (const [number, [bytes, count]] of encoded.entries()) {
      for (let i = 0; i < bytes.length; i++, at++) {
        this.#symbols[at] = ID_OF_BYTE[bytes[i]];
        this.#previous[at] = i === 0 ? -1 : at - 1;
        this.#next[at] = i === bytes.length - 1 ? -1 : at + 1;
        this.#weights[at] = count;
        if (i > 0) this.#add(keyOf(this.#symbols[at - 1], this.#symbols[at]), at - 1, count);
      }
      if (number % PIECES_AT_ONCE === 0) yield;
    }
  }

  /** Merges the most frequent pair again and again. Pairs of ids; merge number i makes id 256 + i. */
  *run(limit: number, minimumCount: number): Generator<void, [left: number, right: number][]> {
    const merges: [number, number][] = [];
    // The most frequent pair first.
    const queue = new PriorityQueue();
    for (const [key, count] of this.#counts) queue.push(key, -count);
    while (merges.length < limit) {
      const best = queue.pop();
      if (best === undefined || -best.priority < minimumCount) break;
      const count = this.#counts.get(best.value) ?? 0;
      if (count !== -best.priority) {
        // Merges since then took some of its places.
        if (count > 0) queue.push(best.value, -count);
        continue;
      }
      const left = Math.floor(best.value / MAX_TOKENS), right = best.value % MAX_TOKENS;
      const bytes = this.#lengths[left] + this.#lengths[right];
      if (bytes > this.#maxTokenBytes) continue;
      const id = 256 + merges.length;
      merges.push([left, right]);
      this.#lengths.push(bytes);
      for (const key of this.#merge(left, right, id)) queue.push(key, -this.#counts.get(key)!);
      yield;
    }
    return merges;
  }

  /** Replaces a pair everywhere. Gives the pairs that have come into being. */
  #merge(left: number, right: number, id: number): Iterable<number> {
    const key = keyOf(left, right), places = this.#places.get(key)!;
    // In a run of one symbol, pairs overlap: the first two belong together, as when text is encoded.
    if (left === right) places.sort((a, b) => a - b);
    this.#places.delete(key);
    const born = new Set<number>();
    for (const at of places) {
      const second = this.#next[at];
      if (this.#symbols[at] !== left || second < 0 || this.#symbols[second] !== right) continue;
      const weight = this.#weights[at], before = this.#previous[at], after = this.#next[second];
      this.#symbols[at] = id;
      this.#symbols[second] = -1;
      this.#next[at] = after;
      if (after >= 0) {
        this.#previous[after] = at;
        this.#remove(keyOf(right, this.#symbols[after]), weight);
        const pair = keyOf(id, this.#symbols[after]);
        this.#add(pair, at, weight);
        born.add(pair);
      }
      if (before >= 0) {
        this.#remove(keyOf(this.#symbols[before], left), weight);
        const pair = keyOf(this.#symbols[before], id);
        this.#add(pair, before, weight);
        born.add(pair);
      }
    }
    this.#counts.delete(key);
    return [...born].filter((pair) => (this.#counts.get(pair) ?? 0) > 0);
  }

  #add(key: number, at: number, weight: number): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + weight);
    const places = this.#places.get(key);
    if (places) places.push(at);
    else this.#places.set(key, [at]);
  }

  #remove(key: number, weight: number): void {
    const count = (this.#counts.get(key) ?? 0) - weight;
    if (count > 0) this.#counts.set(key, count);
    else this.#counts.delete(key);
  }
}

/**
 * GPT-2's letters for bytes: printable ones stand for themselves, the rest for the letters from U+0100 on. Ids follow the
 * letters' order.
 */
const LETTERS: readonly string[] = (() => {
  const letters: string[] = [];
  let other = 256;
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    letters.push(String.fromCharCode(isPrintable ? byte : other++));
  }
  return letters;
})();
const ALPHABET = [...LETTERS].sort();
const ID_OF_BYTE = LETTERS.map((letter) => ALPHABET.indexOf(letter));

function tokenizerJson(merges: [number, number][], pattern: string, special: readonly string[]): string {
  const tokens = [...ALPHABET];
  for (const [left, right] of merges) tokens.push(tokens[left] + tokens[right]);
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  const json = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content, i) => ({
      id: tokens.length + i,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
        byteLevel,
      ],
    },
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map(([left, right]) => [tokens[left], tokens[right]]),
    },
  };
  return JSON.stringify(json, null, 1) + "\n";
}

type Roles = Partial<Record<"eos_token" | "bos_token" | "pad_token", string>>;

function rolesOf({ eosToken, bosToken, padToken }: BpeOptions, special: readonly string[]): Roles {
  const end = eosToken ?? special[0];
  const roles = { eos_token: end, bos_token: bosToken, pad_token: padToken ?? end };
  for (const [name, token] of Object.entries({ eosToken, bosToken, padToken })) {
    if (token !== undefined && !special.includes(token)) {
      throw new RangeError(`${name} must be one of specialTokens ${JSON.stringify(special)}: received '${token}'`);
    }
  }
  return roles;
}

function configJson(roles: Roles, special: readonly string[]): string {
  const others = special.filter((token) => !Object.values(roles).includes(token));
  return JSON.stringify(
    {
      ...roles,
      ...(others.length > 0 ? { additional_special_tokens: others } : {}),
      clean_up_tokenization_spaces: false,
      tokenizer_class: "PreTrainedTokenizerFast",
    },
    null,
    2,
  ) + "\n";
}
