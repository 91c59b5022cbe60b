"""What docs/chapters/websockets.md says, run."""

import base64
import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from lab.record import evidence, figure
from lab.run import browser, node, process

TOPIC = "websockets"
SOURCE = "tests/chapters/test_websockets.py"
FRAMES = json.loads(Path(__file__).with_name("websocket_frames.json").read_text("utf-8"))
CASES = FRAMES["cases"]
SHOP = "https://shop.test"


def output(snippet: str, *args: str) -> list[str]:
    return node.run(f"{TOPIC}/{snippet}", *args, timeout=60).stdout.splitlines()


def client(url: str, path: str = "/", **options):
    """A WebSocket to an http URL; no pings of its own, no compression unless told."""
    options = {"compression": None, "ping_interval": None, "proxy": None} | options
    address = url.replace("http", "ws", 1) + path
    return connect(address, open_timeout=20, close_timeout=2, max_size=None, **options)


def ended(peer, timeout: float = 20) -> tuple[int, str]:
    """Code and reason with which the server closed; what came before is dropped."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            peer.recv(timeout)
    received = closed.value.rcvd
    return (received.code, received.reason) if received else (1006, "")


def refused(url: str, path: str = "/", **options) -> int:
    """The status with which a handshake is refused."""
    with pytest.raises(InvalidStatus) as answer:
        client(url, path, **options)
    return answer.value.response.status_code


@pytest.fixture
def module(tmp_path):
    """Writes a program around the chapter's modules that listens and ends itself."""

    def write(body: str, name: str = "module"):
        path = tmp_path / f"{name}.mjs"
        if not (tmp_path / "node_modules").exists():
            (tmp_path / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
        folder = node.SNIPPETS.as_uri()
        body = re.sub(r"from '\./", f"from '{folder}/{TOPIC}/", body)
        path.write_text(
            "import { createServer } from 'node:http';\n"
            "import { appendFileSync } from 'node:fs';\n"
            f"{body}\n"
            "server.listen(Number(process.env.PORT), '127.0.0.1', () =>\n"
            "  console.log(`listening on http://127.0.0.1:${server.address().port}`));\n"
            "process.once('SIGTERM', () => { stop(); server.close();\n"
            "  server.closeAllConnections(); });\n"
        )
        return path

    return write


def attached(options: str, server: str = "createServer()", after: str = "") -> str:
    return (
        "import { attach } from './attach.mjs';\n"
        f"const server = {server};\n"
        f"const sockets = attach(server, {{ path: '/', origins: ['{SHOP}'],\n"
        f"  authenticate: () => ({{ user: 'ann' }}), {options} }});\n"
        f"{after}\n"
        "const stop = () => sockets.leave({ patienceMs: 100 });\n"
    )


# --- frames by hand -----------------------------------------------------------------

KINDS = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
ERRORS = {"1002", "1007", "1009", "1002|1009"}


def payload(text: str) -> bytes:
    if text.startswith("hex:"):
        return bytes.fromhex(text[4:])
    if text.startswith("*"):
        return b"x" * int(text[1:])
    return text.encode()


def frame(notation: str) -> bytes:
    """The bytes of a frame, see `about` in the file of cases."""
    first, *words = notation.split(" ")
    if first == "raw":
        return bytes.fromhex(words[0])
    mask, length, data = bytes.fromhex("37fa213d"), None, b""
    for word in words:
        if word == "nomask":
            mask = b""
        elif word.startswith("mask:"):
            mask = bytes.fromhex(word[5:])
        elif word in ("len16", "len64"):
            length = int(word[3:])
        else:
            data = payload(word)
    if length is None:
        length = 7 if len(data) < 126 else 16 if len(data) < 65536 else 64
    head = {
        7: lambda: bytes([len(data)]),
        16: lambda: b"\x7e" + struct.pack(">H", len(data)),
        64: lambda: b"\x7f" + struct.pack(">Q", len(data)),
    }[length]()
    if mask:
        head = bytes([head[0] | 0x80]) + head[1:] + mask
        repeated = (mask * (len(data) // 4 + 1))[: len(data)]
        data = bytes(a ^ b for a, b in zip(data, repeated, strict=True))
    return bytes.fromhex(first) + head + data


KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
ACCEPT = base64.b64encode(hashlib.sha1((KEY + GUID).encode()).digest()).decode()
UPGRADE = {
    "Host": "shop.test",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


class Wire:
    """A client that writes what it is told to, frame or not."""

    def __init__(self, port: int, target: str = "/", **headers: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.file = self.socket.makefile("rb")
        lines = [f"{name}: {value}" for name, value in {**UPGRADE, **headers}.items()]
        head = "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""])
        self.socket.sendall(head.encode())
        self.head = b"".join(iter(self.file.readline, b"\r\n")).decode()
        assert self.head.startswith("HTTP/1.1 101"), self.head

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, *notations: str) -> None:
        with contextlib.suppress(ConnectionError):  # it may have had enough
            self.socket.sendall(b"".join(map(frame, notations)))

    def receive(self) -> tuple[str, bytes] | None:
        """Kind and payload of the next frame; None at the end of the connection."""
        try:
            head = self.file.read(2)
            if len(head) < 2:
                return None
            assert head[0] & 0xF0 == 0x80, "a whole frame without reserved bits"
            size = head[1]  # the mask bit would make it more than 127
            assert size < 128, "a server must not mask"
            if size > 125:
                count = 2 if size == 126 else 8
                size = int.from_bytes(self.file.read(count), "big")
            return KINDS[head[0] & 15], self.file.read(size)
        except ConnectionError:
            return None


def play(port: int, case: dict) -> list[tuple[str, bytes]]:
    """The server's frames, until the connection ends. Where the case leaves it open,
    a close of ours must be answered."""
    last = case["expect"][-1].split(" ")[0]
    with Wire(port) as wire:
        wire.send(*case["send"])
        if last == "end":
            wire.socket.shutdown(socket.SHUT_WR)
        elif last != "close":
            wire.send("88 hex:03e8")
        frames = []
        while received := wire.receive():
            frames.append(received)
            whole = len(frames) == len(case["expect"])
            if last == "close" and whole and received[0] != "close":
                return frames  # it should have had enough by now
    if last not in ("close", "end") and frames[-1:] == [("close", b"\x03\xe8")]:
        frames.pop()
    elif last not in ("close", "end"):
        frames.append(("died", b""))
    return frames


def as_required(case: dict, frames: list[tuple[str, bytes]]) -> bool:
    wanted = [] if case["expect"] == ["end"] else case["expect"]
    if len(wanted) != len(frames):
        return False
    for text, (kind, data) in zip(wanted, frames, strict=True):
        name, _, rest = text.partition(" ")
        if name == "close" and rest:
            codes = [struct.pack(">H", int(code)) for code in rest.split("|")]
            same = data[:2] in codes
        else:
            same = data == payload(rest)
        if name != kind or not same:
            return False
    return True


def fails(case: dict) -> bool:
    """Whether the server has to fail the connection, not just to answer a close."""
    code = case["expect"][-1].removeprefix("close ")
    return code in ERRORS and case["name"] != f"close code {code}"


def test_the_corpus_is_what_the_page_says_it_is():
    assert len(CASES) >= 60
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert {"5.1", "5.2", "5.3", "5.4", "5.5", "7.4", "8.1"} <= {c["rfc"] for c in CASES}


def test_the_hardened_server_does_what_the_rfc_requires_in_every_case():
    with node.serve(f"{TOPIC}/echo.mjs") as server, client(server.url) as other:
        with ThreadPoolExecutor(4) as pool:
            seen = list(pool.map(lambda case: play(server.port, case), CASES))
        wrong = {
            case["name"]: frames
            for case, frames in zip(CASES, seen, strict=True)
            if not as_required(case, frames)
        }
        assert wrong == {}
        other.send("still there")
        assert other.recv(20) == "still there"
        assert server.alive()


# Counts what would have ended the process, which lives on for the next case.
COUNT = """data:text/javascript,process.setUncaughtExceptionCaptureCallback(
  (error) => console.log('uncaught', error.code))"""


def naively() -> list[str]:
    """What becomes of the naive server in each case: right, wrong or died."""
    seen = []
    with node.serve(f"{TOPIC}/echo.naive.mjs", flags=("--import", COUNT)) as server:
        for case in CASES:
            before = server.output().count("uncaught WS_ERR")
            right = as_required(case, play(server.port, case))
            died = server.output().count("uncaught WS_ERR") > before
            seen.append("died" if died else "right" if right else "wrong")
    return seen


def test_the_naive_server_dies_of_every_bad_frame_and_returns_bytes_as_text():
    seen = naively()
    by = {
        what: {c["name"] for c, found in zip(CASES, seen, strict=True) if found == what}
        for what in ("died", "wrong", "right")
    }
    large = {case["name"] for case in CASES if "limit" in case}
    promised = {"a header that promises 1 GiB"}  # more than its 100 MiB
    binary = {
        case["name"] for case in CASES if any("binary" in e for e in case["expect"])
    }
    assert by["died"] == {c["name"] for c in CASES if fails(c)} - large | promised
    assert by["wrong"] == binary | large - promised
    assert len(by["died"]) >= 50


GROUPS = list(dict.fromkeys(case["group"] for case in CASES))


@pytest.mark.timing
def test_what_the_corpus_does_to_the_naive_server():
    """Counts only; marked as timed since it records."""
    seen = naively()
    counts = {name: {"right": 0, "wrong": 0, "died": 0} for name in GROUPS}
    for case, what in zip(CASES, seen, strict=True):
        counts[case["group"]][what] += 1
    for name, what, value in (
        ("cases", "cases of RFC 6455 in the corpus", len(CASES)),
        ("deaths", "cases that end the naive echo server", seen.count("died")),
    ):
        bounds = {"above": value - 0.5, "below": value + 0.5}
        evidence.hold(f"{TOPIC}/{name}", value, "cases", what, source=SOURCE, **bounds)

    drawing, axes = figure.plot(6.4, 3.2)
    left = [0] * len(GROUPS)
    names = list(reversed(GROUPS))
    says = {"right": "as required", "wrong": "wrong answer", "died": "process ended"}
    shades = {"right": 2, "wrong": 3, "died": 1}
    for what, label in says.items():
        widths = [counts[name][what] for name in names]
        color = figure.SERIES[shades[what]]
        axes.barh(names, widths, 0.62, left, label=label, color=color, alpha=0.45)
        for row, width in enumerate(widths):
            if width:
                axes.text(left[row] + width / 2, row, width, ha="center", va="center")
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set(xlabel="cases", xlim=(0, max(left) + 1))
    axes.grid(axis="y", visible=False)
    drawing.legend(loc="outside upper center", ncols=3)
    figure.publish(
        f"{TOPIC}/corpus",
        drawing,
        f"The naive echo server under {len(CASES)} cases of RFC 6455, by group: "
        f"{seen.count('died')} end the process, {seen.count('wrong')} get a wrong "
        f"answer, {seen.count('right')} are as required. Reserved bits and opcodes, "
        "and bad close codes, kill it most.",
        {
            "group": GROUPS,
            **{what: [counts[name][what] for name in GROUPS] for what in says},
        },
        source=SOURCE,
    )


@pytest.mark.claim("websockets/five-lines")
def test_two_bytes_end_the_naive_server_and_all_its_connections():
    with pytest.raises(node.NodeError, match="ended while it was being served"):
        with node.serve(f"{TOPIC}/echo.naive.mjs") as server:
            with client(server.url) as one, client(server.url) as two:
                one.send("hello")
                assert one.recv(20) == "hello"
                with Wire(server.port) as wire:
                    wire.send("raw ff00")
                assert ended(one) == ended(two) == (1006, "")
                process.until(lambda: not server.alive(), what="the process ended")
                assert "WS_ERR_UNEXPECTED_RSV_2_3" in server.output()


@pytest.mark.claim("websockets/five-lines")
def test_the_same_two_bytes_end_only_their_own_connection_of_the_hardened_server():
    with node.serve(f"{TOPIC}/echo.mjs") as server:
        with client(server.url) as one, client(server.url) as two:
            with Wire(server.port) as wire:
                wire.send("raw ff00")
                assert wire.receive() == ("close", struct.pack(">H", 1002))
            for peer in (one, two):
                peer.send("still there")
                assert peer.recv(20) == "still there"


# --- the handshake ------------------------------------------------------------------


def test_the_handshake_answers_the_key_and_a_frame_is_what_the_rfc_says():
    lines = output("handshake.mjs")
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


# --- messages -----------------------------------------------------------------------


@pytest.mark.claim("websockets/echo-works")
def test_binary_comes_back_as_text_and_a_message_is_a_buffer():
    sent = b"\x00\xff\x80"
    with node.serve(f"{TOPIC}/echo.naive.mjs") as server, client(server.url) as peer:
        peer.send(sent)
        assert peer.recv(20) == "\x00\ufffd\ufffd"
    with node.serve(f"{TOPIC}/echo.mjs") as server, client(server.url) as peer:
        peer.send(sent)
        assert peer.recv(20) == sent
        peer.send("text")
        assert peer.recv(20) == "text"
    seen = node.evaluate(
        """
    import { once } from 'node:events';
    import { WebSocket, WebSocketServer } from 'ws';
    const wss = new WebSocketServer({ port: 0 });
    const peer = new WebSocket(`ws://127.0.0.1:${wss.address().port}`);
    const [socket] = await once(wss, 'connection');
    await once(peer, 'open');
    for (const sent of ['go', Buffer.from('go')]) {
      peer.send(sent);
      const [data, isBinary] = await once(socket, 'message');
      console.log(Buffer.isBuffer(data), data === 'go', isBinary);
    }
    peer.terminate();
    wss.close();
    """
    ).stdout
    assert seen.splitlines() == ["true false false", "true false true"]


@pytest.mark.claim("websockets/messages-are-small")
def test_what_is_above_the_limit_ends_its_own_connection():
    with node.serve(f"{TOPIC}/echo.mjs") as server:
        with client(server.url) as other, client(server.url) as peer:
            peer.send(b"x" * 65536)
            assert len(peer.recv(20)) == 65536
            peer.send(b"x" * 65537)
            assert ended(peer)[0] == 1009
            other.send("still there")
            assert other.recv(20) == "still there"


LIMITED = """
import { WebSocketServer } from 'ws';
const server = createServer();
const wss = new WebSocketServer({ server, maxPayload: 64 * 1024 });
wss.on('connection', (socket) => {
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    socket.send(`got ${message.action}`);
  });
});
const stop = () => wss.clients.forEach((socket) => socket.terminate());
"""


@pytest.mark.claim("websockets/max-payload-protects")
@pytest.mark.parametrize(
    ("sent", "error"),
    [("x" * 70_000, "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"), ("hello", "SyntaxError")],
)
def test_a_server_with_a_limit_of_size_dies_of_a_message_above_it_and_of_no_json(
    module, sent, error
):
    with pytest.raises(node.NodeError, match="ended while it was being served"):
        with node.serve(module(LIMITED)) as server, client(server.url) as other:
            other.send('{"action":"greet"}')
            assert other.recv(20) == "got greet"
            with client(server.url) as peer:
                with contextlib.suppress(ConnectionClosed):
                    peer.send(sent)
                assert ended(other) == (1006, "")
            process.until(lambda: not server.alive(), what="the process ended")
            assert error in server.output()


@pytest.mark.parametrize("how", ["throws", "rejects"])
@pytest.mark.parametrize("which", ["onOpen", "onMessage"])
def test_a_handler_that_fails_ends_its_own_connection_and_is_logged(module, which, how):
    told = "url.search" if which == "onOpen" else "`${data}`"
    path = module(
        attached(f"""logger: {{ info() {{}},
          error: ({{ error, user }}, what) => console.log(what, user, error.message) }},
        onMessage: (socket, data) => sockets.send(socket, `${{data}}`),
        {which}: {"async" if how == "rejects" else ""} (socket, data, more, who) => {{
          const [url, isBinary] = [more, more];
          if ({told} === '?bad') throw new Error('disk full');
          if ('{which}' === 'onMessage') sockets.send(socket, `${{data}} ${{who}}`);
        }}""")
    )
    with node.serve(path) as server, client(server.url, "/?good") as other:
        with client(server.url, "/?bad") as peer:
            if which == "onMessage":
                peer.send("?bad")
                peer.send("after it")
            assert ended(peer)[0] == 1011  # a frame: nothing but frames came
        process.until(lambda: "socket ann disk full" in server.output(), what="logged")
        other.send("hello")
        assert other.recv(20) == ("hello ann" if which == "onMessage" else "hello")


@pytest.mark.claim("websockets/max-payload-protects")
def test_a_message_that_is_no_json_ends_its_own_connection_only(module):
    path = module(
        attached("onMessage: (socket, data) => socket.send(`${JSON.parse(data).n}`)")
    )
    with node.serve(path) as server:
        with client(server.url) as other, client(server.url) as peer:
            peer.send("hello")
            assert ended(peer)[0] == 1011
            other.send('{"n":1}')
            assert other.recv(20) == "1"


def test_orders_that_cannot_be_read_end_one_socket_and_no_process(module):
    path = module("""
    import { attachOrders } from './account.mjs';
    const server = createServer();
    const sockets = attachOrders(server, {
      tickets: { redeem: async (user) => user && { user } },
      ordersOf: async (user) => {
        if (user === 'bob') throw new Error('database away');
        return [`the orders of ${user}`];
      } });
    const stop = () => sockets.leave({ patienceMs: 100 });
    """)
    with node.serve(path) as server:
        assert refused(server.url, "/orders") == 401
        with client(server.url, "/orders?ticket=bob") as bob:
            assert ended(bob)[0] == 1011
        with client(server.url, "/orders?ticket=ann") as ann:
            assert ann.recv(20) == '["the orders of ann"]'
        assert "database away" in server.output()


@pytest.mark.claim("websockets/compression-is-free")
def test_a_message_that_grows_above_the_limit_when_inflated_is_refused():
    with node.serve(f"{TOPIC}/deflate.mjs", env={"DEFLATE": "on"}) as server:
        with client(server.url, compression="deflate") as peer:
            peer.send("x" * 60_000)
            assert peer.recv(20) == "x" * 60_000
            peer.send("x" * 10_000_000)  # ten kilobytes on the wire
            assert ended(peer)[0] == 1009
    with node.serve(f"{TOPIC}/deflate.mjs") as server:
        with client(server.url, compression="deflate") as peer:
            assert peer.protocol.extensions == []  # refused


@pytest.mark.parametrize("kind", ["messages", "pings", "pongs"])
def test_a_flood_is_answered_by_the_naive_server_and_ended_by_the_hardened_one(
    module, kind
):
    path = module(
        attached(
            "authenticate: (req, url) => ({ user: url.search }), closeTimeout: 300,\n"
            "  onMessage: (socket, data) => sockets.send(socket, `${data}`)"
        )
    )
    sent = [{"messages": "81", "pings": "89", "pongs": "8a"}[kind] + " go"] * 2000
    with node.serve(f"{TOPIC}/echo.naive.mjs") as server:
        with Wire(server.port) as wire:
            wire.send(*sent, "81 last", *(["88 hex:03e8"] * (kind == "pongs")))
            answered = sum(
                1 for _ in zip(range(2000), iter(wire.receive, None), strict=False)
            )
    # ws itself ends a connection for which too many pongs wait to be sent
    if kind == "pongs":
        assert answered == 2  # "last", and its close
    else:
        assert (answered == 2000) == (kind == "messages")
    with node.serve(path) as server, client(server.url, "/?other") as other:
        with Wire(server.port, "/?attacker") as wire:
            start = time.monotonic()
            wire.send(*sent)
            frames = list(iter(wire.receive, None))
            took = time.monotonic() - start
        closes = [data for name, data in frames if name == "close"]
        answers = [frame for frame in frames if frame[0] in ("text", "pong")]
        assert closes == [struct.pack(">H", 1008) + b"too many messages"]
        if kind == "messages":
            assert 40 <= len(answers) <= 41 + 20 * took  # burst, and what came since
        else:
            assert len(answers) < 2000
        other.send("still there")
        assert other.recv(20) == "still there"


def test_a_client_within_its_rate_is_never_ended(module):
    path = module(
        attached(
            "perSecond: 100, burst: 5,\n"
            "  onMessage: (socket, data) => sockets.send(socket, `${data}`)"
        )
    )
    with node.serve(path) as server, client(server.url) as peer:
        for n in range(30):
            peer.send(str(n))
            assert peer.recv(20) == str(n)
            time.sleep(0.02)


# --- a connection that lasts --------------------------------------------------------


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


PEER = """
const socket = new WebSocket(process.argv[2]);
socket.onopen = () => console.log('open');
"""


@pytest.fixture
def silent_peer(tmp_path):
    """Gives a function: a client in a process of its own, which is then stopped, so
    that its kernel acknowledges and the client does nothing."""
    (tmp_path / "peer.mjs").write_text(PEER)
    with contextlib.ExitStack() as stack:

        def start(url: str, seen=lambda: True) -> int:
            argv = [node.binary(), tmp_path / "peer.mjs", url.replace("http", "ws", 1)]
            log = stack.enter_context((tmp_path / "peer.log").open("wb"))
            child, token = process.start(argv, cwd=tmp_path, stdout=log, stderr=log)
            stack.callback(process.end, child, token, 0)
            process.until(
                lambda: (tmp_path / "peer.log").read_text() == "open\n", what="it is open"
            )
            process.until(seen, what="the server lists it")
            child.send_signal(signal.SIGSTOP)
            return child.pid

        yield start


def online(c: httpx.Client) -> int:
    return int(c.get("/").text)


@pytest.mark.claim("websockets/keepalive-is-enough")
def test_a_stopped_client_stays_listed_with_keepalive_and_goes_with_a_heartbeat(
    silent_peer,
):
    interval = 0.3
    with node.serve(f"{TOPIC}/presence.naive.mjs") as server, server.client() as c:
        silent_peer(server.url)
        deadline = time.monotonic() + 10 * interval
        while time.monotonic() < deadline:
            assert online(c) == 1
            time.sleep(interval / 4)
    # long enough for both to answer one, on a machine with other work as well
    env = {"HEARTBEAT_MS": "3000"}
    with node.serve(f"{TOPIC}/presence.mjs", env=env) as server, server.client() as c:
        with client(server.url) as other:  # answers pings by itself
            silent_peer(server.url, lambda: online(c) == 2)
            process.until(lambda: online(c) == 1, what="the stopped one was ended")
            other.ping().wait(20)  # and this one was not


@pytest.mark.timing
def test_a_stopped_client_is_gone_after_one_to_two_heartbeats(silent_peer):
    """In heartbeat intervals."""
    interval, found = 0.5, []
    env = {"HEARTBEAT_MS": str(int(interval * 1000))}
    for _ in range(3):
        with node.serve(f"{TOPIC}/presence.mjs", env=env) as server:
            with server.client() as c:
                silent_peer(server.url)
                began = time.monotonic()
                process.until(lambda c=c: online(c) == 0, what="it was ended")
                found.append((time.monotonic() - began) / interval)
    evidence.hold(
        f"{TOPIC}/heartbeats",
        found,
        "intervals",
        "time until a stopped client was ended, in heartbeat intervals",
        source=SOURCE,
        below=2.5,
    )


@pytest.mark.claim("websockets/stays-open")
def test_a_proxy_cuts_a_quiet_socket_and_a_heartbeat_keeps_it(nginx_proxy, module):
    quiet = {"naive": f"{TOPIC}/presence.naive.mjs", "beating": f"{TOPIC}/presence.mjs"}
    took = {}
    for name, snippet in quiet.items():
        with node.serve(snippet, env={"HEARTBEAT_MS": "800"}) as server:
            proxy = nginx_proxy(
                server.url, websocket=True, location="proxy_read_timeout 3s;"
            )
            with client(proxy.url) as peer:
                start = time.monotonic()
                with contextlib.suppress(TimeoutError):
                    assert ended(peer, 60 if name == "naive" else 4.5) == (1006, "")
                took[name] = time.monotonic() - start
    assert 2.9 < took["naive"] < 59  # it was cut
    assert took["beating"] > 4.4  # it was there all the time


def test_without_the_upgrade_headers_a_proxy_refuses(nginx_proxy):
    with node.serve(f"{TOPIC}/echo.mjs") as server:
        proxy = nginx_proxy(server.url, websocket=False)
        assert refused(proxy.url) == 426  # Node saw a plain request
        proxy = nginx_proxy(server.url, websocket=True)
        with client(proxy.url) as peer:
            peer.send("hello")
            assert peer.recv(20) == "hello"


@pytest.mark.claim("websockets/sticky-sessions")
def test_sockets_need_no_sticky_sessions(nginx_proxy):
    with (
        node.serve(f"{TOPIC}/echo.mjs") as one,
        node.serve(f"{TOPIC}/echo.mjs") as two,
        contextlib.ExitStack() as stack,
    ):
        proxy = nginx_proxy([one.url, two.url], websocket=True)
        peers = [stack.enter_context(client(proxy.url)) for _ in range(10)]
        for peer in peers:
            for n in range(5):
                peer.send(str(n))
                assert peer.recv(20) == str(n)
        there = [
            sum(
                c.status == "ESTABLISHED" and c.laddr.port == s.port
                for c in psutil.Process(s.pid).net_connections()
            )
            for s in (one, two)
        ]
        assert there == [5, 5]


@pytest.mark.claim("websockets/server-close")
def test_server_close_waits_for_sockets_and_leave_ends_them(module):
    waits = """
    import { once } from 'node:events';
    import { createServer } from 'node:http';
    import { WebSocket, WebSocketServer } from 'ws';
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const wss = new WebSocketServer({ server });
    const peer = new WebSocket(`ws://127.0.0.1:${server.address().port}`);
    await once(peer, 'open');
    const closed = once(server, 'close').then(() => 'closed');
    wss.close();
    server.close();
    server.closeAllConnections();
    const late = new Promise((resolve) => setTimeout(resolve, 800, 'waits'));
    console.log(await Promise.race([closed, late]), peer.readyState === 1);
    peer.terminate();
    console.log(await closed);
    """
    assert node.evaluate(waits).stdout.splitlines() == ["waits true", "closed"]
    with node.serve(f"{TOPIC}/echo.mjs") as server:
        with client(server.url) as polite, Wire(server.port) as rude:
            os.kill(server.pid, signal.SIGTERM)
            assert ended(polite)[0] == 1012
            assert rude.receive() == ("close", struct.pack(">H", 1012))
            assert rude.receive() is None  # it never answered: closeTimeout
        process.until(lambda: not server.alive(), what="the process ended by itself")


def test_whoever_does_not_answer_the_close_is_ended_when_patience_is_over(module):
    path = module(attached("closeTimeout: 60_000"))
    with node.serve(path) as server, Wire(server.port) as rude:
        os.kill(server.pid, signal.SIGTERM)
        assert rude.receive() == ("close", struct.pack(">H", 1012))
        assert rude.receive() is None
        process.until(lambda: not server.alive(), what="the process ended by itself")


# --- slow consumers -----------------------------------------------------------------


@pytest.mark.claim("websockets/send-is-delivery")
def test_a_client_that_does_not_read_fills_the_naive_servers_memory():
    naive, hardened = map(json.loads, output("slow.mjs"))
    most = {
        run["name"]: max(mib for _, mib in run["samples"]) for run in (naive, hardened)
    }
    assert most["naive"] > 80  # of 125; the kernel has the rest
    assert most["hardened"] < 0.2
    assert naive["connected"] == 2
    assert hardened["connected"] == 1  # the slow one was ended
    assert hardened["received"] > 500  # the other one had its prices


@pytest.mark.claim("websockets/send-is-delivery")
def test_what_waits_for_a_client_is_memory_when_each_message_is_its_own():
    """What is queued cannot be collected. (The client is a process of its own.)"""
    seen = node.evaluate(
        """
    import { spawn } from 'node:child_process';
    import { once } from 'node:events';
    import { setFlagsFromString } from 'node:v8';
    import { runInNewContext } from 'node:vm';
    import { WebSocketServer } from 'ws';
    const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(wss, 'listening');
    const peer = `import { WebSocket } from 'ws';
      const peer = new WebSocket('ws://127.0.0.1:${wss.address().port}');
      setInterval(() => {}, 1000); // a socket that is paused keeps nothing alive
      peer.once('open', () => { peer.pause(); console.log('paused'); });`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', peer]);
    await once(child.stdout, 'data');
    const [socket] = wss.clients;
    const sent = [];
    for (let i = 0; i < 2000; i += 1) {
      const prices = Buffer.alloc(65536, 'x');
      sent.push(new WeakRef(prices));
      socket.send(prices);
      if (i % 50 === 0) await new Promise(setImmediate);
    }
    await new Promise(setImmediate); // a turn's WeakRefs are alive in that turn
    setFlagsFromString('--expose-gc');
    runInNewContext('gc')();
    const alive = sent.filter((one) => one.deref()).length;
    console.log(Math.round(socket.bufferedAmount / 65536), alive, socket.readyState);
    child.kill('SIGKILL');
    process.exit();
    """
    ).stdout
    waiting, alive, state = map(int, seen.split())
    assert state == 1
    assert waiting > 1600  # of 2000; the kernel has the rest
    assert alive >= waiting - 1  # headers are counted as well


def test_close_waits_behind_what_is_not_read_and_terminate_does_not(module):
    body = """
    import { once } from 'node:events';
    import { WebSocket, WebSocketServer } from 'ws';
    const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(wss, 'listening');
    for (const how of ['close', 'terminate']) {
      const peer = new WebSocket(`ws://127.0.0.1:${wss.address().port}`);
      const [socket] = await once(wss, 'connection');
      await once(peer, 'open');
      peer.pause();
      for (let i = 0; i < 300; i += 1) socket.send(Buffer.alloc(65536));
      socket[how]();
      if (how === 'terminate') await once(socket, 'close');
      else await new Promise((resolve) => setTimeout(resolve, 300));
      console.log(how, socket.bufferedAmount > 2 ** 20, socket.readyState);
      socket.terminate();
      peer.terminate();
    }
    wss.close();
    """
    assert node.evaluate(body).stdout.splitlines() == [
        "close true 2",
        "terminate false 3",
    ]


def test_send_ends_a_client_that_lags_too_far(module):
    # each question is answered after one more message to everybody, so that whoever
    # reads one between two questions never lags, on however slow a machine
    server = """createServer((req, res) => {
      for (const socket of sockets.clients) sockets.send(socket, Buffer.alloc(65536));
      res.end(`${sockets.clients.size}`);
    })"""
    limit = "maxBuffered: 2 ** 20, authenticate: (req, url) => ({ user: url.search })"
    path = module(attached(limit, server=server))
    with node.serve(path) as server, server.client() as c:
        with Wire(server.port, "/?slow"), Wire(server.port, "/?quick") as quick:

            def read_on():
                left = online(c)
                assert quick.receive()[0] == "binary"
                return left == 1

            process.until(read_on, what="the slow one was ended")


# --- several processes, and coming back ---------------------------------------------


def room(**env: str):
    return node.serve(f"{TOPIC}/workers.mjs", env={"WORKERS": "2", **env}, grace=15)


def pid(url: str) -> str:
    return httpx.get(url, timeout=20).text


def spread(server, stack: contextlib.ExitStack, count: int) -> list:
    """Sockets that are connected to the workers in turn; each has said it is ready."""
    peers = [stack.enter_context(client(server.url, "/room")) for _ in range(count)]
    for peer in peers:
        assert json.loads(peer.recv(20))["type"] == "ready"
    return peers


def hear(peers: list, text: str) -> int:
    """How many hear what the first one says. Then the second one says something, so
    that whoever heard nothing before hears that: nobody waits for silence."""
    peers[0].send(text)
    assert json.loads(peers[0].recv(20))["data"] == text
    peers[1].send("and that")
    return 1 + [json.loads(peer.recv(20))["data"] for peer in peers[1:]].count(text)


@pytest.mark.claim("websockets/broadcast-reaches-all")
def test_a_message_reaches_one_worker_without_a_bus_and_all_with_redis(redis_server):
    """With one worker and with four: the notebook."""
    reached = {}
    for name, env in {"none": {}, "redis": {"REDIS_URL": redis_server.url}}.items():
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(room(**env))
            peers = spread(server, stack, 8)
            reached[name] = hear(peers, "hello")
    assert reached == {"none": 4, "redis": 8}


FOLLOWER = """
import { follow } from '%s';
// a client that waits as long as the test wants, however busy the machine is
const later = setTimeout;
if (process.argv[4]) globalThis.setTimeout = (open, ms, ...args) => {
  if (ms !== 1234 || stop.signal.aborted) return later(open, ms, ...args);
  const alive = setInterval(() => {}, 1000);
  process.once('SIGUSR2', () => { clearInterval(alive); open(); });
  return console.log('away');
};
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
const [base, spreadMs] = process.argv.slice(2);
await follow({
  url: (cursor) => `${base}${cursor ? `?after=${cursor}` : ''}`,
  onEvent: (data) => console.log(typeof data === 'object' ? data.data : data),
  onReset: () => console.log('reset'),
  signal: stop.signal, spreadMs: Number(spreadMs), delayMs: Number(spreadMs),
});
"""


@contextlib.contextmanager
def follower(
    folder: Path, url: str, snippet: str = "client.mjs", spread_ms: int = 300, *hold: str
):
    """Runs a chapter's client; yields a function that gives what it printed. With
    `hold`, a client that waits 1234 ms prints `away`, and waits for SIGUSR2 instead:
    the function's `come_back` sends it."""
    path, out = folder / "follower.mjs", folder / "follower.log"
    path.write_text(FOLLOWER % node.resolve(f"{TOPIC}/{snippet}").as_uri())
    with out.open("wb") as log:
        argv = [node.binary(), path, url.replace("http", "ws", 1), str(spread_ms), *hold]
        env = {}
        if folder_ := os.environ.get(node.COVERAGE):
            env["NODE_V8_COVERAGE"] = folder_
        child, token = process.start(argv, cwd=folder, stdout=log, stderr=log, env=env)
        try:

            def seen() -> list[str]:
                return out.read_text("utf-8").split()

            seen.come_back = lambda: child.send_signal(signal.SIGUSR2)
            yield seen
        finally:
            process.end(child, token, grace=10)


@pytest.mark.claim("websockets/every-message-arrives")
def test_a_client_that_resumes_sees_every_message_once_through_a_rolling_restart(
    redis_server, tmp_path
):
    with room(REDIS_URL=redis_server.url) as server:
        before = {pid(server.url) for _ in range(6)}
        with follower(tmp_path, f"{server.url}/room") as seen:
            sent = 0

            def say(count: int) -> None:
                nonlocal sent
                for _ in range(count):
                    append(redis_server, str(sent))
                    sent += 1

            process.until(
                lambda: subscribers(redis_server) == 2, what="both workers listen"
            )
            say(1)
            process.until(lambda: seen() or say(1), what="it follows")
            os.kill(server.pid, signal.SIGHUP)
            before_it = sent
            # how many fit in depends on the machine; one has to
            process.until(lambda: "done" in server.output() or say(1), 60, "all are new")
            assert sent > before_it
            say(20)
            process.until(lambda: seen()[-1] == str(sent - 1), what="it has the last one")
            assert seen() == [str(n) for n in range(int(seen()[0]), sent)]
        assert before.isdisjoint({pid(server.url) for _ in range(6)})  # all are new


def append(redis, text: str) -> None:
    """As `append` in log.mjs, from another process."""
    source = node.resolve(f"{TOPIC}/log.mjs").read_text()
    script = re.search(r"const APPEND = `(.*?)`", source, re.DOTALL)[1]
    keys = ["{feed}:epoch", "{feed}:seq", "{feed}:events"]
    redis.command("EVAL", script, 3, *keys, "epoch", json.dumps(text), 1000)


def subscribers(redis) -> int:
    return redis.command("PUBSUB", "NUMSUB", "{feed}:events")[1]


@pytest.mark.claim("websockets/every-message-arrives")
def test_the_naive_client_comes_back_and_has_missed_some(redis_server, tmp_path):
    with room(REDIS_URL=redis_server.url, WORKERS="1") as server:
        url = f"{server.url}/room"
        with follower(tmp_path, url, "client.naive.mjs", 1234, "hold") as seen:
            process.until(
                lambda: len(seen()) >= 1, what="it follows"
            )  # the ready, without data
            append(redis_server, "first")
            process.until(lambda: "first" in seen(), what="the first one")
            os.kill(server.pid, signal.SIGHUP)
            process.until(lambda: "away" in seen(), what="its worker is replaced")
            append(redis_server, "missed")
            returned = 0

            def is_back() -> bool:
                """It may meet the old worker once more, and then goes away again."""
                nonlocal returned
                if seen().count("away") > returned:
                    returned += 1
                    seen.come_back()
                return seen().count("undefined") == 2

            process.until(is_back, what="it is back")
            append(redis_server, "last")
            process.until(lambda: "last" in seen(), what="the last one")
            assert "missed" not in seen()


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_a_feed_replays_what_it_keeps_and_says_when_it_does_not(kind, redis_server):
    url = redis_server.url
    seen = node.evaluate(
        f"""
    import {{ createFeed }} from './{TOPIC}/feed.mjs';
    import {{ memoryLog, redisLog }} from './{TOPIC}/log.mjs';
    import {{ EventEmitter }} from 'node:events';
    const stop = new AbortController();
    const {{ signal }} = stop;
    const log = '{kind}' === 'memory' ? memoryLog({{ keep: 5 }})
      : await redisLog({{ url: '{url}', signal, keep: 5 }});
    const feed = createFeed({{ log, signal, batch: 2, beatMs: 50 }});
    function socket() {{
      const made = new EventEmitter();
      made.said = [];
      return Object.assign(made, {{ OPEN: 1, readyState: 1, bufferedAmount: 0,
        send(text, done) {{ made.said.push(JSON.parse(text)); setImmediate(() => done?.()); }},
        close() {{ made.readyState = 3; made.emit('close'); }} }});
    }}
    const tell = (s) => console.log(s.said.filter((m) => m.type !== 'beat').map((m) =>
      `${{m.type}} ${{m.id.split('.')[1]}} ${{m.data ?? ''}}`.trim()).join(', '));
    const until = async (so) => {{
      while (!so()) await new Promise((resolve) => setTimeout(resolve, 5));
    }};
    const one = socket();
    await feed.follow(one);
    for (const data of ['a', 'b', 'c']) await feed.publish(data);
    await until(() => one.said.some((m) => m.data === 'c'));
    tell(one);
    await until(() => one.said.some((m) => m.type === 'beat'));
    one.close();
    const {{ id }} = one.said.findLast((m) => m.type === 'event');
    for (const data of ['d', 'e', 'f']) await feed.publish(data);
    for (const cursor of [id, id.replace(/3$/, '1'), id.replace(/3$/, '0'),
      id.replace(/3$/, '9'), 'other.3', '🙂', null]) {{
      const two = socket();
      await feed.follow(two, cursor); // resolves when it has said what there was
      tell(two);
      two.close();
    }}
    stop.abort();
    """
    ).stdout
    assert seen.splitlines() == [
        "ready 0, event 1 a, event 2 b, event 3 c",
        "event 4 d, event 5 e, event 6 f",
        "event 2 b, event 3 c, event 4 d, event 5 e, event 6 f",
        "reset 6",  # 1 is gone
        "reset 6",  # never was
        "reset 6",  # of another log
        "reset 6",  # no cursor at all
        "ready 6",
    ]


def test_a_redis_that_lost_its_log_is_a_reset_and_then_it_goes_on(redis_server, tmp_path):
    with room(REDIS_URL=redis_server.url, WORKERS="1") as server:
        with follower(tmp_path, f"{server.url}/room") as seen:
            n = 0

            def follows(since: int) -> bool:
                nonlocal n
                n += 1  # it is told only what was said after it came
                append(redis_server, str(n))
                time.sleep(0.02)
                return any(text.isdigit() and int(text) > since for text in seen())

            process.until(lambda: follows(0), what="it follows")
            redis_server.stop()
            redis_server.start()
            # told on the same connection, or after it was closed with 1011
            process.until(lambda: "reset" in seen(), what="it was told")
            process.until(lambda: subscribers(redis_server) == 1, what="it listens again")
            before = n
            process.until(lambda: follows(before), what="it goes on")
            assert seen().count("reset") == 1


def test_a_ring_that_was_missed_is_made_up_for(redis_server):
    seen = node.evaluate(
        f"""
    import {{ redisLog }} from './{TOPIC}/log.mjs';
    import {{ Redis }} from 'ioredis';
    const stop = new AbortController();
    const log = await redisLog({{ url: '{redis_server.url}', signal: stop.signal,
      everyMs: 200 }});
    const other = new Redis('{redis_server.url}');
    const rung = new Promise((resolve) => log.onAppend(resolve));
    await other.multi().incr('{{feed}}:seq').zadd('{{feed}}:events', 1, '1 "quiet"').exec();
    await rung; // nobody published
    console.log(JSON.stringify((await log.read(0, 9)).rows));
    other.disconnect();
    stop.abort();
    """
    ).stdout
    assert json.loads(seen) == [{"seq": 1, "data": "quiet"}]


def test_the_client_waits_a_random_time_that_grows_and_starts_again_after_success():
    """Uses the real client against servers that refuse; only the dice are loaded."""
    seen = node.evaluate(
        f"""
    import {{ createServer }} from 'node:http';
    import {{ once }} from 'node:events';
    import {{ WebSocketServer }} from 'ws';
    import {{ follow }} from './{TOPIC}/client.mjs';
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const wss = new WebSocketServer({{ noServer: true }});
    const came = [];
    server.on('upgrade', (req, socket, head) => {{
      came.push(performance.now());
      if (came.length % 5) return socket.destroy(); // four times of five
      wss.handleUpgrade(req, socket, head, (ws) => {{
        ws.send('{{"type":"event","id":"e.7","data":1}}');
        ws.close();
      }});
    }});
    const stop = new AbortController();
    const asked = [];
    let tickets = 0;
    const url = async (cursor) => {{
      tickets += 1;
      if (tickets === 3) throw new Error('no ticket');
      asked.push(cursor);
      if (asked.length === 7) stop.abort();
      return `ws://127.0.0.1:${{server.address().port}}/`;
    }};
    const seen = [];
    await follow({{ url, signal: stop.signal, onEvent: (data, id) => seen.push(data, id),
      spreadMs: 40, maxMs: 200, random: () => 1 }});
    const gaps = came.slice(1).map((time, i) => time - came[i]);
    const least = [40, 80 + 160, 200, 200, 40]; // one attempt never came: no ticket
    console.log(gaps.every((gap, i) => gap >= least[i] - 3), gaps.length);
    console.log(seen.join(), asked.map(String).join());
    server.close();
    """
    ).stdout
    assert seen.splitlines() == [
        "true 5",
        "1,e.7 undefined,undefined,undefined,undefined,undefined,e.7,e.7",
    ]


def test_the_client_gives_up_a_connection_that_has_gone_quiet():
    seen = node.evaluate(
        f"""
    import {{ once }} from 'node:events';
    import {{ WebSocketServer }} from 'ws';
    import {{ follow }} from './{TOPIC}/client.mjs';
    const wss = new WebSocketServer({{ port: 0, host: '127.0.0.1' }});
    await once(wss, 'listening');
    const stop = new AbortController();
    let came = 0;
    wss.on('connection', (socket) => {{
      came += 1; // and says nothing
      if (came === 3) stop.abort();
    }});
    await follow({{ url: () => `ws://127.0.0.1:${{wss.address().port}}`,
      signal: stop.signal, onEvent() {{}}, spreadMs: 10, quietMs: 100 }});
    console.log(came);
    wss.clients.forEach((socket) => socket.terminate());
    wss.close();
    """
    ).stdout
    assert seen == "3\n"


LIVE = f"""
import {{ createApp }} from './live.mjs';
const stopped = new AbortController();
const sessionOf = (req) => ({{ 'sid=ann': {{ user: 'ann' }},
  'sid=bob': {{ user: 'bob', expiresAt: Date.now() + 300 }} }})[req.headers.cookie];
const app = createApp({{ signal: stopped.signal, sessionOf, origins: ['{SHOP}'] }});
const server = createServer((req, res) => {{
  if (req.url !== '/say') return app(req, res);
  app.publish('something').then((seq) => res.end(`${{seq}}`));
}});
const sockets = app.attach(server);
const stop = () => {{ stopped.abort(); sockets.leave({{ patienceMs: 100 }}); }};
"""


def test_one_feed_by_websocket_and_by_sse_resumed_on_either(module):
    ann = {"Cookie": "sid=ann"}
    with node.serve(module(LIVE)) as server, server.client() as c:
        assert c.post("/ticket").status_code == 401
        assert c.get("/ticket", headers=ann).status_code == 401  # it changes something
        assert c.get("/feed").status_code == 401
        assert refused(server.url, "/feed?ticket=made-up") == 401
        ticket = c.post("/ticket", headers=ann)
        assert ticket.headers["Cache-Control"] == "no-store"
        path = f"/feed?ticket={ticket.text}"
        with client(server.url, path, origin=SHOP) as peer:
            assert json.loads(peer.recv(20))["type"] == "ready"
            assert c.get("/say").text == "1"
            event = json.loads(peer.recv(20))
        assert event["data"] == "something"
        assert refused(server.url, path) == 401  # a ticket is used once
        assert [c.get("/say").text for _ in range(2)] == ["2", "3"]
        with c.stream("GET", "/feed", headers={**ann, "Last-Event-ID": event["id"]}) as r:
            assert r.headers["Content-Type"].startswith("text/event-stream")
            lines = [line for _, line in zip(range(5), r.iter_lines(), strict=False)]
        assert [line.rsplit(".", 1)[-1] for line in lines if line.startswith("id:")] == [
            *("2", "3")
        ]
        ticket = c.post("/ticket", headers=ann).text
        with client(server.url, f"/feed?ticket={ticket}&after={event['id']}") as peer:
            again = [json.loads(peer.recv(20))["id"] for _ in range(2)]
        assert [one.rsplit(".", 1)[-1] for one in again] == ["2", "3"]
        with c.stream("GET", "/feed", headers={"Cookie": "sid=bob"}) as r:
            lines = list(r.iter_lines())  # ready, and then its session ended
        assert [line.split(":")[0] for line in lines] == ["id", "data", ""] + [
            *("retry", "data", "")
        ]
        assert lines[-2] == 'data: {"type":"bye"}'


def test_a_stream_that_has_no_news_has_beats(module):
    path = module(LIVE.replace("origins:", "beatMs: 50, origins:"))
    with node.serve(path) as server, server.client() as c:
        with c.stream("GET", "/feed", headers={"Cookie": "sid=ann"}) as r:
            assert any('"beat"' in line for line in r.iter_lines())


def test_served_alone_a_stream_is_ended_before_the_server_has_drained(tmp_path):
    path = tmp_path / "live.mjs"
    deps = "sessionOf: () => ({ user: 'ann' })"
    path.write_text(node.with_deps("websockets/live.mjs", deps))
    with node.serve(path) as server, server.client() as c, c.stream("GET", "/feed") as r:
        lines = r.iter_lines()
        assert '"ready"' in next(one for one in lines if one.startswith("data:"))
        os.kill(server.pid, signal.SIGTERM)
        assert [*lines][-2] == 'data: {"type":"bye"}'  # not cut: the drain waited
        process.until(lambda: not server.alive())


STRANGERS = """
import { createApp } from './live.mjs';
import { ticketRoute } from './account.mjs';
import { createTickets } from './tickets.mjs';
const logger = { info() {}, error: ({ error }, what) => console.log(what, error.message) };
const sessionOf = async (req) => {
  if (req.headers.cookie === 'sid=broken') throw new Error('redis away');
  if (req.headers.cookie === 'sid=over') return { user: 'ann', expiresAt: Date.now() - 1 };
  return req.headers.cookie === 'sid=ann' ? { user: 'ann' } : null;
};
const tickets = createTickets();
const store = { issue: async (who) => tickets.issue(who),
  redeem: async (ticket) => tickets.redeem(ticket) };
const app = createApp({ sessionOf, logger, tickets: store });
const plain = ticketRoute({ sessionOf, tickets: store, logger });
const server = createServer((req, res) =>
  req.url === '/plain' ? plain(req, res) : app(req, res));
const sockets = app.attach(server);
const stop = () => sockets.leave({ patienceMs: 100 });
"""


def test_sessions_and_tickets_that_are_looked_up_elsewhere_let_no_stranger_in(module):
    """A promise is always true: whoever forgets to await it lets everybody in."""
    with node.serve(module(STRANGERS)) as server, server.client() as c:
        for cookie, expected in (("", 401), ("sid=over", 401), ("sid=broken", 500)):
            headers = {"Cookie": cookie}
            with c.stream("GET", "/feed", headers=headers) as answer:
                assert answer.status_code == expected
                assert answer.read() == b""
            if cookie != "sid=over":
                assert c.post("/ticket", headers=headers).status_code == expected
                assert c.post("/plain", headers=headers).status_code == expected
        assert server.output().split("\n")[1:-1] == [
            "live redis away",
            "ticket redis away",
            "ticket redis away",
        ]
        ann = {"Cookie": "sid=ann"}
        assert refused(server.url, "/feed?ticket=made-up") == 401
        over = c.post("/ticket", headers={"Cookie": "sid=over"}).text
        assert refused(server.url, f"/feed?ticket={over}") == 401
        ticket = c.post("/ticket", headers=ann).text
        with client(server.url, f"/feed?ticket={ticket}") as peer:
            assert json.loads(peer.recv(20))["type"] == "ready"
        with c.stream("GET", "/feed", headers=ann) as answer:
            assert answer.status_code == 200


def sse(answer: httpx.Response):
    """The events of a stream, as they come."""
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


def test_events_pass_nginx_as_it_comes(nginx_proxy, module):
    """It asks by HTTP/1.0 and collects answers, unless a header says not to."""
    ann = {"Cookie": "sid=ann"}
    with node.serve(module(LIVE)) as server, server.client() as c:
        proxy = nginx_proxy(server.url)
        with httpx.stream("GET", f"{proxy.url}/feed", headers=ann, timeout=20) as answer:
            events = sse(answer)
            assert next(events)["type"] == "ready"
            for n in range(3):
                assert c.get("/say").text == str(n + 1)
                assert next(events)["data"] == "something"


def test_streams_end_with_a_last_event_when_the_server_leaves(module):
    """Before the HTTP connections are drained, which would wait for them."""
    path = module(
        LIVE.replace("'./live.mjs';", "'./live.mjs';\nimport { drainable } from DRAIN;")
        .replace("DRAIN", f"'{node.resolve('clustering/shutdown.mjs').as_uri()}'")
        .replace(
            "const stop = () => { stopped.abort(); sockets.leave({ patienceMs: 100 }); };",
            "const drain = drainable(server, { patienceMs: 600_000 });\n"
            "const stop = async () => { await sockets.leave(); await drain();\n"
            "  console.log('drained'); stopped.abort(); };",
        )
    )
    text = path.read_text()
    path.write_text(
        text.replace(
            "stop(); server.close();\n  server.closeAllConnections();", "stop();"
        )
    )
    ann = {"Cookie": "sid=ann"}
    with node.serve(path) as server, server.client() as c:
        ticket = c.post("/ticket", headers=ann).text
        with (
            client(server.url, f"/feed?ticket={ticket}") as peer,
            httpx.stream("GET", f"{server.url}/feed", headers=ann, timeout=20) as answer,
        ):
            lines = answer.iter_lines()
            assert next(lines).startswith("id: ")
            c.close()  # its connection is idle, and would be waited for
            os.kill(server.pid, signal.SIGTERM)
            *_, retry, last, _ = lines  # to the end: it was not cut
            assert ended(peer)[0] == 1012
        assert re.fullmatch(r"retry: \d{1,4}", retry)  # ms, not the same for all
        assert last == 'data: {"type":"bye"}'
        process.until(lambda: not server.alive(), what="the process ended by itself")
        assert server.output().endswith("drained\n")


def test_an_app_that_is_aborted_ends_its_streams_and_its_process(tmp_path):
    path = tmp_path / "app.mjs"
    ann = "sessionOf: async () => ({ user: 'ann' })"
    path.write_text(node.with_deps(f"{TOPIC}/live.mjs", ann))
    with node.serve(path) as server, server.client() as c:
        with c.stream("GET", "/feed") as answer:
            events = sse(answer)
            assert next(events)["type"] == "ready"
            os.kill(server.pid, signal.SIGTERM)
            assert [event["type"] for event in events] == ["bye"]
        process.until(lambda: not server.alive(), what="the process ended by itself")


ENDING = """
import { createApp } from './live.mjs';
import { memoryLog } from './log.mjs';
const log = memoryLog();
for (let n = 0; n < 1000; n += 1) await log.append('x'.repeat(100_000));
const { epoch } = await log.read(0, 1);
const soon = () => ({ user: 'ann', expiresAt: Date.now() + 100 });
const sessionOf = ({ url }) => url.includes('soon') ? soon() : { user: 'ann' };
const app = createApp({ log, beatMs: 200, sessionOf });
const server = createServer((req, res) => {
  if (req.url === '/epoch') return res.end(epoch);
  if (req.url !== '/streams') return app(req, res);
  return server.getConnections((error, count) => res.end(`${count - 1}`));
});
const sockets = app.attach(server);
const stop = () => sockets.leave({ patienceMs: 100 });
"""


@pytest.mark.parametrize("how", ["session", "stalled"])
def test_a_stream_that_nobody_reads_ends_and_nothing_else_does(module, how):
    """With its session, in the middle of what it is being told, or when it has not moved
    for three beats."""
    with node.serve(module(ENDING)) as server, server.client() as c:
        path = "/feed?soon" if how == "session" else "/feed"
        resume = {"Last-Event-ID": f"{c.get('/epoch').text}.0"}
        head = "\r\n".join(f"{k}: {v}" for k, v in {"Host": "x", **resume}.items())
        with socket.create_connection(("127.0.0.1", server.port), 20) as wire:
            wire.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n\r\n".encode())
            assert wire.recv(100).startswith(b"HTTP/1.1 200 ")
            process.until(lambda: c.get("/streams").text == "0", what="it was ended")
        with c.stream("GET", "/feed") as answer:
            assert next(sse(answer))["type"] == "ready"


def test_whoever_reads_is_not_taken_for_one_that_stalls(module):
    with node.serve(module(ENDING)) as server, server.client() as c:
        with c.stream("GET", "/feed") as answer:
            beats = (event for event in sse(answer) if event["type"] == "beat")
            assert len([beat for _, beat in zip(range(5), beats, strict=False)]) == 5


def test_a_live_app_without_dependencies_lets_nobody_in():
    with node.serve(f"{TOPIC}/live.mjs") as server, server.client() as c:
        assert c.post("/ticket").status_code == 401
        assert c.get("/feed").status_code == 401


FAKE = f"""
import {{ EventEmitter }} from 'node:events';
import {{ createFeed }} from './{TOPIC}/feed.mjs';
import {{ memoryLog }} from './{TOPIC}/log.mjs';
function fake(readyState = 1) {{
  const made = new EventEmitter();
  made.said = [];
  return Object.assign(made, {{ OPEN: 1, readyState, bufferedAmount: 0,
    send(text, done) {{ made.said.push(JSON.parse(text)); setImmediate(() => done?.()); }},
    close(code) {{ made.code = code; made.readyState = 3; made.emit('close'); }} }});
}}
const stop = new AbortController();
const {{ signal }} = stop;
"""


def test_a_feed_is_bounded_forgets_who_is_gone_and_ends():
    seen = node.evaluate(
        FAKE
        + """
    const log = memoryLog();
    let [reads, listening] = [0, 0];
    const { read, onAppend } = log;
    log.read = (...args) => read(...args, (reads += 1));
    log.onAppend = (ring) => {
      const forget = onAppend(ring);
      listening += 1;
      return () => (listening -= Number(forget()));
    };
    const feed = createFeed({ log, signal, most: 2, beatMs: 60_000 });
    await feed.follow(fake(3)); // closed while its session was looked up
    await log.append('a');
    console.log(reads);
    const [one, two, three] = [fake(), fake(), fake()];
    for (const socket of [one, two, three]) await feed.follow(socket);
    console.log(one.code, two.code, three.code);
    one.close(1000);
    await feed.follow((three.readyState = 1, three));
    console.log(three.readyState);
    stop.abort();
    const late = fake();
    await feed.follow(late);
    console.log(two.code, three.code, late.code, late.said.length, listening);
    const other = createFeed({ log, signal }); // made too late, and holds nothing
    await other.follow((late.readyState = 1, late));
    console.log(late.code, listening);
    """
    ).stdout
    assert seen.splitlines() == [
        "0",
        "undefined undefined 1013",  # try again later
        "1",
        "1012 1012 1012 0 0",
        "1012 0",
    ]


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_what_is_no_json_is_its_publishers_error_and_not_its_readers(kind, redis_server):
    seen = node.evaluate(
        FAKE
        + f"""
    import {{ redisLog }} from './{TOPIC}/log.mjs';
    const log = '{kind}' === 'memory' ? memoryLog()
      : await redisLog({{ url: '{redis_server.url}', signal }});
    const feed = createFeed({{ log, signal }});
    const socket = fake();
    await feed.follow(socket);
    const loop = {{}};
    loop.loop = loop;
    for (const data of [1n, loop, undefined, () => 1]) {{
      await feed.publish(data).catch((error) => console.log(error.name));
    }}
    const order = {{ total: 1 }};
    await feed.publish(order);
    order.total = 2; // what was said was said
    while (socket.said.length < 2) await new Promise((go) => setTimeout(go, 5));
    const again = fake();
    await feed.follow(again, socket.said[0].id);
    console.log(JSON.stringify([...again.said, ...socket.said].map((m) => m.data)));
    console.log(socket.code);
    stop.abort();
    """
    ).stdout
    assert seen.splitlines() == [
        *["TypeError"] * 4,
        '[{"total":1},null,{"total":1}]',
        "undefined",
    ]


def test_a_log_that_cannot_be_made_leaves_nothing_behind(redis_server):
    """The program ends by itself: no connection is open, no timer runs."""
    redis_server.command("ACL", "SETUSER", "deaf", "on", "nopass", "~*", "+@all")
    redis_server.command("ACL", "SETUSER", "deaf", "-subscribe")
    url = redis_server.url.replace("//", "//deaf:x@")
    seen = node.evaluate(
        f"""
    import {{ redisLog }} from './{TOPIC}/log.mjs';
    const logger = {{ error() {{}} }};
    for (const url of ['{url}', 'redis://127.0.0.1:1']) {{
      await redisLog({{ url, logger }}).catch(({{ message }}) => console.log(message));
    }}
    """
    ).stdout
    lines = seen.splitlines()
    assert lines[0].startswith("NOPERM")
    assert len(lines) == 2
    process.until(
        lambda: "name=deaf" not in str(redis_server.command("CLIENT", "LIST")),
        what="gone",
    )


def test_a_log_that_cannot_be_read_says_why(redis_server):
    redis_server.command("SET", "{feed}:events", "no list of events")
    seen = node.evaluate(
        f"""
    import {{ redisLog }} from './{TOPIC}/log.mjs';
    const {{ signal }} = Object.assign(globalThis, {{ stop: new AbortController() }}).stop;
    const log = await redisLog({{ url: '{redis_server.url}', signal }});
    await log.read(0, 9).catch((error) => console.log(error.message));
    stop.abort();
    """
    ).stdout
    assert seen.startswith("WRONGTYPE")


def test_there_are_so_many_tickets_and_no_more():
    seen = node.evaluate(
        f"""
    import {{ createTickets }} from './{TOPIC}/tickets.mjs';
    let time = 0;
    const tickets = createTickets({{ ttlMs: 1000, most: 2, now: () => time }});
    const issue = () => {{
      try {{ return tickets.issue({{}}).length; }} catch ({{ message }}) {{ return message; }}
    }};
    console.log(issue(), issue(), issue());
    time = 1000;
    console.log(issue());
    """
    ).stdout
    assert seen.splitlines() == ["43 43 too many tickets", "43"]


def test_a_feed_whose_log_fails_ends_the_socket_so_that_it_comes_back():
    seen = node.evaluate(
        f"""
    import {{ EventEmitter }} from 'node:events';
    import {{ createFeed }} from './{TOPIC}/feed.mjs';
    const stop = new AbortController();
    const log = {{ onAppend() {{}}, read: async () => {{ throw new Error('away'); }} }};
    const logger = {{ error: ({{ error }}, what) => console.log(what, error.message) }};
    const feed = createFeed({{ log, logger, signal: stop.signal }});
    const socket = Object.assign(new EventEmitter(), {{ OPEN: 1, readyState: 1,
      close(code) {{ socket.readyState = 3; socket.emit('close'); console.log(code); }} }});
    await feed.follow(socket);
    stop.abort();
    """
    ).stdout
    assert seen.split() == ["feed", "away", "1011"]


FOLLOWED = f"""
import {{ once }} from 'node:events';
import {{ setTimeout as sleep }} from 'node:timers/promises';
import {{ WebSocketServer }} from 'ws';
import {{ createFeed }} from './{TOPIC}/feed.mjs';
import {{ memoryLog }} from './{TOPIC}/log.mjs';
import {{ follow }} from './{TOPIC}/client.mjs';
const wss = new WebSocketServer({{ port: 0, host: '127.0.0.1' }});
await once(wss, 'listening');
const over = new AbortController();
const feed = createFeed({{ log: memoryLog({{ epoch: 'e' }}), signal: over.signal }});
const address = `ws://127.0.0.1:${{wss.address().port}}/?after=`;
const cursors = [];
wss.on('connection', (socket, {{ url }}) => {{
  cursors.push(url.split('=')[1]);
  feed.follow(socket, url.split('=')[1]);
}});
const stop = new AbortController();
const failed = [];
const options = {{ signal: stop.signal, spreadMs: 20, maxMs: 20, url: (cursor) =>
  address + (cursor ?? 'e.0'), logger: {{ error: ({{ error }}) => failed.push(error.message) }} }};
const until = async (so) => {{ while (!so()) await sleep(5); }};
const end = () => {{ stop.abort(); over.abort(); wss.close();
  wss.clients.forEach((socket) => socket.terminate()); }};
"""


@pytest.mark.parametrize("how", ["throws", "rejects", "hangs"])
def test_an_event_that_was_not_dealt_with_comes_again(how):
    """The cursor moves when the handler has succeeded, so nothing is lost; what had
    been done before the failure is done twice."""
    act = {
        "throws": "(data) => { attempt(data); }",
        "rejects": "async (data) => { await sleep(1); attempt(data); }",
        "hangs": "async (data) => { if (attempt(data, 1)) await new Promise(() => {}); }",
    }[how]
    seen = node.evaluate(
        FOLLOWED
        + f"""
    const seen = [];
    function attempt(data, hang) {{
      seen.push(data);
      if (data !== 2 || seen.filter((one) => one === 2).length > 2) return false;
      if (hang) return true;
      throw new Error('disk full');
    }}
    const done = follow({{ ...options, onEvent: {act},
      quietMs: '{how}' === 'hangs' ? 300 : 60_000 }});
    for (const n of [1, 2, 3]) await feed.publish(n);
    await until(() => seen.includes(3));
    console.log(seen.join(), cursors.slice(0, 3).join());
    console.log(failed.join());
    end();
    await done;
    """
    ).stdout
    why = "took more than 300 ms" if how == "hangs" else "disk full"
    assert seen.splitlines() == ["1,2,2,2,3 e.0,e.1,e.1", f"{why},{why}"]


def test_events_are_dealt_with_one_after_the_other():
    seen = node.evaluate(
        FOLLOWED
        + """
    const seen = [];
    let [now, most] = [0, 0];
    const onEvent = async (data) => {
      most = Math.max(most, (now += 1));
      await sleep(20 - 5 * data);
      seen.push(data);
      now -= 1;
    };
    for (const n of [1, 2, 3]) await feed.publish(n);
    const done = follow({ ...options, onEvent });
    await until(() => seen.length === 3);
    console.log(seen.join(), most);
    end();
    await done;
    """
    ).stdout
    assert seen == "1,2,3 1\n"


def test_a_client_that_is_slower_than_its_feed_leaves_the_rest_in_the_log():
    """Nothing pushes back in a browser: what is not handled waits in memory."""
    seen = node.evaluate(
        FOLLOWED
        + """
    const seen = [];
    let go;
    const gate = new Promise((resolve) => (go = resolve));
    for (let n = 0; n < 50; n += 1) await feed.publish(n);
    const done = follow({ ...options, most: 10,
      onEvent: async (n) => { await gate; seen.push(n); } });
    await until(() => wss.clients.size === 0 && cursors.length === 1);
    go();
    await until(() => seen.length === 50);
    console.log(seen.every((n, i) => n === i), cursors.slice(0, 2).join());
    end();
    await done;
    """
    ).stdout
    assert seen.split()[0] == "true"
    assert seen.split()[1] == "e.0,e.10"


def test_what_is_no_event_is_a_reason_to_come_back_and_none_to_end():
    seen = node.evaluate(
        FOLLOWED
        + """
    wss.removeAllListeners('connection');
    const bad = ['not json', 'null', Buffer.from('{}'), '[]'];
    let came = 0;
    wss.on('connection', (socket) => {
      if (came < bad.length) socket.send(bad[came]);
      else socket.send('{"type":"event","id":"e.1","data":"good"}');
      came += 1;
    });
    const done = follow({ ...options, quietMs: 500, onEvent(data) {
      console.log(data, failed.length);
      end();
    } });
    await done;
    """
    ).stdout
    assert seen == "good 3\n"  # a list is an event without a type: nothing to do


@pytest.mark.parametrize("what", ["url", "onEvent", "handshake"])
def test_a_client_ends_when_it_is_told_to_whatever_hangs(what):
    seen = node.evaluate(
        FOLLOWED
        + f"""
    import {{ createServer }} from 'node:net';
    const silent = createServer(() => asked()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const hang = () => new Promise(asked);
    let asked;
    const reached = new Promise((resolve) => (asked = resolve));
    await feed.publish(1);
    const done = follow({{ ...options, onEvent() {{}}, ...{{ url: {{ url: hang }},
      onEvent: {{ onEvent: hang }},
      handshake: {{ url: () => `ws://127.0.0.1:${{silent.address().port}}` }},
    }}['{what}'] }});
    await reached;
    end();
    await done;
    console.log('ended', failed.length);
    process.exit(); // Node's own attempt to connect cannot be ended
    """
    ).stdout
    assert seen == "ended 0\n"


def test_a_url_that_never_comes_is_asked_for_again():
    seen = node.evaluate(
        FOLLOWED
        + """
    let asked = 0;
    const done = follow({ ...options, quietMs: 100, onEvent(data) {
      console.log(data, failed.join());
      end();
    }, url: (cursor) => {
      asked += 1;
      return asked < 3 ? new Promise(() => {}) : options.url(cursor);
    } });
    await feed.publish(1);
    await done;
    """
    ).stdout
    assert seen == "1 took more than 100 ms,took more than 100 ms\n"


@pytest.mark.claim("websockets/reconnect-at-once")
def test_a_crowd_without_jitter_comes_back_at_once_and_with_jitter_over_the_spread():
    """By what each client decides to wait, which no busy machine changes; when they
    came is the notebook's."""
    seen = node.evaluate(
        f"""
    import {{ once }} from 'node:events';
    import {{ WebSocketServer }} from 'ws';
    import {{ follow as jitter }} from './{TOPIC}/client.mjs';
    import {{ follow as naive }} from './{TOPIC}/client.naive.mjs';
    const wss = new WebSocketServer({{ port: 0, host: '127.0.0.1' }});
    await once(wss, 'listening');
    const url = () => `ws://127.0.0.1:${{wss.address().port}}`;
    const waits = {{ naive: [], jitter: [] }};
    const later = setTimeout;
    globalThis.setTimeout = (back, ms, ...args) => {{
      if (back.name !== 'open') return later(back, ms, ...args);
      waits.naive.push(ms);
      return later(back, 0); // back at once, so that nobody waits for the test
    }};
    const random = () => {{
      waits.jitter.push(600_000 * Math.random());
      return 0;
    }};
    for (const [name, follow] of Object.entries({{ naive, jitter }})) {{
      const stop = new AbortController();
      let came = 0;
      const all = new Promise((resolve) => wss.on('connection', (socket) => {{
        came += 1;
        if (came <= 100) socket.close(1012); // the restart
        if (came === 200) resolve();
      }}));
      for (let i = 0; i < 100; i += 1) follow({{ url, signal: stop.signal, onEvent() {{}},
        delayMs: 300_000, spreadMs: 600_000, random }});
      await all;
      wss.removeAllListeners('connection');
      stop.abort();
    }}
    wss.clients.forEach((socket) => socket.terminate());
    wss.close();
    console.log(JSON.stringify(waits));
    process.exit();
    """
    ).stdout
    waits = json.loads(seen)
    # the first one of each; some were ended when the crowd had come, and wait again
    most = {name: crowd(at[:100], 75_000) for name, at in waits.items()}
    assert most["naive"] == 100
    assert most["jitter"] < 50


def test_the_storm_is_one_of_all_clients_and_none_comes_before_its_time():
    times = json.loads("".join(output("storm.mjs", "100", "800")))
    assert [len(at) for at in times.values()] == [100, 100]
    assert min(times["naive"]) >= 399  # ms: nobody before its half a spread
    assert max(times["jitter"]) >= 400  # or a hundred dice were all below a half


def crowd(times: list[float], within: float) -> int:
    """The most that came within any `within` ms."""
    return max(sum(start <= at < start + within for at in times) for start in times)


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


@pytest.mark.claim("websockets/cors-protects", "websockets/same-site-protects")
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


@pytest.mark.claim("websockets/same-site-protects")
def test_without_third_party_cookies_another_site_has_none_to_send(named_hosts, shop):
    page = named_hosts(third_party_cookies=False).pages[0]
    with shop("naive") as server:
        assert visit(page, server.port, "evil.test", "None")[0] == "closed 4401"
        assert visit(page, server.port, "blog.shop.test", "Strict")[0] == STOLEN


@pytest.mark.timing
@pytest.mark.claim("websockets/messages-are-small")
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
