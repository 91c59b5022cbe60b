"""Leaving bit by bit, what Express does not see, Socket.IO, and streams in a browser."""

import contextlib
import json

import httpx
import pytest

from lab.run import node

from .shared import attached, client, refused

# --- a crowd ---------------------------------------------------------------------------


@pytest.mark.claim("websockets/drain-in-batches", verdict="right")
def test_sockets_that_are_told_bit_by_bit_come_back_bit_by_bit():
    lines = """
    import { once } from 'node:events';
    import { createServer } from 'node:http';
    import { WebSocket } from 'ws';
    import { attach } from './websockets/attach.mjs';
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const sockets = attach(server, { path: '/', perUser: 1000,
      authenticate: () => ({ user: 'ann' }) });
    const url = `ws://127.0.0.1:${server.address().port}/`;
    const closed = [];
    const peers = await Promise.all(Array.from({ length: 100 }, async () => {
      const peer = new WebSocket(url).on('close', () => closed.push(performance.now()));
      await once(peer, 'open');
    }));
    const begin = performance.now();
    await sockets.leave({ perSecond: 100 });
    const bins = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (const at of closed) bins[Math.min(9, Math.floor((at - begin) / 100))] += 1;
    console.log(JSON.stringify([closed.length, Math.max(...bins), performance.now() - begin]));
    server.close();
    """
    count, most, took = json.loads(node.evaluate(lines).stdout)
    # a hundred told at once would close within a tenth of a second
    assert count == 100 and took > 900 and most <= 60


def test_handshakes_are_let_in_only_so_many_a_second(module):
    # one each second, so the next is refused unless the machine stands still
    with node.serve(module(attached("handshakes: 0.01"))) as server:
        assert refused(server.url) == 503
    with node.serve(module(attached("handshakes: 1"))) as server:
        with client(server.url):
            assert refused(server.url) == 503


# --- Express ---------------------------------------------------------------------------


@pytest.mark.claim("websockets/upgrade-bypasses-express", verdict="right")
def test_an_upgrade_reaches_no_middleware_and_no_header_of_express(module):
    path = module("""
    import express from 'express';
    import { attach } from './attach.mjs';
    let seen = 0;
    const app = express().use((req, res, next) => {
      seen += 1;
      res.set('Content-Security-Policy', "default-src 'none'");
      next();
    });
    app.get('/seen', (req, res) => res.json(seen));
    const server = createServer(app);
    attach(server, { path: '/', authenticate: () => ({ user: 'ann' }) });
    const stop = () => process.exit(0);
    """)
    with node.serve(path) as server, server.client() as c:
        with client(server.url) as socket:
            assert "content-security-policy" not in socket.response.headers
        answer = c.get("/seen")
        assert answer.json() == 1 and "content-security-policy" in answer.headers


# --- codes -----------------------------------------------------------------------------


@pytest.mark.claim("websockets/nobody-sends-1006", verdict="right")
def test_1006_cannot_be_sent_and_is_what_both_ends_see_of_a_cut_connection():
    lines = """
    import { once } from 'node:events';
    import { WebSocket, WebSocketServer } from 'ws';
    const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(wss, 'listening');
    const peer = new WebSocket(`ws://127.0.0.1:${wss.address().port}`);
    const [[server]] = await Promise.all([once(wss, 'connection'), once(peer, 'open')]);
    try { server.close(1006); } catch ({ message }) { console.log(message); }
    const ends = [once(peer, 'close'), once(server, 'close')];
    server._socket.destroy(); // as a proxy or a broken network does
    console.log((await Promise.all(ends)).map(([code]) => code).join());
    wss.close();
    """
    first, codes = node.evaluate(lines).stdout.splitlines()
    assert "valid error code" in first and codes == "1006,1006"


# --- Socket.IO -------------------------------------------------------------------------

