"""A topic: its places, its skeleton, and what it lacks until it is whole."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.check import Problem
from lab.check.content import Topic, Tree
from lab.check.gates import outside
from lab.check.gates.pages import length
from lab.check.pages import LEVELS, LISTEN, PARTS, RED_FLAG, Page, Question, finding
from lab.run import node, suite

SKELETON = (
    "In thirty seconds",
    "A senior adds",
    "A staff engineer adds",
    "How it works",
    "When not",
    "Broken, then fixed",
    "In production",
    "Wrong answers",
    "Next",
)
# what a topic has when it is whole, at least
CLAIMS, FIGURES, PAIRS, QUESTIONS, OF_EACH_LEVEL = 12, 4, 2, 25, 4
RIGHT = 1 / 5  # of the claims
# of the answer, at most: words of open text, lines of code in sight
WORDS, CODE = 1800, 80
# words of a thirty-second answer, words of a question's answer, points to listen for
ALOUD, ANSWER, LISTENED = range(75, 96), range(50, 111), range(3, 7)

# how no finding begins, since it is quoted where its claim is not beside it
_PREPOSITION = (
    "about above across after against along among around as at before behind below beneath "
    "beside besides between beyond by during except for from in inside into of off on onto "
    "out outside over past per since through throughout to towards under until unlike up "
    "upon via with within without"
)
_PRONOUN = (
    "it its they their them he his she her this that these those one ones another others "
    "both none neither either nobody somebody everybody anybody nothing something "
    "everything who whoever what which such"
)
_QUANTITY = (
    "two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty "
    "sixty hundred thousand million half most many few some all several"
)
_BEGINS = (
    ("a lower-case word", re.compile(r"[a-z]")),
    ("a preposition", re.compile(rf"(?i:{'|'.join(_PREPOSITION.split())})\b")),
    ("a pronoun", re.compile(rf"(?i:{'|'.join(_PRONOUN.split())})\b")),
    ("a bare quantity", re.compile(
        r"\d|\{measured|(?i:(?:an? )?(?:" + "|".join(_QUANTITY.split())
        + r"))(?:[,.;:]| (?:of|and|or|in|is|are|was|were|did|had|got)\b)"
    )),
)  # fmt: skip


def skeleton(tree: Tree) -> Iterator[Problem]:
    """Each page of a topic has one title; the answer of a whole one has all headings, in
    their order."""
    for topic in tree.topics.values():
        for page in topic.pages.values():
            if sum(level == 1 for _, level, _, _ in page.headings) != 1:
                yield Problem(
                    "skeleton", f"{page.path}:1", "not one `# ` heading, but none or more",
                    "write one; on the answer it is the interview question",
                )  # fmt: skip
        page = topic.answer
        have = [text for _, level, text, _ in page.headings if level == 2]
        if topic.whole and have != list(SKELETON):
            wrong = [name for name in SKELETON if name not in have]
            wrong += [name for name in have if name not in SKELETON]
            yield Problem(
                "skeleton", f"{page.path}:1",
                f"its `## ` headings: {', '.join(wrong) or 'out of order'}",
                "an answer has just these: " + " · ".join(SKELETON),
            )  # fmt: skip


def bijection(tree: Tree) -> Iterator[Problem]:
    """One topic, one slug, four places; and four pages in the first of them."""
    places: dict[str, Callable[[str], str]] = {
        "pages": lambda slug: f"docs/topics/{slug}/index.md",
        "snippets": lambda slug: f"snippets/{slug}/",
        "notebook": lambda slug: f"notebooks/{slug}.ipynb",
        "test": lambda slug: f"tests/topics/{slug}/test_….py",
    }
    have = {
        "pages": set(tree.topics),
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
    for page in tree.pages.values():
        if page.part and page.part not in PARTS:
            yield Problem(
                "topic", page.path, f"'{page.part}' is no page of a topic",
                f"its pages are {', '.join(f'{part}.md' for part in PARTS)}",
            )  # fmt: skip
    for slug, topic in tree.topics.items():
        for part in PARTS:
            if part not in topic.pages:
                yield Problem(
                    "topic", topic.answer.path, f"topic '{slug}' has no page '{part}'",
                    f"add docs/topics/{slug}/{part}.md",
                )  # fmt: skip


def incomplete(tree: Tree, slug: str) -> list[Problem]:
    """What the topic still lacks, as CONTRIBUTING.md lists it.

    Not part of `check`: a topic that is being written passes the gates long
    before it is whole. `python -m lab test` asks for both.
    """
    topic = tree.topics[slug]
    found = [
        problem
        for gate in (
            _answer, _said_aloud, _diagram, _counts, _right, _findings,
            _bank, _questions, _modules, _practice, _told, _outside,
        )
        for problem in gate(tree, topic)
    ]  # fmt: skip
    return found + list(_to_write(tree, slug))


def _place(page: Page, heading: str) -> str:
    found = (line for line, level, text, _ in page.headings if text == heading)
    return f"{page.path}:{next(found, 1)}"


def _page(topic: Topic, part: str) -> str:
    return f"docs/topics/{topic.slug}/{part}.md:1"


def _answer(tree: Tree, topic: Topic) -> Iterator[Problem]:
    """It is as long as ten minutes allow, and tells one pair as a story."""
    page = topic.answer
    text = "\n".join(line for _, line in page.open)
    text = re.sub(
        r"<svg\b.*?</svg>|<!--.*?-->|</?[a-z][^<>]*>", " ", text, flags=re.DOTALL
    )
    words = sum(bool(re.search(r"\w", word)) for word in text.split())
    if words > WORDS:
        yield Problem(
            "long-text", f"{page.path}:1",
            f"{words} words of open text, at most {WORDS}",
            "cut, or move what only some ask for into a question",
        )  # fmt: skip
    lines = sum(
        length(tree, item)
        for fence in page.fences
        for item in fence.embeds
        if fence.open and not item.file.endswith(".out")
    )
    if lines > CODE:
        yield Problem(
            "long-code", f"{page.path}:1",
            f"{lines} lines of code in sight, at most {CODE}",
            "show the lines that matter, and the whole on the code page",
        )  # fmt: skip
    if not _pairs(page):
        yield Problem(
            "no-story", _place(page, "Broken, then fixed"),
            "no pair of a naive version and its twin",
            "embed both here: name.naive.mjs under attack, then name.mjs",
        )  # fmt: skip


def _pairs(*pages: Page) -> set[str]:
    """Naive files whose twin is shown beside them."""
    files = {
        item.file for page in pages for fence in page.fences for item in fence.embeds
    }
    return {
        file
        for file in files
        if ".naive." in file and file.replace(".naive.", ".") in files
    }


def _said_aloud(tree: Tree, topic: Topic) -> Iterator[Problem]:
    words = _words(topic.in_thirty_seconds)
    if words not in ALOUD:
        yield Problem(
            "thirty-seconds", _place(topic.answer, "In thirty seconds"),
            f"{words} words in thirty seconds",
            f"say it in {ALOUD.start} to {ALOUD.stop - 1}: three a second",
        )  # fmt: skip


def _words(text: str) -> int:
    return len(re.sub(r"[*`]|\]\([^)]*\)", "", text).split())


def _diagram(tree: Tree, topic: Topic) -> Iterator[Problem]:
    page = topic.answer
    if not any(key.endswith(".svg") for _, key in page.figures):
        yield Problem(
            "no-diagram", _place(page, "How it works"), "no diagram of the mechanism",
            "draw docs/assets/name.svg and show it: `/// figure | name.svg`",
        )  # fmt: skip


def _counts(tree: Tree, topic: Topic) -> Iterator[Problem]:
    if len(topic.claims) < CLAIMS:
        yield Problem(
            "few-claims", _page(topic, "claims"),
            f"{len(topic.claims)} of at least {CLAIMS} claims",
            "add a block `/// claim | What people say`, and its proof",
        )  # fmt: skip
    shown = {key for page in topic.pages.values() for _, key in page.figures}
    figures = {key for key in shown if not key.endswith(".svg")}
    if len(figures) < FIGURES:
        yield Problem(
            "few-figures", _page(topic, "claims"),
            f"{len(figures)} of at least {FIGURES} figures",
            "publish one from the notebook, `make evidence`, then `/// figure | key`",
        )  # fmt: skip
    pairs = _pairs(*topic.pages.values())
    if len(pairs) < PAIRS:
        yield Problem(
            "few-pairs", _page(topic, "code"),
            f"{len(pairs)} of at least {PAIRS} pairs of a naive version and its twin",
            "embed both here: name.naive.mjs under attack, then name.mjs",
        )  # fmt: skip


def _right(tree: Tree, topic: Topic) -> Iterator[Problem]:
    right = sum(claim.options.get("verdict") == "right" for claim in topic.claims)
    if right < RIGHT * len(topic.claims):
        yield Problem(
            "few-right", _page(topic, "claims"),
            f"{right} of {len(topic.claims)} claims are right",
            "put on trial what somebody doubts and a test holds: at least a fifth, so "
            "that 'wrong' is no safe guess",
        )  # fmt: skip


def _findings(tree: Tree, topic: Topic) -> Iterator[Problem]:
    for page in topic.pages.values():
        for claim in page.claims:
            text = re.sub(r"\*|^[_\"“(]+", "", finding(claim))
            for what, begins in _BEGINS:
                if begins.match(text):
                    yield Problem(
                        "finding-begins", f"{page.path}:{claim.line}",
                        f"the finding of {claim.key} begins with {what}: {_short(text)}",
                        "begin with its subject: it is quoted without the claim",
                    )  # fmt: skip


def _bank(tree: Tree, topic: Topic) -> Iterator[Problem]:
    place = _page(topic, "questions")
    if len(topic.questions) < QUESTIONS:
        yield Problem(
            "few-questions", place,
            f"{len(topic.questions)} of at least {QUESTIONS} questions",
            "add a block `/// question | The question?`",
        )  # fmt: skip
    for level in LEVELS:
        count = sum(each.options.get("level") == level for each in topic.questions)
        if count < OF_EACH_LEVEL:
            yield Problem(
                "few-questions", place,
                f"{count} of at least {OF_EACH_LEVEL} questions of level {level}",
                "add some of that level",
            )  # fmt: skip


def _questions(tree: Tree, topic: Topic) -> Iterator[Problem]:
    for page in topic.pages.values():
        for each in page.questions:
            for what, how in _lacking(each):
                yield Problem(
                    "question-lacks", f"{page.path}:{each.line}", f"{each.key}: {what}",
                    how,
                )  # fmt: skip


def _lacking(question: Question) -> Iterator[tuple[str, str]]:
    """What an entry of the bank lacks, and how it is mended."""
    words = _words(question.answer)
    if words not in ANSWER:
        yield (
            f"an answer of {words} words",
            f"say it in {ANSWER.start} to {ANSWER.stop - 1}, before the list",
        )
    listen = [point for point in question.points if point.kind == LISTEN]
    if len(listen) not in LISTENED:
        yield (
            f"{len(listen)} points to listen for",
            f"list {LISTENED.start} to {LISTENED.stop - 1}: `- {LISTEN}: …`",
        )
    if not any(point.kind == RED_FLAG for point in question.points):
        yield "no red flag", f"add the popular wrong answer: `- {RED_FLAG}: …`"
    if not question.proofs:
        for point in listen:
            if not point.proofs and "](http" not in point.text:
                how = "name a proof, the question's or its own: `[proof: topic/id]`, or"
                yield f"nothing proves '{_short(point.text)}'", f"{how} link its source"


# an exported function, and the comment directly above it
_EXPORTED = re.compile(
    r"(?:/\*\*((?:(?!\*/).)*)\*/\s*)?^export (?:async )?function\*? (\w+)\(([^)]?)",
    re.DOTALL | re.MULTILINE,
)


def _modules(tree: Tree, topic: Topic) -> Iterator[Problem]:
    page = topic.pages.get("code")
    for line, file in page.modules if page else ():
        text = tree.files.get(f"snippets/{file}", "")
        for comment, name, takes in _EXPORTED.findall(text):
            if takes and "@param {" not in comment:
                yield Problem(
                    "no-types", f"{page.path}:{line}",
                    f"{file}: nothing says what {name}() takes",
                    "write `@param {…}` into the comment above it: editors read that",
                )  # fmt: skip
    if page and not page.modules:
        yield Problem(
            "no-module", f"{page.path}:1", "no module to take",
            "add a block `/// module | topic/file.mjs`, and its code below",
        )  # fmt: skip


def _practice(tree: Tree, topic: Topic) -> Iterator[Problem]:
    slug = topic.slug
    if not any(key.startswith(f"{slug}/") for key in tree.exercises):
        yield Problem(
            "no-exercise", f"snippets/{slug}/exercises/", "no exercise",
            "add a folder with task.md, start.mjs and solution.mjs",
        )  # fmt: skip
    if not any(
        node.is_app(snippet.text) and not snippet.naive
        for name, snippet in tree.snippets.items()
        if name.startswith(f"{slug}/")
    ):
        yield Problem(
            "no-factory", f"snippets/{slug}/", "no module that the service can use",
            "export a factory: `export function createApp(deps) {`",
        )  # fmt: skip


def _told(tree: Tree, topic: Topic) -> Iterator[Problem]:
    """Whether the pages that speak of all topics speak of this one."""
    for path, where in (
        ("docs/summary.md", "a row of its table of decisions"),
        ("docs/changelog.md", "an entry"),
    ):
        targets = [target for _, target in tree.pages[path].links]
        if not any(f"topics/{topic.slug}/" in target for target in targets):
            yield Problem(
                "untold", path, f"nothing links to docs/topics/{topic.slug}/",
                f"add {where} that does",
            )  # fmt: skip


def _outside(tree: Tree, topic: Topic) -> Iterator[Problem]:
    """What is typed of others' facts; of a whole topic the page gates find it."""
    if not topic.whole:
        for page in topic.pages.values():
            yield from outside.typed(tree, page)


def _to_write(tree: Tree, slug: str) -> Iterator[Problem]:
    """The word that the template puts wherever something is to be written."""
    mine = suite.places(slug)
    for path in tree.under("", (".md", ".mjs", ".cjs", ".ipynb", ".py")):
        if path.startswith(mine):
            for place, line in _lines(path, tree.files[path]):
                if found := re.search(r"\bTODO\b.*", line):
                    yield Problem(
                        "to-write", place, f"still to be written: {_short(found[0])}",
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


def _short(text: str) -> str:
    """The beginning of a text, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:59].rstrip()}…"
