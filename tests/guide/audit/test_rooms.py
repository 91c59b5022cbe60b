"""The rooms of lab/: who may import whom, and the map of them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab import ROOT
from lab.audit import rooms


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
