/**
 * Walks through the built-in games and collects their transitions: data of the benchmark's form for a fresh clone.
 *
 * A walk begins with a scene of its own and mixes what an expert would do, random valid actions and some that are invalid
 * or unknown, in shares that differ from walk to walk, so that the states on the way to a win are seen as well as those
 * off it. It ends with the game. No pair of state and action is collected twice, and held-out transitions come from scenes
 * that training never enters; where two scenes still meet in the same pair, it is kept from the held-out ones.
 *
 * Not here: files of transitions (`worlds/text_game/jsonl.ts`); which rows a training step draws.
 */

import { STREAM } from "../../base/streams.ts";
import { workAtOnce } from "../../base/breather.ts";
import { Philox } from "../../tensor/random.ts";
import { isChanged } from "../../worlds/text_game/difference.ts";
import { type GameState, scoredCurrent, scoredNext, type TextGameTransition } from "../../worlds/text_game/state.ts";
import { letters, pick, type TextGame } from "./game.ts";
import { TEXT_GAMES } from "./games.ts";

/**
 * How many transitions of which games.
 *
 * @internal
 */
export interface BuiltInOptions {
  seed: number;
  /** Training transitions of each game; over 0. */
  perGame: number;
  /** Held-out transitions of each game; a tenth of `perGame`, rounded up, unless given. */
  heldOutPerGame?: number;
  /** Names of the games; all unless given. */
  games?: readonly string[];
  /**
   * Share of transitions, in 0..1, that change an object or the score. As it comes unless given. A game that does not have
   * enough of one kind (in `solar-radio` every step changes the hour) fills up with the other.
   */
  changedShare?: number;
}

/**
 * Transitions in the order of the games and walks; `stateId` counts through both parts of a game.
 *
 * @internal
 */
export interface BuiltInTransitions {
  /** To train with. */
  train: TextGameTransition[];
  /** From other scenes, without any (state, action) of `train`. */
  heldOut: TextGameTransition[];
}

/** A walk that has not ended by then is left. */
const MOST_STEPS = 24;
/** Each new transition is collected with this probability: more scenes for as many rows. */
const COLLECTED = 0.5;
/** Shares of expert actions; each walk has one. */
const EXPERT_SHARES = [0, 0.3, 0.6, 0.9] as const;
const INVALID_SHARE = 0.06;
/** After so many walks in a row without anything that is still wanted, there is no more of it to be had. */
const PATIENCE = 100;

/**
 * Transitions of the built-in games to train with, and others to judge by.
 *
 * @throws {RangeError} when an option is out of its range, a game is unknown, or a game has fewer different transitions
 * than are asked for.
 */
export function builtInTransitions(options: BuiltInOptions): BuiltInTransitions {
  return workAtOnce(builtInCrawl(options));
}

/** {@linkcode builtInTransitions}, to be done bit by bit: it pauses after each walk. */
export function* builtInCrawl(options: BuiltInOptions): Generator<void, BuiltInTransitions> {
  const { seed, perGame, heldOutPerGame = Math.ceil(perGame / 10), changedShare } = options;
  for (const [name, value, least] of [["perGame", perGame, 1], ["heldOutPerGame", heldOutPerGame, 0]] as const) {
    if (!Number.isSafeInteger(value) || value < least) {
      throw new RangeError(`${name} must be an integer of at least ${least}: received ${value}`);
    }
  }
  if (changedShare !== undefined && !(changedShare >= 0 && changedShare <= 1)) {
    throw new RangeError(`changedShare must be in 0..1: received ${changedShare}`);
  }
  const result: BuiltInTransitions = { train: [], heldOut: [] };
  for (const name of options.games ?? Object.keys(TEXT_GAMES)) {
    const game = textGame(name), seen = new Set<string>();
    const train = yield* gameCrawl(game, { seed, count: perGame, isHeldOut: false, changedShare, seen });
    const heldOut = yield* gameCrawl(game, { seed, count: heldOutPerGame, isHeldOut: true, changedShare, seen });
    [...train, ...heldOut].forEach((transition, stateId) => transition.stateId = stateId);
    for (const transition of train) result.train.push(transition);
    for (const transition of heldOut) result.heldOut.push(transition);
  }
  return result;
}

/**
 * The built-in game of this name.
 *
 * @throws {RangeError} when there is none.
 */
export function textGame(name: string): TextGame {
  if (Object.hasOwn(TEXT_GAMES, name)) return TEXT_GAMES[name];
  throw new RangeError(`unknown text game "${name}": there are ${Object.keys(TEXT_GAMES).join(", ")}`);
}

