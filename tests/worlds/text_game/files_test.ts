import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import type { SkippedRow } from "../../../lib/io/rows.ts";
import { UserError } from "../../../lib/base/user_error.ts";
import { Philox } from "../../../lib/tensor/random.ts";
import { loadTransitions, readTransitions, writeTransitions } from "../../../lib/worlds/text_game/jsonl.ts";
import { type ParquetRow, parquetRow, readParquet, writeParquet } from "../../../lib/worlds/text_game/parquet.ts";
import { scoreAnswersFile } from "../../../lib/worlds/text_game/score_answers.ts";
import { scoredCurrent, scoredNext, type TextGameTransition } from "../../../lib/worlds/text_game/state.ts";
import { PythonFloat } from "../../../lib/io/json_value.ts";
import { parseScoredState, transitionJson } from "../../../lib/worlds/text_game/state_json.ts";
import { targetText } from "../../../lib/worlds/text_game/answer.ts";
import { cleanCup, cup, one, runningSink, sink, zero } from "./cases.ts";

const transition: TextGameTransition = {
  game: "dishes",
  stateId: 4,
  current: {
    observation: "o",
    look: "l\n",
    inventory: "i",
    taskDesc: "Wash.",
    lastAction: "look",
    objects: [{ ...cup, properties: { ...cup.properties, heat: new PythonFloat(20) } }, sink],
    max_UUID: 4,
  },
  currentScore: zero,
  action: "turn on sink (ID: 2)",
  next: {
    observation: "p",
    look: "m",
    inventory: "j",
    taskDesc: "Wash.",
    lastAction: "turn on sink (ID: 2)",
    objects: [{ ...cleanCup, properties: { ...cleanCup.properties, heat: new PythonFloat(20) } }, runningSink],
    max_UUID: 4,
  },
  nextScore: one,
};
const idle: TextGameTransition = {
  ...transition,
  stateId: 5,
  action: "look",
  next: { ...transition.current, lastAction: "look" },
  nextScore: zero,
};

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A text that packs to about half its length. */
function randomText(length: number): string {
  const random = new Philox(7);
  return Array.from({ length }, () => String.fromCharCode(33 + random.integer(0, 90))).join("").replaceAll(
    /["\\]/g,
    "!",
  );
}

async function rejects(work: () => Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(work, (error: Error) => {
    assert.ok(error instanceof UserError, String(error.stack));
    assert.match(error.message, message);
    assert.ok(!error.message.includes("\n"), error.message);
    return true;
  });
}

Deno.test("transitions: written and read again they are the same, plain and gzipped", () =>
  withFolder(async (folder) => {
    for (const name of ["a.jsonl", "a.jsonl.gz"]) {
      const path = join(folder, name);
      await writeTransitions(path, [transition, { ...idle, actionState: idle.next }]);
      const { rows, skipped } = await loadTransitions(path, { actionStates: true });
      assert.deepEqual(rows, [
        { row: 0, file: path, place: "line 1", transition },
        { row: 1, file: path, place: "line 2", transition: { ...idle, actionState: idle.next } },
      ]);
      assert.deepEqual(skipped, []);
      assert.equal((await loadTransitions(path)).rows[1].transition.actionState, undefined);
    }
    const text = await Deno.readTextFile(join(folder, "a.jsonl"));
    assert.ok(text.includes('"heat":20.0') && text.includes('"temp":20,'), text);
  }));

Deno.test("transitions: a bad line is named by its number, or skipped and counted", () =>
  withFolder(async (folder) => {
    const path = join(folder, "bad.jsonl");
    const good = transitionJson(transition);
    const bad = [
      "{",
      "[]",
      good.replace('"uuid":2', '"uuid":"2"'),
      good.replace('"lastAction":"turn on sink (ID: 2)"', '"last":1'),
      good.replace('"gameOver":false', '"gameOver":0'),
    ];
    await Deno.writeTextFile(path, [good, "", ...bad, good].join("\r\n"));
    await rejects(() => loadTransitions(path), /bad\.jsonl, line 3: /);
    const skipped: SkippedRow[] = [];
    const rows: number[] = [];
    for await (const { row } of readTransitions(path, { strict: false, onSkip: (s) => skipped.push(s) })) {
      rows.push(row);
    }
    assert.deepEqual(rows, [0, 7]);
    assert.deepEqual(skipped.map(({ row }) => row), [2, 3, 4, 5, 6]);
    assert.match(skipped[1].reason, /the line must be an object: received \[\]/);
    assert.match(skipped[2].reason, /current_state\.objects\[1\]\.uuid must be an integer: received "2"/);
    assert.match(skipped[3].reason, /tick_state\.lastAction must be a string: received nothing/);
    assert.match(skipped[4].reason, /current_score_state\.gameOver must be true or false: received 0/);
  }));

Deno.test("transitions: files that are not there, empty, cut or not UTF-8", () =>
  withFolder(async (folder) => {
    await rejects(() => loadTransitions(join(folder, "none.jsonl")), /none\.jsonl: there is no such file/);
    const empty = join(folder, "empty.jsonl");
    await Deno.writeTextFile(empty, "\n");
    await rejects(() => loadTransitions(empty), /empty\.jsonl: it has no transition/);
    const cut = join(folder, "cut.jsonl.gz");
    await writeTransitions(cut, Array.from({ length: 50 }, (_, i) => ({ ...transition, stateId: i })));
    await Deno.writeFile(cut, (await Deno.readFile(cut)).subarray(0, -20));
    await rejects(() => loadTransitions(cut), /cut\.jsonl\.gz: cannot be unpacked/);
    const latin = join(folder, "latin.jsonl");
    await Deno.writeFile(latin, Uint8Array.of(0x22, 0xe9, 0x22, 0x0a));
    await rejects(() => loadTransitions(latin), /latin\.jsonl, line 1: it is not UTF-8/);
  }));

Deno.test("transitions: a gzip of several members is read to its end, as zcat does, wherever its members meet", () =>
  withFolder(async (folder) => {
    const transitions = Array.from({ length: 60 }, (_, i) => ({ ...transition, stateId: i }));
    const member = async (name: string, some: TextGameTransition[]) => {
      await writeTransitions(join(folder, name), some);
      return await Deno.readFile(join(folder, name));
    };
    const path = join(folder, "joined.jsonl.gz");
    // The first is one that cannot be packed, longer than what is read at once.
    const first = await member("a.jsonl.gz", [{ ...transition, game: randomText(200_000), stateId: -1 }]);
    assert.ok(first.length > 65_536);
    const second = await member("b.jsonl.gz", transitions.slice(0, 20));
    const third = await member("c.jsonl.gz", transitions.slice(20));
    await Deno.writeFile(path, new Uint8Array(await new Blob([first, second, third]).arrayBuffer()));
    const { rows } = await loadTransitions(path);
    assert.deepEqual(rows.map((each) => each.transition.stateId), [-1, ...transitions.map((each) => each.stateId)]);
    // A last member that breaks off is no end.
    await Deno.writeFile(path, new Uint8Array(await new Blob([second, third.subarray(0, 9)]).arrayBuffer()));
    await rejects(() => loadTransitions(path), /joined\.jsonl\.gz: cannot be unpacked/);
    // Neither is a wrong checksum.
    await Deno.writeFile(path, second.map((byte, i) => i === second.length - 6 ? byte ^ 1 : byte));
    await rejects(() => loadTransitions(path), /joined\.jsonl\.gz: cannot be unpacked/);
  }));

Deno.test("transitions: a line without end is refused before it fills the memory, plain or packed", () =>
  withFolder(async (folder) => {
    const megabyte = new Uint8Array(2 ** 20).fill(0x61),
      good = new TextEncoder().encode(`${transitionJson(transition)}\n`);
    for (const name of ["long.jsonl", "long.jsonl.gz"]) {
      const path = join(folder, name);
      let asked = 0;
      const endless = new ReadableStream<BufferSource>({
        pull(to) {
          if (asked++ === 300) to.close();
          else to.enqueue(asked === 1 ? good : megabyte);
        },
      });
      const bytes = name.endsWith(".gz") ? endless.pipeThrough(new CompressionStream("gzip")) : endless;
      await Deno.writeFile(path, bytes as ReadableStream<Uint8Array>);
      const before = Deno.memoryUsage().rss;
      await rejects(
        () => loadTransitions(path, { strict: false }),
        /long\.jsonl(\.gz)?, line 2: is longer than 16777216 bytes/,
      );
      assert.ok(Deno.memoryUsage().rss - before < 150e6, "300 MB of a line were held");
    }
  }));

Deno.test("transitions: what nests too deeply is a bad line like others", () =>
  withFolder(async (folder) => {
    const path = join(folder, "deep.jsonl"), good = transitionJson(transition);
    const deep = good.replace('"isDirty":', `"x":${"[".repeat(100_000)}1.0${"]".repeat(100_000)},"isDirty":`);
    assert.notEqual(deep, good);
    await Deno.writeTextFile(path, [good, deep, good].join("\n"));
    await rejects(() => loadTransitions(path), /deep\.jsonl, line 2: it nests too deeply/);
    const { rows, skipped } = await loadTransitions(path, { strict: false });
    assert.deepEqual(rows.map(({ row }) => row), [0, 2]);
    assert.deepEqual(skipped.map(({ row, place }) => [row, place]), [[1, "line 2"]]);
  }));

Deno.test("data sets in numbered files: naming one reads all in order, and a missing one is named", () =>
  withFolder(async (folder) => {
    const at = (name: string) => join(folder, name);
    const part = (i: number) => Array.from({ length: 3 }, (_, k) => ({ ...transition, stateId: 3 * i + k }));
    for (const i of [0, 1, 2]) {
      await writeTransitions(at(`train-0000${i}-of-00003.jsonl.gz`), part(i));
      const rows = part(i).map((each) => parquetRow(each, "?", { split: "train", index: each.stateId }));
      await writeParquet(at(`train-0000${i}-of-00003.parquet`), rows);
    }
    // Older tools put a hash behind the number; another count is another data set.
    await writeTransitions(at("old-00001-of-00002-0123456789abcdef.jsonl"), part(1));
    await writeTransitions(at("old-00000-of-00002-fedcba9876543210.jsonl"), part(0));
    await writeTransitions(at("old-00000-of-00001.jsonl"), part(7));

    for (const named of [0, 2]) {
      const { rows } = await loadTransitions(at(`train-0000${named}-of-00003.jsonl.gz`));
      assert.deepEqual(
        rows.map(({ row, file, place, transition }) => [row, file, place, transition.stateId]),
        [0, 1, 2, 3, 4, 5, 6, 7, 8].map((i) => [
          i,
          at(`train-0000${Math.floor(i / 3)}-of-00003.jsonl.gz`),
          `line ${i % 3 + 1}`,
          i,
        ]),
      );
      const read = await Array.fromAsync(readParquet(at(`train-0000${named}-of-00003.parquet`)));
      assert.deepEqual(
        read.map(({ row, file, place, index }) => [row, file, place, index]),
        [0, 1, 2, 3, 4, 5, 6, 7, 8].map((i) => [
          i,
          at(`train-0000${Math.floor(i / 3)}-of-00003.parquet`),
          `row ${i % 3}`,
          i,
        ]),
      );
    }
    const limited = await Array.fromAsync(readParquet(at("train-00000-of-00003.parquet"), { limit: 4 }));
    assert.deepEqual(limited.map(({ index }) => index), [0, 1, 2, 3]);
    const old = await loadTransitions(at("old-00001-of-00002-0123456789abcdef.jsonl"));
    assert.deepEqual(old.rows.map(({ transition }) => transition.stateId), [0, 1, 2, 3, 4, 5]);
    assert.equal((await loadTransitions(at("old-00000-of-00001.jsonl"))).rows.length, 3);

    await writeTransitions(at("old-00000-of-00002.jsonl"), part(0));
    await rejects(
      () => loadTransitions(at("old-00000-of-00002.jsonl")),
      /old-00000-of-00002\S*\.jsonl and old-00000-of-00002\S*\.jsonl have the same number/,
    );
    for (const ending of ["jsonl.gz", "parquet"]) {
      await Deno.remove(at(`train-00001-of-00003.${ending}`));
      const read = () =>
        ending === "parquet"
          ? Array.fromAsync(readParquet(at(`train-00002-of-00003.${ending}`)))
          : loadTransitions(at(`train-00002-of-00003.${ending}`));
      await rejects(
        read,
        new RegExp(`is one of the 3 files of a data set, .* lacks train-00001-of-00003\\.${ending}: `),
      );
    }
  }));

async function collect(path: string, options = {}): Promise<ParquetRow[]> {
  const rows: ParquetRow[] = [];
  for await (const { row, file, place, ...content } of readParquet(path, options)) {
    assert.deepEqual([row, file, place], [rows.length, path, `row ${rows.length}`]);
    rows.push(content);
  }
  return rows;
}

Deno.test("parquet: rows of the hub's form come back, floats and Unicode included", () =>
  withFolder(async (folder) => {
    const path = join(folder, "train.parquet");
    const rows = Array.from(
      { length: 1100 },
      (_, index) => parquetRow(transition, `Prompt ${index}: é 中 🎈\n'x'`, { split: "train", index }),
    );
    await writeParquet(path, rows);
    assert.deepEqual(await collect(path), rows);
    for (const limit of [1, 3, 513]) assert.deepEqual(await collect(path, { limit }), rows.slice(0, limit));
    await writeParquet(path, rows.slice(0, 1));
    assert.deepEqual(await collect(path), rows.slice(0, 1));
    assert.deepEqual(parseScoredState(rows[0].dataState!), scoredCurrent(transition));
    assert.deepEqual(parseScoredState(rows[0].groundTruth), scoredNext(transition));
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["train.parquet"]);
  }));

