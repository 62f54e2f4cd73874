/**
 * A camp fire: logs burn down to nothing, and soup gets warm while they do.
 */

import { bring, defineGame, hold, pick, pickSeveral, type TextGame, thing } from "./game.ts";
import { amount, approach, change, is } from "./scene.ts";
import { putVerb, TAKE, type Verb } from "./verbs.ts";

const WARM = 60, HOTTEST = 90, OUTDOORS = 10;

const LIGHT: Verb = {
  pattern: "light {} with {}",
  rule:
    "light X with Y: uses up 1 of count of Y, Matches that the agent holds; if X, a Fireplace, has a log in it, isLit " +
    "becomes true.",
  offers: (_, fire, matches) => fire.type === "Fireplace" && matches.type === "Matches",
  does(scene, fire, matches) {
    if (!scene.isHeld(matches)) return `You don't hold the ${matches.name}.`;
    if (!change(matches, "count", -1)) return `The ${matches.name} are used up.`;
    if (!scene.inside(fire).some(({ type }) => type === "Log")) return "The match burns down in vain.";
    fire.properties.isLit = true;
    return `The ${fire.name} is now burning.`;
  },
};

/** Burning logs are used up and removed; the soup must be warm before the wood is gone. */
export const CAMP_SOUP: TextGame = defineGame({
  name: "camp-soup",
  taskDescription: "Your task is to warm the soup on the fire to at least 60 degrees and then to take it.",
  objectRules: [
    "Matches: count. Log: fuel. Fireplace: a container; isLit. Each tick while it is lit, fuel of each log in it falls by " +
    "1; logs with fuel 0 are removed; without logs it goes out.",
    "Soup: temperature. Each tick, before the logs burn, it rises by 15 up to 90 in a lit fireplace; otherwise it moves " +
    "towards 10 by 5.",
  ],
  scoreRule:
    "1 point while the soup has at least 60 degrees. If the agent holds it then, the score is 2 and the game is " +
    "won. If there are no logs left, or no matches and no fire, while the soup has less than 60 degrees, the game is lost.",
  verbs: [
    TAKE,
    putVerb(
      (_, thing, fire) => fire.type === "Fireplace" && thing.type === "Matches" ? `Better not.` : true,
      "Matches don't go in a Fireplace.",
    ),
    LIGHT,
  ],
  place: { kinds: ["forest", "beach", "clearing"] },
  things(random) {
    const kinds = pickSeveral(random, ["log", "branch", "plank", "stump"], random.integer(1, 3));
    return [
      ...kinds.map((kind) => thing(kind, "Log", { isMoveable: true, fuel: random.integer(4, 8) })),
      thing(pick(random, ["fire pit", "grill"]), "Fireplace", { isMoveable: false, isOpen: true, isLit: false }),
      thing("matches", "Matches", { isMoveable: true, count: random.integer(1, 5) }),
      thing(pick(random, ["soup", "stew", "chili"]), "Soup", {
        isMoveable: true,
        temperature: random.integer(2, 7) * 5,
      }),
    ];
  },
  tick(scene) {
    const fire = scene.only("Fireplace"), soup = scene.only("Soup");
    const isHeated = is(fire, "isLit") && scene.isIn(soup, fire);
    approach(soup, "temperature", isHeated ? HOTTEST : OUTDOORS, isHeated ? 15 : 5);
    if (!is(fire, "isLit")) return;
    const logs = scene.inside(fire).filter(({ type }) => type === "Log");
    logs.forEach((log) => change(log, "fuel", -1));
    logs.filter((log) => amount(log, "fuel") === 0).forEach((log) => scene.remove(log));
    fire.properties.isLit = scene.inside(fire).some(({ type }) => type === "Log");
  },
  score(scene) {
    const soup = scene.only("Soup"), fire = scene.only("Fireplace");
    if (amount(soup, "temperature") >= WARM) {
      const won = scene.isHeld(soup);
      return { score: won ? 2 : 1, won };
    }
    const isWithoutFire = amount(scene.only("Matches"), "count") === 0 && !is(fire, "isLit");
    return { score: 0, lost: isWithoutFire || scene.first("Log") === undefined };
  },
  expert(scene) {
    const fire = scene.only("Fireplace"), soup = scene.only("Soup"), matches = scene.only("Matches");
    if (amount(soup, "temperature") >= WARM + 5) return hold(scene, soup);
    const logAway = scene.all("Log").find((log) => !scene.isIn(log, fire));
    const bringing = bring(scene, soup, fire) ?? (logAway && bring(scene, logAway, fire));
    return bringing ??
      (is(fire, "isLit") ? undefined : hold(scene, matches) ?? `light ${fire.name} with ${matches.name}`);
  },
});
