/** Steps worked out by hand from the rules that the games tell. */
import assert from "node:assert/strict";
import { BAKE_BREAD } from "../../../lib/gyms/games/bake_bread.ts";
import { BOIL_TEA } from "../../../lib/gyms/games/boil_tea.ts";
import { BREAK_FEVER } from "../../../lib/gyms/games/break_fever.ts";
import { CAMP_SOUP } from "../../../lib/gyms/games/camp_soup.ts";
import { FREEZE_ICE } from "../../../lib/gyms/games/freeze_ice.ts";
import { LEAKY_JUGS } from "../../../lib/gyms/games/leaky_jugs.ts";
import { MIX_PAINT } from "../../../lib/gyms/games/mix_paint.ts";
import { SOLAR_RADIO } from "../../../lib/gyms/games/solar_radio.ts";
import { TIMED_CHEST } from "../../../lib/gyms/games/timed_chest.ts";
import { WASH_DISHES } from "../../../lib/gyms/games/wash_dishes.ts";
import { WEIGH_STONES } from "../../../lib/gyms/games/weigh_stones.ts";
import { WINDOW_GARDEN } from "../../../lib/gyms/games/window_garden.ts";
import { WIRE_LAMP } from "../../../lib/gyms/games/wire_lamp.ts";
import type { TextGame } from "../../../lib/gyms/games/game.ts";
import { find, play, stateOf } from "./support.ts";

const THING = { isMoveable: true }, FIXED = { isMoveable: false }, CASE = { isMoveable: true, isOpen: true };
const waits = (count: number) => Array<string>(count).fill("wait");
const won = (score: number) => ({ score, gameOver: true, gameWon: true });
const lost = (score: number) => ({ score, gameOver: true, gameWon: false });
const goesOn = (score: number) => ({ score, gameOver: false, gameWon: false });

Deno.test("boil-tea: water heats by 20, boils away, cools by 5", () => {
  const start = stateOf(
    {},
    ["stove", "Stove", { isMoveable: false, isOpen: true, isOn: false }],
    ["pot", "Kettle", CASE, "stove"],
    ["water", "Water", { isMoveable: false, temperature: 30, volume: 2 }, "pot"],
    ["cup", "Cup", CASE],
    ["tea bag", "TeaBag", THING, "cup"],
  );
  const cooled = play(BOIL_TEA, start, "look", "wait", "look");
  assert.equal(find(cooled, "water").properties.temperature, 20);
  const hot = play(BOIL_TEA, start, "turn on <stove>", "wait", "wait");
  assert.equal(find(hot, "water").properties.temperature, 90);
  assert.deepEqual(BOIL_TEA.score(hot), goesOn(1));
  const boiling = play(BOIL_TEA, hot, "wait", "wait");
  assert.deepEqual(find(boiling, "water").properties, { isMoveable: false, temperature: 100, volume: 1 });
  const dry = play(BOIL_TEA, boiling, "wait");
  assert.throws(() => find(dry, "water"));
  assert.deepEqual([find(dry, "pot").contains, BOIL_TEA.score(dry)], [[], lost(0)]);
  // Off the stove it loses 5 with the taking and 5 with the pouring.
  const tea = play(BOIL_TEA, hot, "take <pot>", "pour <pot> in <cup>");
  assert.equal(find(tea, "water").properties.temperature, 80);
  assert.deepEqual(find(tea, "cup").contains, ["tea bag (ID: 6)", "water (ID: 4)"]);
  assert.deepEqual(BOIL_TEA.score(tea), won(2));
});

