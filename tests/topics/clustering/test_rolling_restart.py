"""New workers for old ones, one by one, and stopping in between."""

import json
import os
import signal
import time

import httpx
import pytest

from lab.run import node, process, services

from .shared import (
    ANSWER,
    HARDENED,
    LONG,
    answer,
    get,
    got,
    said,
    under_load,
    workers,
)

# --- restart and stop ----------------------------------------------------------------


@pytest.mark.claim("clustering/rolling-restart-loses-nothing", verdict="right")
def test_a_rolling_restart_replaces_all_workers_and_loses_no_request():
    with node.serve(HARDENED, "2") as server:
        before = workers(server)
        with under_load(server, ms=5000, rude=5) as counts:
            os.kill(server.pid, signal.SIGHUP)
            process.until(lambda: said(server, "restart"))
            seen = counts()
        after = workers(server)
        assert said(server, "restart") == [{"restart": "done"}]
        assert not said(server, "died")
    assert not before & after and len(after) == 2
    assert (seen["lost"], seen["refused"]) == (0, 0)
    assert seen["answered"] > 100


@pytest.mark.parametrize(
    ("fault", "limits"),
    [
        ("throw new Error('bad deploy');", ""),
        # long enough for the old ones, also on a machine that is busy
        ("await new Promise((on) => setInterval(on, 1e9));", ", startMs: 8000"),
    ],
    ids=["throws", "hangs"],
)
def test_a_bad_deploy_stops_at_its_first_worker_and_the_old_ones_stay(
    tmp_path, crew, fault, limits
):
    bad = tmp_path / "bad"
    deployed = crew(
        f"if (existsSync({str(bad)!r})) {fault} await shop();", f"count: 2{limits}"
    )
    with node.serve(deployed) as server:
        before = workers(server)
        bad.touch()
        for _ in range(3):  # they join the first
            os.kill(server.pid, signal.SIGHUP)
        process.until(lambda: said(server, "restart"), 40)
        process.until(lambda: workers(server) == before)
        assert said(server, "restart") == [{"restart": "given up: the old code stays"}]
        assert httpx.get(server.url + "/orders/ord_1/label").json() == ANSWER


BLOCKABLE = (
    "process.on('SIGUSR2', () => { console.log('blocked'); for (;;); }); await shop();"
)


@pytest.mark.parametrize("order", [signal.SIGHUP, signal.SIGTERM])
def test_a_worker_that_is_blocked_is_killed_when_it_should_leave(crew, order):
    with node.serve(crew(BLOCKABLE, limits="count: 2, leaveMs: 1000")) as server:
        before = workers(server)
        os.kill(min(before), signal.SIGUSR2)
        process.until(lambda: "blocked" in server.output())
        os.kill(server.pid, order)
        if order == signal.SIGHUP:
            process.until(lambda: said(server, "restart"))
            assert said(server, "restart") == [{"restart": "done"}]
            process.until(lambda: len(workers(server) - before) == 2)
            assert not before & workers(server)
        else:
            process.until(lambda: not server.alive())
        assert not said(server, "died")


def test_a_worker_that_left_by_itself_and_lingers_is_killed_and_replaced(crew):
    lingers = "await shop(); setInterval(() => {}, 1e9);"
    with node.serve(crew(lingers, limits="count: 2, leaveMs: 300")) as server:
        before = workers(server)
        os.kill(min(before), signal.SIGTERM)  # as an operator would
        process.until(lambda: len(workers(server) - before) == 1)
        assert said(server, "died")[0]["signal"] == "SIGKILL"


def test_a_stop_ends_a_restart_and_leaves_no_worker(crew):
    # a worker takes its time to leave: until it is told a second time
    slow = """
      let told = 0;
      process.on('SIGTERM', () => {
        console.log('told');
        if ((told += 1) === 2) process.exit();
      });
      createServer().listen(process.env.PORT, '127.0.0.1');
    """
    with node.serve(crew(slow)) as server:
        os.kill(server.pid, signal.SIGHUP)
        process.until(lambda: "told" in server.output())  # the first of the old ones
        os.kill(server.pid, signal.SIGTERM)
        process.until(lambda: server.output().count("told") == 4)  # it twice, two once
        os.kill(server.pid, signal.SIGTERM)
        process.until(lambda: not server.alive(), 10)
        assert server.output().count("started") == 3
        assert said(server, "restart") == [{"restart": "given up: stopped"}]


def test_a_stop_while_the_fresh_worker_starts_leaves_no_worker(crew, tmp_path):
    slow = tmp_path / "slow"
    starting = f"if (existsSync({str(slow)!r})) setInterval(() => {{}}, 1e9);"
    with node.serve(crew(f"{starting} else await shop();")) as server:
        slow.touch()
        os.kill(server.pid, signal.SIGHUP)
        process.until(lambda: server.output().count("started") == 3)
        os.kill(server.pid, signal.SIGTERM)
        process.until(lambda: not server.alive())
        assert server.output().count("started") == 3


