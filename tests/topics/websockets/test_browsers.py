"""Transports, and another site's page in a browser."""

import json
from pathlib import Path

import psutil
import pytest

from lab.record import evidence
from lab.run import browser, node

from .shared import TOPIC, client

SOURCE = node.label(Path(__file__))


# --- transports ---------------------------------------------------------------------


def test_the_four_transports_tell_the_same_events():
    def seqs(lines: list[str]) -> list[int]:
        return [json.loads(line)["seq"] for line in lines]

    with node.serve(f"{TOPIC}/transports.mjs") as server, server.client() as c:
        with client(server.url, "/ws") as peer:
            pushed = seqs([peer.recv(20) for _ in range(3)])
        assert pushed == list(range(pushed[0], pushed[0] + 3))
        polled = seqs(c.get("/poll?since=0").text.splitlines())
        assert polled == list(range(len(polled)))
        since = len(polled)
        for path in ("/long-poll", "/long-poll"):  # at once, or when there is one
            waited = seqs(c.get(f"{path}?since={since}").text.splitlines())
            assert waited[0] == since
            since += len(waited)
        with c.stream("GET", "/sse") as stream:
            assert stream.headers["Content-Type"] == "text/event-stream"
            lines = (line for line in stream.iter_lines() if line)
            streamed = seqs([next(lines).removeprefix("data: ") for _ in range(3)])
        assert streamed == list(range(streamed[0], streamed[0] + 3))
        assert c.get("/constructor").status_code == 404


# --- another site's page, in a browser ----------------------------------------------

SITES = """
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { attachOrders as naive } from './account.naive.mjs';
import { attachOrders as hardened, ticketRoute } from './account.mjs';
import { createTickets } from './tickets.mjs';

const pem = readFileSync(process.env.PEM);
const sessionOf = (req) =>
  /sid=ann/.test(req.headers.cookie ?? '') ? { user: 'ann' } : undefined;
const ordersOf = async (user) => [`the orders of ${user}`];
const tickets = createTickets();
const ticket = ticketRoute({ sessionOf, tickets });
const seen = [];
const server = createServer({ key: pem, cert: pem }, (req, res) => {
  const { pathname, searchParams } = new URL(req.url, 'https://shop.test');
  if (pathname === '/ticket') return ticket(req, res);
  if (pathname === '/seen') return res.end(seen.splice(0).join('\\n'));
  if (pathname === '/login') {
    const site = searchParams.get('site');
    res.setHeader('Set-Cookie', `sid=ann; Secure; HttpOnly; Path=/; SameSite=${site}`);
  }
  res.setHeader('Content-Type', 'text/html');
  return res.end('<!doctype html><title>a page</title>');
});
server.prependListener('upgrade', (req) =>
  seen.push(`${req.method} ${req.headers.origin} ${req.headers.cookie ?? 'no cookie'}`));
server.on('request', (req) => req.method === 'OPTIONS' && seen.push('preflight'));
let stop = () => {};
if (process.env.KIND === 'naive') {
  naive(server, { sessionOf, ordersOf });
} else {
  server.once('listening', () => {
    const hosts = ['shop.test', 'blog.shop.test', 'evil.test'];
    if (process.env.KIND === 'origin') hosts.length = 1;
    const origins = hosts.map((host) => `https://${host}:${server.address().port}`);
    const sockets = hardened(server, { tickets, ordersOf, origins });
    stop = () => sockets.leave({ patienceMs: 100 });
  });
}
"""

OPEN = """
async ({ url, ticket }) => {
  let query = '';
  if (ticket) {
    try {
      const options = { method: 'POST', credentials: 'include' };
      query = `?ticket=${await (await fetch(ticket, options)).text()}`;
    } catch {
      query = '?ticket=none'; // the answer could not be read
    }
  }
  const socket = new WebSocket(url + query);
  return new Promise((resolve) => {
    socket.onmessage = ({ data }) => resolve(data);
    socket.onclose = ({ code }) => resolve(`closed ${code}`);
  });
}
"""


