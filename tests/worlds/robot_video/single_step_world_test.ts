/** The single-step world's metrics: whole answers, and the patch that each token stands for. */
import assert from "node:assert/strict";
import { mae, psnr } from "../../../lib/worlds/robot_video/metrics.ts";
import { RobotVideoWorld } from "../../../lib/worlds/robot_video/single_step_world.ts";
import { assertClose } from "../../support/compare.ts";
import { forEachEngine } from "../../support/engines.ts";
import { BINS, tinyClip, tinyFrameTokenizer } from "./multi_step_support.ts";

forEachEngine(
  "RobotVideoWorld: what each patch adds sums to the error, and tokens know their patch",
  async (engine) => {
    const tokenizer = tinyFrameTokenizer(engine);
    const options = { tokenizer, bins: BINS, metrics: [mae, psnr] }, clips = [1, 2].map((seed) => tinyClip(seed, 3));
    const whole = new RobotVideoWorld(options), world = new RobotVideoWorld({ ...options, patches: true });
    const count = tokenizer.tokensPerFrame;
    assert.equal(whole.metrics.mae.computeParts, undefined);
    assert.equal(world.metrics.psnr.computeParts, undefined, "no sum of patches");
    const answers = (await world.encode(clips)).map(({ answer }) => answer);
    const expected = Array.from({ length: count + 1 }, (_, t) => Math.min(t, count - 1));
    assert.deepEqual([...answers[0].parts!], expected, "the end belongs to the last patch");
    assert.equal((await whole.encode(clips))[0].answer.parts, undefined);

    // The first answer, the same but for its first token, another clip's.
    const wrong = answers[0].tokens.slice();
    wrong[0] = (wrong[0] + 4) % tokenizer.codebookSize;
    const of = [clips[0], clips[0], clips[1]];
    const predicted = await world.decode([answers[0].tokens, wrong, answers[1].tokens]), truth = await world.truth(of);
    const once = await world.truth(clips), selected = world.select(once, [0, 0, 1]);
    assert.deepEqual(await selected.frames.data(), await truth.frames.data(), "the same frames, made once a clip");
    for (const states of [once, selected]) world.release(states);
    const { values, contributions: added } = await world.metrics.mae.computeParts!(predicted, truth);
    assert.deepEqual(values, await world.metrics.mae.compute(predicted, truth), "the same to the last digit");
    assert.equal(added.length, 3 * count);
    const sums = [0, 1, 2].map((i) => added.subarray(i * count, (i + 1) * count).reduce((sum, each) => sum + each, 0));
    assertClose(sums, values, 1e-6, "sums");
    const change = Array.from({ length: count }, (_, i) => Math.abs(added[i] - added[count + i]));
    assert.ok(change[0] > 1e-5, change.join(" "));
    world.release(predicted);
    world.release(truth);
    tokenizer.dispose();
  },
);
