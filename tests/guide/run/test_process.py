"""A killed test run leaves no process and no file."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from lab.run import process

from ..shared import in_copy

LEAVES = """
import time
from lab.run import node, process

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
