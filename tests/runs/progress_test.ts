import assert from "node:assert/strict";
import {
  notebookProgress,
  plainProgress,
  type Progress,
  progressFor,
  silentProgress,
  terminalProgress,
} from "../../lib/runs/progress.ts";

/** A clock that the test moves, and a writer that keeps what was written. */
function bench() {
  const state = { ms: 0, text: "" };
  return { state, now: () => state.ms, write: (text: string) => void (state.text += text) };
}

/** 100 steps of one second each. */
function run(progress: Progress, state: { ms: number }, steps = 100) {
  progress.stage("grpo", 100);
  for (let n = 1; n <= steps; n++) {
    state.ms += 1000;
    progress.step(n, { loss: 1 / n });
  }
}

/** Back to the line's start and wipe it. */
const REWRITE = "\r\x1b[K";

/** What a terminal shows in the end. */
function screen(text: string): string[] {
  return text.split("\n").map((line) => line.split(REWRITE).at(-1)!);
}

Deno.test("plain lines come at every tenth of a stage, with percentage, metrics, rate and time left", () => {
  const { state, now, write } = bench();
  const progress = plainProgress(write, { now });
  run(progress, state);
  progress.done();
  const lines = state.text.trimEnd().split("\n");
  assert.equal(lines[0], "grpo: 100 steps");
  assert.equal(lines.length, 1 + 10 + 1);
  assert.equal(lines[5], "grpo   50 %   50/100  loss 0.02000  1.00 steps/s  0:50 left");
  assert.equal(lines[11], "grpo  100 %  100/100  loss 0.01000  1.00 steps/s  in 1:40");
  assert.ok(!state.text.includes("\x1b") && !state.text.includes("\r"));
});

Deno.test("plain lines keep to a few seconds in fast stages and to a minute in slow ones", () => {
  const fast = bench(), slow = bench();
  const quick = plainProgress(fast.write, { now: fast.now });
  quick.stage("fast", 1000);
  for (let n = 1; n <= 1000; n++) {
    fast.state.ms += 10;
    quick.step(n);
  }
  quick.done();
  assert.equal(fast.state.text.trimEnd().split("\n").length, 1 + 2 + 1);
  const patient = plainProgress(slow.write, { now: slow.now });
  patient.stage("slow", 1000);
  for (let n = 1; n <= 10; n++) {
    slow.state.ms += 30_000;
    patient.step(n);
  }
  assert.equal(slow.state.text.trimEnd().split("\n").length, 1 + 5);
  assert.match(slow.state.text, /30\.0 s\/step {2}8:15:00 left/);
});

Deno.test("a terminal keeps one line a stage and never wraps", () => {
  const { state, now, write } = bench();
  const progress = terminalProgress(write, { now, columns: () => 60 });
  progress.stage("likelihood", 40);
  for (let n = 1; n <= 40; n++) {
    state.ms += 500;
    progress.step(n, { loss: 2 / n, "gradient norm": 1.5, "a long name": "with a long text that cannot fit" });
    if (n === 20) {
      const line = screen(state.text).at(-1)!;
      assert.match(line, /^likelihood {3}50 % {2}20\/40 {2}█+░+ {2}.*2\.00 steps\/s {2}0:10 left$/);
      progress.note("saved step 20");
    }
  }
  progress.done();
  const lines = screen(state.text);
  assert.deepEqual([lines[0], lines.length, lines[2]], ["saved step 20", 3, ""]);
  assert.match(lines[1], /^likelihood {2}100 % {2}40\/40 .*in 0:20$/);
  for (const drawn of state.text.replaceAll(REWRITE, "\n").split("\n")) {
    assert.ok(drawn.length < 60, `${drawn.length}: ${drawn}`);
  }
});

Deno.test("a terminal of any width shows whole numbers or none: position, time, speed, metrics in order, a bar", () => {
  const metrics = { reward: -0.05705, KL: 5.81e-4, clip: 0, H: 5.617, equal: 0.25 };
  const shownAt = (width: number) => {
    const { state, now, write } = bench();
    const progress = terminalProgress(write, { now, columns: () => width });
    progress.stage("grpo-taskSpecific", 1000);
    for (let n = 1; n <= 500; n++) {
      state.ms += 3000;
      progress.step(n, metrics);
    }
    return screen(state.text).at(-1)!;
  };
  const position = "50 %   500/1000", time = "25:00 left", speed = "3.00 s/step";
  const values = ["reward -0.05705", "KL 5.81e-4", "clip 0", "H 5.617", "equal 0.2500"];
  const whole = ["grpo-taskSpecific", ` ${position}`, ...values, speed, time].join("  ").length;
  for (let width = 20; width <= 160; width++) {
    const line = shownAt(width), parts = line.trim().split(/ {2,}(?=\S)/);
    // The terminal itself adds "^C" where the line ends.
    assert.ok(line.length <= Math.max(20, width - 3), `${width}: ${line}`);
    for (const part of parts) {
      const isWhole = [...position.split(/ {2,}/), ...values, speed, time].includes(part);
      assert.ok(isWhole || /^(grpo-.*|g.*…|[█░]+)$/.test(part), `${width}: "${part}" of ${line}`);
    }
    assert.ok(parts.includes("50 %"), line);
    if (parts.includes(speed)) assert.ok(parts.includes(time), line);
    if (width - 3 >= whole) { for (const value of values) assert.ok(parts.includes(value), line); }
  }
  const at80 = shownAt(80);
  assert.equal(at80, "grpo-taskSpecific   50 %   500/1000  reward -0.05705  3.00 s/step  25:00 left");
});