def test_a_stop_between_a_crash_and_its_replacement_leaves_no_worker(crew):
    with node.serve(crew(limits="count: 9, budget: 9")) as server:
        for worker in workers(server):
            os.kill(worker, signal.SIGKILL)
        process.until(lambda: len(said(server, "died")) >= 9)
        os.kill(server.pid, signal.SIGTERM)  # the last one would come in 5 s
        process.until(lambda: not server.alive())


@pytest.mark.parametrize("crash", ["old", "fresh"])
def test_a_crash_during_a_restart_leaves_as_many_workers_as_there_should_be(
    crew, tmp_path, crash
):
    hold, go = tmp_path / "hold", tmp_path / "go"
    waits = f"""
      const wait = () => new Promise((on) => setTimeout(on, 5));
      if (cluster.worker.id === 3)
        while (existsSync({str(hold)!r}) && !existsSync({str(go)!r})) await wait();
      await shop();
    """
    with node.serve(crew(waits)) as server:
        before = workers(server)
        hold.touch()
        os.kill(server.pid, signal.SIGHUP)
        process.until(lambda: server.output().count("started") == 3)
        if crash == "old":
            os.kill(min(before), signal.SIGKILL)
            process.until(lambda: said(server, "died"))
            process.until(lambda: server.output().count("started") == 4)
            go.touch()
            process.until(lambda: {"restart": "done"} in said(server, "restart"))
        else:
            (fresh,) = workers(server) - before
            os.kill(fresh, signal.SIGKILL)
            process.until(lambda: said(server, "restart"))
            assert not said(server, "died")
        process.until(lambda: len(workers(server)) == 2)
        assert (before & workers(server) == set()) == (crash == "old")
        assert httpx.get(server.url + "/orders/ord_1/label").json() == ANSWER


def test_a_crashed_worker_whose_place_a_restart_has_filled_is_not_replaced_again(
    crew, tmp_path
):
    hold = tmp_path / "hold"
    waits = f"""
      while (existsSync({str(hold)!r})) await new Promise((on) => setTimeout(on, 5));
      await shop();
    """
    with node.serve(crew(waits, limits=f"count: 1, {LONG}")) as server:
        for _ in range(4):
            (worker,) = workers(server)
            os.kill(worker, signal.SIGKILL)
            process.until(lambda: workers(server) - {worker})  # noqa: B023
        process.until(lambda: services.listens(server.port))
        (old,) = workers(server)
        hold.touch()
        os.kill(server.pid, signal.SIGHUP)
        process.until(lambda: len(workers(server)) == 2)
        os.kill(old, signal.SIGKILL)
        process.until(lambda: len(said(server, "died")) == 5)
        hold.unlink()
        process.until(lambda: said(server, "restart"))
        time.sleep(1)  # or longer: the fifth crash waits for 0.8 s
        assert len(workers(server)) == 1


def test_a_worker_that_leaves_ends_its_streams_before_it_drains_and_its_pools_after(crew):
    worker = """
      function createApp({ leaving, signal }) {
        signal.addEventListener('abort', () => console.log('released'));
        return (req, res) => {
          res.write('begun, ');
          leaving.addEventListener('abort', () => res.end('ended'));
          res.once('close', () => console.log('closed'));
          console.log('got /');
        };
      }
      serve({ createApp, port: process.env.PORT, quietMs: 100, patienceMs: 60_000 });
    """
    with node.serve(crew(worker, limits="count: 1, leaveMs: 60_000")) as server:
        with get(server, "/") as client:
            got(server, "/")
            os.kill(server.pid, signal.SIGTERM)
            assert answer(client)[2] == b"begun, ended"
            process.until(lambda: not server.alive())
        printed = server.output()
        assert printed.index("closed") < printed.index("released")


def test_a_worker_says_how_many_it_had_to_cut(crew):
    worker = """
      const createApp = () => () => console.log('got /');
      serve({ createApp, port: process.env.PORT, patienceMs: 100 });
    """
    with node.serve(crew(worker, limits="count: 1")) as server, get(server, "/"):
        got(server, "/")
        os.kill(server.pid, signal.SIGTERM)
        process.until(lambda: not server.alive())
        assert said(server, "left")[0]["cut"] == 1


def test_a_worker_that_is_told_twice_leaves_once(crew):
    worker = """
      process.on('SIGTERM', () => console.log('told'));
      let held;
      process.on('SIGUSR2', () => held.end());
      const createApp = () => (req, res) => {
        held = res;
        console.log('got /');
      };
      serve({ createApp, port: process.env.PORT });
    """
    primary = "cluster.on('exit', (worker, code) => console.log(`exit ${code}`));"
    with node.serve(crew(worker, "count: 1", primary)) as server, get(server, "/"):
        got(server, "/")
        (worker,) = workers(server)
        os.kill(worker, signal.SIGTERM)
        process.until(lambda: "told" in server.output())
        os.kill(server.pid, signal.SIGTERM)
        process.until(lambda: server.output().count("told") == 2)
        os.kill(worker, signal.SIGUSR2)
        process.until(lambda: not server.alive())
        assert "exit 0" in server.output()


def test_clients_count_nothing_when_there_is_nobody_to_ask():
    counts = json.loads(node.run("clustering/clients.mjs").stdout)
    assert counts == {"answered": 0, "lost": 0, "refused": 0}
