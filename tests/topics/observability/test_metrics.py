"""Metrics: labels, buckets, cardinality, their own server."""

import json
import os
import signal
import socket

import httpx
import pytest

from lab import SNIPPETS
from lab.run import node, process

from .shared import TOPIC, javascript, lines_of, logged, metrics_url, samples, two_ports

# --- metrics ------------------------------------------------------------------------


def test_a_request_is_counted_under_its_route_and_the_metrics_have_a_port_of_their_own():
    with two_ports() as server, server.client() as c:
        assert c.get("/orders/ord_1").json()["status"] == "paid"
        assert c.get("/orders/ord_2").status_code == 404
        assert c.get("/nonsense/17").status_code == 404
        assert c.get("/livez").status_code == 200  # no traffic
        assert c.get("/metrics").status_code == 404
        url = metrics_url(server)
        page = httpx.get(url)
        assert httpx.get(url.replace("/metrics", "/orders/ord_1")).status_code == 404
    assert page.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = {
        (one["method"], one["route"], one["status"]): value
        for one, value in samples(page.text, "http_request_duration_seconds_count")
    }
    assert found == {
        ("GET", "/orders/:id", "200"): 1,
        ("GET", "/orders/:id", "404"): 1,
        ("any", "none", "404"): 2,
    }
    assert samples(page.text, "http_requests_in_flight") == [({}, 0)]
    assert samples(page.text, "http_requests_in_flight_capacity") == [({}, 100)]
    [(_, active)] = samples(page.text, "nodejs_eventloop_active_seconds_total")
    assert active > 0


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


BROKEN = """
import client from 'prom-client';
const { metrics } = client.Registry.prototype;
client.Registry.prototype.metrics = async function () {
  if (this.asked) return metrics.call(this);
  this.asked = true;
  throw new Error('no pool');
};
"""


def test_a_collector_that_fails_is_503_and_no_end_of_the_process(tmp_path):
    before = tmp_path / "broken.mjs"
    (tmp_path / "node_modules").symlink_to(SNIPPETS / "node_modules")
    before.write_text(BROKEN)
    env = {"METRICS_PORT": "0", "DRAIN_MS": "0"}
    flags = ("--import", before.as_uri())
    with node.serve(f"{TOPIC}/two-ports.mjs", env=env, flags=flags) as server:
        url = metrics_url(server)
        assert [httpx.get(url).status_code for _ in range(2)] == [503, 200]


FAULTS = """
import { createApp } from './observability/metered.mjs';
import { createMetrics } from './observability/metrics.mjs';
import { once } from 'node:events';
const metrics = createMetrics();
const orders = { async get(id) {
  if (id === 'ord_broken') throw new Error('no database');
  if (id === 'ord_slow') await new Promise(() => {});
  return null;
} };
const server = createApp({ metrics, orders }).listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}/orders`;
console.log((await fetch(`${url}/ord_broken`)).status);
const late = new AbortController();
const slow = fetch(`${url}/ord_slow`, { signal: late.signal }).catch(() => {});
const line = async (pattern) => (await metrics.register.metrics()).match(pattern)?.[0];
const wait = async (pattern) => {
  while (!(await line(pattern))) await new Promise((go) => setTimeout(go, 10));
  return line(pattern);
};
console.log(await wait(/^http_requests_in_flight 1$/m));
late.abort();
await slow;
console.log(await wait(/^http_requests_in_flight 0$/m));
console.log(await line(/seconds_count{.*status="500".*/));
console.log(await line(/seconds_count{.*status="499".*/));
server.close();
server.closeAllConnections();
"""


def test_an_error_and_a_client_that_hung_up_are_counted_as_what_they_are():
    logged, *told = lines_of(FAULTS)
    assert json.loads(logged)["error"]["type"] == "Error"  # that it was, and where
    assert told == [
        "500",
        "http_requests_in_flight 1",
        "http_requests_in_flight 0",
        'seconds_count{method="GET",route="/orders/:id",status="500"} 1',
        'seconds_count{method="GET",route="/orders/:id",status="499"} 1',
    ]


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


MOUNTED = """
import express from 'express';
import { once } from 'node:events';
import { createMetrics } from './observability/metrics.mjs';
import { createPino } from './observability/loggers.mjs';
import { requestLog } from './observability/request-log.mjs';
const mounts = ['', '/admin'];
const metrics = createMetrics({ mounts });
const routes = express.Router().get('/:id', (req, res) => res.json({}));
const app = express();
app.use(requestLog({ logger: createPino(), mounts }), metrics.measure);
app.use('/admin', routes).use('/tenants/:name', routes).get('/:id', (req, res) => res.json({}));
const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}`;
for (const path of ['/1', '/admin/1', '/AdMiN/1', '/tenants/ann@shop/7', '/tenants/bob@shop/8']) {
  await (await fetch(url + path)).text();
}
server.close();
server.closeAllConnections();
await once(server, 'close');
console.log(await metrics.register.metrics());
"""


