/** The crawler: determinism, the split, the share of changes, and rows of the benchmark's form. */
import assert from "node:assert/strict";
import { workBreathing } from "../../../lib/base/breather.ts";
import { isChanged } from "../../../lib/worlds/text_game/difference.ts";
import { targetText } from "../../../lib/worlds/text_game/answer.ts";
import { scoreResponse } from "../../../lib/worlds/text_game/reward.ts";
import { loadTransitions, writeTransitions } from "../../../lib/worlds/text_game/jsonl.ts";
import { scoredCurrent, scoredNext, type TextGameTransition } from "../../../lib/worlds/text_game/state.ts";
import {
  builtInCrawl,
  type BuiltInOptions,
  builtInTransitions,
  crawlGame,
  textGame,
  transitionKey,
} from "../../../lib/gyms/games/crawl.ts";
import { defineGame, thing } from "../../../lib/gyms/games/game.ts";
import { TEXT_GAMES } from "../../../lib/gyms/games/games.ts";

const sharedData = Deno.env.get("RLVR_SHARED_DATA") ?? new URL("../../../../../shared/data", import.meta.url).pathname;
const trainFile = `${sharedData}/bytesized32/train.jsonl.gz`;
const isThere = await Deno.stat(trainFile).then(() => true, () => false);

const FEW: BuiltInOptions = { seed: 3, perGame: 150, heldOutPerGame: 60 };

function changedShare(transitions: readonly TextGameTransition[]): number {
  const changed = transitions.filter((transition) => isChanged(scoredCurrent(transition), scoredNext(transition)));
  return changed.length / transitions.length;
}

Deno.test("as many rows of each game as asked for; none twice; no held-out row in training", () => {
  const { train, heldOut } = builtInTransitions(FEW);
  for (const name of Object.keys(TEXT_GAMES)) {
    const ofGame = ({ game }: TextGameTransition) => game === name;
    assert.equal(train.filter(ofGame).length, 150);
    assert.equal(heldOut.filter(ofGame).length, 60);
    const ids = [...train, ...heldOut].filter(ofGame).map(({ stateId }) => stateId);
    assert.deepEqual(ids, Array.from({ length: 210 }, (_, i) => i));
  }
  const keys = [...train, ...heldOut].map(transitionKey);
  assert.equal(new Set(keys).size, keys.length);
  assert.equal(builtInTransitions({ ...FEW, heldOutPerGame: undefined, games: ["boil-tea"] }).heldOut.length, 15);
});

Deno.test("what was seen before is not collected again", () => {
  const game = TEXT_GAMES["freeze-ice"], options = { seed: 1, count: 80, isHeldOut: true };
  const first = crawlGame(game, { ...options, seen: new Set() }).map(transitionKey);
  const forbidden = first.filter((_, i) => i % 2 === 0);
  const second = crawlGame(game, { ...options, seen: new Set(forbidden) }).map(transitionKey);
  assert.equal(second.length, 80);
  assert.equal(forbidden.filter((key) => second.includes(key)).length, 0);
  assert.ok(second.includes(first[1]), "the same walks are walked");
});

Deno.test("the seed decides everything; a game's rows do not depend on the other games", () => {
  const games = ["camp-soup", "timed-chest"];
  const first = builtInTransitions({ ...FEW, games });
  assert.deepEqual(builtInTransitions({ ...FEW, games }), first);
  const alone = builtInTransitions({ ...FEW, games: ["timed-chest"] });
  assert.deepEqual(first.train.filter(({ game }) => game === "timed-chest"), alone.train);
  assert.notDeepEqual(builtInTransitions({ ...FEW, games, seed: 4 }).train, first.train);
});

Deno.test("the share of changed rows is the one asked for, except where a game has too few of a kind", () => {
  const games = ["boil-tea", "mix-paint-toy", "window-garden"];
  for (const share of [0, 0.3, 0.9, 1]) {
    const { train, heldOut } = builtInTransitions({
      ...FEW,
      perGame: 100,
      heldOutPerGame: 50,
      games,
      changedShare: share,
    });
    assert.equal(changedShare(train), share);
    assert.equal(changedShare(heldOut), share);
  }
  const { train } = builtInTransitions({ ...FEW, games: ["solar-radio"], changedShare: 0.5 });
  assert.equal(train.length, 150);
  assert.equal(changedShare(train), 1);
});

Deno.test("rows replay from their JSON, and hold wins, losses and refused actions", () => {
  const { train } = builtInTransitions(FEW);
  for (const { game, current, currentScore, action, next, nextScore, actionState } of train) {
    const step = textGame(game).step(JSON.parse(JSON.stringify(current)), action);
    assert.deepEqual(step, { actionState, nextState: next, currentScore, nextScore });
    assert.equal(next.lastAction, action);
    assert.equal(currentScore.gameOver, false);
  }
  for (const name of Object.keys(TEXT_GAMES)) {
    const rows = train.filter(({ game }) => game === name);
    assert.ok(rows.some(({ nextScore }) => nextScore.gameWon), `${name} is never won`);
    assert.ok(rows.some(({ current, action }) => !textGame(name).validActions(current).includes(action)));
    const share = changedShare(rows);
    assert.ok(share > 0.4 && (share < 0.95 || name === "solar-radio"), `${name}: share of changes ${share}`);
  }
});

