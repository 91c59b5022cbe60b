"""The commands behind the Makefile: `python -m lab COMMAND`."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lab import BUILD, ROOT, GuideError


def main() -> int:
    """Run one command; a GuideError becomes one clear message and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, function, explain):
        sub = commands.add_parser(name, help=explain)
        sub.set_defaults(run=function)
        return sub

    command("pages", pages_, "the fast gates: nothing is run")
    command("check", check, "what a change concerns: its gates and tests")
    command("test", test, "everything, or one topic").add_argument("topic", nargs="?")
    command("outputs", outputs, "rewrite the recorded output of snippets").add_argument(
        "topic", nargs="?"
    )
    command(
        "seal", seal, "after reading: seal what changed, run its counter-proofs"
    ).add_argument("topic", nargs="?")
    command("evidence", evidence_, "record measured values and figures").add_argument(
        "topic", nargs="?"
    )
    sub = command("exercise", exercise, "check your copy; a diagnosis is started")
    sub.add_argument("exercise", help="topic/name")
    sub.add_argument("--check", action="store_true", help="check a diagnosis, too")
    sub.add_argument(
        "--port", type=int, default=0, help="of a diagnosis; else a free one"
    )
    sub = command("topic", topic_, "start a topic: its four places")
    sub.add_argument("topic", help="its slug")
    sub.add_argument("--title", default="", help="in the navigation")
    sub = command("repeat", repeat_, "run tests again and again, and count")
    sub.add_argument("topic", nargs="?")
    sub.add_argument("--times", type=int, help="runs of each kind, for a quick trial")
    command("versions", versions_, "other Nodes, Express 4: what differs").add_argument(
        "topic", nargs="?", help="try this one, write nothing"
    )
    command("bench", bench_, "what our own parts cost, as ratios").add_argument(
        "--rounds", type=int, default=7
    )
    command("map", map_, "draw lab's map and helpers in CONTRIBUTING.md")
    command("lighthouse", lighthouse_, "audit the built site in Chromium")
    command("notebook", notebook_, "open a topic's notebook").add_argument("topic")
    command("site", site, "build the site into site/")
    command("serve", serve, "serve the site, with live reload").add_argument(
        "--port", type=int, default=8000
    )
    args = parser.parse_args()
    os.chdir(ROOT)
    try:
        return args.run(args) or 0
    except GuideError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def pages_(args) -> int:
    """Print what the page gates find."""
    from lab.check import content

    return _gates(content.read(), [])


def check(args) -> int:
    """The gates, and of the tests those that the change concerns; says what it left out.
    Goes on after a failed step."""
    from lab import changes
    from lab.check import content
    from lab.record import evidence

    tree = content.read()
    plan = changes.plan(tree, changes.changed())
    changes.measured_again(plan, tree)
    shutil.rmtree(evidence.FRESHLY, ignore_errors=True)
    fresh = {evidence.FRESH: str(evidence.FRESHLY)}
    print(f"changed: {', '.join(plan.files) or 'nothing'}")
    steps = [
        ("page gates", lambda: _gates(tree, plan.files, later=evidence.CHANGED)),
        (
            "hooks",
            lambda: _hooks_on([name for name in plan.files if Path(name).exists()]),
        ),
    ]
    for topic, paths in sorted(plan.tests.items()):
        only = [f"--topic={topic}"] if topic else []
        steps.append((
            f"tests of {topic or 'the guide'}",
            lambda only=only, paths=paths: _pytest(
                "-n2", "-mnot site and not binder", *only, *sorted(paths), **fresh
            ),
        ))  # fmt: skip
    for topic in sorted(plan.notebooks):
        steps.append(
            (f"notebook of {topic}", lambda topic=topic: _notebooks(topic, **fresh))
        )
    steps.append(("what is recorded", _refresh))
    failed = _steps(steps)
    for what in plan.left_out:
        print(f"left out: {what}")
    return failed