Deno.test("wire-lamp: two conductive wires make light, which uses up charge", () => {
  const wire = (conducts: boolean) => ({ conducts, end1: null, end2: null });
  const start = stateOf(
    {},
    ["red wire", "Wire", wire(true)],
    ["blue wire", "Wire", wire(true)],
    ["string", "Wire", wire(false)],
    ["battery", "Battery", { charge: 4 }],
    ["bulb", "Bulb", { isLit: false, litTicks: 0 }],
  );
  const tie = (wire: string) => [`connect <${wire}> to <battery>`, `connect <${wire}> to <bulb>`];
  const dark = play(WIRE_LAMP, start, ...tie("red wire"), ...tie("string"));
  assert.deepEqual(find(dark, "bulb").properties, { isLit: false, litTicks: 0 });
  assert.deepEqual(find(dark, "string").properties.end2, "bulb (ID: 6)");
  const light = play(WIRE_LAMP, dark, ...tie("blue wire"), "wait");
  assert.deepEqual(find(light, "bulb").properties, { isLit: true, litTicks: 2 });
  assert.equal(find(light, "battery").properties.charge, 2);
  assert.deepEqual(WIRE_LAMP.score(play(WIRE_LAMP, light, "wait")), won(3));
  const cut = play(WIRE_LAMP, light, "disconnect <red wire>");
  assert.deepEqual(find(cut, "bulb").properties, { isLit: false, litTicks: 0 });
  assert.deepEqual(WIRE_LAMP.score(cut), lost(0));
});

Deno.test("window-garden: light and moisture make growth; too much or too little water costs health", () => {
  const start = (moisture: number, growth: number) =>
    stateOf(
      {},
      ["lamp", "Lamp", { isMoveable: false, isOn: true }],
      ["pot", "Pot", { isMoveable: false, isOpen: true, moisture }],
      ["bean seed", "Plant", { isMoveable: true, growth, health: 2 }, "pot"],
      ["can", "Can", { isMoveable: true, water: 1 }, "agent"],
      ["tap", "Tap", FIXED],
    );
  const grown = play(WINDOW_GARDEN, start(4, 0), "wait", "wait");
  assert.deepEqual(find(grown, "bean sprout").properties, { isMoveable: false, growth: 2, health: 2 });
  assert.deepEqual(find(grown, "pot").contains, ["bean sprout (ID: 4)"]);
  assert.equal(find(grown, "pot").properties.moisture, 2);
  const dry = play(WINDOW_GARDEN, start(1, 2), "wait", "wait");
  assert.deepEqual(find(dry, "bean sprout").properties, { isMoveable: false, growth: 3, health: 1 });
  assert.deepEqual(WINDOW_GARDEN.score(play(WINDOW_GARDEN, dry, "wait")), lost(1));
  const soggy = play(WINDOW_GARDEN, start(5, 0), "water <pot> with <can>");
  assert.equal(find(soggy, "bean seed").properties.health, 1);
  assert.equal(find(soggy, "pot").properties.moisture, 6);
  assert.equal(find(soggy, "can").properties.water, 0);
  assert.equal(find(play(WINDOW_GARDEN, soggy, "fill <can> at <tap>"), "can").properties.water, 3);
  assert.deepEqual(WINDOW_GARDEN.score(play(WINDOW_GARDEN, start(3, 5), "wait")), won(3));
});

Deno.test("weigh-stones: the scale shows its load less the tare, and sleeps after four ticks", () => {
  const start = stateOf(
    {},
    ["scale", "Scale", { isMoveable: false, isOpen: true, isOn: false, reading: 0, tare: 0, timer: 4 }],
    ["red stone", "Stone", { isMoveable: true, weight: 7 }, "agent"],
    ["flat stone", "Stone", { isMoveable: true, weight: 2 }, "scale"],
    ["crate", "Crate", { isMoveable: false, isOpen: true }],
  );
  const scale = (...actions: string[]) => {
    const { isOn, reading, tare, timer } = find(play(WEIGH_STONES, start, ...actions), "scale").properties;
    return [isOn, reading, tare, timer];
  };
  assert.deepEqual(scale("turn on <scale>"), [true, 2, 0, 3]);
  assert.deepEqual(scale("turn on <scale>", "tare <scale>"), [true, 0, 2, 2]);
  assert.deepEqual(scale("turn on <scale>", "tare <scale>", "put <red stone> in <scale>"), [true, 7, 2, 1]);
  assert.deepEqual(scale("turn on <scale>", "tare <scale>", "take <flat stone>"), [true, -2, 2, 1]);
  assert.deepEqual(scale("turn on <scale>", ...waits(3)), [false, 0, 0, 4]);
  const packed = play(WEIGH_STONES, start, "put <red stone> in <crate>");
  assert.deepEqual(WEIGH_STONES.score(packed), goesOn(1));
  assert.deepEqual(WEIGH_STONES.score(play(WEIGH_STONES, packed, "close <crate>")), won(2));
  const both = play(WEIGH_STONES, packed, "take <flat stone>", "put <flat stone> in <crate>", "close <crate>");
  assert.deepEqual(WEIGH_STONES.score(both), lost(1));
});

