"""A client that is gone without a word, and what finds it."""

import contextlib
import signal
import time
from pathlib import Path

import pytest

from lab.record import evidence
from lab.run import node, process

from .shared import TOPIC, client, online

SOURCE = node.label(Path(__file__))


# --- a connection that lasts --------------------------------------------------------


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


@pytest.mark.claim("websockets/keepalive-is-enough", verdict="wrong")
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
