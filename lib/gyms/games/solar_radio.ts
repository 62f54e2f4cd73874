/**
 * A battery is charged by a solar panel by day and emptied by a radio, whatever the hour.
 */

import { bring, defineGame, pick, pickSeveral, type TextGame, thing } from "./game.ts";
import { amount, change, is } from "./scene.ts";
import { putVerb, switchVerbs, TAKE } from "./verbs.ts";

const HOURS = 8, SUNSET = 5, FULL = 6, PLAYED = 4;

/** Day and night, a covered panel, and a radio that must play for four ticks. */
export const SOLAR_RADIO: TextGame = defineGame({
  name: "solar-radio",
  taskDescription: "Your task is to let the radio play for four ticks in all: charge a battery on the panel by day.",
  objectRules: [
    "World: hour; each tick it rises by 1, and after 7 comes 0. Day is from hour 0 to 4, night from 5 to 7.",
    "Cover. Panel: a container. Battery: charge. Each tick by day, before the hour changes, charge of each battery on a " +
    "panel without a cover on it rises by 2, up to 6.",
    "Radio: a container; isOn, played. Each tick while it is on: charge of the first battery in it with charge over 0 " +
    "falls by 1 and played rises by 1; without such a battery it turns off.",
  ],
  scoreRule: "The score is played of the radio; with 4 the game is won. It cannot be lost.",
  verbs: [
    TAKE,
    putVerb(
      (_, thing, radio) => radio.type === "Radio" && thing.type !== "Battery" ? `The ${thing.name} doesn't fit.` : true,
      "Only a Battery goes in a Radio.",
    ),
    ...switchVerbs("Radio"),
  ],
  place: { kinds: ["roof", "island", "hut"], properties: { hour: 0 } },
  things(random) {
    const kinds = pickSeveral(random, ["battery", "cell", "power pack"], random.integer(1, 3));
    const batteries = kinds.map((kind) => thing(kind, "Battery", { isMoveable: true, charge: random.integer(0, 3) }));
    const cover = thing(pick(random, ["sheet", "blanket", "tarp"]), "Cover", { isMoveable: true });
    const isCovered = random.uniform() < 0.7;
    return [
      ...batteries,
      ...(isCovered ? [] : [cover]),
      thing("panel", "Panel", { isMoveable: false, isOpen: true }, isCovered ? [cover] : []),
      thing(pick(random, ["radio", "jukebox"]), "Radio", { isMoveable: false, isOpen: true, isOn: false, played: 0 }),
    ];
  },
  tick(scene) {
    const panel = scene.only("Panel"), radio = scene.only("Radio"), place = scene.place;
    const isSunny = amount(place, "hour") < SUNSET && !scene.isIn(scene.only("Cover"), panel);
    for (const battery of scene.all("Battery")) {
      if (isSunny && scene.isIn(battery, panel)) change(battery, "charge", 2, 0, FULL);
    }
    if (is(radio, "isOn")) {
      const source = scene.inside(radio).find((battery) => amount(battery, "charge") > 0);
      if (source === undefined) radio.properties.isOn = false;
      else change(source, "charge", -1), change(radio, "played", 1);
    }
    place.properties.hour = (amount(place, "hour") + 1) % HOURS;
  },
  score(scene) {
    const score = amount(scene.only("Radio"), "played");
    return { score, won: score >= PLAYED };
  },
  expert(scene) {
    const panel = scene.only("Panel"), radio = scene.only("Radio"), cover = scene.only("Cover");
    const battery = scene.all("Battery").toSorted((a, b) => amount(b, "charge") - amount(a, "charge"))[0];
    const need = PLAYED - amount(radio, "played"), charge = amount(battery, "charge");
    if (charge >= need || (scene.isIn(battery, radio) && charge > 0)) {
      return bring(scene, battery, radio) ?? (is(radio, "isOn") ? undefined : `turn on ${radio.name}`);
    }
    return scene.isIn(cover, panel) ? `take ${cover.name}` : bring(scene, battery, panel);
  },
});
