import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../../../lib/base/user_error.ts";
import { writeZip } from "../../../lib/io/zip.ts";
import { download, sha256OfFile } from "../../../lib/tensor/install/download.ts";
import { installLibtorch, libtorchArchive } from "../../../lib/tensor/install/libtorch.ts";
import { libraryName } from "../../../lib/tensor/torch/location.ts";

const CPU = libraryName("torch_cpu"), C10 = libraryName("c10");

/** Bytes that do not compress away, the same every time. */
function noise(size: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let state = seed;
  for (let i = 0; i < size; i++) bytes[i] = (state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff) >> 16;
  return bytes;
}

const LIBRARIES: [string, Uint8Array][] = [[CPU, noise(300_000, 1)], [C10, noise(5_000, 2)], [
  "libgomp.so.1",
  noise(70, 3),
]];

async function archive(
  folder: string,
  { prefix = "libtorch/lib/", compress = true, leaveOut = "" } = {},
): Promise<string> {
  const path = join(folder, "libtorch.zip");
  const libraries = LIBRARIES.filter(([name]) => name !== leaveOut).map(([name, bytes]) =>
    [prefix + name, bytes] as const
  );
  const others = [["libtorch/include/a.h", noise(9, 4)], [`${prefix}libtorch_python.so`, noise(9, 5)]] as const;
  await writeZip(path, [...libraries, ...others].map(([a, b]) => [a, b]), { compress });
  return path;
}

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map((each) => each.name).sort();
}

/** A server of one file that breaks each connection off after `limit` bytes; remembers the ranges it was asked for. */
function serve(bytes: Uint8Array<ArrayBuffer>, limit: number, { ranges = true, etag = '"v1"' } = {}) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const asked: string[] = [], state = { etag, limit };
  const answer = async (connection: Deno.Conn) => {
    try {
      const buffer = new Uint8Array(8192);
      const head = new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer) ?? 0));
      const range = /^range: bytes=(\d+)-/im.exec(head), condition = /^if-range: (.*)\r$/im.exec(head);
      asked.push(range?.[1] ?? "all");
      const from = ranges && range && condition?.[1] === state.etag ? Number(range[1]) : 0;
      const lines = [
        from > 0 ? "HTTP/1.1 206 Partial Content" : "HTTP/1.1 200 OK",
        `content-length: ${bytes.length - from}`,
        `etag: ${state.etag}`,
        ...(from > 0 ? [`content-range: bytes ${from}-${bytes.length - 1}/${bytes.length}`] : []),
        "connection: close",
      ];
      const body = bytes.subarray(from, Math.min(bytes.length, from + state.limit));
      const answer = new Uint8Array([...new TextEncoder().encode(lines.join("\r\n") + "\r\n\r\n"), ...body]);
      for (let done = 0; done < answer.length;) done += await connection.write(answer.subarray(done));
    } finally {
      connection.close();
    }
  };
  const running = (async () => {
    for await (const connection of listener) answer(connection).catch(() => {});
  })();
  const { port } = listener.addr as Deno.NetAddr;
  return {
    url: `http://127.0.0.1:${port}/libtorch-shared-2.13.0%2Bcpu.zip`,
    asked,
    state,
    close: async () => {
      listener.close();
      await running;
    },
  };
}

Deno.test("an archive's libraries are installed, and nothing else of it", async () => {
  for (const prefix of ["libtorch/lib/", "torch/lib/"]) {
    for (const compress of [true, false]) {
      await inFolder(async (folder) => {
        const from = await archive(folder, { prefix, compress });
        const stages: string[] = [];
        const done = await installLibtorch({ from, cache: folder, onProgress: (stage) => stages.push(stage) });
        assert.equal(done.already, false);
        assert.equal(done.cuda, "none");
        assert.equal(done.bytes, LIBRARIES.reduce((sum, [, bytes]) => sum + bytes.length, 0));
        assert.deepEqual(names(done.folder), LIBRARIES.map(([name]) => name).sort());
        for (const [name, bytes] of LIBRARIES) assert.deepEqual(Deno.readFileSync(join(done.folder, name)), bytes);
        assert.ok(stages.includes("unpack"));
        assert.deepEqual(names(folder), ["libtorch", "libtorch.zip"]);
      });
    }
  }
});

