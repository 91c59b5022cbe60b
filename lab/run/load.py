"""Put load on a server of this machine.

`closed_loop` keeps a number of connections busy: it shows throughput, and hides
waiting, since a slow answer delays the next request. `open_loop` sends at set
times whatever the server does, and counts latency from the *intended* start, so
a stall is seen by everyone who would have come during it.
"""

import asyncio
import contextlib
import http.client
import ipaddress
import json
import select
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from lab import SNIPPETS, GuideError
from lab.run import node, process

MAX_SECONDS = 30
MAX_REQUESTS = 20_000


class LoadError(GuideError):
    """The load could not be put on, or would have gone where it must not."""


@dataclass(frozen=True)
class Answer:
    """One request. Times in seconds; `latency` counts from the intended start.
    `status` is None when no answer came within the timeout."""

    intended: float
    latency: float
    status: int | None


def open_loop(
    url: str,
    *,
    rate: float,
    seconds: float,
    method: str = "GET",
    json_body: object = None,
    timeout: float = 10,
    begin: float | None = None,
) -> list[Answer]:
    """Send `rate` requests a second for `seconds`, each at its intended time.

    The first is due at `begin` on `time.monotonic()`'s clock: give it, half a second
    ahead, where something else is to happen at a known time of this load.
    Answers come in the order of their intended start. Works inside a running
    asyncio loop (a notebook) as well: it uses a thread of its own there.
    Raises LoadError for an address off this machine, or too much of a load.
    """
    _check(url, seconds, rate * seconds)

    async def send_all() -> list[Answer]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=timeout, limits=limits) as client:
            # the client's own start-up must not look like the server's latency
            with contextlib.suppress(httpx.HTTPError):
                await client.get(f"{urlsplit(url).scheme}://{urlsplit(url).netloc}/")
            first = begin or time.monotonic() + 0.05

            async def send(index: int) -> Answer:
                intended = first + index / rate
                await asyncio.sleep(max(0, intended - time.monotonic()))
                try:
                    answer = await client.request(method, url, json=json_body)
                    status = answer.status_code
                except httpx.HTTPError:
                    status = None
                latency = time.monotonic() - intended
                return Answer(intended - first, latency, status)

            count = round(rate * seconds)
            return list(await asyncio.gather(*(send(i) for i in range(count))))

    return _run(send_all())


def closed_loop(
    url: str,
    *,
    connections: int,
    seconds: float,
    method: str = "GET",
    json_body: object = None,
) -> dict:
    """autocannon's result (its JSON) with `connections` kept busy.

    Latencies in ms. Raises LoadError as `open_loop` does, and when autocannon
    fails.
    """
    _check(url, seconds, 0)
    argv = [
        node.binary(), SNIPPETS / "node_modules" / "autocannon" / "autocannon.js",
        "--json", "--connections", str(connections), "--duration", f"{seconds:g}",
        "--method", method,
    ]  # fmt: skip
    if json_body is not None:
        argv += ["--headers", "content-type=application/json"]
        argv += ["--body", json.dumps(json_body)]
    with tempfile.TemporaryFile() as out:
        child, token = process.start(
            [*argv, url], cwd=SNIPPETS, stdout=out, stderr=subprocess.DEVNULL
        )
        try:
            ended = process.wait(child, seconds + 20)
        finally:
            process.end(child, token, grace=1)
        out.seek(0)
        text = out.read().decode()
    if not ended or child.returncode != 0:
        raise LoadError(f"{url}: autocannon failed ({child.returncode}): {text[-300:]}")
    return json.loads(text)


class Held:
    """A request whose last byte waits for `release`: the server has read the rest,
    so what it does afterwards begins at a moment that the test chooses.

    Where several processes share a port, give `first`: a path that is asked over the
    same connection before. Its answer, `greeting`, says which of them has the
    connection, and that it is there and no longer on its way. `release` such a one
    soon: it waits on a kept connection, and those Node closes `keepAliveTimeout` and a
    second after an answer unless the next request's headers have come.
    """

    def __init__(
        self,
        url: str,
        method: str = "GET",
        body: bytes = b"",
        content_type: str = "",
        first: str = "",
    ) -> None:
        _check(url, 0, 1)
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        head = f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        if body:
            head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        data = f"{head}\r\n".encode() + body
        self.size = len(data)
        self._last = data[-1:]
        self._socket = socket.create_connection((parts.hostname, parts.port), 30)
        # else the last byte waits until the server's kernel has said that it has the
        # rest, and to that it gives itself 40 ms (Nagle's algorithm, delayed ACK)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.greeting = b""
        if first:
            greet = f"GET {first} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
            self._socket.sendall(greet.encode())
            _, self.greeting = self._receive()
        self._socket.sendall(data[:-1])

    def release(self) -> None:
        """Send the last byte."""
        self._socket.sendall(self._last)

    def answered(self) -> bool:
        """Whether its answer has reached this machine's side of the connection."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def answer(self) -> tuple[int, bytes]:
        """Wait for the answer: status and body."""
        with self._socket:
            return self._receive()

    def close(self) -> None:
        """Leave without an answer."""
        self._socket.close()

    def _receive(self) -> tuple[int, bytes]:
        response = http.client.HTTPResponse(self._socket)
        response.begin()
        return response.status, response.read()


def answers_during(held: Held, client: httpx.Client, path: str) -> int:
    """How often `path` answered 200 from the release of `held` to its answer.

    One thread asks and looks, so what is compared is the order in which the server
    wrote its answers, not the order in which two threads of ours woke up.
    """
    # The kernel has all but the last byte. Every turn of the server's loop takes at
    # least 64 KiB of it (libuv's buffer), so after that many answers it has read all.
    for _ in range(held.size // 65536 + 2):
        client.get(path)
    held.release()
    answers = 0
    while True:
        status = client.get(path).status_code
        if held.answered():
            held.answer()
            return answers
        answers += status == 200


def client(url: str, address: str = "127.0.0.1", **options) -> httpx.Client:
    """A client of `url` that comes from `address`, with a new connection a request.

    `options` are httpx's. Raises LoadError for an address off this machine.
    """
    _check(url, 0, 0)
    transport = httpx.HTTPTransport(
        verify=False,  # loading certificates would take longer than the requests
        local_address=address,
        limits=httpx.Limits(max_keepalive_connections=0),
    )
    return httpx.Client(base_url=url, transport=transport, timeout=20, **options)


def percentile(answers: list[Answer], percent: float) -> float:
    """The latency in seconds that `percent` % of the answers do not exceed."""
    latencies = sorted(answer.latency for answer in answers)
    return latencies[min(len(latencies) - 1, int(len(latencies) * percent / 100))]


def _run(coroutine):
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def _check(url: str, seconds: float, requests: float) -> None:
    host = urlsplit(url).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local:
        raise LoadError(f"{url}: load goes to this machine only — use 127.0.0.1")
    if seconds > MAX_SECONDS or requests > MAX_REQUESTS:
        raise LoadError(
            f"{url}: {seconds:g} s and {requests:g} requests are too much — at most "
            f"{MAX_SECONDS} s and {MAX_REQUESTS} requests, to be kind to the machine"
        )