Deno.test("the exact difference of every row is scored as right; no change is right on the unchanged rows only", () => {
  const noChange = "The final answer is: {'modified': [], 'removed': [], 'score': {}}";
  let added = 0, removed = 0;
  for (const transition of builtInTransitions(FEW).train) {
    const current = scoredCurrent(transition), next = scoredNext(transition);
    const known = transition.current.objects.map(({ uuid }) => uuid),
      left = transition.next.objects.map(({ uuid }) => uuid);
    const isAdding = left.some((uuid) => !known.includes(uuid));
    added += Number(isAdding);
    removed += Number(known.some((uuid) => !left.includes(uuid)));
    assert.equal(scoreResponse(targetText(transition, "strict"), current, next, "strict").binary, 1);
    // The released scorer never adds an object.
    assert.equal(scoreResponse(targetText(transition, "released"), current, next, "released").binary, isAdding ? 0 : 1);
    assert.equal(scoreResponse(noChange, current, next, "strict").binary, isChanged(current, next) ? 0 : 1);
  }
  assert.ok(added > 0 && removed > added, `${added} rows add an object, ${removed} remove some`);
});

Deno.test("written rows are read back as they were", async () => {
  const folder = await Deno.makeTempDir();
  const { heldOut } = builtInTransitions({ ...FEW, games: ["mix-paint-toy", "weigh-stones"] });
  for (const name of ["rows.jsonl", "rows.jsonl.gz"]) {
    await writeTransitions(`${folder}/${name}`, heldOut);
    const { rows, skipped } = await loadTransitions(`${folder}/${name}`);
    assert.deepEqual(skipped, []);
    const comparable = ({ actionState: _, ...rest }: TextGameTransition) => JSON.parse(JSON.stringify(rest));
    assert.deepEqual(rows.map(({ transition }) => comparable(transition)), heldOut.map(comparable));
  }
  await Deno.remove(folder, { recursive: true });
});

/** The keys of a JSON value, nested and in order; property names of objects and what lists hold do not count. */
function shape(value: unknown, path = ""): string[] {
  if (typeof value !== "object" || value === null || path.endsWith(".properties") || path.endsWith(".contains")) {
    return [`${path}: ${Array.isArray(value) ? "list" : typeof value}`];
  }
  if (Array.isArray(value)) return [...new Set(value.flatMap((item) => shape(item, `${path}[]`)))];
  return Object.entries(value).flatMap(([key, inner]) => shape(inner, `${path}.${key}`));
}

Deno.test({
  name: `rows have the benchmark's keys in its order${isThere ? "" : ` (${trainFile} is not there)`}`,
  ignore: !isThere,
  async fn() {
    const gunzip = (await Deno.open(trainFile)).readable.pipeThrough(new DecompressionStream("gzip"));
    const theirs = (await new Response(gunzip).text()).split("\n", 1)[0];
    const path = await Deno.makeTempFile({ suffix: ".jsonl" });
    await writeTransitions(path, builtInTransitions({ ...FEW, games: ["boil-tea"] }).train);
    for (const ours of (await Deno.readTextFile(path)).trim().split("\n")) {
      assert.deepEqual(shape(JSON.parse(ours)), shape(JSON.parse(theirs)));
    }
    await Deno.remove(path);
  },
});

Deno.test("a game that has no more different rows says how many there are", () => {
  // Two scenes and nothing to do but to look: a game that is soon exhausted.
  const tiny = defineGame({
    name: "tiny",
    taskDescription: "Nothing to do.",
    objectRules: [],
    scoreRule: "None.",
    verbs: [],
    place: { kinds: ["room", "hall"] },
    things: () => [thing("tap", "Tap", { isMoveable: false })],
    tick: () => {},
    score: () => ({ score: 0 }),
    expert: () => undefined,
  });
  assert.throws(
    () => crawlGame(tiny, { seed: 1, count: 5000, isHeldOut: false, seen: new Set() }),
    /^RangeError: tiny has only about \d+ different training transitions: ask for fewer than 5000$/,
  );
});

Deno.test("options out of range, unknown games and too many rows are errors that say so", () => {
  const failure = (options: Partial<BuiltInOptions>, message: string) =>
    assert.throws(() => builtInTransitions({ ...FEW, ...options }), { name: "RangeError", message });
  failure({ perGame: 0 }, "perGame must be an integer of at least 1: received 0");
  failure({ heldOutPerGame: 1.5 }, "heldOutPerGame must be an integer of at least 0: received 1.5");
  failure({ changedShare: 1.1 }, "changedShare must be in 0..1: received 1.1");
  const all = Object.keys(TEXT_GAMES).join(", ");
  failure({ games: ["boil-water"] }, `unknown text game "boil-water": there are ${all}`);
  failure({ games: ["toString"] }, `unknown text game "toString": there are ${all}`);
});

Deno.test("the crawl of a single game is done bit by bit: a stop is heard after every walk", async () => {
  const stop = new AbortController(), reason = new Error("asked to stop");
  setTimeout(() => stop.abort(reason), 1);
  const crawl = builtInCrawl({ seed: 0, perGame: 100_000, games: ["leaky-jugs"] });
  await assert.rejects(workBreathing(crawl, stop.signal), reason);
});