Deno.test("a terminal is drawn at most ten times a second, and in colour only where allowed", () => {
  const count = (color: boolean) => {
    const { state, now, write } = bench();
    const progress = terminalProgress(write, { now, color });
    progress.stage("fast", 10_000);
    for (let n = 1; n <= 10_000; n++) {
      state.ms += 0.1;
      progress.step(n);
    }
    return { drawings: state.text.split("\r").length - 1, colors: state.text.includes("\x1b[1m") };
  };
  const plain = count(false), colored = count(true);
  assert.ok(plain.drawings >= 10 && plain.drawings <= 12, String(plain.drawings));
  assert.deepEqual([plain.colors, colored.colors], [false, true]);
});

Deno.test("a note may have lines, and nothing that a terminal obeys", () => {
  const written: string[] = [];
  plainProgress((text) => written.push(text)).note("the page says\n\x1b]0;owned\x07\ttitle\x9b2J");
  assert.equal(written.join(""), "the page says\n\\x1b]0;owned\\x07\\x09title\\x9b2J\n");
});

Deno.test("a resumed stage counts its rate from where it went on", () => {
  const { state, now, write } = bench();
  const progress = plainProgress(write, { now });
  progress.stage("grpo", 200, { start: 100, unit: "updates" });
  for (let n = 101; n <= 150; n++) {
    state.ms += 2000;
    progress.step(n);
  }
  assert.match(state.text, /^grpo: 200 updates, going on after 100\n/);
  assert.match(state.text, /70 % {2}140\/200 {2}2\.00 s\/update {2}2:00 left/);
});

Deno.test("the time left follows a change of speed", () => {
  const { state, now, write } = bench();
  const progress = plainProgress(write, { now, everyShare: 0 });
  progress.stage("grpo", 1000);
  for (let n = 1; n <= 200; n++) {
    state.ms += n <= 100 ? 100 : 1000;
    progress.step(n);
  }
  // 800 steps of 1 s are left; the average since the start would say 440 s.
  assert.match(state.text.trimEnd().split("\n").at(-1)!, /1\.00 steps\/s {2}13:20 left|1\.00 s\/step {2}13:20 left/);
});

Deno.test("a stage that stops early shows where; unknown totals and empty stages work", () => {
  const { state, now, write } = bench();
  const progress = plainProgress(write, { now });
  run(progress, state, 37);
  progress.stage("download", Infinity, { unit: "files" });
  state.ms += 4000;
  progress.step(2);
  progress.stage("nothing", 0);
  progress.done();
  progress.done();
  assert.match(state.text, /grpo {3}37 % {3}37\/100 .*in 0:37\n/);
  assert.match(state.text, /download {2}2 files {2}2\.00 s\/file {2}in 0:04\n/);
  assert.match(state.text, /nothing {2}100 % {2}0\/0 {2}in 0:00\n$/);
});

Deno.test("a step without a stage and a total that is no number are errors", () => {
  const progress = plainProgress(() => {});
  assert.throws(() => progress.step(1), /step\(\) before stage\(\)/);
  assert.throws(() => progress.stage("x", NaN), /RangeError: total of stage "x" must be 0 or more: received NaN/);
  silentProgress.step(1);
});

Deno.test("a notebook shows all stages and the last notes, and never more than one update at a time", async () => {
  const { state, now } = bench();
  const shown: string[] = [];
  let atOnce = 0, most = 0;
  const progress = notebookProgress(async (text) => {
    most = Math.max(most, ++atOnce);
    await new Promise((resolve) => setTimeout(resolve, 2));
    shown.push(text);
    atOnce--;
  }, { now });
  run(progress, state, 50);
  for (let i = 0; i < 7; i++) progress.note(`note ${i}`);
  progress.stage("evaluation", 2);
  progress.step(2, { LPIPS: 0.12 });
  progress.done();
  await progress.flush();
  assert.equal(most, 1);
  assert.ok(shown.length < 10, `${shown.length} updates`);
  const lines = shown.at(-1)!.split("\n");
  assert.match(lines[0], /^grpo {3}50 %/);
  assert.match(lines[1], /^evaluation {2}100 % {2}2\/2 {2}LPIPS 0\.1200/);
  assert.deepEqual(lines.slice(2), [2, 3, 4, 5, 6].map((i) => `note ${i}`));
});

Deno.test("what is not a terminal gets plain lines", () => {
  const text: string[] = [];
  const stream = (terminal: boolean) => ({
    isTerminal: () => terminal,
    // Takes few bytes at a time, as pipes may.
    writeSync: (bytes: Uint8Array) => {
      const taken = bytes.subarray(0, 3);
      text.push(new TextDecoder("latin1").decode(taken));
      return taken.length;
    },
  });
  const progress = progressFor(stream(false));
  progress.stage("a", 1);
  progress.done();
  assert.match(text.join(""), /^a: 1 steps\na {4}0 % {2}0\/1 {2}in 0:00\n$/);
  text.length = 0;
  progressFor(stream(true), { noColor: true }).stage("a", 1);
  assert.ok(text.join("").startsWith(`${REWRITE}a `));
});
