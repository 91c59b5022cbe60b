"""What tests, notebooks and pages share. One module per job; each imports only
modules below it: bench, lighthouse, repeat, chapter, notebook, site, publish, markdown,
overview, elements, pages, figure, evidence, load, browser, services, node, process (the
ground)."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SNIPPETS = ROOT / "snippets"
NOTEBOOKS = ROOT / "notebooks"
EVIDENCE = ROOT / "docs" / "evidence"
BUILD = ROOT / "build"  # git-ignored: whatever is made and may be thrown away
EXECUTED = BUILD / "notebooks"  # where notebooks run, and are published from


class GuideError(Exception):
    """An error for people: place, what is wrong, how to mend it."""
