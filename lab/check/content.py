"""The guide's files as a whole: pages, snippets, exercises, evidence, proofs, locks.

`read()` gives the tree of a clone; everything in it is parsed once, when it is asked for."""

import ast
import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import yaml

from lab import ROOT
from lab.check import pages, snippets, syntax
from lab.check.pages import DRAFT, PARTS, WHOLE, Claim, Embed, Page, Question
from lab.check.snippets import Snippet
from lab.run import locks

# what `make versions` writes, and what a claim does with other versions
VERSIONS = "docs/versions.json"
OUTSIDE = "docs/outside.toml"  # what others decide
LOCKED = "locked"  # the column that the others are held against
ANSWERS = ("holds", "fails", "unsteady", "not run")
_SKIP = {"node_modules", ".venv", "_specimens", "__pycache__", ".ipynb_checkpoints"}
_CONFIG = (".py", ".yaml", ".yml")  # what a page may show besides JavaScript
_SUFFIXES = (
    ".md", ".mjs", ".cjs", ".out", ".json", ".svg", ".ipynb", ".css", *_CONFIG,
)  # fmt: skip
_FILES = (
    "mkdocs.yml", OUTSIDE, "pyproject.toml", "uv.lock", "README.md", "CONTRIBUTING.md", "Makefile",
    ".ci/run", ".pre-commit-config.yaml", "snippets/.npmrc", "lab/__main__.py",
    "lab/run/suite.py",
)  # fmt: skip


@dataclass(frozen=True)
class Topic:
    """One topic: its pages by part (see `pages.PARTS`), the answer (`index`) always there."""

    slug: str
    pages: Mapping[str, Page]

    @property
    def answer(self) -> Page:
        """The page that answers the topic's question."""
        return self.pages["index"]

    @property
    def state(self) -> str:
        """One of `pages.STATES`, or what is typed instead, which its gate reports."""
        return str(self.answer.meta.get("state", ""))

    @property
    def draft(self) -> bool:
        """Started and not yet whole: marked on the site, and left out of its counts."""
        return self.state == DRAFT

    @property
    def whole(self) -> bool:
        """It has all that a topic owes; else what it lacks is told and fails nothing."""
        return self.state == WHOLE

    @property
    def title(self) -> str:
        """Its short title."""
        return self.answer.title

    @property
    def question(self) -> str:
        """The interview question that it answers."""
        return self.answer.heading

    @property
    def in_thirty_seconds(self) -> str:
        """The Markdown of what one would say aloud."""
        return self.answer.under("In thirty seconds")

    @property
    def claims(self) -> list[Claim]:
        """Its claims, in the order of its pages."""
        return [claim for page in self.pages.values() for claim in page.claims]

    @property
    def questions(self) -> list[Question]:
        """Its bank of questions, in the order of its pages."""
        return [each for page in self.pages.values() for each in page.questions]


@dataclass(frozen=True)
class Proof:
    """A mark `claim("topic/id", verdict=…, counter=…)` of a test."""

    path: str
    claim: str
    verdict: str
    counter: tuple  # see lab.audit.counter
    test: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def place(self) -> str:
        """File and line of the test."""
        return f"{self.path}:{self.test.lineno}"


