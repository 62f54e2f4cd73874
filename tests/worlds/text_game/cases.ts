/** The states of the scorer's published test vectors, and where real data may be. */
import type { GameObject, GameScore, ScoredState } from "../../../lib/worlds/text_game/state.ts";

/** Real data that is not part of the project. */
export const sharedData = `${
  Deno.env.get("RLVR_SHARED_DATA") ?? new URL("../../../../shared/data", import.meta.url).pathname
}/bytesized32`;

/** Whether it is there. */
export const hasSharedData = await Deno.stat(sharedData).then(() => true, () => false);

export const cup: GameObject = {
  name: "cup (ID: 1)",
  uuid: 1,
  type: "Dish",
  properties: { isDirty: true, temp: 20 },
  contains: [],
};
export const sink: GameObject = {
  name: "sink (ID: 2)",
  uuid: 2,
  type: "Sink",
  properties: { isOn: false },
  contains: ["cup (ID: 1)", "fork (ID: 3)"],
};
export const cleanCup: GameObject = { ...cup, properties: { isDirty: false, temp: 20 } };
export const runningSink: GameObject = { ...sink, properties: { isOn: true } };
export const zero: GameScore = { score: 0, gameOver: false, gameWon: false };
export const one: GameScore = { score: 1, gameOver: false, gameWon: false };

export const current: ScoredState = [cup, sink, zero];
export const next: ScoredState = [cleanCup, runningSink, one];
