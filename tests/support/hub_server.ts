/**
 * A small server that behaves as the Hugging Face hub does: large files lie behind a redirect to another server, small ones
 * do not; every answer states its commit; and it fails in the ways that the hub does, when told to.
 */
import { createHash } from "node:crypto";

/** A repository of the server. */
export interface Repository {
  /** `models/org/name` or `datasets/org/name`. */
  name: string;
  commit: string;
  /** By path; those of more than 5,000 bytes are large files. */
  files: Map<string, Uint8Array>;
  /** Needed to see it. */
  token?: string;
}

/** What went over the wire. */
export interface Request {
  server: "hub" | "files";
  method: string;
  path: string;
  range: string | null;
  authorization: string | null;
}

export class HubServer implements AsyncDisposable {
  readonly requests: Request[] = [];
  /** Answers of this status, as many as stated, before the hub works. */
  failures = { status: 500, left: 0 };
  /** The file server breaks off after these many bytes of a file, once for each entry. */
  drops: number[] = [];
  /** The file server sends other bytes of the same length, so many times. */
  damages = 0;
  /** The hub does so with small files. */
  smallDamages = 0;
  /** Names of small files' contents: the hub's are git's. */
  etagOf = (bytes: Uint8Array): string =>
    createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
  /** Answers to the question which files there are, in place of the right one. */
  list?: () => Response;
  /** The file server does not know ranges. */
  ignoresRange = false;
  readonly #repositories: Repository[];
  readonly #hub: Deno.HttpServer<Deno.NetAddr>;
  readonly #files: Deno.HttpServer<Deno.NetAddr>;

  constructor(...repositories: Repository[]) {
    this.#repositories = repositories;
    const options = {
      port: 0,
      hostname: "127.0.0.1",
      onListen: () => {},
      onError: () => new Response(null, { status: 500 }),
    };
    this.#hub = Deno.serve(options, (request) => this.#answer(request));
    this.#files = Deno.serve(options, (request) => this.#send(request));
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#hub.addr.port}`;
  }

  /** Requests so far for bytes of files. */
  get downloads(): Request[] {
    return this.requests.filter(({ method, path }) => method === "GET" && !path.startsWith("/api/"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hub.shutdown();
    await this.#files.shutdown();
  }

  #log(server: Request["server"], request: globalThis.Request): string {
    const path = decodeURIComponent(new URL(request.url).pathname);
    const { headers, method } = request;
    this.requests.push({
      server,
      method,
      path,
      range: headers.get("range"),
      authorization: headers.get("authorization"),
    });
    return path;
  }

  #answer(request: globalThis.Request): Response {
    const path = this.#log("hub", request);
    if (this.failures.left > 0) {
      this.failures.left--;
      return new Response("busy", { status: this.failures.status });
    }
    if (path.startsWith("/org/renamed/") || path.startsWith("/api/models/org/renamed/")) {
      return new Response(null, { status: 307, headers: { location: path.replace("renamed", "tiny") } });
    }
    const repository = this.#repositories.find(({ name }) =>
      path.startsWith(`/api/${name}/`) || path.startsWith(`/${name.replace(/^models\//, "")}/resolve/`)
    );
    const refuse = (status: number, code: string) => new Response(null, { status, headers: { "x-error-code": code } });
    const isAllowed = repository &&
      (!repository.token || request.headers.get("authorization") === `Bearer ${repository.token}`);
    if (!isAllowed) return refuse(401, "RepoNotFound");
    const { commit, files } = repository;
    if (path.startsWith("/api/")) {
      const revision = path.split("/revision/")[1];
      if (revision === "gated") return refuse(403, "GatedRepo");
      if (![commit, "main", "refs/pr/1", "refs/convert/parquet"].includes(revision)) {
        return refuse(404, "RevisionNotFound");
      }
      if (this.list) return this.list();
      return Response.json({
        sha: commit,
        siblings: [...files.keys(), "../evil", "/etc/x"].map((rfilename) => ({ rfilename })),
      });
    }
    const file = path.split("/resolve/")[1].replace(/^(main|[0-9a-f]{40})\//, "");
    const bytes = files.get(file);
    if (!bytes) return refuse(404, "EntryNotFound");
    const headers: Record<string, string> = { "x-repo-commit": commit };
    if (bytes.length <= 5000) {
      headers.etag = `"${this.etagOf(bytes)}"`;
      headers["content-length"] = String(bytes.length);
      if (request.method === "HEAD") return new Response(null, { headers });
      const isDamaged = this.smallDamages > 0 && this.smallDamages-- > 0;
      return new Response((isDamaged ? bytes.map((byte) => byte ^ 1) : bytes) as BodyInit, { headers });
    }
    headers["x-linked-etag"] = `"${createHash("sha256").update(bytes).digest("hex")}"`;
    headers["x-linked-size"] = String(bytes.length);
    headers.etag = `"something-else"`;
    headers.location = `http://localhost:${this.#files.addr.port}/${repository.name}/${file}?signature=1`;
    return new Response(null, { status: 302, headers });
  }

  #send(request: globalThis.Request): Response {
    const path = this.#log("files", request);
    // Addresses with a signature refuse a second way to identify.
    if (request.headers.has("authorization")) return new Response("two identities", { status: 400 });
    const repository = this.#repositories.find(({ name }) => path.startsWith(`/${name}/`))!;
    let bytes = repository.files.get(path.slice(repository.name.length + 2))!;
    const start = this.ignoresRange ? 0 : Number(/^bytes=(\d+)-/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
    if (this.damages > 0) {
      this.damages--;
      bytes = bytes.map((byte, i) => i === bytes.length - 1 ? byte ^ 1 : byte);
    }
    const part = bytes.subarray(start);
    const headers: Record<string, string> = { "content-length": String(part.length) };
    if (start > 0) headers["content-range"] = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
    const drop = this.drops.shift();
    if (drop === undefined) return new Response(part as BodyInit, { status: start > 0 ? 206 : 200, headers });
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        controller.enqueue(part.slice(0, drop));
        // What has been sent must be on its way before the connection goes.
        await new Promise((resolve) => setTimeout(resolve, 50));
        controller.error(new Error("dropped"));
      },
    });
    return new Response(body, { status: start > 0 ? 206 : 200, headers });
  }
}
