/** Items to be labelled, and a labeller's sitting with the server, without the page. */
import { join } from "node:path";
import { writeLabelItems } from "../../lib/studies/labels/items.ts";
import { serveLabels } from "../../lib/studies/labels/server.ts";
import { LabelSession, type LabelTask } from "../../lib/studies/labels/session.ts";
import { TableTop } from "../../lib/gyms/table_top/table_top.ts";

/** How many. */
export const ITEMS = 6;

/** Where they are. */
export interface Place {
  frames: string;
  key: string;
  out: string;
  folder: string;
}

/** Runs a test with items in a folder of their own. */
export async function withItems(test: (place: Place) => Promise<void>) {
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

/** A page's requests, without the page. `problems` is what the terminal is told. */
export async function sitting(
  place: Place,
  labeller: string,
  work: (
    ask: (path: string, body?: unknown) => Promise<LabelTask>,
    session: LabelSession,
    url: string,
    problems: string[],
  ) => Promise<void>,
) {
  const stop = new AbortController(), problems: string[] = [];
  using session = await LabelSession.open({ ...place, labeller, seed: 5 });
  const server = serveLabels({ session, port: 0, signal: stop.signal, onProblem: (line) => void problems.push(line) });
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
      problems,
    );
  } finally {
    stop.abort();
    await server.finished;
  }
}