Deno.test("wash-dishes: soaking from level 3, scrubbing by 2, drying in the rack, flood over 7", () => {
  const start = stateOf(
    {},
    ["sink", "Sink", { isMoveable: false, isOpen: true, isOn: true, level: 1 }],
    ["plate", "Dish", { isMoveable: true, dirt: 5, wet: 0 }, "sink"],
    ["sponge", "Sponge", THING, "agent"],
    ["rack", "Rack", { isMoveable: false, isOpen: true }],
  );
  const dish = (...actions: string[]) => find(play(WASH_DISHES, start, ...actions), "plate").properties;
  assert.deepEqual(dish("wait"), { isMoveable: true, dirt: 5, wet: 2 });
  assert.deepEqual(dish("wait", "wait"), { isMoveable: true, dirt: 4, wet: 2 });
  assert.deepEqual(dish("scrub <plate> with <sponge>", "wait"), { isMoveable: true, dirt: 2, wet: 2 });
  assert.deepEqual(dish("drain <sink>", "turn off <sink>"), { isMoveable: true, dirt: 5, wet: 2 });
  assert.deepEqual(WASH_DISHES.score(play(WASH_DISHES, start, ...waits(6))), goesOn(0));
  assert.deepEqual(WASH_DISHES.score(play(WASH_DISHES, start, ...waits(7))), lost(0));
  const scrubs = Array<string>(3).fill("scrub <plate> with <sponge>");
  const done = play(WASH_DISHES, start, ...scrubs, "turn off <sink>", "take <plate>", "put <plate> in <rack>");
  assert.deepEqual(find(done, "plate").properties, { isMoveable: true, dirt: 0, wet: 1 });
  assert.deepEqual(WASH_DISHES.score(play(WASH_DISHES, done, "wait")), won(1));
});

Deno.test("freeze-ice: a closed freezer that is on makes ice; ice in the hand melts away", () => {
  const start = stateOf(
    {},
    ["freezer", "Freezer", { isMoveable: false, isOpen: false, isOn: true, temperature: 0 }],
    ["tray", "Tray", CASE, "freezer"],
    ["water", "Water", { isMoveable: false, temperature: 5 }, "tray"],
    ["glass", "Glass", CASE],
  );
  const frozen = play(FREEZE_ICE, start, "wait");
  assert.equal(find(frozen, "freezer").properties.temperature, -9);
  assert.deepEqual(find(frozen, "ice").properties, { isMoveable: true, temperature: -1 });
  assert.deepEqual(find(frozen, "tray").contains, ["ice (ID: 4)"]);
  assert.equal(find(play(FREEZE_ICE, frozen, "take <ice>"), "tray").contains.length, 1, "out of reach");
  // Opened: the freezer goes from −9 to −3 and the ice to −3; in the hand it goes to 0 and then to 3.
  const held = play(FREEZE_ICE, frozen, "open <freezer>", "take <ice>");
  assert.equal(find(held, "ice").properties.temperature, 0);
  const melted = play(FREEZE_ICE, held, "wait");
  assert.throws(() => find(melted, "water"));
  assert.deepEqual(FREEZE_ICE.score(melted), lost(0));
  const cold = play(FREEZE_ICE, start, "wait", "wait", "open <freezer>", "take <ice>", "put <ice> in <glass>");
  assert.deepEqual(FREEZE_ICE.score(cold), won(2));
});

