/** What the tests of the built-in games share. */
import type { GameObject, GameState } from "../../../lib/worlds/text_game/state.ts";
import type { TextGame } from "../../../lib/gyms/games/game.ts";
import { Philox } from "../../../lib/tensor/random.ts";

/** A copy of plain JSON, as a file would give it. */
export function throughJson<T>(value: T): T {
  return JSON.parse(JSON.stringify(value));
}

/** Freezes plain JSON all the way down, so that whoever changes it throws. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}

/** The object whose name begins so. */
export function find(state: GameState, kind: string): GameObject {
  const object = state.objects.find(({ name }) => name.startsWith(`${kind} (`));
  if (object === undefined) throw new Error(`no ${kind} among ${state.objects.map(({ name }) => name).join(", ")}`);
  return object;
}

/** A state for hand-worked steps: kinds, types, properties and what is inside, ids from 2 on in the order given. */
export function stateOf(
  place: Record<string, GameObject["properties"][string]>,
  ...things: [kind: string, type: string, properties: GameObject["properties"], holder?: string][]
): GameState {
  const named = things.map(([kind, type, properties, holder = "room"], i) => ({
    holder,
    kind,
    object: { name: `${kind} (ID: ${i + 2})`, uuid: i + 2, type, properties, contains: [] as string[] },
  }));
  const inside = (holder: string) => named.filter((one) => one.holder === holder).map(({ object }) => object.name);
  for (const { kind, object } of named) object.contains = inside(kind);
  const room = {
    name: "room (ID: 1)",
    uuid: 1,
    type: "World",
    properties: { isOpen: true, ...place },
    contains: ["agent (ID: 0)", ...inside("room")],
  };
  const agent = {
    name: "agent (ID: 0)",
    uuid: 0,
    type: "Agent",
    properties: { isOpen: true },
    contains: inside("agent"),
  };
  const objects = [room, agent, ...named.map(({ object }) => object)];
  const empty = { observation: "", look: "", inventory: "", taskDesc: "", lastAction: "" };
  return { ...empty, objects, max_UUID: things.length + 2 };
}

/** Plays actions written with kinds (`take cup`) instead of names, and gives the last state. */
export function play(game: TextGame, state: GameState, ...actions: string[]): GameState {
  for (const action of actions) {
    const named = action.replace(/<(.+?)>/g, (_, kind: string) => find(state, kind).name);
    state = game.step(state, named).nextState;
  }
  return state;
}

/** The states of a walk of random valid actions, and the actions that led from each to the next. */
export function randomWalk(game: TextGame, seed: number, steps: number): { states: GameState[]; actions: string[] } {
  const random = new Philox(seed, 77);
  const states = [game.start(seed)], actions: string[] = [];
  for (let step = 0; step < steps && !game.score(states[step]).gameOver; step++) {
    const valid = game.validActions(states[step]);
    actions.push(valid[random.integer(0, valid.length)]);
    states.push(game.step(states[step], actions[step]).nextState);
  }
  return { states, actions };
}
