/**
 * Training commands that are struck down and resumed, for as long as one likes:
 *
 *     deno run -A tests/soak/soak.ts --minutes 60 --seed 7
 *
 * A tiny run of each command is made once undisturbed. Then runs like it are struck by SIGKILL, SIGINT, SIGTERM and SIGHUP at
 * random moments of every one of their stages (the start, the evaluations and the report too), and resumed after each stroke, as
 * its last line says. In the end a run must have the numbers of the undisturbed one, and nothing half-written in its folder.
 * Everything random follows from the seed, but for how fast the machine is.
 */
import { parseArgs } from "@std/cli/parse-args";
import assert from "node:assert/strict";
import { join } from "node:path";
import { Philox } from "../../lib/tensor/random.ts";
import { runNumbers, startTask, tinyFlags } from "../support/tiny_run.ts";
import { TEXT_MODELS, tinyTextFlags } from "../support/tiny_text_run.ts";
import { tinyWebFlags, WEB_MODELS } from "../support/tiny_web_run.ts";

/** What is asked of a soak. */
export interface SoakOptions {
  /** After so many no run is begun or struck any more; one is always made. */
  minutes: number;
  /** Of everything random. */
  seed: number;
  /** Flags of the engine: `--engine`, `--device`. */
  engine?: readonly string[];
  /** Gets a line on each stroke and run. */
  say?: (line: string) => void;
}

/** What a soak has seen. */
export interface SoakOutcome {
  /** Runs that were struck, and ended as undisturbed ones. */
  runs: number;
  /** Strokes by what was under way. */
  strokes: Record<string, number>;
}

/** Checkpoints in the middle and at the end of stages: what is after one is done again. */
const CHANGE = { checkpointEvery: 2 };
const COMMANDS = [
  { task: "train_video", flags: tinyFlags(CHANGE), models: undefined },
  { task: "train_text_game", flags: tinyTextFlags(CHANGE), models: TEXT_MODELS },
  { task: "train_web", flags: tinyWebFlags(CHANGE), models: WEB_MODELS },
];
type Command = typeof COMMANDS[number];

const SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGKILL"]
  // The one that cannot be answered as often as two of the others.
  : ["SIGKILL", "SIGKILL", "SIGINT", "SIGTERM", "SIGHUP"];

/** How a process ended, and when each of its stages began. */
interface Ended {
  code: number;
  signal: Deno.Signal | null;
  stderr: string;
  /** Milliseconds since its start by stage, the start itself among them. */
  began: Map<string, number>;
  milliseconds: number;
}

/** A stroke that is to come. */
interface Stroke {
  signal: Deno.Signal;
  /** What has to be under way, and for how long. */
  stage: string;
  milliseconds: number;
  /** Whether the signal is sent twice. */
  again: boolean;
}

/** Runs a command to its end, or strikes it. */
async function run(task: string, args: readonly string[], stroke?: Stroke): Promise<Ended> {
  const start = performance.now(), began = new Map([["start", 0]]);
  const child = startTask(task, args), timers: ReturnType<typeof setTimeout>[] = [];
  const strike = (after: number) =>
    timers.push(setTimeout(() => {
      try {
        child.kill(stroke!.signal);
      } catch { /* it has ended */ }
    }, after));
  const seen = (stage: string) => {
    if (stage !== stroke?.stage) return;
    strike(stroke.milliseconds);
    if (stroke.again) strike(stroke.milliseconds + 300);
  };
  seen("start");
  let stderr = "";
  const listen = async () => {
    let line = "";
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      stderr += text;
      const lines = (line + text).split("\n");
      line = lines.pop()!;
      for (const each of lines) {
        const [, stage] = /^([a-z][\w -]*): \d+ [a-z]+(, going on after \d+)?$/i.exec(each) ?? [];
        if (stage === undefined || began.has(stage)) continue;
        began.set(stage, performance.now() - start);
        seen(stage);
      }
    }
  };
  const [{ code, signal }] = await Promise.all([child.status, listen(), child.stdout.cancel()]);
  for (const timer of timers) clearTimeout(timer);
  return { code, signal, stderr, began, milliseconds: performance.now() - start };
}

