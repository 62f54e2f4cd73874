/**
 * How well a scripted policy does what it means to do. Four levels, from one that mostly fails to one that mostly
 * succeeds; the differences are in the hand and the judgement, not in the plan.
 *
 * Success in the true world, in per cent of 50 starts (`startStates(task, 50, 1)`, 32 × 32 frames, at most 28 steps):
 *
 *                    novice   learner   able   expert
 *     open-drawer       8        32      66       96
 *     close-drawer     16        38      84       96
 *     push-to-zone     18        32      74       92
 */

/** What a level of skill is made of. Lengths are in table widths. */
export interface Skill {
  /** Its name, for `scripted:NAME`. */
  readonly name: SkillName;
  /** Standard deviation of the error of aim, drawn anew at each attempt. */
  readonly aim: number;
  /** Standard deviation of the error of each movement. */
  readonly shake: number;
  /** How far the gripper goes in a step. */
  readonly speed: number;
  /** The chance that a step is spent doing nothing. */
  readonly hesitation: number;
  /** The chance at each step of ending the episode before the goal is reached. */
  readonly impatience: number;
  /** The chance that an attempt that failed is taken for a success. */
  readonly credulity: number;
}

/** The levels, worst first. */
export const SKILL_NAMES = ["novice", "learner", "able", "expert"] as const;
/** The name of a level. */
export type SkillName = typeof SKILL_NAMES[number];

/** The levels of skill. */
export const SKILLS: Readonly<Record<SkillName, Skill>> = {
  novice: {
    name: "novice",
    aim: 0.095,
    shake: 0.018,
    speed: 0.055,
    hesitation: 0.12,
    impatience: 0.04,
    credulity: 0.6,
  },
  learner: {
    name: "learner",
    aim: 0.066,
    shake: 0.014,
    speed: 0.065,
    hesitation: 0.08,
    impatience: 0.02,
    credulity: 0.5,
  },
  able: { name: "able", aim: 0.038, shake: 0.008, speed: 0.075, hesitation: 0.04, impatience: 0.01, credulity: 0.25 },
  expert: { name: "expert", aim: 0.014, shake: 0.004, speed: 0.085, hesitation: 0, impatience: 0.005, credulity: 0 },
};
