"""What each step of a test run gives to pytest."""

import subprocess

from lab import ROOT

# what the ordinary runs select; `binder` builds an image and is asked for by name
DETERMINISTIC = "not timing and not site and not binder"
TIMED = "timing and not binder"
SITE = "site"  # after the notebooks, whose results its pages show
# They wait a good deal, for processes and timers: a third keeps two cores busy.
WORKERS = "-n3"
# They wait for frames and for a quiet network. One test at a time: by default the longest,
# neighbours, go to one worker.
SITE_WORKERS = ("-n4", "--dist=loadgroup")
NOTEBOOKS = ("-p", "nbmake.pytest_plugin", "--nbmake", "--overwrite")
# They wait for servers and timers. What a notebook holds it holds beside a busy core,
# so two run at once; one alone while its values are recorded.
NOTEBOOK_WORKERS = ("-n2", "--maxschedchunk=1")


def only(topic: str | None) -> tuple[str, ...]:
    """What pytest is given to run one topic's tests. The paths spare it the import
    of all others, which takes longer than some topic's tests."""
    if not topic:
        return ()
    paths = (
        *_own(topic),
        "tests/guide/test_snippets.py",
        "tests/guide/test_company.py",
    )
    return (f"--topic={topic}", *(path for path in paths if (ROOT / path).exists()))


def places(topic: str) -> tuple[str, ...]:
    """Where a topic's files stand, relative to the clone; folders end with a slash."""
    return (
        f"docs/topics/{topic}/",
        f"snippets/{topic}/",
        f"notebooks/{topic}.ipynb",
        *_own(topic),
    )


def files(topic: str) -> list[str]:
    """Every file of a topic that git knows or would take, relative to the clone; empty
    where there is no git."""
    if not (ROOT / ".git").exists():
        return []
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--"]
    done = subprocess.run(
        [*listed, *places(topic)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [name for name in done.stdout.split("\n") if name and (ROOT / name).is_file()]


def _own(topic: str) -> tuple[str, str]:
    """The folder of a topic's tests, and that of its exercises' checks."""
    return f"tests/topics/{topic}/", f"tests/exercises/{topic}/"


def marked(topic: str, kind: str) -> bool:
    """Whether a test of this topic's own has the marker that chooses `kind`."""
    marker = f"pytest.mark.{kind.split()[0]}"
    files = (file for folder in _own(topic) for file in (ROOT / folder).glob("*.py"))
    return any(marker in path.read_text("utf-8") for path in files)
