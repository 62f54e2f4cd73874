/**
 * Jugs: measuring out an amount with two of them, one of which may leak.
 */

import { defineGame, distractor, pick, pickSeveral, type TextGame, thing } from "./game.ts";
import { amount, change, is, Scene } from "./scene.ts";
import { offeredActions, parseAction, type ParsedAction, TAKE, type Verb } from "./verbs.ts";

const FILL: Verb = {
  pattern: "fill {}",
  rule: "fill X: sets volume of X, a Jug, to its capacity.",
  offers: (_, jug) => jug.type === "Jug",
  does: (_, jug) =>
    change(jug, "volume", Infinity, 0, amount(jug, "capacity")) ? `You fill the ${jug.name}.` : "It is full.",
};

const EMPTY: Verb = {
  pattern: "empty {}",
  rule: "empty X: sets volume of X, a Jug or Bucket, to 0.",
  offers: (_, vessel) => "volume" in vessel.properties,
  does: (_, vessel) => change(vessel, "volume", -Infinity) ? `You empty the ${vessel.name}.` : "It is empty.",
};

const POUR: Verb = {
  pattern: "pour {} in {}",
  rule: "pour X in Y: moves volume from X, a Jug, to Y, a Jug or Bucket, until X is empty or Y has its capacity.",
  offers: (_, from, to) => from.type === "Jug" && "volume" in to.properties,
  does(_, from, to) {
    const poured = Math.min(amount(from, "volume"), amount(to, "capacity") - amount(to, "volume"));
    change(from, "volume", -poured);
    change(to, "volume", poured);
    return poured > 0 ? `You pour ${poured} l in the ${to.name}.` : "Nothing can be poured.";
  },
};

const MOVES = [FILL, EMPTY, POUR];

/** Two jugs and a bucket that wants an exact volume. */
export const LEAKY_JUGS: TextGame = defineGame({
  name: "leaky-jugs",
  taskDescription: "Your task is to get exactly the volume that the bucket wants into it.",
  objectRules: [
    "Bucket: capacity, volume, wants. Jug: capacity, volume, isCracked. Each tick volume of a cracked jug falls by 1, but " +
    "not below 0.",
  ],
  scoreRule:
    "1 point while the volume of the bucket is over 0 and less than it wants. When both are equal the score is 2 " +
    "and the game is won. It cannot be lost.",
  verbs: [TAKE, ...MOVES],
  place: { kinds: ["yard", "stable", "cellar"] },
  things(random) {
    const [large, small] = pick(random, [[5, 3], [4, 3], [5, 2], [7, 4], [7, 5], [5, 4], [8, 3], [7, 3], [3, 2]]);
    const cracked = random.integer(0, 3);
    const kinds = pickSeveral(random, ["brown jug", "blue jug", "tin jug", "glass jug", "white jug"], 2);
    const jug = (i: number, capacity: number) => {
      const properties = {
        isMoveable: false,
        capacity,
        volume: random.integer(0, capacity + 1),
        isCracked: cracked === i,
      };
      return thing(kinds[i], "Jug", properties);
    };
    const wants = random.integer(large + 1, 10);
    const bucket = { isMoveable: false, capacity: 10, volume: random.integer(0, wants), wants };
    return [
      jug(0, large),
      jug(1, small),
      thing(pick(random, ["bucket", "barrel"]), "Bucket", bucket),
      distractor(random),
    ];
  },
  tick: leak,
  score(scene) {
    const { volume, wants } = bucketOf(scene);
    return { score: volume === wants ? 2 : Number(volume > 0 && volume < wants), won: volume === wants };
  },
  expert: shortestPour,
});

function leak(scene: Scene): void {
  for (const jug of scene.all("Jug")) if (is(jug, "isCracked")) change(jug, "volume", -1);
}

function bucketOf(scene: Scene) {
  const bucket = scene.only("Bucket");
  return { volume: amount(bucket, "volume"), wants: amount(bucket, "wants") };
}

/** The first action of a shortest way to the volume that is wanted: breadth-first over the volumes. */
function shortestPour(start: Scene): string | undefined {
  const queue: { scene: Scene; first: string | undefined }[] = [{ scene: start, first: undefined }];
  const seen = new Set([volumes(start)]);
  for (const { scene, first } of queue) {
    for (const action of offeredActions(scene, MOVES)) {
      const next = new Scene(scene.toState("", ""));
      const { verb, objects } = parseAction(next, MOVES, action) as ParsedAction;
      verb.does(next, ...objects);
      leak(next);
      if (seen.has(volumes(next))) continue;
      seen.add(volumes(next));
      const { volume, wants } = bucketOf(next);
      if (volume === wants) return first ?? action;
      queue.push({ scene: next, first: first ?? action });
    }
  }
  return undefined;
}

function volumes(scene: Scene): string {
  return scene.objects.map(({ properties }) => properties.volume).join();
}
