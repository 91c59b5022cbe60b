"""A topic: its places, its skeleton, and what it lacks until it is whole."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.check import Problem
from lab.check.content import Tree
from lab.check.pages import Page, in_thirty_seconds
from lab.run import node, suite

SKELETON = (
    "In thirty seconds",
    "How it works",
    "Why, and when not",
    "Show me",
    "On trial",
    "Break it",
    "In production",
    "Ask next",
    "Practise",
    "Sources",
)
# what a topic has when it is whole
CLAIMS, FIGURES, PAIRS, FOLLOW_UPS = 7, 4, 2, 10  # at least
WORDS = 2200  # of open text, at most
ALOUD = range(41, 96)  # words of a thirty-second answer


def skeleton(tree: Tree) -> Iterator[Problem]:
    """A topic has all headings, in their order, and one question above them."""
    for page in tree.topics.values():
        have = [text for _, level, text, _ in page.headings if level == 2]
        for heading in SKELETON:
            if heading not in have:
                yield Problem(
                    "skeleton",
                    f"{page.path}:1",
                    f"no heading '## {heading}'",
                    "a topic has all of: " + " · ".join(SKELETON),
                )
        known = [text for text in have if text in SKELETON]
        if known != sorted(known, key=SKELETON.index):
            yield Problem(
                "skeleton",
                f"{page.path}:1",
                "the topic's headings are out of order",
                "the order is: " + " · ".join(SKELETON),
            )
        if sum(level == 1 for _, level, _, _ in page.headings) != 1:
            yield Problem(
                "skeleton", f"{page.path}:1", "a topic has one `# ` heading",
                "put its interview question there",
            )  # fmt: skip


def bijection(tree: Tree) -> Iterator[Problem]:
    """One topic, one slug, four places."""
    places: dict[str, Callable[[str], str]] = {
        "page": lambda slug: f"docs/chapters/{slug}.md",
        "snippets": lambda slug: f"snippets/{slug}/",
        "notebook": lambda slug: f"notebooks/{slug}.ipynb",
        "test": lambda slug: f"tests/topics/{slug}/test_….py",
    }
    have = {
        "page": set(tree.topics),
        "snippets": {name.split("/")[0] for name in tree.snippets},
        "notebook": {Path(p).stem for p in tree.under("notebooks/", ".ipynb")},
        "test": {
            path.split("/")[2]
            for path in tree.under("tests/topics/", ".py")
            if Path(path).stem.startswith("test_")
        },
    }
    for slug in sorted(set().union(*have.values())):
        there = [kind for kind in places if slug in have[kind]]
        for kind, place in places.items():
            if slug not in have[kind]:
                yield Problem(
                    "topic",
                    places[there[0]](slug),
                    f"topic '{slug}' has no {kind}",
                    f"add {place(slug)}, or fix the slug here",
                )


def incomplete(tree: Tree, topic: str) -> list[Problem]:
    """What the topic still lacks, as CONTRIBUTING.md lists it.

    Not part of `check`: a topic that is being written passes the gates long
    before it is whole. `python -m lab test` asks for both.
    """
    page = tree.topics[topic]
    found = [
        problem
        for gate in (
            _counts,
            _follow_ups,
            _diagram,
            _practice,
            _open_text,
            _said_aloud,
            _told,
        )
        for problem in gate(tree, page)
    ]
    return found + list(_to_write(tree, topic))


def _section(page: Page, title: str) -> range:
    """The lines below a heading of the skeleton, up to the next one."""
    tops = [(line, text) for line, level, text, _ in page.headings if level == 2]
    for index, (line, text) in enumerate(tops):
        if text == title:
            last = tops[index + 1][0] if index + 1 < len(tops) else sys.maxsize
            return range(line + 1, last)
    return range(0)  # the skeleton's gate reports it


def _place(page: Page, title: str) -> str:
    return f"{page.path}:{max(_section(page, title).start - 1, 1)}"


def _counts(tree: Tree, page: Page) -> Iterator[Problem]:
    if len(page.claims) < CLAIMS:
        yield Problem(
            "few-claims", _place(page, "On trial"),
            f"{len(page.claims)} of at least {CLAIMS} claims",
            "add a block `/// claim | What people say`, and its proof",
        )  # fmt: skip
    figures = {key for _, key in page.figures if not key.endswith(".svg")}
    if len(figures) < FIGURES:
        yield Problem(
            "few-figures", f"{page.path}:1",
            f"{len(figures)} of at least {FIGURES} figures",
            "publish one from the notebook, `make evidence`, then `/// figure | key`",
        )  # fmt: skip
    here = _section(page, "Break it")
    files = {
        item.file for owner, item in tree.embeds if owner is page and item.line in here
    }
    pairs = {
        file
        for file in files
        if ".naive." in file and file.replace(".naive.", ".") in files
    }
    if len(pairs) < PAIRS:
        yield Problem(
            "few-pairs", _place(page, "Break it"),
            f"{len(pairs)} of at least {PAIRS} pairs of a naive version and its twin",
            "embed both here: name.naive.mjs under attack, then name.mjs",
        )  # fmt: skip


def _follow_ups(tree: Tree, page: Page) -> Iterator[Problem]:
    here = _section(page, "Ask next")
    asked = [
        item
        for item in page.details
        if item.line in here and item.options.get("type") == "question"
    ]
    if len(asked) < FOLLOW_UPS:
        yield Problem(
            "few-follow-ups", _place(page, "Ask next"),
            f"{len(asked)} of at least {FOLLOW_UPS} follow-ups",
            "add a block `/// details | The question?` with `    type: question`",
        )  # fmt: skip
    for item in asked:
        if not item.id:
            yield Problem(
                "follow-up-id", f"{page.path}:{item.line}",
                f"nobody can link to the follow-up '{item.title}'",
                "add `    attrs: {id: lower-case-words}` under its first line",
            )  # fmt: skip


def _diagram(tree: Tree, page: Page) -> Iterator[Problem]:
    here = _section(page, "How it works")
    if not any(line in here and key.endswith(".svg") for line, key in page.figures):
        yield Problem(
            "no-diagram", _place(page, "How it works"), "no diagram of the mechanism",
            "draw docs/assets/name.svg and show it: `/// figure | name.svg`",
        )  # fmt: skip


def _practice(tree: Tree, page: Page) -> Iterator[Problem]:
    topic = page.topic
    if not any(key.startswith(f"{topic}/") for key in tree.exercises):
        yield Problem(
            "no-exercise", f"snippets/{topic}/exercises/", "no exercise",
            "add a folder with task.md, start.mjs and solution.mjs",
        )  # fmt: skip
    if not any(
        node.is_app(snippet.text) and not snippet.naive
        for name, snippet in tree.snippets.items()
        if name.startswith(f"{topic}/")
    ):
        yield Problem(
            "no-module", f"snippets/{topic}/", "no module that the service can use",
            "export a factory: `export function createApp(deps) {`",
        )  # fmt: skip


def _open_text(tree: Tree, page: Page) -> Iterator[Problem]:
    text = "\n".join(line for _, line in page.open)
    text = re.sub(
        r"<svg\b.*?</svg>|<!--.*?-->|</?[a-z][^<>]*>", " ", text, flags=re.DOTALL
    )
    words = sum(bool(re.search(r"\w", word)) for word in text.split())
    if words > WORDS:
        yield Problem(
            "long-text", f"{page.path}:1",
            f"{words} words of open text, at most {WORDS}",
            "cut, or fold what only some ask for into a follow-up",
        )  # fmt: skip


def _said_aloud(tree: Tree, page: Page) -> Iterator[Problem]:
    text = re.sub(r"[*`]|\]\([^)]*\)", "", in_thirty_seconds(page))
    words = len(text.split())
    if words not in ALOUD:
        yield Problem(
            "thirty-seconds", _place(page, "In thirty seconds"),
            f"{words} words in thirty seconds",
            f"say it in {ALOUD.start} to {ALOUD.stop - 1}: three a second",
        )  # fmt: skip


def _told(tree: Tree, page: Page) -> Iterator[Problem]:
    """Whether the pages that speak of all topics speak of this one."""
    for path, where in (
        ("docs/summary.md", "a row of its table of decisions"),
        ("docs/changelog.md", "an entry"),
    ):
        targets = [target for _, target in tree.pages[path].links]
        if not any(f"chapters/{page.topic}.md" in target for target in targets):
            yield Problem(
                "untold", path, f"nothing links to {page.path}", f"add {where} that does"
            )


def _to_write(tree: Tree, topic: str) -> Iterator[Problem]:
    """The word that the template puts wherever something is to be written."""
    mine = suite.places(topic)
    for path in tree.under("", (".md", ".mjs", ".cjs", ".ipynb", ".py")):
        if path.startswith(mine):
            for place, line in _lines(path, tree.files[path]):
                if re.search(r"\bTODO\b", line):
                    yield Problem(
                        "to-write", place, f"still to be written: {_excerpt(line)}",
                        "write it",
                    )  # fmt: skip


def _lines(path: str, text: str) -> Iterator[tuple[str, str]]:
    """Each line of a file and where it stands; in a notebook that is its cell."""
    if not path.endswith(".ipynb"):
        for number, line in enumerate(text.split("\n"), 1):
            yield f"{path}:{number}", line
        return
    for number, cell in enumerate(json.loads(text)["cells"], 1):
        for line in "".join(cell["source"]).split("\n"):
            yield f"{path}, cell {number}", line


def _excerpt(line: str) -> str:
    text = line[line.index("TODO") :]
    return text if len(text) <= 60 else f"{text[:59].rstrip()}…"
