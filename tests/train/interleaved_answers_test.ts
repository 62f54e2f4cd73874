/**
 * Answers in which sampled and given tokens take turns, as in multi-step video: what is given enters neither loss nor
 * divergence nor entropy nor gradient, in GRPO and in likelihood training, whichever way the prompts are computed.
 */
import assert from "node:assert/strict";
import type { CausalTransformer } from "../../lib/models/causal_transformer.ts";
import { RELEASED_OBJECTIVE } from "../../lib/train/objective.ts";
import { type AnswerGroup, spokenWeights } from "../../lib/train/answer_groups.ts";
import { predictingStates } from "../../lib/train/answer_states.ts";
import { policyLoss, type PolicyLossOptions } from "../../lib/train/policy_loss.ts";
import { rollout } from "../../lib/train/rollout.ts";
import { valueAndGrad } from "../../lib/tensor/gradient.ts";
import { Philox } from "../../lib/tensor/random.ts";
import { tidy } from "../../lib/tensor/scope.ts";
import { type Tensor, tensor } from "../../lib/tensor/tensor.ts";
import { LikelihoodTrainer } from "../../lib/train/likelihood.ts";
import { gradientsOf, smallModel, take } from "../support/small_transformer.ts";
import { assertClose } from "../support/compare.ts";
import { forEachEngine } from "../support/engines.ts";
import { trainedGroups } from "../support/trained_groups.ts";

/** Frames of 4 tokens and actions of 2; questions of a context, a frame and its action. */
const PROMPTS = 2, GROUP = 3, QUESTION = 13, FRAMES = 3, FRAME = 4, ACTION = 2, LENGTH = FRAMES * (FRAME + ACTION);
const VOCABULARY = 37;
const SAMPLED = Uint8Array.from({ length: LENGTH }, (_, t) => t % (FRAME + ACTION) < FRAME ? 1 : 0);

const SETTINGS: PolicyLossOptions = {
  groupSize: GROUP,
  sharePrompt: true,
  ...RELEASED_OBJECTIVE,
  klCoefficient: 0.1,
  entropyCoefficient: 0.01,
  logitChunk: 7,
  temperature: 1,
};

const draw = (random: Philox, length: number) => Int32Array.from({ length }, () => random.integer(0, VOCABULARY));

function groups(): AnswerGroup[] {
  const random = new Philox(21);
  return Array.from({ length: PROMPTS }, () => {
    const question = draw(random, QUESTION), plan = draw(random, LENGTH);
    return {
      question,
      answers_G: Array.from(
        { length: GROUP },
        () => draw(random, LENGTH).map((token, t) => SAMPLED[t] === 1 ? token : plan[t]),
      ),
      sampled_T: SAMPLED,
      advantages_GK: Float64Array.from({ length: GROUP }, () => random.normal()),
      sampler_GT: Array.from(
        { length: GROUP },
        () => Float32Array.from(SAMPLED, (each) => each === 1 ? -3 - random.uniform() : 0),
      ),
    };
  });
}

/** log softmax of full forward passes in float64 on the host, at the positions of each answer's sampled tokens. */
async function spokenDistributions(model: CausalTransformer, some: readonly AnswerGroup[]) {
  const rows: { logs: Float64Array; token: number }[] = [];
  for (const { question, answers_G } of some) {
    for (const answer of answers_G) {
      const sequence = Int32Array.of(...question, ...answer);
      const logits = await take(tidy(() =>
        model.logits(
          model.hidden(tensor(model.engine, sequence.subarray(0, -1), [1, sequence.length - 1], "int64"))
            .narrow(1, QUESTION - 1, LENGTH).reshape([LENGTH, -1]),
        )
      ));
      for (let t = 0; t < LENGTH; t++) {
        if (SAMPLED[t] === 0) continue;
        const own = Float64Array.from(logits.subarray(t * VOCABULARY, (t + 1) * VOCABULARY), Number);
        const total = Math.log(own.reduce((sum, each) => sum + Math.exp(each), 0));
        rows.push({ logs: own.map((each) => each - total), token: answer[t] });
      }
    }
  }
  return rows;
}

