"""The app that is observed: how it answers what fails, and how it leaves."""

import json
import os
import signal
import socket

import httpx
import pytest

from lab.run import node, process

from .shared import TOPIC, logged, metrics_url, two_ports


def test_the_shop_serves_whoever_comes_until_the_balancer_has_heard_that_it_leaves():
    with two_ports(DRAIN_MS="2000") as server, server.client() as c:
        assert c.get("/readyz").status_code == 200
        os.kill(server.pid, signal.SIGTERM)
        os.kill(server.pid, signal.SIGTERM)  # to the group, too
        said = process.until(
            lambda: (a := c.get("/readyz")).status_code == 503 and a.headers
        )
        assert said.get("Connection") != "close"  # it drains only later
        with server.client() as new:
            assert new.get("/readyz").json() == {"process": "leaving"}
            assert new.get("/orders/ord_1").status_code == 200
            assert httpx.get(metrics_url(server)).status_code == 200
            process.until(lambda: new.get("/livez").headers.get("Connection") == "close")
        # each connection is told, then closed
        assert c.get("/livez").headers.get("Connection") == "close"
        process.until(lambda: not server.alive())


def test_a_shop_that_cannot_leave_says_so_and_ends_with_1_and_no_crash(tmp_path):
    (before := tmp_path / "fails.mjs").write_text(
        """
    import { syncBuiltinESMExports } from 'node:module';
    import timers from 'node:timers/promises';
    timers.setTimeout = async () => { throw new Error('no drain'); };
    syncBuiltinESMExports();
    """
    )
    env = {"METRICS_PORT": "0", "DRAIN_MS": "0"}
    flags = ("--import", before.as_uri())
    with pytest.raises(node.NodeError, match="ended while it was being served, with 1"):
        with node.serve(f"{TOPIC}/two-ports.mjs", env=env, flags=flags) as server:
            os.kill(server.pid, signal.SIGTERM)
            process.until(lambda: not server.alive())
            output = server.output()
    assert "no drain" in output
    assert "Node.js v" not in output  # which it says last when nobody handles an error


@pytest.mark.parametrize("status", ["200", "undefined", "399", "500", "'400x'"])
@pytest.mark.parametrize("snippet", ["app.mjs", "metered.mjs"])
def test_an_errors_own_status_answers_only_if_it_is_a_clients_mistake(
    snippet, status, module
):
    before = (
        "const orders = { get: async () => {\n"
        f"  throw Object.assign(new Error('x'), {{ expose: true, status: {status} }});\n"
        "} };\n"
    )
    with node.serve(module(snippet, "orders", before)) as server, server.client() as c:
        assert c.get("/orders/ord_1").status_code == 500
        [line] = logged(server, 1, "request failed")
    assert line["level"] == "error" and line["error"]["type"] == "Error"


STREAMS = """
import express from 'express';
import { createPino } from './observability/loggers.mjs';
import { problems } from './observability/request-log.mjs';
import { once } from 'node:events';
const app = express();
app.get('/', (req, res, next) => {
  res.write('[1,', () => next(new Error('card 4242')));
});
app.use(problems({ logger: createPino() }));
const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
const answer = await fetch(`http://127.0.0.1:${server.address().port}`);
await answer.text().then(console.log, () => console.log(answer.status, 'cut'));
server.close();
"""


def test_an_error_in_the_middle_of_an_answer_cuts_it_and_is_a_line_like_others():
    done = node.evaluate(STREAMS)
    line, seen = done.stdout.splitlines()
    assert json.loads(line)["msg"] == "request failed" and seen == "200 cut"
    assert "4242" not in done.stdout and done.stderr == ""


@pytest.mark.parametrize(
    ("snippet", "path", "limit"),
    [("signin.mjs", "/signin", 1024), ("app.mjs", "/orders", 16 * 1024)],
)
def test_a_body_is_read_up_to_a_limit_and_the_answer_names_no_framework(
    snippet, path, limit
):
    with node.serve(f"{TOPIC}/{snippet}") as server, server.client() as c:
        bodies = [{"user": "x" * (limit - 50)}, {"user": "x" * limit}]
        answers = [c.post(path, json=body) for body in bodies]
        told = server.output()
    assert [a.status_code == 413 for a in answers] == [False, True]
    assert not any("X-Powered-By" in a.headers for a in answers)
    assert "x" * 101 not in told


def test_a_parser_of_orders_may_be_async(module):
    before = "const parseOrder = async (body) => ({ errors: [{ detail: body.note }] });"
    with node.serve(module("app.mjs", "parseOrder", before)) as server:
        with server.client() as c:
            answer = c.post("/orders", json={"note": "no"})
    assert answer.status_code == 422 and answer.json()["errors"] == [{"detail": "no"}]


@pytest.mark.parametrize("snippet", ["app.mjs", "metered.mjs"])
def test_what_nobody_can_read_is_the_clients_mistake_and_pages_nobody(snippet, module):
    with node.serve(module(snippet)) as server, server.client() as c:
        answer = c.get("/orders/%zz")
        assert answer.status_code == 400 and answer.json()["status"] == 400
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        if snippet == "app.mjs":
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            assert c.post("/orders", content="a=1", headers=form).status_code == 422
            lines = logged(server, 2)  # and none of an error among them
            said = [[one[key] for key in ("level", "route", "status")] for one in lines]
            assert said == [["info", "none", 400], ["info", "/orders", 422]]


SLOW = """
const both = Promise.withResolvers();
const orders = { get: async () => { console.log('asked'); await both.promise; } };
"""


def test_who_hangs_up_is_499_in_the_log_as_well(module):
    path = module("app.mjs", "orders", SLOW)
    with node.serve(path) as server, server.client() as c:
        with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
            raw.sendall(b"GET /orders/ord_1 HTTP/1.1\r\nHost: x\r\n\r\n")
            process.until(lambda: "asked" in server.output())
        [line] = logged(server, 1)
        assert c.get("/nothing").status_code == 404
    said = {key: line[key] for key in ("level", "route", "status")}
    assert said == {"level": "info", "route": "/orders/:id", "status": 499}