def test_a_router_has_its_own_name_and_not_the_clients_spelling_of_it():
    printed = javascript(MOUNTED)
    counts = samples(printed, "http_request_duration_seconds_count")
    found = {one["route"]: value for one, value in counts}
    assert found == {"/:id": 1, "/admin/:id": 1, "*/:id": 3}
    lines = [json.loads(x) for x in printed.splitlines() if x.startswith("{")]
    assert [line["route"] for line in lines] == ["/:id", "/admin/:id", *["*/:id"] * 3]
    assert "ann@shop" not in printed


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


@pytest.mark.claim("observability/label-by-user")
@pytest.mark.parametrize(
    ("snippet", "grows"), [("metered.naive", True), ("metered", False)]
)
def test_made_up_paths_and_customers_grow_the_naive_metrics_only(snippet, grows):
    app = node.resolve(f"{TOPIC}/{snippet}.mjs").as_uri()
    metrics = node.resolve(
        f"{TOPIC}/{snippet.replace('metered', 'metrics')}.mjs"
    ).as_uri()
    seen = lines_of(
        f"""
    import {{ createApp }} from '{app}';
    import {{ createMetrics }} from '{metrics}';
    import {{ once }} from 'node:events';
    const metrics = createMetrics();
    const server = createApp({{ metrics }}).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${{server.address().port}}`;
    const count = async () => (await metrics.register.metrics())
      .match(/^http_request_duration_seconds_count/gm)?.length ?? 0;
    for (const round of [1, 2]) {{
      for (let i = 0; i < 100; i += 1) {{
        const headers = {{ 'X-Customer': `cus_${{round}}_${{i}}` }};
        await (await fetch(`${{url}}/orders/ord_${{i}}?x=${{i}}`, {{ headers }})).text();
        await (await fetch(`${{url}}/wp-admin/${{round}}/${{i}}`)).text();
      }}
      console.log(await count());
    }}
    server.close();
    server.closeAllConnections();
    """
    )
    assert seen == (["200", "400"] if grows else ["3", "3"])


@pytest.mark.parametrize("snippet", ["metered.naive.mjs", "two-ports.mjs"])
def test_a_stranger_reads_the_naive_shops_metrics_and_not_the_hardened_ones(snippet):
    secret = "cus_ann@shop.test"
    env = {"METRICS_PORT": "0", "DRAIN_MS": "0"}
    with node.serve(f"{TOPIC}/{snippet}", env=env) as server, server.client() as c:
        c.get("/orders/ord_1", headers={"X-Customer": secret})
        page = c.get("/metrics")
        if "naive" in snippet:
            assert page.status_code == 200 and secret in page.text
            return
        assert page.status_code == 404
        assert "127.0.0.1" in metrics_url(server)
        inside = httpx.get(metrics_url(server)).text
        assert "/orders/:id" in inside and secret not in inside


LAG = """
import client from 'prom-client';
import { monitorEventLoopDelay } from 'node:perf_hooks';
const register = new client.Registry();
client.collectDefaultMetrics({ register });
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const block = (ms) => { const end = performance.now() + ms; while (performance.now() < end); };
const lag = (text) => Number(text.match(/^nodejs_eventloop_lag_max_seconds (.*)$/m)[1]);
"""


@pytest.mark.claim("observability/lag-shows-every-block")
def test_whoever_scrapes_second_does_not_see_the_lag_that_the_first_one_saw():
    seen = lines_of(
        LAG
        + """
    await wait(100);
    block(1000);
    await wait(100);
    console.log(lag(await register.metrics()) > 0.9);
    console.log(lag(await register.metrics()) < 0.9);
    """
    )
    assert seen == ["true", "true"]


@pytest.mark.claim("observability/lag-shows-every-block")
def test_the_lag_metric_does_not_see_the_block_that_the_scrape_itself_is():
    seen = lines_of(
        LAG
        + """
    const { createMetrics } = await import('./observability/metrics.mjs');
    const active = createMetrics();
    const busy = async () => Number((await active.register.metrics())
      .match(/^nodejs_eventloop_active_seconds_total (.*)$/m)[1]);
    // what a page of some megabytes does, at the moment when it does it: formatting
    new client.Gauge({ name: 'z', help: 'z', registers: [register],
      async collect() { await null; block(1000); } });
    const own = monitorEventLoopDelay({ resolution: 10 });
    own.enable();
    await wait(100);
    const before = await busy();
    await register.metrics();
    await wait(100);
    console.log(own.max / 1e9 > 0.9, (await busy()) - before > 0.9);
    console.log(lag(await register.metrics()) < 0.9);
    """
    )
    assert seen == ["true true", "true"]
