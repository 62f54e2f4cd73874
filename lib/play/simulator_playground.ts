/** The built-in simulator to be played by itself: no model, nothing to train or to install. */
import { RT1_ACTION_RANGES, RT1_ACTION_WIDTH } from "../worlds/robot_video/actions.ts";
import { TableTopEnv, type TableTopStart } from "../gyms/table_top/table_top_env.ts";
import { START_TASKS, startStates } from "../gyms/table_top/start_states.ts";
import { TableTop } from "../gyms/table_top/table_top.ts";
import { controlsFor } from "./controls.ts";
import type { Playground, PlayStart } from "./game.ts";

/** What the simulator is to look like. */
export interface SimulatorPlaygroundOptions {
  /** H, in pixels. */
  height: number;
  /** W, in pixels. */
  width: number;
  /** Of the scenes. */
  seed: number;
}

/** A playground of table-top tasks, each start another one. */
export function simulatorPlayground({ height, width, seed }: SimulatorPlaygroundOptions): Playground {
  return {
    title: "Table-top robot",
    facts: ["built-in simulator", `${width} × ${height} pixels`],
    modelName: null,
    height,
    width,
    controls: controlsFor("table-top", RT1_ACTION_WIDTH, RT1_ACTION_RANGES),
    starts: null,
    start: (number) => Promise.resolve(taskStart(number, seed, height, width)),
    open: () => Promise.resolve({ simulator: new TableTopEnv({ height, width }), [Symbol.dispose]() {} }),
  };
}

/** Start n of a seed: the tasks take turns. */
export function taskStart(number: number, seed: number, height: number, width: number, objects = 1): PlayStart {
  const kind = START_TASKS[number % START_TASKS.length], round = Math.floor(number / START_TASKS.length);
  // One start a seed of its own: those of a long list would all have to be found first.
  const [{ seed: sceneSeed, state, task, instruction }] = startStates(kind, 1, seed * 1_000_003 + round, { objects });
  const scene: TableTopStart = { config: { seed: sceneSeed, objects, drawer: true, zone: true }, state, task };
  const table = new TableTop(scene.config);
  table.setState(state);
  return { frame: table.render(height, width), instruction, scene };
}
