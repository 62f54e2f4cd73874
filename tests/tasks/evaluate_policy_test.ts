/** `evaluate-policy` on a tiny run: what it prints and writes, labels, start frames of one's own, Ctrl-C, and bad input. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readLabelItems } from "../../lib/studies/labels/items.ts";
import { openEngine } from "../../lib/tensor/registry.ts";
import { writeStartFrames } from "../../lib/gyms/table_top/start_frames.ts";
import { withFolder } from "../support/files.ts";
import { runTask, startTask, tinyRun } from "../support/tiny_run.ts";

const CHANGE = { data: { height: 32, width: 32, history: 2, objects: 1, drawer: true, zone: true } };
const SHORT = ["--starts", "2", "--max-steps", "3", "--judge-starts", "1", "--judge-steps", "2"];

async function evaluate(args: string[]): Promise<{ stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await runTask("evaluate_policy", args);
  assert.equal(code, 0, stderr);
  return { stdout, stderr };
}

async function fails(args: string[], ...says: string[]): Promise<void> {
  const { code, stderr, stdout } = await runTask("evaluate_policy", args);
  assert.equal(code, 2, `${args.join(" ")}: ${stderr}${stdout}`);
  const lines = stderr.trimEnd().split("\n").filter((line) => !/^(tfjs|LibTorch) /.test(line));
  assert.equal(lines.length, 1, stderr);
  for (const part of says) assert.ok(lines[0].includes(part), `${part} is not in ${stderr}`);
}

Deno.test("evaluate-policy", async (t) => {
  await withFolder(async (folder) => {
    const run = join(folder, "run"), wasm = ["--engine", "wasm"];
    const { engine } = await openEngine({ engine: "wasm" });
    await tinyRun(engine, run, { change: CHANGE, stages: ["tokenizer", "likelihood", "grpo"] });

    await t.step("a run: tables, headline and report", async () => {
      const { stdout, stderr } = await evaluate([
        ...["--run", run, ...wasm, ...SHORT, "--policies", "random,scripted:able", "--tasks", "open-drawer"],
      ]);
      assert.match(stdout, /^Task +World +random +scripted:able$/m);
      assert.match(stdout, /^open-drawer +Truth +0 \[0, 66\] +\d/m);
      assert.match(stdout, /^RLVR +[\d.]+ \[/m);
      assert.match(stdout, /Success rates in the RLVR model are .* points off the truth/);
      assert.match(stderr, /^judge: training/m);
      assert.match(stderr, /^roll-outs +100 %/m);
      for (const name of ["report.html", "result.json", "judge/model.safetensors", "items/items.jsonl", "starts.npz"]) {
        assert.ok((await Deno.stat(join(run, "policy_evaluation", name))).isFile, name);
      }
      const again = ["--run", run, ...wasm, ...SHORT, "--policies", "random", "--tasks", "open-drawer"];
      const said = ["policy_evaluation already holds an evaluation", "--out"];
      await fails([...again, "--out", join(run, "policy_evaluation")], ...said);
      // Without --out each has a folder of its own, those that begin at the same time too.
      const others = await Promise.all([evaluate(again), evaluate(again)]);
      const reports = others.map(({ stdout }) => /^report: (.+)$/m.exec(stdout)![1]).sort();
      assert.deepEqual(reports, [2, 3].map((n) => join(run, `policy_evaluation-${n}/report.html`)));
    });

    await t.step("labels by people", async () => {
      const { items } = await readLabelItems(join(run, "policy_evaluation/items"));
      const labels = join(folder, "labels.jsonl"), key = join(run, "policy_evaluation/key.jsonl");
      const lines = items.map(({ id }) => JSON.stringify({ id, success: true, labeller: "ada", at: "" }) + "\n");
      await Deno.writeTextFile(labels, lines.slice(2).join(""));
      const { stdout, stderr } = await evaluate(["--labels", labels, "--key", key]);
      assert.match(stderr, /6 of 8 items are judged/);
      assert.match(stderr, /ada has not answered 2 items/);
      assert.match(stdout, /^open-drawer +RLVR +100 /m);
      assert.ok((await Deno.stat(join(run, "policy_evaluation/labelled/report.html"))).isFile);
      await fails(["--labels", labels], "--labels needs the key", "--key");
      await fails(["--labels", labels, "--key", key, "--run", run], "--run has no meaning with --labels");
      await fails(["--labels", join(folder, "none.jsonl"), "--key", key], "none.jsonl");
      await Deno.writeTextFile(labels, '{"id": "item-1", "success": "yes", "labeller": "ada"}\n');
      await fails(["--labels", labels, "--key", key, "--out", join(folder, "l")], "line 1", "success must be true");
    });

    await t.step("a model and start frames of one's own: the model's side, to be labelled", async () => {
      const frames = join(folder, "starts.npz"), out = join(folder, "own");
      await writeStartFrames(frames, {
        count: 2,
        height: 32,
        width: 32,
        frames: new Uint8Array(2 * 32 * 32 * 3).fill(100),
        instructions: ["pick up the cup", "pick up the cup"],
        starts: null,
      });
      const models = [
        "--model",
        `mine=${join(run, "models/likelihood")}`,
        "--tokenizer",
        join(run, "models/tokenizer"),
      ];
      const fitting = ["--preset", "demo", "--set", "data.history=2"];
      const given = [...models, ...fitting, ...wasm, "--start-frames", frames, "--max-steps", "2"];
      const { stdout } = await evaluate([
        ...given,
        "--out",
        out,
        "--policies",
        "random",
        "--repetition-penalty",
        "1.2",
      ]);
      assert.match(stdout, /Nobody has judged these roll-outs yet/);
      assert.match(stdout, /final frames to label: .*items/);
      assert.equal((await readLabelItems(join(out, "items"))).items.length, 2);
      await Promise.all([
        fails([...given, "--out", join(folder, "p"), "--policies", "scripted:able"], "pick up the cup"),
        fails([...models, ...wasm], "--model needs a folder to write to: --out"),
        fails([...models.slice(0, 2), "--out", out], "--tokenizer"),
      ]);
    });

    await t.step("bad input", async () => {
      const on = ["--run", run, ...wasm, "--out", join(folder, "bad")];
      const cases: [args: string[], ...says: string[]][] = [
        [[], "name a run with --run FOLDER", "train-video"],
        [["--run", join(folder, "nothing")], "holds no run"],
        [[...on, "--policies", "scripted:master"], '"master"', "novice"],
        [[...on, "--policies", "random,random"], "random is there twice"],
        [[...on, "--tasks", "open-drawer,fly"], "--tasks must be of open-drawer", '"fly"'],
        [[...on, "--start-frames", join(folder, "no.npz")], "no.npz"],
        [[...on, "--judge", join(folder, "nobody")], "not a success classifier's"],
        [[...on, "--judge", "none", "--judge-steps", "9"], "leave --judge out, or them"],
        [[...on, "--repetition-penalty", "0"], "--repetition-penalty must be a number above 0"],
      ];
      // A few at a time: most of a case is the start of a process.
      for (let i = 0; i < cases.length; i += 3) {
        await Promise.all(cases.slice(i, i + 3).map(([args, ...says]) => fails(args, ...says)));
      }
      assert.equal(await Deno.stat(join(folder, "bad")).catch(() => undefined), undefined, "a folder was left behind");
    });

    await t.step("Ctrl-C stops, says so in one line and leaves no result", async () => {
      const out = join(folder, "stopped");
      const child = startTask("evaluate_policy", [
        "--run",
        run,
        ...wasm,
        "--out",
        out,
        "--judge",
        "none",
        "--starts",
        "200",
      ]);
      const lines: string[] = [];
      let isAsked = false;
      for await (const chunk of child.stderr.pipeThrough(new TextDecoderStream())) {
        lines.push(chunk);
        if (isAsked || !chunk.includes("roll-outs")) continue;
        isAsked = true;
        child.kill("SIGINT");
      }
      assert.equal((await child.status).code, 130, lines.join(""));
      assert.match(lines.join(""), /stopped; nothing of this evaluation is kept/);
      await child.stdout.cancel();
      assert.equal(await Deno.stat(join(out, "result.json")).catch(() => undefined), undefined);
    });
  });
});
