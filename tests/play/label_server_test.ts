/** The labelling page's server: blind, resumable, with answers taken back, several labellers, bad requests, bad files. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readLabelItems, readLabelKey, writeLabelItems } from "../../lib/experiments/blind_label_items.ts";
import { agreement, labelProblems, readLabels, successCounts } from "../../lib/experiments/blind_labels.ts";
import { serveLabels } from "../../lib/play/label_server.ts";
import { LabelSession, type LabelTask } from "../../lib/play/label_session.ts";
import { TableTop } from "../../lib/worlds/robot_video/table_top/table_top.ts";
import { BrowserPage, findChromium } from "./browser.ts";

const ITEMS = 6;

interface Place {
  frames: string;
  key: string;
  out: string;
  folder: string;
}

async function withItems(test: (place: Place) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    const candidates = Array.from({ length: ITEMS }, (_, i) => ({
      model: i % 2 ? "base" : "rlvr",
      policy: "expert",
      task: "lift",
      start: i >> 1,
      instruction: `lift object ${i}`,
      pixels: new TableTop({ seed: i }).render(32, 32),
      height: 32,
      width: 32,
    }));
    const frames = join(folder, "items"), key = join(folder, "key.jsonl");
    await writeLabelItems(frames, key, candidates, 1);
    await test({ frames, key, out: join(folder, "labels.jsonl"), folder });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A page's requests, without the page. */
async function sitting(
  place: Place,
  labeller: string,
  work: (
    ask: (path: string, body?: unknown) => Promise<LabelTask>,
    session: LabelSession,
    url: string,
  ) => Promise<void>,
) {
  const stop = new AbortController();
  using session = await LabelSession.open({ ...place, labeller, seed: 5 });
  const server = serveLabels({ session, port: 0, signal: stop.signal });
  try {
    await work(
      async (path, body) => {
        const response = await fetch(
          server.url + path,
          body === undefined ? {} : {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: typeof body === "string" ? body : JSON.stringify(body),
          },
        );
        const text = await response.text();
        if (!response.ok) throw new Error(`${response.status}: ${text}`);
        return JSON.parse(text);
      },
      session,
      server.url,
    );
  } finally {
    stop.abort();
    await server.finished;
  }
}

const ids = async ({ frames }: Place) => (await readLabelItems(frames)).items.map(({ id }) => id);

Deno.test("label: answers, skips and takes back; another sitting goes on", async () => {
  await withItems(async (place) => {
    const asked: string[] = [];
    await sitting(place, "ann", async (ask) => {
      let task = await ask("task");
      assert.deepEqual([task.done, task.total, task.skipped, task.canUndo], [0, ITEMS, 0, false]);
      for (const success of [true, false, null, true]) {
        asked.push(task.instruction!);
        task = await ask("answer", { position: task.position, success });
      }
      assert.deepEqual([task.done, task.skipped, task.canUndo], [3, 1, true]);
      const back = await ask("undo", {});
      assert.deepEqual([back.instruction, back.done], [asked[3], 2]);
      task = await ask("answer", { position: back.position, success: false });
      assert.deepEqual([task.done, task.skipped], [3, 1]);
    });
    await sitting(place, "ann", async (ask, session) => {
      assert.deepEqual(session.notes, ["ann has answered 3 of 6 before: going on"]);
      let task = await ask("task");
      assert.deepEqual([task.done, task.canUndo], [3, false], "what is skipped is forgotten, what is answered not");
      assert.equal(task.instruction, asked[2]);
      await assert.rejects(ask("undo", {}), /400: there is nothing to take back/);
      while (task.position !== null) task = await ask("answer", { position: task.position, success: true });
      assert.deepEqual([task.done, task.instruction], [ITEMS, null]);
    });
    const reading = await readLabels(place.out, await ids(place));
    assert.deepEqual(labelProblems(reading), []);
    const items = new Map((await readLabelItems(place.frames)).items.map(({ id, instruction }) => [id, instruction]));
    const answers = Object.fromEntries(reading.labels.map(({ id, success }) => [items.get(id), success]));
    assert.deepEqual([answers[asked[0]], answers[asked[1]], answers[asked[2]], answers[asked[3]]], [
      true,
      false,
      true,
      false,
    ]);
    assert.ok(reading.labels.every(({ at }) => Math.abs(Date.parse(at) - Date.now()) < 60_000));

    await sitting(place, "bob", async (ask, session) => {
      assert.deepEqual(session.notes, []);
      for (let task = await ask("task"); task.position !== null;) {
        task = await ask("answer", { position: task.position, success: true });
      }
    });
    const both = await readLabels(place.out, await ids(place));
    assert.deepEqual(agreement(both.labels).map(({ items, share }) => [items, share]), [[6, 4 / 6]]);
    const counts = successCounts(both.labels, await readLabelKey(place.key));
    assert.deepEqual(counts.map(({ n, tied }) => n + tied), [3, 3]);
    assert.equal(counts.reduce((sum, { tied }) => sum + tied, 0), 2);
  });
});

