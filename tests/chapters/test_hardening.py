"""What docs/chapters/hardening.md says, run."""

import contextlib
import json
import re
import socket
import ssl
import subprocess
import sys

import httpx
import pytest

from lab import ROOT, browser, evidence, figure, load, node, process, services

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
        nonces = [re.search(r"script-src 'nonce-([\w-]{22})'", one)[1] for one in policies]
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
    taken = {one for one, to in destinations("redirect.naive.mjs", "shop.test").items() if to}
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
FRONT = """
import { connect, createServer } from 'node:net';
const back = await import('node:http').then(({ createServer }) =>
  createServer(OPTIONS, (req, res) => {
    console.log(`reached ${req.url}`);
    req.on('error', () => {}).resume();
    req.on('end', () => res.end('ok'));
  }));
back.listen(0, '127.0.0.1', () => {
  const { port } = back.address();
  const inner = connect(port, '127.0.0.1');
  inner.on('error', () => {});
  const front = createServer((client) => {
    client.on('error', () => {});
    client.once('data', (bytes) => {
      const text = bytes.toString('latin1');
      const head = text.slice(0, text.indexOf('\\r\\n\\r\\n') + 4);
      if (/^\\w+ [/]admin/.test(head)) return client.end('HTTP/1.1 403 No\\r\\n\\r\\n');
      const length = Number(/content-length: (\\d+)/i.exec(head)?.[1] ?? 0);
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
    path.write_text(FRONT.replace("OPTIONS", options).replace("\\\\", "\\"))
    payload = javascript(f"""
    import {{ PAYLOADS }} from '{uri("smuggled.mjs")}';
    process.stdout.write(PAYLOADS['CL.TE']);
    """)
    with node.serve(path) as server:
        assert b" 403 " in exchange(server.port, b"GET /admin HTTP/1.1\r\n\r\n")
        assert (b" 200 " if insecure else b" 400 ") in exchange(
            server.port, payload.encode()
        )
        process.until(lambda: "reached" in server.output() or not insecure, 5)
        assert ("reached /admin" in server.output()) is insecure


def exchange(port: int, data: bytes) -> bytes:
    """The first bytes of the answer to some bytes."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(data)
        return connection.recv(4096)