Deno.test("parquet: a file that Python wrote as the hub has it", async () => {
  const rows = await collect(new URL("fixtures/hub.parquet", import.meta.url).pathname);
  assert.equal(rows.length, 3);
  const { prompt, dataAction, split, index, dataState, groundTruth } = rows[2];
  assert.deepEqual({ prompt, dataAction, split, index }, {
    prompt: [{ role: "user", content: "Prompt 2 with é and 🎈\n" }],
    dataAction: "wash cup (ID: 1)",
    split: "test",
    index: 2,
  });
  const before = { ...cup, properties: { isDirty: true, temp: new PythonFloat(20) } };
  assert.deepEqual(parseScoredState(dataState!), [before, zero]);
  assert.deepEqual(parseScoredState(groundTruth).at(-1), { score: 1, gameOver: true, gameWon: true });
});

Deno.test("parquet: missing files, columns and fields", () =>
  withFolder(async (folder) => {
    await rejects(() => collect(join(folder, "none.parquet")), /there is no such file/);
    const text = join(folder, "text.parquet");
    await Deno.writeTextFile(text, "not parquet at all");
    await rejects(() => collect(text), /is not a parquet file that can be read/);
    const polars = (await import("nodejs-polars")).default;
    const write = (name: string, row: unknown) => {
      polars.readJSON(Buffer.from(JSON.stringify(row)), { format: "lines" } as never).writeParquet(join(folder, name));
      return join(folder, name);
    };
    const prompt = [{ content: "q", role: "user" }], reward_model = { ground_truth: "a", style: "rule" };
    await rejects(() => collect(write("1.parquet", { prompt })), /has no column "reward_model"/);
    await rejects(() => collect(write("2.parquet", { prompt, reward_model })), /has no column "extra_info"/);
    const imitation = await collect(join(folder, "2.parquet"), { states: false });
    assert.deepEqual(imitation[0], {
      prompt: [{ role: "user", content: "q" }],
      groundTruth: "a",
      dataState: undefined,
      dataAction: undefined,
      split: "",
      index: -1,
    });
    const extra_info = { index: 0 };
    await rejects(
      () => collect(write("3.parquet", { prompt, reward_model, extra_info })),
      /3\.parquet, row 0: extra_info\.data_state must be a string/,
    );
  }));