/** What tells transitions apart: the game, the objects and the score before, the next free id, and the action. */
export function transitionKey({ game, current, currentScore, action }: TextGameTransition): string {
  return JSON.stringify([game, current.objects, currentScore, current.max_UUID, action]);
}

/** What to collect of one game; see {@linkcode crawlGame}. */
export interface CrawlOptions {
  seed: number;
  /** How many transitions. */
  count: number;
  /** Whether to walk through held-out scenes or those of training. */
  isHeldOut: boolean;
  /** As in {@linkcode BuiltInOptions}. */
  changedShare?: number;
  /** Keys ({@linkcode transitionKey}) of transitions that are not wanted; those that are collected are added. */
  seen: Set<string>;
}

/**
 * Collects transitions of one game; their `stateId` is the step of the walk.
 *
 * @throws {RangeError} when the game has fewer different transitions.
 */
export function crawlGame(game: TextGame, options: CrawlOptions): TextGameTransition[] {
  return workAtOnce(gameCrawl(game, options));
}

function* gameCrawl(game: TextGame, options: CrawlOptions): Generator<void, TextGameTransition[]> {
  const { seed, count, isHeldOut, changedShare, seen } = options;
  const collected: TextGameTransition[] = [];
  const wanted = { changed: count, unchanged: count };
  if (changedShare !== undefined) {
    wanted.changed = Math.round(count * changedShare);
    wanted.unchanged = count - wanted.changed;
  }
  let idle = 0;
  for (let walk = 0; collected.length < count; walk++) {
    if (idle === PATIENCE) {
      const isFilling = wanted.changed + wanted.unchanged > count;
      if (isFilling) {
        const part = isHeldOut ? "held-out" : "training";
        throw new RangeError(
          `${game.name} has only about ${collected.length} different ${part} transitions: ask for fewer than ${count}`,
        );
      }
      wanted.changed = wanted.unchanged = count;
      idle = 0;
    }
    const random = new Philox(seed, STREAM.gameWalk, ...letters(game.name), Number(isHeldOut), walk);
    const before = collected.length;
    for (const transition of walkThrough(game, sceneSeed(random, isHeldOut), random)) {
      const kind = isChanged(scoredCurrent(transition), scoredNext(transition)) ? "changed" : "unchanged";
      const key = transitionKey(transition);
      if (wanted[kind] === 0 || collected.length === count || random.uniform() >= COLLECTED || seen.has(key)) continue;
      seen.add(key);
      collected.push(transition);
      wanted[kind]--;
    }
    idle = collected.length > before ? 0 : idle + 1;
    yield;
  }
  return collected;
}

/** Training enters scenes of even seeds, held-out walks those of odd ones, whatever the crawl's seed. */
function sceneSeed(random: Philox, isHeldOut: boolean): number {
  return 2 * random.integer(0, 2 ** 31) + Number(isHeldOut);
}

/** One walk from a first state to the game's end. */
function* walkThrough(game: TextGame, scene: number, random: Philox): Generator<TextGameTransition> {
  const expertShare = pick(random, EXPERT_SHARES);
  let current = game.start(scene);
  for (let step = 0; step < MOST_STEPS; step++) {
    const action = nextAction(game, current, expertShare, random);
    const { actionState, nextState: next, currentScore, nextScore } = game.step(current, action);
    yield { game: game.name, stateId: step, current, currentScore, action, next, nextScore, actionState };
    if (nextScore.gameOver) return;
    current = next;
  }
}

function nextAction(game: TextGame, state: GameState, expertShare: number, random: Philox): string {
  const dice = random.uniform();
  if (dice < INVALID_SHARE) return strangeAction(game, state, random);
  if (dice < INVALID_SHARE + (1 - INVALID_SHARE) * expertShare) return game.expertAction(state);
  return pick(random, game.validActions(state));
}

/** What a player says who has not read the rules: verbs that the game lacks, and things in each other's places. */
function strangeAction(game: TextGame, state: GameState, random: Philox): string {
  const name = () => pick(random, state.objects).name;
  const choices = [
    () => `${pick(random, ["eat", "kick", "use", "push"])} ${name()}`,
    () => `take ${name()}`,
    () => `put ${name()} in ${name()}`,
    () => pick(random, game.validActions(state)).replace(/[^ ]+ \(ID: \d+\)/, name),
  ];
  return pick(random, choices)();
}
