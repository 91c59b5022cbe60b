"""Counter-proofs: a proof must fail when what it shows is taken away.

A proof declares one beside its claim: `counter=("topic/a.mjs", "topic/b.mjs")` exchanges
the contents of two snippets, `counter=("topic/a.mjs", "old", "new")` changes one, and
`counter=("here", "old", "new")` changes the test's own file outside of its assertions. It
is run in a copy of what the topic's tests need, and must fail there as a test fails, not
by an error around it; without the change it must pass."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

from lab import ROOT, GuideError
from lab.check import restated
from lab.check.content import Proof
from lab.run import process

# what a proof says when it does not hold, and what it says when it could not be run
_ASSERTED = re.compile(
    r"assert |AssertionError|Failed: DID NOT RAISE|\S*(?:NodeError|EvidenceError|ProcessError)"
)
_BROKEN = re.compile(r"SyntaxError|ReferenceError|ERR_MODULE_NOT_FOUND|NameError")
_HEAVY = shutil.ignore_patterns("node_modules", "__pycache__", ".venv")


class CounterError(GuideError):
    """A proof did not fail when what it shows was taken away."""


def run(proofs: Mapping[str, Proof]) -> None:
    """Run these counter-proofs, by their keys. Raises CounterError when one passes, or
    cannot be told apart from a proof that fails anyway."""
    with process.directory("counter") as folder, ThreadPoolExecutor(2) as pool:
        clean = _copy(
            folder / "clean", {proof.path.split("/")[2] for proof in proofs.values()}
        )
        as_is = _run(clean, {_node(proof) for proof in proofs.values()})
        if bad := [name for name, how in as_is.items() if how != "passed"]:
            raise CounterError(f"seal: fails as it stands: {', '.join(sorted(bad))}")
        jobs = {
            key: pool.submit(_counter, folder / str(number), proof)
            for number, (key, proof) in enumerate(proofs.items())
        }
        held = {key: job.result() for key, job in jobs.items()}
    if others := {key: how for key, how in held.items() if how}:
        raise CounterError(
            "\n".join(
                f"{proofs[key].place}: {proofs[key].test.name} does not fail without what it "
                f"shows ({' → '.join(proofs[key].counter)}): {how} — assert what only the one "
                "gives, or exchange something that it depends on"
                for key, how in others.items()
            )
        )


def _counter(folder: Path, proof: Proof) -> str:
    """How a proof ends with its counter-proof's change: empty if it fails, as it must,
    in one of its cases."""
    _copy(folder, {proof.path.split("/")[2]})
    _change(folder, proof)
    outcomes = _run(folder, [_node(proof)])
    shutil.rmtree(folder)
    if "failed" in outcomes.values():
        return ""
    return "; ".join(sorted(set(outcomes.values())))


def _change(folder: Path, proof: Proof) -> None:
    snippets = folder / "snippets"
    if len(proof.counter) == 2:
        one, other = (snippets / name for name in proof.counter)
        first, second = one.read_text("utf-8"), other.read_text("utf-8")
        one.write_text(second, "utf-8")
        other.write_text(first, "utf-8")
        return
    name, old, new = proof.counter
    path = folder / proof.path if name == "here" else snippets / name
    text = path.read_text("utf-8")
    at = restated.place_of(text, old, proof.test if name == "here" else None)
    if at is None:
        raise CounterError(
            f"{proof.place}: {old!r} is not once in {path.relative_to(folder)}"
        )
    path.write_text(text[:at] + new + text[at + len(old) :], "utf-8")


def _node(proof: Proof) -> str:
    return f"{proof.path}::{proof.test.name}"


def _copy(folder: Path, topics: Iterable[str]) -> Path:
    """What a topic's tests need: `lab`, its tests, the snippets with their packages."""
    folder.mkdir()
    for name in ("conftest.py", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, folder)
    for name in ("lab", "snippets"):
        shutil.copytree(ROOT / name, folder / name, ignore=_HEAVY)
    for packages in (ROOT / "snippets").glob("**/node_modules"):
        if packages.parent.relative_to(ROOT).parts.count("node_modules") == 0:
            (folder / packages.relative_to(ROOT)).symlink_to(packages)
    tests = folder / "tests" / "topics"
    tests.mkdir(parents=True)
    shutil.copy(ROOT / "tests/topics/conftest.py", tests)
    for topic in topics:
        shutil.copytree(ROOT / "tests/topics" / topic, tests / topic, ignore=_HEAVY)
    return folder


def _run(folder: Path, nodes: Iterable[str]) -> dict[str, str]:
    """How each case of these tests ended: passed, failed, or another word."""
    results = folder / "results.xml"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "--timeout=100",         f"--junitxml={results}", *sorted(nodes)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True, check=False,
    )  # fmt: skip
    if not results.exists():
        return {"all of them": "no result"}
    found = {}
    for case in ElementTree.parse(results).iter("testcase"):
        problems = [
            child for child in case if child.tag in ("failure", "error", "skipped")
        ]
        found[f"{case.get('classname')}::{case.get('name')}"] = (
            _how(problems[0]) if problems else "passed"
        )
    return found or {"all of them": "no test was found"}


def _how(problem: ElementTree.Element) -> str:
    """`failed` if something was asserted in vain, else what went wrong around it."""
    message = problem.get("message") or ""
    if (
        problem.tag == "failure"
        and _ASSERTED.match(message)
        and not _BROKEN.search(message)
    ):
        return "failed"
    if broken := _BROKEN.search(message):
        return f"it breaks otherwise ({broken[0]})"
    return f"{problem.tag}: {' '.join(message.split())[:100]}"
