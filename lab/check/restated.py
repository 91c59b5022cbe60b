"""What restates a claim, and the seals that tell when the two were last read together.

A block (a claim with its proof, a question, a section of the answer, a note on versions, an
exercise) is sealed over its own words and over those of the claims that it names. When
one side changes, its seal no longer fits, and the gate lists what to read again. Only
topics that are whole are sealed: `docs/seals/<topic>.json`, written by `make seal`."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from lab.check import assertions, syntax
from lab.check.content import Proof, Topic, Tree
from lab.check.pages import Claim, Page, Question, finding
from lab.check.seals import short

_CLAIM_LINK = re.compile(r"\(((?:\.\./([\w-]+)/)?claims\.md)?#claim-([\w-]+)\)")


@dataclass(frozen=True)
class Block:
    """Something that says what a claim says: its key in the file of seals, where it
    stands, the claims that it names, and what stands for both sides."""

    key: str
    place: str
    names: tuple[str, ...]
    own: str
    named: str

    @property
    def seal(self) -> str:
        """What is written into the file of seals."""
        return f"{self.own} {self.named}"


def path(topic: str) -> str:
    """The file of a topic's seals."""
    return f"docs/seals/{topic}.json"


def sealed(tree: Tree, topic: str) -> dict[str, str]:
    """What stands in a topic's file of seals; empty when there is none that can be read."""
    try:
        return json.loads(tree.files.get(path(topic), "{}"))
    except ValueError:
        return {}


def blocks(tree: Tree, topic: Topic) -> list[Block]:
    """What of a topic is sealed, in the order of its pages."""
    return [
        *_claims(tree, topic),
        *_answer(tree, topic),
        *_questions(tree, topic),
        *_notes(tree, topic),
        *_exercises(tree, topic),
        *_summary(tree, topic),
    ]


def counters(tree: Tree) -> dict[str, tuple[Proof, str]]:
    """The counter-proofs of all topics, `topic/test claim`, each with the digest of what
    it is made of: the proof, what is exchanged, and with what."""
    found = {}
    for proof in tree.marks:
        if proof.counter:
            key = f"{proof.path.split('/')[2]}/counter {proof.test.name} {proof.claim}"
            files = [_code(tree.files.get(f"snippets/{name}", "")) for name in proof.counter
                     if name.endswith("js")]  # fmt: skip
            said = [str(part) for part in proof.counter]
            found[key] = (proof, short(proof_code(tree, proof), *said, *files))
    return found


def place_of(text: str, old: str, test: ast.FunctionDef | None) -> int | None:
    """Where a counter-proof changes a file: the one place where `old` stands; in a test's
    own file not in a mark, and rather within the test. None if that is not one place."""
    if test is None:
        return text.find(old) if text.count(old) == 1 else None
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    marks = [
        (starts[mark.lineno - 1], starts[mark.end_lineno])
        for function in syntax.functions(syntax.module(text))
        for mark in function.decorator_list
        if "counter=" in ast.unparse(mark)
    ]
    found = [
        match.start()
        for match in re.finditer(re.escape(old), text)
        if not any(start <= match.start() < end for start, end in marks)
    ]
    within = range(starts[test.lineno - 1], starts[test.end_lineno])
    inside = [at for at in found if at in within]
    chosen = inside or found
    return chosen[0] if len(chosen) == 1 else None


def says(claim: Claim) -> str:
    """What stands for a claim's heard text, verdict and finding."""
    return short(
        claim.options.get("verdict", ""), words(claim.heard + " " + finding(claim))
    )


@cache
def words(text: str) -> str:
    """The words of a Markdown text, without layout, emphasis, targets of links, and
    punctuation: changes of these cost nothing."""
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return " ".join(re.findall(r"[\w.%{}/<>=+-]*\w[%}]?", text.lower()))


def proof_code(tree: Tree, proof: Proof) -> str:
    """A proof's code, and what of its file it rests on, without comments and layout."""
    text = tree.files[proof.path]
    return _proof_code(text, proof.test.name)


@cache
def _proof_code(text: str, name: str) -> str:
    names = assertions.module_names(syntax.module(text))
    found: dict[str, ast.AST] = {}
    todo = [name]
    while todo:
        node = names.get(next_name := todo.pop())
        if (
            next_name in found
            or node is None
            or isinstance(node, ast.Import | ast.ImportFrom)
        ):
            continue
        found[next_name] = node
        todo += syntax.names(node)
    lines = text.split("\n")
    return "\n".join(_code(_segment(lines, found[each])) for each in sorted(found))


def _segment(lines: list[str], node: ast.AST) -> str:
    marks = getattr(node, "decorator_list", ())
    start = min([node.lineno, *(mark.lineno for mark in marks)])
    return "\n".join(lines[start - 1 : node.end_lineno])


