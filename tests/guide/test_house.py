"""The house: its layers, its commands, and what they say when something is off."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from lab import ROOT
from lab.audit import rooms
from lab.publish import hook
from lab.run import load, node, process, services


def lint_imports(folder: Path) -> subprocess.CompletedProcess:
    """What import-linter says of the package lab in a folder with our pyproject.toml."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_rooms_import_downwards_and_no_modules_in_a_circle():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    assert "Contracts: 2 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        (
            "run/load.py",
            "from lab.record import evidence",
            "run is not allowed to import",
        ),
        ("run/process.py", "from lab.run import node", "in a circle BROKEN"),
        ("new/__init__.py", "", "lab.new"),  # a room that nobody put into its place
    ],
)
def test_an_arrow_upwards_a_circle_and_a_new_room_are_told(tmp_path, module, line, said):
    shutil.copytree(ROOT / "lab", tmp_path / "lab")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    changed = tmp_path / "lab" / module
    changed.parent.mkdir(exist_ok=True)
    text = changed.read_text("utf-8") if changed.exists() else ""
    changed.write_text(f"{text}\n\ndef late():\n    {line or 'pass'}\n", "utf-8")
    done = lint_imports(tmp_path)
    assert done.returncode == 1 and said in done.stdout, done.stdout


def test_contributing_has_the_map_and_the_helpers_as_they_are():
    text = rooms.CONTRIBUTING.read_text("utf-8")
    assert rooms.drawn(text) == text, "run `make map`"
    stale = text.replace("| `node.run(snippet, ", "| `node.run(")
    assert stale != text and rooms.drawn(stale) == text
    with pytest.raises(rooms.RoomsError, match="no single place for the helpers"):
        rooms.drawn(text.replace("<!-- end of helpers -->", ""))


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
    ("chapters", "lab/publish/blocks.py", '"checked with', '"Edited lab.'),
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


def test_serve_looks_at_no_npm_package(tmp_path):
    for path in ("node_modules/a", "jwt/exercises", "observability/agents/node_modules"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "observability" / "app.mjs").touch()
    watched = sorted(str(path.relative_to(tmp_path)) for path in hook.watched(tmp_path))
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
