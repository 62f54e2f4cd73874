/**
 * Dishes: soaked and scrubbed in a filling sink, then dried on a rack.
 */

import { bring, defineGame, hold, pick, pickSeveral, type TextGame, thing } from "./game.ts";
import { amount, change, is } from "./scene.ts";
import { PUT, switchVerbs, TAKE, type Verb } from "./verbs.ts";

const FULL = 7, SOAKING = 3, DRIPPING = 2;

const SCRUB: Verb = {
  pattern: "scrub {} with {}",
  rule: "scrub X with Y: lowers dirt of X, a Dish in a sink with water, by 2, with Y, a Sponge that the agent holds.",
  offers: (_, dish, sponge) => dish.type === "Dish" && sponge.type === "Sponge",
  does(scene, dish, sponge) {
    const sink = scene.only("Sink");
    if (!scene.isHeld(sponge)) return `You don't hold the ${sponge.name}.`;
    if (!scene.isIn(dish, sink) || amount(sink, "level") === 0) return `The ${dish.name} is not in water.`;
    return change(dish, "dirt", -2) ? `You scrub the ${dish.name}.` : `The ${dish.name} is clean already.`;
  },
};

const DRAIN: Verb = {
  pattern: "drain {}",
  rule: "drain X: sets level of X, a Sink, to 0.",
  offers: (_, sink) => sink.type === "Sink",
  does: (_, sink) => change(sink, "level", -FULL) ? `The water runs out of the ${sink.name}.` : "There is no water.",
};

/** Water rises while the tap runs; dishes get clean in it and dry on the rack. */
export const WASH_DISHES: TextGame = defineGame({
  name: "wash-dishes",
  taskDescription: "Your task is to get all dishes clean and dry: wash them in the sink and put them in the rack.",
  objectRules: [
    "Sink: a container; isOn is its tap, level its water. Each tick while it is on, level rises by 1. Rack, Sponge.",
    "Dish: dirt, wet. Each tick after the water has risen: in a sink of level 1 or more wet becomes 2, and of level 3 or " +
    "more dirt falls by 1 as well; in a rack wet falls by 1. Neither falls below 0.",
  ],
  scoreRule:
    "1 point for each dish in the rack with dirt 0 and wet 0; with all of them the game is won. If level of the " +
    "sink is over 7, the game is lost.",
  verbs: [TAKE, PUT, ...switchVerbs("Sink"), SCRUB, DRAIN],
  place: { kinds: ["kitchen", "scullery", "canteen"] },
  things(random) {
    const kinds = pickSeveral(random, ["plate", "bowl", "glass", "fork", "pan"], random.integer(1, 3));
    const dishes = kinds.map((kind) =>
      thing(kind, "Dish", { isMoveable: true, dirt: random.integer(0, 6), wet: random.integer(0, 3) })
    );
    return [
      ...dishes,
      thing("sink", "Sink", { isMoveable: false, isOpen: true, isOn: false, level: random.integer(0, 3) }),
      thing(pick(random, ["rack", "tray"]), "Rack", { isMoveable: false, isOpen: true }),
      thing(pick(random, ["sponge", "brush"]), "Sponge", { isMoveable: true }),
    ];
  },
  tick(scene) {
    const sink = scene.only("Sink"), rack = scene.only("Rack");
    if (is(sink, "isOn")) change(sink, "level", 1);
    for (const dish of scene.all("Dish")) {
      if (scene.isIn(dish, rack)) change(dish, "wet", -1);
      if (!scene.isIn(dish, sink) || amount(sink, "level") === 0) continue;
      dish.properties.wet = DRIPPING;
      if (amount(sink, "level") >= SOAKING) change(dish, "dirt", -1);
    }
  },
  score(scene) {
    const rack = scene.only("Rack"), dishes = scene.all("Dish");
    const isDone = dishes.map((dish) =>
      scene.isIn(dish, rack) && amount(dish, "dirt") === 0 && amount(dish, "wet") === 0
    );
    const lost = amount(scene.only("Sink"), "level") > FULL;
    return { score: isDone.filter(Boolean).length, won: !lost && isDone.every(Boolean), lost };
  },
  expert(scene) {
    const sink = scene.only("Sink"), rack = scene.only("Rack"), sponge = scene.only("Sponge");
    const dirty = scene.all("Dish").find((dish) => amount(dish, "dirt") > 0);
    if (is(sink, "isOn") && (dirty === undefined || amount(sink, "level") >= 2)) return `turn off ${sink.name}`;
    if (dirty !== undefined) {
      const water = amount(sink, "level") > 0 || is(sink, "isOn") ? undefined : `turn on ${sink.name}`;
      return bring(scene, dirty, sink) ?? water ?? hold(scene, sponge) ?? `scrub ${dirty.name} with ${sponge.name}`;
    }
    const away = scene.all("Dish").find((dish) => !scene.isIn(dish, rack));
    return away === undefined ? undefined : bring(scene, away, rack);
  },
});