class Tree:
    """The guide's files as text, by path from its root. Parsed once."""

    def __init__(self, files: Mapping[str, str], others: Iterable[str] = ()) -> None:
        self.files = dict(files)
        self.others = frozenset(others)  # paths of files that are no text, as images

    def under(self, folder: str, suffix: str | tuple[str, ...]) -> list[str]:
        """Paths below a folder with one of these endings, sorted."""
        return sorted(
            path
            for path in self.files
            if path.startswith(folder) and path.endswith(suffix)
        )

    @cached_property
    def pages(self) -> dict[str, Page]:
        """Every Markdown page of docs/ by its path, parsed."""
        return {
            path: pages.parse(path, self.files[path])
            for path in self.under("docs/", ".md")
        }

    @cached_property
    def topics(self) -> dict[str, Topic]:
        """The topics by slug, in the order of the navigation. A folder without
        `index.md` is none yet, which the topics' gate reports."""
        parts: dict[str, dict[str, Page]] = {}
        for page in self.pages.values():
            if page.part:
                parts.setdefault(page.topic, {})[page.part] = page
        known = [*PARTS, *sorted({part for found in parts.values() for part in found})]
        nav = [pages.parse(f"docs/{path}", "").topic for path in self.nav]
        order = sorted(parts, key=lambda slug: nav.index(slug) if slug in nav else 99)
        return {
            slug: Topic(slug, {p: parts[slug][p] for p in known if p in parts[slug]})
            for slug in order
            if "index" in parts[slug]
        }

    @cached_property
    def counted(self) -> dict[str, Topic]:
        """The topics that are no draft: those that are counted and summed up."""
        return {slug: topic for slug, topic in self.topics.items() if not topic.draft}

    @cached_property
    def questions(self) -> dict[str, Question]:
        """Every question of the banks by its key, `topic/id`."""
        found = (each for topic in self.topics.values() for each in topic.questions)
        return {each.key: each for each in found}

    @cached_property
    def claims(self) -> dict[str, Claim]:
        """Every claim by its key, `topic/id`."""
        found = (claim for page in self.pages.values() for claim in page.claims)
        return {claim.key: claim for claim in found}

    @cached_property
    def tests(self) -> dict[str, tuple[str, int]]:
        """File and line of each test of a topic, by `topic/name`."""
        found = {}
        for path in self.under("tests/topics/", ".py"):
            slug = path.split("/")[2]
            for test in syntax.module(self.files[path]).body:
                if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                    found[f"{slug}/{test.name}"] = (path, test.lineno)
        return found

    @cached_property
    def snippets(self) -> dict[str, Snippet]:
        """By path below `snippets/`; only files in a topic's folder."""
        found = {}
        for path in self.under("snippets/", (".mjs", ".cjs")):
            name = path.removeprefix("snippets/")
            if name.count("/") and "/exercises/" not in name:
                found[name] = snippets.parse_snippet(name, self.files[path])
        return found

    @cached_property
    def embeddable(self) -> dict[str, Snippet]:
        """All that a page may embed by section: the snippets, and what stands beside
        them in another language."""
        others = {
            path.removeprefix("snippets/"): self.files[path]
            for path in self.under("snippets/", _CONFIG)
        }
        parsed = {
            name: snippets.parse_snippet(name, text) for name, text in others.items()
        }
        return self.snippets | parsed

    @cached_property
    def exercises(self) -> dict[str, set[str]]:
        """File names by `topic/name`."""
        found: dict[str, set[str]] = {}
        for path in self.under("snippets/", (".mjs", ".cjs", ".md")):
            parts = path.split("/")
            if len(parts) == 5 and parts[2] == "exercises":
                found.setdefault(f"{parts[1]}/{parts[3]}", set()).add(parts[4])
        return found

    @cached_property
    def evidence(self) -> dict[str, dict]:
        """Entries by `topic/name`. A file that is no JSON counts as empty: the
        evidence gate reports it."""
        found = {}
        for path in self.under("docs/evidence/", ".json"):
            try:
                entries = json.loads(self.files[path])
            except ValueError:
                continue
            found |= {f"{Path(path).stem}/{name}": e for name, e in entries.items()}
        return found

    @cached_property
    def matrix(self) -> dict:
        """What `make versions` wrote: `columns`, `claims`, `reasons`. Empty when there
        is nothing, or no JSON, which its gate reports."""
        try:
            return json.loads(self.files.get(VERSIONS, "{}"))
        except ValueError:
            return {}

    @cached_property
    def outside(self) -> dict[str, dict]:
        """What others decide, by kind (`fact`, `rfc`, `cve`, `ghsa`) and name."""
        try:
            return tomllib.loads(self.files.get(OUTSIDE, ""))
        except tomllib.TOMLDecodeError:
            return {}

    @cached_property
    def outside_problems(self) -> list[str]:
        """What is wrong with the file of it."""
        try:
            found = tomllib.loads(self.files.get(OUTSIDE, ""))
        except tomllib.TOMLDecodeError as error:
            return [f"not TOML: {error}"]
        bad = [
            f"unknown kind '{kind}'"
            for kind in found.keys() - {"fact", "rfc", "cve", "ghsa"}
        ]
        for name, fact in found.get("fact", {}).items():
            if not {"value", "read", "named"} <= fact.keys():
                bad.append(f"fact '{name}' lacks value, read or named")
        return bad

    @cached_property
    def proofs(self) -> dict[str, list[tuple[str, int, str]]]:
        """Tests (file, line, name) by the claim they prove."""
        found: dict[str, list[tuple[str, int, str]]] = {}
        for proof in self.marks:
            place = (proof.path, proof.test.lineno, proof.test.name)
            found.setdefault(proof.claim, []).append(place)
        return found

    @cached_property
    def marks(self) -> list[Proof]:
        """Each mark of a test that says that it proves a claim."""
        return [
            Proof(path, *mark)
            for path in self.under("tests/", ".py")
            if "claim(" in self.files[path]
            for mark in _marked_claims(self.files[path])
        ]

    @cached_property
    def stated(self) -> dict[str, set[str]]:
        """The verdicts that code which records evidence gives with a key, by that key."""
        found: dict[str, set[str]] = {}
        for path in {entry.get("source", "") for entry in self.evidence.values()}:
            if text := self.files.get(path):
                topic = path.split("/")[2 if path.startswith("tests/") else 1]
                topic = topic.removesuffix(".ipynb")
                for name, said in syntax.verdicts(path, text).items():
                    found.setdefault(f"{topic}/{name}", set()).update(said)
        return found

    @cached_property
    def nav(self) -> list[str]:
        """Source paths in the navigation, as MkDocs names them, in order."""
        config = yaml.load(self.files.get("mkdocs.yml", "{}"), Loader=_Loader) or {}

        def flat(item) -> Iterator[str]:
            if isinstance(item, str):
                yield item
            elif isinstance(item, dict):
                for value in item.values():
                    yield from flat(value)
            elif isinstance(item, list):
                for value in item:
                    yield from flat(value)

        return list(flat(config.get("nav", [])))

    @cached_property
    def versions(self) -> dict[str, str]:
        """Locked versions by package name, and `node`; empty without both lock files."""
        if not {"uv.lock", "snippets/package-lock.json"} <= self.files.keys():
            return {}
        return locks.locked(
            self.files["uv.lock"], self.files["snippets/package-lock.json"]
        )

    @cached_property
    def embeds(self) -> list[tuple[Page, Embed]]:
        """Each embed with the page that it stands on."""
        return [
            (page, item)
            for page in self.pages.values()
            for fence in page.fences
            for item in fence.embeds
        ]

    @cached_property
    def shown(self) -> dict[str, set[int]]:
        """Line numbers of each snippet that some page shows."""
        found: dict[str, set[int]] = {}
        for _, item in self.embeds:
            snippet = self.snippets.get(item.file)
            if snippet and not item.lines:
                everything = range(1, snippet.text.count("\n") + 2)
                lines = (
                    snippet.sections.get(item.section or "", range(0))
                    if item.section
                    else everything
                )
                found.setdefault(item.file, set()).update(lines)
        return found


