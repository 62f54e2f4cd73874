/**
 * Weighing: a scale shows what lies on it, less its tare, and falls asleep when left alone.
 */

import type { GameObject } from "../../worlds/text_game/state.ts";
import { bring, defineGame, pick, pickSeveral, type TextGame, thing } from "./game.ts";
import { amount, change, is, type Scene } from "./scene.ts";
import { doorVerbs, PUT, switchVerbs, TAKE, type Verb } from "./verbs.ts";

const AWAKE_TICKS = 4;

const TARE: Verb = {
  pattern: "tare {}",
  rule: "tare X: sets tare of X, a Scale that is on, to the weight of all that lies on it.",
  offers: (_, scale) => scale.type === "Scale",
  does(scene, scale) {
    if (!is(scale, "isOn")) return `The ${scale.name} is off.`;
    scale.properties.tare = load(scene, scale);
    return `The ${scale.name} takes this weight for zero.`;
  },
};

/** A scale with a tare and a timer; the heaviest stone belongs into the closed crate. */
export const WEIGH_STONES: TextGame = defineGame({
  name: "weigh-stones",
  taskDescription: "Your task is to put the heaviest stone, and no other, in the crate and to close the crate.",
  objectRules: [
    "Stone: weight. Crate: a container that can be closed.",
    "Scale: isOn, reading, tare, timer. Each tick while it is on, timer falls by 1; at 0 the scale turns off. While it is " +
    "on, reading is the sum of the weights on it minus tare; while it is off, reading and tare are 0 and timer is 4.",
  ],
  scoreRule:
    "1 point while the heaviest stone is in the crate. If it is there alone and the crate is closed, the score is " +
    "2 and the game is won; if the crate is closed with any other stone in it, the game is lost.",
  verbs: [TAKE, PUT, ...switchVerbs("Scale"), TARE, ...doorVerbs("Crate")],
  place: { kinds: ["room", "quarry", "museum"] },
  things(random) {
    const weights = pickSeveral(random, [1, 2, 3, 4, 5, 6, 7, 8, 9], random.integer(2, 4));
    const kinds = pickSeveral(random, ["grey", "red", "round", "flat", "black", "rough"], weights.length);
    return [
      ...weights.map((weight, i) => thing(`${kinds[i]} stone`, "Stone", { isMoveable: true, weight })),
      thing("scale", "Scale", {
        isMoveable: false,
        isOpen: true,
        isOn: false,
        reading: 0,
        tare: 0,
        timer: AWAKE_TICKS,
      }),
      thing(pick(random, ["crate", "box", "trunk"]), "Crate", { isMoveable: false, isOpen: random.uniform() < 0.6 }),
    ];
  },
  tick(scene) {
    const scale = scene.only("Scale");
    if (is(scale, "isOn")) {
      change(scale, "timer", -1);
      scale.properties.isOn = amount(scale, "timer") > 0;
    }
    if (is(scale, "isOn")) scale.properties.reading = load(scene, scale) - amount(scale, "tare");
    else Object.assign(scale.properties, { reading: 0, tare: 0, timer: AWAKE_TICKS });
  },
  score(scene) {
    const crate = scene.only("Crate"), inside = scene.inside(crate);
    const isThere = inside.includes(heaviest(scene)), isClosed = !is(crate, "isOpen");
    const won = isClosed && isThere && inside.length === 1;
    return { score: won ? 2 : Number(isThere), won, lost: isClosed && inside.length > 0 && !won };
  },
  expert(scene) {
    const crate = scene.only("Crate");
    if (!is(crate, "isOpen")) return `open ${crate.name}`;
    const wrong = scene.inside(crate).find((stone) => stone !== heaviest(scene));
    if (wrong !== undefined) return `take ${wrong.name}`;
    return bring(scene, heaviest(scene), crate) ?? `close ${crate.name}`;
  },
});

/** The weight of all that lies on the scale. */
function load(scene: Scene, scale: GameObject): number {
  return scene.inside(scale).reduce((sum, stone) => sum + amount(stone, "weight"), 0);
}

function heaviest(scene: Scene): GameObject {
  return scene.all("Stone").toSorted((a, b) => amount(b, "weight") - amount(a, "weight"))[0];
}