Deno.test("label: the page is told nothing of where an item comes from", async () => {
  await withItems(async (place) => {
    await sitting(place, "ann", async (ask, _, url) => {
      const task = await ask("task");
      assert.deepEqual(Object.keys(task), ["position", "instruction", "done", "total", "skipped", "canUndo"]);
      const picture = await fetch(`${url}frame/${task.position}`);
      assert.equal(picture.headers.get("content-type"), "image/png");
      const said = `${await (await fetch(url)).text()} ${JSON.stringify(task)} ${[...picture.headers].join()}`;
      assert.doesNotMatch(said, /item-\d|base|rlvr|expert/i);
      const png = new Uint8Array(await picture.arrayBuffer());
      const own = (await readLabelItems(place.frames)).items.find(({ instruction }) =>
        instruction === task.instruction
      )!;
      assert.deepEqual(png, await Deno.readFile(join(place.frames, own.frame)));
    });
    const first: unknown[] = [];
    for (const seed of [1, 1, 2, 3, 4]) {
      using session = await LabelSession.open({ ...place, labeller: "eve", seed });
      first.push(session.task.instruction);
    }
    assert.equal(first[0], first[1]);
    assert.ok(new Set(first).size > 1, "the seed decides the order");
  });
});

Deno.test("label: bad requests change nothing", async () => {
  await withItems(async (place) => {
    await sitting(place, "ann", async (ask) => {
      const { position } = await ask("task"), other = (position! + 1) % ITEMS;
      await assert.rejects(ask("answer", "no json"), /400: an answer must be \{position, success/);
      await assert.rejects(ask("answer", { position, success: "yes" }), /400: an answer must be/);
      await assert.rejects(
        ask("answer", { position: 99, success: true }),
        /400: an item's position must be in 0\.\.5: received 99/,
      );
      await assert.rejects(
        ask("answer", { position: other, success: true }),
        /400: this item is not the one that is shown/,
      );
      await assert.rejects(ask("answer", "x".repeat(5000)), /413: a request has at most 4096 bytes/);
      await assert.rejects(ask("frame/99"), /400/);
      await assert.rejects(ask("frame/../../key.jsonl"), /404/);
      // Two answers to one item, as from a key pressed twice: one counts.
      const twice = await Promise.allSettled([1, 2].map(() => ask("answer", { position, success: true })));
      assert.deepEqual(twice.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
      assert.equal((await ask("task")).done, 1);
    });
    assert.equal((await readLabels(place.out)).labels.length, 1);
  });
});

Deno.test("label: a file that a crash cut off is mended, others are refused", async () => {
  await withItems(async (place) => {
    const [first, second] = await ids(place);
    const line = (id: string) => `{"id":"${id}","success":true,"labeller":"ann","at":""}\n`;
    await Deno.writeTextFile(place.out, line(first) + line("zzz") + line(second).slice(0, 20));
    await sitting(place, "ann", async (ask, session) => {
      assert.deepEqual(session.notes, [
        "ann has answered 1 of 6 before: going on",
        "answers to 1 item (zzz) that are none of the items' are left out",
        "the last line is cut off and does not count",
      ]);
      await ask("answer", { position: (await ask("task")).position, success: false });
    });
    const { labels, cutOff } = await readLabels(place.out, await ids(place));
    assert.deepEqual([labels.length, cutOff], [2, false]);
    const open = (change: Partial<Place>, labeller = "ann") =>
      LabelSession.open({ ...place, ...change, labeller, seed: 0 });
    await assert.rejects(open({}, " "), /UserError: --labeller must be a name/);
    await assert.rejects(open({ frames: join(place.folder, "none") }), /UserError: cannot read .*none: no such file/);
    await assert.rejects(open({ out: join(place.folder, "no/labels.jsonl") }), /UserError: cannot write to --out/);
    await Deno.writeTextFile(place.out, "something else\nof a user\n");
    await assert.rejects(open({}), /UserError: .*labels\.jsonl, line 1 is not JSON/);
    assert.equal(
      await Deno.readTextFile(place.out),
      "something else\nof a user\n",
      "what is no label file stays as it is",
    );
  });
});

const chromium = findChromium();
Deno.test({
  name: "label: the page in Chromium",
  ignore: chromium === undefined,
  async fn() {
    await withItems(async (place) => {
      await sitting(place, "ann", async (_, session, url) => {
        await using page = await BrowserPage.open(chromium!, url);
        await page.see("document.getElementById('frame').naturalWidth === 32");
        for (const [i, code] of ["KeyY", "KeyN", "KeyS", "KeyU"].entries()) {
          await page.press(code);
          const expected = [[1, 0], [2, 0], [2, 1], [2, 0]][i];
          await page.see(`task.done === ${expected[0]} && task.skipped === ${expected[1]} && !busy`);
        }
        assert.equal(session.task.done, 2);
        for (let left = 4; left > 0; left--) {
          await page.press("KeyY");
          await page.see(`task.done === ${ITEMS - left + 1} && !busy`);
        }
        await page.see("document.getElementById('question').textContent.startsWith('All items')");
        assert.deepEqual(page.problems, []);
      });
    });
  },
});
