"""What docs/chapters/clustering.md says, run."""

import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
import trustme

from lab.run import load, node, process

SNIPPETS = node.SNIPPETS.as_uri()
NAIVE, HARDENED = "clustering/cluster.naive.mjs", "clustering/cluster.mjs"
POISON = "/orders/ord_13/label"
ANSWER = {"label": "ord_1: tea"}


def workers(server) -> set[int]:
    try:
        children = psutil.Process(server.pid).children()
        return {one.pid for one in children if one.status() != psutil.STATUS_ZOMBIE}
    except psutil.NoSuchProcess:
        return set()


def poison(server) -> None:
    """Send the query of death over a connection of its own."""
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(server.url + POISON, timeout=20)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def address(server) -> tuple[str, int]:
    return ("127.0.0.1", server.port)


def reset(client: socket.socket) -> None:
    """End a connection as a client does that crashed: by RST, not by FIN."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def said(server, field: str) -> list[dict]:
    """What it has said so far in lines of JSON with that field."""
    lines = [line for line in server.output().splitlines() if line.startswith("{")]
    return [each for line in lines if field in (each := json.loads(line))]


def worker_of(client) -> int:
    return client.get("/health").json()["worker"]


def connections(stack, server, count: int) -> list[httpx.Client]:
    """Clients with a kept connection each, made one after the other."""
    clients = [stack.enter_context(server.client()) for _ in range(count)]
    for client in clients:
        worker_of(client)
    return clients


@pytest.fixture
def program(tmp_path):
    """Writes a program that imports what stands in `snippets/` as './clustering/…'."""
    written = itertools.count()

    def write(source: str):
        path = tmp_path / f"program-{next(written)}.mjs"
        path.write_text(source.replace("'./clustering/", f"'{SNIPPETS}/clustering/"))
        return path

    return write


CREW = """
import cluster from 'node:cluster';
import { once } from 'node:events';
import { existsSync, appendFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { supervise } from './clustering/respawn.mjs';
import { serve } from './clustering/worker.mjs';
async function shop() {
  const { createApp } = await import('./clustering/shop.mjs');
  return serve({ createApp, port: process.env.PORT });
}
if (cluster.isPrimary) {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  await once(probe.close(), 'close');
  %s
  const crew = supervise({ port, %s });
  process.on('SIGTERM', crew.stop);
  process.on('SIGHUP', crew.restart);
  console.log(`listening on http://127.0.0.1:${await crew.ready}`);
} else {
  console.log(`started ${process.pid}`);
  %s
}
"""


@pytest.fixture
def crew(program):
    """Writes a cluster that is supervised within `limits`. `worker` is what a worker
    runs, `primary` what the primary does before it."""

    def write(worker: str = "await shop();", limits: str = "count: 2", primary: str = ""):
        return program(CREW % (primary, limits, worker))

    return write


# --- the query of death ------------------------------------------------------------


@pytest.mark.claim("clustering/node-restarts-workers")
def test_a_query_of_death_sent_once_per_worker_ends_the_naive_cluster():
    with node.serve(NAIVE, "2") as server:
        poison(server)
        process.until(lambda: len(workers(server)) == 1)
        assert httpx.get(server.url + "/orders/ord_1/label").json() == ANSWER
        poison(server)
        process.until(lambda: not server.alive())
        assert not listens(server.port)
        # and whoever started it is told that all went well
        assert server._process.poll() == 0


def test_a_query_of_death_sent_once_per_worker_leaves_the_hardened_cluster_serving():
    with node.serve(HARDENED, "2") as server:
        before = workers(server)
        for _ in range(2):
            poison(server)
        process.until(lambda: len(workers(server) - before) == 2)
        process.until(lambda: listens(server.port))
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


def get(server, path: str) -> socket.socket:
    """Ask over a connection of its own."""
    client = socket.create_connection(address(server), 10)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return client


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


LONG = "windowMs: 600_000"  # a busy machine is slow


def test_six_crashes_within_the_window_are_too_many_and_the_cluster_says_so(crew):
    with pytest.raises(node.NodeError, match="ended while it was being served, with 1"):
        with node.serve(crew(limits=f"count: 2, {LONG}")) as server:
            for crashes in range(6):
                process.until(lambda: len(said(server, "died")) == crashes)  # noqa: B023
                process.until(lambda: listens(server.port))
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
        process.until(lambda: listens(server.port))
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


# --- who gets what -------------------------------------------------------------------


@pytest.mark.claim("clustering/balanced-per-request")
def test_each_connection_has_one_worker_for_all_its_requests():
    with node.serve(HARDENED, "2") as server, contextlib.ExitStack() as stack:
        counts = {}
        for client in connections(stack, server, 3):
            for _ in range(100):
                worker = worker_of(client)
                counts[worker] = counts.get(worker, 0) + 1
        assert sorted(counts.values()) == [100, 200]


@pytest.mark.claim("clustering/workers-share-state")
def test_each_worker_counts_for_itself():
    printed = node.run("clustering/state.mjs").stdout.split("\n")
    assert printed[:-1] == [f"{{ visits: {n} }}" for n in (1, 1, 2, 2, 3, 3)]


def held_by(pid: int, port: int) -> bool:
    """Whether a process has the listening socket of a port."""
    found = psutil.Process(pid).net_connections("tcp")
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in found)


def answers_in(client: socket.socket, seconds: float) -> bool:
    client.settimeout(seconds)
    try:
        return bool(client.recv(65536))
    except TimeoutError:
        return False


@pytest.mark.claim("clustering/primary-only-supervises")
@pytest.mark.parametrize("policy", ["rr", "none"])
def test_with_round_robin_no_new_connection_gets_past_a_primary_that_stands_still(policy):
    env = {"NODE_CLUSTER_SCHED_POLICY": policy}
    request = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    with node.serve(HARDENED, "2", env=env) as server:
        here = ("127.0.0.1", server.port)
        assert held_by(server.pid, server.port)
        holders = [held_by(pid, server.port) for pid in workers(server)]
        assert holders == ([False] * 2 if policy == "rr" else [True] * 2)
        with socket.create_connection(here) as kept, socket.socket() as fresh:
            kept.sendall(request)
            assert answers_in(kept, 10)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                kept.sendall(request)
                assert answers_in(kept, 10)
                fresh.connect(here)  # the kernel takes it
                fresh.sendall(request)
                if policy == "none":
                    assert answers_in(fresh, 10)
                else:
                    assert not answers_in(fresh, 1)
            finally:
                os.kill(server.pid, signal.SIGCONT)
            if policy == "rr":
                assert answers_in(fresh, 10)


@pytest.mark.claim("clustering/survives-a-process")
def test_the_primary_takes_all_workers_with_it():
    with pytest.raises(node.NodeError, match="ended while it was being served, with -9"):
        with node.serve(HARDENED, "2") as server:
            pids = workers(server)
            os.kill(server.pid, signal.SIGKILL)
            process.until(lambda: not any(map(psutil.pid_exists, pids)))
            assert len(pids) == 2 and not listens(server.port)


@pytest.mark.claim("clustering/one-listener-per-port")
def test_processes_without_a_primary_share_a_port_with_reuse_port():
    with node.serve("clustering/reuse-port.mjs", "1") as server:
        seen = set()
        for _ in range(200):  # the kernel deals by a hash: all in one place is luck
            seen.add(httpx.get(f"{server.url}/health").json()["worker"])
            if len(seen) == 2:
                break
        assert len(seen) == 2


# --- work ----------------------------------------------------------------------------


def report_of(url: str, wanted: Callable[[int], bool]) -> load.Held:
    """A heavy request that a worker as wanted has: they are dealt in turn."""
    for _ in range(4):
        held = load.Held(f"{url}/report", first="/health")
        if wanted(json.loads(held.greeting)["worker"]):
            return held
        held.close()
    raise AssertionError("no such worker in four connections")


@pytest.mark.claim("clustering/faster-cpu-work")
def test_one_heavy_request_has_one_worker_and_stops_it():
    with node.serve(HARDENED, "2") as server, server.client() as here:
        mine = worker_of(here)
        # each is made when it is needed: a kept connection does not wait long
        held = report_of(server.url, lambda worker: worker == mine)
        assert load.answers_during(held, here, "/health") <= 1
        held = report_of(server.url, lambda worker: worker != mine)
        assert load.answers_during(held, here, "/health") > 5


def test_a_pool_of_threads_leaves_the_loop_alone_and_counts_the_same():
    with node.serve("clustering/report.mjs") as server, server.client() as client:
        held = load.Held(f"{server.url}/report")
        assert load.answers_during(held, client, "/health") > 5
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


def connect(port: int) -> tuple[socket.socket, bytes]:
    """A connection to PostgreSQL, and the type of what it says last: Z for ready,
    E for an error (protocol 3.0)."""
    hello = b"\x00\x03\x00\x00user\x00postgres\x00\x00"
    client = socket.create_connection(("127.0.0.1", port), 20)
    client.sendall((len(hello) + 4).to_bytes(4) + hello)
    reader = client.makefile("rb")
    kind = b""
    while kind not in (b"Z", b"E"):
        kind = reader.read(1)
        reader.read(int.from_bytes(reader.read(4)) - 4)
    reader.close()
    return client, kind


def test_eight_workers_with_a_pool_of_twenty_are_too_many_for_postgres(postgres_server):
    with contextlib.ExitStack() as stack:
        kinds = []
        for _ in range(8 * 20):
            client, kind = connect(postgres_server.port)
            stack.enter_context(client)
            kinds.append(kind)
    assert kinds.count(b"E") >= 60


# --- sizes and names -----------------------------------------------------------------


@pytest.mark.claim("clustering/one-per-cpu")
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_available_parallelism_knows_the_affinity_and_cpus_does_not():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        lines = node.run("clustering/cores.mjs").stdout.splitlines()
    finally:
        os.sched_setaffinity(0, allowed)
    assert lines == [
        f"os.cpus().length: {psutil.cpu_count()}",
        "os.availableParallelism(): 1",
    ]


STOCK = """
import js from '@eslint/js';
import { Linter } from 'eslint';
import n from 'eslint-plugin-n';
import security from 'eslint-plugin-security';

const plugins = { n, security };
const rules = { ...js.configs.all.rules };
for (const [prefix, { rules: all }] of Object.entries(plugins))
  for (const name of Object.keys(all)) rules[`${prefix}/${name}`] = 'error';
const config = { plugins, rules, languageOptions: { globals: { console: 'readonly' } } };
const linted = (code) => new Linter().verify(code, config, 'x.mjs');
const told = [%s, "import fs from 'node:fs'; fs.exists('.');"].map((code) =>
  linted(code).map(({ ruleId, message }) => `${ruleId}: ${message}`));
console.log(JSON.stringify(told));
"""


@pytest.mark.claim("clustering/is-master")
def test_is_master_is_still_true_and_silent_and_only_a_rule_of_our_own_objects():
    source = (
        "import cluster from 'node:cluster';\n"
        "console.log(cluster.isMaster, cluster.isPrimary);\n"
    )
    done = node.evaluate(source)
    assert (done.stdout, done.stderr) == ("true true\n", "")
    # every stock rule of the three packages: they know what else is deprecated
    stock = json.loads(node.evaluate(STOCK % json.dumps(source)).stdout)
    assert [text.split(":")[0] for text in stock[0]] == ["no-console"]
    assert any("n/no-deprecated-api" in text for text in stock[1])
    eslint = node.SNIPPETS / "node_modules" / "eslint" / "bin" / "eslint.js"
    linted = subprocess.run(
        [node.binary(), eslint, "--stdin", "--stdin-filename=clustering/x.mjs"],
        cwd=node.SNIPPETS, input=source, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "its name is isPrimary" in linted.stdout


# --- leaving -------------------------------------------------------------------------


def clients_of(server) -> int:
    """How many connections the server or its workers have from clients."""
    found = 0
    for pid in {server.pid, *workers(server)}:
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in psutil.Process(pid).net_connections("tcp"):
                found += one.status == psutil.CONN_ESTABLISHED
    return found


@contextlib.contextmanager
def under_load(server, ms: int = 2000, rude: int = 0, leave: bool = False):
    """20 keep-alive clients for that long, and beside them some rude ones; yields what
    waits for the counts of the 20. With `leave` the server gets SIGTERM when each of the
    20 has had two answers."""
    with ThreadPoolExecutor(1) as other:
        argv = (
            "clustering/clients.mjs",
            f"{server.url}/orders/ord_1/label",
            "20",
            str(ms),
            str(rude),
            *([str(server.pid)] if leave else []),
        )
        clients = other.submit(node.run, *argv)
        process.until(lambda: clients_of(server) >= 20)
        yield lambda: json.loads(clients.result().stdout)


def test_process_exit_cuts_off_whoever_is_being_answered():
    with node.serve("clustering/shutdown.naive.mjs", "exit") as server:
        with under_load(server) as counts:
            os.kill(server.pid, signal.SIGTERM)
            seen = counts()
    assert seen["lost"] > 0 and seen["answered"] > 0


@pytest.mark.claim("clustering/close-is-graceful")
def test_close_alone_waits_for_a_connection_that_goes_on_asking_and_a_drain_ends_it():
    with node.serve("clustering/shutdown.naive.mjs", "close") as server:
        with server.client() as client:
            with contextlib.closing(half_asked(server)) as asking:
                process.until(lambda: clients_of(server) == 1)
                os.kill(server.pid, signal.SIGTERM)
                process.until(lambda: not listens(server.port))
                asking.sendall(b"\r\n")  # the rest of the request
                for _ in range(50):
                    answer = read_answer(asking)
                    assert b"HTTP/1.1 200" in answer
                    assert b"Connection: keep-alive" in answer
                    asking.sendall(HEALTH)
            assert server.alive()
            with pytest.raises(httpx.ConnectError):
                client.get("/health")
        process.until(lambda: not server.alive())
    with node.serve("clustering/shutdown.mjs") as server, server.client() as client:
        with contextlib.closing(half_asked(server)) as asking:
            process.until(lambda: clients_of(server) == 1)
            os.kill(server.pid, signal.SIGTERM)
            process.until(lambda: client.get("/health").headers["connection"] == "close")
            asking.sendall(b"\r\n")
            assert b"Connection: close" in read_answer(asking)
            process.until(lambda: not server.alive())


HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


def half_asked(server) -> socket.socket:
    """A connection with a request that is one line short."""
    client = socket.create_connection(address(server), 10)
    client.sendall(HEALTH[:-2])
    return client


def read_answer(client: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"}"):
        data += (more := client.recv(65536))
        assert more, data
    return data


def test_a_drain_loses_no_request_that_was_accepted_however_rude_others_are():
    with node.serve("clustering/shutdown.mjs") as server:
        with under_load(server, ms=18_000, rude=5, leave=True) as counts:
            process.until(lambda: not server.alive())
            seen = counts()
    assert seen["lost"] == 0 and seen["answered"] >= 40


BIG = 40_000_000  # bytes
LEAVING = """
import { createServer } from 'node:http%s';
import { existsSync } from 'node:fs';
import { drainable } from './clustering/shutdown.mjs';
const held = [];
const app = (req, res) => {
  if (req.url === '/big') {
    res.end(Buffer.alloc(%d));
  } else if (req.url === '/held' || req.url === '/stream') {
    held.push(res);
    if (req.url === '/stream') res.write('begun, ');
  } else res.end('ok');
  console.log(`got ${req.url}`);
};
// nothing but the drain ends a connection that is kept
const server = createServer({ keepAliveTimeout: 0, %s }, app);
server.on('upgrade', (req, socket) => {
  socket.on('error', () => {}).write('HTTP/1.1 101 Go on\\r\\n\\r\\n');
});
const drain = drainable(server, { patienceMs: %s, quietMs: %s });
process.on('SIGUSR2', () => held.forEach((res) => res.end('held')));
process.on('SIGTERM', () => {
  Promise.resolve(%s).then((cut) => console.log(`cut: ${cut}`));
  console.log('leaving');
  %s
});
server.listen(process.env.PORT, '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}`));
"""


@pytest.fixture
def leaving(program):
    """Serves a program that drains on SIGTERM. `/held` and `/stream` are answered, or
    end, on SIGUSR2; `/big` is more than the kernel's buffers take; `then` is run right
    after the drain has begun."""

    @contextlib.contextmanager
    def serve(*, patience=60_000, quiet=60_000, way="drain()", then="", tls=""):
        values = ("s" if tls else "", BIG, tls, patience, quiet, way, then)
        with node.serve(program(LEAVING % values)) as server:
            yield server

    return serve


def leave(server) -> None:
    os.kill(server.pid, signal.SIGTERM)
    process.until(lambda: "leaving" in server.output())


def got(server, path: str, times: int = 1) -> None:
    process.until(lambda: server.output().count(f"got {path}") == times)


def answer(client: socket.socket) -> tuple[int, str | None, bytes]:
    """Status, `Connection` and content of the next answer."""
    response = http.client.HTTPResponse(client)
    response.begin()
    return response.status, response.getheader("connection"), response.read()


HELD = (200, "close", b"held")


def test_a_client_that_resets_its_connection_costs_nobody_else_an_answer(leaving):
    with leaving() as server, get(server, "/held") as polite:
        rude = [get(server, "/kept"), get(server, "/held"), half_asked(server)]
        rude.append(socket.create_connection(address(server)))
        got(server, "/kept")
        got(server, "/held", 2)
        process.until(lambda: clients_of(server) == 5)
        leave(server)
        for client in rude:
            reset(client)
        process.until(lambda: clients_of(server) == 1)
        os.kill(server.pid, signal.SIGUSR2)
        assert answer(polite) == HELD
        process.until(lambda: not server.alive())  # with 0, else `serve` objects
        assert "cut: 0" in server.output()


@pytest.mark.parametrize("kind", ["kept", "silent", "upgraded", "late"])
def test_a_client_that_says_nothing_does_not_cost_the_whole_patience(leaving, kind):
    with leaving(quiet=300) as server, contextlib.ExitStack() as stack:
        if kind == "kept":
            assert answer(stack.enter_context(get(server, "/"))) == (
                200,
                "keep-alive",
                b"ok",
            )
        elif kind == "upgraded":
            upgraded = stack.enter_context(socket.create_connection(address(server)))
            upgraded.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
                             b"Upgrade: a\r\n\r\n")  # fmt: skip
            assert b"101" in upgraded.recv(100)
        elif kind == "silent":
            stack.enter_context(socket.create_connection(address(server)))
            process.until(lambda: clients_of(server) == 1)
        else:
            stack.enter_context(get(server, "/held"))  # so that it accepts still
            got(server, "/held")
        leave(server)
        if kind == "late":
            stack.enter_context(socket.create_connection(address(server)))
            process.until(lambda: clients_of(server) == 2)
            process.until(lambda: clients_of(server) == 1)
            os.kill(server.pid, signal.SIGUSR2)
        process.until(lambda: not server.alive())


def test_a_slow_request_is_waited_for_as_long_as_it_goes_on(leaving):
    with leaving(quiet=300) as server, half_asked(server) as slow:
        process.until(lambda: clients_of(server) == 1)
        leave(server)
        slow.sendall(b"X-Slow: ")
        process.until(lambda: not listens(server.port))  # who is quiet has been closed
        time.sleep(0.4)  # or longer
        slow.sendall(b"yes\r\n\r\n")
        assert answer(slow) == (200, "close", b"ok")


def test_what_came_while_the_loop_stood_still_is_answered(leaving, tmp_path):
    sent = tmp_path / "sent"
    block = f"while (!existsSync({str(sent)!r}));"
    with leaving(quiet=1, then=block) as server, get(server, "/") as kept:
        assert answer(kept) == (200, "keep-alive", b"ok")
        leave(server)
        time.sleep(0.01)  # or longer: it has been quiet
        kept.sendall(HEALTH)
        sent.touch()
        assert answer(kept) == (200, "close", b"ok")


def test_both_of_two_requests_sent_at_once_are_answered(leaving):
    request = b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n"
    with leaving() as server, socket.create_connection(address(server)) as client:
        client.sendall(2 * request)
        got(server, "/held", 2)
        leave(server)
        os.kill(server.pid, signal.SIGUSR2)
        data = b""
        while more := client.recv(65536):
            data += more
        assert data.count(b"200 OK") == data.count(b"\r\n\r\nheld") == 2


def test_the_second_of_two_is_waited_for_when_the_first_is_answered(leaving):
    both = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /held HTTP/1.1\r\nHost: a\r\n\r\n"
    with (
        leaving(quiet=300) as server,
        socket.create_connection(address(server)) as client,
    ):
        client.sendall(both)
        got(server, "/held")
        assert client.recv(1000).endswith(b"ok")
        leave(server)
        process.until(lambda: not listens(server.port))
        os.kill(server.pid, signal.SIGUSR2)
        assert answer(client) == HELD


def test_a_stream_that_ends_during_the_drain_ends_its_connection(leaving):
    with leaving(quiet=300) as server, get(server, "/stream") as client:
        got(server, "/stream")
        leave(server)
        process.until(lambda: not listens(server.port))
        os.kill(server.pid, signal.SIGUSR2)
        # it could not be told any more
        assert answer(client) == (200, "keep-alive", b"begun, held")
        process.until(lambda: not server.alive())


@pytest.mark.claim("clustering/close-is-graceful")
@pytest.mark.parametrize(("way", "whole"), [("server.close()", False), ("drain()", True)])
def test_close_cuts_an_answer_that_is_still_being_read_and_a_drain_does_not(
    leaving, way, whole
):
    with leaving(quiet=300, way=way) as server, get(server, "/big") as slow:
        got(server, "/big")  # the application has done its part
        leave(server)
        process.until(lambda: not listens(server.port))
        response = http.client.HTTPResponse(slow)
        response.begin()
        try:
            size = len(response.read())
        except (http.client.IncompleteRead, ConnectionResetError):
            size = 0
        assert (size == BIG) == whole


@pytest.mark.parametrize("path", ["/held", "/stream", "/big", "half"])
def test_what_never_ends_is_cut_when_patience_is_over_and_the_drain_says_so(
    leaving, path
):
    with leaving(patience=500) as server:
        with half_asked(server) if path == "half" else get(server, path):
            process.until(lambda: clients_of(server) == 1)
            if path != "half":
                got(server, path)
            leave(server)
            process.until(lambda: not server.alive())
            assert "cut: 1" in server.output()


def test_what_was_upgraded_is_cut_as_well_when_patience_is_over(leaving):
    with leaving(patience=500) as server:
        with socket.create_connection(address(server)) as upgraded:
            upgraded.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
                             b"Upgrade: a\r\n\r\n")  # fmt: skip
            assert b"101" in upgraded.recv(100)
            leave(server)
            process.until(lambda: not server.alive())
            assert "cut: 1" in server.output()


def test_a_second_signal_joins_the_drain(leaving):
    with leaving() as server, get(server, "/held") as polite:
        got(server, "/held")
        leave(server)
        os.kill(server.pid, signal.SIGTERM)
        process.until(lambda: server.output().count("leaving") == 2)
        os.kill(server.pid, signal.SIGUSR2)
        assert answer(polite) == HELD
        process.until(lambda: not server.alive())
        assert server.output().count("cut: 0") == 2


def test_a_drain_of_a_server_with_tls_answers_whom_it_works_for(leaving, tmp_path):
    authority = trustme.CA()
    issued, file = authority.issue_cert("127.0.0.1"), tmp_path / "pem"
    issued.private_key_and_cert_chain_pem.write_to_path(file)
    pem = repr(file.read_text())
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with leaving(quiet=300, tls=f"key: {pem}, cert: {pem}") as server:
        raw = socket.create_connection(address(server), 10)
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as client:
            client.sendall(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
            got(server, "/held")
            leave(server)
            process.until(lambda: not listens(server.port))
            os.kill(server.pid, signal.SIGUSR2)
            assert answer(client) == HELD
            process.until(lambda: not server.alive())


@pytest.mark.parametrize("wrong", ["patienceMs: '8000'", "quietMs: NaN", "quietMs: -1",
                                   "patienceMs: Infinity", "patienceMs: 2 ** 31"])  # fmt: skip
def test_a_patience_that_is_no_number_is_refused_when_the_drain_is_made(program, wrong):
    made = program(
        "import { createServer } from 'node:http';\n"
        "import { drainable } from './clustering/shutdown.mjs';\n"
        f"drainable(createServer(), {{ {wrong} }});\n"
    )
    assert f"TypeError: {wrong.split(':')[0]}" in node.run(made, code=1).stderr


# --- restart and stop ----------------------------------------------------------------


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
        process.until(lambda: listens(server.port))
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
