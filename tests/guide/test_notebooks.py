"""Faulty notebooks: each fails with a message that helps, and leaves nothing."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lab import (
    NOTEBOOKS,
    ROOT,
    SNIPPETS,
    GuideError,
    evidence,
    figure,
    node,
    notebook,
    process,
)
from lab.repeat import NOTEBOOKS as RUN

SETUP = "from lab import evidence, node\n%load_ext lab.notebook"


def write(folder: Path, *sources: str) -> Path:
    """A notebook of these code cells."""
    cells = [
        {"cell_type": "code", "id": f"cell-{i}", "source": source, "outputs": [],
         "metadata": {}, "execution_count": None}
        for i, source in enumerate(sources)
    ]  # fmt: skip
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    book = {"cells": cells, "metadata": {"kernelspec": kernel}}
    path = folder / "book.ipynb"
    path.write_text(json.dumps({**book, "nbformat": 4, "nbformat_minor": 5}))
    return path


def run(folder: Path, *sources: str, **env: str) -> subprocess.CompletedProcess:
    """Execute a notebook of these code cells as `make test` does."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *RUN, str(write(folder, *sources))],
        cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=False,
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


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_notebook_fails_and_says_why(name, tmp_path):
    sources, message = FAULTS[name]
    done = run(tmp_path, *sources)
    assert done.returncode == 1, done.stdout
    assert message in done.stdout
    assert "NBMAKE INTERNAL ERROR" not in done.stdout


def test_a_sound_notebook_passes_and_keeps_its_results(tmp_path):
    done = run(tmp_path, SETUP, "%%node\nimport 'express';\nconsole.log(6 * 7)")
    assert done.returncode == 0, done.stdout
    assert "42" in (tmp_path / "book.ipynb").read_text()


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
        deadline = time.monotonic() + 60
        while not any("serve.mjs" in line for line in commands(token)):
            assert time.monotonic() < deadline, "the notebook's server never came up"
            time.sleep(0.1)
        os.kill(child.pid, signal.SIGKILL)
        while commands(token):
            assert time.monotonic() < deadline, commands(token)
            time.sleep(0.1)
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
    done = run(tmp_path, SETUP, forgotten)
    assert done.returncode == 0, done.stdout
    cells = json.loads((tmp_path / "book.ipynb").read_text())["cells"]
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
    with pytest.raises(GuideError, match="no section 'logn' — there is login"):
        notebook.show("event-loop/login.mjs", "logn")
    with pytest.raises(GuideError, match="no such snippet — .* has .*login.mjs"):
        notebook.show("event-loop/logon.mjs")


def test_an_attempt_is_told_what_is_missing_and_not_the_answer():
    folder = SNIPPETS / "event-loop/exercises/keep-health-answering"
    started = notebook.check("event-loop/keep-health-answering", folder / "start.mjs")
    assert "✗ health answers while a log is hashed" in started
    assert "seen: /health answered" in started and "hint: " in started
    assert started.endswith("1 of 3 missing")
    assert "setImmediate" not in started
    solved = notebook.check("event-loop/keep-health-answering", folder / "solution.mjs")
    assert solved.endswith("all of it holds: done")


def test_an_attempt_that_does_not_load_shows_its_error(tmp_path):
    path = tmp_path / "attempt.mjs"
    path.write_text("export function createApp() { return 1 +; }")
    told = notebook.check("event-loop/keep-health-answering", path)
    assert "SyntaxError" in told and told.endswith("3 of 3 missing")


# --- evidence ---------------------------------------------------------------------


def test_a_value_is_held_to_its_bounds(monkeypatch, tmp_path):
    monkeypatch.setenv(evidence.RECORD, str(tmp_path))
    with pytest.raises(
        GuideError, match="t: demo/x is 3 ×, must be above 3 .n=3, 2 to 9"
    ):
        evidence.hold("demo/x", [2, 3, 9], "×", "w", source="t", above=3)
    with pytest.raises(GuideError, match="must be below 3"):
        evidence.hold("demo/x", 3, "×", "w", source="t", below=3)
    with pytest.raises(GuideError, match="not a measurement"):
        evidence.hold("demo/x", [float("nan")], "×", "w", source="t")
    with pytest.raises(GuideError, match="not of the form topic/name"):
        evidence.hold("Demo x", 1, "×", "w", source="t")
    assert not list(tmp_path.rglob("*.json"))


def test_nothing_is_written_unless_it_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.delenv(evidence.RECORD, raising=False)
    monkeypatch.chdir(tmp_path)
    assert evidence.hold("demo/x", 4, "×", "w", source="t", above=3) == 4
    assert not list(tmp_path.rglob("*"))


def test_publishing_replaces_a_topic_as_a_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(evidence, "STAGING", tmp_path / "staged")
    monkeypatch.setattr(evidence, "EVIDENCE", tmp_path / "evidence")
    monkeypatch.setenv(evidence.RECORD, str(tmp_path / "staged"))
    (tmp_path / "evidence" / "demo").mkdir(parents=True)
    (tmp_path / "evidence" / "demo.json").write_text('{"old": {}}')
    (tmp_path / "evidence" / "demo" / "old.svg").write_text("<svg/>")
    evidence.hold("demo/x", [4, 5, 6], "ms", "a lag", source="t", above=3)
    evidence.figure("demo/plot", "<svg/>", "alt", {"x": (1, 2)}, source="t")
    evidence.publish(["demo"])
    entries = evidence.read("demo", tmp_path / "evidence")
    assert set(entries) == {"x", "plot"}
    assert entries["x"]["value"] == 5 and entries["x"]["spread"] == [4, 6]
    assert entries["x"]["versions"]["node"] == node.versions()["node"]
    assert [p.name for p in (tmp_path / "evidence" / "demo").iterdir()] == ["plot.svg"]


def test_values_are_shown_with_three_digits_and_their_unit():
    def shown(value, unit):
        return evidence.shown({"value": value, "unit": unit})

    assert shown(448.53, "ms") == "449 ms"
    assert shown(6.799, "ms") == "6.8 ms"
    assert shown(65.97, "×") == "66×"
    assert shown(12345.0, "requests") == "12\N{NARROW NO-BREAK SPACE}345 requests"


def test_a_figure_owes_a_text_alternative_and_a_bounded_size():
    drawing, axes = figure.plot()
    axes.plot(range(3))
    with pytest.raises(GuideError, match="demo/x: the text alternative has 5 characters"):
        figure.publish("demo/x", drawing, "short", {}, source="t")
    drawing, axes = figure.plot()
    rng = random.Random(1)
    axes.plot([rng.random() for _ in range(20_000)], ".")
    with pytest.raises(GuideError, match=r"demo/x: \d+ bytes of gzipped SVG, at most"):
        figure.render("demo/x", drawing, "what it shows")


def test_figures_take_their_colours_from_the_page_and_share_no_ids():
    texts = []
    for name in ("demo/a", "demo/b"):
        drawing, axes = figure.plot()
        axes.plot(range(3))
        texts.append(figure.render(name, drawing, "what it shows"))
    assert "var(--pn-1, #0072b2)" in texts[0] and "var(--pn-ink" in texts[0]
    assert "<style" not in texts[0] and "#123456" not in texts[0]
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in texts]
    assert ids[0] and not ids[0] & ids[1]


def test_committed_notebooks_hold_no_output():
    done = subprocess.run(
        [sys.executable, "-m", "nbstripout", "--verify", *NOTEBOOKS.glob("*.ipynb")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
