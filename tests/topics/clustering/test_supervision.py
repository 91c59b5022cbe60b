"""Workers that die: a request that kills each one, and when forking ends."""

import contextlib
import os
import signal
import time

import httpx
import pytest

from lab.run import node, process, services

from .shared import ANSWER, HARDENED, LONG, NAIVE, get, reset, said, workers

POISON = "/orders/ord_13/label"


def poison(server) -> None:
    """Send the query of death over a connection of its own."""
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(server.url + POISON, timeout=20)


# --- the query of death ------------------------------------------------------------


@pytest.mark.claim("clustering/node-restarts-workers", verdict="wrong")
def test_a_query_of_death_sent_once_per_worker_ends_the_naive_cluster():
    with node.serve(NAIVE, "2") as server:
        poison(server)
        process.until(lambda: len(workers(server)) == 1)
        assert httpx.get(server.url + "/orders/ord_1/label").json() == ANSWER
        poison(server)
        process.until(lambda: not server.alive())
        assert not services.listens(server.port)
        # and whoever started it is told that all went well
        assert server._process.poll() == 0


def test_a_query_of_death_sent_once_per_worker_leaves_the_hardened_cluster_serving():
    with node.serve(HARDENED, "2") as server:
        before = workers(server)
        for _ in range(2):
            poison(server)
        process.until(lambda: len(workers(server) - before) == 2)
        process.until(lambda: services.listens(server.port))
        assert httpx.get(server.url + "/orders/ord_1/label").json() == ANSWER


# Answers nobody: it says what it got, and `/end` ends it.
SILENT = """
const createApp = () => (req, res) => {
  res.once('close', () => console.log('gone'));
  console.log(`got ${req.url}`);
  if (req.url === '/end') setImmediate(() => { %s });
};
serve({ createApp, port: process.env.PORT });
"""


@pytest.mark.parametrize(
    ("thrown", "message"), [("new Error('no')", "no"), ("null", "null"), ("'no'", "'no'")]
)
def test_the_last_gasp_names_each_request_without_its_query(crew, thrown, message):
    silent = crew(SILENT % f"throw {thrown};", limits="count: 1")
    with node.serve(silent) as server, contextlib.ExitStack() as stack:
        reset(get(server, "/aborted"))
        process.until(lambda: "gone" in server.output())
        for asked, path in enumerate(("/a?key=secret", "/b", "/a?key=secret", "/end"), 2):
            stack.enter_context(get(server, path))
            process.until(lambda: server.output().count("got") == asked)  # noqa: B023
        process.until(lambda: said(server, "died"))
        (last,) = said(server, "crashed")
        assert last["inFlight"] == ["GET /a", "GET /b", "GET /a", "GET /end"]
        assert last["message"] == message
        assert said(server, "died")[0]["code"] == 1


def test_a_last_gasp_that_nobody_can_hear_changes_nothing(crew):
    deaf = """
      cluster.setupPrimary({ silent: true });
      cluster.on('fork', ({ process: { stderr } }) => stderr.destroy());
    """
    silent = crew(SILENT % "throw new Error('no');", limits="count: 1", primary=deaf)
    with node.serve(silent) as server, get(server, "/end"):
        process.until(lambda: said(server, "died"))
        assert said(server, "died")[0]["code"] == 1


@pytest.mark.parametrize(
    ("app", "code"),
    [("async () => () => {}", 0), ("async () => { throw new Error('no'); }", 1)],
)
def test_a_worker_whose_async_factory_fails_ends(program, app, code):
    alone = program(
        "import { serve } from './clustering/worker.mjs';\n"
        f"serve({{ createApp: {app}, port: 0 }}).then(() =>\n"
        "  process.kill(process.pid, 'SIGTERM'));\n"  # it needs no primary to leave
        "setInterval(() => {}, 1e9).unref();\n"
    )
    node.run(alone, code=code)


def test_an_async_factory_is_served(crew):
    worker = "serve({ createApp: async () => (req, res) => res.end('ok'), port: 0 });"
    with node.serve(crew(worker)) as server:
        assert httpx.get(server.url).text == "ok"


