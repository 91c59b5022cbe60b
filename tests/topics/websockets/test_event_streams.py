"""One feed by WebSocket and by server-sent events."""

import json
import os
import re
import signal
import socket

import httpx
import pytest

from lab.run import node, process

from .shared import SHOP, TOPIC, client, ended, refused

LIVE = f"""
import {{ createApp }} from './live.mjs';
const stopped = new AbortController();
const sessionOf = (req) => ({{ 'sid=ann': {{ user: 'ann' }},
  'sid=bob': {{ user: 'bob', expiresAt: Date.now() + 300 }} }})[req.headers.cookie];
const app = createApp({{ signal: stopped.signal, sessionOf, origins: ['{SHOP}'] }});
const server = createServer((req, res) => {{
  if (req.url !== '/say') return app(req, res);
  app.publish('something').then((seq) => res.end(`${{seq}}`));
}});
const sockets = app.attach(server);
const stop = () => {{ stopped.abort(); sockets.leave({{ patienceMs: 100 }}); }};
"""


def test_one_feed_by_websocket_and_by_sse_resumed_on_either(module):
    ann = {"Cookie": "sid=ann"}
    with node.serve(module(LIVE)) as server, server.client() as c:
        assert c.post("/ticket").status_code == 401
        assert c.get("/ticket", headers=ann).status_code == 401  # it changes something
        assert c.get("/feed").status_code == 401
        assert refused(server.url, "/feed?ticket=made-up") == 401
        ticket = c.post("/ticket", headers=ann)
        assert ticket.headers["Cache-Control"] == "no-store"
        path = f"/feed?ticket={ticket.text}"
        with client(server.url, path, origin=SHOP) as peer:
            assert json.loads(peer.recv(20))["type"] == "ready"
            assert c.get("/say").text == "1"
            event = json.loads(peer.recv(20))
        assert event["data"] == "something"
        assert refused(server.url, path) == 401  # a ticket is used once
        assert [c.get("/say").text for _ in range(2)] == ["2", "3"]
        with c.stream("GET", "/feed", headers={**ann, "Last-Event-ID": event["id"]}) as r:
            assert r.headers["Content-Type"].startswith("text/event-stream")
            lines = [line for _, line in zip(range(5), r.iter_lines(), strict=False)]
        assert [line.rsplit(".", 1)[-1] for line in lines if line.startswith("id:")] == [
            *("2", "3")
        ]
        ticket = c.post("/ticket", headers=ann).text
        with client(server.url, f"/feed?ticket={ticket}&after={event['id']}") as peer:
            again = [json.loads(peer.recv(20))["id"] for _ in range(2)]
        assert [one.rsplit(".", 1)[-1] for one in again] == ["2", "3"]
        with c.stream("GET", "/feed", headers={"Cookie": "sid=bob"}) as r:
            lines = list(r.iter_lines())  # ready, and then its session ended
        assert [line.split(":")[0] for line in lines] == ["id", "data", ""] + [
            *("retry", "data", "")
        ]
        assert lines[-2] == 'data: {"type":"bye"}'


def test_a_stream_that_has_no_news_has_beats(module):
    path = module(LIVE.replace("origins:", "beatMs: 50, origins:"))
    with node.serve(path) as server, server.client() as c:
        with c.stream("GET", "/feed", headers={"Cookie": "sid=ann"}) as r:
            assert any('"beat"' in line for line in r.iter_lines())


def test_served_alone_a_stream_is_ended_before_the_server_has_drained(tmp_path):
    path = tmp_path / "live.mjs"
    deps = "sessionOf: () => ({ user: 'ann' })"
    path.write_text(node.with_deps("websockets/live.mjs", deps))
    with node.serve(path) as server, server.client() as c, c.stream("GET", "/feed") as r:
        lines = r.iter_lines()
        assert '"ready"' in next(one for one in lines if one.startswith("data:"))
        os.kill(server.pid, signal.SIGTERM)
        assert [*lines][-2] == 'data: {"type":"bye"}'  # not cut: the drain waited
        process.until(lambda: not server.alive())


