/**
 * Questions and answers that are text, in a language model's tokens: what all worlds of text share.
 *
 * A question is a plain prompt or a conversation, an answer is text that ends with the tokenizer's end-of-text token, or with
 * another one that the model's files name. What is imitated always ends with the former.
 */
import type { ChatMessage, TextTokenizer } from "../models/text_tokenizer.ts";
import type { EncodedTransition, OpenAnswers, Tokens } from "./world.ts";

/** Something to be asked, and what likelihood training imitates. */
export interface LanguageExample {
  /** The prompt: plain text, or a conversation for the model's chat template. */
  readonly question: string | readonly ChatMessage[];
  /** What likelihood training imitates. */
  readonly target: string;
}

/**
 * Options of {@linkcode LanguageTokens}.
 *
 * @internal
 */
export interface LanguageTokensOptions {
  /** Of the model. Must have a token that ends a text. */
  tokenizer: TextTokenizer;
  /** Ids that end an answer beside the tokenizer's end of text: see `endTokens`. None when left out. */
  endTokens?: readonly number[];
  /** Rows of the model's embedding: the number of token ids. */
  vocabularySize: number;
  /** An answer is cut after so many tokens. */
  maxAnswerTokens: number;
  /** Plain prompts are put into the tokenizer's chat template as a user's message. */
  chat: boolean;
  /**
   * Likelihood training learns the prompts' tokens as well, for models that start from nothing. No when left out, as
   * published.
   */
  trainsQuestions?: boolean;
}

export class LanguageTokens {
  /** Answers end with the tokenizer's end of text, which comes first, or with another token that ends texts. */
  readonly openAnswers: OpenAnswers;
  readonly #options: LanguageTokensOptions;
  readonly #encoded = new WeakMap<LanguageExample, EncodedTransition>();
  readonly #newlines = new Map<number, number>();

  /**
   * Texts in a tokenizer's tokens.
   *
   * @throws {RangeError} When the tokenizer has no token that ends a text.
   */
  constructor(options: LanguageTokensOptions) {
    const { tokenizer, endTokens = [], maxAnswerTokens } = options;
    if (!tokenizer.eosToken) {
      throw new RangeError(`${tokenizer.source}: the tokenizer has no eos_token, which ends an answer: name one`);
    }
    this.#options = options;
    this.openAnswers = { endTokens: [...new Set([tokenizer.eosToken.id, ...endTokens])], maxTokens: maxAnswerTokens };
  }

  /** Tokens of an example's prompt and target, remembered. */
  encodeOne(example: LanguageExample): EncodedTransition {
    const known = this.#encoded.get(example);
    if (known) return known;
    const { tokenizer, chat, trainsQuestions = false } = this.#options, { question } = example;
    const isChat = chat || typeof question !== "string";
    const messages = typeof question === "string" ? [{ role: "user", content: question }] : question;
    const text = isChat ? tokenizer.chat(messages, { withoutTemplate: "concatenate" }) : question;
    // What the template wrote is complete; a plain prompt gets what the tokenizer puts around a text.
    const encodedQuestion = tokenizer.encode(text, { addSpecialTokens: !isChat });
    const target = tokenizer.encode(example.target, { addSpecialTokens: false });
    const tokens = new Int32Array(target.length + 1).fill(tokenizer.eosToken!.id);
    tokens.set(target);
    const encoded = {
      question: encodedQuestion,
      answer: { tokens, sampled: new Uint8Array(tokens.length).fill(1) },
      // The first token has nothing to be predicted from.
      trainedQuestionTokens: trainsQuestions ? encodedQuestion.length - 1 : 0,
    };
    this.#encoded.set(example, encoded);
    return encoded;
  }

  /** Number of the line that each of an answer's tokens begins in, from 0; at most `count` − 1. */
  linesOf(answer: Tokens, count: number): Uint16Array {
    let line = 0;
    return Uint16Array.from(answer, (token) => {
      const own = Math.min(line, count - 1);
      line += this.#newlinesOf(token);
      return own;
    });
  }

  /** Line ends in a token: single bytes in all of our vocabularies, so that a token by itself shows them. */
  #newlinesOf(token: number): number {
    let count = this.#newlines.get(token);
    if (count === undefined) {
      count = this.decode([token]).split("\n").length - 1;
      this.#newlines.set(token, count);
    }
    return count;
  }

  /** Texts of the special tokens that end answers; what an ordinary one says belongs to the answer. */
  get endTexts(): string[] {
    const special = this.openAnswers.endTokens.filter((id) => this.#options.tokenizer.decode([id]) === "");
    return special.map((id) => this.decode([id])).filter((text) => text !== "");
  }

  /** An answer's text, the token that ended it included. */
  decode(answer: ArrayLike<number>): string {
    return this.#options.tokenizer.decode(answer, { keepSpecial: true });
  }
}
