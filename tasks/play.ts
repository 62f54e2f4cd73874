/**
 * `deno task play`: a page on this machine where a person drives the robot with the keyboard, in a trained model or in the built-in
 * simulator.
 */
import { UserError } from "../lib/base/user_error.ts";
import type { Playground } from "../lib/play/game.ts";
import { servePlay } from "../lib/play/play_server.ts";
import { openRunPlayground, PLAY_STAGES, type PlayStage } from "../lib/play/run_playground.ts";
import { simulatorPlayground } from "../lib/play/simulator_playground.ts";
import { openEngine } from "../lib/tensor/registry.ts";
import { progressFor } from "../lib/runs/progress.ts";
import { type Command, ENGINE_FLAGS, engineChoice, type Flags, readFlags, runCommand } from "./cli.ts";

const COMMAND: Command = {
  name: "play",
  summary:
    "Drive the robot with the keyboard, in a trained model or in the built-in simulator: prints the address of a page.",
  flags: {
    run: { value: "FOLDER", description: "A run of train-video: its model" },
    stage: {
      value: PLAY_STAGES.join("|"),
      description: "Which of the run's models",
      default: "grpo, or likelihood without it",
    },
    simulator: { description: "Only the built-in simulator: nothing needs to be trained" },
    size: { value: "HxW", description: "Frames of --simulator, in pixels", default: "256x320" },
    seed: { value: "N", description: "Seed of the scenes", default: "0" },
    port: { value: "N", description: "Port on this machine", default: "any that is free" },
    ...ENGINE_FLAGS,
  },
};

await runCommand(async (signal) => {
  const flags = readFlags(COMMAND, Deno.args);
  const run = flags.text("run"), port = readPort(flags), seed = flags.integer("seed") ?? 0;
  if ((run === undefined) === !flags.has("simulator")) {
    throw new UserError(
      run === undefined
        ? "name a run with --run FOLDER (deno task train-video makes one), or play the built-in simulator with --simulator"
        : "--simulator plays without a model: leave it out, or --run",
    );
  }
  const unfit = run === undefined ? ["stage", "engine", "device"] : ["size"];
  for (const name of unfit) {
    if (flags.text(name) !== undefined) {
      throw new UserError(`--${name} has no meaning with --${run === undefined ? "simulator" : "run"}: leave it out`);
    }
  }
  if (run === undefined) return await serve(simulatorPlayground({ ...readSize(flags), seed }), port, signal);
  const stage = flags.text("stage");
  if (stage !== undefined && !(PLAY_STAGES as readonly string[]).includes(stage)) {
    throw new UserError(`--stage must be one of ${PLAY_STAGES.join(", ")}: received "${stage}"`);
  }
  const { engine, reason } = await openEngine(engineChoice(flags));
  try {
    const progress = progressFor(Deno.stderr);
    progress.note(reason);
    using playground = await openRunPlayground({ engine, run, stage: stage as PlayStage | undefined, seed, progress });
    await serve(playground, port, signal);
  } finally {
    engine.close();
  }
}, { stopping: "closing the page's server" });

async function serve(playground: Playground, port: number, signal: AbortSignal): Promise<void> {
  const { url, finished } = servePlay({ playground, port, signal, onDefect: (error) => console.error(error) });
  console.log(`play at ${url} (Ctrl-C ends it)`);
  await finished;
}

function readPort(flags: Flags): number {
  const port = flags.integer("port", 1) ?? 0;
  if (port > 65535) throw new UserError(`--port must be in 1..65535: received ${port}`);
  return port;
}

function readSize(flags: Flags): { height: number; width: number } {
  const text = flags.text("size") ?? "256x320";
  const [, height, width] = /^(\d+)x(\d+)$/.exec(text) ?? [];
  const isSound = [height, width].every((side) => Number(side) >= 16 && Number(side) <= 1024);
  if (!isSound) throw new UserError(`--size must be like 256x320, each side in 16..1024: received "${text}"`);
  return { height: Number(height), width: Number(width) };
}
