/** A site that one signs in to: a form, a cookie for the server, a note in the page's own storage. */

/** Its password. */
export const PASSWORD = "a $ecret's";

/** Serves it until it is disposed. */
export function serveLoginSite() {
  const page = (body: string, headers: Record<string, string> = {}) =>
    new Response(`<!doctype html><html lang="en"><title>Shop</title><body>${body}</body></html>`, {
      headers: { "content-type": "text/html", ...headers },
    });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url), cookie = request.headers.get("cookie") ?? "";
    const name = /session=(\w+)/.exec(cookie)?.[1];
    if (pathname === "/login" && request.method === "POST") {
      const form = await request.formData();
      if (form.get("password") !== PASSWORD) return page("<p>That is not the password</p>");
      const headers = { location: "/", "set-cookie": `session=${form.get("name")}; Path=/; HttpOnly` };
      return new Response(null, { status: 303, headers });
    }
    if (pathname === "/login") {
      return page(`<form method="post"><label>Name <input name="name"></label>
        <label>Password <input type="password" name="password"></label><button>Sign in</button></form>`);
    }
    if (name === undefined) return page(`<h1>Nobody</h1><a href="/login">Sign in</a>`);
    return page(`<h1>Hello ${name}</h1><a href="/orders">Orders</a><p id="p"></p>
      <script>p.textContent = "seen before: " + (localStorage.seen ?? "no"); localStorage.seen = "yes";</script>`);
  });
  const origin = `http://127.0.0.1:${server.addr.port}`;
  return { origin, host: new URL(origin).host, [Symbol.asyncDispose]: () => server.shutdown() };
}
