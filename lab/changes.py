"""What a change concerns: the gates and tests that `make check` runs, and what it leaves
to `make test`."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from lab import ROOT, GuideError
from lab.check import gates
from lab.check.content import Tree
from lab.publish import modules
from lab.record import evidence
from lab.run import suite

ROOMS = ("run", "check", "record", "publish", "audit")


class ChangesError(GuideError):
    """It cannot be told what was changed."""


@dataclass
class Plan:
    """What is run for a change, and what is not, with the reason."""

    files: list[str]
    # by topic ('' for the guide's own): what pytest is given besides its markers
    tests: dict[str, set[str]] = field(default_factory=dict)
    notebooks: set[str] = field(default_factory=set)  # topics: timed tests too
    left_out: list[str] = field(default_factory=list)

    def run(self, topic: str, *paths: str) -> None:
        """Run these test files or tests, of a topic or of the guide."""
        self.tests.setdefault(topic, set()).update(paths)


def changed(against: str = "main") -> list[str]:
    """Files that differ from where this branch left `against`, or on that branch itself,
    from what was committed last; new ones too. Raises ChangesError without git."""
    branch = _git("rev-parse", "--abbrev-ref", "HEAD").strip()
    base = "HEAD"
    if branch != against and _git("branch", "--list", against).strip():
        base = _git("merge-base", against, "HEAD").strip()
    names = _git("diff", "--name-only", base) + _git(
        "ls-files", "--others", "--exclude-standard"
    )
    return sorted({name for name in names.split("\n") if name})


def plan(tree: Tree, files: Iterable[str]) -> Plan:
    """What these changed files concern."""
    made = Plan(list(files))
    for path in made.files:
        _concerned(made, tree, path)
    site = [
        p for p in made.files if re.match(r"docs/|overrides/|mkdocs\.yml|notebooks/", p)
    ]
    if site:
        made.left_out.append("the built site in Chromium: `make site`, or `make test`")
    return made


def measured_again(made: Plan, tree: Tree) -> None:
    """Run also what records something and has changed since it did, committed or not."""
    for problem in gates.evidence.sealed(tree):
        if problem.code == evidence.CHANGED:
            _concerned(made, tree, problem.place)


def _concerned(made: Plan, tree: Tree, path: str) -> None:
    parts = path.split("/")
    match parts:
        case ["docs", "evidence", name, *_]:
            made.notebooks.add(name.removesuffix(".json"))
        case ["docs", *_] | ["overrides", *_] | ["mkdocs.yml"] | [_] if path.endswith(
            (".md", ".css", ".svg", ".yml", ".html", ".js", ".png", ".json")
        ):
            return  # the gates and hooks look at it
        case ["notebooks", name]:
            made.notebooks.add(name.removesuffix(".ipynb"))
        case ["snippets", topic, "exercises", name, *_]:
            made.run(topic, f"tests/exercises/{topic}/test_{name.replace('-', '_')}.py")
        case ["snippets", _, _, *_]:
            _snippet(made, tree, "/".join(parts[1:]).removesuffix(".out"))
        case ["tests", "topics", topic, name] if name.startswith("test_"):
            made.run(topic, path)
        case ["tests", "topics", topic, "company.mjs"]:
            made.run(topic, "tests/guide/test_company.py")
        case ["tests", "topics", topic, *_]:  # what its tests share
            made.run(topic, f"tests/topics/{topic}/")
        case ["tests", "exercises", topic, *_]:
            made.run(topic, path)
        case ["tests", "guide", "company", *_]:
            made.run("", "tests/guide/test_company.py")
        case ["tests", "guide", *_, name] if name.startswith("test_"):
            made.run("", path)
        case ["tests", "guide", room, *_] | ["lab", room, _, *_] if room in ROOMS:
            made.run("", f"tests/guide/{room}/")
        case ["lab", *_]:
            made.run("", "tests/guide/test_topic.py", "tests/guide/test_changes.py")
        case _:
            made.left_out.append(f"{path} may concern everything: `make test`")


def _snippet(made: Plan, tree: Tree, name: str) -> None:
    """The tests of what loads this file: itself, and all that imports it."""
    for user in _loaded_by(tree).get(name, [name]):
        topic = user.split("/")[0]
        # by its own topic's tests without the folder, by others' with it
        named = [
            path
            for path in tree.under("tests/topics/", ".py")
            if path.rsplit("/", 1)[1].startswith("test_")
            and (user in tree.files[path] or
                 path.startswith(f"tests/topics/{topic}/")
                 and user.partition("/")[2] in tree.files[path])
        ]  # fmt: skip
        general = [path for path in suite.only(topic) if path.startswith("tests/guide/")]
        made.run(topic, *named, *general)


@cache
def _loaded_by(tree: Tree) -> dict[str, list[str]]:
    """Each file below snippets/ with the snippets that load it, itself among them."""
    found: dict[str, list[str]] = {}
    for user in tree.snippets:
        for name in modules.files(tree, user):
            found.setdefault(name, []).append(user)
    return found


def _git(*args: str) -> str:
    try:
        done = subprocess.run(
            ["git", *args], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise ChangesError(
            "check: git does not tell what was changed — is this a clone? `make test` "
            "needs none"
        ) from error
    return done.stdout