Deno.test("an installation that is there is left alone unless it is to be replaced", async () => {
  await inFolder(async (folder) => {
    const from = await archive(folder);
    const { folder: libraries } = await installLibtorch({ from, cache: folder });
    Deno.writeFileSync(join(libraries, CPU), noise(10, 9));
    assert.equal((await installLibtorch({ from, cache: folder })).already, true);
    assert.equal(Deno.statSync(join(libraries, CPU)).size, 10);
    assert.equal((await installLibtorch({ from, cache: folder, force: true })).already, false);
    assert.equal(Deno.statSync(join(libraries, CPU)).size, 300_000);
    assert.deepEqual(names(folder), ["libtorch", "libtorch.zip"]);
  });
});

Deno.test("a damaged archive, a wrong one, or a failing check leaves what was there", async () => {
  await inFolder(async (folder) => {
    const good = await archive(folder);
    const { folder: libraries } = await installLibtorch({ from: good, cache: folder });
    const before = Deno.readFileSync(join(libraries, CPU));
    const bytes = Deno.readFileSync(good);
    const damaged: [string, Uint8Array][] = [];
    for (const at of [100, 1000, 200_000]) {
      const copy = bytes.slice();
      copy[at] ^= 0x40;
      damaged.push([`byte ${at}`, copy]);
    }
    damaged.push(["cut off", bytes.subarray(0, 100_000)], ["empty", new Uint8Array(0)]);
    for (const [what, content] of damaged) {
      const path = join(folder, "bad.zip");
      Deno.writeFileSync(path, content);
      await assert.rejects(installLibtorch({ from: path, cache: folder, force: true }), UserError, what);
      assert.deepEqual(Deno.readFileSync(join(libraries, CPU)), before, what);
      assert.deepEqual(names(folder), ["bad.zip", "libtorch", "libtorch.zip"], what);
    }
    const without = await archive(await Deno.makeTempDir({ dir: folder }), { leaveOut: C10 });
    await assert.rejects(
      installLibtorch({ from: without, cache: folder, force: true }),
      (error: Error) => error instanceof UserError && error.message.includes(`holds no ${C10}`),
    );
    const check = () => {
      throw new UserError("does not load");
    };
    await assert.rejects(installLibtorch({ from: good, cache: folder, force: true, check }), /does not load/);
    assert.deepEqual(Deno.readFileSync(join(libraries, CPU)), before);
  });
});

Deno.test("a download goes on where the connection broke off", async () => {
  await inFolder(async (folder) => {
    const bytes = Deno.readFileSync(await archive(folder));
    const server = serve(bytes, 60_000);
    try {
      const done = await installLibtorch({ from: server.url, cache: folder });
      assert.deepEqual(Deno.readFileSync(join(done.folder, CPU)), LIBRARIES[0][1]);
      assert.equal(server.asked[0], "all");
      assert.ok(
        server.asked.length > 2 && server.asked.slice(1).every((each) => Number(each) > 0),
        server.asked.join(),
      );
      assert.deepEqual(names(join(folder, "downloads")), []);
    } finally {
      await server.close();
    }
  });
});

