"""Faulty notebooks: each fails with a message that helps, and leaves nothing."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lab import ROOT, SNIPPETS, GuideError
from lab.record import notebook
from lab.run import process
from lab.run.suite import NOTEBOOKS as RUN

SETUP = (
    "from lab.record import evidence\nfrom lab.run import node\n"
    "%load_ext lab.record.notebook"
)


def write(folder: Path, *sources: str, name: str = "book") -> Path:
    """A notebook of these code cells."""
    cells = [
        {"cell_type": "code", "id": f"cell-{i}", "source": source, "outputs": [],
         "metadata": {}, "execution_count": None}
        for i, source in enumerate(sources)
    ]  # fmt: skip
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    book = {"cells": cells, "metadata": {"kernelspec": kernel}}
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps({**book, "nbformat": 4, "nbformat_minor": 5}))
    return path


def run(*books: Path) -> subprocess.CompletedProcess:
    """Execute notebooks as `make test` does."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *RUN, *map(str, books)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


LEAK = """
import subprocess
subprocess.Popen([node.binary(), '-e', 'setInterval(() => {}, 1000)'],
                 start_new_session=True)
"""
FAULTS = {
    "a failing cell": (("1 / 0",), "ZeroDivisionError"),
    "a kernel that dies": (("import os; os._exit(1)",), "the kernel died"),
    "a value out of bounds": (
        (SETUP, "evidence.hold('demo/x', 2, '×', 'a ratio', source='n', above=3)"),
        "n: demo/x is 2 ×, must be above 3",
    ),
    "JavaScript that throws": (
        (SETUP, "%%node\nconst a = 1;\nthrow new Error('no luck');"),
        "Error: no luck",
    ),
    "JavaScript that hangs": (
        (SETUP, "%%node 1\nsetInterval(() => {}, 9)"),
        "did not end within 1 s",
    ),
    "a server left running": ((SETUP, LEAK), "left running: node"),
}


def test_a_faulty_notebook_fails_and_says_why(tmp_path):
    done = run(
        *(write(tmp_path, *cells, name=name) for name, (cells, _) in FAULTS.items())
    )
    assert done.returncode == 1, done.stdout
    parts = re.split(r"^_+ .*?([\w ]+)\.ipynb _+$", done.stdout, flags=re.MULTILINE)
    said = dict(zip(parts[1::2], parts[2::2], strict=True))
    for name, (_, message) in FAULTS.items():
        assert message in said[name], name
    assert "NBMAKE INTERNAL ERROR" not in done.stdout


def test_a_sound_notebook_passes_and_keeps_its_results(tmp_path):
    book = write(tmp_path, SETUP, "%%node\nimport 'express';\nconsole.log(6 * 7)")
    done = run(book)
    assert done.returncode == 0, done.stdout
    assert "42" in book.read_text()


def test_a_notebook_run_that_is_killed_leaves_no_process_and_no_file(tmp_path):
    slow = "import time\nwith node.serve('event-loop/login.mjs') as s: time.sleep(60)"
    book = write(tmp_path, SETUP, slow)
    elsewhere = tmp_path / "elsewhere"  # what stands for /tmp
    elsewhere.mkdir()
    child, token = process.start(
        [sys.executable, "-m", "pytest", *RUN, str(book)],
        cwd=ROOT, env={"TMPDIR": str(elsewhere)},
    )  # fmt: skip
    try:
        process.until(
            lambda: any("serve.mjs" in line for line in commands(token)), 60, "it serves"
        )
        os.kill(child.pid, signal.SIGKILL)
        process.until(lambda: not commands(token), 60, "everything is gone")
    finally:
        process.end(child, token, grace=0)
    assert not list(elsewhere.iterdir())


def commands(token: str) -> list[str]:
    """The command lines of what runs under `token`."""
    found = []
    for one in process.survivors(token):
        with contextlib.suppress(psutil.Error):
            found.append(" ".join(one.cmdline()))
    return found


def test_a_server_that_a_notebook_forgets_ends_with_its_kernel(tmp_path):
    forgotten = (
        "server = node.serve('event-loop/login.mjs').__enter__(); print(server.pid)"
    )
    book = write(tmp_path, SETUP, forgotten)
    done = run(book)
    assert done.returncode == 0, done.stdout
    cells = json.loads(book.read_text())["cells"]
    assert not psutil.pid_exists(int("".join(cells[-1]["outputs"][0]["text"])))


# --- what a learner calls ---------------------------------------------------------


def test_javascript_errors_keep_their_own_stack(capsys):
    with pytest.raises(GuideError) as error:
        notebook._node_cell(
            "", "console.log('before');\nfunction f() {\n  null.x;\n}\nf();"
        )
    assert "cell:3" in str(error.value)
    assert "at f (cell:3:8)" in str(error.value)
    assert capsys.readouterr().out == "before\n"
    with pytest.raises(GuideError, match="%%node soon: not a number of seconds"):
        notebook._node_cell("soon", "1")


def test_show_gives_a_section_without_its_markers_and_names_the_sections_there_are():
    shown = notebook.show("event-loop/login.mjs", "login").data
    assert shown.startswith("import express") and "--8<--" not in shown
    with pytest.raises(GuideError, match="no section 'logn' — there is handler, login"):
        notebook.show("event-loop/login.mjs", "logn")
    with pytest.raises(GuideError, match="no such snippet — .* has .*login.mjs"):
        notebook.show("event-loop/logon.mjs")


def test_an_attempt_is_told_what_is_missing_and_not_the_answer():
    folder = SNIPPETS / "event-loop/exercises/keep-health-answering"
    started = notebook.check("event-loop/keep-health-answering", folder / "start.mjs")
    assert "✗ health answers while a log is hashed" in started
    assert "seen: /health answered" in started and "hint: " in started
    assert re.search(r"\n1 of \d missing$", started)
    assert "setImmediate" not in started
    solved = notebook.check("event-loop/keep-health-answering", folder / "solution.mjs")
    assert solved.endswith("all of it holds: done")


def test_an_attempt_that_does_not_load_shows_its_error(tmp_path):
    path = tmp_path / "attempt.mjs"
    path.write_text("export function createApp() { return 1 +; }")
    told = notebook.check("event-loop/keep-health-answering", path)
    assert "it does not start, so nothing was checked" in told
    assert told.count("SyntaxError") == 1 and "hint: " not in told
    assert str(ROOT) not in told