def test_six_crashes_within_the_window_are_too_many_and_the_cluster_says_so(crew):
    with pytest.raises(node.NodeError, match="ended while it was being served, with 1"):
        with node.serve(crew(limits=f"count: 2, {LONG}")) as server:
            for crashes in range(6):
                process.until(lambda: len(said(server, "died")) == crashes)  # noqa: B023
                process.until(lambda: services.listens(server.port))
                poison(server)
            process.until(lambda: not server.alive())
            assert said(server, "fatal") == [{"fatal": "6 crashes in 600000 ms"}]
            delays = [each["delay"] for each in said(server, "died")]
            assert delays == [50, 100, 200, 400, 800, 1600]


def test_a_worker_killed_from_outside_is_replaced_and_counted(crew):
    with node.serve(crew(limits=f"count: 2, {LONG}")) as server:
        for _ in range(3):
            alive = workers(server)
            os.kill(min(alive), signal.SIGKILL)
            process.until(lambda: len(workers(server) - alive) == 1)  # noqa: B023
        assert [each["delay"] for each in said(server, "died")] == [50, 100, 200]
        process.until(lambda: services.listens(server.port))
        assert httpx.get(server.url + "/orders/ord_1/label").json() == ANSWER


def test_crashes_are_forgotten_when_the_window_is_over(crew):
    with node.serve(crew(limits="count: 2, budget: 1, windowMs: 300")) as server:
        for _ in range(3):
            alive = workers(server)
            os.kill(min(alive), signal.SIGKILL)
            process.until(lambda: len(workers(server) - alive) == 1)  # noqa: B023
            time.sleep(0.4)  # or longer
        assert [each["delay"] for each in said(server, "died")] == [50] * 3


def test_the_delay_before_a_worker_is_replaced_does_not_grow_for_ever(crew):
    with node.serve(crew(limits=f"count: 9, budget: 9, {LONG}")) as server:
        for worker in workers(server):
            os.kill(worker, signal.SIGSTOP)  # none is replaced before all are gone
        for worker in workers(server):
            os.kill(worker, signal.SIGKILL)
        process.until(lambda: len(said(server, "died")) >= 9)
        delays = [each["delay"] for each in said(server, "died")]
        assert delays[:9] == [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]


# A worker that cannot start: it counts its starts in a file, and after 20 of them
# ends whoever keeps starting it.
BROKEN = """
import {{ appendFileSync, statSync }} from 'node:fs';
appendFileSync({starts!r}, '.');
if (statSync({starts!r}).size >= 20) process.kill(process.ppid, 'SIGTERM');
else {fault}
"""

FAULT = "throw new Error('no database');"


@pytest.fixture
def broken(tmp_path):
    """Writes a worker's module that fails at start; also gives the file where it
    counts."""

    def write(fault: str = FAULT):
        starts, module = tmp_path / "starts", tmp_path / "broken.mjs"
        module.write_text(BROKEN.format(starts=str(starts), fault=fault))
        return module, starts

    return write


def test_respawning_at_once_forks_a_worker_that_cannot_start_again_and_again(broken):
    module, starts = broken()
    done = node.run("clustering/respawn.naive.mjs", str(module), timeout=60)
    assert starts.stat().st_size >= 20
    assert done.stdout.count("died") >= 18


@pytest.mark.parametrize(
    ("fault", "limits"),
    [
        (FAULT, ""),
        ("process.exit(0);", ""),
        ("process.kill(process.pid, 'SIGKILL');", ""),
        ("setInterval(() => {}, 1e9); // and never listens", ", startMs: 500"),
    ],
    ids=["throws", "exit-0", "sigkill", "hangs"],
)
def test_the_hardened_cluster_gives_up_on_a_worker_that_cannot_start(
    broken, crew, fault, limits
):
    module, _ = broken(fault)
    worker = f"await import({str(module)!r});"
    # something else in the primary, such as a server for metrics, does not keep it
    primary = "createServer().listen(0, '127.0.0.1');"
    supervised = crew(worker, f"count: 2, {LONG}{limits}", primary)
    done = node.run(supervised, timeout=60, code=1)
    assert done.stderr.count('"died"') == 6
    # perhaps a seventh start was under way
    assert done.stdout.count("started") <= 7
    assert '"fatal"' in done.stderr


