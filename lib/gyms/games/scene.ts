/**
 * A game's state while a step changes it: a draft of the objects with the questions and the changes that games need.
 *
 * A scene is made from a state, changed, and written back as a new state; the state that it came from is never touched.
 * What a scene knows is what its objects say and nothing else, so any state read from a file can be played on.
 *
 * Conventions of the built-in games: what has `isOpen` is a container, and what is inside is out of reach while that is
 * false; `isMoveable` says whether the player can take a thing; the first object is the place and holds the agent.
 */

import type { GameObject, GameState } from "../../worlds/text_game/state.ts";
import type { JsonValue } from "../../io/json_value.ts";

/** Properties of an object; built-in games use booleans, integers, short texts and null. */
export type Properties = Record<string, JsonValue>;

/** The draft of a state's objects. */
export class Scene {
  readonly taskDescription: string;
  #objects: GameObject[];
  #byName: Map<string, GameObject>;
  #nextId: number;

  /** A draft of `state`, which stays as it is. */
  constructor(state: Pick<GameState, "objects" | "max_UUID" | "taskDesc">) {
    this.taskDescription = state.taskDesc;
    this.#objects = state.objects.map((object) => ({
      ...object,
      properties: copyProperties(object.properties),
      contains: [...object.contains],
    }));
    this.#byName = new Map(this.#objects.map((object) => [object.name, object]));
    this.#nextId = state.max_UUID;
  }

  /** All objects, each after its holder. */
  get objects(): readonly GameObject[] {
    return this.#objects;
  }

  /** The place where everything is. */
  get place(): GameObject {
    return this.#objects[0];
  }

  /** The player. */
  get agent(): GameObject {
    return this.only("Agent");
  }

  /** The object of this name (with its ID), if there is one. */
  named(name: string): GameObject | undefined {
    return this.#byName.get(name);
  }

  /** All objects of a type. */
  all(type: string): GameObject[] {
    return this.#objects.filter((object) => object.type === type);
  }

  /** The first object of a type, if there is one. */
  first(type: string): GameObject | undefined {
    return this.#objects.find((object) => object.type === type);
  }

  /**
   * The object of a type that a game always has.
   *
   * @throws {Error} when the state has none: it is not a state of this game.
   */
  only(type: string): GameObject {
    const object = this.first(type);
    if (object === undefined) throw new Error(`the state has no object of type "${type}": is it one of this game's?`);
    return object;
  }

  /** What holds the object; undefined for the place itself. */
  holder(object: GameObject): GameObject | undefined {
    return this.#objects.find((other) => other.contains.includes(object.name));
  }

  /** The objects directly inside. */
  inside(container: GameObject): GameObject[] {
    return container.contains.map((name) => this.#byName.get(name)).filter((object) => object !== undefined);
  }

  /** Whether the object is directly inside the container. */
  isIn(object: GameObject, container: GameObject): boolean {
    return container.contains.includes(object.name);
  }

  /** Whether the object is inside the container, however deep. */
  isWithin(object: GameObject, container: GameObject): boolean {
    for (let holder = this.holder(object); holder !== undefined; holder = this.holder(holder)) {
      if (holder === container) return true;
    }
    return false;
  }

  /** Whether the player has the object in hand. */
  isHeld(object: GameObject): boolean {
    return this.isIn(object, this.agent);
  }

  /** Whether nothing closed is between the player and the object. */
  isReachable(object: GameObject): boolean {
    for (let holder = this.holder(object); holder !== undefined; holder = this.holder(holder)) {
      if (holder.properties.isOpen === false) return false;
    }
    return true;
  }

  /** Puts the object, with what is inside it, into another container, last. */
  move(object: GameObject, container: GameObject): void {
    const holder = this.holder(object);
    if (holder !== undefined) holder.contains = holder.contains.filter((name) => name !== object.name);
    container.contains.push(object.name);
  }

  /** Takes the object out of the world; what was inside it stays with its holder. */
  remove(object: GameObject): void {
    const holder = this.holder(object)!;
    holder.contains = holder.contains.filter((name) => name !== object.name).concat(object.contains);
    this.#objects = this.#objects.filter((other) => other !== object);
    this.#byName.delete(object.name);
  }

  /** Makes a new object, with the next free id, inside a container. */
  add(kind: string, type: string, properties: Properties, container: GameObject): GameObject {
    const uuid = this.#nextId++;
    const object: GameObject = { name: `${kind} (ID: ${uuid})`, uuid, type, properties, contains: [] };
    this.#objects.push(object);
    this.#byName.set(object.name, object);
    container.contains.push(object.name);
    return object;
  }

  /** Gives the object another kind (`water` becomes `ice`); the id stays. */
  rename(object: GameObject, kind: string): void {
    const holder = this.holder(object)!, name = `${kind} (ID: ${object.uuid})`;
    holder.contains = holder.contains.map((other) => (other === object.name ? name : other));
    this.#byName.delete(object.name);
    object.name = name;
    this.#byName.set(name, object);
  }

  /** The state that the draft has become. Objects are listed as the benchmark does: each followed by what is inside. */
  toState(observation: string, lastAction: string): GameState {
    const objects: GameObject[] = [];
    const list = (object: GameObject) => {
      objects.push(object);
      this.inside(object).forEach(list);
    };
    list(this.place);
    const state = new Scene({ objects, max_UUID: this.#nextId, taskDesc: this.taskDescription });
    return {
      observation,
      look: this.#look(),
      inventory: this.#inventory(),
      taskDesc: this.taskDescription,
      lastAction,
      objects: state.#objects,
      max_UUID: this.#nextId,
    };
  }

  #look(): string {
    const lines: string[] = [];
    const list = (object: GameObject, indent: string) => {
      if (object.type === "Agent") return;
      lines.push(`${indent}${describe(object)}`);
      if (object.properties.isOpen !== false) this.inside(object).forEach((inner) => list(inner, indent + "\t"));
    };
    this.inside(this.place).forEach((object) => list(object, "\t"));
    return `You are here: ${describe(this.place)}. You see:\n\tyourself\n${lines.join("\n")}\n`;
  }

  #inventory(): string {
    const held = this.inside(this.agent);
    if (held.length === 0) return "Your inventory is empty.";
    return `You have in your hands:\n${held.map((object) => `\t${describe(object)}\n`).join("")}`;
  }
}

