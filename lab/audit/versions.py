"""Which answers change with another Node, and with Express 4.

The tests that prove claims run once with the locked versions, then once in each other
column; what fails there is run again, alone, and counts only if it fails every time. A
claim is then `holds`, `fails` or `unsteady` in a column, or was not run at all.
`docs/versions.json` keeps that with reasons, versions and date. What a failure means (the
answer differs, or only its proof cannot run there) is said on docs/versions.md, by hand.
"""

import datetime
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import BUILD, ROOT, GuideError
from lab.audit import repeat
from lab.audit.repeat import Case
from lab.check import content, seals
from lab.run import locks, node, suite

RUNS = 3  # of a test that fails at first: it differs if it fails in all of them
MARKS = f"claim and {suite.DETERMINISTIC}"  # what is timed tells of the machine too
FOLDER = BUILD / "versions"  # the other Nodes, and the logs
DATA = ROOT / content.VERSIONS
HOOK = ROOT / "lab/audit/express4.cjs"
REASON = 180  # characters, at most


class VersionsError(GuideError):
    """A column cannot be run, or the locked versions themselves do not hold."""


@dataclass(frozen=True)
class Column:
    """Versions to run with: a Node of npm's `node` package (its major version; empty:
    the locked one), and whether `express` is the alias `express4`."""

    name: str
    node: str = ""
    express4: bool = False


COLUMNS = (
    Column(content.LOCKED),
    Column("node-22", node="22"),
    Column("node-26", node="26"),
    Column("express-4", express4=True),
)


def run(topic: str | None) -> bool:
    """Run every column and write the data; with a topic, run that and only print.

    True if the locked versions hold everywhere. Raises VersionsError when a Node
    cannot be fetched or a run breaks down.
    """
    node.refuse_another("versions")
    tree = content.read()
    proved = {
        claim.key: tree.proofs.get(claim.key, [])
        for name, page in tree.topics.items()
        for claim in page.claims
        if topic in (None, name)
    }
    environments = {column.name: environment(column) for column in COLUMNS}
    data: dict = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "columns": {},
    }
    answers = {}
    for column in COLUMNS:
        env = environments[column.name]
        begun = time.monotonic()
        runs = _column(column.name, proved, env)
        seconds = round(time.monotonic() - begun)
        data["columns"][column.name] = {**versions(column, env), "seconds": seconds}
        answers[column.name] = {key: answer(tests, runs) for key, tests in proved.items()}
        _tell(column.name, answers[column.name], seconds)
        broken = _those(answers[column.name], "fails")
        if broken and column.name == content.LOCKED:
            print(f"with the locked versions it fails: {', '.join(broken)}")
            return False
    data |= table(answers)
    if topic:
        print(f"versions: nothing was written, since only {topic} was run")
        return True
    data["seal"] = seals.of_entry(data, None)
    text = json.dumps(data, indent=2, ensure_ascii=False)
    DATA.write_text(text + "\n", "utf-8")
    print(f"versions: wrote {node.label(DATA)}")
    return True


def environment(column: Column) -> dict[str, str]:
    """What makes `lab.run.node` run with a column's versions; fetches its Node."""
    env = {}
    if column.node:
        env[node.OTHER] = str(fetch(column.node))
    if column.express4:
        env["NODE_OPTIONS"] = f"--require={HOOK}"
    return env


def fetch(major: str) -> Path:
    """The newest Node of a major version, from npm's `node` package, whose install
    script brings the binary. Raises VersionsError when it cannot be had."""
    folder = FOLDER / f"node-{major}"
    folder.mkdir(parents=True, exist_ok=True)
    npm = Path(sys.executable).parent / "npm"
    # the scripts of that package call `node`, and mean any
    path = f"{npm.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [
            npm, "install", "--prefix", folder, "--no-save", "--no-audit", "--no-fund",
            "--ignore-scripts=false", "--loglevel=error", f"node@{major}",
        ],
        cwd=folder, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    binary = folder / "node_modules" / "node" / "bin" / "node"
    if done.returncode or not binary.exists():
        raise VersionsError(
            f"node@{major}: npm could not install it — is the npm registry "
            f"reachable?\n{done.stderr[-500:]}"
        )
    return binary


def versions(column: Column, env: Mapping[str, str]) -> dict[str, str]:
    """The exact Node and Express of a column, from its environment."""
    found = locks.versions()
    if other := env.get(node.OTHER):
        found["node"] = node.asked(other)["version"]
    return {
        "node": found["node"],
        "express": found["express4" if column.express4 else "express"],
    }


def answer(
    tests: Iterable[tuple[str, int, str]], runs: Sequence[Mapping[str, Case]]
) -> tuple[str, str, str]:
    """A claim's answer in a column, the test that decided it, and what that said.

    `tests` are (file, line, name); `runs` hold outcomes by test id: the first of all
    tests, the others of those that had failed.
    """
    names = {f"{path}::{name}" for path, _, name in tests}
    found = [test for test in runs[0] if test.split("[")[0] in names]
    worst = ("", "", "")
    for test in found:
        each = [run[test] for run in runs if test in run]
        outcomes = {case.outcome for case in each}
        if outcomes == {"failed"}:
            # what it says alone, rather than what it said among others
            return "fails", test, reason(each[-1].said)
        if "failed" in outcomes:
            lost = next(case for case in each if case.outcome == "failed")
            worst = ("unsteady", test, reason(lost.said))
        elif outcomes == {"skipped"}:
            worst = worst if worst[0] else ("not run", test, reason(each[0].said))
        elif worst[0] != "unsteady":
            worst = ("holds", "", "")
    if not names:
        return "not run", "", "its proof is a measurement of this machine"
    return worst if worst[0] else ("not run", "", "its proof is timed")


