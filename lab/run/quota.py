"""A CPU limit such as a container has, where this machine lets a process make a cgroup."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD = 100_000  # microseconds, the kernel's default and Kubernetes'


@dataclass(frozen=True)
class Limit:
    """A cgroup with a CPU quota; `folder` is its place in /sys/fs/cgroup."""

    folder: Path

    def add(self, pid: int) -> None:
        """Put a process and its threads under the limit; its later children follow."""
        (self.folder / "cgroup.procs").write_text(str(pid))

    def periods(self) -> tuple[int, int]:
        """Periods of 100 ms in which somebody ran, and those that were throttled."""
        lines = (self.folder / "cpu.stat").read_text().splitlines()
        stat = dict(line.split() for line in lines)
        return int(stat["nr_periods"]), int(stat["nr_throttled"])


@contextlib.contextmanager
def limit(cpus: float) -> Iterator[Limit | None]:
    """A cgroup whose processes get `cpus` CPUs of time in each 100 ms, or None where
    none can be made (no Linux, not root, a container without the right). End what was
    added before the block ends: a cgroup in use cannot be removed."""
    folder = _made(cpus)
    try:
        yield Limit(folder) if folder else None
    finally:
        if folder:
            _removed(folder)


def _made(cpus: float) -> Path | None:
    name, quota = f"proven-{os.getpid()}-{time.monotonic_ns()}", round(cpus * PERIOD)
    for parent, settings in (
        (
            ROOT / "cpu",
            {"cpu.cfs_period_us": f"{PERIOD}", "cpu.cfs_quota_us": f"{quota}"},
        ),
        (ROOT, {"cpu.max": f"{quota} {PERIOD}"}),
    ):
        folder = parent / name
        if not (parent / "cgroup.procs").exists():
            continue  # not this version of cgroups
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            for file, value in settings.items():
                if not (folder / file).exists():
                    raise FileNotFoundError(file)  # no CPU controller in here
                (folder / file).write_text(value)
            return folder
        except OSError:
            _removed(folder)
    return None


def _removed(folder: Path, patience: float = 5) -> None:
    """Remove a cgroup; one whose processes are just ending is in use for a moment."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return folder.rmdir()
        except FileNotFoundError:
            return None
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