def test(args) -> int:
    """The gates, the deterministic tests in parallel, what they executed, then
    alone whatever is timed, the notebooks, and the site with their results. Goes on
    after a failed step."""
    from lab.run import suite

    topic = _topic(args.topic)
    coverage = BUILD / "coverage"
    shutil.rmtree(coverage, ignore_errors=True)
    coverage.mkdir(parents=True)
    steps = (
        ("page gates", lambda: pages_(args)),
        # of all topics together they are tests of the guide
        *([("hooks", lambda: _hooks(topic))] if topic else []),
        ("topics are whole", lambda: _missing(topic)),
        (
            "deterministic tests",
            lambda: _pytest(
                suite.WORKERS,
                f"-m{suite.DETERMINISTIC}",
                *suite.only(topic),
                GUIDE_COVERAGE=str(coverage),
            ),
        ),
        ("every shown line ran", lambda: _unexecuted(topic)),
        ("timed tests", lambda: _pytest(f"-m{suite.TIMED}", *suite.only(topic))),
        ("notebooks", lambda: _notebooks(topic)),
        (
            "site",
            lambda: _pytest(*suite.SITE_WORKERS, f"-m{suite.SITE}", *suite.only(topic)),
        ),
    )
    # to learn from pytest that a topic has none of a kind takes ten seconds
    none = {"timed tests": suite.TIMED, "site": suite.SITE} if topic else {}
    skipped = [name for name in none if not suite.marked(topic, none[name])]
    for name in skipped:
        print(f"\n=== {name}: {topic} has none")
    return _steps([step for step in steps if step[0] not in skipped])


def _steps(steps) -> int:
    """Run each named step, whatever the one before said, and repeat at the end what each
    failed step said first; 1 if one failed."""
    failed = []
    for name, step in steps:
        print(f"\n=== {name}", flush=True)
        begun = time.monotonic()
        _first_said.clear()
        if step():
            failed.append(": ".join([name, *_first_said]))
        print(f"=== {name}: {time.monotonic() - begun:.0f} s", flush=True)
    print("", *([f"failed: {one}" for one in failed] or ["all of it passed"]), sep="\n")
    return int(bool(failed))


_first_said: list[str] = []  # what the step that runs now found first, if it failed


def _say_first(message: str) -> None:
    """Keep the first message of a step, for its end."""
    if not _first_said:
        _first_said.append(message)


def outputs(args) -> int:
    """Rewrite each .out that differs, of one topic or all."""
    from lab.run import node, outputs

    node.refuse_another("outputs")
    topic = _topic(args.topic)
    names = [
        name for name in outputs.programs() if not topic or name.startswith(f"{topic}/")
    ]
    for count, name in enumerate(names, 1):
        done = "written" if outputs.record(name) else "same"
        print(f"[{count}/{len(names)}] {name}: {done}", flush=True)
    return 0


def evidence_(args) -> int:
    """Measure with recording on; publish a topic only if all of it passed."""
    from lab.record import evidence
    from lab.run import node, suite

    node.refuse_another("evidence")
    topic = _topic(args.topic)
    shutil.rmtree(evidence.STAGING, ignore_errors=True)
    record = {evidence.RECORD: str(evidence.STAGING)}
    failed = _pytest(f"-m{suite.TIMED}", *suite.only(topic), **record) or _notebooks(
        topic, **record
    )
    if failed:
        print("evidence: nothing was written, since something failed")
        return failed
    for path in evidence.publish([topic] if topic else _topics()):
        print(f"evidence: wrote {path.relative_to(ROOT)}")
    return 0


