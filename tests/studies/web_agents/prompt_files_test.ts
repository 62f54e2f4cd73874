import assert from "node:assert/strict";
import { join } from "node:path";
import { loadPrompts, Prompt, PROMPT_SLOTS } from "../../../lib/studies/web_agents/prompt_files.ts";
import { UserError } from "../../../lib/base/user_error.ts";

const SALIENT = "=== user\n{{newItems}} {{deletedItems}} {{updatedItems}}\n";

function refuses(text: string, message: RegExp) {
  assert.throws(() => new Prompt("salient_changes", text, "mine.txt"), (error: Error) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, message);
    assert.ok(!error.message.includes("\n"));
    return true;
  });
}

Deno.test("prompts: the built-in ones load, with their messages in order", async () => {
  const prompts = await loadPrompts();
  assert.equal(prompts.world_model, undefined);
  const policy = prompts.policy.fill({ observation: "[1] link 'A'", url: "u", objective: "o", previousAction: "None" });
  assert.deepEqual(policy.map(({ role }) => role), ["system", "user", "assistant", "user", "assistant", "user"]);
  assert.equal(policy.at(-1)!.content, "OBSERVATION:\n[1] link 'A'\nURL: u\nOBJECTIVE: o\nPREVIOUS ACTION: None");
  assert.ok(policy[2].content.includes("In summary, the next action I will perform is ```"));
  const salient = prompts.salient_changes.fill({ newItems: "n", deletedItems: "d", updatedItems: "u" });
  assert.deepEqual(salient.map(({ role }) => role), ["system", "user"]);
});

Deno.test("prompts: what is filled in is text, slots and patterns in it too", () => {
  const prompt = new Prompt("salient_changes", SALIENT, "mine.txt");
  const [{ content }] = prompt.fill({ newItems: "{{updatedItems}}", deletedItems: "$&", updatedItems: "$1" });
  assert.equal(content, "{{updatedItems}} $& $1");
});

Deno.test("prompts: slots that are missing or strange are named", () => {
  refuses(
    "=== user\n{{newItems}} {{updatedItems}}",
    /mine\.txt: the slots .* are .*: \{\{deletedItems\}\} is missing$/,
  );
  refuses(`${SALIENT}{{objective}}`, /\{\{objective\}\} is none$/);
  refuses(SALIENT.replace("newItems", "newitems"), /\{\{newitems\}\} is none, \{\{newItems\}\} is missing$/);
});

Deno.test("prompts: the form of a file", () => {
  refuses("", /the parts must be system, then examples in pairs, then user: received nothing/);
  refuses(`hello\n${SALIENT}`, /mine\.txt, line 1: text before the first heading/);
  refuses(`=== systen\n${SALIENT}`, /line 1: a heading is one of .*received "=== systen"/);
  refuses(`=== example user\nx\n${SALIENT}`, /the parts must be/);
  refuses(`${SALIENT}=== system\nx`, /the parts must be/);
});

Deno.test("prompts: a folder of one's own replaces some, and may hold nothing else", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(folder, "salient_changes.txt"), SALIENT);
    const slots = PROMPT_SLOTS.world_model.map((each) => `{{${each}}}`).join(" ");
    await Deno.writeTextFile(join(folder, "world_model.txt"), `=== system\nPredict.\n=== user\n${slots}`);
    await Deno.writeTextFile(join(folder, "notes.json"), "not a prompt");
    const prompts = await loadPrompts(folder);
    assert.equal(
      prompts.salient_changes.fill({ newItems: "1", deletedItems: "2", updatedItems: "3" })[0].content,
      "1 2 3",
    );
    assert.ok(prompts.world_model && prompts.policy);
    await Deno.writeTextFile(join(folder, "polices.txt"), SALIENT);
    await assert.rejects(loadPrompts(folder), /polices\.txt is no role's prompt: they are policy\.txt, /);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  await assert.rejects(loadPrompts("/nowhere"), UserError);
});
