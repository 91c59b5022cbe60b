"""Start operating-system processes that are certain to end.

Every process gets a session of its own, is registered with a *reaper* (a
separate small process), and carries a token in its environment. So it is ended

* when its context manager exits, whatever happened in between;
* by the reaper, when this Python process dies in any way, SIGKILL included;
* and if it slipped away by daemonising itself, `survivors` still finds it.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from lab import BUILD

TOKEN = "GUIDE_PROCESS_TOKEN"
POLL = 0.01  # seconds between looks at a process that is being waited for

# Reads "+pid", "-pid", "+path", "-path" lines until its standard input closes:
# that is the moment its parent died or exited. Then it clears what is left.
_REAPER = """
import os, shutil, signal, sys
left = {}
for line in sys.stdin:
    if line[0] == "+":
        left[line[1:-1]] = True
    else:
        left.pop(line[1:-1], None)
for item in left:
    if item.isdigit():
        try:
            os.killpg(int(item), signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
for item in left:
    if not item.isdigit():
        shutil.rmtree(item, ignore_errors=True)
"""

_reaper: subprocess.Popen[str] | None = None
_reaper_lock = threading.Lock()


def start(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> tuple[subprocess.Popen[bytes], str]:
    """Start `argv` in its own session; return the process and its token.

    `env` is added to the environment. Raises OSError when `argv[0]` does not
    start. End the process with `end`.
    """
    token = f"{os.environ.get(TOKEN, '')}/{secrets.token_hex(8)}"
    process = subprocess.Popen(
        [str(part) for part in argv],
        cwd=cwd,
        env={**os.environ, **(env or {}), TOKEN: token},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )
    _tell(f"+{process.pid}")
    return process, token


def end(process: subprocess.Popen[bytes], token: str, grace: float) -> bool:
    """End `process` and all it started. True if SIGTERM was enough.

    `grace` is the time in seconds between SIGTERM and SIGKILL.
    """
    obeyed = True
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        obeyed = wait(process, grace)
        # its children were told as well, and may be writing something down
        while _group_lives(process.pid) and time.monotonic() < deadline:
            time.sleep(POLL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # the rest of the group
    process.wait()
    for left in survivors(token):
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    _tell(f"-{process.pid}")
    return obeyed


def wait(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait up to `timeout` seconds; True if the process ended."""
    deadline = time.monotonic() + timeout
    while process.poll() is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def until(condition: Callable[[], object], seconds: float = 20, what: str = "") -> object:
    """Wait until `condition()` is true and return what it gave.

    Raises TimeoutError after `seconds`, naming `what` was waited for.
    """
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s{what and f': {what}'}")
        time.sleep(POLL)
    return result


@contextlib.contextmanager
def of_no_test() -> Iterator[None]:
    """What starts in here may serve a whole module: it may outlive the test that happens
    to start it, and whoever entered ends it."""
    outer = os.environ.pop(TOKEN, None)
    try:
        yield
    finally:
        if outer is not None:
            os.environ[TOKEN] = outer


def _group_lives(leader: int) -> bool:
    """Whether any process is left in the group that process `leader` began."""
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(one.pid) == leader and one.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def survivors(token: str) -> list[psutil.Process]:
    """Live processes that were started, at any depth, under `token`."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get(TOKEN, "").startswith(token)
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue  # gone meanwhile, or not ours to look at
    return found


def describe(found: psutil.Process) -> str:
    """A process's program and id, as far as they can still be told."""
    with contextlib.suppress(psutil.Error, IndexError):
        return f"{Path(found.cmdline()[0]).name} (pid {found.pid})"
    return f"pid {found.pid}"


@contextlib.contextmanager
def directory(prefix: str) -> Iterator[Path]:
    """A temporary directory inside the clone, removed whatever happens."""
    parent = BUILD / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=parent))
    _tell(f"+{path}")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        _tell(f"-{path}")


def _tell(line: str) -> None:
    """Send `line` to this process's reaper, started at the first call."""
    global _reaper
    with _reaper_lock:
        if _reaper is None or _reaper.poll() is not None:
            env = {name: value for name, value in os.environ.items() if name != TOKEN}
            _reaper = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _REAPER],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                env=env,
                start_new_session=True,  # so that Ctrl-C on the parent spares it
            )
        assert _reaper.stdin is not None
        _reaper.stdin.write(line + "\n")
        _reaper.stdin.flush()
