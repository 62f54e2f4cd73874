import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { fetchFromHub, type HubOptions, type HubProgress, resolveFolder } from "../../lib/io/hub.ts";
import { isHubName, parseHubName } from "../../lib/io/hub_name.ts";
import { openWeights } from "../../lib/io/safetensors_folder.ts";
import { HubServer, type Repository } from "../support/hub_server.ts";
import { findPythonWith } from "../support/small_transformer.ts";
import { rejectsUserError, withFolder } from "../support/files.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const SOURCE = join(import.meta.dirname!, "../models/fixtures/language/qwen2_untied");
const READ = [
  "chat_template.jinja",
  "config.json",
  "generation_config.json",
  "model-00001-of-00003.safetensors",
  "model-00002-of-00003.safetensors",
  "model-00003-of-00003.safetensors",
  "model.safetensors.index.json",
  "tokenizer.json",
  "tokenizer_config.json",
];
const bytes = new Map(READ.map((name) => [name, Deno.readFileSync(join(SOURCE, name))]));
const LARGE = READ.filter((name) => bytes.get(name)!.length > 5000).length;

function tiny(more: Partial<Repository> = {}): Repository {
  const extra = ["README.md", "pytorch_model.bin", "original/model.safetensors", "model.fp16.safetensors"];
  const files = new Map([...bytes, ...extra.map((name) => [name, new Uint8Array(10)] as const)]);
  return { name: "models/org/tiny", commit: COMMIT, files, ...more };
}

/** Runs with a server and an empty cache. */
async function withHub(
  repositories: Repository[],
  use: (hub: HubServer, options: HubOptions & { home: string }) => Promise<void>,
  variables: Record<string, string> = {},
): Promise<void> {
  await using hub = new HubServer(...repositories);
  await withFolder(async (home) => {
    const values: Record<string, string> = { HF_HOME: home, HF_ENDPOINT: hub.endpoint, ...variables };
    await use(hub, { environment: (name) => values[name], delay: 1, home });
  });
}

async function assertWhole(folder: string): Promise<void> {
  const names = Array.from(Deno.readDirSync(folder), (entry) => entry.name).sort();
  assert.deepEqual(names, READ);
  for (const name of names) assert.deepEqual(await Deno.readFile(join(folder, name)), bytes.get(name), name);
  using weights = await openWeights(folder);
  assert.ok(weights.names.includes("lm_head.weight"));
}

Deno.test("hub names: what they are and what they are not", async () => {
  assert.deepEqual(parseHubName("hub:org/name"), { type: "model", repository: "org/name", revision: "main" });
  assert.deepEqual(parseHubName("hub:gpt2"), { type: "model", repository: "gpt2", revision: "main" });
  assert.deepEqual(parseHubName("hub:datasets/org/na.me@refs/pr/1"), {
    type: "dataset",
    repository: "org/na.me",
    revision: "refs/pr/1",
  });
  for (
    const bad of [
      "hub:",
      "hub:a/b/c",
      "hub:org/name@",
      "hub:../x",
      "hub:org/..",
      "hub:org/na--me",
      "hub:org/name@a..b",
      "hub:org name",
    ]
  ) {
    await rejectsUserError(() => parseHubName(bad), JSON.stringify(bad), "write hub:org/name");
  }
  assert.ok(isHubName("hub:x") && !isHubName("./hub"));
  assert.equal(await resolveFolder("./models/x"), "./models/x");
});

