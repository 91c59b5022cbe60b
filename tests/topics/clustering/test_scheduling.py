"""Which worker gets a connection, what it shares, how many there are."""

import contextlib
import json
import os
import signal
import socket
import subprocess

import httpx
import psutil
import pytest

from lab.run import node, process, services

from .shared import HARDENED, worker_of, workers


def connections(stack, server, count: int) -> list[httpx.Client]:
    """Clients with a kept connection each, made one after the other."""
    clients = [stack.enter_context(server.client()) for _ in range(count)]
    for client in clients:
        worker_of(client)
    return clients


# --- who gets what -------------------------------------------------------------------


@pytest.mark.claim("clustering/balanced-per-request", verdict="wrong")
def test_each_connection_has_one_worker_for_all_its_requests():
    with node.serve(HARDENED, "2") as server, contextlib.ExitStack() as stack:
        counts = {}
        for client in connections(stack, server, 3):
            for _ in range(100):
                worker = worker_of(client)
                counts[worker] = counts.get(worker, 0) + 1
        assert sorted(counts.values()) == [100, 200]


@pytest.mark.claim("clustering/workers-share-state", verdict="wrong")
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


@pytest.mark.claim("clustering/primary-only-supervises", verdict="depends")
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


@pytest.mark.claim("clustering/survives-a-process", verdict="depends")
def test_the_primary_takes_all_workers_with_it():
    with pytest.raises(node.NodeError, match="ended while it was being served, with -9"):
        with node.serve(HARDENED, "2") as server:
            pids = workers(server)
            os.kill(server.pid, signal.SIGKILL)
            process.until(lambda: not any(map(psutil.pid_exists, pids)))
            assert len(pids) == 2 and not services.listens(server.port)


@pytest.mark.claim("clustering/one-listener-per-port", verdict="right")
def test_processes_without_a_primary_share_a_port_with_reuse_port():
    with node.serve("clustering/reuse-port.mjs", "1") as server:
        seen = set()
        for _ in range(200):  # the kernel deals by a hash: all in one place is luck
            seen.add(httpx.get(f"{server.url}/health").json()["worker"])
            if len(seen) == 2:
                break
        assert len(seen) == 2


# --- connections to the database -----------------------------------------------------


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


@pytest.mark.claim("clustering/one-per-cpu", verdict="wrong")
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


@pytest.mark.claim("clustering/is-master", verdict="wrong")
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
