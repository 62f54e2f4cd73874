/**
 * What a language model's folder says of itself, for text games: its tokenizer, the world in its tokens, its longest sequence.
 */
import type { TextTokenizer } from "../../models/text_tokenizer.ts";
import { TextGameWorld } from "../../worlds/text_game/world.ts";
import { checkEndsTexts, readLanguageModelFolder } from "../language/model_store.ts";
import type { TextGameConfig } from "./config.ts";

/** The world in a model's tokens. */
export interface TextGameTokens {
  /** The model's tokenizer. */
  tokenizer: TextTokenizer;
  /** The world in the tokenizer's tokens. */
  world: TextGameWorld;
  /** Tokens of the model's longest sequence. */
  maxPositions: number;
  /** What the user should know of the model, a line each. */
  notes: readonly string[];
}

/**
 * Reads a folder's tokenizer and sizes.
 *
 * @throws {UserError} As `readLanguageModelFolder` does.
 */
export async function readTextGameTokens(folder: string, config: TextGameConfig): Promise<TextGameTokens> {
  const { tokenizer, vocabularySize, maxPositions, endTokens, notes } = await readLanguageModelFolder(folder);
  return { tokenizer, world: textGameWorld(tokenizer, vocabularySize, config, endTokens), maxPositions, notes };
}

/**
 * The world in a tokenizer's tokens.
 *
 * @param endTokens Ids that end an answer beside the tokenizer's end of text, as a model's files name them.
 * @throws {UserError} When the tokenizer has no token that ends a text.
 */
export function textGameWorld(
  tokenizer: TextTokenizer,
  vocabularySize: number,
  config: TextGameConfig,
  endTokens: readonly number[] = [],
): TextGameWorld {
  checkEndsTexts(tokenizer);
  return new TextGameWorld({
    tokenizer,
    endTokens,
    vocabularySize,
    maxAnswerTokens: config.data.maxAnswerTokens,
    chat: tokenizer.chatTemplate !== undefined,
    trainsQuestions: config.likelihood.trainsQuestions,
  });
}
