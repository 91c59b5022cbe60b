"""Repeating: a test that fails now and then is found and named with its run."""

import psutil
import pytest

from lab.audit import repeat
from lab.audit.repeat import Kind
from lab.run import process, suite

FLAKY = """
from pathlib import Path

COUNT = Path(__file__).with_name("count")


def test_steady():
    assert True


def test_every_second_time():
    COUNT.write_text(COUNT.read_text() + "x" if COUNT.exists() else "x")
    assert len(COUNT.read_text()) % 2
"""
MARKED = """
import pytest


def test_plain(): ...


@pytest.mark.timing
def test_timed(): ...


@pytest.mark.site
def test_page(): ...


@pytest.mark.binder
def test_image(): ...


@pytest.mark.binder
@pytest.mark.timing
def test_both(): ...
"""


@pytest.fixture
def target(tmp_path, monkeypatch):
    """A folder with tests of its own, and a place for the logs."""
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n  timing:\n  site:\n  binder:\n"
    )
    monkeypatch.setattr(repeat, "LOGS", tmp_path / "logs")
    # the plug-ins take seconds to import, and none is wanted here
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return tmp_path


def test_a_test_that_fails_now_and_then_is_named_with_its_run(target, capsys):
    (target / "test_flaky.py").write_text(FLAKY)
    assert not repeat.run([Kind("rest", 3, (".",))], target)
    *progress, _, head, row, lost = capsys.readouterr().out.splitlines()
    assert [line.split(", ")[0] for line in progress] == [
        "rest 1/3: 2 passed", "rest 2/3: 1 passed", "rest 3/3: 2 passed",
    ]  # fmt: skip
    assert "rest-2.log" in progress[1]
    assert head.split() == ["kind", "runs", "passed", "failed", "skipped"]
    assert row.split() == ["rest", "3", "5", "1", "0"]
    assert lost == "failed in run 2 (rest): test_flaky.py::test_every_second_time"


def test_a_run_that_breaks_down_counts_as_failed(target, capsys):
    (target / "test_broken.py").write_text("import nothing_of_that_name\n")
    assert not repeat.run([Kind("rest", 1, (".",)), Kind("odd", 1, ("--odd",))], target)
    told = capsys.readouterr().out
    assert "failed in run 1 (rest): " in told and "test_broken" in told
    assert "failed in run 1 (odd): the run itself, with exit code 4" in told


def test_a_kind_without_tests_is_no_failure(target, capsys):
    (target / "test_plain.py").write_text("def test_plain(): ...\n")
    assert repeat.run([Kind("timed", 2, (f"-m{suite.TIMED}",))], target)
    assert "timed: no such tests here" in capsys.readouterr().out


def test_ordinary_runs_leave_the_image_alone(target, capsys):
    (target / "test_marked.py").write_text(MARKED)
    selections = {
        "rest": suite.DETERMINISTIC, "timed": suite.TIMED, "site": suite.SITE,
    }  # fmt: skip
    chosen = [Kind(name, 1, (f"-m{marks}",)) for name, marks in selections.items()]
    assert repeat.run(chosen, target)
    assert "rest 1/1: 1 passed, 0 failed" in (told := capsys.readouterr().out)
    assert "timed 1/1: 1 passed, 0 failed" in told
    assert "site 1/1: 1 passed, 0 failed" in told


BUSY = """
import os
import time

import psutil


def test_a_loop_runs_beside_this():
    for _ in range(600):
        loops = [p for p in psutil.Process(os.getppid()).children()
                 if "while True: pass" in p.cmdline()]
        if loops and loops[0].cpu_times().user > 0.1:
            return
        time.sleep(0.1)
    raise AssertionError("no busy loop beside this test")
"""


def test_one_core_is_kept_busy_and_given_back(target):
    (target / "test_busy.py").write_text(BUSY)
    assert repeat.run([Kind("busy", 1, (".",), busy=True)], target)
    with pytest.raises(ZeroDivisionError), repeat.busy_core():
        # a new process runs a moment before the kernel tells its arguments
        (loop,) = process.until(_loops)
        _ = 1 / 0
    assert not loop.is_running() and not _loops()


def _loops() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if "while True: pass" in child.cmdline()
    ]
