/**
 * Text games as a world: a transition becomes a prompt and the difference of states to answer with; what the model answers
 * is parsed, applied and scored.
 *
 * Answers end when the model says so. Their metrics are the rewards of the paper, released and strict (`reward.ts`); each
 * response is scored once, whatever many metrics ask.
 *
 * Source: RLVR-World §5.1, App. A.1.
 */
import type { ChatMessage, TextTokenizer } from "../../models/text_tokenizer.ts";
import type { EncodedTransition, Metric, OpenAnswers, Tokens, World } from "../world.ts";
import { answerText } from "./answer.ts";
import { isChanged, isGold, stateDifference, type Strictness } from "./difference.ts";
import type { ParquetRow } from "./parquet.ts";
import { buildPrompt, type PromptOptions } from "./prompt.ts";
import { scoreResponse, type TextGameReward } from "./reward.ts";
import { scoredCurrent, scoredNext, type ScoredState, type TextGameTransition } from "./state.ts";
import { parseScoredState } from "./state_json.ts";

/** A transition ready to be asked about. */
export interface TextGameExample {
  /** Where it comes from: `boil-tea 12`, for logs. */
  readonly name: string;
  /** The game; empty where the source does not say. */
  readonly game: string;
  /** The prompt: plain text, or a conversation for the model's chat template. */
  readonly question: string | readonly ChatMessage[];
  /** The state before. */
  readonly current: ScoredState;
  /** The state to be predicted. */
  readonly next: ScoredState;
  /** What likelihood training imitates. */
  readonly target: string;
  /** Whether objects or score change. */
  readonly isChanged: boolean;
  /** Whether a property of an object changes: what the mixing of GRPO's data goes by. */
  readonly isGold: boolean;
}

/** An example of a transition. @param options.strictness Of the target: see `difference.ts`. */
export function exampleOf(
  transition: TextGameTransition,
  options: PromptOptions & { strictness: Strictness },
): TextGameExample {
  const current = scoredCurrent(transition), next = scoredNext(transition);
  return {
    name: `${transition.game} ${transition.stateId}`,
    game: transition.game,
    question: buildPrompt(transition, options),
    target: answerText(stateDifference(current, next, options.strictness)),
    ...described(current, next),
  };
}

/**
 * An example of a row of the hub's files, with the row's own prompt.
 *
 * @throws {SyntaxError} When one of its states is not JSON.
 * @throws {TypeError} When one has another form, or the row has none.
 */
export function exampleOfRow(row: ParquetRow, strictness: Strictness): TextGameExample {
  if (row.dataState === undefined) throw new TypeError("it has no state (extra_info.data_state)");
  const current = parseScoredState(row.dataState), next = parseScoredState(row.groundTruth);
  return {
    name: `${row.split || "row"} ${row.index}`,
    game: "",
    question: row.prompt,
    target: answerText(stateDifference(current, next, strictness)),
    ...described(current, next),
  };
}

function described(current: ScoredState, next: ScoredState) {
  return { current, next, isChanged: isChanged(current, next), isGold: isGold(current, next) };
}

/** What a model answered to an example. */
export interface TextGameResponse {
  /** What was asked. */
  readonly example: TextGameExample;
  /** The text, the token that ended it included. */
  readonly response: string;
}

/** Options of {@linkcode TextGameWorld}. */
export interface TextGameWorldOptions {
  /** Of the model. Must have a token that ends a text. */
  tokenizer: TextTokenizer;
  /** Rows of the model's embedding: the number of token ids. */
  vocabularySize: number;
  /** An answer is cut after so many tokens. */
  maxAnswerTokens: number;
  /** Plain prompts are put into the tokenizer's chat template as a user's message. */
  chat: boolean;
  /**
   * Likelihood training learns the prompts' tokens as well. For models that start from nothing: states say each name many
   * times, so it is there that copying is learned soonest. No when left out, as published.
   */
  trainsQuestions?: boolean;
}

const METRICS: Record<string, [strictness: Strictness, part: keyof TextGameReward]> = {
  binary: ["released", "binary"],
  taskSpecific: ["released", "taskSpecific"],
  strictBinary: ["strict", "binary"],
  strictTaskSpecific: ["strict", "taskSpecific"],
};

