"""Metrics and health of several workers."""

import contextlib
import itertools
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from lab import SNIPPETS
from lab.run import load, node, process, services

from .shared import TOPIC, expression, lines_of, metrics_url, samples


def requests_of(text: str) -> float:
    """How many requests a page with metrics counts, all routes together."""
    return sum(v for _, v in samples(text, "http_request_duration_seconds_count"))


def crew(workers: int = 2, flags: tuple[str, ...] = ()):
    env = {"METRICS_PORT": "0"}
    return node.serve(f"{TOPIC}/crew.mjs", str(workers), env=env, flags=flags)


@contextlib.contextmanager
def begun(server):
    """A request that is half sent, on a connection that the server knows: a function
    sends the rest and gives the answer."""
    with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
        half = b"GET /orders/ord_1 HTTP/1.1\r\nHost: x\r\n"
        raw.sendall(half + b"\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 200 ")
        raw.sendall(half)

        def finish() -> bytes:
            raw.sendall(b"\r\n")
            return raw.recv(1000)

        yield finish


# --- cluster ------------------------------------------------------------------------


def scrapes(url: str, count: int) -> list[float]:
    """What each of `count` scrapes counts, each over a connection of its own."""
    return [requests_of(httpx.get(url).text) for _ in range(count)]


@pytest.mark.claim("observability/each-worker-is-enough", verdict="wrong")
def test_each_workers_own_counter_goes_backwards_and_the_sum_of_all_does_not():
    with node.serve(f"{TOPIC}/crew.naive.mjs", "2") as server:
        with server.client() as kept:  # one connection, so one worker
            for _ in range(30):
                kept.get("/orders/ord_1")
        seen = scrapes(f"{server.url}/metrics", 6)
        assert sorted(set(seen)) == [0, 30]
        assert any(later < earlier for earlier, later in itertools.pairwise(seen))
    with crew() as server:
        url, seen = metrics_url(server), []
        for _ in range(6):
            with load.client(server.url) as c:
                for _ in range(5):
                    c.get("/orders/ord_1")
            seen += scrapes(url, 1)
        assert seen == [5, 10, 15, 20, 25, 30]
        counts = samples(httpx.get(url).text, "http_request_duration_seconds_count")
        assert {one["worker"]: value for one, value in counts} == {"1": 15, "2": 15}


@pytest.mark.claim("observability/sum-of-workers-only-grows", verdict="wrong")
def test_the_sum_of_workers_falls_when_one_dies_and_its_series_alone_does_not(tmp_path):
    with crew() as server, load.client(server.url) as c:
        for _ in range(20):
            c.get("/orders/ord_1")
        url = metrics_url(server)
        assert scrapes(url, 1) == [20]
        [first, second] = process_ids(server)
        os.kill(first, signal.SIGKILL)
        process.until(
            lambda: len(process_ids(server)) == 2 and first not in process_ids(server)
        )
        assert second in process_ids(server)
        page = httpx.get(url).text
        assert requests_of(page) == 10
        counts = samples(page, "http_request_duration_seconds_count")
        assert [(one["worker"], value) for one, value in counts] == [("2", 10)]
    # What Prometheus makes of it: 1 000 requests a worker and minute; after ten
    # minutes worker 1 dies, 3 takes its place.
    worker = 'r{worker="%d"}'
    apart = {
        worker % 1: "0+1000x9",
        worker % 2: "0+1000x19",
        worker % 3: "_x10 0+1000x9",
    }
    total = " ".join(
        str(1000 * (minute + (minute if minute < 10 else minute - 10)))
        for minute in range(20)
    )
    summed = expression({"r": total}, "sum(increase(r[4m]))", 11, tmp_path)
    labelled = expression(apart, "sum(increase(r[4m]))", 11, tmp_path)
    assert labelled < 9000  # 8 000 requests have come
    assert summed > 14_000


def process_ids(server) -> list[int]:
    """The workers of a crew, oldest first."""
    children = psutil.Process(server.pid).children()
    return [one.pid for one in sorted(children, key=lambda one: one.create_time())]


def test_the_page_of_all_workers_says_503_when_one_of_them_is_silent():
    with crew() as server:
        stuck = psutil.Process(process_ids(server)[0])
        stuck.suspend()
        try:
            begun = time.monotonic()
            assert httpx.get(metrics_url(server), timeout=20).status_code == 503
            assert time.monotonic() - begun > 4.5
        finally:
            stuck.resume()
        assert httpx.get(metrics_url(server), timeout=20).status_code == 200


