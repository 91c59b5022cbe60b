"""Run tests again and again and count: whoever passes once in ten is found here.

What is timed runs alone, on an idle machine and beside one busy core, since that
is what a shared machine is like; notebooks and the deterministic rest run on an
idle one. Coverage is off throughout.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from lab import BUILD, ROOT
from lab.record import notebook
from lab.run import node, process, suite

LOGS = BUILD / "repeat"


@dataclass(frozen=True)
class Kind:
    """Tests that are repeated alike: how often, chosen how, beside what."""

    name: str
    times: int
    args: tuple[str, ...]
    busy: bool = False


class Case(NamedTuple):
    """What became of a test: `passed`, `failed` or `skipped`, and the message."""

    outcome: str
    said: str = ""


@dataclass
class Tally:
    """Outcomes of single tests over all runs of a kind; `lost` are (run, test id)."""

    runs: int = 0
    counts: Counter = field(default_factory=Counter)
    lost: list[tuple[int, str]] = field(default_factory=list)


def kinds(topic: str | None, times: int | None = None) -> list[Kind]:
    """The kinds in their order, for one topic or all; `times` replaces each count."""
    chosen = suite.only(topic)
    books = tuple(str(path) for path in notebook.stage(topic))
    return [
        Kind("timed, idle", times or 10, (f"-m{suite.TIMED}", *chosen)),
        Kind(
            "timed, one core busy", times or 5, (f"-m{suite.TIMED}", *chosen), busy=True
        ),
        Kind("notebooks", times or 3, (*suite.NOTEBOOKS, *books)),
        Kind(
            "deterministic",
            times or 2,
            (suite.WORKERS, f"-m{suite.DETERMINISTIC}", *chosen),
        ),
        Kind("site", times or 2, (*suite.SITE_WORKERS, f"-m{suite.SITE}", *chosen)),
    ]


def run(chosen: list[Kind], cwd: Path = ROOT) -> bool:
    """Repeat each kind, with a line of progress per run and a table at the end.

    True if nothing failed in any run.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    tallies = {kind.name: Tally() for kind in chosen}
    for kind in chosen:
        tally = tallies[kind.name]
        for number in range(1, kind.times + 1):
            log = LOGS / f"{kind.name.replace(', ', '-').replace(' ', '-')}-{number}.log"
            begun = time.monotonic()
            with busy_core() if kind.busy else contextlib.nullcontext():
                cases = once(kind.args, log, cwd)
            outcomes = {test: case.outcome for test, case in cases.items()}
            if not outcomes:
                print(f"{kind.name}: no such tests here", flush=True)
                break
            lost = [test for test, outcome in outcomes.items() if outcome == "failed"]
            tally.runs = number
            tally.counts.update(outcomes.values())
            tally.lost += [(number, test) for test in lost]
            print(
                f"{kind.name} {number}/{kind.times}: {_counts(Counter(outcomes.values()))}"
                f", {time.monotonic() - begun:.0f} s"
                + (f" — see {node.label(log)}" if lost else ""),
                flush=True,
            )
    print(table(tallies))
    return not any(tally.lost for tally in tallies.values())


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy for as long as the block lasts."""
    loop = [sys.executable, "-I", "-S", "-c", "while True: pass"]
    child, token = process.start(loop, cwd=ROOT)
    try:
        yield
    finally:
        process.end(child, token, grace=0)


def table(tallies: dict[str, Tally]) -> str:
    """Kind, runs and outcomes, in columns; below it each failure with its run."""
    wide = max(map(len, tallies), default=0)
    lines = ["", f"{'kind':{wide}}  runs  passed  failed  skipped"]
    for name, tally in tallies.items():
        passed, failed, skipped = (
            tally.counts[outcome] for outcome in ("passed", "failed", "skipped")
        )
        lines.append(
            f"{name:{wide}}  {tally.runs:4}  {passed:6}  {failed:6}  {skipped:7}"
        )
    for name, tally in tallies.items():
        lines += [f"failed in run {run} ({name}): {test}" for run, test in tally.lost]
    return "\n".join(lines)


def once(
    args: tuple[str, ...], log: Path, cwd: Path, env: Mapping[str, str] | None = None
) -> dict[str, Case]:
    """Run pytest; the cases by test id, empty when nothing was selected. `env` is
    added to the environment."""
    report = log.with_suffix(".xml")
    report.unlink(missing_ok=True)
    clean = {k: v for k, v in os.environ.items() if k != node.COVERAGE}
    with log.open("wb") as out:
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", *args,
                f"--junitxml={report}", "-ojunit_family=xunit1",
            ],
            cwd=cwd, env={**clean, **(env or {})},
            stdout=out, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode == 5:  # pytest's code for "no test was selected"
        return {}
    cases = _cases(report) if report.exists() else {}
    told = done.returncode == 1 and "failed" in {case.outcome for case in cases.values()}
    if done.returncode and not told:  # 2 and more: tests are missing from the report
        cases[f"the run itself, with exit code {done.returncode}"] = Case("failed")
    return cases


def _cases(report: Path) -> dict[str, Case]:
    """By test id, from a JUnit file."""
    found: dict[str, Case] = {}
    for item in ElementTree.parse(report).iter("testcase"):
        test = f"{item.get('file') or item.get('classname')}::{item.get('name')}"
        told = {child.tag: _said(child) for child in item}
        skipped = item.find("skipped")
        if told.keys() & {"failure", "error"}:
            found[test] = Case("failed", told.get("failure") or told.get("error", ""))
        elif skipped is not None and skipped.get("type") != "pytest.xfail":
            found.setdefault(test, Case("skipped", told["skipped"]))
        else:
            found.setdefault(test, Case("passed"))
    return found


def _said(child: ElementTree.Element) -> str:
    """The message; with the report below it, where pytest has cut the message off."""
    said = child.get("message", "")
    return f"{said}\n{child.text}" if "full report in element text" in said else said


def _counts(counts: Counter) -> str:
    parts = [f"{counts['passed']} passed", f"{counts['failed']} failed"]
    return ", ".join([*parts, *([f"{n} skipped"] if (n := counts["skipped"]) else [])])
