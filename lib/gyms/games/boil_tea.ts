/**
 * Tea: water is heated on a stove, boils away when forgotten there, and cools off elsewhere.
 */

import type { GameObject } from "../../worlds/text_game/state.ts";
import { bring, defineGame, hold, pick, type TextGame, thing } from "./game.ts";
import { amount, approach, change, is, type Scene } from "./scene.ts";
import { putVerb, switchVerbs, TAKE, type Verb } from "./verbs.ts";

const HOT = 80, BOILING = 100, ROOM = 20;

const POUR: Verb = {
  pattern: "pour {} in {}",
  rule: "pour X in Y: moves the water from X, a Kettle or Cup that the agent holds, into Y, another of these.",
  offers: (_, from, to) => isVessel(from) && isVessel(to),
  does(scene, from, to) {
    const water = scene.inside(from).find(({ type }) => type === "Water");
    if (water === undefined) return `There is no water in the ${from.name}.`;
    if (!scene.isHeld(from)) return `You don't hold the ${from.name}.`;
    scene.move(water, to);
    return `You pour the ${water.name} in the ${to.name}.`;
  },
};

/** Water on a stove gets hot and boils away; a cup must have the tea bag and hot water. */
export const BOIL_TEA: TextGame = defineGame({
  name: "boil-tea",
  taskDescription: "Your task is to make tea: put the tea bag and water of at least 80 degrees in the cup.",
  objectRules: [
    "Stove: isOn. Kettle, Cup: containers. TeaBag.",
    "Water: temperature in degrees, volume. Each tick, while its container is on a stove that is on, temperature rises by " +
    "20 up to 100; water that has 100 already loses 1 volume instead and is removed at volume 0. Elsewhere temperature " +
    "moves towards 20 by 5.",
  ],
  scoreRule:
    "1 point while the water has at least 80 degrees. With such water and the tea bag in the cup the score is 2 " +
    "and the game is won. Without water the game is lost.",
  verbs: [
    TAKE,
    putVerb(
      (_, thing, container) =>
        isVessel(thing) && isVessel(container) ? `The ${thing.name} doesn't fit in the ${container.name}.` : true,
      "Kettle and Cup don't fit in each other.",
    ),
    ...switchVerbs("Stove"),
    POUR,
  ],
  place: { kinds: ["kitchen", "cabin", "camper"] },
  things(random) {
    const water = thing("water", "Water", { isMoveable: false, temperature: random.integer(2, 9) * 5, volume: 3 });
    return [
      thing(pick(random, ["stove", "hot plate"]), "Stove", { isMoveable: false, isOpen: true, isOn: false }),
      thing(pick(random, ["kettle", "pot", "pan"]), "Kettle", { isMoveable: true, isOpen: true }, [water]),
      thing(pick(random, ["cup", "mug", "bowl"]), "Cup", { isMoveable: true, isOpen: true }),
      thing("tea bag", "TeaBag", { isMoveable: true }),
    ];
  },
  tick(scene) {
    const water = scene.first("Water");
    if (water === undefined) return;
    const stove = scene.only("Stove");
    if (!is(stove, "isOn") || !scene.isIn(scene.holder(water)!, stove)) approach(water, "temperature", ROOM, 5);
    else if (!change(water, "temperature", 20, 0, BOILING)) change(water, "volume", -1);
    if (amount(water, "volume") === 0) scene.remove(water);
  },
  score(scene) {
    const water = scene.first("Water"), cup = scene.only("Cup");
    if (water === undefined) return { score: 0, lost: true };
    if (amount(water, "temperature") < HOT) return { score: 0 };
    const won = scene.isIn(water, cup) && scene.isIn(scene.only("TeaBag"), cup);
    return { score: won ? 2 : 1, won };
  },
  expert(scene) {
    const cup = scene.only("Cup"), kettle = scene.only("Kettle"), stove = scene.only("Stove");
    const water = scene.first("Water"), bag = scene.only("TeaBag");
    if (water === undefined) return undefined;
    const brew = bring(scene, bag, cup);
    if (brew !== undefined) return brew;
    if (amount(water, "temperature") < HOT + 5) return heat(scene, water, cup, kettle, stove);
    return hold(scene, kettle) ?? `pour ${kettle.name} in ${cup.name}`;
  },
});

function heat(scene: Scene, water: GameObject, cup: GameObject, kettle: GameObject, stove: GameObject) {
  if (scene.isIn(water, cup)) return hold(scene, cup) ?? `pour ${cup.name} in ${kettle.name}`;
  return bring(scene, kettle, stove) ?? (is(stove, "isOn") ? undefined : `turn on ${stove.name}`);
}

function isVessel(object: GameObject): boolean {
  return object.type === "Kettle" || object.type === "Cup";
}
