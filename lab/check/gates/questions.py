"""The bank of questions: its form, and that what it names is there."""

import re
from collections.abc import Iterator

from lab.check import Problem
from lab.check.content import Tree
from lab.check.pages import KINDS, LEVELS, POINTS, THEN, Question

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_FIELDS = {"id", "level", "kind", "also", "proof"}


def questions(tree: Tree) -> Iterator[Problem]:
    """A question has its form and an id of its own; its proofs and what comes next are
    there."""
    seen: dict[str, str] = {}
    for page in tree.pages.values():
        for each in page.questions:
            place = f"{page.path}:{each.line}"
            yield from _form(each, place)
            if each.id and each.key in seen:
                yield Problem(
                    "question-doubled", place, f"question {each.key} is also at {seen[each.key]}",
                    "give it an id of its own",
                )  # fmt: skip
            seen.setdefault(each.key, place)
            for name in _named_proofs(each):
                if problem := _unknown(tree, name):
                    yield Problem(
                        "question-proof", place, f"{each.key} names the proof '{name}'",
                        problem,
                    )  # fmt: skip
            for point in each.points:
                text = point.text.strip("`")
                known = {f"{each.topic}/{text}", text} & tree.questions.keys()
                if point.kind == THEN and re.fullmatch(rf"{_SLUG.pattern}(/{_SLUG.pattern})?", text) and not known:  # fmt: skip
                    yield Problem(
                        "question-then", place, f"{each.key} goes on with '{text}'",
                        "use the id of a question: `id`, or `topic/id` of another topic",
                    )  # fmt: skip


def _form(question: Question, place: str) -> Iterator[Problem]:
    if not question.asked:
        yield Problem(
            "question-form", place, "question without its text",
            "write `/// question | What is asked?`",
        )  # fmt: skip
    if not _SLUG.fullmatch(question.id):
        yield Problem(
            "question-form", place, f"question id {question.id!r} is not a name",
            "add `    id: lower-case-words` under its first line",
        )  # fmt: skip
    for name, values in (("level", LEVELS), ("kind", KINDS)):
        if question.options.get(name) not in values:
            yield Problem(
                "question-form", place, f"question {name} {question.options.get(name)!r}",
                f"choose one of {', '.join(values)}",
            )  # fmt: skip
    if unknown := set(question.options) - _FIELDS:
        yield Problem(
            "question-form", place, f"question field {', '.join(sorted(unknown))}",
            f"a question has {', '.join(sorted(_FIELDS))}",
        )  # fmt: skip
    listed = question.body.strip().removeprefix(question.answer)
    items = re.findall(r"^ {0,3}[-*] ", listed, re.MULTILINE)
    if len(items) != len(question.points):
        yield Problem(
            "question-form", place, f"an item of {question.key}'s list is no point",
            f"begin it with one of {', '.join(f'`{name}: `' for name in POINTS)}",
        )  # fmt: skip
    if not question.answer:
        yield Problem(
            "question-form", place, "question without an answer",
            "say it before the list, as one would say it aloud",
        )  # fmt: skip


def _named_proofs(question: Question) -> list[str]:
    own = (name for point in question.points for name in point.proofs)
    return [*question.proofs, *own]


def _unknown(tree: Tree, name: str) -> str:
    """How a proof that is not there is put right; empty if it is there."""
    topic, _, rest = name.partition("/")
    kind, colon, what = rest.partition(":")
    if not colon:
        found = name in tree.claims
        return "" if found else "no claim has that key: `topic/id` of a claim block"
    if kind == "test":
        found = f"{topic}/{what}" in tree.tests
        return "" if found else f"no test of that name in tests/topics/{topic}/"
    if kind == "measured":
        found = "value" in tree.evidence.get(f"{topic}/{what}", {})
        return "" if found else f"no such value in docs/evidence/{topic}.json"
    return "write topic/claim, topic/test:name or topic/measured:name"