REFUSED = {
    "event": "process.execPath = '/nonexistent/node';",  # an event tells of it
    "throws": "process.env.HUGE = 'x'.repeat(2 ** 18);",  # fork() itself does
}


@pytest.mark.parametrize("refuse", REFUSED.values(), ids=REFUSED)
def test_a_fork_that_the_system_refuses_is_counted_and_tried_again(crew, refuse):
    primary = """
      const { execPath } = process;
      process.on('SIGUSR2', () => { %s });
      const { error } = console;
      console.error = (line) => {
        error(line);
        if (!line.includes('"error"')) return;
        process.execPath = execPath;
        delete process.env.HUGE;
      };
    """
    with node.serve(crew(primary=primary % refuse)) as server:
        alive = workers(server)
        os.kill(server.pid, signal.SIGUSR2)
        os.kill(min(alive), signal.SIGKILL)
        # a refused start is a process for a moment, too: until exec() fails in it
        process.until(lambda: len(said(server, "delay")) == 2)
        process.until(lambda: len(workers(server) - alive) == 1)
        assert [each["delay"] for each in said(server, "delay")] == [50, 100]
        assert httpx.get(server.url + "/orders/ord_1/label").json() == ANSWER


@pytest.mark.parametrize("refuse", REFUSED.values(), ids=REFUSED)
def test_a_restart_whose_fork_the_system_refuses_is_given_up(crew, refuse):
    primary = f"process.on('SIGHUP', () => {{ {refuse} }});"
    with node.serve(crew(primary=primary)) as server:
        alive = workers(server)
        os.kill(server.pid, signal.SIGHUP)
        process.until(lambda: said(server, "restart"))
        assert "given up" in said(server, "restart")[0]["restart"]
        assert workers(server) == alive and not said(server, "died")
        assert httpx.get(server.url + "/orders/ord_1/label").json() == ANSWER


def test_ready_waits_for_each_worker_not_for_as_many_events(crew, tmp_path):
    go = tmp_path / "go"
    worker = f"""
      if (cluster.worker.id === 2) {{
        while (!existsSync({str(go)!r}))
          await new Promise((on) => setTimeout(on, 5));
        console.log('the second one');
      }} else {{
        createServer().listen(0, '127.0.0.1');
      }}
      await shop();
    """
    primary = f"""
      let listens = 0;
      cluster.on('listening', () => {{
        listens += 1;
        if (listens === 2) appendFileSync({str(go)!r}, '');
      }});
    """
    with node.serve(crew(worker, primary=primary)) as server:
        assert server.output().index("the second one") < server.output().index(
            "listening"
        )


@pytest.mark.parametrize("wrong", ["count: NaN", "count: '2'", "count: 0", "count: 2, budget: '5'",
                                   "count: 2, startMs: '9'", "count: 2, leaveMs: Infinity",
                                   "count: 2, windowMs: 2 ** 31"])  # fmt: skip
def test_limits_that_are_no_numbers_are_refused_when_the_crew_is_made(crew, wrong):
    done = node.run(crew(limits=wrong), code=1)
    assert "TypeError: " + wrong.split(", ")[-1].split(":")[0] in done.stderr
    assert "started" not in done.stdout


@pytest.mark.claim("clustering/proxy-spreads-the-query", verdict="right")
def test_nginx_takes_a_query_of_death_to_the_next_server(nginx_proxy):
    with pytest.raises(node.NodeError, match="ended while it was being served, with 1"):
        with (
            node.serve("clustering/shop.mjs") as one,
            node.serve("clustering/shop.mjs") as two,
        ):
            proxy = nginx_proxy(
                [one.url, two.url]
            )  # which tries the next server by default
            assert httpx.get(proxy.url + "/orders/ord_1/label").json() == ANSWER
            assert httpx.get(proxy.url + POISON).status_code == 502
            process.until(lambda: not one.alive() and not two.alive())
