/** What `deno task docs` writes is what is committed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { z } from "zod";
import { robotVideoSchema } from "../../lib/recipes/robot_video/config.ts";
import { documentation } from "../../tasks/docs.ts";
import { schemaFields } from "../support/config_fields.ts";

const ROOT = join(import.meta.dirname!, "../..");

Deno.test("docs: the committed files are those that the task writes", async () => {
  const written = await documentation();
  const committed = await Array.fromAsync(
    Deno.readDir(join(ROOT, "docs/schemas")),
    ({ name }) => `docs/schemas/${name}`,
  );
  assert.deepEqual(committed.sort(), Object.keys(written).filter((path) => path.includes("/schemas/")).sort());
  for (const [path, text] of Object.entries(written)) {
    assert.equal(await Deno.readTextFile(join(ROOT, path)), text, `${path} is not up to date: deno task docs`);
  }
});

Deno.test("docs: every field has a row with its meaning, values of presets and what it depends on", async () => {
  const page = (await documentation())["docs/configuration.md"];
  for (const field of schemaFields(robotVideoSchema).filter((name) => name !== "preset")) {
    assert.match(page, new RegExp(`^\\| \`${field}\` \\| \\S.* \\| .* \\|$`, "m"), field);
  }
  assert.match(page, /^\| `grpo\.dualClip` .* number > 1 \| `3` \| {2}\| `grpo\.loss=dual-clip` \|$/m);
  assert.match(page, /^\| `data\.frames` .* demo-multi-step, demo-policies, demo-multi-step-64: `5` \|/m);
});

Deno.test("docs: a JSON schema accepts what its command does", async () => {
  const schema = JSON.parse((await documentation())["docs/schemas/train_video.json"]);
  const read = z.fromJSONSchema(schema);
  assert.equal(read.safeParse({ grpo: { steps: 3 } }).success, true);
  for (const bad of [{ grpo: { steps: 0 } }, { grpo: { stepz: 1 } }, { data: { prediction: "none" } }]) {
    assert.equal(read.safeParse(bad).success, false, JSON.stringify(bad));
  }
});
