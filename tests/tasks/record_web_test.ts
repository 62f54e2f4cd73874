/**
 * `deno task record-web`: errors in one line, the same file for the same seeds; Ctrl-C and pages that misbehave keep what there is.
 *
 * Tests in Chromium are ignored where there is none.
 */
import assert from "node:assert/strict";
import { findChromium } from "../../lib/gyms/chromium/find_chromium.ts";
import { readWebPageRows } from "../../lib/worlds/web_page/parquet.ts";
import { withFolder } from "../support/files.ts";
import { hasChromium } from "../support/chromium.ts";
import { runTask, startTask } from "../support/tiny_run.ts";

Deno.test("record-web: mistakes are one line and exit code 2, and nothing is written", async () => {
  await withFolder(async (folder) => {
    const out = ["--out", `${folder}/x.parquet`];
    for (
      const [args, says] of [
        [[], "--out is missing: name the file to write"],
        [["--out", "/nowhere/x.parquet"], "--out /nowhere/x.parquet: there is no folder /nowhere"],
        [[...out, "--walk", "sideways"], '--walk must be one of random, scripted, mixed: received "sideways"'],
        [[...out, "--browser", "lynx"], '--browser must be one of chromium, simulated: received "lynx"'],
        [[...out, "--seeds", "1,x"], '--seeds must be whole numbers with commas between them: received "1,x"'],
        [[...out, "--seeds", "1,1"], '--seeds must differ: received "1,1"'],
        [
          [...out, "--site", "shop.test"],
          '--site must be an address like http://localhost:8080/: received "shop.test"',
        ],
        [
          [...out, "--site", "http://a.test", "--browser", "simulated"],
          "--browser simulated knows the built-in shop only",
        ],
        [[...out, "--site", "http://a.test", "--walk", "mixed"], "--walk mixed needs the built-in shop's tasks"],
        [[...out, "--allow-host", "a.test"], "--allow-host needs --site"],
        [[...out, "--storage-state", "x.json"], "--storage-state needs --site"],
        [
          [...out, "--site", "http://a.test", "--storage-state", "/nowhere.json"],
          "storage state /nowhere.json is not there: make one with deno task web-login",
        ],
        [[...out, "--page-limit", "0"], '--page-limit must be an integer of at least 1: received "0"'],
        [[...out, "--steps", "0"], '--steps must be an integer of at least 1: received "0"'],
        [[...out, "--stpes", "5"], "did you mean --steps?"],
      ] as const
    ) {
      const { code, stdout, stderr } = await runTask("record_web", [...args]);
      assert.equal(code, 2, stderr);
      assert.equal(stdout, "");
      assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
      assert.ok(stderr.startsWith("error: ") && stderr.includes(says), stderr);
    }
    assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
  });
});

Deno.test("record-web: two shops, checked walks, and the same again", async () => {
  await withFolder(async (folder) => {
    const record = async (name: string) => {
      const out = `${folder}/${name}.parquet`;
      const { code, stdout, stderr } = await runTask("record_web", [
        ...[
          "--browser",
          "simulated",
          "--seeds",
          "3,5",
          "--steps",
          "30",
          "--walk-steps",
          "6",
          "--check",
          "1",
          "--out",
          out,
        ],
      ]);
      assert.equal(code, 0, stderr);
      assert.match(
        stdout,
        /30 transitions of \d+ walks .*\ntaken again: 2 walks with the same pages, 0 with others\n$/,
      );
      return {
        rows: await Array.fromAsync(readWebPageRows(out)),
        summary: JSON.parse(await Deno.readTextFile(`${out}.json`)),
      };
    };
    const [first, again] = [await record("first"), await record("again")];
    assert.equal(first.rows.length, 30);
    // Rows say which file they are of.
    assert.deepEqual(again.rows.map((row) => ({ ...row, file: "" })), first.rows.map((row) => ({ ...row, file: "" })));
    assert.deepEqual([first.summary.seeds, first.summary.transitions, first.summary.walk], [[3, 5], 30, "mixed"]);
  });
});

Deno.test("record-web: walks through a site of one's own are taken again too", { ignore: !hasChromium() }, async () => {
  let visits = 0, counts = false;
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () => {
    const title = counts ? `Visit ${++visits}` : "Still";
    const html = `<!doctype html><title>${title}</title><h1>${title}</h1><a href="/a">One</a> <a href="/b">Two</a>`;
    return new Response(html, { headers: { "content-type": "text/html" } });
  });
  await withFolder(async (folder) => {
    const out = `${folder}/x.parquet`;
    const record = () =>
      runTask("record_web", [
        ...["--site", `http://127.0.0.1:${server.addr.port}/`, "--steps", "3", "--check", "1", "--out", out],
      ]);
    const still = await record();
    assert.equal(still.code, 0, still.stderr);
    assert.match(still.stdout, /taken again: 1 walks with the same pages, 0 with others\n$/);
    counts = true;
    const other = await record();
    assert.equal(other.code, 1, other.stderr);
    assert.match(other.stdout, /taken again: 0 walks with the same pages, 1 with others \(the site was not reset/);
    assert.match(other.stderr, /^walk 0, step \d+, .*: the next page was$/m);
    assert.equal(JSON.parse(await Deno.readTextFile(`${out}.json`)).confirmedWalks, 0);
  });
});

