/** The soak, briefly: another command and other moments each time. A person can run it for long: see `soak.ts`. */
import assert from "node:assert/strict";
import { soak } from "./soak.ts";

Deno.test("a training command struck down in its stages and resumed ends as an undisturbed one", async () => {
  const { runs, strokes } = await soak({ minutes: 0.5, seed: Date.now() % 1_000_000, engine: ["--device", "cpu"] });
  assert.ok(runs >= 1);
  assert.ok(Object.values(strokes).reduce((sum, count) => sum + count) >= 2, JSON.stringify(strokes));
});
