"""What tests, notebooks and pages share, in five rooms: CONTRIBUTING.md has the map. A room
imports only from itself and from rooms below it; pyproject.toml says in which order."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SNIPPETS = ROOT / "snippets"
NOTEBOOKS = ROOT / "notebooks"
EVIDENCE = ROOT / "docs" / "evidence"
BUILD = ROOT / "build"  # git-ignored: whatever is made and may be thrown away
EXECUTED = BUILD / "notebooks"  # where notebooks run, and are published from


class GuideError(Exception):
    """An error for people: place, what is wrong, how to mend it."""
