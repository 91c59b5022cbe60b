"""Clients that are slow on purpose."""

import contextlib
import socket

import pytest

from lab.run import node

from .shared import TOPIC, client

# --- slow clients -------------------------------------------------------------------


@pytest.mark.claim("rate-limiting/headers-timeout-stops-slowloris", verdict="depends")
def test_slow_headers_hold_a_server_until_its_checker_comes_round():
    assert node.lines("rate-limiting/slowloris.mjs") == [
        "defaults: 0 of 50 ended, 0 seen by the app,",
        "  the next client is turned away",
        "headersTimeout alone: 0 of 50 ended, 0 seen by the app,",
        "  the next client is turned away",
        "and the checker: 50 of 50 ended, 0 seen by the app,",
        "  the next client is served",
    ]


@pytest.mark.claim("rate-limiting/headers-timeout-stops-slowloris", verdict="depends")
def test_slow_headers_are_ended_late_when_the_checker_comes_round():
    seen = node.evaluate(
        """
    import { createServer } from 'node:http';
    import { connect } from 'node:net';
    console.log(createServer().connectionsCheckingInterval);
    const times = { headersTimeout: 200, connectionsCheckingInterval: 2000 };
    const server = createServer(times).listen(0, '127.0.0.1', () => {
      setTimeout(() => console.log('still open'), 1000);
      const slow = connect(server.address().port, '127.0.0.1');
      slow.write('GET / HTTP/1.1\\r\\nX-Slow: ');
      slow.on('data', (answer) => console.log(`${answer}`.split('\\r')[0]));
      slow.on('close', () => server.close());
    });
    """
    ).stdout
    assert seen.splitlines() == [
        "30000",
        "still open",
        "HTTP/1.1 408 Request Timeout",
    ]


def test_slow_headers_are_ended_with_408_and_so_are_slow_bodies(tmp_path):
    # the defaults of slow.mjs, smaller
    path = tmp_path / "slow.mjs"
    target = node.resolve(f"{TOPIC}/slow.mjs").as_uri()
    path.write_text(
        f"import {{ serverOf }} from '{target}';\n"
        "const app = (req, res) => req.resume().on('end', () => res.end());\n"
        "const limits = { headersTimeout: 500, requestTimeout: 1000 };\n"
        "const server = serverOf(app, limits).listen(process.env.PORT, '127.0.0.1',\n"
        "  () => console.log(`listening on http://127.0.0.1:${server.address().port}`));\n"
        "process.once('SIGTERM', () => server.close());\n"
    )
    slow = [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow:",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
    ]
    with node.serve(path) as server:
        for text in slow:
            with socket.create_connection(("127.0.0.1", server.port), 10) as held:
                held.sendall(text)
                assert held.recv(100).startswith(b"HTTP/1.1 408")


def test_the_checkers_interval_is_read_when_the_server_begins_to_listen():
    seen = node.evaluate(
        """
    import { once } from 'node:events';
    import { createServer } from 'node:http';
    import { connect } from 'node:net';
    for (const when of ['before', 'after']) {
      const server = createServer({ headersTimeout: 200 });
      if (when === 'before') server.connectionsCheckingInterval = 100;
      await once(server.listen(0, '127.0.0.1'), 'listening');
      if (when === 'after') server.connectionsCheckingInterval = 100;
      const held = connect(server.address().port, '127.0.0.1').on('error', () => {});
      held.resume().write('GET / HTTP/1.1\\r\\n');
      const late = new Promise((resolve) => setTimeout(resolve, 2500, 'open'));
      const ended = once(held, 'close').then(() => 'ended');
      console.log(when, await Promise.race([ended, late]));
      held.destroy();
      server.close();
    }
    """
    ).stdout
    assert seen.splitlines() == ["before ended", "after open"]


@pytest.mark.claim("rate-limiting/stops-ddos", verdict="wrong")
def test_a_limiter_never_sees_two_hundred_connections_that_do_not_finish_a_request(
    module,
):
    with node.serve(module("api.mjs", "limit: 10")) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                held = socket.create_connection(("127.0.0.1", server.port), 5)
                stack.enter_context(held).sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            with server.client() as c:  # from the same address
                assert "; r=9; " in c.get("/products").headers["RateLimit"]


def test_nginx_keeps_slow_headers_to_itself(nginx_proxy, tmp_path):
    path = tmp_path / "count.mjs"
    path.write_text(
        "import { createServer } from 'node:http';\n"
        "let connections = 0;\n"
        "const server = createServer((req, res) => res.end(`${connections}`));\n"
        "server.on('connection', () => { connections += 1; });\n"
        "server.listen(process.env.PORT, '127.0.0.1', () =>\n"
        "  console.log(`listening on http://127.0.0.1:${server.address().port}`));\n"
        "process.once('SIGTERM', () => server.close());\n"
    )
    with node.serve(path) as server:
        proxy = nginx_proxy(server.url)
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                held = socket.create_connection(("127.0.0.1", proxy.port), 5)
                stack.enter_context(held).sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            with client(proxy.url) as c:
                assert c.get("/").text == "1"  # its own