forEachEngine("interleaved answers: what predicts a given token gets exactly no gradient", async (engine) => {
  const model = smallModel(engine), some = groups(), weights = spokenWeights(some, "token-mean");
  const trained = trainedGroups(some, weights);
  for (const sharePrompt of [true, false]) {
    const settings = { ...SETTINGS, klCoefficient: 0, sharePrompt };
    // The residual stream that leaves the last block: its rows are the positions.
    const { gradients, rows } = tidy(() => {
      const pass = predictingStates(model, some, settings);
      let x = pass.embed();
      for (let layer = 0; layer < pass.layers; layer++) x = pass.block(x, layer);
      const leaf = x.detach();
      const loss = () => policyLoss(model, pass.finish(leaf), trained, settings).loss;
      return { gradients: valueAndGrad(loss, [leaf]).gradients[0], rows: leaf.shape[0] };
    });
    const numbers = await take(gradients), width = numbers.length / rows;
    const sizes = Array.from(
      { length: rows },
      (_, row) => [...numbers.subarray(row * width, (row + 1) * width)].reduce((sum, x) => sum + Math.abs(x), 0),
    );
    const predicting = new Set<number>();
    for (let answer = 0; answer < PROMPTS * GROUP; answer++) {
      for (let t = 0; t < LENGTH; t++) {
        if (SAMPLED[t] === 0) continue;
        predicting.add(
          !sharePrompt
            ? answer * (QUESTION + LENGTH - 1) + QUESTION - 1 + t
            : t === 0
            ? Math.floor(answer / GROUP)
            : PROMPTS + answer * (LENGTH - 1) + t - 1,
        );
      }
    }
    assert.ok(predicting.size < rows);
    sizes.forEach((size, row) => {
      if (predicting.has(row)) assert.ok(size > 0, `row ${row} predicts a sampled token`);
      else assert.equal(size, 0, `row ${row} predicts a given token`);
    });
  }
  model.dispose();
});

forEachEngine("interleaved answers: likelihood trains the sampled tokens and nothing else", async (engine) => {
  const some = groups(), model = smallModel(engine);
  const batch = some.map(({ question, answers_G, sampled_T }) => ({
    question,
    answer: { tokens: answers_G[0], sampled: sampled_T! },
    trainedQuestionTokens: 0,
  }));
  const options = {
    learningRate: 1e-3,
    warmupSteps: 0,
    weightDecay: 0,
    maxGradientNorm: 1e9,
    microBatch: 1,
    logitChunk: 5,
  };
  const byHand = await gradientsOf(model, () => {
    const parts: Tensor[] = batch.map(({ question, answer: { tokens } }) => {
      const whole = Int32Array.of(...question, ...tokens);
      const logs = model.logits(
        model.hidden(tensor(engine, whole.subarray(0, -1), [1, whole.length - 1], "int64"))
          .reshape([whole.length - 1, -1]),
      ).logSoftmax();
      const trained = [...SAMPLED.keys()].filter((t) => SAMPLED[t] === 1);
      const rows = tensor(engine, Int32Array.from(trained, (t) => QUESTION - 1 + t));
      const targets = tensor(engine, Int32Array.from(trained, (t) => tokens[t]), [trained.length, 1]);
      return logs.gather(rows).takeAlong(targets).sum().neg();
    });
    return parts.reduce((sum, each) => sum.add(each)).mul(1 / (PROMPTS * FRAMES * FRAME));
  });
  let squares = 0;
  for (const each of byHand.gradients.values()) for (const x of each) squares += Number(x) ** 2;

  const trainer = new LikelihoodTrainer(model, options);
  const { loss, gradientNorm } = await trainer.step(0, batch);
  assert.ok(Math.abs(loss - byHand.value) < 1e-5 * byHand.value, `${loss} ${byHand.value}`);
  assert.ok(Math.abs(gradientNorm - Math.sqrt(squares)) < 1e-5 * gradientNorm, `${gradientNorm} ${Math.sqrt(squares)}`);
  // The last given token is read by nobody, so another one changes no bit.
  const changed = batch.map((each) => ({
    ...each,
    answer: { ...each.answer, tokens: each.answer.tokens.map((x, t) => t === LENGTH - 1 ? (x + 1) % VOCABULARY : x) },
  }));
  assert.equal(await trainer.evaluate(changed), await trainer.evaluate(batch));
  trainer.optimizer.dispose();
  model.dispose();
});

forEachEngine("interleaved answers: sampled with actions fed, they are what a full pass says", async (engine) => {
  const model = smallModel(engine), some = groups();
  const plans = some.map(({ answers_G, sampled_T }) => ({ tokens: answers_G[0], sampled: sampled_T! }));
  const { answers, logProbabilities } = await rollout(model, {
    questions: some.map((each) => each.question),
    plans,
    groupSize: GROUP,
    sampling: { temperature: 1 },
    stream: [3, 6, 0],
  });
  answers.forEach((answer, row) => {
    const plan = plans[Math.floor(row / GROUP)].tokens;
    for (let t = 0; t < LENGTH; t++) if (SAMPLED[t] === 0) assert.equal(answer[t], plan[t]);
  });
  const drawn = some.map((group, p) => ({ ...group, answers_G: answers.slice(p * GROUP, (p + 1) * GROUP) }));
  const full = (await spokenDistributions(model, drawn)).map(({ logs, token }) => logs[token]);
  const spoken = logProbabilities.filter((_, i) => SAMPLED[i % LENGTH] === 1);
  assertClose(spoken, full, 1e-5, "log p");
  assert.ok(logProbabilities.every((each, i) => SAMPLED[i % LENGTH] === 1 || each === 0));
  model.dispose();
});