Deno.test("a later run goes on too, but not with another version of the file", async () => {
  await inFolder(async (folder) => {
    const bytes = noise(50_000, 7), path = join(folder, "file");
    const server = serve(bytes, 20_000);
    try {
      server.state.limit = 20_000;
      const stop = new AbortController();
      const first = download(server.url, path, {
        signal: stop.signal,
        onProgress: (received) => received >= 20_000 && stop.abort(new UserError("stopped")),
      });
      await assert.rejects(first);
      assert.equal(Deno.statSync(`${path}.part`).size >= 20_000, true);
      server.state.etag = '"v2"';
      server.state.limit = bytes.length;
      await download(server.url, path);
      assert.deepEqual(Deno.readFileSync(path), bytes);
      assert.deepEqual(names(folder), ["file"]);
    } finally {
      await server.close();
    }
  });
});

Deno.test("a server without ranges is read from the start", async () => {
  await inFolder(async (folder) => {
    const bytes = noise(40_000, 8), path = join(folder, "file");
    const server = serve(bytes, 15_000, { ranges: false });
    try {
      await assert.rejects(
        download(server.url, path, { attempts: 2, delay: 1 }),
        (error: Error) => error instanceof UserError && /bytes are kept: run it again to go on/.test(error.message),
      );
      server.state.limit = bytes.length;
      await download(server.url, path);
      assert.deepEqual(Deno.readFileSync(path), bytes);
    } finally {
      await server.close();
    }
  });
});

Deno.test("without a network the message is one line that says what to do", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  await inFolder(async (folder) => {
    await assert.rejects(
      download(`http://127.0.0.1:${port}/x.zip`, join(folder, "x"), { attempts: 1 }),
      (error: Error) =>
        error instanceof UserError && error.message.startsWith(`cannot download http://127.0.0.1:${port}/x.zip`),
    );
  });
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    () => new Response("no", { status: 404 }),
  );
  await inFolder(async (folder) => {
    const from = `http://127.0.0.1:${server.addr.port}/x.zip`;
    await assert.rejects(installLibtorch({ from, cache: folder }), (error: Error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, /the server answers 404 Not Found\. Without that server: pip install torch/);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
  });
  await server.shutdown();
});

Deno.test("PyTorch's archives: for CPUs the wheel that its index states, for CUDA the zip, or none", async () => {
  const cuda = await libtorchArchive("cu130", "2.11.0", { os: "linux", arch: "x86_64" });
  assert.deepEqual(cuda, {
    url: "https://download.pytorch.org/libtorch/cu130/libtorch-shared-with-deps-2.11.0%2Bcu130.zip",
  });
  const refused = (
    build: "cpu" | "cu130",
    version: string,
    os: "windows" | "darwin" | "linux",
    arch: "x86_64" | "aarch64",
  ) => libtorchArchive(build, version, { os, arch });
  await assert.rejects(refused("cpu", "2.13.0", "windows", "x86_64"), /on Windows use WSL/);
  await assert.rejects(refused("cu130", "2.13.0", "darwin", "aarch64"), /PyTorch publishes no LibTorch/);
  await assert.rejects(refused("cu130", "2.13.0", "linux", "aarch64"), /PyTorch publishes no LibTorch/);
  await assert.rejects(refused("cpu", "2.9.1", "linux", "x86_64"), /--version must be 2\.10\.0 or newer/);
  await assert.rejects(
    refused("cpu", "../../x", "linux", "x86_64"),
    /--version must look like 2\.13\.0: received "\.\.\/\.\.\/x"/,
  );

  const sum = "ab".repeat(32);
  const page = ["2.13.0%2Bcpu-cp310-cp310-manylinux_2_28_x86_64", "2.13.0%2Bcpu-cp314-cp314t-manylinux_2_28_x86_64"]
    .map((name) => `<a href="/whl/cpu/torch-${name}.whl#sha256=${sum}" data-x="y">torch</a><br/>`).join("\n");
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) =>
      new URL(request.url).pathname === "/whl/cpu/torch/" ? new Response(page) : new Response("", { status: 404 }),
  );
  const at = `http://127.0.0.1:${server.addr.port}`;
  assert.deepEqual(await libtorchArchive("cpu", "2.13.0", { os: "linux", arch: "x86_64", server: at }), {
    name: "torch-2.13.0+cpu-cp314-cp314t-manylinux_2_28_x86_64.whl",
    url: `${at}/whl/cpu/torch-2.13.0%2Bcpu-cp314-cp314t-manylinux_2_28_x86_64.whl`,
    sha256: sum,
  });
  await assert.rejects(
    libtorchArchive("cpu", "2.12.0", { os: "linux", arch: "x86_64", server: at }),
    /no wheel of 2\.12\.0\+cpu with a SHA-256 for linux on x86_64: pip install torch/,
  );
  await assert.rejects(
    libtorchArchive("cpu", "2.13.0", { os: "linux", arch: "x86_64", server: `${at}/elsewhere` }),
    /answered 404: pip install torch/,
  );
  await server.shutdown();
  await assert.rejects(
    libtorchArchive("cpu", "2.13.0", { os: "linux", arch: "x86_64", server: at }),
    /cannot reach 127\.0\.0\.1:\d+ .*: pip install torch/,
  );
});

