/**
 * A page that tries to reach servers outside of the allow-list by every way that a browser has. They listen on this machine, and
 * nothing may arrive: no connection and no datagram.
 *
 * Ignored where there is no Chromium.
 */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { openChromium } from "../../../lib/gyms/chromium/chromium.ts";
import { hasChromium } from "../../support/chromium.ts";

const options = { ignore: !hasChromium(), sanitizeOps: false, sanitizeResources: false };

/** A port that nobody may reach, by TCP and by UDP; what came is kept. */
async function trap(): Promise<{ port: number; arrived: string[]; close(): void }> {
  const arrived: string[] = [];
  const tcp = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  const { port } = tcp.addr as Deno.NetAddr;
  (async () => {
    for await (const connection of tcp) {
      const bytes = new Uint8Array(400);
      const count = await connection.read(bytes).catch(() => 0);
      arrived.push(`tcp ${JSON.stringify(new TextDecoder().decode(bytes.subarray(0, count ?? 0)).split("\r\n")[0])}`);
      connection.close();
    }
  })().catch(() => {});
  const udp = createSocket("udp4");
  udp.on("message", (bytes) => arrived.push(`udp ${bytes.length} bytes`));
  await new Promise<void>((resolve) => udp.bind(port, "0.0.0.0", resolve));
  const close = () => {
    tcp.close();
    udp.close();
  };
  return { port, arrived, close };
}

/** Addresses of this machine: WebRTC takes the loopback for no network. */
const ADDRESSES = ["127.0.0.1", "localhost", "other.test"].concat(
  Object.values(networkInterfaces()).flat().filter((each) => each?.family === "IPv4" && !each.internal)
    .slice(0, 1).map((each) => each!.address),
);

/** Every attempt, to one address; run in the page. Each catches its own errors. Windows take long: to the first address only. */
const ATTEMPTS = `
const tries = {
  fetch: () => fetch(at("fetch"), { mode: "no-cors" }),
  keepalive: () => fetch(at("keepalive"), { mode: "no-cors", keepalive: true, method: "POST", body: "x" }),
  xhr: () => { const x = new XMLHttpRequest(); x.open("POST", at("xhr")); x.send("x"); },
  beacon: () => navigator.sendBeacon(at("beacon"), "x"),
  image: () => { new Image().src = at("image"); },
  ping: () => { add("a", { href: "#here", ping: at("ping") }).click(); },
  ...Object.fromEntries(["dns-prefetch", "preconnect", "prefetch", "prerender", "preload", "modulepreload", "stylesheet", "icon",
    "manifest", "compression-dictionary"].map((rel) => ["link " + rel, () => add("link", { rel, href: at(rel), as: "script" })])),
  speculation: () => add("script", { type: "speculationrules", textContent: JSON.stringify({
    prefetch: [{ urls: [at("speculation")] }], prerender: [{ urls: [at("prerender")] }] }) }),
  script: () => add("script", { src: at("script") }),
  module: () => import(at("module")),
  socket: () => new WebSocket(at("socket").replace("http", "ws")),
  "secure socket": () => new WebSocket(at("wss").replace("http", "wss")),
  events: () => new EventSource(at("events")),
  worker: () => new Worker(blob(WORKER)),
  "shared worker": () => new SharedWorker(blob(WORKER)),
  "service worker": () => navigator.serviceWorker.register("/worker.js?" + encodeURIComponent(at("service"))),
  worklet: () => new AudioContext().audioWorklet.addModule(at("worklet")),
  transport: () => new WebTransport(at("transport").replace("http", "https")),
  "transport by hash": () => new WebTransport(at("transport").replace("http", "https"),
    { serverCertificateHashes: [{ algorithm: "sha-256", value: new Uint8Array(32) }] }),
  frame: () => add("iframe", { src: at("frame") }),
  "data frame": () => add("iframe", { src: "data:text/html," + encodeURIComponent(PAGE) }),
  "text frame": () => add("iframe", { srcdoc: PAGE }),
  "blob frame": () => add("iframe", { src: blob(PAGE, "text/html") }),
  "refreshed frame": () => add("iframe", { srcdoc: '<meta http-equiv="refresh" content="0; url=' + at("refresh") + '">' }),
  object: () => add("object", { data: at("object") }),
  embed: () => add("embed", { src: at("embed") }),
  video: () => add("video", { src: at("video") }),
  style: () => add("style", { textContent: '@import url(' + at("import") + '); body { background: url(' + at("url") + '); }' +
    '@font-face { font-family: x; src: url(' + at("font") + '); } body { font-family: x; }' }),
  form: () => {
    add("iframe", { name: "target" + HOST });
    add("form", { action: at("form"), method: "POST", target: "target" + HOST }).submit();
  },
  window: () => open(at("window")),
  "window without opener": () => open(at("noopener"), "_blank", "noopener"),
  "window that goes on": () => { const w = open("about:blank"); w.document.write(PAGE); setTimeout(() => w.location = at("later")); },
  payment: () => new PaymentRequest([{ supportedMethods: at("payment").replace("http", "https") }],
    { total: { label: "x", amount: { currency: "EUR", value: "1" } } }).canMakePayment(),
  identity: () => navigator.credentials.get({ identity: { providers: [{ configURL: at("identity"), clientId: "x" }] } }),
  webrtc: () => {
    const servers = ["stun:H", "turn:H?transport=udp", "turn:H?transport=tcp", "turns:H?transport=tcp"].map((url) => (
      { urls: url.replace("H", HOST), username: "u", credential: "p" }));
    const peer = new RTCPeerConnection({ iceServers: servers });
    peer.createDataChannel("x");
    peer.createOffer().then((offer) => peer.setLocalDescription(offer));
  },
  "webrtc to a peer": async () => {
    const [a, b] = [new RTCPeerConnection(), new RTCPeerConnection()];
    a.createDataChannel("x");
    await a.setLocalDescription(await a.createOffer());
    await b.setRemoteDescription(a.localDescription);
    await b.setLocalDescription(await b.createAnswer());
    await a.setRemoteDescription(b.localDescription);
    const [host, port] = HOST.split(":");
    for (const kind of ["udp 2122260223 " + host + " " + port + " typ host", "tcp 1518280447 " + host + " " + port + " typ host tcptype passive"]) {
      await a.addIceCandidate({ candidate: "candidate:1 1 " + kind, sdpMid: "0", sdpMLineIndex: 0 });
    }
  },
};
const at = (name) => "http://" + HOST + "/" + encodeURIComponent(name);
const add = (tag, fields) => document.body.appendChild(Object.assign(document.createElement(tag), fields));
const blob = (text, type = "text/javascript") => URL.createObjectURL(new Blob([text], { type }));
const WORKER = 'fetch("' + at("worker fetch") + '", { mode: "no-cors" }).catch(() => {}); new WebSocket("ws://' + HOST + '/worker");' +
  'new EventSource("' + at("worker events") + '"); try { importScripts("' + at("worker import") + '"); } catch {}';
const PAGE = '<img src="' + at("inner image") + '"><script>fetch("' + at("inner fetch") + '", { mode: "no-cors" }).catch(() => {});' +
  'new WebSocket("ws://' + HOST + '/inner");<' + '/script>';
for (const [name, attempt] of Object.entries(tries)) {
  if (name.startsWith("window") && !IS_FIRST) continue;
  try { Promise.resolve(attempt()).catch(() => {}); } catch {}
}`;