Deno.test("mix-paint-toy: stirring removes the paints and adds their mixture under the next id", () => {
  const paint = (colour: string, wet = 7) => ({ isMoveable: true, colour, wet });
  const start = stateOf(
    {},
    ["bowl", "Bowl", { isMoveable: false, isOpen: true }],
    ["red paint", "Paint", paint("red", 3), "bowl"],
    ["blue paint", "Paint", paint("blue"), "agent"],
    ["white paint", "Paint", paint("white")],
    ["toy car", "Toy", { isMoveable: false, colour: null, wants: "purple" }],
  );
  const both = play(MIX_PAINT, start, "put <blue paint> in <bowl>");
  const mixed = play(MIX_PAINT, both, "stir <bowl>");
  assert.deepEqual(find(mixed, "purple paint"), {
    name: "purple paint (ID: 7)",
    uuid: 7,
    type: "Paint",
    properties: paint("purple", 6),
    contains: [],
  });
  assert.deepEqual([mixed.max_UUID, mixed.objects.length, find(mixed, "bowl").contains], [8, 6, [
    "purple paint (ID: 7)",
  ]]);
  assert.deepEqual(MIX_PAINT.score(mixed), goesOn(1));
  assert.deepEqual(MIX_PAINT.score(play(MIX_PAINT, mixed, "paint <toy car> with <purple paint>")), won(2));
  assert.deepEqual(MIX_PAINT.score(play(MIX_PAINT, start, "paint <toy car> with <red paint>")), lost(0));
  assert.deepEqual(MIX_PAINT.score(play(MIX_PAINT, start, ...waits(3))), lost(0));
  const brown = play(
    MIX_PAINT,
    start,
    "put <blue paint> in <bowl>",
    "take <white paint>",
    "put <white paint> in <bowl>",
  );
  assert.throws(() => find(play(MIX_PAINT, mixed, "stir <bowl>"), "brown paint"), "one paint is no mixture");
  assert.deepEqual(MIX_PAINT.score(brown), lost(0), "the red paint is dry by then");
});

Deno.test("camp-soup: logs burn down and vanish; the soup gains 15 a tick", () => {
  const start = stateOf(
    {},
    ["fire pit", "Fireplace", { isMoveable: false, isOpen: true, isLit: false }],
    ["log", "Log", { isMoveable: true, fuel: 3 }, "fire pit"],
    ["matches", "Matches", { isMoveable: true, count: 1 }, "agent"],
    ["soup", "Soup", { isMoveable: true, temperature: 20 }, "fire pit"],
  );
  const burning = play(CAMP_SOUP, start, "light <fire pit> with <matches>", "wait");
  assert.equal(find(burning, "log").properties.fuel, 1);
  assert.equal(find(burning, "soup").properties.temperature, 50);
  assert.equal(find(burning, "matches").properties.count, 0);
  const out = play(CAMP_SOUP, burning, "wait");
  assert.throws(() => find(out, "log"));
  assert.equal(find(out, "fire pit").properties.isLit, false);
  assert.equal(find(out, "soup").properties.temperature, 65);
  assert.deepEqual(CAMP_SOUP.score(out), goesOn(1));
  assert.deepEqual(CAMP_SOUP.score(play(CAMP_SOUP, out, "take <soup>")), won(2));
  assert.deepEqual(CAMP_SOUP.score(play(CAMP_SOUP, out, "wait", "wait")), lost(0));
});