IO = """
import { Server } from 'socket.io';
const server = createServer();
const io = new Server(server, { serveClient: false });
io.on('connection', (socket) => socket.on('echo', (text, done) => done(text.length)));
const stop = () => io.close();
"""
IO_CLIENT = """
import { io } from 'socket.io-client';
const [url, transports] = JSON.parse(process.env.ARGS);
const socket = io(url, { transports, reconnection: false, timeout: 8000 });
const ended = new Promise((on) => {
  socket.on('connect_error', (error) => on(['error', error.context?.status ?? 0]));
  socket.on('disconnect', (reason) => on(['disconnect', reason]));
  socket.on('connect', async () => {
    const small = await socket.emitWithAck('echo', 'abc');
    if (process.env.BIG) return socket.emit('echo', 'x'.repeat(1_100_000), () => {});
    on(['connect', small]);
  });
});
console.log(JSON.stringify(await ended));
socket.close();
"""


@pytest.fixture
def socket_io(tmp_path):
    """Says how a Socket.IO client fared at a URL."""
    path = tmp_path / "client.mjs"
    (tmp_path / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
    path.write_text(IO_CLIENT)

    def fare(url: str, transports: list[str], **env: str) -> list:
        env = {"ARGS": json.dumps([url, transports]), **env}
        return json.loads(node.run(path, env=env, timeout=30).stdout)

    return fare


@pytest.mark.claim("websockets/socket-io-needs-sticky-sessions", verdict="right")
def test_socket_io_over_polling_fails_behind_a_proxy_that_takes_turns_and_websocket_does_not(
    nginx_proxy, module, socket_io
):
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(node.serve(module(IO, name=f"io-{n}"))) for n in range(3)
        ]
        urls = [server.url for server in servers]
        assert socket_io(urls[0], ["polling"]) == ["connect", 3]
        turns = nginx_proxy(urls, websocket=True)
        assert socket_io(turns.url, ["polling"])[:2] == ["error", 400]
        assert socket_io(turns.url, ["websocket"]) == ["connect", 3]
        sticky = nginx_proxy(urls, websocket=True, balance="client-address")
        assert socket_io(sticky.url, ["polling"]) == ["connect", 3]
        asked = httpx.get(f"{urls[0]}/socket.io/?EIO=4&transport=polling&sid=unknown")
        assert asked.json()["message"] == "Session ID unknown"


@pytest.mark.parametrize("transports", [["websocket"]])
def test_socket_io_ends_a_client_that_sends_more_than_a_megabyte(
    module, socket_io, transports
):
    with node.serve(module(IO)) as server:
        how, reason = socket_io(server.url, transports, BIG="1")
        assert (how, reason) == ("disconnect", "transport close")


# --- SSE in a browser ------------------------------------------------------------------

STREAMS = """
const server = createServer((req, res) => {
  if (req.url !== '/stream') return res.end('<!doctype html><title>a</title>');
  res.writeHead(200, { 'Content-Type': 'text/event-stream' });
  return res.write('data: 1\\n\\n');
});
const stop = () => {};
"""
OPEN = """async () => {
  const open = (n) => new Promise((on) => {
    const source = new EventSource('/stream');
    source.onmessage = () => on(true);
  });
  await Promise.all(Array.from({ length: 6 }, open));
  const late = new Promise((on) => setTimeout(on, 1500, 'waits'));
  return Promise.race([fetch('/').then(() => 'answered'), late]);
}"""


@pytest.mark.claim("websockets/six-streams-block-the-page", verdict="right")
def test_a_page_with_six_streams_over_http_1_gets_no_further_answer(chromium, module):
    with node.serve(module(STREAMS)) as server:
        with contextlib.closing(chromium.new_context()) as context:
            page = context.new_page()
            page.goto(server.url)
            assert page.evaluate(OPEN) == "waits"


def test_streams_that_nginx_may_buffer_are_held_back(nginx_proxy, module):
    """The same stream without the header, and with it."""
    path = module("""
    const server = createServer((req, res) => {
      const headers = { 'Content-Type': 'text/event-stream' };
      if (req.url === '/now') headers['X-Accel-Buffering'] = 'no';
      res.writeHead(200, headers);
      res.write('data: 1\\n\\n');
    });
    const stop = () => {};
    """)
    with node.serve(path) as server:
        proxy = nginx_proxy(server.url)
        with httpx.stream("GET", f"{proxy.url}/now", timeout=10) as answer:
            assert next(answer.iter_lines()) == "data: 1"
        with pytest.raises(httpx.ReadTimeout):
            with httpx.stream("GET", f"{proxy.url}/later", timeout=2) as answer:
                next(answer.iter_lines())
