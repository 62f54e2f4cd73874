import assert from "node:assert/strict";
import { targetText } from "../../../lib/worlds/text_game/answer.ts";
import { isChanged, isGold } from "../../../lib/worlds/text_game/difference.ts";
import { loadTransitions, type TransitionRow } from "../../../lib/worlds/text_game/jsonl.ts";
import { pythonRepr } from "../../../lib/io/python_repr.ts";
import { scoreResponse } from "../../../lib/worlds/text_game/reward.ts";
import { scoredCurrent, scoredNext, type TextGameTransition } from "../../../lib/worlds/text_game/state.ts";
import { hasSharedData, sharedData } from "./cases.ts";

const ignore = !hasSharedData;
const NOTHING = 'The final answer is: {"modified": [], "removed": [], "score": {}}';

function total(rows: TransitionRow[], answer: (t: TextGameTransition) => string, strictness: "released" | "strict") {
  let correct = 0, taskSpecific = 0;
  for (const { transition } of rows) {
    const reward = scoreResponse(answer(transition), scoredCurrent(transition), scoredNext(transition), strictness);
    correct += reward.binary;
    taskSpecific += reward.taskSpecific;
  }
  return { correct, taskSpecific };
}

Deno.test({
  name: "benchmark: what the original scorer gives on 1,263 test rows (needs the benchmark's data)",
  ignore,
  fn: async () => {
    const { rows, skipped } = await loadTransitions(`${sharedData}/test_16_games.jsonl.gz`);
    assert.equal(rows.length, 1263);
    assert.equal(skipped.length, 0);
    const exact = total(rows, (t) => targetText(t, "released"), "released");
    assert.equal(exact.correct, 1230);
    assert.ok(Math.abs(exact.taskSpecific - 863.2251) < 5e-5, String(exact.taskSpecific));
    const nothing = total(rows, () => NOTHING, "released");
    assert.equal(nothing.correct, 717);
    assert.ok(Math.abs(nothing.taskSpecific - 267.1783) < 5e-5, String(nothing.taskSpecific));
    // Mended, the exact difference is always right, and "no change" on the unchanged rows exactly.
    assert.equal(total(rows, (t) => targetText(t, "strict"), "strict").correct, 1263);
    assert.equal(total(rows, () => NOTHING, "strict").correct, 717);
    for (const { transition } of rows) {
      const current = scoredCurrent(transition), next = scoredNext(transition);
      const isRight = scoreResponse(NOTHING, current, next, "strict").binary === 1;
      assert.equal(isRight, !isChanged(current, next));
    }
    assert.ok(rows.some(({ transition: t }) => isGold(scoredCurrent(t), scoredNext(t))));
    // Floats keep their point: 20.0 in the file is 20.0 in prompts and answers.
    assert.ok(rows.some(({ transition }) => pythonRepr(transition.current.objects).includes(": 20.0")));
  },
});
