/**
 * Named pipes and devices in the place of files: every reader, and every flag that names a file or a folder with files, refuses
 * them in one line and at once. Opening a pipe waits until somebody writes into it, and a device may have no end.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { loadPrompts } from "../../lib/studies/web_agents/prompt_files.ts";
import { readLabelItems, readLabelKey } from "../../lib/studies/labels/items.ts";
import { readLabels } from "../../lib/studies/labels/labels.ts";
import { readTrueOutcomes } from "../../lib/studies/policies/files.ts";
import { readActionRanges } from "../../lib/recipes/robot_video/data.ts";
import { hashContent } from "../../lib/io/content_hash.ts";
import { readNpz } from "../../lib/io/npz.ts";
import { readTextFile } from "../../lib/io/plain_file.ts";
import { readPth } from "../../lib/io/pth.ts";
import { openRandomAccess } from "../../lib/io/random_access.ts";
import { openWeights } from "../../lib/io/safetensors_folder.ts";
import { readTransformerConfig } from "../../lib/models/causal_transformer_files.ts";
import { readTokenizerJson } from "../../lib/models/image_tokenizer.ts";
import { readAdapterConfig } from "../../lib/models/lora_files.ts";
import { TextTokenizer } from "../../lib/models/text_tokenizer.ts";
import { readNotebook } from "../../lib/notebooks/notebook_file.ts";
import { MetricLog } from "../../lib/runs/metric_log.ts";
import { RunFolder } from "../../lib/runs/run_folder.ts";
import { openEmbeddings } from "../../lib/studies/policies/instruction_embeddings.ts";
import { readLines } from "../../lib/io/lines.ts";
import { loadExamples } from "../../lib/worlds/text_game/rules.ts";
import { readLoginSteps } from "../../lib/gyms/chromium/login_steps.ts";
import { readStorageState } from "../../lib/gyms/chromium/storage_state.ts";
import { loadTasks } from "../../lib/studies/web_agents/tasks/task_file.ts";
import { runTask } from "../support/tiny_run.ts";
import { makePipe, rejectsUserError, withFolder } from "../support/files.ts";

/** The file that is a pipe, and who reads it, by its path. */
const READERS: Record<string, [file: string, read: (path: string) => unknown]> = {
  openRandomAccess: ["file", openRandomAccess],
  "safetensors of a folder": ["model.safetensors", (path) => openWeights(dirname(path))],
  "an index of safetensors": ["model.safetensors.index.json", (path) => openWeights(dirname(path))],
  npz: ["file.npz", readNpz],
  pth: ["file.pth", (path) => readPth(path)],
  "content hash": ["file", (path) => hashContent(createHash("sha256"), [path])],
  "lines": ["file.jsonl", (path) => Array.fromAsync(readLines(path))],
  "gzipped lines": ["file.jsonl.gz", (path) => Array.fromAsync(readLines(path))],
  "text-game examples": ["examples.json", (path) => loadExamples(path)],
  "a model's configuration": ["config.json", (path) => readTransformerConfig(dirname(path))],
  "a text tokenizer": ["tokenizer.json", (path) => TextTokenizer.load(dirname(path))],
  "an image tokenizer": ["config.json", readTokenizerJson],
  "an adapter": ["adapter_config.json", (path) => readAdapterConfig(dirname(path))],
  "action ranges": ["action_ranges.json", (path) => readActionRanges(dirname(path))],
  embeddings: ["embeddings.json", openEmbeddings],
  "a run": ["config.json", (path) => RunFolder.read(dirname(path))],
  metrics: ["metrics.jsonl", (path) => new MetricLog(path).read()],
  trials: ["trials.jsonl", (path) => readTrueOutcomes(dirname(path))],
  items: ["items.jsonl", (path) => readLabelItems(dirname(path))],
  labels: ["labels.jsonl", readLabels],
  "a key": ["key.jsonl", readLabelKey],
  notebook: ["a.ipynb", readNotebook],
  prompts: ["policy.txt", (path) => loadPrompts(dirname(path))],
  "web tasks": ["tasks.json", (path) => loadTasks(path)],
  "a login": ["login.json", readStorageState],
  "steps of a login": ["steps.json", readLoginSteps],
};