/** See the file's head. */
export class TextGameWorld implements World<TextGameExample, readonly TextGameResponse[]> {
  /** `text-game`. */
  readonly name = "text-game";
  /** Number of token ids. */
  readonly vocabularySize: number;
  /** Answers end with the tokenizer's end of text. */
  readonly openAnswers: OpenAnswers;
  /** `binary` and `taskSpecific` as released, `strictBinary` and `strictTaskSpecific`; all: higher is better. */
  readonly metrics: Readonly<Record<string, Metric<readonly TextGameResponse[]>>>;
  readonly #options: TextGameWorldOptions;
  readonly #encoded = new WeakMap<TextGameExample, EncodedTransition>();
  readonly #scored = new WeakMap<TextGameResponse, Map<Strictness, TextGameReward>>();

  /**
   * A world in a tokenizer's tokens.
   *
   * @throws {RangeError} When the tokenizer has no token that ends a text.
   */
  constructor(options: TextGameWorldOptions) {
    const { tokenizer, vocabularySize, maxAnswerTokens } = options;
    if (!tokenizer.eosToken) {
      throw new RangeError(`${tokenizer.source}: the tokenizer has no eos_token, which ends an answer: name one`);
    }
    this.#options = options;
    this.vocabularySize = vocabularySize;
    this.openAnswers = { endTokens: [tokenizer.eosToken.id], maxTokens: maxAnswerTokens };
    this.metrics = Object.fromEntries(
      Object.entries(METRICS).map(([name, [strictness, part]]) => [name, {
        better: "higher",
        compute: (responses: readonly TextGameResponse[]) =>
          Promise.resolve(Float32Array.from(responses, (each) => this.score(each, strictness)[part])),
      }]),
    );
  }

  /** Tokens of an example's prompt and target, remembered. */
  encodeOne(example: TextGameExample): EncodedTransition {
    const known = this.#encoded.get(example);
    if (known) return known;
    const { tokenizer, chat, trainsQuestions = false } = this.#options, { question } = example;
    const isChat = chat || typeof question !== "string";
    const messages = typeof question === "string" ? [{ role: "user", content: question }] : question;
    const text = isChat ? tokenizer.chat(messages, { withoutTemplate: "concatenate" }) : question;
    // What the template wrote is complete; a plain prompt gets what the tokenizer puts around a text.
    const encodedQuestion = tokenizer.encode(text, { addSpecialTokens: !isChat });
    const tokens = Int32Array.of(
      ...tokenizer.encode(example.target, { addSpecialTokens: false }),
      tokenizer.eosToken!.id,
    );
    const encoded = {
      question: encodedQuestion,
      answer: { tokens, sampled: new Uint8Array(tokens.length).fill(1) },
      // The first token has nothing to be predicted from.
      trainedQuestionTokens: trainsQuestions ? encodedQuestion.length - 1 : 0,
    };
    this.#encoded.set(example, encoded);
    return encoded;
  }

  /** Prompts and targets in tokens. */
  encode(examples: readonly TextGameExample[]): Promise<EncodedTransition[]> {
    return Promise.resolve(examples.map((each) => this.encodeOne(each)));
  }

  /** The responses as text. */
  decode(answers: readonly Tokens[], examples: readonly TextGameExample[]): Promise<TextGameResponse[]> {
    return Promise.resolve(answers.map((answer, i) => ({
      example: examples[i],
      response: this.#options.tokenizer.decode(answer, { keepSpecial: true }),
    })));
  }

  /** The targets as responses. */
  truth(examples: readonly TextGameExample[]): Promise<TextGameResponse[]> {
    return Promise.resolve(examples.map((example) => ({ example, response: example.target })));
  }

  /** Both rewards of a response, computed once. */
  score(response: TextGameResponse, strictness: Strictness): TextGameReward {
    let scores = this.#scored.get(response);
    if (!scores) this.#scored.set(response, scores = new Map());
    let score = scores.get(strictness);
    if (!score) {
      const { example: { current, next }, response: text } = response;
      scores.set(strictness, score = scoreResponse(text, current, next, strictness));
    }
    return score;
  }
}