Deno.test("leaky-jugs: pouring stops at the brim; cracked jugs lose 1 a tick", () => {
  const jug = (capacity: number, volume: number, isCracked: boolean) => ({
    isMoveable: false,
    capacity,
    volume,
    isCracked,
  });
  const start = stateOf(
    {},
    ["blue jug", "Jug", jug(5, 5, false)],
    ["tin jug", "Jug", jug(3, 1, true)],
    ["bucket", "Bucket", { isMoveable: false, capacity: 10, volume: 0, wants: 6 }],
  );
  const volumes = (...actions: string[]) => {
    const state = play(LEAKY_JUGS, start, ...actions);
    return ["blue jug", "tin jug", "bucket"].map((kind) => find(state, kind).properties.volume);
  };
  assert.deepEqual(volumes("pour <blue jug> in <tin jug>"), [3, 2, 0]);
  assert.deepEqual(volumes("empty <blue jug>", "wait"), [0, 0, 0]);
  assert.deepEqual(volumes("fill <tin jug>"), [5, 2, 0]);
  assert.deepEqual(volumes("pour <tin jug> in <bucket>", "pour <blue jug> in <bucket>"), [0, 0, 6]);
  const full = play(LEAKY_JUGS, start, "pour <tin jug> in <bucket>", "pour <blue jug> in <bucket>");
  assert.deepEqual(LEAKY_JUGS.score(full), won(2));
  assert.deepEqual(LEAKY_JUGS.score(play(LEAKY_JUGS, start, "pour <tin jug> in <bucket>")), goesOn(1));
});

Deno.test("break-fever: pills work for two ticks, a cloth while it is wet, and fever rises without", () => {
  const start = stateOf(
    {},
    ["child", "Patient", { isMoveable: false, temperature: 40, dose: 0 }],
    ["thermometer", "Thermometer", { isMoveable: true, reading: 0 }, "agent"],
    ["pill box", "Medicine", { isMoveable: true, pills: 4 }, "agent"],
    ["cloth", "Cloth", { isMoveable: true, wet: 0 }, "agent"],
    ["basin", "Basin", FIXED],
  );
  const fever = (...actions: string[]) => find(play(BREAK_FEVER, start, ...actions), "child").properties.temperature;
  assert.equal(fever("wait"), 41);
  assert.equal(fever("wait", "wait"), 41);
  const pill = "give <pill box> to <child>";
  assert.deepEqual([fever(pill), fever(pill, "wait"), fever(pill, "wait", "wait")], [39, 38, 39]);
  const cloth = ["soak <cloth> in <basin>", "lay <cloth> on <child>"];
  assert.deepEqual([fever(...cloth), fever(...cloth, pill), fever(...cloth, "wait", "wait")], [40, 38, 38]);
  const well = play(BREAK_FEVER, start, ...cloth, pill, "wait");
  assert.deepEqual(BREAK_FEVER.score(well), goesOn(1));
  assert.deepEqual(find(well, "child").properties, { isMoveable: false, temperature: 36, dose: 0 });
  assert.deepEqual(BREAK_FEVER.score(play(BREAK_FEVER, well, "measure <child> with <thermometer>")), won(2));
  assert.deepEqual(BREAK_FEVER.score(play(BREAK_FEVER, start, pill, pill, pill)), lost(1));
});

Deno.test("timed-chest: the key's metal counts, and the chest falls shut", () => {
  const chest = { isMoveable: false, isOpen: false, isLocked: true, metal: "iron", timer: 0, spring: 3 };
  const start = stateOf(
    {},
    ["iron key", "Key", { isMoveable: true, metal: "iron" }, "agent"],
    ["gold key", "Key", { isMoveable: true, metal: "gold" }, "agent"],
    ["chest", "Chest", chest],
    ["pearl", "Treasure", THING, "chest"],
    ["drawer", "Cabinet", { isMoveable: false, isOpen: true }],
  );
  const unlock = "unlock <chest> with <iron key>";
  assert.deepEqual(find(play(TIMED_CHEST, start, "open <chest>"), "chest").properties, chest);
  assert.deepEqual(find(play(TIMED_CHEST, start, "unlock <chest> with <gold key>"), "chest").properties, chest);
  const open = play(TIMED_CHEST, start, unlock, "open <chest>");
  assert.deepEqual(find(open, "chest").properties, { ...chest, isOpen: true, isLocked: false, timer: 1 });
  assert.deepEqual(TIMED_CHEST.score(open), goesOn(1));
  assert.deepEqual(find(play(TIMED_CHEST, open, "wait"), "chest").properties, chest);
  assert.deepEqual(TIMED_CHEST.score(play(TIMED_CHEST, open, "take <pearl>")), won(2));
  assert.deepEqual(TIMED_CHEST.score(play(TIMED_CHEST, open, "put <iron key> in <chest>")), lost(0));
});

