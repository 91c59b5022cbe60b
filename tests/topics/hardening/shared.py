"""What several files of these tests share."""

import base64
import contextlib
import json
import os
import socket
import textwrap

import httpx
import pytest
import trustme

from lab.record import figure
from lab.run import browser, load, node

TOPIC = "hardening"

SNIPPETS = node.SNIPPETS.as_uri()

ANN = {"email": "ann@shop.test", "password": "correct horse"}

BOB = {"email": "bob@shop.test", "password": "battery staple"}

# The proxy connects from 127.0.0.2, see lab.run.services.
PROXY = "127.0.0.2"


def package(name: str) -> str:
    """A package's address, for a module that does not stand in snippets/."""
    main = "index.mjs" if name == "helmet" else "index.js"
    return node.resolve(f"node_modules/{name}/{main}").as_uri()


DEPS = f"""
import {{ ordersOf }} from '{node.uri("hardening/orders.mjs")}';
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

# Behind its proxy, which says so, the hardened app knows that the client has HTTPS.
BEHIND = f"proxies: ['127.0.0.1', '{PROXY}']"


def secret() -> str:
    """What a deployment would make: 32 random bytes as text."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


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


def exchange(port: int, data: bytes) -> bytes:
    """The first bytes of the answer to some bytes."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(data)
        return connection.recv(4096)


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
  '/visit': ({{ url }}) => `<form action="${{url}}"><button id=go>See</form>`,
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

        with browser.visitor(named_hosts()) as page:
            yield page, host


def order(page, host) -> str:
    page.goto(f"{host('shop.test')}/orders/ord_1")
    return page.inner_text("body")


POLICIES = {
    "none": "[]",
    "Helmet's default": "[helmet()]",
    "nonce": "[headers()]",
    "nonce, reported only": "[reports({ logger }), headers({ reportOnly: true })]",
    "strict-dynamic": """[(req, res, next) => {
      res.locals.nonce = 'once';
      const policy = "script-src 'nonce-once' 'strict-dynamic'";
      res.set('Content-Security-Policy', policy);
      next();
    }]""",
}

FORGOTTEN_APP = """
import helmet from '{helmet}';
import {{ createApp as create }} from '{forgotten}';
import {{ headers }} from '{headers}';
import {{ reports }} from '{reports}';
const reported = [];
const logger = {{ info: (fields) => reported.push(fields) }};
const around = {{ headers: {policy}, uploads: '{uploads}' }};
export const createApp = () => (req, res) => {{
  const {{ pathname, searchParams }} = new URL(req.url, 'https://shop.test');
  if (pathname === '/reported') return res.end(JSON.stringify(reported));
  return create({{ note: searchParams.get('note'), ...around }})(req, res);
}};
"""

# what wants a click has it; then timers and frames have had their turn
SETTLED = """() => new Promise((done) => {
  document.querySelector('#go')?.dispatchEvent(
    new MouseEvent('click', { bubbles: true, cancelable: true }));
  requestAnimationFrame(() => setTimeout(done, 20));
})"""


def ran(said: list[str]) -> bool:
    # an own message of the browser quotes what it refused
    return any(text in ("ran", "{note: ran}") for text in said)


TLS = """
import {{ createServer as plain }} from 'node:https';
import {{ readFileSync }} from 'node:fs';
import {{ serverOf as naive }} from '{naive}';
import {{ serverOf as hardened }} from '{hardened}';
const pem = readFileSync('{tls}');
const made = {{
  naive, hardened, node: (app, tls) => plain(tls, app),
  pinned: (app, tls) => plain({{ ...tls, minVersion: 'TLSv1.2' }}, app),
}};
const server = made['{which}']((req, res) => res.end('ok'), {{ key: pem, cert: pem }});
process.once('SIGTERM', () => {{ server.close(); server.closeAllConnections(); }});
server.listen(0, '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${{server.address().port}}`));
"""


@contextlib.contextmanager
def https(folder, which: str, rsa: bool = False):
    tls = browser.certificate(folder, "shop.test")
    if rsa:
        issued = trustme.CA().issue_cert("shop.test", key_type=trustme.KeyType.RSA)
        issued.private_key_and_cert_chain_pem.write_to_path(str(tls))
    path = folder / "tls.mjs"
    twins = {
        "naive": node.uri("hardening/server.naive.mjs"),
        "hardened": node.uri("hardening/server.mjs"),
    }
    path.write_text(TLS.format(tls=tls, which=which, **twins))
    with node.serve(path) as server:
        yield server


def javascript(source: str, timeout: float = 30) -> dict:
    """What JavaScript text prints, as JSON; `@/` is the snippets' folder."""
    source = textwrap.dedent(source).replace("@/", f"{SNIPPETS}/")
    return json.loads(node.printed(source, timeout))


def matrix(
    key: str,
    table: dict[str, dict[str, str]],
    bad: str,
    alt: str,
    *,
    source: str,
    **options,
):
    """Record a table of words as a figure: columns -> rows -> word. What is `bad` has
    a mark of its own, so that colour is not all that tells."""
    columns, rows = list(table), list(next(iter(table.values())))
    width, height = options.pop("width", 6.4), 0.9 + 0.27 * len(rows)
    drawing, ax = figure.plot(width, height)
    cells = [(x, y) for x in range(len(columns)) for y in range(len(rows))]
    good = next(w for c in columns for w in table[c].values() if w != bad)
    # one line of marks a word: a mark of its own each would weigh three times as much
    for word, marker, shade in (
        (good, "o", figure.SERIES[0]), (bad, "s", figure.SERIES[1])
    ):  # fmt: skip
        some = [(x, y) for x, y in cells if table[columns[x]][rows[y]] == word]
        ax.plot(
            [x for x, _ in some], [y for _, y in some], marker, color=shade, label=word,
            markerfacecolor=shade if word == bad else "none", clip_on=False,
        )  # fmt: skip
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.02), ncols=2, borderaxespad=0)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(False)
    data = {"": rows} | {c: [table[c][row] for row in rows] for c in columns}
    data["what"] = data.pop("")
    return figure.publish(key, drawing, alt, data, source=source)


LEAKY = """
import {{ createApp as create }} from '@/hardening/{snippet}';
export function createApp() {{ return create({{ printer: 'env' }}); }}
"""

ACCOUNTS = """
import {{ createApp as create }} from '@/hardening/{snippet}';
const isAdmin = async (id) => id === 'root';
const authenticate = async ({{ headers }}) =>
  headers.user ? {{ id: headers.user }} : null;
export function createApp() {{ return create({{ authenticate, isAdmin }}); }}
"""
