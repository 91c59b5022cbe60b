"""The gates: pure functions over the tree, one module per subject, fast and without a build.

`check(content.read())` returns what is wrong with pages, snippets, notebooks, exercises,
evidence and locks, as far as it can be told without running anything."""

from collections.abc import Callable, Iterator

from lab.check import Problem
from lab.check.content import Tree
from lab.check.gates import (
    claims,
    code,
    evidence,
    guards,
    locks,
    notebooks,
    outside,
    pages,
    proofs,
    questions,
    seals,
    tidy,
    topics,
    versions,
)


def check(tree: Tree) -> list[Problem]:
    """Everything that the gates find, in the order of places."""
    found = [problem for gate in GATES for problem in gate(tree)]
    return sorted(
        set(found), key=lambda p: [_natural(part) for part in p.place.split(":")]
    )


def _natural(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdigit() else (1, 0, part)


GATES: tuple[Callable[[Tree], Iterator[Problem]], ...] = (
    pages.parse_problems, pages.embeds, pages.fences, pages.names, pages.front_matter,
    pages.links, pages.navigation, pages.changelog,
    claims.claims, proofs.proofs, seals.restatements, seals.counter_proofs, questions.questions, evidence.references, evidence.evidence,
    evidence.sealed,    versions.typed_versions, versions.matrix,
    topics.skeleton, topics.bijection,
    code.snippets, code.modules, code.exercises, notebooks.notebooks, locks.locks, guards.guards,
    outside.outside, outside.counts,
    tidy.ids, tidy.titles, tidy.unused, tidy.errata, tidy.hints,
)  # fmt: skip
