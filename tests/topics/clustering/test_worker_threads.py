"""CPU-bound work: in a worker's loop, or in a pool of threads."""

import json
import os
import signal
from collections.abc import Callable

import pytest

from lab.run import load, node

from .shared import HARDENED, worker_of

# --- work ----------------------------------------------------------------------------


def report_of(url: str, wanted: Callable[[int], bool]) -> load.Held:
    """A heavy request that a worker as wanted has: they are dealt in turn."""
    for _ in range(4):
        held = load.Held(f"{url}/report", first="/health")
        if wanted(json.loads(held.greeting)["worker"]):
            return held
        held.close()
    raise AssertionError("no such worker in four connections")


@pytest.mark.claim("clustering/faster-cpu-work", verdict="depends")
def test_one_heavy_request_has_one_worker_and_stops_it():
    with node.serve(HARDENED, "2") as server, server.client() as here:
        mine = worker_of(here)
        # each is made when it is needed: a kept connection does not wait long
        held = report_of(server.url, lambda worker: worker == mine)
        assert load.answers_during(held, here, "/health") <= 1
        # how many fit beside it is for the machine to say; behind it, it would be one
        others = (report_of(server.url, lambda worker: worker != mine) for _ in range(20))
        assert any(load.answers_during(held, here, "/health") > 5 for held in others)


def test_a_pool_of_threads_leaves_the_loop_alone_and_counts_the_same():
    with node.serve("clustering/report.mjs") as server, server.client() as client:
        reports = (load.Held(f"{server.url}/report") for _ in range(20))
        assert any(load.answers_during(held, client, "/health") > 5 for held in reports)
        split = client.get("/report").json()
    with node.serve("clustering/shop.mjs") as server, server.client() as client:
        assert client.get("/report").json() == split == {"primes": 78498}


@pytest.mark.parametrize("deps", ["atOnce: 0", "patience: 1, to: 1e9"])
def test_a_report_in_pieces_that_is_too_many_or_too_long_is_refused(tmp_path, deps):
    module = tmp_path / "report.mjs"
    module.write_text(node.with_deps("clustering/report.mjs", deps))
    with node.serve(module) as server, server.client() as client:
        for _ in range(5):  # more often than may be in work at once
            answer = client.get("/report")
            assert (answer.status_code, answer.text) == (503, "Service Unavailable")
        assert client.get("/health").status_code == 200


def test_a_report_in_pieces_whose_threads_are_ended_is_an_error(tmp_path):
    module = tmp_path / "report.mjs"
    end = "const end = new AbortController(); process.on('SIGUSR2', () => end.abort());"
    deps = "signal: end.signal, to: 1e9"
    module.write_text(node.with_deps("clustering/report.mjs", deps, end))
    with node.serve(module) as server, server.client() as client:
        held = load.Held(f"{server.url}/report")
        held.release()
        for _ in range(3):
            client.get("/health")  # it has begun
        os.kill(server.pid, signal.SIGUSR2)
        assert held.answer()[0] == 500
