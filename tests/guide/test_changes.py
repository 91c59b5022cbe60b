"""What `make check` runs for a change, and what it leaves out."""

import os
import subprocess
import sys

import pytest

from lab import __main__ as main
from lab import changes
from lab.check import content
from lab.run import node

TREE = content.read()
TOPIC = "event-loop"
SHARED = {"tests/guide/test_snippets.py", "tests/guide/test_company.py"}


def planned(*files: str) -> changes.Plan:
    return changes.plan(TREE, files)


@pytest.mark.parametrize(
    "path",
    [
        f"docs/topics/{TOPIC}/questions.md", "docs/method.md", "README.md",
        "docs/assets/guide.css", "overrides/main.html", "mkdocs.yml",
    ],
)  # fmt: skip
def test_prose_and_looks_run_no_test(path):
    plan = planned(path)
    assert (plan.files, plan.tests, plan.notebooks) == ([path], {}, set())
    in_site = path != "README.md"
    assert [what[:14] for what in plan.left_out] == ["the built site"] * in_site


def test_a_snippet_runs_the_tests_that_name_it_and_those_of_whoever_imports_it():
    plan = planned("snippets/validation/numbers.mjs")
    importers = [name for name, one in TREE.snippets.items() if "numbers.mjs" in one.text]
    topics = {name.split("/")[0] for name in importers}
    assert len(topics) > 3 and topics <= plan.tests.keys()
    alone = planned(f"snippets/{TOPIC}/search.naive.mjs")
    assert alone.tests.keys() == {TOPIC}
    assert f"tests/topics/{TOPIC}/test_blocking.py" in alone.tests[TOPIC]
    assert f"tests/topics/{TOPIC}/test_signals.py" not in alone.tests[TOPIC]
    assert alone.tests[TOPIC] > SHARED
    recorded = planned(f"snippets/{TOPIC}/drained.mjs.out")
    assert f"tests/topics/{TOPIC}/test_ordering.py" in recorded.tests[TOPIC]


@pytest.mark.parametrize(
    ("path", "topic", "tests"),
    [
        (
            f"snippets/{TOPIC}/exercises/keep-health-answering/task.md",
            TOPIC,
            f"tests/exercises/{TOPIC}/test_keep_health_answering.py",
        ),
        (
            f"tests/topics/{TOPIC}/company.mjs",
            TOPIC,
            "tests/guide/test_company.py",
        ),
        (
            f"tests/topics/{TOPIC}/test_signals.py",
            TOPIC,
            f"tests/topics/{TOPIC}/test_signals.py",
        ),
        ("tests/topics/jwt/shared.py", "jwt", "tests/topics/jwt/"),
        ("tests/guide/check/test_gates.py", "", "tests/guide/check/test_gates.py"),
        ("tests/guide/check/shared.py", "", "tests/guide/check/"),
        ("lab/check/gates/pages.py", "", "tests/guide/check/"),
        ("lab/topic.py", "", "tests/guide/test_topic.py"),
    ],
)
def test_tests_exercises_and_rooms_run_their_own(path, topic, tests):
    plan = planned(path)
    assert tests in plan.tests[topic] and len(plan.tests) == 1
    assert plan.left_out == []


def test_a_notebook_or_its_evidence_runs_the_notebook():
    for path in (f"notebooks/{TOPIC}.ipynb", f"docs/evidence/{TOPIC}.json"):
        assert planned(path).notebooks == {TOPIC}
    assert planned(f"docs/evidence/{TOPIC}/stall.svg").notebooks == {TOPIC}


@pytest.mark.parametrize("path", ["pyproject.toml", "conftest.py", "Makefile", "uv.lock"])
def test_what_may_concern_everything_is_left_out_and_said(path):
    assert planned(path).left_out == [f"{path} may concern everything: `make test`"]


def test_every_file_of_the_guide_is_planned_for():
    rooms = (path.relative_to(changes.ROOT) for path in changes.ROOT.glob("lab/**/*.py"))
    for path in (*TREE.files, *(path.as_posix() for path in rooms)):
        plan = planned(path)
        gated = path.endswith((".md", ".css", ".svg", ".html", ".js", ".png", ".yml"))
        assert plan.tests or plan.notebooks or plan.left_out or gated, path


def test_check_finds_what_was_changed_and_says_what_it_left_out(copy):
    """Uncommitted on the main branch; committed and not, on another."""

    def git(*args):
        who = ("-c", "user.name=x", "-c", "user.email=x@y.example")
        subprocess.run(["git", *who, *args], cwd=copy, check=True, capture_output=True)

    def check():
        return subprocess.run(
            [sys.executable, "-m", "lab", "check"], cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), node.COVERAGE: ""},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    git("init", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--message=all", "--no-verify")
    page = copy / f"docs/topics/{TOPIC}/index.md"
    page.write_text(page.read_text("utf-8") + "\n[gone](gone.md)\n", "utf-8")
    done = check()
    assert done.returncode == 1, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert said[0] == f"changed: docs/topics/{TOPIC}/index.md"
    assert said[3].startswith(f"docs/topics/{TOPIC}/index.md:") and "dead link" in said[3]
    assert said[-1].startswith("left out: the built site")
    assert "deterministic" not in done.stdout

    git("checkout", "-b", "mine")
    page.write_text(page.read_text("utf-8").replace("gone.md", "claims.md"), "utf-8")
    git("commit", "--all", "--message=link", "--no-verify")
    (copy / "notes.toml").write_text("x = 1\n", "utf-8")
    done = check()
    assert f"changed: docs/topics/{TOPIC}/index.md, notes.toml" in done.stdout
    assert "pages: no problems" in done.stdout
    assert "left out: notes.toml may concern everything" in done.stdout


def test_without_git_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    with pytest.raises(changes.ChangesError, match="does not tell what was changed"):
        changes.changed()


def test_the_end_repeats_what_each_failed_step_said_first(tmp_path, capfd):
    test = tmp_path / "test_sum.py"
    test.write_text("def test_sum():\n    assert 1 + 1 == 3, 'it is two'\n", "utf-8")
    own = (f"--rootdir={tmp_path}", f"--confcutdir={tmp_path}", "-c", os.devnull)
    where = (*own, str(test))
    bare = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # their import takes seconds
    steps = [
        ("page gates", lambda: main._report(["a.md:1: no date", "a.md:2: no end"])),
        ("tests", lambda: main._pytest(*where, **bare)),
        ("nothing", lambda: main._pytest(*where, "-k=none", **bare)),
        ("no tests", lambda: main._pytest(*own, str(tmp_path / "gone.py"), **bare)),
    ]
    assert main._steps(steps) == 1
    end = capfd.readouterr().out.split("\n\n")[-1].splitlines()
    assert end == [
        "failed: page gates: a.md:1: no date",
        "failed: tests: test_sum: AssertionError: it is two",
        "failed: no tests: it did not run, as is said above",
    ]
