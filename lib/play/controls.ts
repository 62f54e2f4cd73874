/** Which keys and buttons stand for which numbers of an action. The page draws what is said here; it knows no robot. */
import { type ActionRanges, RT1_ACTION, RT1_ACTION_WIDTH } from "../worlds/robot_video/actions.ts";
import { emptyAction } from "../worlds/robot_video/policy.ts";

/** A number of the action that two buttons change while they are pressed. */
export interface AxisControl {
  dimension: number;
  /** Towards its smallest values. */
  negative: ControlButton;
  /** Towards its largest. */
  positive: ControlButton;
}

/** A button of an axis. */
export interface ControlButton {
  label: string;
  /** Keys that stand for it, as `KeyboardEvent.code` has them. */
  keys: string[];
  /** The value while it is pressed, at full strength. */
  value: number;
}

/** A number that one button switches between two values: the gripper. */
export interface ToggleControl {
  dimension: number;
  /** What it says, off and on. */
  labels: [off: string, on: string];
  /** Keys that stand for it. */
  keys: string[];
  /** Values, off and on. */
  values: [off: number, on: number];
  /** For how many steps after a press the value is sent; null: always. */
  steps: number | null;
}

/** How a robot is driven. */
export interface Controls {
  /** The action that does nothing. */
  rest: number[];
  /** A name for each number. */
  names: string[];
  /** Smallest values. */
  min: number[];
  /** Largest values. */
  max: number[];
  /** The first two are drawn as a cross: left and right, up and down. */
  axes: AxisControl[];
  /** The gripper, where it is known which number it is. */
  toggle: ToggleControl | null;
}

/** Whose actions they are: of the built-in simulator, of RT-1's robot, or of one that nothing is known of. */
export type Robot = "table-top" | "rt1" | "other";

const LEFT = ["ArrowLeft", "KeyA"], RIGHT = ["ArrowRight", "KeyD"];
const UP = ["ArrowUp", "KeyW"], DOWN = ["ArrowDown", "KeyS"];
const RAISE = ["KeyR", "PageUp"], LOWER = ["KeyF", "PageDown"];
/**
 * How a robot is driven. Values of keys lie within the ranges.
 *
 * @param usual Of a robot that nothing is known of: what its actions usually lie between. Ranges alone say what was done once.
 */
export function controlsFor(robot: Robot, width: number, ranges: ActionRanges, usual: ActionRanges = ranges): Controls {
  const min = Array.from(ranges.min), max = Array.from(ranges.max);
  const within = (value: number, d: number) => Math.min(Math.max(value, min[d]), max[d]);
  const isRt1 = robot !== "other" && width === RT1_ACTION_WIDTH;
  const rest = Array.from(isRt1 ? emptyAction() : new Float32Array(width), within);
  const names = Array.from({ length: width }, (_, d) => ranges.names?.[d] ?? `number ${d}`);
  const axis = (
    dimension: number,
    [lower, upper]: [number, number],
    negative: [label: string, keys: string[]],
    positive: [label: string, keys: string[]],
  ): AxisControl => ({
    dimension,
    negative: { label: negative[0], keys: negative[1], value: within(lower, dimension) },
    positive: { label: positive[0], keys: positive[1], value: within(upper, dimension) },
  });
  if (isRt1) {
    const x = RT1_ACTION.worldVector, y = x + 1, z = x + 2, turn = RT1_ACTION.rotationDelta + 2;
    const gripper = RT1_ACTION.gripperClosedness;
    // The simulator's x runs to the right and its y towards the viewer; the real robot's x runs forward and its y to the left.
    const plane = robot === "table-top"
      ? [axis(x, [-1.6, 1.6], ["←", LEFT], ["→", RIGHT]), axis(y, [-1.6, 1.6], ["↑", UP], ["↓", DOWN])]
      : [axis(y, [-1, 1], ["→", RIGHT], ["←", LEFT]), axis(x, [-1, 1], ["↓", DOWN], ["↑", UP])];
    return {
      rest,
      names,
      min,
      max,
      axes: [
        ...plane,
        axis(z, [-1.2, 1.2], ["lower", LOWER], ["raise", RAISE]),
        axis(turn, [-0.2, 0.2], ["turn ↺", ["KeyQ"]], ["turn ↻", ["KeyE"]]),
      ],
      toggle: {
        dimension: gripper,
        labels: ["close gripper", "open gripper"],
        keys: ["Space"],
        values: [within(-1, gripper), within(1, gripper)],
        // The gripper is closed or open after two steps; demonstrations then leave it alone.
        steps: 2,
      },
    };
  }
  const known = [["←", "→", LEFT, RIGHT], ["↓", "↑", DOWN, UP], ["lower", "raise", LOWER, RAISE]] as const;
  const hasGripper = width === 4;
  const axes = Array.from({ length: hasGripper ? 3 : width }, (_, d) => {
    const [less, more, lessKeys, moreKeys] = known[d] ?? [`${names[d]} −`, `${names[d]} +`, [], []];
    return axis(d, [usual.min[d], usual.max[d]], [less, [...lessKeys]], [more, [...moreKeys]]);
  });
  // Four numbers are, in Meta-World and most others, a displacement and a gripper that is told at every step.
  const toggle: ToggleControl | null = hasGripper
    ? {
      dimension: 3,
      labels: ["close gripper", "open gripper"],
      keys: ["Space"],
      values: [within(usual.min[3], 3), within(usual.max[3], 3)],
      steps: null,
    }
    : null;
  return { rest, names, min, max, axes, toggle };
}
