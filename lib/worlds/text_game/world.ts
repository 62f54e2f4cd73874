/**
 * Text games as a world: a transition becomes a prompt and the difference of states to answer with; what the model answers
 * is parsed, applied and scored.
 *
 * Answers end when the model says so. Their metrics are the rewards of the paper, released and strict (`reward.ts`); each
 * response is scored once, whatever many metrics ask.
 *
 * Source: RLVR-World §5.1, App. A.1.
 */
import type { ChatMessage } from "../../models/text_tokenizer.ts";
import { LanguageTokens, type LanguageTokensOptions } from "../language_tokens.ts";
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
  /** The state before the action: its objects and its score. */
  readonly current: ScoredState;
  /** The state to be predicted. */
  readonly next: ScoredState;
  /** The true answer's text, which likelihood training imitates. */
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

/**
 * What a model answered to an example.
 *
 * @internal
 */
export interface TextGameResponse {
  readonly example: TextGameExample;
  /** The text, the token that ended it included. */
  readonly response: string;
}

/** What a {@linkcode TextGameWorld} is made of. @linkcode TextGameWorld}. */
export type TextGameWorldOptions = LanguageTokensOptions;

const METRICS: Record<string, [strictness: Strictness, part: keyof TextGameReward]> = {
  binary: ["released", "binary"],
  taskSpecific: ["released", "taskSpecific"],
  strictBinary: ["strict", "binary"],
  strictTaskSpecific: ["strict", "taskSpecific"],
};

/** The world of text games: prompts ask, texts of changes answer; states are responses as text. */
export class TextGameWorld implements World<TextGameExample, readonly TextGameResponse[]> {
  /** `text-game`, for logs and error messages. */
  readonly name = "text-game";
  /** Rows that a model's embedding must have: one more than the tokenizer's highest id. */
  readonly vocabularySize: number;
  /** Answers end with a token that ends texts. */
  readonly openAnswers: OpenAnswers;
  /** `binary` and `taskSpecific` as released, `strictBinary` and `strictTaskSpecific`; all: higher is better. */
  readonly metrics: Readonly<Record<string, Metric<readonly TextGameResponse[]>>>;
  readonly #tokens: LanguageTokens;
  readonly #scored = new WeakMap<TextGameResponse, Map<Strictness, TextGameReward>>();

  /**
   * A world in a tokenizer's tokens.
   *
   * @throws {RangeError} When the tokenizer has no token that ends a text.
   */
  constructor(options: TextGameWorldOptions) {
    this.#tokens = new LanguageTokens(options);
    this.vocabularySize = options.vocabularySize;
    this.openAnswers = this.#tokens.openAnswers;
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
    return this.#tokens.encodeOne(example);
  }

  /** Prompts and targets in tokens. */
  encode(examples: readonly TextGameExample[]): Promise<EncodedTransition[]> {
    return Promise.resolve(examples.map((each) => this.encodeOne(each)));
  }

  /** The answers as text, each with the example that it belongs to. */
  decode(answers: readonly Tokens[], examples: readonly TextGameExample[]): Promise<TextGameResponse[]> {
    return Promise.resolve(answers.map((answer, i) => ({
      example: examples[i],
      response: this.#tokens.decode(answer),
    })));
  }

  /** The true answers as text. */
  truth(examples: readonly TextGameExample[]): Promise<TextGameResponse[]> {
    return Promise.resolve(examples.map((example) => ({ example, response: example.target })));
  }

  /** Responses by their places. */
  select(responses: readonly TextGameResponse[], places: readonly number[]): TextGameResponse[] {
    return places.map((i) => responses[i]);
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
