/**
 * What a text game's state and transition are: plain JSON values of the form that the ByteSized32-State-Prediction
 * benchmark writes, so that a row of its files, a step of a built-in game and a model's answer are the same kind of thing.
 *
 * Files and answers tell 20.0 from 20 (`io/json_value.ts`); built-in games use plain numbers only and need not know of this.
 *
 * Not here: reading files (`jsonl.ts`, `parquet.ts`), differences of states (`difference.ts`), scoring (`reward.ts`).
 *
 * Source: GPT-simulator, `data/`; RLVR-World, §5.1.
 */
import type { JsonNumber, JsonValue } from "../../io/json_value.ts";

/** An object of a game. */
export type GameObject = {
  /** The name with its id: `cup (ID: 4)`. */
  name: string;
  /** The id. */
  uuid: number;
  /** The class in the game's code: `Dish`. */
  type: string;
  /** What can change about the object. */
  properties: Record<string, JsonValue>;
  /** The names, ids included, of the objects inside; their order does not matter. */
  contains: string[];
};

/**
 * The score after a step; always with these three keys in this order.
 *
 * @internal
 */
export type GameScore = {
  /** Points. */
  score: JsonNumber;
  /** Whether the game has ended. */
  gameOver: boolean;
  /** Whether it has been won. */
  gameWon: boolean;
};

/**
 * A game's state as the benchmark's files have it.
 *
 * @internal
 */
export interface GameState {
  /** What the game said to the last action. */
  observation: string;
  /** The description of what is around. */
  look: string;
  /** The description of what the player has. */
  inventory: string;
  taskDesc: string;
  /** The action that led here. */
  lastAction: string;
  /** All objects, the world and the agent among them. */
  objects: GameObject[];
  /** The next free id: what new objects are numbered from. */
  max_UUID: number;
}

/** One step of a game: a row of the benchmark. */
export interface TextGameTransition {
  /** Name of the game it comes from: `boil-water`. */
  game: string;
  /** The row's number within its game. */
  stateId: number;
  /** The state before the action. */
  current: GameState;
  /** The score before the action. */
  currentScore: GameScore;
  /** The command that the player gave. */
  action: string;
  /** After the action and the passing of time: what is to be predicted. */
  next: GameState;
  /** The score afterwards: to be predicted as well. */
  nextScore: GameScore;
  /** After the action alone, before time passed; where the source has it. */
  actionState?: GameState;
}

/**
 * A state as it is scored: the objects and, last, the score.
 *
 * @internal
 */
export type ScoredState = readonly (GameObject | GameScore)[];

/** The state before the action as it is scored: objects ++ [score]. */
export function scoredCurrent(transition: TextGameTransition): ScoredState {
  return [...transition.current.objects, transition.currentScore];
}

/** The state to be predicted as it is scored: objects ++ [score]. */
export function scoredNext(transition: TextGameTransition): ScoredState {
  return [...transition.next.objects, transition.nextScore];
}
