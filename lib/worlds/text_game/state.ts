/**
 * What a text game's state and transition are: plain JSON values of the form that the ByteSized32-State-Prediction
 * benchmark writes, so that a row of its files, a step of a built-in game and a model's answer are the same kind of thing.
 *
 * Prompts and answers show states as Python shows them, where 20 and 20.0 look different although they are equal. A number
 * that was written with a point but has no fraction is therefore read as a {@linkcode PythonFloat}; every other number is
 * a plain one. Built-in games use plain numbers only and need not know of this.
 *
 * Not here: reading files (`jsonl.ts`, `parquet.ts`), differences of states (`difference.ts`), scoring (`reward.ts`).
 *
 * Source: GPT-simulator, `data/`; RLVR-World, §5.1.
 */

/**
 * A Python float without a fraction (20.0), kept apart from the integer 20 because the two are printed differently.
 *
 * `Number(x)` is the number and `JSON.stringify` writes it as it was read; `===` compares objects, not numbers.
 */
export class PythonFloat {
  /** The number: integral, infinite or NaN. */
  readonly value: number;

  /** Wraps a number without a fraction; one with a fraction needs no wrapping. */
  constructor(value: number) {
    this.value = value;
    Object.freeze(this);
  }

  /** The number itself. */
  valueOf(): number {
    return this.value;
  }

  /** Python's repr: `20.0`, `1e+16`, `inf`. */
  toString(): string {
    return pythonFloatRepr(this.value);
  }

  /** Writes `20.0`, not `20`, so that a file read and written again is the same. */
  toJSON(): unknown {
    return JSON_WITH_RAW.rawJSON(Number.isFinite(this.value) ? pythonFloatRepr(this.value) : "null");
  }
}

/** TypeScript's library does not know `JSON.rawJSON` yet; the engine does. */
const JSON_WITH_RAW = JSON as unknown as { rawJSON(text: string): unknown };

/** A number as read from a file. */
export type JsonNumber = number | PythonFloat;

/** A JSON value; see {@linkcode PythonFloat} for its numbers. */
export type JsonValue = null | boolean | JsonNumber | string | JsonValue[] | { [key: string]: JsonValue };

/** An object of a game. */
export interface GameObject {
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
}

/** The score after a step; always with these three keys in this order. */
export interface GameScore {
  /** Points. */
  score: JsonNumber;
  /** Whether the game has ended. */
  gameOver: boolean;
  /** Whether it has been won. */
  gameWon: boolean;
}

/** A game's state as the benchmark's files have it. */
export interface GameState {
  /** What the game said to the last action. */
  observation: string;
  /** The description of what is around. */
  look: string;
  /** The description of what the player has. */
  inventory: string;
  /** The task in words. */
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
  /** The game's name: `boil-water`. */
  game: string;
  /** The row's number within its game. */
  stateId: number;
  /** Before the action. */
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

/** A state as it is scored: the objects and, last, the score. */
export type ScoredState = readonly (GameObject | GameScore)[];

/** The state before the action as it is scored: objects ++ [score]. */
export function scoredCurrent(transition: TextGameTransition): ScoredState {
  return [...transition.current.objects, transition.currentScore];
}

/** The state to be predicted as it is scored: objects ++ [score]. */
export function scoredNext(transition: TextGameTransition): ScoredState {
  return [...transition.next.objects, transition.nextScore];
}

/**
 * A float as Python's `repr` prints it: the shortest digits that read back as the same number, a point always, an exponent
 * of at least two digits below 1e-4 and from 1e16 on.
 */
export function pythonFloatRepr(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 1e16) {
    // JavaScript turns to exponents below 1e-6 and from 1e21 on only, so this has none.
    const digits = String(value);
    return digits.includes(".") ? digits : `${digits}.0`;
  }
  const [mantissa, exponent] = value.toExponential().split("e");
  const sign = exponent[0];
  return `${mantissa}e${sign}${exponent.slice(1).padStart(2, "0")}`;
}
