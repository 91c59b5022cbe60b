"""A connection that lasts, and one that is gone without a word."""

import contextlib
import os
import signal
import struct
import time
from pathlib import Path

import psutil
import pytest

from lab.record import evidence
from lab.run import node, process

from .shared import TOPIC, Wire, attached, client, ended, online, refused

SOURCE = node.label(Path(__file__))


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