def test_a_crew_whose_workers_cannot_start_gives_up_and_ends_whoever_scrapes_it(
    tmp_path,
):
    # however long a start takes here: all of them are in the supervisor's window
    (preload := tmp_path / "stopped.mjs").write_text(
        "import cluster from 'node:cluster';\n"
        "if (cluster.isPrimary) performance.now = () => 1;\n"
    )
    flags = ("--import", preload.as_uri())
    with socket.create_server(("127.0.0.1", 0)) as taken, ThreadPoolExecutor(1) as pool:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        env = {"PORT": str(taken.getsockname()[1]), "METRICS_PORT": str(port)}
        argv = (f"{TOPIC}/crew.mjs", "1")
        ended = pool.submit(node.run, *argv, env=env, flags=flags, timeout=90, code=1)
        pages = []
        url = f"http://127.0.0.1:{port}/metrics"
        process.until(lambda: services.listens(port))
        held = load.Held(url)  # who scrapes is no reason to stay
        # between two workers the answer comes at once; else one that dies before it
        # has answered would cost five seconds, and with them all such moments
        with httpx.Client(timeout=0.2) as c:
            while not ended.done():
                with contextlib.suppress(httpx.TransportError):
                    pages.append(c.get(url))
        held.close()
        assert "fatal" in ended.result().stderr
    assert 503 in {page.status_code for page in pages}
    # what a worker says before it fails is a page; nothing is none
    assert all(page.text for page in pages if page.status_code == 200)


ASKED_WHILE_IT_DIES = """
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import client from 'prom-client';
if (cluster.isPrimary) process.once('SIGUSR2', () => {
  const [{ process: { pid } }] = Object.values(cluster.workers);
  process.kill(pid, 'SIGKILL');
  while (!/ Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')));
  // the primary has not heard of it yet: what a scrape does now
  new client.AggregatorRegistry().clusterMetrics().catch(() => {});
});
"""


def test_a_scrape_in_the_moment_when_a_worker_dies_ends_no_crew(tmp_path):
    (tmp_path / "node_modules").symlink_to(SNIPPETS / "node_modules")
    (preload := tmp_path / "asks.mjs").write_text(ASKED_WHILE_IT_DIES)
    with crew(flags=("--import", preload.as_uri())) as server:
        before = process_ids(server)
        os.kill(server.pid, signal.SIGUSR2)
        process.until(lambda: len(set(process_ids(server)) - set(before)) == 1)
        assert httpx.get(metrics_url(server), timeout=20).status_code == 200


def test_a_crew_that_is_told_twice_to_end_finishes_what_it_has_begun():
    with crew(1) as server:
        url = metrics_url(server)
        with begun(server) as finish:
            for _ in range(2):
                os.kill(server.pid, signal.SIGTERM)
                # an answer, so the signal has been taken; and metrics go on to the end
                assert requests_of(httpx.get(url).text) == 1
            assert finish().startswith(b"HTTP/1.1 200 ")
        process.until(lambda: not server.alive())


@pytest.mark.claim("observability/average-of-p99s", verdict="wrong")
def test_prom_client_averages_the_p99_of_workers():
    seen = lines_of(
        """
    import client from 'prom-client';
    const pages = await Promise.all([0.01, 1].map((seconds) => {
      const register = new client.Registry();
      const name = 'nodejs_eventloop_lag_p99_seconds';
      client.collectDefaultMetrics({ register });
      const { aggregator } = register.getSingleMetric(name);
      const gauge = { name, help: 'lag', type: 'gauge', aggregator };
      return [{ ...gauge, values: [{ value: seconds, labels: {} }] }];
    }));
    const all = client.AggregatorRegistry.aggregate(pages);
    console.log((await all.metrics()).split('\\n')[2]);
    """
    )
    assert seen == ["nodejs_eventloop_lag_p99_seconds 0.505"]


@pytest.mark.claim("observability/average-of-p99s", verdict="wrong")
def test_prom_client_adds_up_what_is_not_told_otherwise():
    seen = lines_of(
        """
    import client from 'prom-client';
    const pages = await Promise.all([1, 2].map(async (value) => {
      const register = new client.Registry();
      new client.Gauge({ name: 'g', help: 'g', registers: [register] }).set(value);
      return register.getMetricsAsJSON();
    }));
    console.log((await client.AggregatorRegistry.aggregate(pages).metrics()).split('\\n')[2]);
    """
    )
    assert seen == ["g 3"]


@pytest.mark.claim("observability/average-of-p99s", verdict="wrong")
def test_the_average_of_p99s_is_too_high_when_hardly_anybody_asks_the_slow_instance():
    [averaged, whole] = lines_of(
        """
    import { exact, latencies } from './observability/quantile.mjs';
    const fleet = [...[2, 3, 4].map((seed) => latencies(3000, 0.05, seed)), latencies(10, 2, 5)];
    const p99s = fleet.map((one) => exact(one, 0.99));
    console.log(p99s.reduce((sum, one) => sum + one, 0) / 4);
    console.log(exact(fleet.flat(), 0.99));
    """
    )
    assert float(averaged) > 5 * float(whole)
