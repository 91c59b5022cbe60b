"""Starting a topic: what it makes holds at once, and what it lacks is listed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import topic as topics
from lab.check import content
from lab.run import node

TOPIC = "money-matters"


def python(copy: Path, *args: object) -> subprocess.CompletedProcess:
    """Run `python ARGS` with the copy's own `lab`."""
    return subprocess.run(
        [sys.executable, *map(str, args)], cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), node.COVERAGE: ""},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


def state(folder: Path) -> dict[str, str]:
    tree = content.read(folder)
    return {path: tree.files[path] for path in sorted(tree.files)}


def test_a_topic_that_is_started_passes_everything_and_hears_what_it_lacks(copy):
    before = state(copy)
    done = python(copy, "-m", "lab", "topic", TOPIC, "--title", "Money, exactly")
    assert done.returncode == 0, done.stdout
    after = state(copy)
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {"mkdocs.yml"}
    made = [copy / path for path in after.keys() - before.keys()]
    assert {path.relative_to(copy).parts[0] for path in made} == {
        "docs", "snippets", "notebooks", "tests",
    }  # fmt: skip
    assert not [path for path in made if "{{" in path.read_text("utf-8")]

    linted = [path for path in made if path.suffix in (".py", ".ipynb")]
    for command in (["check"], ["format", "--check"]):
        done = python(copy, "-m", "ruff", *command, "--quiet", *linted)
        assert (done.returncode, done.stdout) == (0, "")
    for tool in (["eslint/bin/eslint.js", "--max-warnings=0"],
                 ["prettier/bin/prettier.cjs", "--check"]):  # fmt: skip
        done = subprocess.run(
            [node.binary(), f"node_modules/{tool[0]}", *tool[1:], TOPIC],
            cwd=copy / "snippets", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    done = python(copy, "-m", "lab", "test", TOPIC)
    assert done.returncode == 0, done.stdout  # a draft may lack what it lacks
    assert done.stdout.splitlines()[-1] == "all of it passed"
    assert "pages: no problems" in done.stdout
    assert f"{TOPIC} is 'draft': " in done.stdout
    page = f"docs/topics/{TOPIC}/index.md"
    for what in (
        "1 of at least 12 claims",
        "0 of at least 4 figures",
        "1 of at least 2 pairs of a naive version and its twin",
        "1 of at least 25 questions",
        "0 of at least 4 questions of level staff",
        "no diagram of the mechanism",
    ):
        assert f": {what} — " in done.stdout
    for path in made:  # each says what is to be written in it
        if path.suffix != ".out":
            assert f"{path.relative_to(copy)}:" in done.stdout
    assert f"{page}:3: still to be written: TODO one sentence" in done.stdout


@pytest.mark.parametrize(
    ("topic", "title", "message"),
    [
        ("event-loop", "", "there is already docs/topics/event-loop, "),
        ("Rate-Limiting", "", "not a slug"),
        ("rate_limiting", "", "not a slug"),
        ("../rate", "", "not a slug"),
        ("rate-", "", "not a slug"),
        ("r" * 31, "", "not a slug"),
        ("rate-limiting", "Rate: limiting", "not a title"),
        ("rate-limiting", "rate limiting", "not a title"),
    ],
)
def test_a_topic_that_cannot_be_started_writes_nothing(clone, topic, title, message):
    before = state(clone)
    with pytest.raises(topics.TopicError, match=message):
        topics.start(topic, title, clone)
    assert state(clone) == before


def test_a_left_over_of_a_topic_is_not_overwritten(clone):
    (clone / "snippets" / TOPIC).mkdir()
    before = state(clone)
    with pytest.raises(topics.TopicError, match=f"there is already snippets/{TOPIC} "):
        topics.start(TOPIC, root=clone)
    assert state(clone) == before


NAV = """site_name: Demo # a comment

nav: # in this order
  - Home: index.md
  - Topics:
      # the first one
      - One: topics/one.md
      - Two: # last but not least
          - topics/two/index.md
          - Code: topics/two/code.md

  - Notebooks:
  - Ledger: ledger.md
theme: material
"""


def test_an_entry_goes_to_the_end_of_its_list_and_nothing_else_changes():
    with_page = topics.with_entry(
        NAV, "Topics", "- Three:", "    - topics/three/index.md"
    )
    assert with_page == NAV.replace(
        "two/code.md\n",
        "two/code.md\n      - Three:\n          - topics/three/index.md\n",
    )
    with_book = topics.with_entry(NAV, "Notebooks", "- Three: notebooks/three.ipynb")
    assert with_book == NAV.replace(
        "Notebooks:\n", "Notebooks:\n      - Three: notebooks/three.ipynb\n"
    )


@pytest.mark.parametrize(
    "text", ["nav: [{Topics: [{One: one.md}]}]\n", "nav:\n  - One: one.md\n", ""]
)
def test_a_navigation_that_cannot_be_edited_as_text_is_named(text):
    with pytest.raises(topics.TopicError, match="no list '- Topics:' to add to"):
        topics.with_entry(text, "Topics", "- Three: topics/three.md")
