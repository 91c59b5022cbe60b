"""What several files of these tests share."""

import contextlib
import http.client
import json
import os
import signal
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import psutil

from lab.run import node, process

SNIPPETS = node.SNIPPETS.as_uri()

NAIVE, HARDENED = "clustering/cluster.naive.mjs", "clustering/cluster.mjs"

ANSWER = {"label": "ord_1: tea"}


def workers(server) -> set[int]:
    try:
        children = psutil.Process(server.pid).children()
        return {one.pid for one in children if one.status() != psutil.STATUS_ZOMBIE}
    except psutil.NoSuchProcess:
        return set()


def address(server) -> tuple[str, int]:
    return ("127.0.0.1", server.port)


def reset(client: socket.socket) -> None:
    """End a connection as a client does that crashed: by RST, not by FIN."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def said(server, field: str) -> list[dict]:
    """What it has said so far in lines of JSON with that field."""
    lines = [line for line in server.output().splitlines() if line.startswith("{")]
    return [each for line in lines if field in (each := json.loads(line))]


CREW = """
import cluster from 'node:cluster';
import { once } from 'node:events';
import { existsSync, appendFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { supervise } from './clustering/respawn.mjs';
import { serve } from './clustering/worker.mjs';
async function shop() {
  const { createApp } = await import('./clustering/shop.mjs');
  return serve({ createApp, port: process.env.PORT });
}
if (cluster.isPrimary) {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  await once(probe.close(), 'close');
  %s
  const crew = supervise({ port, %s });
  process.on('SIGTERM', crew.stop);
  process.on('SIGHUP', crew.restart);
  console.log(`listening on http://127.0.0.1:${await crew.ready}`);
} else {
  console.log(`started ${process.pid}`);
  %s
}
"""


def get(server, path: str) -> socket.socket:
    """Ask over a connection of its own."""
    client = socket.create_connection(address(server), 10)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return client


LONG = "windowMs: 600_000"  # a busy machine is slow


def clients_of(server) -> int:
    """How many connections the server or its workers have from clients."""
    found = 0
    for pid in {server.pid, *workers(server)}:
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in psutil.Process(pid).net_connections("tcp"):
                found += one.status == psutil.CONN_ESTABLISHED
    return found


@contextlib.contextmanager
def under_load(server, ms: int = 2000, rude: int = 0, leave: bool = False):
    """20 keep-alive clients for that long, and beside them some rude ones; yields what
    waits for the counts of the 20. With `leave` the server gets SIGTERM when each of the
    20 has had two answers."""
    with ThreadPoolExecutor(1) as other:
        argv = (
            "clustering/clients.mjs",
            f"{server.url}/orders/ord_1/label",
            "20",
            str(ms),
            str(rude),
            *([str(server.pid)] if leave else []),
        )
        clients = other.submit(node.run, *argv)
        if not leave:  # else they may have come and gone before anybody looked
            process.until(lambda: clients_of(server) >= 20)
        yield lambda: json.loads(clients.result().stdout)


BIG = 40_000_000  # bytes

LEAVING = """
import { createServer } from 'node:http%s';
import { existsSync } from 'node:fs';
import { drainable } from './clustering/shutdown.mjs';
const held = [];
const app = (req, res) => {
  if (req.url === '/big') {
    res.end(Buffer.alloc(%d));
  } else if (req.url === '/held' || req.url === '/stream') {
    held.push(res);
    if (req.url === '/stream') res.write('begun, ');
  } else res.end('ok');
  console.log(`got ${req.url}`);
};
// nothing but the drain ends a connection that is kept
const server = createServer({ keepAliveTimeout: 0, %s }, app);
server.on('upgrade', (req, socket) => {
  socket.on('error', () => {}).write('HTTP/1.1 101 Go on\\r\\n\\r\\n');
});
const drain = drainable(server, { patienceMs: %s, quietMs: %s });
process.on('SIGUSR2', () => held.forEach((res) => res.end('held')));
process.on('SIGTERM', () => {
  Promise.resolve(%s).then((cut) => console.log(`cut: ${cut}`));
  console.log('leaving');
  %s
});
server.listen(process.env.PORT, '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}`));
"""


def leave(server) -> None:
    os.kill(server.pid, signal.SIGTERM)
    process.until(lambda: "leaving" in server.output())


def got(server, path: str, times: int = 1) -> None:
    process.until(lambda: server.output().count(f"got {path}") == times)


def answer(client: socket.socket) -> tuple[int, str | None, bytes]:
    """Status, `Connection` and content of the next answer."""
    response = http.client.HTTPResponse(client)
    response.begin()
    return response.status, response.getheader("connection"), response.read()


def worker_of(client) -> int:
    return client.get("/health").json()["worker"]