/** Flags by command, given the path of a pipe and a folder for what is written. */
const FLAGS: Record<string, [file: string, args: (path: string, folder: string) => string[]][]> = {
  train_video: [
    ["data", (path, out) => ["--data", path, "--out", join(out, "run")]],
    ["model", (path, out) => ["--model", path, "--tokenizer", path, "--out", join(out, "run")]],
    ["config.json", (path, out) => ["--tokenizer", dirname(path), "--out", join(out, "run")]],
  ],
  train_text_game: [
    ["data.jsonl", (path, out) => ["--data", path, "--out", join(out, "run")]],
    ["data.jsonl.gz", (path, out) => ["--data", path, "--out", join(out, "run")]],
    ["data.parquet", (path, out) => ["--data", path, "--out", join(out, "run")]],
    ["model", (path, out) => ["--model", path, "--out", join(out, "run")]],
    ["config.json", (path, out) => ["--model", dirname(path), "--out", join(out, "run")]],
  ],
  train_web: [["data.parquet", (path, out) => ["--data", path, "--out", join(out, "run")]]],
  evaluate_policy: [
    ["labels.jsonl", (path, out) => ["--labels", path, "--key", path, "--out", join(out, "table")]],
  ],
  label: [
    ["pipe", (path) => ["--frames", path, "--labeller", "ann"]],
    ["items.jsonl", (path) => ["--frames", dirname(path), "--labeller", "ann"]],
  ],
};

const hasPipes = await (async () => {
  const folder = await Deno.makeTempDir();
  try {
    return await makePipe(join(folder, "pipe"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
})();

/** What `work` gives, or an error when it waits for the pipe. */
async function atOnce(path: string, work: Promise<unknown>): Promise<unknown> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("it waits for the pipe")), 10_000);
  try {
    return await Promise.race([work, late.promise]);
  } catch (error) {
    // Lets go who waits, so that only this test fails.
    (await Deno.open(path, { read: true, write: true })).close();
    work.catch(() => {});
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

for (const [name, [file, read]] of Object.entries(READERS)) {
  Deno.test({
    name: `a pipe in the place of a file: ${name}`,
    ignore: !hasPipes,
    async fn() {
      await withFolder(async (folder) => {
        const path = join(folder, file);
        assert.ok(await makePipe(path));
        await rejectsUserError(() => atOnce(path, Promise.resolve(read(path))), path, /it is not a file/);
      });
    },
  });
}

Deno.test("what has no end, is a folder or is too large is not read as a text", async () => {
  await withFolder(async (folder) => {
    if (Deno.build.os !== "windows") await assert.rejects(readTextFile("/dev/zero"), /^Error: it is not a file$/);
    await assert.rejects(readTextFile(folder), /^Error: it is a folder, not a file$/);
    const path = join(folder, "text");
    await Deno.writeTextFile(path, "four");
    assert.equal(await readTextFile(path, 4), "four");
    await assert.rejects(readTextFile(path, 3), /^Error: it has 4 bytes, more than the 3 that are read$/);
    await Deno.truncate(path, 2 ** 40);
    await assert.rejects(readTextFile(path), /^Error: it has 1099511627776 bytes, more than/);
    await assert.rejects(readTextFile(join(folder, "none")), Deno.errors.NotFound);
  });
});

for (const [task, cases] of Object.entries(FLAGS)) {
  Deno.test({
    name: `a pipe in the place of a file: flags of ${task}`,
    ignore: !hasPipes,
    async fn() {
      for (const [file, args] of cases) {
        await withFolder(async (folder) => {
          const path = join(folder, "given", file);
          await Deno.mkdir(dirname(path));
          assert.ok(await makePipe(path));
          // What waits for a pipe hears no signal but this.
          const through = ["timeout", "--signal=KILL", "60"];
          const { code, stderr } = await runTask(task, args(path, folder), { through, cwd: folder });
          assert.equal(code, 2, `${file}: ${stderr}`);
          const last = stderr.trimEnd().split("\n").at(-1)!;
          assert.match(last, /^error: /);
          assert.ok(last.includes(dirname(path)), last);
        });
      }
    },
  });
}
