"""The checks of websockets/survive-the-corpus. A docstring is the hint that a
learner reads when the check fails."""

import contextlib
import os
import signal
import socket
import struct
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from lab.run import node


def client(url):
    address = url.replace("http", "ws", 1)
    return connect(
        address,
        compression=None,
        ping_interval=None,
        proxy=None,
        max_size=None,
        close_timeout=2,
    )


def closed(peer) -> int:
    """The code with which the server closed."""
    with pytest.raises(ConnectionClosed) as seen:
        while True:
            peer.recv(2)
    return seen.value.rcvd.code if seen.value.rcvd else 1006


@contextlib.contextmanager
def raw(port):
    """A connection after its handshake, to which any bytes can be written."""
    with socket.create_connection(("127.0.0.1", port), 20) as wire:
        wire.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += wire.recv(1)
        yield wire


def code_of(wire) -> int:
    """The code of the close frame that comes next; 1006 if none does."""
    with contextlib.suppress(ConnectionError):
        data = wire.recv(4)
        if len(data) == 4 and data[0] == 0x88:
            return struct.unpack(">H", data[2:])[0]
    return 1006


# one of each kind of what breaks the protocol; the chapter's corpus has all of them
BROKEN = {
    "reserved bits": ("ff00", 1002),
    "no mask": ("810141", 1002),
    "a ping in pieces": ("098000000000", 1002),
    "no UTF-8": ("818100000000ff", 1007),
    "a code that nobody may send": ("88820000000003ed", 1002),
}


@pytest.mark.fails_at_start
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_frame_ends_its_own_connection_only(attempt, kind):
    """An 'error' event that nobody listens to is thrown. On which object does ws
    emit it, and who answers the peer?"""
    data, code = BROKEN[kind]
    with node.serve(attempt) as server, client(server.url) as other:
        with raw(server.port) as wire:
            wire.sendall(bytes.fromhex(data))
            assert code_of(wire) == code
        other.send("still there")
        assert other.recv(20) == "still there"


@pytest.mark.fails_at_start
def test_bytes_come_back_as_bytes_and_text_as_text(attempt):
    """A listener of 'message' is given two arguments, and `send` takes an option."""
    with node.serve(attempt) as server, client(server.url) as peer:
        for sent in ("text", b"\x00\xff\x80"):
            peer.send(sent)
            assert peer.recv(20) == sent


@pytest.mark.fails_at_start
def test_what_is_above_64_kib_is_too_big(attempt):
    """The default limit is 100 MiB. Which option of the server sets it?"""
    with node.serve(attempt) as server:
        with client(server.url) as peer:
            peer.send(b"x" * 65536)
            assert len(peer.recv(20)) == 65536
            peer.send(b"x" * 65537)
            assert closed(peer) == 1009


@pytest.mark.fails_at_start
def test_a_flood_is_ended_and_the_others_are_not(attempt):
    """Count the messages of each connection, and let the count run down with time.
    What is the code for a policy that was violated?"""
    with node.serve(attempt) as server, client(server.url) as other:
        with client(server.url) as peer:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(2000):
                    peer.send("go")
            assert closed(peer) == 1008
        for _ in range(20):
            other.send("still there")
            assert other.recv(20) == "still there"


def test_a_hundred_messages_at_once_are_no_flood(attempt):
    """A burst of a hundred is allowed: what you count must hold at least that many."""
    with node.serve(attempt) as server, client(server.url) as peer:
        for n in range(100):
            peer.send(str(n))
        assert [peer.recv(20) for _ in range(100)] == [str(n) for n in range(100)]


@pytest.mark.fails_at_start
def test_on_sigterm_clients_are_told_and_the_process_ends(attempt):
    """`close` of the server waits for its clients, and does not tell them. Who tells
    them, and what becomes of one that never answers?"""
    with node.serve(attempt) as server:
        with client(server.url) as peer, raw(server.port) as rude:
            os.kill(server.pid, signal.SIGTERM)
            start = time.monotonic()
            assert closed(peer) in (1001, 1012)
            assert code_of(rude) in (1001, 1012)
            while server.alive() and time.monotonic() < start + 10:
                time.sleep(0.02)
            assert not server.alive()
