"""WebSockets behind nginx."""

import contextlib
import time

import psutil
import pytest

from lab.run import node

from .shared import TOPIC, client, ended, refused


@pytest.mark.claim("websockets/stays-open", verdict="wrong")
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


@pytest.mark.claim("websockets/sticky-sessions", verdict="wrong")
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