Deno.test("hub: a model is fetched once, into the layout of huggingface_hub, with progress", async () => {
  await withHub([tiny()], async (hub, options) => {
    const seen: HubProgress[] = [];
    const folder = await fetchFromHub("hub:org/tiny", { ...options, onProgress: (progress) => seen.push(progress) });
    const root = join(options.home, "hub/models--org--tiny");
    assert.equal(folder, join(root, "snapshots", COMMIT));
    await assertWhole(folder);
    assert.equal(await Deno.readTextFile(join(root, "refs/main")), COMMIT);
    for (const name of READ) {
      assert.match(await Deno.readLink(join(folder, name)), /^\.\.\/\.\.\/blobs\/([0-9a-f]{40}|[0-9a-f]{64})$/);
    }
    assert.equal([...Deno.readDirSync(join(root, "blobs"))].some(({ name }) => name.endsWith(".incomplete")), false);
    const total = [...bytes.values()].reduce((sum, each) => sum + each.length, 0);
    assert.deepEqual({ received: seen.at(-1)!.received, total: seen.at(-1)!.total }, { received: total, total });
    assert.ok(seen.every(({ received }, i) => i === 0 || received >= seen[i - 1].received));
    assert.equal(hub.downloads.filter(({ server }) => server === "files").length, LARGE);

    // A second time, only questions; by commit, not even these.
    hub.requests.length = 0;
    assert.equal(await fetchFromHub("hub:org/tiny", options), folder);
    assert.deepEqual(hub.downloads, []);
    hub.requests.length = 0;
    assert.equal(await fetchFromHub(`hub:org/tiny@${COMMIT}`, options), folder);
    assert.deepEqual(hub.requests, []);
    // Under its former name: the hub redirects.
    assert.ok((await fetchFromHub("hub:org/renamed", options)).includes("models--org--renamed"));
    assert.equal(await fetchFromHub("hub:org/tiny@refs/pr/1", options), folder);
    assert.equal(await Deno.readTextFile(join(root, "refs/refs/pr/1")), COMMIT);
  });
});

Deno.test("hub: a broken connection is resumed by range, also by a later run", async () => {
  await withHub([tiny()], async (hub, options) => {
    hub.drops = [3000, 2000];
    await assertWhole(await fetchFromHub("hub:org/tiny", options));
    const ranges = hub.downloads.filter(({ range }) => range !== null).map(({ range }) => range);
    assert.deepEqual(ranges, ["bytes=3000-", "bytes=5000-"]);
  });
  await withHub([tiny()], async (hub, options) => {
    hub.drops = [4000];
    await rejectsUserError(
      () => fetchFromHub("hub:org/tiny", { ...options, attempts: 1, onProgress: () => hub.drops.push(0) }),
      /hub:org\/tiny: the connection broke off after \d+ of \d+ bytes .*run it again to go on/,
      "has no complete copy",
    );
    hub.drops = [];
    hub.requests.length = 0;
    await assertWhole(await fetchFromHub("hub:org/tiny", options));
    assert.equal(hub.downloads.filter(({ range }) => range === "bytes=4000-").length, 1);
  });
  await withHub([tiny()], async (hub, options) => {
    hub.drops = [3000];
    hub.ignoresRange = true;
    await assertWhole(await fetchFromHub("hub:org/tiny", options));
  });
});

Deno.test("hub: damaged bytes are fetched anew, and refused when they come again", async () => {
  await withHub([tiny()], async (hub, options) => {
    hub.damages = 1;
    await assertWhole(await fetchFromHub("hub:org/tiny", options));
  });
  await withHub([tiny()], async (hub, options) => {
    hub.damages = 2;
    await rejectsUserError(
      () => fetchFromHub("hub:org/tiny", options),
      /arrives damaged \(its SHA-256 is not [0-9a-f]{64}\)/,
    );
    await assertWhole(await fetchFromHub("hub:org/tiny", options));
  });
});

Deno.test("hub: small files are what git calls them, or what a mirror's SHA-1 says; other names say nothing", async () => {
  const names: ((bytes: Uint8Array) => string)[] = [
    (bytes) => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex"),
    (bytes) => createHash("sha1").update(bytes).digest("hex"),
  ];
  for (const etagOf of names) {
    await withHub([tiny()], async (hub, options) => {
      hub.etagOf = etagOf;
      hub.smallDamages = 1;
      await assertWhole(await fetchFromHub("hub:org/tiny", options));
    });
    await withHub([tiny()], async (hub, options) => {
      hub.etagOf = etagOf;
      hub.smallDamages = 2;
      await rejectsUserError(
        () => fetchFromHub("hub:org/tiny", options),
        /arrives damaged \(its SHA-1 is not [0-9a-f]{40}\)/,
      );
      await assertWhole(await fetchFromHub("hub:org/tiny", options));
    });
  }
  await withHub([tiny()], async (hub, options) => {
    hub.etagOf = (bytes) => `version-${bytes.length}`;
    await assertWhole(await fetchFromHub("hub:org/tiny", options));
  });
});