def seal(args) -> int:
    """Seal what was read again, and run the counter-proofs of which a side changed."""
    from lab.audit import counter
    from lab.check import content, gates, restated, seals

    tree = content.read()
    topics = [_topic(args.topic)] if args.topic else list(tree.topics)
    for problem in gates.seals.restatements(tree):
        print(f"seal: {problem.place}: {problem.what}")
    known = restated.counters(tree)
    stale = {
        key: proof
        for key, (proof, digest) in known.items()
        for topic, _, name in [key.partition("/")]
        if topic in topics and restated.sealed(tree, topic).get(name) != digest
    }
    if stale:
        print(f"seal: {len(stale)} counter-proofs are run", flush=True)
        counter.run(stale)
    for topic in topics:
        blocks = (
            restated.blocks(tree, tree.topics[topic]) if tree.topics[topic].whole else []
        )
        made = {block.key: block.seal for block in blocks} | {
            key.partition("/")[2]: digest
            for key, (_, digest) in known.items()
            if key.startswith(f"{topic}/")
        }
        if seals.write(ROOT / restated.path(topic), made):
            print(f"seal: wrote {restated.path(topic)}")
    return 0


def exercise(args) -> int:
    """Copy the exercise's start to work/ at the first call; check that copy, or start it
    if it is a diagnosis."""
    from lab.record import notebook

    if notebook.runs(args.exercise) and not args.check:
        print(notebook.start(args.exercise, args.port))
    else:
        print(notebook.check(args.exercise))
    return 0


def topic_(args) -> int:
    """Start a topic; say what is there now and what comes next."""
    from lab import topic as topics

    for path in topics.start(args.topic, args.title):
        print(f"topic: wrote {path.relative_to(ROOT)}")
    print(
        "topic: it passes `make pages` and its own tests; what it still lacks is "
        f"listed by `make test TOPIC={args.topic}`"
    )
    return 0


def repeat_(args) -> int:
    """Run one topic's tests, or all, repeatedly; fail when any run failed."""
    from lab.audit import repeat

    if args.times is not None and args.times < 1:
        raise GuideError(f"--times {args.times}: nothing to run — give 1 or more")
    return not repeat.run(repeat.kinds(_topic(args.topic), args.times))


def versions_(args) -> int:
    """Run the proofs of claims with other versions; write docs/versions.json."""
    from lab.audit import versions

    return not versions.run(_topic(args.topic))


def bench_(args) -> int:
    """Measure what our parts cost; fail when a declared target is missed."""
    from lab.audit import bench

    if args.rounds < 1:
        raise GuideError(f"--rounds {args.rounds}: nothing to time — give 1 or more")
    return not bench.run(args.rounds)


def lighthouse_(args) -> int:
    """Audit one page of each kind; fail when one scores less than it must."""
    from lab.audit import lighthouse

    return _report(lighthouse.run())


def map_(args) -> int:
    """Draw the map of lab/ and its helpers in CONTRIBUTING.md."""
    from lab.audit import rooms

    print("CONTRIBUTING.md: written" if rooms.write() else "CONTRIBUTING.md: same")
    return 0


def notebook_(args) -> int:
    """Open a topic's notebook in JupyterLab."""
    path = ROOT / "notebooks" / f"{_topic(args.topic)}.ipynb"
    # nothing goes to the home folder, and in a container everybody is root
    env = {
        f"{name}_DIR": str(BUILD / "jupyter" / name.lower())
        for name in ("JUPYTER_CONFIG", "JUPYTER_DATA", "JUPYTER_RUNTIME")
    }
    env["IPYTHONDIR"] = str(BUILD / "jupyter" / "ipython")
    root = ["--allow-root"] if os.geteuid() == 0 else []
    return subprocess.run(
        [sys.executable, "-m", "jupyter", "lab", *root, path],
        env={**os.environ, **env},
        check=False,
    ).returncode


def site(args) -> int:
    """Build the site, warnings counted as errors."""
    from lab.publish import builder

    builder.build()
    return 0


def serve(args) -> int:
    """Serve the site on 127.0.0.1."""
    from lab.publish import builder

    builder.serve(args.port)
    return 0


def _topics() -> list[str]:
    from lab.check import content

    return list(content.read().topics)


def _topic(name: str | None) -> str | None:
    """Raises GuideError when there is no such topic."""
    if name and name not in _topics():
        raise GuideError(f"topic '{name}': no such topic — {', '.join(_topics())}")
    return name


def _report(problems: list) -> int:
    """Print problems, one a line; 1 if there are any."""
    for problem in problems:
        print(problem)
        _say_first(str(problem))
    return int(bool(problems))


