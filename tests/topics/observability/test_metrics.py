"""Metrics: labels, buckets, cardinality, their own server."""

import json

import httpx
import pytest

from lab import SNIPPETS
from lab.run import node

from .shared import TOPIC, lines_of, metrics_url, samples, two_ports

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
    printed = node.printed(MOUNTED)
    counts = samples(printed, "http_request_duration_seconds_count")
    found = {one["route"]: value for one, value in counts}
    assert found == {"/:id": 1, "/admin/:id": 1, "*/:id": 3}
    lines = [json.loads(x) for x in printed.splitlines() if x.startswith("{")]
    assert [line["route"] for line in lines] == ["/:id", "/admin/:id", *["*/:id"] * 3]
    assert "ann@shop" not in printed


@pytest.mark.claim("observability/label-by-user", verdict="wrong")
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


@pytest.mark.claim("observability/lag-shows-every-block", verdict="wrong")
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


@pytest.mark.claim("observability/lag-shows-every-block", verdict="wrong")
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