Deno.test("an archive that is not what was stated is not installed, and nothing of it is kept", async () => {
  await inFolder(async (folder) => {
    const from = await archive(folder), bytes = Deno.readFileSync(from);
    const right = await sha256OfFile(from), wrong = right.replace(/^./, (digit) => digit === "0" ? "1" : "0");
    const server = serve(bytes, bytes.length);
    try {
      for (
        const options of [{ from, sha256: wrong }, { from: server.url, sha256: wrong }, {
          from: `${server.url}#sha256=${wrong}`,
        }]
      ) {
        await assert.rejects(
          installLibtorch({ ...options, cache: join(folder, "cache") }),
          (error: Error) =>
            error instanceof UserError && error.message.includes(`its SHA-256 is ${right} where ${wrong} was stated`),
        );
      }
      assert.deepEqual(names(join(folder, "cache", "downloads")), []);
      await assert.rejects(
        installLibtorch({ from, sha256: "12", cache: folder }),
        /must have 64 hexadecimal digits: received "12"/,
      );
      // One that lies there from an earlier run is checked as well.
      const done = await installLibtorch({
        from: server.url,
        sha256: right.toUpperCase(),
        cache: join(folder, "cache"),
      });
      assert.deepEqual(done.archive, { sha256: right, isVerified: true });
      const again = await installLibtorch({ from, cache: folder });
      assert.deepEqual(again.archive, { sha256: right, isVerified: false });
      const path = join(folder, "lying there");
      await Deno.writeTextFile(path, "something else");
      await download(server.url, path, { sha256: right });
      assert.deepEqual(Deno.readFileSync(path), bytes);
    } finally {
      await server.close();
    }
  });
});

Deno.test("nothing is downloaded by plain http from elsewhere, nor where a redirect leads to it", async () => {
  const message = /is not downloaded from: anybody on the way could change what comes; use an https address/;
  await inFolder(async (folder) => {
    await assert.rejects(installLibtorch({ from: "http://example.com/x.zip", cache: folder }), message);
    await assert.rejects(download("HTTP://127.0.0.1.example.com/x.zip", join(folder, "x")), message);
    await assert.rejects(download("ftp://127.0.0.1/x.zip", join(folder, "x")), message);
    let asked = 0;
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
      asked++;
      const { pathname, origin } = new URL(request.url);
      return pathname === "/loop" ? Response.redirect(`${origin}/loop`) : Response.redirect("http://192.0.2.1/x.zip");
    });
    const at = `http://127.0.0.1:${server.addr.port}`;
    await assert.rejects(download(`${at}/x.zip`, join(folder, "x")), message);
    await assert.rejects(download(`${at}/loop`, join(folder, "x")), /too many redirects/);
    assert.ok(asked < 30, `${asked} requests`);
    await server.shutdown();
    assert.deepEqual(names(folder), ["downloads"]);
  });
});
