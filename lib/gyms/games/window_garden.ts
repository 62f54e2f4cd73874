/**
 * A plant grows from a seed to a flower where it has light and the right amount of water.
 */

import { bring, defineGame, hold, pick, type TextGame, thing } from "./game.ts";
import { amount, change, is, kindOf } from "./scene.ts";
import { putVerb, switchVerbs, TAKE, type Verb } from "./verbs.ts";

const FLOWER = 6, SOGGY = 5;
/** The word for each stage and the growth from which on a plant is at it. */
const STAGES = [["seed", 0], ["sprout", 2], ["bush", 4], ["flower", FLOWER]] as const;

const FILL: Verb = {
  pattern: "fill {} at {}",
  rule: "fill X at Y: sets water of X, a Can that the agent holds, to 3, at Y, a Tap.",
  offers: (_, can, tap) => can.type === "Can" && tap.type === "Tap",
  does(scene, can, tap) {
    if (!scene.isHeld(can)) return `You don't hold the ${can.name}.`;
    can.properties.water = 3;
    return `You fill the ${can.name} at the ${tap.name}.`;
  },
};

const WATER: Verb = {
  pattern: "water {} with {}",
  rule: "water X with Y: moves 1 water from Y, a Can that the agent holds, into X, a Pot, whose moisture rises by 2.",
  offers: (_, pot, can) => pot.type === "Pot" && can.type === "Can",
  does(scene, pot, can) {
    if (!scene.isHeld(can)) return `You don't hold the ${can.name}.`;
    if (!change(can, "water", -1)) return `The ${can.name} is empty.`;
    change(pot, "moisture", 2);
    return `You water the ${pot.name}.`;
  },
};

/** A seed becomes a flower with light and water; it dies when dry or soggy for too long. */
export const WINDOW_GARDEN: TextGame = defineGame({
  name: "window-garden",
  taskDescription: "Your task is to grow a flower from the seed: put it in the pot, water it and give it light.",
  objectRules: [
    "Lamp: isOn. Can: water. Tap. Pot: moisture; each tick it falls by 1, but not below 0.",
    "Plant: growth, health. Each tick in a pot, before the pot's moisture falls: with moisture 1 to 5 and a lamp that is " +
    "on, growth rises by 1; with moisture over 5, or with moisture 0 once growth is over 0, health falls by 1. It is " +
    "called seed from growth 0, sprout from 2, bush from 4, flower from 6; it is moveable only as a seed.",
  ],
  scoreRule:
    "1 point for a sprout, 2 for a bush; with a flower the score is 3 and the game is won. At health 0 it is lost.",
  verbs: [
    TAKE,
    putVerb(
      (_, thing, pot) => pot.type === "Pot" && thing.type !== "Plant" ? `The ${thing.name} is no plant.` : true,
      "Only a Plant goes in a Pot.",
    ),
    ...switchVerbs("Lamp"),
    FILL,
    WATER,
  ],
  place: { kinds: ["greenhouse", "kitchen", "balcony"] },
  things(random) {
    const flower = pick(random, ["bean", "daisy", "poppy", "aster"]);
    const plant = thing(`${flower} seed`, "Plant", { isMoveable: true, growth: 0, health: random.integer(2, 4) });
    const isPlanted = random.uniform() < 0.3;
    const pot = thing(
      pick(random, ["pot", "clay pot", "tub"]),
      "Pot",
      { isMoveable: false, isOpen: true, moisture: random.integer(0, 4) },
      isPlanted ? [plant] : [],
    );
    return [
      pot,
      ...(isPlanted ? [] : [plant]),
      thing(pick(random, ["lamp", "sun lamp"]), "Lamp", { isMoveable: false, isOn: false }),
      thing(pick(random, ["can", "jug"]), "Can", { isMoveable: true, water: random.integer(0, 3) }),
      thing(pick(random, ["tap", "pump"]), "Tap", { isMoveable: false }),
    ];
  },
  tick(scene) {
    const pot = scene.only("Pot"), plant = scene.only("Plant"), moisture = amount(pot, "moisture");
    if (scene.isIn(plant, pot)) {
      const isSuffering = moisture > SOGGY || (moisture === 0 && amount(plant, "growth") > 0);
      if (isSuffering) change(plant, "health", -1);
      else if (moisture > 0 && is(scene.only("Lamp"), "isOn")) change(plant, "growth", 1, 0, FLOWER);
      const [stage] = STAGES.findLast(([, from]) => amount(plant, "growth") >= from)!;
      scene.rename(plant, `${kindOf(plant).split(" ")[0]} ${stage}`);
      plant.properties.isMoveable = stage === "seed";
    }
    change(pot, "moisture", -1);
  },
  score(scene) {
    const plant = scene.only("Plant");
    const stage = STAGES.findLastIndex(([, from]) => amount(plant, "growth") >= from);
    const lost = amount(plant, "health") === 0;
    return { score: stage, won: stage === STAGES.length - 1 && !lost, lost };
  },
  expert(scene) {
    const pot = scene.only("Pot"), can = scene.only("Can"), lamp = scene.only("Lamp");
    if (amount(pot, "moisture") < 2) {
      const filled = amount(can, "water") > 0 ? undefined : `fill ${can.name} at ${scene.only("Tap").name}`;
      return hold(scene, can) ?? filled ?? `water ${pot.name} with ${can.name}`;
    }
    return bring(scene, scene.only("Plant"), pot) ?? (is(lamp, "isOn") ? undefined : `turn on ${lamp.name}`);
  },
});
