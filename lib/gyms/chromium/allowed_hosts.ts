/**
 * Which addresses a page under test may reach. The list is kept twice: for what is asked of it before a request is made, and as
 * rules of Chromium's resolver, which hold for whatever the browser connects to (redirects, sockets, workers, prefetches, popups).
 */

/** A host as addresses have it: a name in ASCII, or an IPv6 number in brackets; below a star, with a port. */
const HOST_PATTERN = /^((\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:\d+)?$/;

/** A list of hosts. */
export class AllowedHosts {
  private readonly patterns: readonly string[];
  private readonly places: Readonly<Record<string, string>>;

  /**
   * @param patterns Hosts: `shop.test` (the usual port of http and of https only), `127.0.0.1:8080` (that port only), `[::1]`,
   * `*.wikipedia.org` (all below, and itself; their sockets may have other ports, since the resolver's rules cannot say less).
   * @param places Where some of them are really served: `{"shop.test": "127.0.0.1:8080"}`. They are allowed without being listed.
   * @throws {RangeError} When the list is empty or an entry is no host.
   */
  constructor(patterns: readonly string[], places: Readonly<Record<string, string>> = {}) {
    this.places = Object.fromEntries(Object.entries(places).map((pair) => pair.map(hostPattern)));
    this.patterns = [...Object.keys(this.places), ...patterns.map(hostPattern)];
    if (this.patterns.length === 0) {
      throw new RangeError("allowedHosts must name at least one host, like shop.test: received none");
    }
  }

  /** Why an address may not be opened, in one line; undefined when it may. `about:blank` always may. */
  refusal(address: string): string | undefined {
    if (address === "about:blank") return undefined;
    const url = URL.parse(address);
    if (!url) {
      return `${shorten(address)} is not an address: write it with its scheme, like http://${this.patterns[0]}/`;
    }
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      return `${shorten(address)} may not be opened: only http and https addresses may`;
    }
    if (this.patterns.some((pattern) => matches(pattern, url))) return undefined;
    return `${shorten(address)} may not be opened: allowed hosts are ${this.patterns.join(", ")}`;
  }

  /** Whether cookies of a domain may be loaded: those that are sent to a host of the list. `.shop.test` goes to all below it. */
  mayHaveCookiesOf(domain: string): boolean {
    const name = domain.toLowerCase().replace(/^\./, "");
    return this.patterns.map(withoutPort).some((pattern) => {
      const host = pattern.replace(/^\*\./, "");
      return name === host || host.endsWith(`.${name}`) || pattern !== host && name.endsWith(`.${host}`);
    });
  }

  /** Value of Chromium's flag `--host-resolver-rules`: all other names, and all other numbers, lead nowhere. */
  resolverRules(): string {
    const served = Object.entries(this.places).flatMap(([host, place]) =>
      withPorts(host).map((at) => `MAP ${at} ${place}`)
    );
    const others = this.patterns.filter((pattern) => !Object.hasOwn(this.places, pattern));
    // A rule that maps a name to itself ends the search for rules, so the last one does not apply to it.
    const itself = others.filter((pattern) => !pattern.startsWith("*."))
      .flatMap((pattern) => withPorts(pattern).map((at) => `MAP ${at} ${at}`));
    const below = others.filter((pattern) => pattern.startsWith("*."))
      .flatMap((pattern) => [`EXCLUDE ${withoutPort(pattern)}`, `EXCLUDE ${withoutPort(pattern).slice(2)}`]);
    return [...served, ...itself, "MAP * ~NOTFOUND", ...below].join(", ");
  }
}

/** A host as it stands in addresses: small letters, names of other scripts in ASCII (`xn--…`), IPv6 numbers in brackets and short. */
function hostPattern(given: string): string {
  const bracketed = /^[0-9a-f.]*:[0-9a-f.]*:[0-9a-f:.]*$/i.test(given) ? `[${given}]` : given;
  const [, star = "", host, port = ""] = /^(\*\.)?(.+?)(:\d+)?$/.exec(bracketed) ?? [];
  const pattern = star + (URL.parse(`http://${host}/`)?.hostname ?? "") + port;
  if (host !== undefined && !/[\s/?#@\\]/.test(host) && HOST_PATTERN.test(pattern)) return pattern;
  throw new RangeError(
    `allowedHosts must be hosts like shop.test, 127.0.0.1:8080, [::1]:8080 or *.shop.test: received ${
      JSON.stringify(given)
    }`,
  );
}

function matches(pattern: string, url: URL): boolean {
  const [, host, port] = pattern.match(/^(.*?)(?::(\d+))?$/)!;
  const usual = url.protocol === "https:" ? "443" : "80";
  if ((port ?? usual) !== (url.port || usual)) return false;
  if (!host.startsWith("*.")) return url.hostname === host;
  return url.hostname === host.slice(2) || url.hostname.endsWith(host.slice(1));
}

/** A host with its port, or with the usual ones of http and https. */
function withPorts(pattern: string): string[] {
  return /:\d+$/.test(pattern) ? [pattern] : [`${pattern}:80`, `${pattern}:443`];
}

function withoutPort(pattern: string): string {
  return pattern.replace(/:\d+$/, "");
}

function shorten(address: string): string {
  return JSON.stringify(address.length > 120 ? `${address.slice(0, 117)}…` : address);
}
