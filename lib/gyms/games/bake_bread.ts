/**
 * Bread: dough rises where it is left, bakes in a hot oven, and burns in it.
 */

import { bring, defineGame, distractor, hold, pick, type TextGame, thing } from "./game.ts";
import { amount, approach, change, is } from "./scene.ts";
import { doorVerbs, PUT, switchVerbs, TAKE } from "./verbs.ts";

const ROOM = 20, HOTTEST = 220, BAKING = 140, RISEN = 4, DONE = 3, BURNT = 6;

/** The oven must be hot, the dough risen, and the bread out in time. */
export const BAKE_BREAD: TextGame = defineGame({
  name: "bake-bread",
  taskDescription: "Your task is to bake bread: let the dough rise to 4, bake it for 3 to 5 ticks and take it.",
  objectRules: [
    "Tin: a container. Oven: a container; isOn, temperature. Each tick temperature moves towards 220 by 60 if it is on and closed, otherwise " +
    "towards 20 by 30.",
    "Dough: rise, baked. Each tick, after the oven's: in a closed oven of at least 140 baked rises by 1; elsewhere, while " +
    "baked is 0, rise rises by 1 up to 4. It is called dough while baked is under 3, bread from 3, coal from 6.",
  ],
  scoreRule:
    "1 point while rise is 4, another one while baked is 3 to 5 as well. If the agent holds the bread then, the " +
    "score is 3 and the game is won. With rise under 4 and baked over 0, or with baked 6, the score is 0 and the game is lost.",
  verbs: [TAKE, PUT, ...doorVerbs("Oven"), ...switchVerbs("Oven")],
  place: { kinds: ["bakery", "kitchen", "galley"] },
  things(random) {
    const dough = thing("dough", "Dough", { isMoveable: true, rise: random.integer(0, 4), baked: 0 });
    const isShaped = random.uniform() < 0.5;
    const tin = thing(
      pick(random, ["tin", "tray"]),
      "Tin",
      { isMoveable: true, isOpen: true },
      isShaped ? [dough] : [],
    );
    const temperature = ROOM + 30 * random.integer(0, 4);
    const oven = { isMoveable: false, isOpen: random.uniform() < 0.5, isOn: random.uniform() < 0.3, temperature };
    return [
      thing(pick(random, ["oven", "stone oven"]), "Oven", oven),
      tin,
      ...(isShaped ? [] : [dough]),
      distractor(random, ["apron", "timer", "whisk", "ladle"]),
    ];
  },
  tick(scene) {
    const oven = scene.only("Oven"), dough = scene.only("Dough");
    const isHeating = is(oven, "isOn") && !is(oven, "isOpen");
    approach(oven, "temperature", isHeating ? HOTTEST : ROOM, isHeating ? 60 : 30);
    // What is out of reach is in the oven: nothing else closes.
    const isBaking = !scene.isReachable(dough) && amount(oven, "temperature") >= BAKING;
    if (isBaking) change(dough, "baked", 1, 0, BURNT);
    else if (amount(dough, "baked") === 0) change(dough, "rise", 1, 0, RISEN);
    const baked = amount(dough, "baked");
    scene.rename(dough, baked >= BURNT ? "coal" : baked >= DONE ? "bread" : "dough");
  },
  score(scene) {
    const dough = scene.only("Dough"), baked = amount(dough, "baked");
    if (baked >= BURNT || (baked > 0 && amount(dough, "rise") < RISEN)) return { score: 0, lost: true };
    const score = Number(amount(dough, "rise") === RISEN) + Number(baked >= DONE);
    return score === 2 && scene.isHeld(dough) ? { score: 3, won: true } : { score };
  },
  expert(scene) {
    const oven = scene.only("Oven"), dough = scene.only("Dough");
    const isIn = !scene.isReachable(dough) || scene.holder(dough) === oven || scene.isIn(scene.holder(dough)!, oven);
    const toggle = (word: string) => `${word} ${oven.name}`;
    if (amount(dough, "baked") >= DONE) return scene.isReachable(dough) ? hold(scene, dough) : toggle("open");
    if (amount(dough, "rise") < RISEN && amount(dough, "baked") === 0) {
      if (is(oven, "isOn")) return toggle("turn off");
      return isIn ? (is(oven, "isOpen") ? hold(scene, dough) : toggle("open")) : undefined;
    }
    if (!isIn) return is(oven, "isOpen") ? bring(scene, dough, oven) : toggle("open");
    if (is(oven, "isOpen")) return toggle("close");
    return is(oven, "isOn") ? undefined : toggle("turn on");
  },
});
