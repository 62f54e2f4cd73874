/**
 * The question about a transition: a prompt that shows the state and the action and asks for what changes.
 *
 * Two styles. `instructions` is for models that read English: the task and the form of the answer explained, an example game
 * with its rules and two worked examples, the rules of the game in question, its state, the base for new ids, the action, and
 * how to begin the answer; sections for which no rules or examples are given are left out. `compact` is for small models
 * trained from scratch, which learn rules and form from the data: five labelled lines and nothing else.
 *
 * The sections and their order are the published ones, the sentences are ours: the prompts that published models were trained
 * with come with the hub's parquet files, and are used as they are.
 *
 * Not here: chat templates and tokens.
 *
 * Source: RLVR-World App. D; GPT-simulator (Wang et al. 2024).
 */
import { ANSWER_MARKER, answerText } from "./answer.ts";
import { stateDifference, type Strictness } from "./difference.ts";
import { pythonRepr } from "../../io/python_repr.ts";
import { scoredCurrent, scoredNext, type TextGameTransition } from "./state.ts";

/** What the player of a game cannot see: how its objects, actions and score work, in words. */
export interface GameRules {
  /** Properties of the classes of objects, and what time does to them. */
  object: string;
  /** What each action does and when it fails. */
  action: string;
  /** When points are given and the game is won or lost. */
  score: string;
}

/** Worked examples of another game. */
export interface PromptExamples {
  /** The rules of that game, where there are any. */
  rules?: GameRules;
  /** A transition in which the action changes something. */
  byAction: TextGameTransition;
  /** One in which time changes something. */
  byTime: TextGameTransition;
}

/**
 * How prompts are built.
 *
 * @internal
 */
export interface PromptOptions {
  /** See the file's head. @default {"instructions"} */
  style?: "instructions" | "compact";
  /** Rules by game; games that are not listed get none. Only for `instructions`. */
  rules?: Readonly<Record<string, GameRules>>;
  /** Examples for every prompt. Only for `instructions`. */
  examples?: PromptExamples;
  /** Which differences the examples show; the released ones have a defect where objects are added. @default {"strict"} */
  strictness?: Strictness;
}

/** The prompt of a transition. */
export function buildPrompt(transition: TextGameTransition, options: PromptOptions = {}): string {
  return options.style === "compact" ? compactPrompt(transition) : instructionPrompt(transition, options);
}

function compactPrompt(transition: TextGameTransition): string {
  const { current, currentScore, action } = transition;
  return [
    `task: ${current.taskDesc.replace(/\s+/g, " ").trim()}`,
    `state: ${pythonRepr(current.objects)}`,
    `score: ${pythonRepr(currentScore)}`,
    `new ids from: ${current.max_UUID}`,
    `action: ${action}`,
    "",
  ].join("\n");
}

function instructionPrompt(transition: TextGameTransition, options: PromptOptions): string {
  const { examples, strictness = "strict" } = options;
  const rules = options.rules !== undefined && Object.hasOwn(options.rules, transition.game)
    ? options.rules[transition.game]
    : undefined;
  return [
    ...ROLE,
    ...(examples === undefined ? [] : exampleSections(examples, strictness)),
    ...(examples === undefined ? ["The game:"] : ["Now the game that you are to simulate."]),
    ...gameSections(transition, rules),
    ...questionSections(transition),
    `Begin your final answer with exactly these words: ${ANSWER_MARKER}`,
    "",
  ].join("\n");
}

const ROLE = [
  "You act as the engine of a text game. From the state of the game, given as JSON, and the action that the player takes, " +
  "work out the state that follows, and the score.",
  "Where the step creates objects, number them upwards from the UUID base that is stated below.",
  "Answer with a JSON object that has three keys. `modified` is a list with the complete new state of every object that was " +
  "added or has changed, empty if there is none. `removed` is a list with the uuid of every object that no longer exists, " +
  "empty if there is none. `score` is an object with the keys `score`, `gameOver` and `gameWon`, or {} if none of them changed.",
  "Besides the action, time passes with every step: objects may change by themselves, as their rules say under ticks.",
];

function exampleSections({ rules, byAction, byTime }: PromptExamples, strictness: Strictness): string[] {
  return [
    "First, two worked examples from another game.",
    ...gameSections(byAction, rules),
    "Example 1, where the action changes the state.",
    ...questionSections(byAction),
    ...expectedSections(byAction, strictness),
    "Example 2, where time changes the state; in one step there may be changes of both kinds.",
    ...questionSections(byTime),
    ...expectedSections(byTime, strictness),
  ];
}

function gameSections(transition: TextGameTransition, rules: GameRules | undefined): string[] {
  const task = ["Task description:", transition.current.taskDesc.trim()];
  if (rules === undefined) return task;
  return [
    ...task,
    "Rules of the objects:",
    rules.object.trim(),
    "Rules of the actions:",
    rules.action.trim(),
    "Rules of the score:",
    rules.score.trim(),
  ];
}

function questionSections(transition: TextGameTransition): string[] {
  return [
    "State of the game:",
    pythonRepr({ game_state: scoredCurrent(transition) }),
    "",
    `UUID base: ${transition.current.max_UUID}`,
    "The player's action:",
    transition.action,
  ];
}

function expectedSections(transition: TextGameTransition, strictness: Strictness): string[] {
  const difference = stateDifference(scoredCurrent(transition), scoredNext(transition), strictness);
  return ["Expected answer:", answerText(difference, { marker: false })];
}
