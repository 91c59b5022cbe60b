"""Sockets that end because the server leaves."""

import os
import signal
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.run import node, process

from .shared import (
    CHECK,
    TOPIC,
    Wire,
    attached,
    client,
    ended,
    refused,
)


@pytest.mark.claim("websockets/server-close", verdict="wrong")
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
