/**
 * Sequences of different lengths without padding: the rows of all of them lie one after the other, and only attention
 * knows where one ends.
 *
 * Rows are all prompts, one after the other, then all answers: prompt 0's, prompt 1's, … A prompt without answers is simply a
 * sequence. Products over rows (nine tenths of the work) then have no waste at all; within attention the answers of one
 * prompt are filled up to the longest of them, which only costs what a short answer is shorter.
 *
 * Axis letters: N rows, H query heads, K key heads, d head width, G answers of one prompt, Tp and Ta tokens of prompt and
 * answer.
 */
import type { Engine } from "../tensor/engine.ts";
import { concat, type Tensor, tensor } from "../tensor/tensor.ts";
import { attendSequences, headsFirst } from "./causal_transformer_attention.ts";

/** A prompt and the answers that share it. Answers may be empty. */
export interface PackedGroup {
  /** At least one token. */
  prompt: Int32Array;
  /** Of any lengths; each goes on where the prompt ends. */
  answers: readonly Int32Array[];
}

/** Where everything lies, and the index tensors that attention needs. Make it inside the scope that uses it. */
export class PackedLayout {
  /** int64 [N]. */
  readonly tokens: Tensor;
  /** int64 [N]: of each row within its own sequence. */
  readonly positions: Tensor;
  /** The longest sequence, prompt and answer together. */
  readonly longest: number;
  /** Rows of all prompts; answers begin after them. */
  readonly promptRows: number;
  /** One entry a prompt. */
  readonly groups: readonly PackedGroupLayout[];
  /** Whether all prompts have one length: they are then one batch. */
  readonly equalPrompts: boolean;

  /** @throws {RangeError} When there is no group, or a prompt is empty. */
  constructor(readonly engine: Engine, groups: readonly PackedGroup[]) {
    if (groups.length === 0) throw new RangeError("packed sequences: needs at least one prompt: received none");
    const empty = groups.findIndex((each) => each.prompt.length === 0);
    if (empty !== -1) throw new RangeError(`packed sequences: prompt ${empty} is empty: give it at least one token`);
    this.promptRows = groups.reduce((sum, each) => sum + each.prompt.length, 0);
    const rows = groups.reduce(
      (sum, each) => sum + each.answers.reduce((own, answer) => own + answer.length, 0),
      this.promptRows,
    );
    const tokens = new Int32Array(rows), positions = new Int32Array(rows);
    const layouts: PackedGroupLayout[] = [];
    let longest = 0, promptAt = 0, answerAt = this.promptRows;
    const write = (sequence: Int32Array, at: number, first: number) => {
      tokens.set(sequence, at);
      for (let i = 0; i < sequence.length; i++) positions[at + i] = first + i;
      longest = Math.max(longest, first + sequence.length);
    };
    for (const { prompt, answers } of groups) {
      write(prompt, promptAt, 0);
      const starts: number[] = [], lengths = answers.map((each) => each.length);
      const promptStart = promptAt;
      promptAt += prompt.length;
      for (const answer of answers) {
        starts.push(answerAt);
        write(answer, answerAt, prompt.length);
        answerAt += answer.length;
      }
      layouts.push(groupLayout(engine, promptStart, prompt.length, starts, lengths));
    }
    this.groups = layouts;
    this.longest = longest;
    this.equalPrompts = layouts.every((each) => each.promptLength === layouts[0].promptLength);
    this.tokens = tensor(engine, tokens);
    this.positions = tensor(engine, positions);
  }

  /** int64: the last row of each prompt, then every row of the answers. */
  lastPromptRows(): Tensor {
    const { promptRows } = this, count = this.tokens.size - promptRows;
    const rows = new Int32Array(this.groups.length + count);
    this.groups.forEach((each, p) => rows[p] = each.promptStart + each.promptLength - 1);
    for (let i = 0; i < count; i++) rows[this.groups.length + i] = promptRows + i;
    return tensor(this.engine, rows);
  }
}

/** Rows of one prompt and its answers. */
export interface PackedGroupLayout {
  /** First row of the prompt. */
  promptStart: number;
  /** Tp. */
  promptLength: number;
  /** First row of the answers. */
  answerStart: number;
  /** Rows of the answers. */
  answerRows: number;
  /** G. */
  count: number;
  /** The longest answer. */
  longest: number;
  /** Rows that fill [G, longest], and the way back; undefined where all answers have one length. */
  fill?: { rows: Tensor; back: Tensor };
}

function groupLayout(
  engine: Engine,
  promptStart: number,
  promptLength: number,
  starts: readonly number[],
  lengths: readonly number[],
): PackedGroupLayout {
  const count = lengths.length, longest = Math.max(0, ...lengths);
  const answerRows = lengths.reduce((sum, each) => sum + each, 0);
  const layout = { promptStart, promptLength, answerStart: starts[0] ?? 0, answerRows, count, longest };
  if (answerRows === count * longest) return layout;
  // What fills up comes after the real tokens, so no real token sees it; any row will do: the prompt's last.
  const rows = new Int32Array(count * longest).fill(promptStart + promptLength - 1), back = new Int32Array(answerRows);
  let at = 0;
  lengths.forEach((length, g) => {
    for (let t = 0; t < length; t++, at++) {
      rows[g * longest + t] = starts[g] + t;
      back[at] = g * longest + t;
    }
  });
  return { ...layout, fill: { rows: tensor(engine, rows), back: tensor(engine, back) } };
}

/**
 * Prompts attend to themselves, each answer to its prompt and causally to itself.
 *
 * @param q [N, H, d]. @param k, v [N, K, d].
 * @param onlyLast Of the prompts only the last token asks: the result has one row a prompt, then the answers'.
 * @returns [N, H · d], or fewer rows.
 */
export function attendPacked(q: Tensor, k: Tensor, v: Tensor, layout: PackedLayout, onlyLast = false): Tensor {
  const parts: Tensor[] = [];
  if (layout.equalPrompts) {
    const prompts = (x: Tensor) => x.narrow(0, 0, layout.promptRows);
    parts.push(attendSequences(prompts(q), prompts(k), prompts(v), layout.groups.length, onlyLast));
  } else {
    for (const { promptStart, promptLength } of layout.groups) {
      const own = (x: Tensor) => x.narrow(0, promptStart, promptLength);
      parts.push(attendSequences(own(q), own(k), own(v), 1, onlyLast));
    }
  }
  for (const group of layout.groups) {
    if (group.answerRows > 0) parts.push(attendAnswers(q, k, v, group));
  }
  return parts.length === 1 ? parts[0] : concat(parts);
}

function attendAnswers(q: Tensor, k: Tensor, v: Tensor, group: PackedGroupLayout): Tensor {
  const { promptStart, promptLength, answerStart, answerRows, count, longest, fill } = group;
  const [, heads, width] = q.shape;
  const filled = (x: Tensor) =>
    (fill ? x.gather(fill.rows) : x.narrow(0, answerStart, answerRows)).reshape([count, longest, x.shape[1], width]);
  const joined = (x: Tensor) => {
    const shared = x.narrow(0, promptStart, promptLength).reshape([1, promptLength, x.shape[1], width])
      .broadcastTo([count, promptLength, x.shape[1], width]);
    return headsFirst(concat([shared, filled(x)], 1), heads);
  };
  const mixed = filled(q).permute([0, 2, 1, 3]).attention(joined(k), joined(v), { causal: true })
    .permute([0, 2, 1, 3]).reshape([count * longest, heads * width]);
  return fill ? mixed.gather(fill.back) : mixed;
}