Deno.test("solar-radio: batteries charge by day on an uncovered panel and run the radio at any hour", () => {
  const start = (hour: number) =>
    stateOf(
      { hour },
      ["panel", "Panel", { isMoveable: false, isOpen: true }],
      ["sheet", "Cover", THING, "panel"],
      ["cell", "Battery", { isMoveable: true, charge: 1 }, "panel"],
      ["radio", "Radio", { isMoveable: false, isOpen: true, isOn: true, played: 0 }],
    );
  const dark = play(SOLAR_RADIO, start(0), "wait");
  assert.equal(find(dark, "cell").properties.charge, 1);
  assert.equal(find(dark, "radio").properties.isOn, false);
  assert.equal(find(dark, "room").properties.hour, 1);
  const charged = play(SOLAR_RADIO, start(3), "take <sheet>", ...waits(3));
  assert.equal(find(charged, "cell").properties.charge, 5);
  assert.equal(find(charged, "room").properties.hour, 7);
  const playing = play(SOLAR_RADIO, charged, "take <cell>", "put <cell> in <radio>", "turn on <radio>", ...waits(2));
  assert.equal(find(playing, "room").properties.hour, 4);
  assert.equal(find(playing, "cell").properties.charge, 2);
  assert.deepEqual(SOLAR_RADIO.score(playing), goesOn(3));
  assert.deepEqual(SOLAR_RADIO.score(play(SOLAR_RADIO, playing, "wait")), won(4));
});

Deno.test("bake-bread: dough rises outside, bakes in a closed oven of 140 degrees, and burns", () => {
  const start = (rise: number, oven = { isOpen: false, isOn: true, temperature: 80 }) =>
    stateOf(
      {},
      ["oven", "Oven", { isMoveable: false, ...oven }],
      ["tin", "Tin", CASE, "oven"],
      ["dough", "Dough", { isMoveable: true, rise, baked: 0 }, "tin"],
    );
  const baked = play(BAKE_BREAD, start(4), ...waits(3));
  assert.equal(find(baked, "oven").properties.temperature, 220);
  assert.deepEqual(find(baked, "bread").properties, { isMoveable: true, rise: 4, baked: 3 });
  assert.deepEqual(BAKE_BREAD.score(baked), goesOn(2));
  const taken = play(BAKE_BREAD, baked, "open <oven>", "take <bread>");
  assert.equal(find(taken, "oven").properties.temperature, 160);
  assert.deepEqual(BAKE_BREAD.score(taken), won(3));
  assert.deepEqual(BAKE_BREAD.score(play(BAKE_BREAD, baked, ...waits(3))), lost(0));
  assert.deepEqual(BAKE_BREAD.score(play(BAKE_BREAD, start(2), "wait")), lost(0));
  const warm = play(BAKE_BREAD, start(2, { isOpen: false, isOn: false, temperature: 110 }), "wait");
  assert.deepEqual(find(warm, "dough").properties, { isMoveable: true, rise: 3, baked: 0 });
});

Deno.test("a state of another game is refused by the type that it lacks", () => {
  const games: [TextGame, TextGame][] = [[BOIL_TEA, TIMED_CHEST], [WIRE_LAMP, CAMP_SOUP]];
  for (const [game, other] of games) {
    assert.throws(
      () => game.step(other.start(1), "wait"),
      /the state has no object of type "\w+": is it one of this game's\?/,
    );
  }
});
