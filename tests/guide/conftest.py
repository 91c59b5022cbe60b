"""What several tests of the guide share."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import ROOT


@pytest.fixture
def clone(tmp_path, clone_into) -> Path:
    """A copy of the guide as git would give it, with nothing set up in it."""
    return clone_into(tmp_path / "guide")


@pytest.fixture
def copy(clone) -> Path:
    """A clone of the guide, its packages borrowed."""
    packages = ROOT / "snippets" / "node_modules"
    (clone / "snippets" / "node_modules").symlink_to(packages)
    return clone


@pytest.fixture(scope="session")
def clone_into() -> Callable[[Path], Path]:
    """Copy what git knows, uncommitted work included, into a new folder."""

    if not (ROOT / ".git").exists():
        pytest.skip("no .git here: what is copied is what git knows — git clone")

    def copy(folder: Path) -> Path:
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.split("\0")  # fmt: skip
        for name in filter(None, names):
            if (ROOT / name).is_file():  # not so when its removal is uncommitted
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        return folder

    return copy


@pytest.fixture(scope="session")
def uv() -> Path:
    """Where uv is."""
    here = (ROOT / ".uv" / "bin", *map(Path, os.get_exec_path()))
    for folder in here:
        if (folder / "uv").is_file():
            return folder / "uv"
    pytest.skip("uv: neither in .uv/bin nor on PATH — run `make setup`")