Deno.test("answers: scores come in the order of the answers, against JSONL and parquet alike", () =>
  withFolder(async (folder) => {
    const data = join(folder, "data.jsonl.gz"),
      answers = join(folder, "answers.jsonl"),
      out = join(folder, "scores.jsonl");
    await writeTransitions(data, [transition, idle]);
    const parquet = join(folder, "data.parquet");
    await writeParquet(parquet, [transition, idle].map((t, index) => parquetRow(t, "?", { split: "test", index })));
    const lines = [
      { row: 1, response: 'The final answer is: {"modified": [], "removed": [], "score": {}}' },
      { row: 0, response: targetText(transition, "released") },
      { row: 0, response: "" },
    ];
    await Deno.writeTextFile(answers, lines.map((line) => JSON.stringify(line)).join("\n"));
    const expected = [
      { row: 1, binary: 1, taskSpecific: 0.30000000000000004 },
      { row: 0, binary: 1, taskSpecific: 1.3 },
      { row: 0, binary: 0, taskSpecific: 0 },
    ];
    for (const source of [data, parquet]) {
      const result = await scoreAnswersFile({ answers, data: source, out });
      const scores = (await Deno.readTextFile(out)).trim().split("\n").map((line) => JSON.parse(line));
      scores.forEach((score, i) => {
        assert.equal(score.row, expected[i].row);
        assert.equal(score.binary, expected[i].binary);
        assert.ok(Math.abs(score.taskSpecific - expected[i].taskSpecific) < 1e-12);
      });
      assert.equal(result.all.count, 3);
      assert.equal(result.all.correct, 2);
      assert.deepEqual([result.changed.count, result.changed.correct], [2, 1]);
      assert.deepEqual([result.unchanged.count, result.unchanged.correct], [1, 1]);
    }
  }));