def table(answers: Mapping[str, Mapping[str, tuple[str, str, str]]]) -> dict:
    """`claims` (key, then column: answer), `reasons` of what does not hold, and why
    the others were `not run`. What is unsteady with the locked versions is so in all."""
    out: dict = {"claims": {}, "reasons": {}, "not run": {}}
    locked = answers[content.LOCKED]
    for key in locked:
        if locked[key][0] == "not run":
            out["not run"][key] = locked[key][2]
            continue
        row = {column: found[key] for column, found in answers.items()}
        if locked[key][0] == "unsteady":
            row = {column: locked[key] for column in row}
        out["claims"][key] = {column: cell[0] for column, cell in row.items()}
        if why := {
            column: {"test": test, "said": said}
            for column, (is_, test, said) in row.items()
            if is_ != "holds"
        }:
            out["reasons"][key] = why
    return out


# What differs from run to run or from machine to machine, and what stands for it
_VOLATILE = (
    (r"\x1b\[[0-9;]*[A-Za-z]", ""),
    (re.escape(str(ROOT)), "…"),
    (
        r"(?<![\w.:/])(?:file://)?/(?:tmp|home|root|usr|work|var|build|__w)/[^\s'\",)\]]*",
        "…",
    ),
    (r"\bbuild/tmp/[^\s'\",)\]:]*", "…"),
    (r"\b(127\.0\.0\.\d+|localhost|\[::1\]):\d+", r"\1"),
    (r"\((node|pid):? ?\d+\)", r"(\1)"),
    (r"\b0x[0-9a-f]{6,}\b", "0x…"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?", "…"),
    (r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", "…"),
    (r"\b\d+(?:\.\d+)? ?(ms|s|seconds)\b", r"… \1"),
)


def reason(said: str) -> str:
    """The message of a failed test in one line, the same on every machine: without
    paths, ports, process ids and times; at most REASON characters."""
    for pattern, instead in _VOLATILE:
        said = re.sub(pattern, instead, said)
    # before the message stands the exception's name, below it pytest explains; what
    # another tool printed is longer, and some line of it names the error
    said = re.sub(
        r"^(?:AssertionError|Failed|Exception|lab\.[\w.]+): *", "", said.strip()
    )
    first = re.split(r"\n\s*\n|\n\s*\+  where ", said, maxsplit=1)[0]
    if not re.search(r"assert|error|warning|closed|disconnected", first, re.IGNORECASE):
        lines = (line.removeprefix("E ") for line in said.split("\n"))
        named = re.compile(r"\berrors?\b", re.IGNORECASE)
        first = next((line for line in lines if named.search(line)), first)
    said = " ".join(first.split())
    return said if len(said) <= REASON else f"{said[: REASON - 1].rstrip()}…"


def _column(
    name: str, proved: Mapping[str, list], env: Mapping[str, str]
) -> list[dict[str, Case]]:
    """The outcomes of all tests, then of those that failed, until RUNS or none."""
    files = sorted({path for tests in proved.values() for path, _, _ in tests})
    names = {f"{path}::{test}" for tests in proved.values() for path, _, test in tests}
    first = _once(f"{name}-1", [f"-m{MARKS}", suite.WORKERS, *files], env)
    runs = [{test: case for test, case in first.items() if test.split("[")[0] in names}]
    while len(runs) < RUNS:
        lost = [test for test, case in runs[-1].items() if case.outcome == "failed"]
        if not lost:
            break
        # one at a time: not for want of a core
        runs.append(_once(f"{name}-{len(runs) + 1}", lost, env))
    return runs


def _once(log: str, args: list[str], env: Mapping[str, str]) -> dict[str, Case]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{log}.log"
    cases = repeat.once((*args, "-vv"), path, ROOT, env)
    broken = [test for test in cases if "::" not in test]
    if broken or not cases:
        what = broken[0] if broken else "no test was run"
        raise VersionsError(f"{log}: {what} — see {node.label(path)}")
    return cases


def _those(found: Mapping[str, tuple[str, str, str]], is_: str) -> list[str]:
    return [key for key, cell in found.items() if cell[0] == is_]


def _tell(name: str, found: Mapping[str, tuple[str, str, str]], seconds: int) -> None:
    counts = ", ".join(
        f"{len(keys)} {is_}" for is_ in content.ANSWERS if (keys := _those(found, is_))
    )
    print(f"{name}: {counts}, {seconds} s", flush=True)
    for key, (is_, _, said) in found.items():
        if is_ in ("fails", "unsteady"):
            print(f"  {key} {is_}: {said}", flush=True)
