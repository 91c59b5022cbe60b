"""What every service here is: a program on a port of 127.0.0.1 that stays its own, so
that an outage can be played: `stop` and `start`, `pause` and `resume`."""

import contextlib
import ipaddress
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from lab import GuideError
from lab.run import process

# Below the ports that the kernel gives to servers on port 0 and to outgoing
# connections: nobody takes a service's port while the service is down.
PORTS = range(20_000, 32_000)
PATIENCE = 30  # seconds until a service is ready; a busy machine takes a few
GRACE = 10  # seconds from the polite signal to SIGKILL
_STILL = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)


class ServiceError(GuideError):
    """A service is not installed, does not start, or ended by itself."""


@dataclass(frozen=True)
class Recipe:
    """How to run a service: `argv(folder, port)` writes what it needs there too."""

    name: str
    url: str  # with {port}
    argv: Callable[[Path, int], Sequence[str | Path]]
    ready: str  # what it prints when it is, a regular expression
    taken: str  # what it prints when another process has the port
    ending: signal.Signals = signal.SIGTERM


class Service:
    """A service on its port of 127.0.0.1, running unless it was stopped."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
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


@contextlib.contextmanager
def running(
    kind: type[Service], recipe: Recipe, prepare: Callable[[Path], None] = lambda _: None
) -> Iterator:
    """A service of this kind, started in a folder of its own (made ready by `prepare`) on
    a free port, and stopped at the end. Raises ServiceError."""
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


def listens(port: int) -> bool:
    """Whether somebody takes connections on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_local(host: str | None) -> bool:
    """Whether a host is an address of this machine."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host or "").is_loopback
    return False
