"""The handshake: origin, authentication, paths, time, and when a session ends."""

import base64
import hashlib
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.run import node, process

from .shared import (
    CHECK,
    KEY,
    SHOP,
    TOPIC,
    UPGRADE,
    Wire,
    attached,
    client,
    ended,
    frame,
    refused,
)

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

ACCEPT = base64.b64encode(hashlib.sha1((KEY + GUID).encode()).digest()).decode()


# --- the handshake ------------------------------------------------------------------


def test_the_handshake_answers_the_key_and_a_frame_is_what_the_rfc_says():
    lines = node.lines("websockets/handshake.mjs")
    assert lines[0] == "HTTP/1.1 101 Switching Protocols"
    assert f"Sec-WebSocket-Accept: {ACCEPT}" in lines
    assert lines[-2].split() == ["sent", frame("81 Hello").hex()]
    assert lines[-1].split() == ["received", "810548656c6c6f"]


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Sec-WebSocket-Version": "12"}, 400),  # the RFC: "such as 426"
        ("GET", {"Sec-WebSocket-Key": "short"}, 400),
        ("POST", {}, 405),
    ],
)
def test_a_handshake_that_is_none_is_refused(method, headers, status):
    with node.serve(f"{TOPIC}/echo.mjs") as server, server.client() as c:
        answer = c.request(method, "/", headers={**UPGRADE, **headers})
        assert answer.status_code == status
        assert answer.headers["Connection"] == "close"
        if "Sec-WebSocket-Version" in headers:
            assert answer.headers["Sec-WebSocket-Version"] == "13, 8"
        assert c.get("/").status_code == 426  # a request that asks for no upgrade


@pytest.mark.parametrize("how", ["", "async"])
def test_who_is_let_in_is_decided_before_the_socket_is_open(module, how):
    path = module(
        attached(f"""authenticate: {how} (req, url) => {{
          if (url.searchParams.has('broken')) throw new Error('no database');
          if (url.searchParams.has('object')) return {{ user: {{ id: 'ann' }} }};
          if (url.searchParams.has('nobody')) return {{ id: 'ann' }};
          const expiresAt = url.searchParams.has('late') ? Date.now() - 1 : undefined;
          return url.searchParams.has('in') && {{ user: 'ann', expiresAt }};
        }}""")
    )
    with node.serve(path) as server:
        assert refused(server.url, "/elsewhere") == 404
        assert refused(server.url, "/?in", origin="https://evil.test") == 403
        assert refused(server.url, "/?in", origin=SHOP[:-1]) == 403  # a part of it
        assert refused(server.url, "/") == 401
        assert refused(server.url, "/?in&late") == 401  # its session has ended
        assert refused(server.url, "/?broken") == 500
        # what cannot be counted by user: two objects are never equal
        assert refused(server.url, "/?object") == refused(server.url, "/?nobody") == 500
        with client(server.url, "/?in", origin=SHOP), client(server.url, "/?in"):
            assert "no database" in server.output()
            assert server.output().count("neither a text nor a number") == 2


@pytest.mark.parametrize("target", ["//", "http://[", "/%zz", "*", "//x.test/room"])
def test_a_target_that_is_no_path_of_ours_is_a_404_and_no_error(module, target):
    path = module(attached("path: '/room', authenticate: () => console.log('asked')"))
    head = "\r\n".join(f"{name}: {value}" for name, value in UPGRADE.items())
    with node.serve(path) as server:
        with socket.create_connection(("127.0.0.1", server.port), 20) as wire:
            wire.sendall(f"GET {target} HTTP/1.1\r\n{head}\r\n\r\n".encode())
            assert wire.recv(100).startswith(b"HTTP/1.1 404 ")
        assert refused(server.url, "/room") == 401
        assert server.output().splitlines()[1:] == ["asked"]


TWO = """
import { attach } from './attach.mjs';
const server = createServer((req, res) => {
  if (req.url === '/leave') return one.leave().then(() => res.end('left'));
  if (req.url === '/again') { one = serve('/one'); return res.end('again'); }
  return res.end(`${req.method} ${req.headers.upgrade}`);
});
const serve = (path) => attach(server, { path, authenticate: () => ({ user: 'ann' }),
  onOpen: (socket) => socket.send(path) });
let one = serve('/one');
const two = serve('/two');
for (const path of ['/two', 'three', '']) {
  try { serve(path); } catch (error) { console.log(error.message); }
}
const stop = () => { one.leave(); two.leave(); };
"""


