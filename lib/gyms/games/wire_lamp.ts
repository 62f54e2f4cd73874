/**
 * A circuit: a bulb shines while two wires link it to a battery that has charge left.
 */

import type { GameObject } from "../../worlds/text_game/state.ts";
import { defineGame, pick, pickSeveral, type TextGame, thing } from "./game.ts";
import { amount, change, is, type Scene } from "./scene.ts";
import type { Verb } from "./verbs.ts";

const TICKS_TO_WIN = 3;

const CONNECT: Verb = {
  pattern: "connect {} to {}",
  rule:
    "connect X to Y: sets the first end (end1, end2) of X, a Wire, that is None to the name of Y, a Battery or Bulb.",
  offers: (_, wire, device) => wire.type === "Wire" && (device.type === "Battery" || device.type === "Bulb"),
  does(_, wire, device) {
    const end = wire.properties.end1 === null ? "end1" : "end2";
    if (wire.properties[end] !== null) return `The ${wire.name} has no free end.`;
    if (wire.properties.end1 === device.name) return `The ${wire.name} is connected to the ${device.name} already.`;
    wire.properties[end] = device.name;
    return `The ${wire.name} is now connected to the ${device.name}.`;
  },
};

const DISCONNECT: Verb = {
  pattern: "disconnect {}",
  rule: "disconnect X: sets end1 and end2 of X, a Wire, to None.",
  offers: (_, wire) => wire.type === "Wire",
  does(_, wire) {
    if (wire.properties.end1 === null) return `The ${wire.name} is not connected.`;
    wire.properties.end1 = wire.properties.end2 = null;
    return `The ${wire.name} is now loose.`;
  },
};

/** Two conductive wires between the bulb and a charged battery make light; batteries run down. */
export const WIRE_LAMP: TextGame = defineGame({
  name: "wire-lamp",
  taskDescription: "Your task is to let the bulb shine for three ticks: connect it to a battery by two wires.",
  objectRules: [
    "Wire: conducts; end1 and end2 are the names of what the ends are connected to, or None.",
    "Battery: charge. Bulb: isLit, litTicks. Each tick the bulb is lit if two conductive wires each connect it to the same " +
    "battery and that battery's charge is over 0. Then the battery's charge falls by 1 and litTicks rises by 1; " +
    "otherwise isLit is false and litTicks 0.",
  ],
  scoreRule: "The score is litTicks of the bulb; with 3 the game is won. If no battery has charge enough for what is " +
    "missing, the game is lost.",
  verbs: [CONNECT, DISCONNECT],
  place: { kinds: ["workshop", "shed", "attic"] },
  things(random) {
    const colours = pickSeveral(random, ["red", "black", "blue", "green", "white"], 2);
    const wire = (kind: string, conducts: boolean) => thing(kind, "Wire", { conducts, end1: null, end2: null });
    const wires = [...colours.map((colour) => wire(`${colour} wire`, true))];
    if (random.uniform() < 0.6) wires.push(wire(pick(random, ["string", "shoelace", "rubber band"]), false));
    const kinds = pickSeveral(random, ["battery", "cell", "old battery"], 2);
    const batteries = [thing(kinds[0], "Battery", { charge: random.integer(4, 10) })];
    if (wires.length === 2 && random.uniform() < 0.6) {
      batteries.push(thing(kinds[1], "Battery", { charge: random.integer(0, 3) }));
    }
    return [...wires, ...batteries, thing(pick(random, ["bulb", "lamp"]), "Bulb", { isLit: false, litTicks: 0 })];
  },
  tick(scene) {
    const bulb = scene.only("Bulb");
    const source = scene.all("Battery").find((battery) =>
      amount(battery, "charge") > 0 && linked(scene, battery, bulb)
    );
    bulb.properties.isLit = source !== undefined;
    if (source === undefined) bulb.properties.litTicks = 0;
    else change(source, "charge", -1), change(bulb, "litTicks", 1);
  },
  score(scene) {
    const score = amount(scene.only("Bulb"), "litTicks");
    const won = score >= TICKS_TO_WIN;
    const fullest = Math.max(...scene.all("Battery").map((battery) => amount(battery, "charge")));
    return { score, won, lost: !won && fullest < TICKS_TO_WIN - score };
  },
  expert(scene) {
    const bulb = scene.only("Bulb");
    const need = TICKS_TO_WIN - amount(bulb, "litTicks");
    const isEnough = (battery: GameObject) => amount(battery, "charge") >= need && linked(scene, battery, bulb);
    const batteries = scene.all("Battery");
    const battery = batteries.find(isEnough) ?? batteries.find((battery) => amount(battery, "charge") >= TICKS_TO_WIN);
    if (battery === undefined) return undefined;
    for (const wire of scene.all("Wire").filter((wire) => is(wire, "conducts"))) {
      const missing = [bulb, battery].filter(({ name }) => !ends(wire).includes(name));
      if (missing.length === 0) continue;
      const isFree = ends(wire).includes(null) && missing.length <= ends(wire).filter((end) => end === null).length;
      return isFree ? `connect ${wire.name} to ${missing[0].name}` : `disconnect ${wire.name}`;
    }
    return undefined;
  },
});

function ends(wire: GameObject) {
  return [wire.properties.end1, wire.properties.end2];
}

/** Whether two conductive wires run between the two. */
function linked(scene: Scene, a: GameObject, b: GameObject): boolean {
  const wires = scene.all("Wire").filter((wire) => is(wire, "conducts"));
  return wires.filter((wire) => ends(wire).includes(a.name) && ends(wire).includes(b.name)).length >= 2;
}