STRANGERS = """
import { createApp } from './live.mjs';
import { ticketRoute } from './account.mjs';
import { createTickets } from './tickets.mjs';
const logger = { info() {}, error: ({ error }, what) => console.log(what, error.message) };
const sessionOf = async (req) => {
  if (req.headers.cookie === 'sid=broken') throw new Error('redis away');
  if (req.headers.cookie === 'sid=over') return { user: 'ann', expiresAt: Date.now() - 1 };
  return req.headers.cookie === 'sid=ann' ? { user: 'ann' } : null;
};
const tickets = createTickets();
const store = { issue: async (who) => tickets.issue(who),
  redeem: async (ticket) => tickets.redeem(ticket) };
const app = createApp({ sessionOf, logger, tickets: store });
const plain = ticketRoute({ sessionOf, tickets: store, logger });
const server = createServer((req, res) =>
  req.url === '/plain' ? plain(req, res) : app(req, res));
const sockets = app.attach(server);
const stop = () => sockets.leave({ patienceMs: 100 });
"""


def test_sessions_and_tickets_that_are_looked_up_elsewhere_let_no_stranger_in(module):
    """A promise is always true: whoever forgets to await it lets everybody in."""
    with node.serve(module(STRANGERS)) as server, server.client() as c:
        for cookie, expected in (("", 401), ("sid=over", 401), ("sid=broken", 500)):
            headers = {"Cookie": cookie}
            with c.stream("GET", "/feed", headers=headers) as answer:
                assert answer.status_code == expected
                assert answer.read() == b""
            if cookie != "sid=over":
                assert c.post("/ticket", headers=headers).status_code == expected
                assert c.post("/plain", headers=headers).status_code == expected
        assert server.output().split("\n")[1:-1] == [
            "live redis away",
            "ticket redis away",
            "ticket redis away",
        ]
        ann = {"Cookie": "sid=ann"}
        assert refused(server.url, "/feed?ticket=made-up") == 401
        over = c.post("/ticket", headers={"Cookie": "sid=over"}).text
        assert refused(server.url, f"/feed?ticket={over}") == 401
        ticket = c.post("/ticket", headers=ann).text
        with client(server.url, f"/feed?ticket={ticket}") as peer:
            assert json.loads(peer.recv(20))["type"] == "ready"
        with c.stream("GET", "/feed", headers=ann) as answer:
            assert answer.status_code == 200


def sse(answer: httpx.Response):
    """The events of a stream, as they come."""
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


def test_events_pass_nginx_as_it_comes(nginx_proxy, module):
    """It asks by HTTP/1.0 and collects answers, unless a header says not to."""
    ann = {"Cookie": "sid=ann"}
    with node.serve(module(LIVE)) as server, server.client() as c:
        proxy = nginx_proxy(server.url)
        with httpx.stream("GET", f"{proxy.url}/feed", headers=ann, timeout=20) as answer:
            events = sse(answer)
            assert next(events)["type"] == "ready"
            for n in range(3):
                assert c.get("/say").text == str(n + 1)
                assert next(events)["data"] == "something"


