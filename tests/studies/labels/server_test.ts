/** The labelling page's server: blind, resumable, with answers taken back, several labellers, bad requests, bad files. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readLabelItems, readLabelKey } from "../../../lib/studies/labels/items.ts";
import { agreement, labelProblems, readLabels, successCounts } from "../../../lib/studies/labels/labels.ts";
import { LabelSession } from "../../../lib/studies/labels/session.ts";
import { makePipe } from "../../support/files.ts";
import { BrowserPage, findChromium } from "../../support/browser.ts";
import { ITEMS, type Place, sitting, withItems } from "../../support/labels.ts";

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

Deno.test("label: a picture is looked at again when it is shown; what is none says so, and shows nothing else", async () => {
  await withItems(async (place) => {
    const secret = join(place.folder, "secret.png"), instead = join(place.folder, "instead");
    await sitting(place, "ann", async (ask, _, url, problems) => {
      const { position } = await ask("task");
      const own = (await readLabelItems(place.frames)).items;
      const shown = (await ask("task")).instruction;
      const path = join(place.frames, own.find(({ instruction }) => instruction === shown)!.frame);
      await Deno.copyFile(path, secret);
      const links: Record<string, [make: () => Promise<unknown>, says: RegExp]> = {
        "nothing": [() => Promise.resolve(), /there is no frame/],
        "a link to another picture": [() => Deno.symlink(secret, path), /secret\.png, out of the items' folder/],
        "a link to a device": [() => Deno.symlink("/dev/zero", path), /\/dev\/zero, out of the items' folder/],
        "a link to another text": [() => Deno.symlink(place.key, path), /key\.jsonl, out of the items' folder/],
        "a text": [() => Deno.copyFile(place.key, path), /is no PNG/],
        "a folder": [() => Deno.mkdir(path), /it is a folder, not a file/],
      };
      if (await makePipe(instead)) links["a pipe"] = [() => Deno.rename(instead, path), /it is not a file/];
      for (const [name, [make, says]] of Object.entries(links)) {
        await Deno.remove(path, { recursive: true });
        await make();
        const response = await fetch(`${url}frame/${position}`, { signal: AbortSignal.timeout(10_000) });
        assert.equal(response.status, 500, name);
        assert.equal(await response.text(), "The picture cannot be shown: skip it. The terminal says why.");
        assert.match(problems.pop()!, says, name);
        assert.equal(problems.length, 0);
        if (name === "nothing") await Deno.writeTextFile(path, "");
      }
      await Deno.remove(path);
      await Deno.copyFile(secret, path);
      const again = await fetch(`${url}frame/${position}`);
      assert.deepEqual(await again.bytes(), await Deno.readFile(secret));
      assert.equal((await ask("task")).position, position);
    });
  });
});

const answers = async (path: string) => (await readLabels(path)).labels.length;

Deno.test("label: no answer goes into a file that has been moved, deleted or replaced", async () => {
  await withItems(async (place) => {
    const { out, folder } = place, moved = join(folder, "moved.jsonl");
    const rescued = async () =>
      (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).filter((name) => /rescued/.test(name));
    await sitting(place, "ann", async (ask) => {
      let task = await ask("task");
      const yes = () => ask("answer", { position: task.position, success: true });
      const refused = async (says: RegExp) => {
        for (const work of [yes, () => ask("undo", {})]) {
          await assert.rejects(work(), says);
          assert.deepEqual(await ask("task"), task, "neither answered nor taken back");
        }
      };
      task = await yes();
      task = await yes();
      await Deno.rename(out, moved);
      await refused(/500: .*labels\.jsonl has been moved, and your answers with it: move it back before you answer/);
      assert.deepEqual(await rescued(), []);
      await Deno.writeTextFile(out, "");
      await refused(/500: .*labels\.jsonl has been moved/);
      assert.equal(await Deno.readTextFile(out), "", "nor written into the file of another");
      await Deno.rename(moved, out);
      task = await yes();
      assert.deepEqual([task.done, await answers(out)], [3, 3]);

      await Deno.remove(out);
      await refused(
        /500: .*labels\.jsonl has been deleted .* Your answers so far are in \S+rescued-\d+: rename it to \S+labels\.jsonl/,
      );
      await Deno.writeTextFile(out, "");
      await refused(/500: .*has been deleted or replaced/);
      assert.equal(await Deno.readTextFile(out), "");
    });
    const [name, ...more] = await rescued();
    assert.deepEqual(more, [], "kept once");
    await Deno.rename(join(folder, name), out);
    await sitting(place, "ann", async (ask, session) => {
      assert.deepEqual(session.notes, ["ann has answered 3 of 6 before: going on"]);
      await Deno.remove(folder, { recursive: true });
      await assert.rejects(
        ask("answer", { position: (await ask("task")).position, success: true }),
        /500: .*has been deleted .* cannot be kept \(.*\): start again/,
      );
      await Deno.mkdir(folder);
    });
  });
});

Deno.test("label: a last line without its end gets it; what is no file takes no labels", async () => {
  await withItems(async (place) => {
    const [first] = await ids(place);
    const given = `{"id":"${first}","success":true,"labeller":"bob","at":""}`;
    await Deno.writeTextFile(place.out, given);
    await sitting(place, "ann", async (ask) => {
      await ask("answer", { position: (await ask("task")).position, success: true });
    });
    assert.equal(await answers(place.out), 2);
    assert.ok((await Deno.readTextFile(place.out)).startsWith(`${given}\n{`));
    const open = (out: string, labeller = "ann") => LabelSession.open({ ...place, out, labeller, seed: 0 });
    await assert.rejects(open(place.folder), /UserError: cannot write to --out /);
    const pipe = join(place.folder, "pipe");
    if (await makePipe(pipe)) await assert.rejects(open(pipe), /UserError: cannot read .*pipe: it is not a file/);
    await assert.rejects(open(place.out, "a\x1b[2Jb"), /UserError: --labeller must be a name, .* "a\\u001b\[2Jb"/);
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

Deno.test({
  name: "label: what is in texts is shown as text, and errors reach the page, in Chromium",
  ignore: chromium === undefined,
  async fn() {
    await withItems(async (place) => {
      const instruction = `<b id="made">bold</b><img src=x onerror="document.title='run'">\x1b[2J\u202e&lt;`;
      const [{ frame }] = (await readLabelItems(place.frames)).items;
      await Deno.writeTextFile(
        join(place.frames, "items.jsonl"),
        JSON.stringify({ id: "<script>document.title='run'</script>", instruction, frame }) + "\n",
      );
      await sitting(place, "<i>ann</i>", async (_, session, url) => {
        await using page = await BrowserPage.open(chromium!, url);
        await page.see("document.getElementById('frame').naturalWidth === 32");
        const shown = await page.ask("document.getElementById('question').textContent");
        assert.equal(shown, `“${instruction}” – is it done?`);
        assert.equal(await page.ask("document.getElementById('question').childElementCount"), 0);
        assert.equal(await page.ask("document.title"), "Did the robot do it?");
        await Deno.rename(place.out, `${place.out}.moved`);
        await page.press("KeyY");
        const message = "document.getElementById('message')";
        await page.see(`${message}.textContent.includes('labels.jsonl has been moved, and your answers with it')`);
        assert.equal(await page.ask(`getComputedStyle(${message}).display !== 'none' && task.done === 0`), true);
        await Deno.rename(`${place.out}.moved`, place.out);
        await Deno.writeTextFile(join(place.frames, frame), "no picture");
        await page.send("Page.reload");
        await page.see(`${message}.textContent === 'The picture cannot be shown: skip it. The terminal says why.'`);
        await page.press("KeyY");
        await page.see("task.done === 1 && !busy");
        assert.equal(session.task.done, 1);
      });
    });
  },
});