Deno.test("answers: bad lines and rows are named, and nothing is written", () =>
  withFolder(async (folder) => {
    const data = join(folder, "data.jsonl"),
      answers = join(folder, "answers.jsonl"),
      out = join(folder, "scores.jsonl");
    await Deno.writeTextFile(data, `${transitionJson(transition)}\n{}\n`);
    const fails = async (text: string, message: RegExp) => {
      await Deno.writeTextFile(answers, text);
      await rejects(() => scoreAnswersFile({ answers, data, out }), message);
    };
    const good = '{"row": 0, "response": "x"}\n';
    await fails(`${good}{"row": 0`, /answers\.jsonl, line 2: is not JSON/);
    await fails(
      `${good}\n{"row": -1, "response": "x"}`,
      /answers\.jsonl, line 3: row must be a number from 0 on: received -1/,
    );
    await fails('{"row": "0", "response": "x"}', /line 1: row must be a number from 0 on: received "0"/);
    await fails('{"row": 0, "response": null}', /line 1: response must be a string: received null/);
    await fails(`${good}{"row": 2, "response": "x"}`, /line 2: there is no row 2 in .*data\.jsonl, which has 2 rows/);
    await fails(
      `${good}{"row": 1, "response": "x"}`,
      /line 2: row 1 of .*data\.jsonl cannot be used: tick_state must be an object/,
    );
    await fails("", /answers\.jsonl: it has no answer/);
    await assert.rejects(Deno.stat(out), Deno.errors.NotFound);
  }));
