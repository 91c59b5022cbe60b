"""The handshake: origin, authentication, paths, time."""

import base64
import contextlib
import hashlib
import os
import signal
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from lab.run import node, process

from .shared import (
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


def test_whoever_is_being_checked_when_the_server_leaves_is_told_so(module):
    path = module(
        CHECK
        + attached(
            "authenticateMs: 60_000, authenticate: () => checked()",
            server="createServer((req, res) => res.end(`${waiting.length}`))",
        )
    )
    with node.serve(path) as server, server.client() as c, ThreadPoolExecutor(1) as pool:
        opening = pool.submit(refused, server.url)
        process.until(lambda: c.get("/").text == "1", what="it is being checked")
        os.kill(server.pid, signal.SIGTERM)
        assert opening.result() == 503
        process.until(lambda: not server.alive(), what="the process ended by itself")


def test_a_process_has_so_many_sockets_the_undecided_included(module):
    path = module(
        CHECK
        + attached(
            "perProcess: 3, perUser: 9,\n"
            "  authenticate: async (req, url) => {\n"
            "    if (url.search) await checked();\n"
            "    return { user: 'ann' }; }",
            server="createServer((req, res) =>\n"
            "  req.url === '/go' ? pages(req, res) : res.end(`${waiting.length}`))",
        )
    )
    with node.serve(path) as server, server.client() as c, ThreadPoolExecutor(1) as pool:
        with client(server.url), client(server.url):
            opening = pool.submit(client, server.url, "/?slowly")
            process.until(lambda: c.get("/").text == "1", what="a third is checked")
            assert refused(server.url) == 503
            assert c.get("/go").text == "1"
            with opening.result():
                assert refused(server.url) == 503

        def again():
            with contextlib.suppress(InvalidStatus), client(server.url):
                return True

        process.until(again, what="a place was free again")


BAD = {
    "attach": (
        *("perUser: NaN", "perUser: '5'", "maxPayload: 0", "heartbeatMs: 2 ** 31"),
        *("burst: -1", "origins: 'https://shop.test'", "authenticate: undefined"),
    ),
    "createTickets": ("ttlMs: '10000'", "most: NaN"),
    "createFeed": ("batch: '2'", "beatMs: NaN", "most: 0"),
    "memoryLog": ("keep: '5'", "keep: NaN"),
    "redisLog": ("keep: '5'", "everyMs: 0", "signal: AbortSignal.abort()"),
    "follow": ("spreadMs: NaN", "maxMs: '9'", "quietMs: 0", "most: undefined - 1"),
}

MADE = f"""
import {{ createServer }} from 'node:http';
import {{ attach as attachTo }} from './{TOPIC}/attach.mjs';
import {{ follow }} from './{TOPIC}/client.mjs';
import {{ createFeed as feed }} from './{TOPIC}/feed.mjs';
import {{ memoryLog, redisLog as shared }} from './{TOPIC}/log.mjs';
import {{ createTickets }} from './{TOPIC}/tickets.mjs';
const attach = (options) => attachTo(createServer(), {{ path: '/',
  authenticate: () => null, ...options }});
const createFeed = (options) => feed({{ log: memoryLog(), ...options }});
const redisLog = (options) => shared({{ url: 'redis://127.0.0.1:1', ...options,
  logger: {{ error: () => console.log('connects') }} }});
const bad = async (what, make) => {{
  try {{ await make(); console.log(what, 'made'); }}
  catch (error) {{ console.log(what, error.name); }}
}};
"""


def test_what_is_no_limit_is_an_error_when_the_thing_is_made():
    """`size >= NaN` is never so, and a text is added to a time as a text."""
    lines = [
        f"await bad(`{name} {options}`, () => {name}({{ {options}, url() {{}} }}));"
        if name == "follow"
        else f"await bad(`{name} {options}`, () => {name}({{ {options} }}));"
        for name, many in BAD.items()
        for options in many
    ]
    seen = node.evaluate(MADE + "\n".join(lines)).stdout.splitlines()
    assert seen == [
        f"{name} {options} {'AbortError' if 'signal' in options else 'TypeError'}"
        for name, many in BAD.items()
        for options in many
    ]


def test_a_limit_that_is_left_undefined_is_the_usual_one(module):
    path = module(attached("perUser: undefined, maxPayload: undefined"))
    with node.serve(path) as server, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(client(server.url)) for _ in range(5)]
        assert refused(server.url) == 429
        peers[0].send(b"x" * 65537)
        assert ended(peers[0])[0] == 1009


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


# a check that takes until somebody asks for any page; the answer: how many it let go on
CHECK = """
const waiting = [];
const checked = () => new Promise((resolve) => waiting.push(resolve));
const pages = (req, res) => res.end(`${waiting.splice(0).map((go) => go()).length}`);
"""


@pytest.mark.claim("websockets/authenticate-first-thing")
def test_what_a_client_sends_while_its_token_is_checked_is_lost(module):
    """The usual place for the check is the connection handler."""
    late = module(
        CHECK
        + """
    import { WebSocketServer } from 'ws';
    const server = createServer(pages);
    const wss = new WebSocketServer({ server });
    wss.on('connection', async (socket) => {
      socket.on('error', () => {});
      await checked(); // asks a database
      socket.on('message', (data) => socket.send(`${data}`));
    });
    const stop = () => wss.clients.forEach((socket) => socket.terminate());
    """,
        "late",
    )
    early = module(
        CHECK
        + attached(
            "authenticate: () => checked().then(() => ({ user: 'ann' })),\n"
            "  onMessage: (socket, data) => sockets.send(socket, `${data}`)",
            server="createServer(pages)",
        ),
        "early",
    )

    def passed(c: httpx.Client) -> bool:
        return c.get("/").text == "1"

    with node.serve(late) as server, server.client() as c:
        with client(server.url) as peer:
            peer.send("first")
            peer.ping().wait(20)  # answered, so the message before it was read
            process.until(lambda: passed(c), what="the check is through")
            peer.send("second")
            assert peer.recv(20) == "second"
    with node.serve(early) as server, server.client() as c, ThreadPoolExecutor(1) as pool:
        opening = pool.submit(client, server.url)
        process.until(lambda: passed(c), what="the check is through")
        with opening.result() as peer:
            peer.send("first")
            assert peer.recv(20) == "first"


