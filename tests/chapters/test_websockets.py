"""What docs/chapters/websockets.md says, run."""

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from lab import browser, evidence, node, process, services

TOPIC = "websockets"
SOURCE = "tests/chapters/test_websockets.py"
FRAMES = json.loads(Path(__file__).with_name("websocket_frames.json").read_text("utf-8"))
CASES = FRAMES["cases"]
SHOP = "https://shop.test"


def output(snippet: str, *args: str) -> list[str]:
    return node.run(f"{TOPIC}/{snippet}", *args, timeout=60).stdout.splitlines()


def javascript(source: str, timeout: float = 20) -> str:
    done = node.evaluate(source, timeout)
    assert done.code == 0, done.stderr
    return done.stdout


def client(url: str, path: str = "/", **options):
    """A WebSocket to an http URL; no pings of its own, no compression unless told."""
    options = {"compression": None, "ping_interval": None, "proxy": None, **options}
    address = url.replace("http", "ws", 1) + path
    return connect(address, open_timeout=20, max_size=None, **options)


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


def until(true, what: str, timeout: float = 20) -> float:
    """Seconds until `true()` is."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() < start + timeout, f"never: {what}"
        time.sleep(0.005)
    return time.monotonic() - start


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
        frames = list(iter(wire.receive, None))
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


def must_fail(case: dict) -> bool:
    """Whether the server has to fail the connection."""
    last = case["expect"][-1]
    return last.startswith("close") and last.removeprefix("close ") in ERRORS and bool(
        not re.fullmatch(r"close code \d+", case["name"])
    )


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
