/**
 * Ice: water freezes in a closed, running freezer and melts outside.
 */

import { bring, defineGame, distractor, pick, type TextGame, thing } from "./game.ts";
import { amount, approach, is } from "./scene.ts";
import { doorVerbs, putVerb, switchVerbs, TAKE } from "./verbs.ts";

const ROOM = 20, COLDEST = -18;

/** Water turns to ice at 0 degrees and back above; the ice belongs into the glass. */
export const FREEZE_ICE: TextGame = defineGame({
  name: "freeze-ice",
  taskDescription: "Your task is to make ice of the water in the freezer and to put the ice in the glass.",
  objectRules: [
    "Freezer: isOn, temperature. Each tick, on and closed, its temperature moves towards -18 by 9, otherwise towards 20 by 6.",
    "Tray, Glass: containers. Water: temperature. Each tick, after the freezer's, it moves towards the freezer's " +
    "temperature by 6 if its container is in the freezer, otherwise towards 20 by 3. At 0 degrees and below it is called " +
    "ice and is moveable; above it is called water and is not moveable, and is removed unless it is in a Tray or Glass.",
  ],
  scoreRule:
    "1 point while there is ice. With ice in the glass the score is 2 and the game is won. Without water or ice " +
    "the game is lost.",
  verbs: [
    TAKE,
    putVerb(
      (_, thing, container) =>
        thing.type !== "Water" && (container.type === "Glass" || container.type === "Tray")
          ? `The ${thing.name} doesn't fit in the ${container.name}.`
          : true,
      "Only ice fits in a Tray or Glass.",
    ),
    ...doorVerbs("Freezer"),
    ...switchVerbs("Freezer"),
  ],
  place: { kinds: ["kitchen", "bar", "laboratory"] },
  things(random) {
    const isOn = random.uniform() < 0.5;
    const water = thing("water", "Water", { isMoveable: false, temperature: random.integer(2, 9) * 3 });
    const freezer = { isMoveable: false, isOpen: random.uniform() < 0.4, isOn, temperature: isOn ? COLDEST : ROOM };
    const things = [
      thing(pick(random, ["freezer", "ice box"]), "Freezer", freezer),
      thing(pick(random, ["tray", "mould"]), "Tray", { isMoveable: true, isOpen: true }, [water]),
      thing(pick(random, ["glass", "cup", "jug"]), "Glass", { isMoveable: true, isOpen: true }),
    ];
    return random.uniform() < 0.5 ? [...things, distractor(random)] : things;
  },
  tick(scene) {
    const freezer = scene.only("Freezer"), water = scene.first("Water");
    const isCooling = is(freezer, "isOn") && !is(freezer, "isOpen");
    if (isCooling) approach(freezer, "temperature", COLDEST, 9);
    else approach(freezer, "temperature", ROOM, 6);
    if (water === undefined) return;
    const holder = scene.holder(water)!;
    const isInFreezer = holder === freezer || scene.isIn(holder, freezer);
    if (isInFreezer) approach(water, "temperature", amount(freezer, "temperature"), 6);
    else approach(water, "temperature", ROOM, 3);
    const isIce = amount(water, "temperature") <= 0;
    scene.rename(water, isIce ? "ice" : "water");
    water.properties.isMoveable = isIce;
    if (!isIce && holder.type !== "Tray" && holder.type !== "Glass") scene.remove(water);
  },
  score(scene) {
    const water = scene.first("Water");
    if (water === undefined) return { score: 0, lost: true };
    if (amount(water, "temperature") > 0) return { score: 0 };
    const won = scene.isIn(water, scene.only("Glass"));
    return { score: won ? 2 : 1, won };
  },
  expert(scene) {
    const freezer = scene.only("Freezer"), water = scene.first("Water"), glass = scene.only("Glass");
    if (water === undefined) return undefined;
    const open = is(freezer, "isOpen") ? undefined : `open ${freezer.name}`;
    if (amount(water, "temperature") <= -6) {
      return (scene.isReachable(water) && scene.isReachable(glass) ? undefined : open) ?? bring(scene, water, glass);
    }
    const vessel = scene.holder(water)!;
    const target = vessel.type === "Tray" || vessel.type === "Glass" ? vessel : water;
    if (!scene.isIn(target, freezer)) return open ?? bring(scene, target, freezer);
    if (is(freezer, "isOpen")) {
      return scene.isIn(glass, freezer) && glass !== vessel ? `take ${glass.name}` : `close ${freezer.name}`;
    }
    return is(freezer, "isOn") ? undefined : `turn on ${freezer.name}`;
  },
});