LISTENS = {
    "after a check without await": """(socket) => {
      if (socket.readyState === 1) listen(socket);
    }""",
    "before the check": """async (socket) => {
      const checking = checked();
      listen(socket, checking);
      await checking;
    }""",
    "while it is paused": """async (socket) => {
      socket.pause();
      await checked();
      listen(socket);
      socket.resume();
    }""",
}


@pytest.mark.claim("websockets/authenticate-first-thing")
@pytest.mark.parametrize("when", LISTENS)
def test_what_a_client_sends_is_not_lost_by_who_listens_in_time(module, when):
    path = module(
        CHECK
        + f"""
    import {{ WebSocketServer }} from 'ws';
    const server = createServer(pages);
    const wss = new WebSocketServer({{ server }});
    const listen = (socket, first) => {{
      socket.on('error', () => {{}});
      socket.on('message', async (data) => {{ await first; socket.send(`${{data}}`); }});
    }};
    wss.on('connection', {LISTENS[when]});
    const stop = () => wss.clients.forEach((socket) => socket.terminate());
    """
    )
    with node.serve(path) as server, server.client() as c, client(server.url) as peer:
        peer.send("first")
        if when == "before the check":
            peer.ping().wait(20)  # answered, so the message before it was read
        if "without" not in when:
            process.until(lambda: c.get("/").text == "1", what="the check is through")
        assert peer.recv(20) == "first"


HANDLING = """
let [now, most, seen] = [0, 0, ''];
const handle = async (socket, data) => {
  most = Math.max(most, (now += 1));
  await checked();
  seen += data;
  now -= 1;
};
const report = (req, res) => req.url === '/go' ? pages(req, res)
  : res.end(`${seen} ${most} ${waiting.length}`);
"""


def test_the_messages_of_a_socket_are_handled_one_after_the_other(module):
    path = module(
        CHECK + HANDLING + attached("onMessage: handle", server="createServer(report)")
    )
    with node.serve(path) as server, server.client() as c, client(server.url) as peer:
        for n in range(5):
            peer.send(str(n))
        for n in range(5):
            process.until(
                lambda: c.get("/").text.endswith(" 1"), what="one is being handled"
            )
            assert c.get("/").text.split()[-2:] == ["1", "1"]  # and no more than one
            assert c.get("/go").text == "1"
            process.until(
                lambda n=n: c.get("/").text.split(" ")[0] == "01234"[: n + 1],
                what="it has been",
            )


def unread(wire: Wire, mib: int) -> bool:
    """Whether the server stops reading, so that the kernels' buffers fill up."""
    piece = frame("82 *60000") * 17  # a mebibyte
    wire.socket.settimeout(3)
    try:
        for _ in range(mib):
            wire.socket.sendall(piece)
    except TimeoutError:
        return True
    return False


def test_what_comes_while_a_message_is_handled_waits_with_its_sender(module):
    path = module(
        CHECK
        + HANDLING
        + attached(
            "onMessage: handle, perSecond: 1e9, burst: 1e9",
            server="createServer(report)",
        )
    )
    with node.serve(path) as server, server.client() as c:
        with Wire(server.port) as wire:
            assert unread(wire, 64)
            assert c.get("/").text == " 1 1"


def test_a_flooder_is_not_read_any_more_whatever_it_sends(module):
    path = module(attached("closeTimeout: 60_000"))
    with node.serve(path) as server, Wire(server.port) as wire:
        wire.send(*["81 go"] * 100)
        assert wire.receive() == ("close", struct.pack(">H", 1008) + b"too many messages")
        assert unread(wire, 64)


def test_version_8_of_a_draft_is_taken():
    with node.serve(f"{TOPIC}/echo.mjs") as server:
        with Wire(server.port, **{"Sec-WebSocket-Version": "8"}) as wire:
            wire.send("81 Hello")
            assert wire.receive() == ("text", b"Hello")


def test_a_user_has_so_many_sockets_and_no_more(module):
    path = module(attached("perUser: 3"))
    with node.serve(path) as server, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(client(server.url)) for _ in range(3)]
        assert refused(server.url) == 429
        peers[0].close()

        def again():
            with contextlib.suppress(InvalidStatus):
                stack.enter_context(client(server.url))
                return True

        process.until(again, what="a place was free again")
        assert refused(server.url) == 429


def test_connections_that_are_opened_at_once_do_not_pass_the_cap(module):
    path = module(
        attached(
            "perUser: 3, authenticate: () => new Promise((resolve) =>\n"
            "  setTimeout(resolve, 200, { user: 'ann' }))"
        )
    )
    with node.serve(path) as server, contextlib.ExitStack() as stack:

        def attempt(_):
            try:
                return client(server.url)
            except InvalidStatus:
                return None

        with ThreadPoolExecutor(10) as pool:
            peers = [p for p in pool.map(attempt, range(10)) if p]
        for peer in peers:
            stack.enter_context(peer)
        assert len(peers) == 3
