/**
 * A chest with a clockwork: unlocked by the key of its metal, it falls shut again after a few ticks.
 */

import type { GameObject } from "../../worlds/text_game/state.ts";
import { defineGame, hold, pick, pickSeveral, type TextGame, thing } from "./game.ts";
import { change, is, type Scene } from "./scene.ts";
import { doorVerbs, PUT, TAKE, type Verb } from "./verbs.ts";

const UNLOCK: Verb = {
  pattern: "unlock {} with {}",
  rule:
    "unlock X with Y: if the agent holds Y, a Key of the same metal as X, a Chest, isLocked of X becomes false and " +
    "timer becomes its spring.",
  offers: (_, chest, key) => chest.type === "Chest" && key.type === "Key",
  does(scene, chest, key) {
    if (!scene.isHeld(key)) return `You don't hold the ${key.name}.`;
    if (key.properties.metal !== chest.properties.metal) return `The ${key.name} doesn't fit.`;
    if (!is(chest, "isLocked")) return `The ${chest.name} is not locked.`;
    chest.properties.isLocked = false;
    chest.properties.timer = chest.properties.spring;
    return `The ${chest.name} is unlocked and begins to tick.`;
  },
};

/** The right key, a locked chest and little time. */
export const TIMED_CHEST: TextGame = defineGame({
  name: "timed-chest",
  taskDescription: "Your task is to take the treasure out of the chest. The chest falls shut after some time.",
  objectRules: [
    "Treasure. Key: metal. Cabinet: a container that can be closed.",
    "Chest: a container; metal, isLocked, timer, spring. Each tick while it is not locked, timer falls by 1; at 0 it is " +
    "closed and locked.",
  ],
  scoreRule:
    "1 point while the chest is not locked. If the agent holds the treasure, the score is 2 and the game is won. " +
    "If the key of the chest's metal is in the locked chest, the game is lost.",
  verbs: [
    TAKE,
    PUT,
    UNLOCK,
    ...doorVerbs(
      "Chest",
      (_, chest) => is(chest, "isLocked") ? `The ${chest.name} is locked.` : true,
      "Not while it is locked.",
    ),
    ...doorVerbs("Cabinet"),
  ],
  place: { kinds: ["vault", "tower", "cave"] },
  things(random) {
    const metals = pickSeveral(random, ["iron", "brass", "silver", "gold", "copper"], random.integer(1, 3));
    const keys = metals.map((metal) => thing(`${metal} key`, "Key", { isMoveable: true, metal }));
    const treasure = thing(pick(random, ["crown", "pearl", "map", "ring"]), "Treasure", { isMoveable: true });
    const spring = random.integer(3, 6), hidden = random.integer(0, 3);
    const lock = { isMoveable: false, isOpen: false, isLocked: true, metal: metals[0], timer: 0, spring };
    const cabinet = thing(
      pick(random, ["cabinet", "drawer", "basket"]),
      "Cabinet",
      { isMoveable: false, isOpen: random.uniform() < 0.4 },
      keys.filter((_, i) => i === hidden),
    );
    const lying = keys.filter((_, i) => i !== hidden);
    return [...lying, cabinet, thing(pick(random, ["chest", "coffer"]), "Chest", lock, [treasure])];
  },
  tick(scene) {
    const chest = scene.only("Chest");
    if (is(chest, "isLocked")) return;
    change(chest, "timer", -1);
    if (chest.properties.timer === 0) Object.assign(chest.properties, { isOpen: false, isLocked: true });
  },
  score(scene) {
    const chest = scene.only("Chest");
    if (scene.isHeld(scene.only("Treasure"))) return { score: 2, won: true };
    return { score: Number(!is(chest, "isLocked")), lost: is(chest, "isLocked") && scene.isIn(keyOf(scene), chest) };
  },
  expert(scene) {
    const chest = scene.only("Chest"), treasure = scene.only("Treasure"), key = keyOf(scene);
    const shut = [treasure, key].map((thing) => scene.holder(thing)!).find((holder) =>
      holder.properties.isOpen === false
    );
    if (is(chest, "isLocked") && scene.isIn(treasure, chest)) {
      const cabinet = scene.isReachable(key) ? undefined : `open ${scene.only("Cabinet").name}`;
      return cabinet ?? hold(scene, key) ?? `unlock ${chest.name} with ${key.name}`;
    }
    return shut !== undefined && scene.isIn(treasure, shut) ? `open ${shut.name}` : hold(scene, treasure);
  },
});

/** The key that fits the chest. */
function keyOf(scene: Scene): GameObject {
  const { metal } = scene.only("Chest").properties;
  return scene.all("Key").find((key) => key.properties.metal === metal)!;
}