/** The site that may be reached: a page that tries to leave it, and one whose headers do. */
function serve(ports: number[]): Deno.HttpServer<Deno.NetAddr> {
  const hosts = ports.flatMap((port) => ADDRESSES.map((address) => `${address}:${port}`));
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { pathname, search } = new URL(request.url);
    if (pathname === "/worker.js") {
      const target = decodeURIComponent(search.slice(1));
      const text = `fetch(${JSON.stringify(target)}, { mode: "no-cors" });`;
      return new Response(text, { headers: { "content-type": "text/javascript" } });
    }
    const scripts = hosts.map((host, i) =>
      `<script>{ const HOST = ${JSON.stringify(host)}, IS_FIRST = ${i === 0};${ATTEMPTS} }</script>`
    ).join(
      "\n",
    );
    const targets = hosts.map((host) => `http://${host}/header`);
    const headers = new Headers({ "content-type": "text/html" });
    headers.append(
      "link",
      targets.map((url) => `<${url}>; rel=preconnect, <${url}>; rel=preload; as=image`).join(", "),
    );
    if (pathname === "/headers") {
      headers.append("content-security-policy", `img-src 'none'; report-uri ${targets.join(" ")}; report-to out`);
      headers.append("reporting-endpoints", targets.map((url, i) => `out${i || ""}="${url}"`).join(", "));
      headers.append("nel", '{"report_to":"out","max_age":1000,"success_fraction":1.0}');
      return new Response("<!doctype html><title>headers</title><body><img src='/x.png'>", { headers });
    }
    if (pathname !== "/") return new Response("not there", { status: 404 });
    return new Response(`<!doctype html><meta charset="utf-8"><title>tries</title><body><p>Tries</p>${scripts}`, {
      headers,
    });
  });
}

Deno.test("chromium: by no way does a page reach a server outside of the allow-list", options, async () => {
  const { port, arrived, close } = await trap();
  const server = serve([port]);
  const site = `127.0.0.1:${server.addr.port}`;
  try {
    // By its number the site is one that may register service workers and open transports; by its name it is as most are.
    for (const settings of [{ allowedHosts: [site] }, { hosts: { "shop.test": site } }]) {
      const host = settings.hosts ? "shop.test" : site;
      await using browser = await openChromium({ ...settings, settling: { limit: 1500 } });
      for (const page of ["/", "/headers"]) {
        const { tree } = await browser.reset([`http://${host}${page}`]);
        assert.match(tree, page === "/" ? /Tries/ : /headers/);
        // What the page has begun may take its time.
        await new Promise((resolve) => setTimeout(resolve, 2000));
        await browser.observe();
      }
    }
    assert.deepEqual(arrived, []);
  } finally {
    close();
    await server.shutdown();
  }
});

Deno.test("chromium: a site given without a port is its scheme's usual port and no other", options, async () => {
  const { port, arrived, close } = await trap();
  const server = serve([port]);
  try {
    const hosts = { "shop.test": `127.0.0.1:${server.addr.port}` };
    const allowedHosts = ADDRESSES.filter((address) => address !== "other.test");
    await using browser = await openChromium({ allowedHosts, hosts, settling: { limit: 1500 } });
    assert.match((await browser.reset(["http://shop.test/"])).tree, /Tries/);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    await browser.observe();
    assert.deepEqual(arrived, []);
  } finally {
    close();
    await server.shutdown();
  }
});
