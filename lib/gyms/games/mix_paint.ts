/**
 * Paints: two of them stirred make a third, which must be used before it dries.
 */

import { bring, defineGame, pick, pickSeveral, type TextGame, thing } from "./game.ts";
import { amount, change, is, kindOf, type Scene } from "./scene.ts";
import { putVerb, TAKE, type Verb } from "./verbs.ts";

const WET_TICKS = 7;
const BASIC = ["red", "yellow", "blue", "white"] as const;
/** What two basic colours make; every other mixture is brown. */
const MIXTURES: Readonly<Record<string, string>> = {
  "blue+red": "purple",
  "blue+white": "sky",
  "blue+yellow": "green",
  "red+white": "pink",
  "red+yellow": "orange",
  "white+yellow": "cream",
};

const STIR: Verb = {
  pattern: "stir {}",
  rule:
    "stir X: if X, a Bowl, has two or more paints in it, removes them and adds one new Paint to X with wet 7, whose " +
    "colour is for two basic paints red+yellow orange, red+blue purple, yellow+blue green, red+white pink, yellow+white " +
    "cream, blue+white sky, otherwise brown. Its name is the colour and the word paint; its id is the next free one.",
  offers: (_, bowl) => bowl.type === "Bowl",
  does(scene, bowl) {
    const paints = scene.inside(bowl);
    if (paints.length < 2) return `There are no two paints in the ${bowl.name}.`;
    const colour = mixture(paints.map((paint) => String(paint.properties.colour)));
    paints.forEach((paint) => scene.remove(paint));
    const paint = scene.add(`${colour} paint`, "Paint", { isMoveable: true, colour, wet: WET_TICKS }, bowl);
    return `You get ${paint.name}.`;
  },
};

const PAINT: Verb = {
  pattern: "paint {} with {}",
  rule: "paint X with Y: sets colour of X, a Toy, to the colour of Y, a Paint in a Bowl, and removes Y.",
  offers: (_, toy, paint) => toy.type === "Toy" && paint.type === "Paint",
  does(scene, toy, paint) {
    if (scene.holder(paint)!.type !== "Bowl") return `Put the ${paint.name} in a bowl first.`;
    toy.properties.colour = paint.properties.colour;
    scene.remove(paint);
    return `The ${toy.name} is now ${toy.properties.colour}.`;
  },
};

/** Mixing removes two objects and adds one; paint in the bowl dries. */
export const MIX_PAINT: TextGame = defineGame({
  name: "mix-paint-toy",
  taskDescription: "Your task is to paint the toy in the colour that it wants: mix paints in the bowl.",
  objectRules: [
    "Toy: colour, wants. Bowl: a container for paints.",
    "Paint: colour, wet. Each tick in a bowl, wet falls by 1; at 0 the paint is dry.",
  ],
  scoreRule:
    "1 point while a paint of the wanted colour is in the bowl. If the toy has the wanted colour, the score is 2 " +
    "and the game is won; if it has another one, or if any paint is dry, the game is lost.",
  verbs: [
    TAKE,
    putVerb(
      (_, thing, bowl) =>
        bowl.type === "Bowl" && thing.type !== "Paint" ? `The ${thing.name} doesn't belong in the ${bowl.name}.` : true,
      "Only a Paint goes in a Bowl.",
    ),
    STIR,
    PAINT,
  ],
  place: { kinds: ["studio", "workshop", "nursery"] },
  things(random) {
    const colours = pickSeveral(random, BASIC, random.integer(2, 4));
    const wants = mixture(colours.slice(0, 2));
    const toy = pick(random, ["car", "duck", "train", "doll"]);
    return [
      ...colours.map((colour) => thing(`${colour} paint`, "Paint", { isMoveable: true, colour, wet: WET_TICKS })),
      thing(pick(random, ["bowl", "bucket", "dish"]), "Bowl", { isMoveable: false, isOpen: true }),
      thing(`toy ${toy}`, "Toy", { isMoveable: random.uniform() < 0.5, colour: null, wants }),
    ];
  },
  tick(scene) {
    for (const paint of scene.inside(scene.only("Bowl"))) change(paint, "wet", -1);
  },
  score(scene) {
    const { colour, wants } = scene.only("Toy").properties;
    if (colour !== null) return { score: colour === wants ? 2 : 0, won: colour === wants, lost: colour !== wants };
    const isMixed = scene.inside(scene.only("Bowl")).some((paint) => paint.properties.colour === wants);
    return { score: Number(isMixed), lost: scene.all("Paint").some((paint) => amount(paint, "wet") === 0) };
  },
  expert(scene) {
    const bowl = scene.only("Bowl"), toy = scene.only("Toy");
    const right = scene.inside(bowl).find((paint) => paint.properties.colour === toy.properties.wants);
    if (right !== undefined) return `paint ${toy.name} with ${right.name}`;
    const parts = partsOf(scene, String(toy.properties.wants));
    const wrong = scene.inside(bowl).find((paint) => !parts.includes(paint));
    if (wrong !== undefined) return `take ${wrong.name}`;
    // Both are in hand before the first goes in, lest it dry.
    const away = parts.filter((paint) => !scene.isIn(paint, bowl));
    const missing = away.find((paint) => !scene.isHeld(paint)) ?? away[0];
    return missing === undefined ? `stir ${bowl.name}` : bring(scene, missing, bowl);
  },
});

function mixture(colours: readonly string[]): string {
  return MIXTURES[colours.toSorted().join("+")] ?? "brown";
}

/** The paints that make a colour, as far as there are any. */
function partsOf(scene: Scene, colour: string) {
  const [recipe = ""] = Object.keys(MIXTURES).filter((recipe) => MIXTURES[recipe] === colour);
  return scene.all("Paint").filter((paint) =>
    recipe.split("+").includes(kindOf(paint).split(" ")[0]) && is(paint, "isMoveable")
  );
}