@cache
def _code(text: str) -> str:
    """Code without its layout and the comments that stand alone."""
    text = re.sub(r"^\s*(?:#|//).*$|  # .*$", "", text, flags=re.MULTILINE)
    # which counter-proof there is, is no part of what is proved
    text = re.sub(r",\s*counter=\((?:[^()]|\([^()]*\))*\)", "", text)
    return re.sub(r",(?=[\])}])", "", re.sub(r"\s+", "", text))


def _block(
    tree: Tree, key: str, place: str, text: str, names: Iterator[str] | list[str]
) -> Block:
    known = tuple(dict.fromkeys(name for name in names if name in tree.claims))
    said = (says(tree.claims[name]) for name in known)
    return Block(key, place, known, short(words(text)), short(*known, *said))


def _claims(tree: Tree, topic: Topic) -> Iterator[Block]:
    proofs: dict[str, list[Proof]] = {}
    for proof in tree.marks:
        proofs.setdefault(proof.claim, []).append(proof)
    for claim in topic.claims:
        said = f"{claim.options.get('verdict')} {claim.heard} {claim.body} {claim.options.get('source', '')}"
        # by name: a test that is only moved is the same proof
        code = sorted(
            f"{p.test.name}{proof_code(tree, p)}" for p in proofs.get(claim.key, ())
        )
        yield Block(
            f"claim {claim.options.get('id')}", f"{claim.path}:{claim.line}", (),
            short(words(said)), short(*code),
        )  # fmt: skip


def _answer(tree: Tree, topic: Topic) -> Iterator[Block]:
    """The thirty-second answer, which names its claims in the front matter, and each
    section that links to claims."""
    page = topic.answer
    for line, level, heading, _ in page.headings:
        if level == 2:
            text = page.under(heading)
            names = list(_linked(page, text))
            if heading == "In thirty seconds":
                names += _restates(page)
            if names:
                yield _block(
                    tree, f"section {heading}", f"{page.path}:{line}", text, names
                )


def _restates(page: Page) -> list[str]:
    named = str(page.meta.get("restates", "")).split()
    return [name if "/" in name else f"{page.topic}/{name}" for name in named]


def _linked(page: Page, text: str) -> Iterator[str]:
    for _, other, name in _CLAIM_LINK.findall(text.replace("\n", " ")):
        yield f"{other or page.topic}/{name}"


def _questions(tree: Tree, topic: Topic) -> Iterator[Block]:
    for each in topic.questions:
        page = tree.pages[each.path]
        yield _block(
            tree, f"question {each.id}", f"{each.path}:{each.line}",
            f"{each.asked} {each.body}", [*_proofs(each), *_linked(page, each.body)],
        )  # fmt: skip


def _proofs(question: Question) -> list[str]:
    own = (name for point in question.points for name in point.proofs)
    return [*question.proofs, *own]


def _notes(tree: Tree, topic: Topic) -> Iterator[Block]:
    for page in tree.pages.values():
        for note in page.differences:
            if note.key.startswith(f"{topic.slug}/"):
                text = f"{note.options} {note.body}"
                yield _block(
                    tree, f"note {note.key}", f"{page.path}:{note.line}", text, [note.key]
                )


def _exercises(tree: Tree, topic: Topic) -> Iterator[Block]:
    """What a learner reads of an exercise: the task, the start, and the hints; its checks
    name what it restates: `# restates: topic/id`."""
    for key in tree.exercises:
        if key.startswith(f"{topic.slug}/"):
            name = key.split("/")[1]
            folder = f"snippets/{topic.slug}/exercises/{name}"
            checks = f"tests/exercises/{topic.slug}/test_{name.replace('-', '_')}.py"
            text = tree.files.get(checks, "")
            named = re.findall(r"^# restates: (.*)$", text, re.MULTILINE)
            there = [
                file
                for file in ("task.md", "symptoms.md", "start.mjs")
                if f"{folder}/{file}" in tree.files
            ]
            told = [tree.files[f"{folder}/{file}"] for file in there]
            told += re.findall(r'"""(.*?)"""', text, re.DOTALL)
            names = [each for line in named for each in line.split()]
            yield _block(
                tree, f"exercise {name}", f"{folder}/{there[0]}:1", " ".join(told), names
            )


def _summary(tree: Tree, topic: Topic) -> Iterator[Block]:
    """The rows of the summary that lead to the topic."""
    page = tree.pages.get("docs/summary.md")
    rows = [
        (number, line)
        for number, line in (page.open if page else ())
        if line.startswith("|") and f"topics/{topic.slug}/" in line
    ]
    if rows:
        text = " ".join(line for _, line in rows)
        yield _block(
            tree, "summary", f"{page.path}:{rows[0][0]}", text, _restates(topic.answer)
        )