@pytest.fixture
def shop(module, tmp_path):
    """Serves the shop and its attackers; gives a function of the kind of server."""
    pem = browser.certificate(tmp_path, "shop.test", "*.shop.test", "evil.test")

    def serve(kind: str):
        path = module(SITES, kind)
        text = path.read_text().replace("import { createServer } from 'node:http';", "")
        path.write_text(text)
        return node.serve(path, env={"PEM": str(pem), "KIND": kind})

    return serve


def visit(page, port: int, host: str, same_site: str, with_ticket: bool = False):
    """A customer logs in to the shop and then opens a page of `host`, which opens a
    WebSocket to the shop: what that page sees, and what the server saw."""
    page.context.clear_cookies()
    page.goto(f"https://shop.test:{port}/login?site={same_site}")
    page.goto(f"https://{host}:{port}/")
    ticket = f"https://shop.test:{port}/ticket" if with_ticket else None
    url = f"wss://shop.test:{port}/orders"
    got = page.evaluate(OPEN, {"url": url, "ticket": ticket})
    page.goto(f"https://shop.test:{port}/seen")
    return got, page.inner_text("body").splitlines()


STOLEN = '["the orders of ann"]'

# who opens the socket -> SameSite of the cookie -> what that page sees of the naive one
HIJACK = {
    "evil.test": {"None": STOLEN, "Lax": "closed 4401", "Strict": "closed 4401"},
    "blog.shop.test": {"None": STOLEN, "Lax": STOLEN, "Strict": STOLEN},
    "shop.test": {"Strict": STOLEN},
}


@pytest.mark.claim("websockets/cors-protects", verdict="wrong")
@pytest.mark.claim("websockets/same-site-protects", verdict="depends")
def test_another_sites_page_reads_the_naive_server_as_same_site_allows(named_hosts, shop):
    page = named_hosts(third_party_cookies=True).pages[0]
    with shop("naive") as server:
        for host, by_cookie in HIJACK.items():
            for same_site, expected in by_cookie.items():
                got, seen = visit(page, server.port, host, same_site)
                cookie = "sid=ann" if expected == STOLEN else "no cookie"
                origin = f"https://{host}:{server.port}"
                assert (host, same_site, got) == (host, same_site, expected)
                assert seen == [f"GET {origin} {cookie}"]  # and no preflight
    for kind in ("origin", "ticket"):  # each alone is enough
        with shop(kind) as server:
            for host, with_ticket in (
                *(("evil.test", False), ("evil.test", True)),
                *(("blog.shop.test", True), ("shop.test", True)),
            ):
                got, _ = visit(page, server.port, host, "None", with_ticket)
                own = host == "shop.test" and with_ticket
                assert (kind, host, got) == (kind, host, STOLEN if own else "closed 1006")


@pytest.mark.claim("websockets/same-site-protects", verdict="depends")
def test_without_third_party_cookies_another_site_has_none_to_send(named_hosts, shop):
    page = named_hosts(third_party_cookies=False).pages[0]
    with shop("naive") as server:
        assert visit(page, server.port, "evil.test", "None")[0] == "closed 4401"
        assert visit(page, server.port, "blog.shop.test", "Strict")[0] == STOLEN


@pytest.mark.timing
@pytest.mark.claim("websockets/messages-are-small", verdict="wrong")
def test_what_one_large_message_makes_of_the_naive_server():
    """MiB of resident memory that it grows by."""
    grown = []
    for _ in range(3):
        with node.serve(f"{TOPIC}/echo.naive.mjs") as server, client(server.url) as peer:
            running = psutil.Process(server.pid)
            before = running.memory_info().rss
            peer.send(b"x" * 99 * 2**20)
            assert len(peer.recv(60)) == 99 * 2**20
            grown.append((running.memory_info().rss - before) / 2**20)
    evidence.hold(
        f"{TOPIC}/taken",
        grown,
        "MiB",
        "growth of the naive server by one message of 99 MiB that it echoes",
        source=SOURCE,
        above=99,
    )
