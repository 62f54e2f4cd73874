/**
 * What a player can say: verbs as patterns with places for objects (`put {} in {}`), and those that most games share.
 *
 * A verb offers itself for some objects, which fills the list of valid actions; an offered action may still fail (putting
 * something into a closed box), which gives an observation and no change. A game lists its verbs; it has no other parser.
 */

import type { GameObject } from "../../worlds/text_game/state.ts";
import { is, type Scene } from "./scene.ts";

/** A kind of action. */
export interface Verb {
  /** The words, `{}` where an object's name goes. */
  readonly pattern: string;
  /** What the action needs and does, for prompts. */
  readonly rule: string;
  /** Whether the action makes sense for these objects, so that it is listed. */
  offers(scene: Scene, ...objects: GameObject[]): boolean;
  /** Does it, or does nothing; says which. */
  does(scene: Scene, ...objects: GameObject[]): string;
}

/** A verb with its objects. */
export interface ParsedAction {
  /** What is done. */
  verb: Verb;
  /** With what, in the pattern's order. */
  objects: GameObject[];
}

/** All actions that the verbs offer in this scene, in the order of the verbs. */
export function offeredActions(scene: Scene, verbs: readonly Verb[]): string[] {
  const reachable = scene.objects.filter((object) => object !== scene.agent && scene.isReachable(object));
  return verbs.flatMap((verb) => {
    const places = verb.pattern.split("{}").length - 1;
    const choices: GameObject[][] = [[]];
    for (let place = 0; place < places; place++) {
      const longer = choices.flatMap((chosen) =>
        reachable.filter((object) => !chosen.includes(object)).map((object) => [...chosen, object])
      );
      choices.splice(0, choices.length, ...longer);
    }
    return choices.filter((objects) => verb.offers(scene, ...objects)).map((objects) => spell(verb, objects));
  });
}

/** The words of an action. */
export function spell(verb: Verb, objects: readonly GameObject[]): string {
  let place = 0;
  return verb.pattern.replaceAll("{}", () => objects[place++].name);
}

/** Characters of an action that is understood: names are a few words, and what is looked for in several places takes time. */
const LONGEST_ACTION = 1000;

/** The verb and the objects that an action names; a text where it names none that can be used. */
export function parseAction(scene: Scene, verbs: readonly Verb[], action: string): ParsedAction | string {
  let complaint = "I don't understand that.";
  if (action.length > LONGEST_ACTION) return complaint;
  for (const verb of verbs) {
    const match = patternOf(verb).exec(action);
    if (match === null) continue;
    const objects: GameObject[] = [];
    for (const name of match.slice(1)) {
      const object = scene.named(name);
      if (object === undefined || !scene.isReachable(object)) return `You can't see any ${name} here.`;
      objects.push(object);
    }
    const isSensible = new Set(objects).size === objects.length && !objects.includes(scene.agent);
    if (isSensible && verb.offers(scene, ...objects)) return { verb, objects };
    complaint = "That makes no sense.";
  }
  return complaint;
}

const patterns = new Map<string, RegExp>();

function patternOf(verb: Verb): RegExp {
  let pattern = patterns.get(verb.pattern);
  if (pattern === undefined) {
    pattern = new RegExp(`^${verb.pattern.replaceAll("{}", "(.+? \\(ID: \\d+\\))")}$`);
    patterns.set(verb.pattern, pattern);
  }
  return pattern;
}

/** Looks: changes nothing, but time passes. */
export const LOOK: Verb = {
  pattern: "look",
  rule: "look: describes what is around; changes nothing.",
  offers: () => true,
  does: () => "You look around.",
};

/** Waits: changes nothing, but time passes. */
export const WAIT: Verb = {
  pattern: "wait",
  rule: "wait: changes nothing, but time passes.",
  offers: () => true,
  does: () => "You wait.",
};

/** Takes a thing into the hands. */
export const TAKE: Verb = {
  pattern: "take {}",
  rule: "take X: moves X from where it is into the agent, if X is moveable and within reach.",
  offers: (scene, thing) => thing !== scene.place && !scene.isHeld(thing) && "isMoveable" in thing.properties,
  does: (scene, thing) => {
    if (!is(thing, "isMoveable")) return `The ${thing.name} can't be moved.`;
    scene.move(thing, scene.agent);
    return `You take the ${thing.name}.`;
  },
};

/** Puts a held thing into a container or down. */
export const PUT: Verb = putVerb();

/**
 * Puts a held thing into something.
 *
 * @param accepts what a container takes; undefined or true lets it in, a text says why not. Nothing goes into what is closed.
 * @param rule what the restriction is, added to the verb's rule.
 */
export function putVerb(
  accepts: (scene: Scene, thing: GameObject, container: GameObject) => string | true = () => true,
  rule = "",
): Verb {
  return {
    pattern: "put {} in {}",
    rule: `put X in Y: moves X from the agent into Y, if the agent holds X and Y is an open container.${
      rule && " "
    }${rule}`,
    offers: (scene, thing, container) =>
      scene.isHeld(thing) && "isOpen" in container.properties && !scene.isWithin(container, thing),
    does: (scene, thing, container) => {
      if (!is(container, "isOpen")) return `The ${container.name} is closed.`;
      const accepted = accepts(scene, thing, container);
      if (accepted !== true) return accepted;
      scene.move(thing, container);
      return `You put the ${thing.name} in the ${container.name}.`;
    },
  };
}

/**
 * Opens and closes containers of a type.
 *
 * @param type the containers' type.
 * @param opens whether one lets itself be opened now; a text says why not.
 * @param rule what the restriction is, added to the rule of opening.
 */
export function doorVerbs(
  type: string,
  opens: (scene: Scene, container: GameObject) => string | true = () => true,
  rule = "",
): Verb[] {
  const offers = (_: Scene, container: GameObject) => container.type === type;
  return [{
    pattern: "open {}",
    rule: `open X: sets isOpen of X, a ${type}, to true.${rule && " "}${rule}`,
    offers,
    does: (scene, container) => {
      if (is(container, "isOpen")) return `The ${container.name} is already open.`;
      const allowed = opens(scene, container);
      if (allowed !== true) return allowed;
      container.properties.isOpen = true;
      return `The ${container.name} is now open.`;
    },
  }, {
    pattern: "close {}",
    rule: `close X: sets isOpen of X, a ${type}, to false.`,
    offers,
    does: (_, container) => {
      if (!is(container, "isOpen")) return `The ${container.name} is already closed.`;
      container.properties.isOpen = false;
      return `The ${container.name} is now closed.`;
    },
  }];
}

/** Turns devices of a type on and off. */
export function switchVerbs(type: string): Verb[] {
  const turn = (word: "on" | "off"): Verb => ({
    pattern: `turn ${word} {}`,
    rule: `turn ${word} X: sets isOn of X, a ${type}, to ${word === "on"}.`,
    offers: (_, device) => device.type === type,
    does: (_, device) => {
      if (is(device, "isOn") === (word === "on")) return `The ${device.name} is already ${word}.`;
      device.properties.isOn = word === "on";
      return `The ${device.name} is now turned ${word}.`;
    },
  });
  return [turn("on"), turn("off")];
}
