/**
 * Web pages as a world: a transition becomes a prompt and the changes of items to answer with; what the model answers is read
 * as lists of items and scored by F1.
 *
 * Answers end when the model says so. Each response is scored once, whatever many metrics ask.
 *
 * Source: RLVR-World §5.2, App. A.2.
 */
import type { ChatMessage } from "../../models/text_tokenizer.ts";
import { LanguageTokens, type LanguageTokensOptions } from "../language_tokens.ts";
import type { AnswerParts, EncodedTransition, Metric, OpenAnswers, Tokens, World } from "../world.ts";
import { type F1Options, type F1Score, lineContributions, scoreChanges } from "./f1_reward.ts";
import type { WebPageRow } from "./parquet.ts";
import { buildWebPrompt, type WebPromptStyle } from "./prompt.ts";
import { answerOf, type WebPageTransition, type WebQuestion } from "./transition.ts";

/** A transition ready to be asked about. */
export interface WebPageExample {
  /** Where it comes from: `walk 3, step 4`, for logs. */
  readonly name: string;
  /** What shares pages with it (a task, a walk, a shop): drawn together where intervals are computed, held out together. */
  readonly group: string;
  /** The prompt: plain text, or a conversation for the model's chat template. */
  readonly question: string | readonly ChatMessage[];
  /** The true answer's text, which likelihood training imitates. */
  readonly target: string;
  /** The true changes, as the text with three sections. */
  readonly truth: string;
  /** What is asked, taken apart; undefined where only the prompt is known. */
  readonly asked: WebQuestion | undefined;
}

/** An example of a recorded transition. */
export function webPageExample(transition: WebPageTransition, style: WebPromptStyle): WebPageExample {
  const truth = answerOf(transition);
  return {
    name: `walk ${transition.taskId}, step ${transition.step}`,
    group: `walk ${transition.taskId}`,
    question: buildWebPrompt(transition, style),
    target: truth,
    truth,
    asked: transition,
  };
}

/** How an example is made of a row. */
export interface RowExampleOptions {
  /** `given`: the row's own prompt. */
  style: WebPromptStyle | "given";
  /** What is imitated: the changes alone, or the row's answer with its chain of thought. */
  target: "changes" | "answer";
}

/**
 * An example of a row of the hub's files.
 *
 * @throws {TypeError} When the row lacks what is asked for.
 */
export function webPageExampleOfRow(row: WebPageRow, { style, target }: RowExampleOptions): WebPageExample {
  if (target === "answer" && row.answer === undefined) throw new TypeError("it has no answer to imitate (answer)");
  if (style !== "given" && row.question === undefined) {
    throw new TypeError("its prompt has not the fields URL … CURRENT ACTION that another prompt is built from");
  }
  return {
    name: `task ${row.taskId}, step ${row.step}`,
    group: `task ${row.taskId}`,
    question: style === "given" ? row.prompt : buildWebPrompt(row.question!, style),
    target: target === "answer" ? row.answer! : row.truth,
    truth: row.truth,
    asked: row.question,
  };
}

/**
 * What a model answered to an example.
 *
 * @internal
 */
export interface WebPageResponse {
  readonly example: WebPageExample;
  /** The text, the token that ended it included. */
  readonly response: string;
}

/** What a {@linkcode WebPageWorld} is made of. @linkcode WebPageWorld}. */
export interface WebPageWorldOptions extends LanguageTokensOptions {
  /** As the released scorer: the text of the end token stays on the last item, which then never matches. @default {false} */
  keepEndOfSequence?: boolean;
}

/** Lines of an answer that are credited each by itself; those beyond count as one. */
const LINES = 128;

/** The world of web pages: page and action ask, a list of changes answers; states are responses as text. */
export class WebPageWorld implements World<WebPageExample, readonly WebPageResponse[]> {
  /** `web-page`, for logs and error messages. */
  readonly name = "web-page";
  /** Rows that a model's embedding must have: one more than the tokenizer's highest id. */
  readonly vocabularySize: number;
  /** Answers end with a token that ends texts. */
  readonly openAnswers: OpenAnswers;
  /** Lines: a token belongs to the line that it begins in, and what ends a line to that line. */
  readonly answerParts: AnswerParts;
  /** `f1`, `precision` and `recall`; all: higher is better. Of `f1` it is known what each line adds. */
  readonly metrics: Readonly<Record<keyof F1Score, Metric<readonly WebPageResponse[]>>>;
  readonly #tokens: LanguageTokens;
  readonly #scoring: F1Options;
  readonly #scored = new WeakMap<WebPageResponse, F1Score>();

  /**
   * A world in a tokenizer's tokens.
   *
   * @throws {RangeError} When the tokenizer has no token that ends a text.
   */
  constructor(options: WebPageWorldOptions) {
    this.#tokens = new LanguageTokens(options);
    this.#scoring = { keepEndOfSequence: options.keepEndOfSequence, endOfSequence: this.#tokens.endTexts };
    this.vocabularySize = options.vocabularySize;
    this.openAnswers = this.#tokens.openAnswers;
    const scores = (responses: readonly WebPageResponse[], part: keyof F1Score) =>
      Float32Array.from(responses, (response) => this.score(response)[part]);
    const metric = (part: keyof F1Score): Metric<readonly WebPageResponse[]> => ({
      better: "higher",
      compute: (responses) => Promise.resolve(scores(responses, part)),
    });
    const computeParts: Metric<readonly WebPageResponse[]>["computeParts"] = (responses) => {
      const contributions = new Float32Array(responses.length * LINES);
      for (const [i, { response, example }] of responses.entries()) {
        contributions.set(lineContributions(response, example.truth, LINES, this.#scoring), i * LINES);
      }
      return Promise.resolve({ values: scores(responses, "f1"), contributions });
    };
    this.metrics = { f1: { ...metric("f1"), computeParts }, precision: metric("precision"), recall: metric("recall") };
    this.answerParts = { count: LINES, of: (answer) => this.#tokens.linesOf(answer, LINES) };
  }

  /** Tokens of an example's prompt and target, remembered. */
  encodeOne(example: WebPageExample): EncodedTransition {
    return this.#tokens.encodeOne(example);
  }

  /** Prompts and targets in tokens. */
  encode(examples: readonly WebPageExample[]): Promise<EncodedTransition[]> {
    return Promise.resolve(examples.map((each) => this.encodeOne(each)));
  }

  /** The answers as text, each with the example that it belongs to. */
  decode(answers: readonly Tokens[], examples: readonly WebPageExample[]): Promise<WebPageResponse[]> {
    return Promise.resolve(
      answers.map((answer, i) => ({ example: examples[i], response: this.#tokens.decode(answer) })),
    );
  }

  /** The true changes as responses. */
  truth(examples: readonly WebPageExample[]): Promise<WebPageResponse[]> {
    return Promise.resolve(examples.map((example) => ({ example, response: example.truth })));
  }

  /** Responses by their places. */
  select(responses: readonly WebPageResponse[], places: readonly number[]): WebPageResponse[] {
    return places.map((i) => responses[i]);
  }

  /** Precision, recall and F1 of a response, computed once. */
  score(response: WebPageResponse): F1Score {
    let score = this.#scored.get(response);
    if (!score) {
      score = scoreChanges(response.response, response.example.truth, this.#scoring);
      this.#scored.set(response, score);
    }
    return score;
  }
}