@cache  # a server asks again after each edit
def _marked_claims(text: str) -> list[tuple[str, str, tuple, ast.FunctionDef]]:
    """Of each mark in a module's text that says which claim a test proves: the claim, the
    verdict, the counter-proof, and the test."""
    return [
        (_literal(mark.args[0]), _literal(said.get("verdict")) or "",
         _literal(said.get("counter")) or (), test)
        for test in syntax.functions(syntax.module(text))
        for mark in test.decorator_list
        if isinstance(mark, ast.Call)
        and mark.args
        and ast.unparse(mark.func).endswith("mark.claim")
        for said in [{word.arg: word.value for word in mark.keywords}]
    ]  # fmt: skip


def _literal(node: ast.expr | None):
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml with its !ENV and !!python/name tags as plain values."""


_Loader.add_multi_constructor("", lambda loader, suffix, value: None)


def read(root: Path = ROOT) -> Tree:
    """The tree of the clone at `root`."""
    files, others = {}, set()
    for folder in ("docs", "snippets", "notebooks", "tests", ".github"):
        for directory, names, here in os.walk(root / folder):
            names[:] = sorted(set(names) - _SKIP)
            for name in here:
                if name.endswith(_SUFFIXES):
                    path = Path(directory, name)
                    files[path.relative_to(root).as_posix()] = path.read_text("utf-8")
                elif folder == "docs":
                    others.add(Path(directory, name).relative_to(root).as_posix())
    for name in _FILES:
        if (root / name).exists():
            files[name] = (root / name).read_text("utf-8")
    return Tree(files, others)


def drawing(tree: Tree, name: str) -> str | None:
    """The file of a figure block: `topic/name` is recorded, `name.svg` is drawn."""
    if name.endswith(".svg"):
        path = f"docs/assets/{name}"
    else:
        path = f"docs/evidence/{tree.evidence.get(name, {}).get('figure')}"
    return path if path in tree.files else None


def failing(tree: Tree, key: str) -> list[str]:
    """The columns in which a claim fails, in their order."""
    answers = tree.matrix.get("claims", {}).get(key, {})
    return [column for column, is_ in answers.items() if is_ == "fails"]