for (const walkSteps of [20, 20_000]) {
  Deno.test(`record-web: Ctrl-C keeps what was recorded, in walks of ${walkSteps}`, async () => {
    await withFolder(async (folder) => {
      const out = `${folder}/web.parquet`;
      const task = startTask("record_web", [
        ...["--browser", "simulated", "--steps", "20000", "--walk-steps", `${walkSteps}`, "--out", out],
      ]);
      let stderr = "", asked = false;
      for await (const text of task.stderr.pipeThrough(new TextDecoderStream())) {
        stderr += text;
        if (!asked && stderr.includes("recording")) {
          asked = true;
          setTimeout(() => task.kill("SIGINT"), 500);
        }
      }
      await task.stdout.cancel();
      assert.equal((await task.status).code, 130, stderr);
      const rows = await Array.fromAsync(readWebPageRows(out));
      assert.ok(rows.length >= 1 && rows.length < 20_000);
      assert.ok(stderr.includes(`stopped: ${rows.length} transitions were kept`), stderr);
    });
  });
}

/** A page that leads to itself, and to an address that is answered only so many times. */
function serveUnsteady(answers: number) {
  let isSilent: () => void;
  const silent = new Promise<void>((resolve) => isSilent = resolve);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ url }) => {
    if (new URL(url).pathname === "/next" && --answers < 0) {
      isSilent();
      return new Promise(() => {});
    }
    const page = `<!doctype html><title>Page</title><a href="/next">Next</a> <a href="/">First</a>`;
    return new Response(page, { headers: { "content-type": "text/html" } });
  });
  const close = () => Promise.race([server.shutdown(), new Promise((resolve) => setTimeout(resolve, 100))]);
  return {
    silent,
    site: `http://127.0.0.1:${server.addr.port}/`,
    [Symbol.asyncDispose]: async () => void await close(),
  };
}

const loose = { ignore: !hasChromium(), sanitizeOps: false, sanitizeResources: false };

Deno.test(
  "record-web: Ctrl-C is heard while a page keeps it waiting, and what was recorded is kept",
  loose,
  async () => {
    await withFolder(async (folder) => {
      await using server = serveUnsteady(1);
      const out = `${folder}/web.parquet`;
      const task = startTask("record_web", [
        "--site",
        server.site,
        "--steps",
        "500",
        "--walk-steps",
        "500",
        "--out",
        out,
      ]);
      const output = task.output();
      await server.silent;
      task.kill("SIGINT");
      const asked = performance.now();
      const { code, stderr } = await output, text = new TextDecoder().decode(stderr);
      assert.equal(code, 130, text);
      // Two seconds, and the browser's end on a busy machine.
      assert.ok(performance.now() - asked < 5000, `${performance.now() - asked} ms: ${text}`);
      const rows = await Array.fromAsync(readWebPageRows(out));
      assert.ok(rows.length >= 1 && text.includes(`stopped: ${rows.length} transitions were kept`), text);
    });
  },
);

Deno.test(
  "record-web: a server that falls silent is no end; the limit of time is a flag, the notes are told",
  loose,
  async () => {
    await withFolder(async (folder) => {
      await using server = serveUnsteady(0);
      const out = `${folder}/web.parquet`, args = ["--site", server.site, "--steps", "6", "--page-limit", "1"];
      const { code, stderr } = await runTask("record_web", [...args, "--check", "1", "--out", out]);
      const summary = JSON.parse(await Deno.readTextFile(`${out}.json`));
      assert.equal(summary.transitions, 6, stderr);
      assert.match(
        Object.keys(summary.notes).join("\n"),
        /had not settled after 1000 ms \(it is loading\): seen as it is/,
      );
      // A site that is not ours to reset is walked through again all the same.
      assert.equal(summary.confirmedWalks + (code === 0 ? 0 : 1), 1, stderr);
    });
  },
);

Deno.test("record-web: an error later on keeps what was recorded before it", loose, async () => {
  await withFolder(async (folder) => {
    await using server = serveUnsteady(1000);
    const out = `${folder}/web.parquet`, program = `${folder}/chromium`;
    // A Chromium that starts once.
    const script = `#!/bin/sh\nmkdir "${folder}/started" || exit 1\nexec "${findChromium()}" "$@"\n`;
    await Deno.writeTextFile(program, script, { mode: 0o755 });
    const args = ["--site", server.site, "--seeds", "0,1", "--steps", "8", "--out", out];
    const { code, stderr } = await runTask("record_web", args, { env: { CHROMIUM: program } });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /ended early: 4 transitions were kept\nerror: Chromium ".*" did not start: /);
    assert.equal((await Array.fromAsync(readWebPageRows(out))).length, 4);
  });
});