def test_each_path_of_a_server_is_attached_once_and_left_alone(module):
    def hears(url: str, path: str) -> bool:
        with client(url, path) as peer:
            return peer.recv(20) == path

    with node.serve(module(TWO)) as server, server.client() as c:
        assert server.output().splitlines()[:3] == [
            "/two: not a free path",
            "three: not a free path",
            ": not a free path",
        ]
        assert hears(server.url, "/one") and hears(server.url, "/two")
        assert refused(server.url, "/three") == 404
        with client(server.url, "/one") as one, client(server.url, "/two") as two:
            assert c.get("/leave").text == "left"
            assert ended(one)[0] == 1012
            assert refused(server.url, "/one") == 503  # try the next process
            two.ping().wait(20)
        assert hears(server.url, "/two")
        assert c.get("/again").text == "again"
        assert hears(server.url, "/one")


def test_a_plain_request_that_offers_another_protocol_is_answered_as_any(module):
    """A server with a listener of 'upgrade' is given every request that offers one,
    unless `shouldUpgradeCallback` says which: from Node 22.21 and 24.9."""
    offer = {"Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAMAAABkAAQ"}
    path = module(
        attached(
            "",
            server="createServer(async (req, res) => {\n"
            "  const parts = await Array.fromAsync(req);\n"
            "  res.end(`${req.method} ${parts.join('')}`); })",
        )
    )
    with node.serve(path) as server, server.client() as c:
        for method, body in (("GET", ""), ("POST", "an order")):
            headers = {**offer, "Upgrade": "h2c"}
            answer = c.request(method, "/orders", headers=headers, content=body)
            assert (answer.status_code, answer.text) == (200, f"{method} {body}")
        with Wire(server.port, Upgrade="WebSocket") as wire:  # case does not matter
            wire.send("89 go")
            assert wire.receive() == ("pong", b"go")


def test_a_check_that_never_answers_is_cut_off_and_holds_no_place(module):
    """And one that answers too late lets nobody in."""
    path = module(
        CHECK
        + attached(
            "authenticateMs: 300, perProcess: 2, onOpen: () => console.log('open'),\n"
            "  authenticate: (req, url) => url.search && checked()"
            ".then(() => ({ user: 'ann' }))",
            server="createServer(pages)",
        )
    )
    with node.serve(path) as server, server.client() as c, ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            hung = [pool.submit(refused, server.url, "/?ann") for _ in range(2)]
            assert [one.result() for one in hung] == [503, 503]
        assert c.get("/").text == "4"  # all four were asked, and get their answer now
        assert refused(server.url) == 401
        assert "open" not in server.output()
        opening = pool.submit(client, server.url, "/?ann")
        process.until(lambda: c.get("/").text == "1", what="the check is through")
        with opening.result() as peer:
            peer.ping().wait(20)


def test_a_ticket_opens_one_socket_once_and_soon():
    seen = node.evaluate(
        f"""
    import {{ createTickets }} from './{TOPIC}/tickets.mjs';
    let time = 0;
    const tickets = createTickets({{ ttlMs: 1000, now: () => time }});
    const session = {{ user: 'ann' }};
    const [one, two] = [tickets.issue(session), tickets.issue(session)];
    console.log(one !== two, one.length);
    console.log(tickets.redeem(one)?.user, tickets.redeem(one), tickets.redeem('x'));
    time = 1000;
    console.log(tickets.redeem(two), tickets.redeem(undefined));
    const [old, fresh] = [tickets.issue(session), (time = 3000, tickets.issue(session))];
    console.log(tickets.redeem(old), tickets.redeem(fresh).user);
    tickets.issue(session); // is swept by none: it is not old
    """
    ).stdout
    assert seen.splitlines() == [
        "true 43",
        "ann undefined undefined",
        "undefined undefined",
        "undefined ann",
    ]


def test_version_8_of_a_draft_is_taken():
    with node.serve(f"{TOPIC}/echo.mjs") as server:
        with Wire(server.port, **{"Sec-WebSocket-Version": "8"}) as wire:
            wire.send("81 Hello")
            assert wire.receive() == ("text", b"Hello")


def test_a_socket_ends_with_its_session_and_at_logout(module):
    path = module(
        attached(
            "authenticate: (req, url) => ({ user: url.searchParams.get('u'),\n"
            "    expiresAt: Date.now() + Number(url.searchParams.get('ms')) }),\n"
            "  onMessage: (socket, data) => sockets.disconnect(`${data}`)"
        )
    )
    with node.serve(path) as server:
        with client(server.url, "/?u=ann&ms=300") as short:
            assert ended(short) == (4001, "expired")
        with (
            client(server.url, "/?u=ann&ms=60000") as ann,
            client(server.url, "/?u=ann&ms=60000") as also_ann,
            client(server.url, "/?u=bob&ms=9e15") as bob,
        ):
            bob.send("nobody")
            bob.send("ann")
            assert ended(ann) == ended(also_ann) == (4001, "logout")
            bob.send("bob")
            assert ended(bob) == (4001, "logout")  # and not of a timer that overflowed