/** The object's name without its ID. */
export function kindOf(object: GameObject): string {
  return object.name.replace(/ \(ID: \d+\)$/, "");
}

/** A property that is a number. */
export function amount(object: GameObject, property: string): number {
  const value = object.properties[property];
  if (typeof value !== "number") {
    throw new TypeError(`property ${property} of ${object.name} must be a number: received ${JSON.stringify(value)}`);
  }
  return value;
}

/** Whether a property is true. */
export function is(object: GameObject, property: string): boolean {
  return object.properties[property] === true;
}

/** Changes a number by `by`, within limits; whether it became another. */
export function change(object: GameObject, property: string, by: number, low = 0, high = Infinity): boolean {
  const before = amount(object, property);
  const after = Math.min(high, Math.max(low, before + by));
  object.properties[property] = after;
  return after !== before;
}

/** Moves a number towards a target, by at most `by`. */
export function approach(object: GameObject, property: string, target: number, by: number): void {
  const before = amount(object, property);
  object.properties[property] = before + Math.sign(target - before) * Math.min(by, Math.abs(target - before));
}

/** The name, and what can be seen of the object's properties. */
function describe(object: GameObject): string {
  const notes = Object.entries(object.properties).filter(([key]) => key !== "isMoveable").flatMap(([key, value]) => {
    if (key === "isOpen") return value === false ? ["closed"] : [];
    if (typeof value === "boolean") return [`${value ? "" : "not "}${plainWords(key.replace(/^is/, ""))}`];
    return value === null ? [] : [`${plainWords(key)} ${value}`];
  });
  return notes.length === 0 ? object.name : `${object.name}, ${notes.join(", ")}`;
}

/** `waterLevel` → `water level`. */
function plainWords(key: string): string {
  return key.replace(/[A-Z]/g, (letter, at) => (at === 0 ? "" : " ") + letter.toLowerCase());
}

function copyProperties(properties: Properties): Properties {
  const copy: Properties = {};
  for (const [key, value] of Object.entries(properties)) {
    copy[key] = typeof value === "object" && value !== null ? structuredClone(value) : value;
  }
  return copy;
}
