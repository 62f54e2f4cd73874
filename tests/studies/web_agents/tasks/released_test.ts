/**
 * What looks at pages, against the released evaluators themselves (`fixtures/make_released.py`): helpers that tasks call, `lambda:`
 * locators, inequalities, likeness of pictures.
 *
 * The first two are ignored where there is no Chromium.
 */
import assert from "node:assert/strict";
import { openChromium } from "../../../../lib/gyms/chromium/chromium.ts";
import { evaluateTask } from "../../../../lib/studies/web_agents/tasks/evaluators.ts";
import { readLambda } from "../../../../lib/studies/web_agents/tasks/lambda_locator.ts";
import {
  greyPixels,
  type Picture,
  structuralSimilarity,
} from "../../../../lib/studies/web_agents/tasks/page_pictures.ts";
import { readHelperCall } from "../../../../lib/studies/web_agents/tasks/task_helpers.ts";
import { isWithin } from "../../../../lib/studies/web_agents/tasks/text_matches.ts";
import type { ImageCheck, WebTask } from "../../../../lib/worlds/web_page/web_task.ts";
import { hasChromium } from "../../../support/chromium.ts";

const CASES: {
  pages: Record<string, string>;
  calls: [page: string, helper: string, args: string[], result: string][];
  lambdas: [page: string, locator: string, result: string][];
  numbers: [inequality: string, value: string, holds: 0 | 1][];
  pictures: string[];
  likeness: [first: number, second: number, similarity: number][];
} = JSON.parse(await Deno.readTextFile(new URL("./fixtures/released.json", import.meta.url)));

const PICTURES = CASES.pictures.map((each) => Uint8Array.fromBase64(each));

/** The fixture's pages, its pictures, and a page with two of them. */
function servePages() {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const [, folder, name] = new URL(request.url).pathname.split("/");
    if (folder === "picture") return new Response(PICTURES[Number(name)], { headers: { "content-type": "image/png" } });
    const html = folder === "gallery"
      ? `<img src="/picture/2"><div class="photos"><img src="/picture/0"><p>text</p></div><img src="gone.png" class="photos">`
      : CASES.pages[name];
    return new Response(`<!doctype html>${html}`, { headers: { "content-type": "text/html" } });
  });
  const host = `127.0.0.1:${server.addr.port}`;
  return { host, base: `http://${host}`, [Symbol.asyncDispose]: () => server.shutdown() };
}

Deno.test("released evaluators: helpers find on pages what theirs do", { ignore: !hasChromium() }, async () => {
  await using server = servePages();
  await using browser = await openChromium({ allowedHosts: [server.host], settling: { quiet: 20 } });
  let current = "";
  for (const [page, name, args, expected] of CASES.calls) {
    if (page !== current) await browser.reset([`${server.base}/page/${current = page}`]);
    const call = readHelperCall(`func:${name}(__page__${args.map((each) => `, '${each}'`).join("")})`);
    const found = await call.helper(call.args, { read: (expression) => browser.locate(expression) });
    assert.equal(found, expected, `${name}(${args}) of ${page}`);
  }
});

Deno.test(
  "released evaluators: lambda: locators find on pages what theirs do",
  { ignore: !hasChromium() },
  async () => {
    await using server = servePages();
    await using browser = await openChromium({ allowedHosts: [server.host], settling: { quiet: 20 } });
    let current = "";
    for (const [page, locator, expected] of CASES.lambdas) {
      if (page !== current) await browser.reset([`${server.base}/page/${current = page}`]);
      assert.equal(await browser.locate(readLambda(locator)), expected, locator);
    }
  },
);

Deno.test("released evaluators: a check with a lambda: that finds nothing fails, whatever it asks", {
  ignore: !hasChromium(),
}, async () => {
  await using server = servePages();
  await using browser = await openChromium({ allowedHosts: [server.host], settling: { quiet: 20 } });
  await browser.reset([`${server.base}/page/product`]);
  const judged = async (locator: string, required: Record<string, unknown>) => {
    const programHtml = [{ url: "last", locator, required: required as { mustExclude: string[] } }];
    return (await evaluateTask(taskWith({ types: ["program_html"], programHtml }), { browser, answer: "" })).success;
  };
  const price =
    "lambda:(() => { res = parseFloat(document.querySelector('.price-box').innerText.substr(1)); return res })()";
  assert.equal(await judged(price, { requiredValues: [">= 60", "< 70"] }), 1);
  assert.equal(await judged(price, { requiredValues: ["< 60 |OR| > 80"] }), 0);
  assert.equal(await judged("lambda: document.querySelector('.none').title", { mustExclude: ["x"] }), 0);
  assert.equal(await judged("func:get_query_text(__page__, '.none')", { mustExclude: ["x"] }), 1);
});

