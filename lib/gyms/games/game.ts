/**
 * What a built-in text game is, and how one is made of a scene, verbs, a tick and a score.
 *
 * Every function of a game is pure: a state is plain JSON and all that a step depends on, so that a transition read from a
 * file can be replayed. A step has two halves, as in ByteSized32: the action's own effect, then the passing of time, which
 * comes after every action, understood or not. The games are our own; only their form is ByteSized32's.
 *
 * Not here: walking through games and writing rows (`crawl.ts`).
 */

import { STREAM } from "../../base/streams.ts";
import { Philox } from "../../tensor/random.ts";
import type { GameRules } from "../../worlds/text_game/prompt.ts";
import type { GameObject, GameScore, GameState } from "../../worlds/text_game/state.ts";
import { type Properties, Scene } from "./scene.ts";
import { LOOK, offeredActions, parseAction, type Verb, WAIT } from "./verbs.ts";

/**
 * A game. Its states are plain JSON; none of its functions changes what it is given.
 *
 * @internal
 */
export interface TextGame {
  /** The name that rows carry: `boil-tea`. */
  readonly name: string;
  /** The task in words; the same for every seed. */
  readonly taskDescription: string;
  /** What prompts tell about the game. */
  readonly rules: GameRules;
  /** The first state; the seed decides things, ids and numbers. */
  start(seed: number): GameState;
  /** The actions that make sense; some of them fail. */
  validActions(state: GameState): string[];
  /** Takes an action, any text, and lets time pass. */
  step(state: GameState, action: string): {
    /** After the action's own effect. */
    actionState: GameState;
    /** After the passing of time as well. */
    nextState: GameState;
    /** The score of the state before. */
    currentScore: GameScore;
    /** The score of `nextState`. */
    nextScore: GameScore;
  };
  /** The score of a state. */
  score(state: GameState): GameScore;
  /** What a player who knows the game does next. */
  expertAction(state: GameState): string;
  /** Actions that win the game from `start(seed)`. */
  solution(seed: number): string[];
}

/** A thing of a first state. */
export interface Thing {
  /** The name without an id: `cup`. */
  kind: string;
  /** The type that rules speak of: `Vessel`. */
  type: string;
  /** Its properties at the beginning. */
  properties: Properties;
  /** What is inside. */
  contains: Thing[];
}

/** What a game is made of; see {@linkcode defineGame}. */
export interface GameDefinition {
  /** The name that rows carry. */
  name: string;
  taskDescription: string;
  /** One line a type: its properties and what time does to it. */
  objectRules: readonly string[];
  /** How the score is made of the state. */
  scoreRule: string;
  /** What the player can do, besides looking and waiting. */
  verbs: readonly Verb[];
  /** The place's kinds, one of which is drawn, and its properties of its own. */
  place: { kinds: readonly string[]; properties?: Properties };
  /** What is in the place. */
  things(random: Philox): Thing[];
  /** What time does. */
  tick(scene: Scene): void;
  /** Points, and whether the game is won or lost. */
  score(scene: Scene): { score: number; won?: boolean; lost?: boolean };
  /** The next action of a player who knows how to win; undefined waits. */
  expert(scene: Scene): string | undefined;
}

/** No solution is longer. */
const MOST_STEPS = 200;

/** A thing of a first state. */
export function thing(kind: string, type: string, properties: Properties, contains: Thing[] = []): Thing {
  return { kind, type, properties, contains };
}

/** One of several. */
export function pick<T>(random: Philox, choices: readonly T[]): T {
  return choices[random.integer(0, choices.length)];
}

/** Several different ones, in random order. */
export function pickSeveral<T>(random: Philox, choices: readonly T[], count: number): T[] {
  return [...random.permutation(choices.length).slice(0, count)].map((index) => choices[index]);
}

/** A moveable thing that serves no purpose, of no type that a rule speaks of. */
export function distractor(random: Philox, kinds: readonly string[] = ["book", "spoon", "sock", "toy", "comb"]): Thing {
  return thing(pick(random, kinds), "Item", { isMoveable: true });
}