Deno.test("hub: no redirect leads to another kind of address, and a list of files has an end", async () => {
  await withHub([tiny()], async (hub, options) => {
    for (const location of ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:application/json,{}", "http://["]) {
      hub.list = () => new Response(null, { status: 302, headers: { location } });
      await rejectsUserError(
        () => fetchFromHub("hub:org/tiny", options),
        JSON.stringify(location),
        "not downloaded from",
      );
    }
    const blanks = new Uint8Array(2 ** 20).fill(0x20);
    let sent = 0;
    const pull = (controller: ReadableStreamDefaultController<Uint8Array>) => {
      sent += blanks.length;
      controller.enqueue(blanks);
    };
    hub.list = () => new Response(new ReadableStream({ pull }));
    await rejectsUserError(
      () => fetchFromHub("hub:org/tiny", options),
      "has more than the 67108864 bytes that are read",
    );
    assert.ok(sent < 2 ** 27, `${sent} bytes were sent`);
  });
});

Deno.test("hub: private, gated, missing, busy", async () => {
  const secret = tiny({ name: "models/org/secret", token: "hf_x" });
  await withHub([secret], async (hub, options) => {
    await rejectsUserError(() => fetchFromHub("hub:org/secret", options), "no such repository, or set HF_TOKEN", "401");
    await rejectsUserError(() => fetchFromHub("hub:org/nope", options), "hub:org/nope: there is no such repository");
    await Deno.writeTextFile(join(options.home, "token"), "hf_x\n");
    await assertWhole(await fetchFromHub("hub:org/secret", options));
    assert.ok(hub.requests.some(({ authorization }) => authorization === "Bearer hf_x"));
    assert.ok(hub.requests.every(({ server, authorization }) => server === "hub" || authorization === null));
  });
  await withHub([secret], async (_, options) => {
    await rejectsUserError(() => fetchFromHub("hub:org/secret", options), "the token (HF_TOKEN) has no access");
  }, { HF_TOKEN: "hf_wrong" });
  await withHub([tiny()], async (hub, options) => {
    await rejectsUserError(() => fetchFromHub("hub:org/tiny@v9", options), "it has no revision 'v9'", "404");
    await rejectsUserError(() => fetchFromHub("hub:org/tiny@gated", options), "access must be asked for at", "403");
    hub.failures = { status: 500, left: 3 };
    await assertWhole(await fetchFromHub("hub:org/tiny", options));
    // The hub is down, but all is here.
    hub.failures = { status: 503, left: 1000 };
    await assertWhole(await fetchFromHub("hub:org/tiny", options));
    await rejectsUserError(() => fetchFromHub("hub:org/other", options), "answers 503", "has no complete copy");
  });
  await withHub([tiny({ files: new Map([["pytorch_model.bin", new Uint8Array(3)]]) })], async (_, options) => {
    await rejectsUserError(
      () => fetchFromHub("hub:org/tiny", options),
      "has none of the files",
      "it has pytorch_model.bin",
    );
  });
  await withHub([], async (_, options) => {
    await rejectsUserError(() => fetchFromHub("hub:org/tiny", options), "HF_ENDPOINT must be an address", '"nowhere"');
  }, { HF_ENDPOINT: "nowhere" });
});

Deno.test("hub: without connection the cache is taken if it is complete; otherwise one line", async () => {
  await withHub([tiny()], async (hub, { home, ...options }) => {
    const folder = await fetchFromHub("hub:org/tiny", options);
    const offline = (variables: Record<string, string>): HubOptions => ({
      delay: 1,
      environment: (name) => ({ HF_HOME: home, ...variables })[name],
    });
    const unset = offline({ HF_HUB_OFFLINE: "1" });
    // Nothing listens at port 9.
    const unreachable = offline({ HF_ENDPOINT: "http://127.0.0.1:9" });
    hub.requests.length = 0;
    assert.equal(await fetchFromHub("hub:org/tiny", unset), folder);
    assert.equal(await fetchFromHub("hub:org/tiny", unreachable), folder);
    assert.deepEqual(hub.requests, []);
    await rejectsUserError(() => fetchFromHub("hub:org/else", unset), "hub:org/else is not complete", "HF_HUB_OFFLINE");
    await rejectsUserError(() => fetchFromHub("hub:org/else", unreachable), "http://127.0.0.1:9 cannot be reached");
    await Deno.remove(join(folder, "model-00002-of-00003.safetensors"));
    await rejectsUserError(() => fetchFromHub("hub:org/tiny", unset), "is not complete in the cache");
    await rejectsUserError(() => fetchFromHub("hub:org/tiny", unreachable), "has no complete copy");
    // Its contents are still there, and are linked again.
    await assertWhole(await fetchFromHub("hub:org/tiny", options));
    assert.deepEqual(hub.downloads, []);
  });
});

