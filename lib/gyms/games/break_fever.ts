/**
 * A fever: pills and a wet cloth bring it down, a thermometer shows it.
 */

import { defineGame, hold, pick, type TextGame, thing } from "./game.ts";
import { amount, change } from "./scene.ts";
import { PUT, TAKE, type Verb } from "./verbs.ts";

const WELL = 37, HIGHEST = 41, COOLEST = 36, SOAKED = 3, DANGEROUS = 2;

const GIVE: Verb = {
  pattern: "give {} to {}",
  rule:
    "give X to Y: if the agent holds X, Medicine with pills over 0, pills falls by 1 and dose of Y, a Patient, rises by 2.",
  offers: (_, medicine, patient) => medicine.type === "Medicine" && patient.type === "Patient",
  does(scene, medicine, patient) {
    if (!scene.isHeld(medicine)) return `You don't hold the ${medicine.name}.`;
    if (!change(medicine, "pills", -1)) return `The ${medicine.name} is empty.`;
    change(patient, "dose", 2);
    return `The ${patient.name} takes a pill.`;
  },
};

const MEASURE: Verb = {
  pattern: "measure {} with {}",
  rule: "measure X with Y: sets reading of Y, a Thermometer that the agent holds, to temperature of X, a Patient.",
  offers: (_, patient, thermometer) => patient.type === "Patient" && thermometer.type === "Thermometer",
  does(scene, patient, thermometer) {
    if (!scene.isHeld(thermometer)) return `You don't hold the ${thermometer.name}.`;
    thermometer.properties.reading = patient.properties.temperature;
    return `The ${thermometer.name} reads ${thermometer.properties.reading}.`;
  },
};

const SOAK: Verb = {
  pattern: "soak {} in {}",
  rule: "soak X in Y: sets wet of X, a Cloth that the agent holds, to 3, in Y, a Basin.",
  offers: (_, cloth, basin) => cloth.type === "Cloth" && basin.type === "Basin",
  does(scene, cloth) {
    if (!scene.isHeld(cloth)) return `You don't hold the ${cloth.name}.`;
    cloth.properties.wet = SOAKED;
    return `The ${cloth.name} is dripping.`;
  },
};

const LAY: Verb = {
  pattern: "lay {} on {}",
  rule: "lay X on Y: moves X, a Cloth, from the agent into Y, a Patient.",
  offers: (scene, cloth, patient) =>
    cloth.type === "Cloth" && patient.type === "Patient" && !scene.isIn(cloth, patient),
  does(scene, cloth, patient) {
    if (!scene.isHeld(cloth)) return `You don't hold the ${cloth.name}.`;
    scene.move(cloth, patient);
    return `The ${cloth.name} lies on the ${patient.name}.`;
  },
};

/** The fever rises until something is done; too many pills at once are dangerous. */
export const BREAK_FEVER: TextGame = defineGame({
  name: "break-fever",
  taskDescription: "Your task is to bring the patient's temperature down to 37 and to see it on the thermometer.",
  objectRules: [
    "Medicine: pills. Thermometer: reading. Basin. Cloth: wet; each tick on a patient it falls by 1, but not below 0.",
    "Patient: temperature, dose. Each tick, before the cloth dries: if dose is over 0 it falls by 1 and temperature falls " +
    "by 1; if a cloth with wet over 0 lies on the patient temperature falls by 1 too, but not below 36. With neither, a " +
    "temperature of 38 or more rises by 1 up to 41.",
  ],
  scoreRule:
    "1 point while the patient's temperature is at most 37. If reading is at most 37 as well, but not 0, the score " +
    "is 2 and the game is won. If dose is over 2, the game is lost.",
  verbs: [TAKE, PUT, GIVE, MEASURE, SOAK, LAY],
  place: { kinds: ["bedroom", "ward", "tent"] },
  things(random) {
    const who = pick(random, ["patient", "child", "sailor", "uncle"]);
    return [
      thing(who, "Patient", { isMoveable: false, temperature: random.integer(38, HIGHEST + 1), dose: 0 }),
      thing("thermometer", "Thermometer", { isMoveable: true, reading: 0 }),
      thing(pick(random, ["pill box", "medicine"]), "Medicine", { isMoveable: true, pills: random.integer(1, 5) }),
      thing(pick(random, ["cloth", "towel"]), "Cloth", { isMoveable: true, wet: random.integer(0, 2) }),
      thing(pick(random, ["basin", "bowl"]), "Basin", { isMoveable: false }),
    ];
  },
  tick(scene) {
    const patient = scene.only("Patient"), cloth = scene.only("Cloth");
    const isDosed = change(patient, "dose", -1);
    const isCooled = scene.isIn(cloth, patient) && change(cloth, "wet", -1);
    const relief = Number(isDosed) + Number(isCooled);
    if (relief > 0) change(patient, "temperature", -relief, COOLEST);
    else if (amount(patient, "temperature") > WELL) change(patient, "temperature", 1, 0, HIGHEST);
  },
  score(scene) {
    const patient = scene.only("Patient"), reading = amount(scene.only("Thermometer"), "reading");
    const lost = amount(patient, "dose") > DANGEROUS, isWell = amount(patient, "temperature") <= WELL;
    const won = !lost && isWell && reading > 0 && reading <= WELL;
    return { score: won ? 2 : Number(isWell), won, lost };
  },
  expert(scene) {
    const patient = scene.only("Patient"), cloth = scene.only("Cloth"), thermometer = scene.only("Thermometer");
    const medicine = scene.only("Medicine");
    if (amount(patient, "temperature") <= WELL) {
      return hold(scene, thermometer) ?? `measure ${patient.name} with ${thermometer.name}`;
    }
    if (amount(patient, "dose") < 2 && amount(medicine, "pills") > 0) {
      return hold(scene, medicine) ?? `give ${medicine.name} to ${patient.name}`;
    }
    if (amount(cloth, "wet") === 0 || !scene.isIn(cloth, patient)) {
      const soak = amount(cloth, "wet") === SOAKED ? undefined : `soak ${cloth.name} in ${scene.only("Basin").name}`;
      return hold(scene, cloth) ?? soak ?? `lay ${cloth.name} on ${patient.name}`;
    }
    return undefined;
  },
});