/** The action that brings the thing nearer to the agent's hands: none once it is there. */
export function hold(scene: Scene, thing: GameObject): string | undefined {
  return scene.isHeld(thing) ? undefined : `take ${thing.name}`;
}

/** The action that brings the thing nearer to the container: none once it is there. */
export function bring(scene: Scene, thing: GameObject, container: GameObject): string | undefined {
  if (scene.isIn(thing, container)) return undefined;
  return hold(scene, thing) ?? `put ${thing.name} in ${container.name}`;
}

/** Makes a game of its parts. */
export function defineGame(definition: GameDefinition): TextGame {
  const verbs = [...definition.verbs, LOOK, WAIT];
  const score = (state: GameState): GameScore => {
    const { score, won = false, lost = false } = definition.score(new Scene(state));
    return { score, gameOver: won || lost, gameWon: won };
  };
  const game: TextGame = {
    name: definition.name,
    taskDescription: definition.taskDescription,
    rules: {
      object: [...COMMON_RULES, ...definition.objectRules].join("\n"),
      action: verbs.map((verb) => verb.rule).join("\n"),
      score: definition.scoreRule,
    },
    start: (seed) => firstState(definition, seed),
    validActions: (state) => offeredActions(new Scene(state), verbs),
    step(state, action) {
      const scene = new Scene(state);
      const parsed = parseAction(scene, verbs, action);
      const observation = typeof parsed === "string" ? parsed : parsed.verb.does(scene, ...parsed.objects);
      const actionState = scene.toState(observation, action);
      definition.tick(scene);
      const nextState = scene.toState(observation, action);
      return { actionState, nextState, currentScore: score(state), nextScore: score(nextState) };
    },
    score,
    expertAction: (state) => definition.expert(new Scene(state)) ?? "wait",
    solution(seed) {
      const actions: string[] = [];
      let state = game.start(seed);
      while (!score(state).gameOver && actions.length < MOST_STEPS) {
        const action = game.expertAction(state);
        actions.push(action);
        state = game.step(state, action).nextState;
      }
      if (!score(state).gameWon) throw new Error(`no solution found for ${game.name} with seed ${seed}`);
      return actions;
    },
  };
  return Object.freeze(game);
}

const COMMON_RULES = [
  "isMoveable: whether the agent can take the object. isOpen: the object is a container; what is inside is out of reach " +
  "while it is false. contains: the names of the objects directly inside; the agent holds what is in it.",
];

/** A name as numbers, for a stream's name. */
export function letters(name: string): number[] {
  return [...name].map((letter) => letter.charCodeAt(0));
}

/** Places the things: ids in random order, the place first, the agent with the first id. */
function firstState(definition: GameDefinition, seed: number): GameState {
  const random = new Philox(seed, STREAM.gameScene, ...letters(definition.name));
  const place = pick(random, definition.place.kinds);
  const things = definition.things(random);
  const flat: Thing[] = [];
  const list = (one: Thing) => {
    flat.push(one);
    one.contains.forEach(list);
  };
  things.forEach(list);
  const order = random.permutation(flat.length);
  const ids = new Map(flat.map((one, i) => [one, order[i] + 2]));
  const objects: GameObject[] = [];
  const nameOf = (one: Thing) => `${one.kind} (ID: ${ids.get(one)})`;
  const write = (one: Thing) => {
    const inside = one.contains.toSorted((a, b) => ids.get(a)! - ids.get(b)!);
    const { type, properties } = one;
    objects.push({ name: nameOf(one), uuid: ids.get(one)!, type, properties, contains: inside.map(nameOf) });
    inside.forEach(write);
  };
  const agent = thing("agent", "Agent", { isOpen: true });
  const room = thing(place, "World", { isOpen: true, ...definition.place.properties }, [agent, ...things]);
  ids.set(agent, 0).set(room, 1);
  write(room);
  const scene = new Scene({ objects, max_UUID: flat.length + 2, taskDesc: definition.taskDescription });
  const state = scene.toState("", "");
  return { ...state, observation: state.look };
}