Deno.test("hub: parquet of a data set; an empty file; files of one's own choice; several at once", async () => {
  const data: Repository = {
    name: "datasets/org/data",
    commit: COMMIT,
    files: new Map([
      ["README.md", new Uint8Array(3)],
      ["data/train-00000-of-00002.parquet", new Uint8Array(9000).fill(7)],
      ["data/train-00001-of-00002.parquet", new Uint8Array(100).fill(8)],
      ["notes/empty.txt", new Uint8Array(0)],
    ]),
  };
  await withHub([data], async (hub, options) => {
    const [folder, again] = await Promise.all([1, 2, 3, 4].map(() => fetchFromHub("hub:datasets/org/data", options)));
    assert.equal(folder, again);
    assert.equal(folder, join(options.home, "hub/datasets--org--data/snapshots", COMMIT));
    assert.equal((await Deno.readFile(join(folder, "data/train-00000-of-00002.parquet"))).length, 9000);
    assert.equal(
      await Deno.readLink(join(folder, "data/train-00001-of-00002.parquet")).then((link) => link.slice(0, 15)),
      "../../../blobs/",
    );
    assert.equal(hub.downloads.length, 2);
    const wanted = (path: string) => path.startsWith("notes/");
    assert.equal(
      await Deno.readTextFile(
        join(await fetchFromHub("hub:datasets/org/data", { ...options, wanted }), "notes/empty.txt"),
      ),
      "",
    );
  });
});

Deno.test("hub: a download can be ended; what has come is kept", async () => {
  await withHub([tiny()], async (_, options) => {
    const controller = new AbortController();
    const onProgress = ({ received }: HubProgress) => received > 3000 && controller.abort(new Error("enough"));
    await assert.rejects(
      () => fetchFromHub("hub:org/tiny", { ...options, signal: controller.signal, onProgress }),
      /enough/,
    );
    await assertWhole(await fetchFromHub("hub:org/tiny", options));
  });
});

const python = await findPythonWith("huggingface_hub");

Deno.test({
  name: "hub: huggingface_hub finds what we fetched, and we what it fetched (needs a Python with it)",
  ignore: python === undefined,
  fn: async () => {
    await withHub([tiny()], async (hub, { home, ...options }) => {
      const run = async (program: string, variables: Record<string, string>) => {
        const { stdout, stderr, success } = await new Deno.Command(python!, {
          args: ["-c", program, ...READ],
          env: { HF_ENDPOINT: hub.endpoint, ...variables },
        }).output();
        assert.ok(success, new TextDecoder().decode(stderr));
        return new TextDecoder().decode(stdout).trim().split("\n").at(-1)!;
      };
      const folder = await fetchFromHub("hub:org/tiny", options);
      const find = "from huggingface_hub import snapshot_download as s; print(s('org/tiny', local_files_only=True))";
      assert.equal(await run(find, { HF_HOME: home, HF_HUB_OFFLINE: "1" }), await Deno.realPath(folder));

      const theirs = join(home, "theirs");
      const fetchAll = "import sys; from huggingface_hub import hf_hub_download as d\n" +
        "for f in sys.argv[1:]: d('org/tiny', f)";
      await run(fetchAll, { HF_HOME: theirs });
      const variables: Record<string, string> = { HF_HOME: theirs, HF_HUB_OFFLINE: "1" };
      await assertWhole(await fetchFromHub("hub:org/tiny", { environment: (name) => variables[name] }));
      hub.requests.length = 0;
      variables.HF_HUB_OFFLINE = "";
      variables.HF_ENDPOINT = hub.endpoint;
      await assertWhole(await fetchFromHub("hub:org/tiny", { environment: (name) => variables[name] }));
      assert.deepEqual(hub.downloads, []);
    });
  },
});
