"""What several rooms' tests use."""

import sys
from pathlib import Path

from lab.run import process


def in_copy(copy: Path, *args: str):
    """Start `python ARGS` with the copy's own `lab`."""
    env = {"PYTHONPATH": str(copy), "PYTHONUNBUFFERED": "1"}
    with (copy / "log").open("wb") as out:
        return process.start(
            [sys.executable, *args], cwd=copy, env=env, stdout=out, stderr=out
        )