/** Checks that a stroke was answered as it should be. @returns Whether the run has ended by itself. */
function checkAnswer({ code, signal, stderr }: Ended, stroke: Stroke, { task }: Command, out: string): boolean {
  assert.doesNotMatch(stderr, /Uncaught|^ +at /m);
  if (code === 0) return true;
  // A process that has only begun, or is asked again, ends as every program does.
  if (signal !== null) {
    assert.equal(signal, stroke.signal, stderr);
    return false;
  }
  assert.equal(code, 130, stderr);
  const resume = `resume with: deno task ${task.replaceAll("_", "-")} --resume --out ${out}`;
  assert.ok(stderr.includes(resume) || stderr.endsWith("stopped before the run began\n"), stderr);
  return false;
}

/** Files that nobody will finish. */
async function leftovers(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (name.endsWith(".partial")) found.push(join(folder, name));
    else if (isDirectory) found.push(...await leftovers(join(folder, name)));
  }
  return found;
}

/** Soaks. See the file's head. @throws When a run ends otherwise than an undisturbed one; its folder is kept then. */
export async function soak({ minutes, seed, engine = [], say = () => {} }: SoakOptions): Promise<SoakOutcome> {
  const folder = await Deno.makeTempDir({ prefix: "soak_" }), random = new Philox(seed);
  const deadline = performance.now() + minutes * 60_000;
  const strokes: Record<string, number> = {}, wholes = new Map<string, { ended: Ended; numbers: unknown }>();
  const first = random.integer(0, COMMANDS.length);
  let runs = 0;
  for (; runs === 0 || performance.now() < deadline; runs++) {
    const command = COMMANDS[(first + runs) % COMMANDS.length], { task, flags, models } = command;
    let whole = wholes.get(task);
    if (whole === undefined) {
      const out = join(folder, `${task}-whole`), ended = await run(task, [...engine, ...flags, "--out", out]);
      assert.equal(ended.code, 0, ended.stderr);
      whole = { ended, numbers: await runNumbers(out, models) };
      wholes.set(task, whole);
    }
    const out = join(folder, `${task}-${runs}`), history: string[] = [];
    const isThere = () => Deno.stat(join(out, "config.json")).then(() => true, () => false);
    const argsNow = async () => [...engine, ...await isThere() ? ["--resume"] : flags, "--out", out];
    const stages = [...whole.ended.began], ends = [...stages.slice(1).map(([, at]) => at), whole.ended.milliseconds];
    try {
      for (const [i, [stage, at]] of stages.entries()) {
        const stroke: Stroke = {
          signal: SIGNALS[random.integer(0, SIGNALS.length)],
          stage,
          milliseconds: Math.round(random.uniform() * (ends[i] - at)),
          again: random.uniform() < 0.15,
        };
        const ended = await run(task, await argsNow(), stroke);
        const how = ended.signal ?? `exit code ${ended.code}`;
        history.push(`${stroke.signal}${stroke.again ? " twice" : ""} ${stroke.milliseconds} ms into ${stage}: ${how}`);
        say(`${task}: ${history.at(-1)}`);
        strokes[`${task} ${stage}`] = (strokes[`${task} ${stage}`] ?? 0) + 1;
        if (checkAnswer(ended, stroke, command, out)) break;
        if (performance.now() > deadline) break;
      }
      const last = await run(task, await argsNow());
      assert.equal(last.code, 0, last.stderr);
      assert.deepEqual(await runNumbers(out, models), whole.numbers);
      assert.deepEqual(await leftovers(out), []);
    } catch (error) {
      (error as Error).message += `\nseed ${seed}, folder ${out}:\n${history.join("\n")}`;
      throw error;
    }
    await Deno.remove(out, { recursive: true });
    say(`${task}: as undisturbed, after ${history.length} strokes`);
  }
  await Deno.remove(folder, { recursive: true });
  return { runs, strokes };
}

if (import.meta.main) {
  const flags = parseArgs(Deno.args, { string: ["minutes", "seed", "engine", "device"] });
  const engine = (["engine", "device"] as const).flatMap((name) => flags[name] ? [`--${name}`, flags[name]] : []);
  const minutes = Number(flags.minutes ?? 1), seed = Number(flags.seed ?? Date.now() % 1_000_000);
  console.log(`seed ${seed}, ${minutes} minutes`);
  const { runs, strokes } = await soak({ minutes, seed, engine, say: console.log });
  for (const [stage, count] of Object.entries(strokes).sort()) console.log(`${String(count).padStart(6)} ${stage}`);
  console.log(`${runs} runs ended as undisturbed ones`);
}
