/**
 * What `install.ts` takes from registries: an npm tarball unpacked, a wheel chosen from a Python index.
 */
import { dirname, join, normalize } from "node:path";
import { UserError } from "../../files/user_error.ts";

/** Unpacks a gzipped npm tarball; the archive's first folder is left away. */
export async function unpackTarball(archive: Uint8Array<ArrayBuffer>, folder: string): Promise<void> {
  const stream = new Blob([archive]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const text = (at: number, length: number) =>
    new TextDecoder().decode(bytes.subarray(at, at + length)).replace(/\0.*$/s, "");
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0;) {
    const size = parseInt(text(at + 124, 12).trim() || "0", 8);
    const prefix = text(at + 345, 155), name = (prefix ? `${prefix}/` : "") + text(at, 100);
    const type = text(at + 156, 1);
    const path = normalize(name.split("/").slice(1).join("/"));
    if (path.startsWith("..") || path.startsWith("/")) {
      throw new UserError(`an archive holds the path ${JSON.stringify(name)}`);
    }
    if (type === "0" || type === "") {
      await Deno.mkdir(dirname(join(folder, path)), { recursive: true });
      await Deno.writeFile(join(folder, path), bytes.subarray(at + 512, at + 512 + size));
    }
    at += 512 + 512 * Math.ceil(size / 512);
  }
}

/** A wheel in an index. */
export interface Wheel {
  name: string;
  url: string;
}

/** The newest Python's Linux wheel of a package's version in an index page's HTML. */
export function wheelOf(html: string, base: string, version: string, arch: string): Wheel | undefined {
  const links = [...html.matchAll(/<a\s[^>]*href="([^"]+)"/g)].map(([, href]) => {
    const url = new URL(href.replaceAll("&amp;", "&"), base);
    url.hash = "";
    return { url: url.href, name: decodeURIComponent(url.pathname.split("/").at(-1)!) };
  });
  const python = (name: string) => Number(/-cp3(\d+)-cp/.exec(name)?.[1] ?? 0);
  return links
    .filter(({ name }) => name.split("-")[1] === version && new RegExp(`manylinux[\\w.]*_${arch}\\.whl$`).test(name))
    .sort((a, b) => python(b.name) - python(a.name))[0];
}

/** Finds a package's wheel for this machine on PyPI. */
export async function chooseWheel(name: string, version: string): Promise<Wheel> {
  const page = `https://pypi.org/simple/${name}/`;
  const response = await fetch(page, { headers: { accept: "text/html" } }).catch((error) => {
    throw new UserError(
      `cannot reach pypi.org (${error.message}): give a wheel that you fetched elsewhere with --wheel`,
    );
  });
  if (!response.ok) throw new UserError(`${page} answered ${response.status}: give a wheel with --wheel`);
  const found = wheelOf(await response.text(), page, version, Deno.build.arch);
  if (!found) {
    throw new UserError(`${page} has no wheel of ${version} for Linux on ${Deno.build.arch}: give one with --wheel`);
  }
  return found;
}