def test_streams_end_with_a_last_event_when_the_server_leaves(module):
    """Before the HTTP connections are drained, which would wait for them."""
    path = module(
        LIVE.replace("'./live.mjs';", "'./live.mjs';\nimport { drainable } from DRAIN;")
        .replace("DRAIN", f"'{node.resolve('clustering/shutdown.mjs').as_uri()}'")
        .replace(
            "const stop = () => { stopped.abort(); sockets.leave({ patienceMs: 100 }); };",
            "const drain = drainable(server, { patienceMs: 600_000 });\n"
            "const stop = async () => { await sockets.leave(); await drain();\n"
            "  console.log('drained'); stopped.abort(); };",
        )
    )
    text = path.read_text()
    path.write_text(
        text.replace(
            "stop(); server.close();\n  server.closeAllConnections();", "stop();"
        )
    )
    ann = {"Cookie": "sid=ann"}
    with node.serve(path) as server, server.client() as c:
        ticket = c.post("/ticket", headers=ann).text
        with (
            client(server.url, f"/feed?ticket={ticket}") as peer,
            httpx.stream("GET", f"{server.url}/feed", headers=ann, timeout=20) as answer,
        ):
            lines = answer.iter_lines()
            assert next(lines).startswith("id: ")
            c.close()  # its connection is idle, and would be waited for
            os.kill(server.pid, signal.SIGTERM)
            *_, retry, last, _ = lines  # to the end: it was not cut
            assert ended(peer)[0] == 1012
        assert re.fullmatch(r"retry: \d{1,4}", retry)  # ms, not the same for all
        assert last == 'data: {"type":"bye"}'
        process.until(lambda: not server.alive(), what="the process ended by itself")
        assert server.output().endswith("drained\n")


def test_an_app_that_is_aborted_ends_its_streams_and_its_process(tmp_path):
    path = tmp_path / "app.mjs"
    ann = "sessionOf: async () => ({ user: 'ann' })"
    path.write_text(node.with_deps(f"{TOPIC}/live.mjs", ann))
    with node.serve(path) as server, server.client() as c:
        with c.stream("GET", "/feed") as answer:
            events = sse(answer)
            assert next(events)["type"] == "ready"
            os.kill(server.pid, signal.SIGTERM)
            assert [event["type"] for event in events] == ["bye"]
        process.until(lambda: not server.alive(), what="the process ended by itself")


ENDING = """
import { createApp } from './live.mjs';
import { memoryLog } from './log.mjs';
const log = memoryLog();
for (let n = 0; n < 1000; n += 1) await log.append('x'.repeat(100_000));
const { epoch } = await log.read(0, 1);
const soon = () => ({ user: 'ann', expiresAt: Date.now() + 100 });
const sessionOf = ({ url }) => url.includes('soon') ? soon() : { user: 'ann' };
const app = createApp({ log, beatMs: 200, sessionOf });
const server = createServer((req, res) => {
  if (req.url === '/epoch') return res.end(epoch);
  if (req.url !== '/streams') return app(req, res);
  return server.getConnections((error, count) => res.end(`${count - 1}`));
});
const sockets = app.attach(server);
const stop = () => sockets.leave({ patienceMs: 100 });
"""


@pytest.mark.parametrize("how", ["session", "stalled"])
def test_a_stream_that_nobody_reads_ends_and_nothing_else_does(module, how):
    """With its session, in the middle of what it is being told, or when it has not moved
    for three beats."""
    with node.serve(module(ENDING)) as server, server.client() as c:
        path = "/feed?soon" if how == "session" else "/feed"
        resume = {"Last-Event-ID": f"{c.get('/epoch').text}.0"}
        head = "\r\n".join(f"{k}: {v}" for k, v in {"Host": "x", **resume}.items())
        with socket.create_connection(("127.0.0.1", server.port), 20) as wire:
            wire.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n\r\n".encode())
            assert wire.recv(100).startswith(b"HTTP/1.1 200 ")
            process.until(lambda: c.get("/streams").text == "0", what="it was ended")
        with c.stream("GET", "/feed") as answer:
            assert next(sse(answer))["type"] == "ready"


def test_whoever_reads_is_not_taken_for_one_that_stalls(module):
    with node.serve(module(ENDING)) as server, server.client() as c:
        with c.stream("GET", "/feed") as answer:
            beats = (event for event in sse(answer) if event["type"] == "beat")
            assert len([beat for _, beat in zip(range(5), beats, strict=False)]) == 5


def test_a_live_app_without_dependencies_lets_nobody_in():
    with node.serve(f"{TOPIC}/live.mjs") as server, server.client() as c:
        assert c.post("/ticket").status_code == 401
        assert c.get("/feed").status_code == 401
