"""The house: its layers, its commands, and what they say when something is off."""

import ast
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from lab import ROOT, load, node, process, services, site

# from the roof to the ground: a module imports only what stands behind it
LAYERS = (
    "__main__", "bench", "lighthouse", "versions", "repeat", "chapter", "notebook", "site", "publish",
    "markdown", "overview", "elements", "gates", "pages", "figure", "evidence", "load", "browser",
    "services", "node", "process", "__init__",
)  # fmt: skip


def test_each_module_of_lab_imports_only_modules_below_it():
    modules = {path.stem for path in (ROOT / "lab").glob("*.py")}
    assert modules == set(LAYERS)
    for module in modules:
        tree = ast.parse((ROOT / "lab" / f"{module}.py").read_text("utf-8"))
        for item in ast.walk(tree):
            if isinstance(item, ast.ImportFrom) and item.module == "lab":
                used = {name.name for name in item.names} & modules
            elif isinstance(item, ast.ImportFrom) and (item.module or "")[:4] == "lab.":
                used = {item.module.removeprefix("lab.")}
            elif isinstance(item, ast.Import):
                used = {name.name[4:] for name in item.names if name.name[:4] == "lab."}
            else:
                continue
            above = {name for name in used if LAYERS.index(name) <= LAYERS.index(module)}
            assert not above, f"lab/{module}.py imports {above} from above"


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
            "topic 'even-loop': no such chapter — event-loop",
        ),
        (("test", "TOPIC=even-loop"), "topic 'even-loop': no such chapter — event-loop"),
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


def test_load_goes_to_this_machine_only_and_is_bounded():
    for url in ("http://192.0.2.1/", "http://example.com/"):
        with pytest.raises(load.LoadError, match="this machine only"):
            load.open_loop(url, rate=1, seconds=1)
        with pytest.raises(load.LoadError, match="this machine only"):
            load.closed_loop(url, connections=1, seconds=1)
    with pytest.raises(load.LoadError, match="too much"):
        load.open_loop("http://127.0.0.1:9/", rate=100_000, seconds=1)


def test_closed_and_open_loop_load_a_server():
    with node.serve("event-loop/login.mjs") as server:
        health = f"{server.url}/health"
        closed = load.closed_loop(health, connections=2, seconds=1)
        answers = load.open_loop(health, rate=20, seconds=0.5)
    assert closed["2xx"] > 0 and closed["non2xx"] == closed["errors"] == 0
    assert [answer.status for answer in answers] == [200] * 10


# --- a copy of the guide, to serve and to break ----------------------------------


def in_copy(copy: Path, *args: str):
    """Start `python ARGS` with the copy's own `lab`."""
    env = {"PYTHONPATH": str(copy), "PYTHONUNBUFFERED": "1"}
    with (copy / "log").open("wb") as out:
        return process.start(
            [sys.executable, *args], cwd=copy, env=env, stdout=out, stderr=out
        )


EDITS = (
    # page, file, what stands there, what is put in its place
    ("chapters", "docs/chapters/event-loop.md", "\n## How", "\nEdited page.\n\n## How"),
    (
        "chapters",
        "snippets/event-loop/order.mjs",
        "order]\n",
        "order]\n// Edited code.\n",
    ),
    ("notebooks", "notebooks/event-loop.ipynb", "the measurements", "Edited book."),
    ("chapters", "lab/markdown.py", '"checked with', '"Edited lab.'),
)


@pytest.mark.timeout(900)  # of a clock that other work on the machine shares
def test_serve_shows_edits_in_docs_snippets_notebooks_and_lab(copy):
    port = services.free_port()

    def shows(page, text):
        try:
            return text in httpx.get(f"http://127.0.0.1:{port}/{page}/event-loop/").text
        except httpx.TransportError:
            return False

    child, token = in_copy(copy, "-m", "lab", "serve", "--port", str(port))
    server = psutil.Process(child.pid)

    def shown(page, text):
        """Not within so much of the server's own time, however busy the machine is."""

        def spent() -> float:
            each = (server, *server.children(recursive=True))
            return sum(sum(one.cpu_times()[:2]) for one in each)

        begun = spent()
        while not shows(page, text):
            assert spent() - begun < 60, (text, page, (copy / "log").read_text("utf-8"))
            time.sleep(0.1)

    try:
        shown("chapters", "</html>")
        for page, path, old, new in EDITS:
            file = copy / path
            assert old in file.read_text("utf-8")
            file.write_text(file.read_text("utf-8").replace(old, new, 1), "utf-8")
            shown(page, re.search(r"Edited \w+\.", new)[0])
        os.kill(child.pid, signal.SIGTERM)  # this one alone, not its group
        process.until(lambda: not process.survivors(token), 60, "the server is gone")
    finally:
        process.end(child, token, grace=10)


def test_serve_looks_at_no_npm_package(tmp_path, monkeypatch):
    for path in ("node_modules/a", "jwt/exercises", "observability/agents/node_modules"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "observability" / "app.mjs").touch()
    monkeypatch.setattr(site, "SNIPPETS", tmp_path)
    watched = sorted(str(path.relative_to(tmp_path)) for path in site._watched())
    assert watched == ["jwt", "observability/app.mjs"]


@pytest.mark.timeout(900)
def test_a_page_with_a_dead_anchor_stops_the_build(copy):
    page = copy / "docs" / "index.md"
    page.write_text(page.read_text("utf-8") + "\n[x](chapters/event-loop.md#none)\n")
    child, token = in_copy(copy, "-m", "lab", "site")
    try:
        assert process.wait(child, 600)
    finally:
        process.end(child, token, grace=0)
    assert child.returncode == 1
    log = (copy / "log").read_text("utf-8")
    assert "does not contain an anchor '#none'" in log
    assert log.splitlines()[-1] == "mkdocs build: failed — its warnings are above"


LEAVES = """
import time
from lab import node, process

def test_serving():
    with process.directory("kept") as folder, node.serve("event-loop/login.mjs") as s:
        (folder / "big").write_text("x")
        with open("marks", "w") as marks:
            print(f"pid={s.pid} folder={folder}", file=marks)
        time.sleep(60)
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_killed_test_run_leaves_no_process_and_no_file(copy, workers):
    (copy / "tests" / "test_leaves.py").write_text(LEAVES)
    marks = copy / "marks"
    child, token = in_copy(copy, "-m", "pytest", "tests/test_leaves.py", f"-n{workers}")
    try:
        process.until(
            lambda: marks.exists() and marks.read_text(), 30, "the server is up"
        )
        pid, folder = (part.split("=")[1] for part in marks.read_text().split())
        assert psutil.pid_exists(int(pid)) and Path(folder).exists()
        os.kill(child.pid, signal.SIGKILL)
        process.until(lambda: not psutil.pid_exists(int(pid)), 20, "Node is gone")
        process.until(lambda: not Path(folder).exists(), 20, "the directory is gone")
        process.until(lambda: not process.survivors(token), 20, "everything is gone")
        process.until(
            lambda: not any((copy / "build" / "tmp").iterdir()), 20, "build/tmp is empty"
        )
    finally:
        process.end(child, token, grace=0)