def _missing(topic: str | None) -> int:
    """Print what one topic lacks, or every topic; 1 if one lacks something and says that
    it is whole. Of the others only their number, unless one was asked for."""
    from lab.check import content, gates

    tree = content.read()
    failed = 0
    for name in [topic] if topic else tree.topics:
        problems = gates.topics.incomplete(tree, name)
        if tree.topics[name].whole:
            failed |= _report(problems)
            continue
        state = tree.topics[name].state
        print(f"{name} is '{state}': {len(problems)} things are still missing")
        if topic or tree.topics[name].draft:
            _report(problems)
    return failed


def _gates(tree, first: list[str], later: str = "") -> int:
    """What the page gates find, in these files first, without the problems of the code
    `later`; 1 if they find something."""
    from lab.check import gates

    problems = [problem for problem in gates.check(tree) if problem.code != later]
    problems.sort(key=lambda problem: problem.place.split(":")[0] not in first)
    failed = _report(problems)
    print(f"pages: {len(problems)} problems" if problems else "pages: no problems")
    return failed


def _refresh() -> int:
    """Keep records whose code changed and whose value, measured again, still holds."""
    from lab.check import content, gates
    from lab.record import evidence

    for folder in sorted(evidence.FRESHLY.glob("*/")):
        kept, differ = evidence.refresh(folder.name)
        if kept:
            print(f"still holds, sealed again: {folder.name}: {', '.join(kept)}")
        for name in differ:
            print(f"{folder.name}/{name}: its bounds, words or columns have changed")
    problems = gates.check(content.read())
    return _report([problem for problem in problems if problem.code == evidence.CHANGED])


def _hooks(topic: str) -> int:
    """What `git commit` would say of a topic's files; 0 where there is no git."""
    from lab.run import suite

    return _hooks_on(suite.files(topic))


def _hooks_on(files: list[str]) -> int:
    """What `git commit` would say of these files."""
    if not files:
        return 0
    argv = [sys.executable, "-m", "pre_commit", "run", "--files", *files]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout)
        names = re.findall(r"^(.+?)\.+Failed$", done.stdout, re.MULTILINE)
        _say_first(", ".join(names) or "they did not run, as is said above")
    return done.returncode


def _unexecuted(topic: str | None) -> int:
    from lab.check import content, gates
    from lab.run import coverage

    problems = gates.code.unexecuted(
        content.read(), coverage.executed(BUILD / "coverage")
    )
    if topic:
        problems = [p for p in problems if p.place.startswith(f"snippets/{topic}/")]
    return _report(problems)


def _notebooks(topic: str | None, **env: str) -> int:
    from lab.record import evidence, notebook
    from lab.run import suite

    staged = notebook.stage(topic)
    alone = evidence.RECORD in env or len(staged) == 1
    workers = () if alone else suite.NOTEBOOK_WORKERS
    return _pytest(*suite.NOTEBOOKS, *workers, *map(str, staged), **env)


def _pytest(*args: str, **env: str) -> int:
    # FORCE_COLOR and the like pass through; the exit code 5 means that this
    # topic has no test of this kind
    BUILD.mkdir(exist_ok=True)
    results = BUILD / "results.xml"
    results.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"--junitxml={results}", *args],
        env={**os.environ, **env}, check=False,
    )  # fmt: skip
    if done.returncode == 5:
        return 0
    if done.returncode:
        _say_first(_first_failure(results))
    return done.returncode


def _first_failure(results: Path) -> str:
    """The first test of a JUnit file that failed, and the first line of why."""
    from xml.etree import ElementTree

    cases = ElementTree.parse(results).iter("testcase") if results.exists() else ()
    for case in cases:
        for why in case:
            if why.tag in ("failure", "error"):
                lines = (why.get("message") or "").strip().split("\n")
                return f"{case.get('name')}: {lines[0]}"
    return "it did not run, as is said above"


if __name__ == "__main__":
    sys.exit(main())
