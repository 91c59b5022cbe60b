"""What several files of these tests share."""

import contextlib
import socket
import struct

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

TOPIC = "websockets"

SHOP = "https://shop.test"


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


def attached(options: str, server: str = "createServer()", after: str = "") -> str:
    return (
        "import { attach } from './attach.mjs';\n"
        f"const server = {server};\n"
        f"const sockets = attach(server, {{ path: '/', origins: ['{SHOP}'],\n"
        f"  authenticate: () => ({{ user: 'ann' }}), {options} }});\n"
        f"{after}\n"
        "const stop = () => sockets.leave({ patienceMs: 100 });\n"
    )


KINDS = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


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


def online(c: httpx.Client) -> int:
    return int(c.get("/").text)


# a check that takes until somebody asks for any page; the answer: how many it let go on
CHECK = """
const waiting = [];
const checked = () => new Promise((resolve) => waiting.push(resolve));
const pages = (req, res) => res.end(`${waiting.splice(0).map((go) => go()).length}`);
"""