Deno.test("lambda: locators outside the grammar are refused", () => {
  const refused = [
    ["lambda: fetch('http://elsewhere.test')", /fetch is not known/],
    ["lambda: document.cookie", /\.cookie may not be read/],
    ["lambda: document.querySelector('a').click()", /\.click may not be read/],
    ["lambda: document.title.constructor", /\.constructor may not be read/],
    ["lambda: Array(1000000000)", /Array is not known/],
    ["lambda: document['cookie']", /at "'cookie'\]"/],
    ["lambda: `${document.title}`", /at "`/],
    ["lambda: document.title = 'x'", /at "= 'x'"/],
    ["lambda:(() => { document.title = 'x' })()", /= was to follow/],
    ["lambda:(() => { while (true) {} })()", /= was to follow/],
    ["lambda: 'a\nb'", /it is not of the grammar/],
    ["lambda: ({})", /it is not of the grammar/],
    ["lambda:" + "(".repeat(10_000), /nested more than 50 deep/],
    ["lambda:", /at the end/],
  ] as const;
  for (const [locator, message] of refused) {
    assert.throws(
      () => readLambda(locator),
      (error: Error) => error instanceof SyntaxError && message.test(error.message),
      locator,
    );
  }
  // What stands in strings is written anew, so that it cannot end one.
  assert.equal(
    readLambda(`lambda: document.querySelector('a"); x("\\u2028')`),
    `(document.querySelector("a\\"); x(\\"\u2028")) || ""`,
  );
});

Deno.test("released evaluators: inequalities", () => {
  for (const [inequality, value, holds] of CASES.numbers) {
    assert.equal(isWithin(inequality, value), holds === 1, `${value} ${inequality}`);
  }
  // A text of a broken number is a number here.
  assert.equal(isWithin("< 70", "69.50"), true);
});

Deno.test("released evaluators: likeness of pictures", async () => {
  for (const [a, b, expected] of CASES.likeness) {
    const found = await structuralSimilarity(await greyPixels(PICTURES[a]), await greyPixels(PICTURES[b]));
    const first = await greyPixels(PICTURES[a]), second = await greyPixels(PICTURES[b]);
    // Pillow and libvips resize alike, not equally.
    const tolerance = first.width === second.width && first.height === second.height ? 1e-9 : 0.02;
    assert.ok(Math.abs(found - expected) < tolerance, `${a}, ${b}: ${found}, there ${expected}`);
  }
});

function taskWith(evaluation: Partial<WebTask["evaluation"]>): WebTask {
  return {
    taskId: 7,
    sites: [],
    intent: "Do it.",
    startUrls: ["http://shop.test/"],
    requiresReset: false,
    requiresLogin: false,
    evaluation: { types: [], urlNote: "EXACT", ...evaluation },
  };
}

Deno.test("page_image_query: pictures of a page are asked about and compared", { ignore: !hasChromium() }, async () => {
  await using server = servePages();
  await using browser = await openChromium({ allowedHosts: [server.host], settling: { quiet: 20 } });
  await browser.reset([`${server.base}/gallery`]);
  const asked: [Picture, string][] = [];
  const pictureJudge = (picture: Picture, question: string) => {
    asked.push([picture, question]);
    return Promise.resolve(question === "Is it blue?" ? "No." : "Yes, it is");
  };
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(`${folder}/same.png`, PICTURES[1]);
    const check: ImageCheck = { url: "last", selector: ".photos", questions: [], sameAs: [], threshold: 0.9 };
    const judged = async (changes: Partial<ImageCheck>) => {
      const task = taskWith({ types: ["page_image_query"], pageImages: [{ ...check, ...changes }] });
      return await evaluateTask(task, { browser, answer: "", pictureJudge });
    };
    const question = { question: "Is it green?", answer: "yes" };
    assert.equal((await judged({ questions: [question] })).success, 1);
    assert.deepEqual(asked, [[{ bytes: PICTURES[0], type: "image/png" }, "Is it green?"]], "one of the two has a file");
    assert.equal((await judged({ questions: [question, { question: "Is it blue?", answer: "yes" }] })).success, 0);
    assert.equal((await judged({ sameAs: [`${folder}/same.png`] })).success, 1);
    assert.equal((await judged({ sameAs: [`${server.base}/picture/2`] })).success, 0);
    assert.equal((await judged({ selector: "", sameAs: [`${server.base}/picture/2`] })).success, 1);
    assert.equal((await judged({ url: `${server.base}/page/empty`, questions: [question] })).success, 0);
    await assert.rejects(judged({ sameAs: [`${folder}/none.png`] }), /task_id 7: picture .*none\.png is not there/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
